//! Sequences by class and role.

use std::collections::BTreeMap;

use serde::Serialize;
use szar_core::{ClassId, Dataset, SampleInfo, SampleRole};

/// Sequences by what they may be used for.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Counts {
    /// Of the training part.
    pub train: usize,
    /// Of the test part.
    pub test: usize,
    /// In neither part of the protocol.
    pub outside: usize,
    /// Flagged by the source, whatever the part.
    pub unusable: usize,
}

impl Counts {
    fn add(&mut self, sample: &SampleInfo) {
        let slot = match sample.role {
            _ if !sample.usable => &mut self.unusable,
            SampleRole::Train => &mut self.train,
            SampleRole::Test => &mut self.test,
            SampleRole::Outside => &mut self.outside,
        };
        *slot += 1;
    }

    /// All but the unusable ones.
    pub fn usable(&self) -> usize {
        self.train + self.test + self.outside
    }

    /// All.
    pub fn total(&self) -> usize {
        self.usable() + self.unusable
    }
}

/// Sequences of one class.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct ClassCount {
    /// Number of the class in the dataset.
    pub id: i64,
    /// Its name.
    pub name: String,
    /// Its sequences.
    #[serde(flatten)]
    pub counts: Counts,
}

/// The largest and the smallest class, by usable sequences.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Imbalance {
    /// Name of the largest class.
    pub largest: String,
    /// Its usable sequences.
    pub largest_sequences: usize,
    /// Name of the smallest class that has any.
    pub smallest: String,
    /// Its usable sequences.
    pub smallest_sequences: usize,
    /// The first count through the second.
    pub ratio: f64,
}

/// Name of a class, or its number when the dataset does not name it.
pub(super) fn name(dataset: &dyn Dataset, class: ClassId) -> String {
    let known = dataset.info().classes.name(class);
    known.map_or_else(|| format!("class {class}"), str::to_owned)
}

/// All sequences by role.
pub(super) fn total(dataset: &dyn Dataset) -> Counts {
    let mut counts = Counts::default();
    dataset.samples().iter().for_each(|sample| counts.add(sample));
    counts
}

/// Classes in ascending number; also those that the dataset does not name but has sequences of.
pub(super) fn count(dataset: &dyn Dataset) -> Vec<ClassCount> {
    let named = dataset.info().classes.ids().iter();
    let mut by: BTreeMap<ClassId, Counts> = named.map(|id| (*id, Counts::default())).collect();
    for sample in dataset.samples() {
        by.entry(sample.class).or_default().add(sample);
    }
    let describe = |(id, counts): (ClassId, Counts)| ClassCount {
        id: id.0,
        name: name(dataset, id),
        counts,
    };
    by.into_iter().map(describe).collect()
}

/// Names of classes that cannot be trained or tested on.
pub(super) fn without(classes: &[ClassCount]) -> Vec<String> {
    let none = classes.iter().filter(|c| c.counts.usable() == 0);
    none.map(|c| c.name.clone()).collect()
}

/// The extremes, when they are at least `limit` apart; of equal ones the first.
pub(super) fn imbalance(classes: &[ClassCount], limit: f64) -> Option<Imbalance> {
    let size = |c: &&ClassCount| c.counts.usable();
    let smallest = classes.iter().filter(|c| size(c) > 0).min_by_key(size)?;
    let largest = classes.iter().rev().max_by_key(size)?;
    let ratio = size(&largest) as f64 / size(&smallest) as f64;
    (ratio >= limit).then(|| Imbalance {
        largest: largest.name.clone(),
        largest_sequences: size(&largest),
        smallest: smallest.name.clone(),
        smallest_sequences: size(&smallest),
        ratio,
    })
}
