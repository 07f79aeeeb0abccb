//! What is in a dataset, and what is wrong with it: counts, lengths, coordinates, and the sequences that
//! would trouble a training.
//!
//! Every sequence is read once, on all cores; only counts are kept of it.

mod classes;
mod facts;

use std::collections::{BTreeMap, BTreeSet};

use rayon::prelude::*;
use serde::Serialize;
use szar_core::{Cancel, Dataset, Progress, Result};

pub use classes::{ClassCount, Counts, Imbalance};
pub use facts::{Flaw, Range};

use facts::Facts;

/// Sequences that are read between two looks at the user's wish to stop.
const CHUNK: usize = 256;

/// From where on something counts as a problem; the values are ours.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
pub struct Limits {
    /// Fewest frames.
    pub frames: usize,
    /// Greatest distance of a joint from the origin.
    pub metres: f64,
    /// Greatest share of frames without a tracked joint, `0 ..= 1`.
    pub empty_frames: f64,
    /// Greatest share of untracked joints of persons who are there, `0 ..= 1`.
    pub untracked_joints: f64,
    /// Greatest ratio of the largest class to the smallest.
    pub imbalance: f64,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            frames: 8,
            metres: 20.0,
            empty_frames: 0.1,
            untracked_joints: 0.1,
            imbalance: 10.0,
        }
    }
}

/// The skeleton in short.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct LayoutSummary {
    /// Name by which configurations call it.
    pub name: String,
    /// V.
    pub joints: usize,
    /// Bones.
    pub bones: usize,
}

/// Smallest, middle, average and largest of a quantity.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
pub struct Spread {
    /// Smallest.
    pub min: f64,
    /// Half are below; between the two middle ones for an even number.
    pub median: f64,
    /// Average.
    pub mean: f64,
    /// Largest.
    pub max: f64,
}

impl Spread {
    fn of(mut values: Vec<f64>) -> Option<Self> {
        values.sort_by(f64::total_cmp);
        let (n, last) = (values.len(), *values.last()?);
        Some(Self {
            min: values[0],
            median: f64::midpoint(values[(n - 1) / 2], values[n / 2]),
            mean: values.iter().sum::<f64>() / n as f64,
            max: last,
        })
    }
}

/// Where the subjects are.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Subjects {
    /// Different subject numbers.
    pub count: usize,
    /// Those with usable sequences both in the training and in the test part; under cross-subject protocols none.
    pub in_train_and_test: Vec<i64>,
    /// Sequences whose subject is not known.
    pub unknown: usize,
}

/// A sequence with what is wrong with it.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct FlawedSequence {
    /// Number in the dataset, from 0.
    pub number: usize,
    /// Name in the source.
    pub name: String,
    /// Name of its class.
    pub class: String,
    /// False when it is left out of training and test anyway.
    pub usable: bool,
    /// At least one.
    pub flaws: Vec<Flaw>,
}

/// Sequences with the same values, bit for bit.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Duplicates {
    /// Their names, in the order of the source.
    pub sequences: Vec<String>,
    /// Their classes; more than one contradict each other.
    pub classes: Vec<String>,
    /// True when the training part holds what the test part asks for.
    pub in_train_and_test: bool,
}

/// Everything that was found.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Inspection {
    /// Name of the dataset.
    pub name: String,
    /// A sentence for data that is not recorded from people.
    pub synthetic: Option<String>,
    /// The skeleton.
    pub layout: LayoutSummary,
    /// M, persons at most.
    pub persons: usize,
    /// Sequences by role.
    pub sequences: Counts,
    /// Sequences that could be read; what follows is of these.
    pub read: usize,
    /// Sequences by class and role.
    pub classes: Vec<ClassCount>,
    /// Who moves.
    pub subjects: Subjects,
    /// Lengths in frames.
    pub frames: Option<Spread>,
    /// Lengths in seconds, where the frame rate is known.
    pub seconds: Option<Spread>,
    /// Lowest and highest frame rate, frames per second.
    pub fps: Option<Range>,
    /// Sequences by the number of persons seen in them.
    pub persons_seen: BTreeMap<usize, usize>,
    /// Coordinates x, y, z of tracked joints, metres.
    pub ranges: Option<[Range; 3]>,
    /// Frames without a tracked joint, as a share of all frames, `0 ..= 1`.
    pub empty_frames: f64,
    /// Untracked joints of persons who are there, as a share of their joints, `0 ..= 1`.
    pub untracked_joints: f64,
    /// From where on something is a problem.
    pub limits: Limits,
    /// Sequences with a problem.
    pub flawed: Vec<FlawedSequence>,
    /// Groups of equal sequences.
    pub duplicates: Vec<Duplicates>,
    /// Classes without a usable sequence.
    pub classes_without_sequence: Vec<String>,
    /// The largest and the smallest class, when they are too far apart.
    pub imbalance: Option<Imbalance>,
}

impl Inspection {
    /// Reads every sequence. One that cannot be read is a problem among the others, not an error.
    ///
    /// # Errors
    /// [`szar_core::Error::Cancelled`].
    pub fn of(dataset: &dyn Dataset, progress: &dyn Progress, cancel: &Cancel) -> Result<Self> {
        let limits = Limits::default();
        let facts = read(dataset, &limits, progress, cancel)?;
        Ok(Self::summary(dataset, &facts, limits))
    }

    fn summary(dataset: &dyn Dataset, facts: &[Result<Facts, String>], limits: Limits) -> Self {
        let info = dataset.info();
        let read: Vec<&Facts> = facts.iter().flatten().collect();
        let classes = classes::count(dataset);
        let sum = |of: fn(&Facts) -> u64| read.iter().map(|f| of(f)).sum::<u64>();
        let frames = sum(|f| f.frames as u64);
        let share = |part: u64, all: u64| if all == 0 { 0.0 } else { part as f64 / all as f64 };
        let mut persons_seen = BTreeMap::new();
        for facts in &read {
            *persons_seen.entry(facts.persons).or_default() += 1;
        }
        let join = |a: [Range; 3], b: [Range; 3]| std::array::from_fn(|i| a[i].with(b[i]));
        let rates = read.iter().filter(|f| f.seconds().is_some());
        let rates = rates.map(|f| Range {
            min: f.fps,
            max: f.fps,
        });
        Self {
            name: info.name.clone(),
            synthetic: info.synthetic.clone(),
            layout: LayoutSummary {
                name: info.layout.name.clone(),
                joints: info.layout.len(),
                bones: info.layout.bones.len(),
            },
            persons: info.persons,
            sequences: classes::total(dataset),
            read: read.len(),
            subjects: subjects(dataset),
            frames: Spread::of(read.iter().map(|f| f.frames as f64).collect()),
            seconds: Spread::of(read.iter().filter_map(|f| f.seconds()).collect()),
            fps: rates.reduce(Range::with),
            persons_seen,
            ranges: read.iter().filter_map(|f| f.ranges()).reduce(join),
            empty_frames: share(sum(|f| f.empty_frames), frames),
            untracked_joints: share(sum(|f| f.untracked), sum(|f| f.joints)),
            limits,
            flawed: flawed(dataset, facts, &limits),
            duplicates: duplicates(dataset, facts),
            classes_without_sequence: classes::without(&classes),
            imbalance: classes::imbalance(&classes, limits.imbalance),
            classes,
        }
    }

    /// Is there nothing to complain of?
    pub fn is_clean(&self) -> bool {
        self.flawed.is_empty()
            && self.duplicates.is_empty()
            && self.classes_without_sequence.is_empty()
            && self.imbalance.is_none()
    }
}

/// Facts of every sequence, or why there are none.
fn read(
    dataset: &dyn Dataset,
    limits: &Limits,
    progress: &dyn Progress,
    cancel: &Cancel,
) -> Result<Vec<Result<Facts, String>>> {
    let joints = dataset.info().layout.len();
    let numbers: Vec<usize> = (0..dataset.samples().len()).collect();
    let one = |sample: &usize| {
        let sequence = dataset.load(*sample);
        let facts = sequence.and_then(|s| Facts::of(&s, joints, limits));
        facts.map_err(|e| e.to_string())
    };
    progress.begin("sequences", numbers.len() as u64);
    let mut all = Vec::with_capacity(numbers.len());
    for chunk in numbers.chunks(CHUNK) {
        if let Err(stopped) = cancel.check() {
            progress.end();
            return Err(stopped);
        }
        all.par_extend(chunk.par_iter().map(one));
        progress.advance(all.len() as u64, "");
    }
    progress.end();
    Ok(all)
}

fn subjects(dataset: &dyn Dataset) -> Subjects {
    use szar_core::SampleRole::{Test, Train};
    let all = dataset.samples();
    let of = |role| {
        let chosen = all.iter().filter(move |s| s.usable && s.role == role);
        chosen.filter_map(|s| s.subject).collect::<BTreeSet<i64>>()
    };
    let known: BTreeSet<i64> = all.iter().filter_map(|s| s.subject).collect();
    Subjects {
        count: known.len(),
        in_train_and_test: of(Train).intersection(&of(Test)).copied().collect(),
        unknown: all.iter().filter(|s| s.subject.is_none()).count(),
    }
}

fn flawed(dataset: &dyn Dataset, facts: &[Result<Facts, String>], limits: &Limits) -> Vec<FlawedSequence> {
    let of = |(number, facts): (usize, &Result<Facts, String>)| {
        let flaws = match facts {
            Ok(facts) => facts.flaws(limits),
            Err(error) => vec![Flaw::Unreadable { error: error.clone() }],
        };
        let info = &dataset.samples()[number];
        (!flaws.is_empty()).then(|| FlawedSequence {
            number,
            name: info.name.clone(),
            class: classes::name(dataset, info.class),
            usable: info.usable,
            flaws,
        })
    };
    facts.iter().enumerate().filter_map(of).collect()
}

fn duplicates(dataset: &dyn Dataset, facts: &[Result<Facts, String>]) -> Vec<Duplicates> {
    use szar_core::SampleRole::{Test, Train};
    let mut groups: BTreeMap<u128, Vec<usize>> = BTreeMap::new();
    for (number, facts) in facts.iter().enumerate() {
        if let Some(hash) = facts.as_ref().ok().and_then(|f| f.hash) {
            groups.entry(hash).or_default().push(number);
        }
    }
    let mut groups: Vec<_> = groups.into_values().filter(|g| g.len() > 1).collect();
    groups.sort(); // by the first sequence, not by hash
    let describe = |group: Vec<usize>| {
        let infos: Vec<_> = group.iter().map(|i| &dataset.samples()[*i]).collect();
        let classes: BTreeSet<_> = infos.iter().map(|i| i.class).collect();
        let part = |role| infos.iter().any(|i| i.usable && i.role == role);
        Duplicates {
            sequences: infos.iter().map(|i| i.name.clone()).collect(),
            classes: classes.into_iter().map(|c| classes::name(dataset, c)).collect(),
            in_train_and_test: part(Train) && part(Test),
        }
    };
    groups.into_iter().map(describe).collect()
}

#[cfg(test)]
mod tests;
