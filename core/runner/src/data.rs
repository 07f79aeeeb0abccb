//! Which samples are trained on, validated on and tested on; read and preprocessed once.

use rand::seq::SliceRandom;
use szar_core::config::Pipeline;
use szar_core::{Cancel, ClassId, ClassSplit, Dataset, Error, Progress, Result, SampleRole, Seed};
use szar_data::store::{SkeletonStore, Spill};

use crate::run::cache_dir;

mod training;

pub use training::{SeenPart, TrainingData};

/// Bytes of prepared sequences that are held in memory; more are held in a file of the cache folder.
const IN_MEMORY: u64 = 1 << 28;

/// Numbers of samples by use.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Partition {
    /// Seen classes, training part, to learn from.
    pub train: Vec<usize>,
    /// Seen classes, training part, to choose on.
    pub validation: Vec<usize>,
    /// Seen classes, test part.
    pub seen_test: Vec<usize>,
    /// Unseen classes, all samples.
    pub unseen_test: Vec<usize>,
    /// Unusable, outside the protocol, or of classes outside the split.
    pub left_out: usize,
}

impl Partition {
    /// Sorts the samples by class and role; a random `fraction` of the training part becomes validation.
    ///
    /// # Errors
    /// [`Error::Input`] when there is nothing to train on or nothing to test on.
    pub fn new(dataset: &dyn Dataset, split: &ClassSplit, fraction: f64, seed: Seed) -> Result<Self> {
        let mut this = Self::default();
        for (i, sample) in dataset.samples().iter().enumerate() {
            let seen = split.seen().column(sample.class).is_some();
            let unseen = split.unseen().column(sample.class).is_some();
            match sample.role {
                SampleRole::Train if seen && sample.usable => this.train.push(i),
                SampleRole::Test if seen && sample.usable => this.seen_test.push(i),
                SampleRole::Train | SampleRole::Test if unseen && sample.usable => this.unseen_test.push(i),
                _ => this.left_out += 1,
            }
        }
        this.train.shuffle(&mut seed.derive("validation", 0).rng());
        let held = (this.train.len() as f64 * fraction).round() as usize;
        this.validation = this.train.split_off(this.train.len() - held);
        this.train.sort_unstable();
        this.validation.sort_unstable();
        let name = &dataset.info().name;
        for (part, what) in [(&this.train, "training"), (&this.unseen_test, "unseen")] {
            if part.is_empty() {
                return Err(Error::Input(format!(
                    "dataset `{name}`, split `{}`: no {what} sample is left",
                    split.name()
                )));
            }
        }
        Ok(this)
    }

    /// Every sample that is used, in order: train, validation, seen test, unseen test.
    pub fn all(&self) -> Vec<usize> {
        [&self.train, &self.validation, &self.seen_test, &self.unseen_test]
            .into_iter()
            .flatten()
            .copied()
            .collect()
    }
}

/// A run's data, read.
pub struct Data {
    /// The opened dataset.
    pub dataset: Box<dyn Dataset>,
    /// Seen and unseen classes.
    pub split: ClassSplit,
    /// Uses of the samples.
    pub partition: Partition,
    /// All used sequences, in the order of [`Partition::all`]; `None` where the dataset brings features in their place.
    pub store: Option<SkeletonStore>,
}

impl Data {
    /// Opens the dataset, splits it and reads every sequence that is used.
    ///
    /// # Errors
    /// When the dataset, the split or a sequence is wrong.
    pub fn read(
        pipeline: &Pipeline,
        dataset: Box<dyn Dataset>,
        progress: &dyn Progress,
        cancel: &Cancel,
    ) -> Result<Self> {
        let split = dataset.split()?;
        let partition = Partition::new(
            dataset.as_ref(),
            &split,
            pipeline.validation.fraction,
            Seed(pipeline.seed),
        )?;
        let load = || {
            SkeletonStore::load_within(
                dataset.as_ref(),
                pipeline.preprocess.as_ref(),
                &partition.all(),
                Some(&spill("sequences")),
                progress,
                cancel,
            )
        };
        let store = dataset.features().is_none().then(load).transpose()?;
        Ok(Self {
            dataset,
            split,
            partition,
            store,
        })
    }

    /// Samples that are used.
    pub fn used(&self) -> usize {
        self.rows(Part::UnseenTest).end
    }

    /// M, persons at most.
    pub fn persons(&self) -> usize {
        let info = self.dataset.info();
        self.store.as_ref().map_or(info.persons, SkeletonStore::persons)
    }

    /// The sequences.
    ///
    /// # Errors
    /// [`Error::Input`] when the dataset brings features in their place.
    pub fn skeletons(&self) -> Result<&SkeletonStore> {
        self.store.as_ref().ok_or_else(|| {
            let name = &self.dataset.info().name;
            Error::Input(format!(
                "dataset `{name}` brings features in place of skeletons: there is nothing to encode"
            ))
        })
    }

    /// Names of samples.
    pub fn names(&self, samples: &[usize]) -> Vec<&str> {
        let all = self.dataset.samples();
        samples.iter().map(|s| all[*s].name.as_str()).collect()
    }

    /// Class of a sample.
    pub fn class(&self, sample: usize) -> ClassId {
        self.dataset.samples()[sample].class
    }

    /// Rows of the store that hold a part of the partition.
    pub fn rows(&self, part: Part) -> std::ops::Range<usize> {
        let sizes = [
            self.partition.train.len(),
            self.partition.validation.len(),
            self.partition.seen_test.len(),
            self.partition.unseen_test.len(),
        ];
        let start = sizes[..part as usize].iter().sum();
        start..start + sizes[part as usize]
    }

    /// Sample numbers of a part.
    pub fn samples(&self, part: Part) -> &[usize] {
        match part {
            Part::Train => &self.partition.train,
            Part::Validation => &self.partition.validation,
            Part::SeenTest => &self.partition.seen_test,
            Part::UnseenTest => &self.partition.unseen_test,
        }
    }

    /// Class of the sample in a row of the store. Panics beyond the last row.
    pub fn class_of(&self, row: usize) -> ClassId {
        let p = &self.partition;
        let mut at = row;
        for part in [&p.train, &p.validation, &p.seen_test] {
            match part.get(at) {
                Some(sample) => return self.class(*sample),
                None => at -= part.len(),
            }
        }
        self.class(p.unseen_test[at])
    }
}

/// Where prepared data of this kind goes that is too much for the memory.
pub(crate) fn spill(kind: &str) -> Spill {
    Spill {
        folder: cache_dir().join(kind),
        above: IN_MEMORY,
    }
}

/// A part of the partition.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Part {
    /// To learn from.
    Train = 0,
    /// To choose on.
    Validation = 1,
    /// Seen classes, tested.
    SeenTest = 2,
    /// Unseen classes, tested.
    UnseenTest = 3,
}
