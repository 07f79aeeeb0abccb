//! What one sequence says of itself.

use serde::Serialize;
use szar_core::{Error, Result, Sequence};
use xxhash_rust::xxh3::xxh3_128;

use super::Limits;

/// Smallest and largest value of a coordinate, metres.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
pub struct Range {
    /// Smallest.
    pub min: f32,
    /// Largest.
    pub max: f32,
}

impl Range {
    /// Of no value yet.
    const EMPTY: Self = Self {
        min: f32::INFINITY,
        max: f32::NEG_INFINITY,
    };

    fn add(&mut self, value: f32) {
        self.min = self.min.min(value);
        self.max = self.max.max(value);
    }

    /// Both ranges in one.
    pub(super) fn with(self, other: Self) -> Self {
        Self {
            min: self.min.min(other.min),
            max: self.max.max(other.max),
        }
    }
}

/// Something wrong with one sequence.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[serde(tag = "kind", rename_all = "kebab-case")]
pub enum Flaw {
    /// It cannot be read.
    Unreadable {
        /// The reader's message.
        error: String,
    },
    /// Coordinates that are infinite or not a number.
    NotFinite {
        /// How many.
        values: u64,
    },
    /// Frames without any tracked joint; reported above [`Limits::empty_frames`].
    EmptyFrames {
        /// Part of all frames, `0 ..= 1`.
        share: f64,
    },
    /// Joints at (0, 0, 0) of persons who are there; reported above [`Limits::untracked_joints`].
    UntrackedJoints {
        /// Part of the joints of these persons, `0 ..= 1`.
        share: f64,
    },
    /// Fewer frames than [`Limits::frames`].
    Short {
        /// How many it has.
        frames: usize,
    },
    /// Joints beyond [`Limits::metres`] from the origin: most often a wrong unit.
    Far {
        /// How many, over all frames.
        joints: u64,
        /// Distance of the farthest.
        metres: f64,
    },
    /// Frames per second that are no positive number.
    FrameRate {
        /// As given.
        fps: String,
    },
}

impl Flaw {
    /// What it is in a few words.
    pub fn title(&self) -> &'static str {
        match self {
            Self::Unreadable { .. } => "cannot be read",
            Self::NotFinite { .. } => "values not finite",
            Self::EmptyFrames { .. } => "empty frames",
            Self::UntrackedJoints { .. } => "untracked joints",
            Self::Short { .. } => "too short",
            Self::Far { .. } => "far from the origin",
            Self::FrameRate { .. } => "frame rate",
        }
    }

    /// How bad it is, to find the worst of one kind.
    pub fn severity(&self) -> f64 {
        match self {
            Self::Unreadable { .. } | Self::FrameRate { .. } => 1.0,
            Self::NotFinite { values } => *values as f64,
            Self::EmptyFrames { share } | Self::UntrackedJoints { share } => *share,
            Self::Short { frames } => -(*frames as f64),
            Self::Far { metres, .. } => *metres,
        }
    }
}

impl std::fmt::Display for Flaw {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Unreadable { error } => write!(f, "{error}"),
            Self::NotFinite { values } => write!(f, "{values} values"),
            Self::EmptyFrames { share } | Self::UntrackedJoints { share } => {
                write!(f, "{:.1}%", share * 100.0)
            }
            Self::Short { frames } => write!(f, "{frames} frames"),
            Self::Far { joints, metres } => write!(f, "{joints} joints, up to {metres:.0} m"),
            Self::FrameRate { fps } => write!(f, "{fps} frames per second"),
        }
    }
}

/// Counts over one sequence.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Facts {
    pub frames: usize,
    pub fps: f32,
    /// Persons with a tracked joint in any frame.
    pub persons: usize,
    pub ranges: [Range; 3],
    pub empty_frames: u64,
    /// Joints of persons in frames where they are there, and how many of these are untracked.
    pub joints: u64,
    pub untracked: u64,
    not_finite: u64,
    far: u64,
    farthest: f64,
    /// Of shape and values; nothing when no joint is tracked.
    pub hash: Option<u128>,
}

impl Facts {
    /// Goes once over the values.
    ///
    /// # Errors
    /// [`Error::Input`] when their number does not fit frames, persons and `joints`.
    pub fn of(sequence: &Sequence, joints: usize, limits: &Limits) -> Result<Self> {
        let Sequence { frames, persons, .. } = *sequence;
        let expected = persons
            .checked_mul(joints * 3)
            .and_then(|one| frames.checked_mul(one));
        if expected != Some(sequence.joints.len()) {
            return Err(Error::Input(format!(
                "has {} numbers, expected {frames} frames of {persons} persons of {joints} joints",
                sequence.joints.len()
            )));
        }
        let mut facts = Self {
            frames,
            fps: sequence.fps,
            persons: 0,
            ranges: [Range::EMPTY; 3],
            empty_frames: 0,
            joints: 0,
            untracked: 0,
            not_finite: 0,
            far: 0,
            farthest: 0.0,
            hash: None,
        };
        let mut seen = vec![false; persons];
        for frame in sequence.joints.chunks_exact((persons * joints * 3).max(1)) {
            let mut empty = true;
            for (body, seen) in frame.chunks_exact(joints * 3).zip(&mut seen) {
                let here = facts.add(body, limits.metres);
                *seen |= here;
                empty &= !here;
            }
            facts.empty_frames += u64::from(empty);
        }
        if sequence.joints.is_empty() {
            facts.empty_frames = frames as u64;
        }
        facts.persons = seen.iter().filter(|here| **here).count();
        if facts.persons > 0 {
            let values = xxh3_128(bytemuck::cast_slice(&sequence.joints));
            facts.hash = Some(values ^ ((frames as u128) << 64) ^ persons as u128);
        }
        Ok(facts)
    }

    /// Adds one person in one frame, `[V, 3]`; says whether the person is there.
    fn add(&mut self, body: &[f32], limit: f64) -> bool {
        let tracked = |joint: &&[f32]| joint.iter().any(|v| *v != 0.0);
        let count = body.chunks_exact(3).filter(tracked).count();
        if count == 0 {
            return false;
        }
        let all = body.len() / 3;
        self.joints += all as u64;
        self.untracked += (all - count) as u64;
        for joint in body.chunks_exact(3).filter(tracked) {
            let wrong = joint.iter().filter(|v| !v.is_finite()).count();
            self.not_finite += wrong as u64;
            if wrong > 0 {
                continue;
            }
            for (range, value) in self.ranges.iter_mut().zip(joint) {
                range.add(*value);
            }
            let metres = joint.iter().map(|v| f64::from(*v).powi(2)).sum::<f64>().sqrt();
            self.far += u64::from(metres > limit);
            self.farthest = self.farthest.max(metres);
        }
        true
    }

    /// Is there any finite coordinate?
    pub fn ranges(&self) -> Option<[Range; 3]> {
        (self.ranges[0].min <= self.ranges[0].max).then_some(self.ranges)
    }

    /// Length, when the frame rate tells it.
    pub fn seconds(&self) -> Option<f64> {
        let known = self.fps.is_finite() && self.fps > 0.0;
        known.then(|| self.frames as f64 / f64::from(self.fps))
    }

    /// What is wrong.
    pub fn flaws(&self, limits: &Limits) -> Vec<Flaw> {
        let share = |part: u64, all: u64| if all == 0 { 0.0 } else { part as f64 / all as f64 };
        let empty = share(self.empty_frames, self.frames as u64);
        let untracked = share(self.untracked, self.joints);
        let all = [
            (self.not_finite > 0).then_some(Flaw::NotFinite {
                values: self.not_finite,
            }),
            (empty > limits.empty_frames).then_some(Flaw::EmptyFrames { share: empty }),
            (untracked > limits.untracked_joints).then_some(Flaw::UntrackedJoints { share: untracked }),
            (self.frames < limits.frames).then_some(Flaw::Short { frames: self.frames }),
            (self.far > 0).then_some(Flaw::Far {
                joints: self.far,
                metres: self.farthest,
            }),
            self.seconds().is_none().then(|| Flaw::FrameRate {
                fps: self.fps.to_string(),
            }),
        ];
        all.into_iter().flatten().collect()
    }
}
