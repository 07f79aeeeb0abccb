//! The steps of the `standard` preprocessor on a sequence with a mask of who is there.

use szar_core::{Error, Result, Sequence, SkeletonLayout};

use super::Centre;

/// Metres between the shoulders, seen from above, below which the direction of the body is not known.
const LEAST_WIDTH: f32 = 0.05;

/// A sequence being worked on.
pub(super) struct Clip {
    /// `[T, M, V, 3]`.
    pub(super) joints: Vec<f32>,
    pub(super) frames: usize,
    pub(super) persons: usize,
    /// V.
    pub(super) width: usize,
    /// `[T, M]`: is the person there in the frame?
    pub(super) present: Vec<bool>,
}

impl Clip {
    pub(super) fn new(sequence: &Sequence, layout: &SkeletonLayout) -> Self {
        let rows = sequence.joints.chunks_exact(layout.len() * 3);
        Self {
            present: rows.map(|row| row.iter().any(|v| *v != 0.0)).collect(),
            joints: sequence.joints.clone(),
            frames: sequence.frames,
            persons: sequence.persons,
            width: layout.len(),
        }
    }

    /// Joints of a person in a frame, `[V, 3]`.
    pub(super) fn row(&self, frame: usize, person: usize) -> &[[f32; 3]] {
        let at = (frame * self.persons + person) * self.width * 3;
        self.joints[at..at + self.width * 3].as_chunks().0
    }

    pub(super) fn is_present(&self, frame: usize, person: usize) -> bool {
        self.present[frame * self.persons + person]
    }

    /// Person 0, or where that is nowhere the first person that is somewhere.
    pub(super) fn leading_person(&self) -> Result<usize> {
        let somewhere = |person: &usize| (0..self.frames).any(|frame| self.is_present(frame, *person));
        let found = (0..self.persons).find(somewhere);
        found.ok_or_else(|| Error::Input("no frame has a tracked body: all joints are zero".into()))
    }

    /// Changes every joint of every person that is there.
    pub(super) fn map(&mut self, change: impl Fn([f32; 3]) -> [f32; 3]) {
        let rows = self.joints.chunks_exact_mut(self.width * 3).zip(&self.present);
        for (row, _) in rows.filter(|(_, present)| **present) {
            for joint in row.as_chunks_mut::<3>().0 {
                *joint = change(*joint);
            }
        }
    }

    /// T frames by linear interpolation; a person there in only one of two frames is taken from the nearer frame.
    pub(super) fn resample(&mut self, frames: usize) -> usize {
        let (size, last) = (self.width * 3, self.frames - 1);
        let step = if frames > 1 {
            last as f64 / (frames - 1) as f64
        } else {
            0.0
        };
        let mut joints = Vec::with_capacity(frames * self.persons * size);
        let mut present = Vec::with_capacity(frames * self.persons);
        for frame in 0..frames {
            let moment = (frame as f64 * step).min(last as f64);
            let (before, share) = (moment as usize, moment.fract() as f32);
            let after = (before + 1).min(last);
            for person in 0..self.persons {
                let (a, b) = (self.row(before, person), self.row(after, person));
                let (there, next) = (self.is_present(before, person), self.is_present(after, person));
                let share = if there && next { share } else { share.round() };
                let mixed = a.as_flattened().iter().zip(b.as_flattened());
                joints.extend(mixed.map(|(a, b)| if share == 0.0 { *a } else { a + (b - a) * share }));
                present.push(if share < 0.5 { there } else { next });
            }
        }
        (self.joints, self.present, self.frames) = (joints, present, frames);
        frames
    }

    /// The middle T frames, or zeros at the end; returns the frames that carry data.
    pub(super) fn crop_or_pad(&mut self, frames: usize) -> usize {
        let start = self.frames.saturating_sub(frames) / 2;
        let kept = self.frames.min(frames);
        let size = self.persons * self.width * 3;
        self.joints.drain(..start * size);
        self.joints.resize(frames * size, 0.0);
        self.present.drain(..start * self.persons);
        self.present.resize(frames * self.persons, false);
        self.frames = frames;
        kept
    }

    /// The first frame that has the person, if any.
    pub(super) fn first_frame(&self, person: usize) -> Option<usize> {
        (0..self.frames).find(|frame| self.is_present(*frame, person))
    }

    pub(super) fn centre(&mut self, centre: Centre, person: usize, layout: &SkeletonLayout) {
        let Some(first) = self.first_frame(person) else {
            return;
        };
        let origin = match centre {
            Centre::None => return,
            Centre::SpineEachFrame => return self.centre_each_frame(person, layout.spine),
            Centre::SpineFirstFrame => self.row(first, person)[layout.spine],
            Centre::FirstFrameMean => mean(self.row(first, person)),
        };
        self.map(|joint| std::array::from_fn(|axis| joint[axis] - origin[axis]));
    }

    /// Moves every frame by its own spine; where the person is away, by the last one known.
    pub(super) fn centre_each_frame(&mut self, person: usize, spine: usize) {
        let mut origin = self
            .first_frame(person)
            .map_or([0.0; 3], |first| self.row(first, person)[spine]);
        for frame in 0..self.frames {
            if self.is_present(frame, person) {
                origin = self.row(frame, person)[spine];
            }
            for other in (0..self.persons).filter(|p| self.present[frame * self.persons + p]) {
                let at = (frame * self.persons + other) * self.width * 3;
                let row = &mut self.joints[at..at + self.width * 3];
                for joint in row.as_chunks_mut::<3>().0 {
                    *joint = std::array::from_fn(|axis| joint[axis] - origin[axis]);
                }
            }
        }
    }

    /// Turns all about y so that the shoulders of the first frame lie along +x; leaves a body seen from the side
    /// of its shoulders (one above the other) as it is.
    pub(super) fn face_camera(&mut self, person: usize, layout: &SkeletonLayout) {
        let Some(first) = self.first_frame(person) else {
            return;
        };
        let (left, right) = layout.shoulders;
        let row = self.row(first, person);
        let (x, z) = (row[right][0] - row[left][0], row[right][2] - row[left][2]);
        let width = x.hypot(z);
        if width < LEAST_WIDTH {
            return;
        }
        let (cos, sin) = (x / width, z / width);
        self.map(|[x, y, z]| [cos * x + sin * z, y, cos * z - sin * x]);
    }

    pub(super) fn scale_torso(&mut self, person: usize, layout: &SkeletonLayout) -> Result<()> {
        let torso = layout.part("torso")?;
        let bones: Vec<_> = layout
            .bones
            .iter()
            .filter(|(a, b)| torso.contains(a) && torso.contains(b))
            .collect();
        let (mut sum, mut count) = (0.0f64, 0usize);
        for frame in (0..self.frames).filter(|f| self.is_present(*f, person)) {
            let row = self.row(frame, person);
            let square = |a: usize, b: usize, axis: usize| f64::from(row[a][axis] - row[b][axis]).powi(2);
            let length =
                |(a, b): &(usize, usize)| (0..3).map(|axis| square(*a, *b, axis)).sum::<f64>().sqrt();
            sum += bones.iter().map(|bone| length(bone)).sum::<f64>();
            count += bones.len();
        }
        if count == 0 || sum <= 0.0 {
            let name = &layout.name;
            return Err(Error::Input(format!(
                "the bones of the torso (layout `{name}`) have no length to scale by"
            )));
        }
        let factor = (count as f64 / sum) as f32;
        self.map(|joint| joint.map(|v| v * factor));
        Ok(())
    }
}

pub(super) fn mean(joints: &[[f32; 3]]) -> [f32; 3] {
    let sum = |axis: usize| joints.iter().map(|j| f64::from(j[axis])).sum::<f64>();
    std::array::from_fn(|axis| (sum(axis) / joints.len() as f64) as f32)
}
