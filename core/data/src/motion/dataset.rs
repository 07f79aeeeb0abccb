//! The dataset: subjects and actions are drawn when it is opened, sequences when they are asked for.

use std::path::Path;

use rand::RngExt;
use szar_core::{
    ClassId, ClassList, ClassSplit, Dataset, DatasetInfo, Error, Result, SampleInfo, SampleRole, Seed,
    Sequence,
};

use super::actor::Take;
use super::body::JOINTS;
use super::classes::{Action, NAMES, actions};
use super::config::ProceduralConfig;
use super::draw::Generator;
use super::sensor::{Flaws, Sensor, View};
use super::space::Vec3;
use super::splits;
use super::subject::Subject;
use super::timing::FPS;
use crate::layouts;

/// What every report says of numbers on this set.
const SYNTHETIC: &str = "Synthetic motions: computed from hand-written joint rotations, not recorded from people; \
                         results say whether a pipeline works, not how well it recognises real actions.";

/// A bystander appears in one sample in so many.
const BYSTANDER_IN: u32 = 8;

/// The opened set.
#[derive(Debug)]
pub(super) struct Procedural {
    config: ProceduralConfig,
    info: DatasetInfo,
    samples: Vec<SampleInfo>,
    subjects: Vec<Subject>,
    actions: Vec<Action>,
}

impl Procedural {
    /// Draws the subjects and lists the samples; the options must be valid.
    pub(super) fn new(config: &ProceduralConfig) -> Result<Self> {
        let info = DatasetInfo {
            name: "procedural".into(),
            layout: layouts::by_name("ntu25")?,
            classes: ClassList::numbered(NAMES)?,
            persons: config.persons,
            synthetic: Some(SYNTHETIC.into()),
        };
        let seed = Seed(config.seed);
        let subject = |number| Subject::draw(seed, number, config.variation);
        let actions = actions();
        let mut samples = Vec::with_capacity(actions.len() * config.samples_per_class);
        for (class, action) in (0..).map(ClassId).zip(&actions) {
            let describe = |take| describe(class, action.name, take, config.subjects);
            samples.extend((0..config.samples_per_class).map(describe));
        }
        Ok(Self {
            config: config.clone(),
            info,
            samples,
            subjects: (0..config.subjects as u64).map(subject).collect(),
            actions,
        })
    }

    /// Class, take and subject of a sample.
    fn parts(&self, sample: usize) -> Result<(usize, usize, usize)> {
        if sample >= self.samples.len() {
            let there_are = self.samples.len();
            return Err(Error::Input(format!(
                "sample {sample} is beyond the {there_are} there are"
            )));
        }
        let (class, take) = (
            sample / self.config.samples_per_class,
            sample % self.config.samples_per_class,
        );
        Ok((class, take, take % self.config.subjects))
    }

    /// Hands a sample before the sensor to `with`, and the generator that the sensor goes on with.
    ///
    /// A sample depends on the seed, its class and the number of the take, not on how many takes there are.
    pub(super) fn perform(
        &self,
        sample: usize,
        with: impl FnOnce(&Performance<'_>, &mut Generator),
    ) -> Result<()> {
        let (class, take, subject) = self.parts(sample)?;
        let seed = Seed(self.config.seed);
        let number = ((class as u64) << 32) | take as u64;
        let mut habit = seed
            .derive("motion habit", ((class as u64) << 32) | subject as u64)
            .rng();
        let mut rng = seed.derive("motion sample", number).rng();
        let variation = self.config.variation;
        let actor = &self.subjects[subject];
        let main = Take::draw(actor, &self.actions[class], &mut habit, &mut rng, variation);
        let view = View::draw(&mut rng, variation);
        let bystander = (self.config.persons > 1 && rng.random_ratio(1, BYSTANDER_IN))
            .then(|| self.bystander(subject, &mut rng));
        with(
            &Performance {
                main,
                view,
                bystander,
            },
            &mut rng,
        );
        Ok(())
    }

    /// Somebody else who stands beside and does nothing.
    fn bystander(&self, subject: usize, rng: &mut Generator) -> (Take<'_>, Vec3) {
        let other = (subject + rng.random_range(1..self.subjects.len())) % self.subjects.len();
        let side = if rng.random_bool(0.5) { 1.0 } else { -1.0 };
        let place = [side * rng.random_range(0.7..1.0), 0.0, rng.random_range(0.0..0.8)];
        let mut habit = rng.clone();
        let take = Take::draw(
            &self.subjects[other],
            &Action::idle(),
            &mut habit,
            rng,
            self.config.variation,
        );
        (take, place)
    }
}

/// A sample before the sensor.
pub(super) struct Performance<'a> {
    main: Take<'a>,
    view: View,
    bystander: Option<(Take<'a>, Vec3)>,
}

impl Performance<'_> {
    pub(super) fn frames(&self) -> usize {
        self.main.frames()
    }

    /// The actor's joints in the camera's axes.
    pub(super) fn joints(&self, frame: usize) -> [Vec3; JOINTS] {
        self.view.see(&self.main.joints(frame), [0.0; 3])
    }

    fn bystander(&self, frame: usize) -> Option<[Vec3; JOINTS]> {
        let (take, place) = self.bystander.as_ref()?;
        Some(self.view.see(&take.joints(frame), *place))
    }
}

fn describe(class: ClassId, name: &str, take: usize, subjects: usize) -> SampleInfo {
    let subject = take % subjects;
    SampleInfo {
        name: format!("{}_s{subject:03}_t{take:04}", name.replace(' ', "-")),
        class,
        subject: i64::try_from(subject).ok(),
        role: if subject % 3 == 2 {
            SampleRole::Test
        } else {
            SampleRole::Train
        },
        usable: true,
    }
}

impl Dataset for Procedural {
    fn info(&self) -> &DatasetInfo {
        &self.info
    }

    fn samples(&self) -> &[SampleInfo] {
        &self.samples
    }

    fn load(&self, sample: usize) -> Result<Sequence> {
        let persons = self.config.persons;
        let flaws = Flaws {
            noise: self.config.noise,
            dropped_joints: self.config.dropped_joints,
            dropped_frames: self.config.dropped_frames,
        };
        let (mut joints, mut frames) = (Vec::new(), 0);
        self.perform(sample, |performance, rng| {
            frames = performance.frames();
            joints.reserve(frames * persons * JOINTS * 3);
            let mut sensors: Vec<_> = (0..persons).map(|_| Sensor::start(flaws, rng)).collect();
            for frame in 0..frames {
                let bodies = [Some(performance.joints(frame)), performance.bystander(frame)];
                for (sensor, body) in sensors.iter_mut().zip(bodies) {
                    let seen = body.map_or([[0.0; 3]; JOINTS], |body| sensor.record(&body, rng));
                    joints.extend(seen.into_iter().flatten());
                }
            }
        })?;
        Ok(Sequence {
            joints,
            frames,
            persons,
            fps: FPS as f32,
        })
    }

    fn split(&self) -> Result<ClassSplit> {
        let split = &self.config.split;
        match splits::named(&split.name) {
            Some(unseen) if split.file.is_none() => {
                splits::hold_out(&split.name.replace('/', "_"), unseen, &self.info.classes)
            }
            _ => split.resolve(Path::new("splits.json"), "procedural", &self.info.classes),
        }
    }
}
