//! Options of the procedural dataset.

use std::ops::RangeInclusive;
use std::sync::Arc;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use szar_core::{
    BuildContext, ComponentInfo, ComponentKind, Dataset, DatasetConfig, Problems, Result, SkeletonLayout,
    error,
};

use super::classes::NAMES;
use super::dataset::Procedural;
use super::splits;
use crate::layouts;
use crate::splits::SplitConfig;

/// Options of the `procedural` dataset: thirty classes of motions computed from joint rotations, so that everything
/// can be tried without a download. Easy to make harder: `noise`, `variation`, `dropped_joints`, `dropped_frames`.
#[derive(Clone, Debug, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct ProceduralConfig {
    /// Seed of subjects and motions, independent of the run's seed, so that runs share one dataset. Default: 0.
    pub seed: u64,
    /// Samples of each class; `1 ..= 10000`. Default: 48 (ours).
    pub samples_per_class: usize,
    /// Subjects, who take turns; every third is a test subject. `3 ..= 1000`. Default: 12 (ours).
    pub subjects: usize,
    /// Persons in a sequence, 1 or 2; with 2, one sample in eight shows a bystander too. Default: 1.
    pub persons: usize,
    /// Standard deviation of the sensor's error at a trunk joint 3 m away, in metres; it grows with the square of the
    /// distance and doubles at hands and feet. `0 ..= 0.2`. Default: 0.025 (ours), a poor
    /// Kinect v2.
    pub noise: f64,
    /// How much people, takes and viewpoints differ; 0 is one way of doing each action, seen from the front, `0 ..= 2`,
    /// no unit. Default: 1 (ours).
    pub variation: f64,
    /// Share of joints that are lost, for some frames at a time and most at hands and feet; `0 ..= 0.4`.
    /// Default: 0.03 (ours).
    pub dropped_joints: f64,
    /// Share of frames in which the body is lost; `0 ..= 0.5`. Default: 0.01 (ours).
    pub dropped_frames: f64,
    /// Seen and unseen classes: `name` is one of `24_6_seed0`, `24_6_seed1`, `24_6_seed2` (or what a `file` holds);
    /// or `random`, or lists. Default: `24_6_seed0`.
    pub split: SplitConfig,
}

impl Default for ProceduralConfig {
    fn default() -> Self {
        Self {
            seed: 0,
            samples_per_class: 48,
            subjects: 12,
            persons: 1,
            noise: 0.025,
            variation: 1.0,
            dropped_joints: 0.03,
            dropped_frames: 0.01,
            split: SplitConfig::named("24_6_seed0"),
        }
    }
}

fn within<T: PartialOrd + std::fmt::Display>(
    problems: &mut Problems,
    field: &str,
    value: T,
    range: RangeInclusive<T>,
) {
    problems.check(range.contains(&value), field, || {
        format!(
            "must be between {} and {}, got {value}",
            range.start(),
            range.end()
        )
    });
}

#[typetag::serde(name = "procedural")]
impl DatasetConfig for ProceduralConfig {
    fn validate(&self, problems: &mut Problems) {
        within(problems, "samples_per_class", self.samples_per_class, 1..=10_000);
        within(problems, "subjects", self.subjects, 3..=1000);
        within(problems, "persons", self.persons, 1..=2);
        within(problems, "noise", self.noise, 0.0..=0.2);
        within(problems, "variation", self.variation, 0.0..=2.0);
        within(problems, "dropped_joints", self.dropped_joints, 0.0..=0.4);
        within(problems, "dropped_frames", self.dropped_frames, 0.0..=0.5);
        problems.scoped("split", |p| self.judge_split(p));
    }

    fn layout(&self) -> Option<(Arc<SkeletonLayout>, i64)> {
        let layout = layouts::by_name("ntu25").ok()?;
        Some((layout, i64::try_from(self.persons).ok()?))
    }

    fn build(&self, _: &BuildContext) -> Result<Box<dyn Dataset>> {
        let mut problems = Problems::new();
        self.validate(&mut problems);
        problems.into_result()?;
        Ok(Box::new(Procedural::new(self)?))
    }
}

impl ProceduralConfig {
    fn judge_split(&self, problems: &mut Problems) {
        self.split.validate(problems);
        let name = &self.split.name;
        if self.split.file.is_none() && !name.is_empty() && splits::named(name).is_none() {
            let message = format!("unknown split `{name}` of the procedural set");
            let known = splits::names();
            let hint = error::nearest(name, known.iter().copied()).map_or_else(
                || format!("known splits: {}", known.join(", ")),
                |near| format!("did you mean `{near}`?"),
            );
            problems.add_with_hint("name", message, hint);
        }
        if let Some(random) = &self.split.random {
            problems.check(random.unseen < NAMES.len(), "random.unseen", || {
                format!(
                    "must leave one of the {} classes seen, got {}",
                    NAMES.len(),
                    random.unseen
                )
            });
        }
    }
}

inventory::submit! {
    ComponentInfo::new::<ProceduralConfig>(
        ComponentKind::Dataset,
        "procedural",
        "Thirty classes of computed motions on the NTU skeleton, generated on the fly.",
        "",
    )
}
