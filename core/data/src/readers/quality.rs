//! What is wrong with a sequence: the flags of the neutral format, read or worked out.

use std::collections::BTreeMap;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::recorded::Recording;

/// Flag bits of a sequence, as the neutral format stores them.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Flags(pub(crate) i64);

impl Flags {
    /// Nothing usable is left: fewer than two frames with a body.
    pub(crate) const UNUSABLE: i64 = 1;
    /// Has frames or joints that were not tracked.
    pub(crate) const MISSING: i64 = 2;
    /// The same values, bit for bit, as an earlier sequence.
    pub(crate) const DUPLICATE: i64 = 4;
    /// Bone lengths jump.
    pub(crate) const UNSTABLE: i64 = 8;
    /// Fewer than 8 frames with a body.
    pub(crate) const SHORT: i64 = 16;
    /// The label is in doubt.
    pub(crate) const DOUBTFUL: i64 = 32;
    /// All bits with a meaning.
    pub(crate) const ALL: i64 = 63;

    pub(crate) fn add(&mut self, bits: i64) {
        self.0 |= bits;
    }

    pub(crate) fn has(self, bits: i64) -> bool {
        self.0 & bits != 0
    }

    /// True unless unusable or one of the excluded kinds.
    pub(crate) fn usable(self, exclude: &[Exclusion]) -> bool {
        let out = exclude.iter().fold(Self::UNUSABLE, |bits, e| bits | e.bit());
        !self.has(out)
    }
}

/// A flaw that keeps a sequence out of training and test. Sequences with fewer than two frames always stay out.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum Exclusion {
    /// Frames or joints were not tracked.
    Missing,
    /// The same values, bit for bit, as an earlier sequence.
    Duplicate,
    /// Bone lengths jump in more than a fifth of the frames.
    Unstable,
    /// Fewer than 8 frames with a body.
    Short,
    /// The same values stand under two classes.
    Doubtful,
}

impl Exclusion {
    fn bit(self) -> i64 {
        match self {
            Self::Missing => Flags::MISSING,
            Self::Duplicate => Flags::DUPLICATE,
            Self::Unstable => Flags::UNSTABLE,
            Self::Short => Flags::SHORT,
            Self::Doubtful => Flags::DOUBTFUL,
        }
    }
}

/// A bone is off when it differs from the median by more than this many medians ...
const LARGEST_DEVIATION: f64 = 2.0;
/// ... of at least this length (metres), and a sequence is unstable when this part of its frames has one.
const LEAST_BONE: f64 = 0.05;
const UNSTABLE_PART: f64 = 0.2;

/// Works the flags out from the joints `[F, V, 3]` of one person; adds to those already set.
pub(crate) fn assess(recordings: &mut [Recording], values: &[f32], joints: usize, bones: &[(usize, usize)]) {
    let width = joints * 3;
    let mut rest = values;
    let sequences: Vec<&[f32]> = recordings
        .iter()
        .map(|r| {
            let (own, tail) = rest.split_at((r.frames * width).min(rest.len()));
            rest = tail;
            own
        })
        .collect();
    let lengths: Vec<Vec<Vec<f64>>> = sequences.iter().map(|s| bone_lengths(s, width, bones)).collect();
    let medians = medians(&lengths, bones.len());
    for ((recording, sequence), lengths) in recordings.iter_mut().zip(&sequences).zip(&lengths) {
        let flags = &mut recording.flags;
        if sequence
            .chunks_exact(3)
            .any(|joint| joint.iter().all(|v| *v == 0.0))
        {
            flags.add(Flags::MISSING);
        }
        if lengths.len() < 8 {
            flags.add(Flags::SHORT);
        }
        if lengths.len() < 2 {
            flags.add(Flags::UNUSABLE);
        }
        let off = |frame: &&Vec<f64>| {
            let deviation = |(length, median): (&f64, &f64)| (length - median).abs() / median.max(LEAST_BONE);
            frame
                .iter()
                .zip(&medians)
                .map(deviation)
                .any(|d| d > LARGEST_DEVIATION)
        };
        let count = lengths.iter().filter(off).count();
        if !lengths.is_empty() && count as f64 > UNSTABLE_PART * lengths.len() as f64 {
            flags.add(Flags::UNSTABLE);
        }
    }
    mark_duplicates(recordings, &sequences);
}

/// Per tracked frame (not all zero) the length of every bone.
fn bone_lengths(sequence: &[f32], width: usize, bones: &[(usize, usize)]) -> Vec<Vec<f64>> {
    let tracked = sequence
        .chunks_exact(width)
        .filter(|f| f.iter().any(|v| *v != 0.0));
    let length = |frame: &[f32], (a, b): (usize, usize)| {
        let square = |axis| (f64::from(frame[a * 3 + axis]) - f64::from(frame[b * 3 + axis])).powi(2);
        (0..3).map(square).sum::<f64>().sqrt()
    };
    tracked
        .map(|frame| bones.iter().map(|b| length(frame, *b)).collect())
        .collect()
}

fn medians(lengths: &[Vec<Vec<f64>>], bones: usize) -> Vec<f64> {
    let median = |bone: usize| {
        let mut all: Vec<f64> = lengths.iter().flatten().map(|frame| frame[bone]).collect();
        all.sort_by(f64::total_cmp);
        match all.len() {
            0 => 0.0,
            n if n % 2 == 1 => all[n / 2],
            n => (all[n / 2 - 1] + all[n / 2]) / 2.0,
        }
    };
    (0..bones).map(median).collect()
}

fn mark_duplicates(recordings: &mut [Recording], sequences: &[&[f32]]) {
    let mut first: BTreeMap<Vec<u32>, usize> = BTreeMap::new();
    for (i, sequence) in sequences.iter().enumerate() {
        let key = sequence.iter().map(|v| v.to_bits()).collect();
        let earlier = *first.entry(key).or_insert(i);
        if earlier == i {
            continue;
        }
        recordings[i].flags.add(Flags::DUPLICATE);
        if recordings[earlier].class != recordings[i].class {
            recordings[i].flags.add(Flags::DOUBTFUL);
            recordings[earlier].flags.add(Flags::DOUBTFUL);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use szar_core::{ClassId, SampleRole};

    fn recording(class: i64, frames: usize) -> Recording {
        Recording {
            name: String::new(),
            class: ClassId(class),
            subject: None,
            role: SampleRole::Train,
            flags: Flags::default(),
            frames,
        }
    }

    #[test]
    fn flaws_are_found() {
        // Two joints 1 m apart: ten good frames; the same under another class; one frame; ten with jumps and a gap.
        let frame = |length: f32| [1.0, 1.0, 1.0, 1.0, 1.0 + length, 1.0];
        let good: Vec<f32> = (0..10).flat_map(|_| frame(1.0)).collect();
        let jumpy = (0..10).flat_map(|t| match t {
            0 => [0.0; 6],
            1..4 => frame(9.0),
            _ => frame(1.0),
        });
        let mut recordings = [
            recording(0, 10),
            recording(1, 10),
            recording(0, 1),
            recording(0, 10),
        ];
        let values: Vec<f32> = [good.clone(), good, frame(1.0).to_vec(), jumpy.collect()].concat();
        assess(&mut recordings, &values, 2, &[(1, 0)]);
        let flags = recordings.map(|r| r.flags.0);
        assert_eq!(flags, [32, 4 + 32, 1 + 16, 2 + 8]);
    }

    #[test]
    fn unusable_sequences_stay_out_whatever_is_excluded() {
        assert!(!Flags(1).usable(&[]));
        assert!(Flags(16).usable(&[Exclusion::Doubtful]));
        assert!(!Flags(16).usable(&[Exclusion::Short]));
    }
}
