//! Two actors out of all tracking ids: the denoising of the CTR-GCN pipeline.
//!
//! Source: Uason-Chen/CTR-GCN (after microsoft/SGN), preparation of NTU RGB+D. Its rules, oddities included:
//!
//! 1. Frames without a body are dropped. A body's frames are counted on from its first one without gaps, so that of
//!    a body that leaves and returns the later frames slide forward.
//! 2. With two or more bodies, those of at most [`Denoising::length`] frames go; then those that are wider than
//!    [`Denoising::spread`] times their height in a share of at least [`Denoising::spread_ratio`] of their frames
//!    (furniture, mostly), but never the last one left.
//! 3. The body that moves most (variance of x, y and z over all frames and joints) is actor 1. Each further one, by
//!    motion, continues whichever actor it does not overlap with, actor 1 before actor 2; else it is left out.
//! 4. With two or more bodies at the start, frames in which both actors are empty are dropped.
//!
//! Ours: where every body is too short, none is dropped for its length (the original fails).

use std::collections::BTreeMap;

use super::bodies::{Persons, variances};
use super::parse::{JOINTS, Raw};

/// Thresholds of the denoising.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct Denoising {
    /// Bodies of at most this many frames are noise.
    pub(crate) length: usize,
    /// A frame is wide when the body is wider than this many times its height.
    pub(crate) spread: f64,
    /// Bodies with at least this share of wide frames are noise.
    pub(crate) spread_ratio: f64,
}

impl Default for Denoising {
    /// CTR-GCN's.
    fn default() -> Self {
        Self {
            length: 11,
            spread: 0.8,
            spread_ratio: 0.69754,
        }
    }
}

/// What one tracking id left behind.
#[derive(Clone, Debug)]
pub(crate) struct Track {
    /// First frame, among those with a body.
    start: usize,
    /// Its joints, 25 a frame, frame after frame.
    joints: Vec<[f32; 3]>,
    /// Sum of the variances of x, y and z.
    pub(crate) motion: f64,
}

impl Track {
    /// Frames it has.
    pub(crate) fn frames(&self) -> usize {
        self.joints.len() / JOINTS
    }

    /// The frames from its first to its last, as one interval.
    fn interval(&self) -> Interval {
        Interval(self.start, self.start + self.frames() - 1)
    }

    fn is_wide(&self, how: &Denoising) -> bool {
        let wide = |row: &[[f32; 3]]| {
            let extent = |axis: usize| {
                let values = row.iter().map(|joint| joint[axis]);
                let (low, high) = values.fold((f32::MAX, f32::MIN), |(l, h), v| (l.min(v), h.max(v)));
                high - low
            };
            extent(0) > how.spread as f32 * extent(1)
        };
        let count = self.joints.chunks_exact(JOINTS).filter(|row| wide(row)).count();
        count as f64 / self.frames() as f64 >= how.spread_ratio
    }
}

/// First and last frame.
#[derive(Clone, Copy)]
struct Interval(usize, usize);

impl Interval {
    /// True when more than one frame is in both.
    fn overlaps(self, other: Self) -> bool {
        self.1.min(other.1) > self.0.max(other.0)
    }

    fn hull(self, other: Self) -> Self {
        Self(self.0.min(other.0), self.1.max(other.1))
    }
}

/// The bodies of a recording by tracking id, in the order in which they appear.
#[derive(Clone, Debug)]
pub(crate) struct Tracks {
    pub(crate) list: Vec<Track>,
    /// Frames with a body.
    pub(crate) frames: usize,
    /// Numbers of the frames without one.
    pub(crate) dropped: Vec<usize>,
}

impl Tracks {
    pub(crate) fn new(raw: &Raw) -> Self {
        let mut list: Vec<Track> = Vec::new();
        let mut places: BTreeMap<u64, usize> = BTreeMap::new();
        let (mut frames, mut dropped) = (0, Vec::new());
        for frame in 0..raw.frames() {
            if raw.frame(frame).is_empty() {
                dropped.push(frame);
                continue;
            }
            for body in raw.frame(frame) {
                let place = *places.entry(raw.id(body)).or_insert(list.len());
                if place == list.len() {
                    list.push(Track {
                        start: frames,
                        joints: Vec::new(),
                        motion: 0.0,
                    });
                }
                list[place].joints.extend_from_slice(raw.joints(body));
            }
            frames += 1;
        }
        for track in &mut list {
            track.motion = variances(track.joints.iter()).iter().sum();
        }
        Self {
            list,
            frames,
            dropped,
        }
    }

    /// One actor or two; nobody gives no frame.
    pub(crate) fn actors(mut self, how: &Denoising) -> Persons {
        match self.list.as_slice() {
            [] => Persons::none(0, 1),
            [only] => {
                let mut out = Persons::none(self.frames, 1);
                place(&mut out, 0, only);
                out
            }
            _ => {
                self.denoise(how);
                let out = self.assign();
                without_empty_frames(&out)
            }
        }
    }

    fn denoise(&mut self, how: &Denoising) {
        let long_enough = |track: &Track| track.frames() > how.length;
        if self.list.iter().any(long_enough) {
            self.list.retain(long_enough);
        }
        let mut left = self.list.len();
        self.list.retain(|track| {
            let noise = left > 1 && track.is_wide(how);
            left -= usize::from(noise);
            !noise
        });
        self.list.sort_by(|a, b| b.motion.total_cmp(&a.motion));
    }

    fn assign(&self) -> Persons {
        let mut out = Persons::none(self.frames, self.list.len().min(2));
        // The original starts actor 2 with frame 0, whatever comes.
        let mut actors = [None, Some(Interval(0, 0))];
        for track in &self.list {
            let own = track.interval();
            let fits = |actor: &Option<Interval>| actor.is_none_or(|held| !held.overlaps(own));
            let Some(actor) = actors.iter().position(fits) else {
                continue;
            };
            place(&mut out, actor, track);
            actors[actor] = Some(actors[actor].map_or(own, |held| held.hull(own)));
        }
        out
    }
}

/// Writes a track's frames over an actor's; those that slid beyond the end are left out.
fn place(out: &mut Persons, actor: usize, track: &Track) {
    let frames = track.start..out.frames();
    for (frame, joints) in frames.zip(track.joints.chunks_exact(JOINTS)) {
        out.row_mut(frame, actor).copy_from_slice(joints);
    }
}

fn without_empty_frames(persons: &Persons) -> Persons {
    let rows = persons.joints.chunks_exact(persons.persons * JOINTS);
    let there = rows.filter(|row| row.iter().any(|joint| *joint != [0.0; 3]));
    Persons {
        joints: there.flatten().copied().collect(),
        persons: persons.persons,
    }
}

#[cfg(test)]
#[path = "actors_tests.rs"]
mod tests;
