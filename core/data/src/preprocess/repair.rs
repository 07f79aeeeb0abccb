//! What was not tracked: empty frames and single joints at the origin.

use super::clip::{Clip, mean};

/// Metres from the rest of the body beyond which a joint at the origin was not tracked. In camera coordinates a
/// body is at least 0.5 m away (the nearest a Kinect sees); in centred data a joint may truly be at the origin.
const FAR: f32 = 1.0;

impl Clip {
    fn is_empty_frame(&self, frame: usize) -> bool {
        (0..self.persons).all(|person| !self.is_present(frame, person))
    }

    /// Removes the frames in which nobody is; keeps one where nobody ever is.
    pub(super) fn drop_empty_frames(&mut self) {
        let kept: Vec<usize> = (0..self.frames)
            .filter(|frame| !self.is_empty_frame(*frame))
            .collect();
        if kept.len() == self.frames || kept.is_empty() {
            return;
        }
        let size = self.persons * self.width * 3;
        self.joints = kept
            .iter()
            .flat_map(|f| &self.joints[f * size..(f + 1) * size])
            .copied()
            .collect();
        let persons = self.persons;
        self.present = kept
            .iter()
            .flat_map(|f| &self.present[f * persons..(f + 1) * persons])
            .copied()
            .collect();
        self.frames = kept.len();
    }

    /// Fills the frames in which nobody is, person by person, from those around them that are not empty.
    pub(super) fn fill_empty_frames(&mut self) {
        let full: Vec<usize> = (0..self.frames)
            .filter(|frame| !self.is_empty_frame(*frame))
            .collect();
        for frame in (0..self.frames).filter(|f| full.binary_search(f).is_err()) {
            for person in 0..self.persons {
                let known = |f: &usize| self.present[f * self.persons + person];
                let Some((from, to, share)) = around(&full, frame, known) else {
                    continue;
                };
                for joint in 0..self.width {
                    self.mix(frame, person, joint, (from, to, share));
                }
                self.present[frame * self.persons + person] = true;
            }
        }
    }

    /// Fills joints that were not tracked while the rest of the body was, from the frames around that have them.
    pub(super) fn fill_untracked_joints(&mut self) {
        for person in 0..self.persons {
            for joint in 0..self.width {
                let gone: Vec<bool> = (0..self.frames)
                    .map(|f| self.is_untracked(f, person, joint))
                    .collect();
                if !gone.contains(&true) {
                    continue;
                }
                let known: Vec<usize> = (0..self.frames)
                    .filter(|f| !gone[*f] && self.is_present(*f, person))
                    .collect();
                for frame in (0..self.frames).filter(|f| gone[*f]) {
                    if let Some(mix) = around(&known, frame, |_| true) {
                        self.mix(frame, person, joint, mix);
                    }
                }
            }
        }
    }

    fn is_untracked(&self, frame: usize, person: usize, joint: usize) -> bool {
        let row = self.row(frame, person);
        if row[joint] != [0.0; 3] || !self.is_present(frame, person) {
            return false;
        }
        let tracked: Vec<_> = row.iter().filter(|j| **j != [0.0; 3]).copied().collect();
        mean(&tracked).iter().map(|v| v * v).sum::<f32>().sqrt() > FAR
    }

    /// Sets a joint to a mixture of itself in two frames.
    fn mix(&mut self, frame: usize, person: usize, joint: usize, (from, to, share): (usize, usize, f32)) {
        let (a, b) = (self.row(from, person)[joint], self.row(to, person)[joint]);
        let at = ((frame * self.persons + person) * self.width + joint) * 3;
        for axis in 0..3 {
            self.joints[at + axis] = a[axis] + (b[axis] - a[axis]) * share;
        }
    }
}

/// The nearest known frames before and after, and how near the later one is (0 to 1); at the ends one of them twice.
fn around(frames: &[usize], frame: usize, known: impl Fn(&usize) -> bool) -> Option<(usize, usize, f32)> {
    let before = frames.iter().copied().rfind(|f| *f < frame && known(f));
    let after = frames.iter().copied().find(|f| *f > frame && known(f));
    let (from, to) = (before.or(after)?, after.or(before)?);
    let share = if from == to {
        0.0
    } else {
        (frame - from) as f32 / (to - from) as f32
    };
    Some((from, to, share))
}
