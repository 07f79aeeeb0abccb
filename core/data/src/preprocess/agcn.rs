//! `agcn`: replayed to T frames, centred in every frame, turned upright and across; the preparation of 2s-AGCN and
//! Shift-GCN.
//!
//! Source: Shi, Zhang, Cheng, Lu, "Two-stream adaptive graph convolutional networks for skeleton-based action
//! recognition", CVPR 2019, and lshiwjx/2s-AGCN. Its bodies are chosen by energy (`bodies: energy` of `ntu-rgbd`).
//!
//! 1. Per person: if the first frame is empty, the frames that are not move to the front; from the first frame on
//!    after which all are empty, the sequence so far is repeated up to T. Empty frames inside stay.
//! 2. The spine of person 0 in the same frame is subtracted from everybody; a joint that was 0 stays 0.
//! 3. By person 0 in frame 0, everything is turned so that hips to spine points along +z,
//! 4. and then so that left to right shoulder points along +x.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use szar_core::{
    ComponentInfo, ComponentKind, Error, PreprocessorConfig, Problems, Result, Sequence, SkeletonLayout,
};

use super::stgcn::padded;
use super::turn::{onto, turned};
use super::{check, check_frames};

/// Options of the `agcn` preprocessor.
#[derive(Clone, Debug, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct AgcnConfig {
    /// T, frames of every sequence afterwards; at least 1. Of longer sequences the first T are kept. Default
    /// (2s-AGCN): 300.
    pub frames: usize,
    /// Joints, from 0, from the first of which to the second the z axis points. Default: hips to spine of the
    /// layout, which for NTU is 2s-AGCN's 0 to 1.
    pub z_axis: Option<[usize; 2]>,
    /// Joints, from 0, from the first of which to the second the x axis points. Default: left to right shoulder of
    /// the layout, which for NTU is 2s-AGCN's 4 to 8.
    pub x_axis: Option<[usize; 2]>,
}

impl Default for AgcnConfig {
    fn default() -> Self {
        Self {
            frames: 300,
            z_axis: None,
            x_axis: None,
        }
    }
}

#[typetag::serde(name = "agcn")]
impl PreprocessorConfig for AgcnConfig {
    fn validate(&self, problems: &mut Problems) {
        check_frames(self.frames, problems);
    }

    fn frames(&self) -> i64 {
        i64::try_from(self.frames).unwrap_or(i64::MAX)
    }

    fn apply(&self, sequence: &Sequence, layout: &SkeletonLayout) -> Result<(Sequence, usize)> {
        check(sequence, layout)?;
        let lines = self.lines(layout)?;
        let mut out = padded(sequence, self.frames);
        let mut body = Bodies {
            joints: out.joints.as_chunks_mut().0,
            persons: out.persons,
            width: layout.len(),
        };
        for person in 0..sequence.persons {
            body.replay(person);
        }
        body.centre(layout.spine);
        for (from, to, axis) in lines {
            body.turn(&from, to, axis);
        }
        Ok((out, self.frames))
    }
}

inventory::submit! {
    ComponentInfo::new::<AgcnConfig>(
        ComponentKind::Preprocessor,
        "agcn",
        "Replays to full length, centres each frame and turns the first one upright, as 2s-AGCN and Shift-GCN do.",
        "Shi, Zhang, Cheng, Lu, CVPR 2019",
    )
}

/// Joints whose middle is the start of a line, the joint at its end, and where it is turned to.
type Line = (Vec<usize>, usize, [f64; 3]);

impl AgcnConfig {
    fn lines(&self, layout: &SkeletonLayout) -> Result<[Line; 2]> {
        let given = |axis: [usize; 2], name: &str| {
            let (most, v) = (axis[0].max(axis[1]), layout.len());
            if most < v {
                return Ok((vec![axis[0]], axis[1]));
            }
            Err(Error::Input(format!(
                "`{name}` of preprocessor `agcn` names joint {most}, layout `{}` has joints 0 to {}",
                layout.name,
                v - 1
            )))
        };
        let (from, to) = match self.z_axis {
            Some(axis) => given(axis, "z_axis")?,
            None => (hips(layout)?, layout.spine),
        };
        let (left, right) = match self.x_axis {
            Some(axis) => given(axis, "x_axis")?,
            None => (vec![layout.shoulders.0], layout.shoulders.1),
        };
        Ok([(from, to, [0.0, 0.0, 1.0]), (left, right, [1.0, 0.0, 0.0])])
    }
}

/// The middle of the hips: the joint that torso and legs share, or where all they share is left and right, those.
fn hips(layout: &SkeletonLayout) -> Result<Vec<usize>> {
    let legs = layout.part("legs")?;
    let torso = layout.part("torso")?;
    let shared: Vec<usize> = torso.iter().copied().filter(|j| legs.contains(j)).collect();
    let sided = |joint: &usize| layout.mirror.iter().any(|(l, r)| l == joint || r == joint);
    if let Some(middle) = shared.iter().find(|j| !sided(j)) {
        return Ok(vec![*middle]);
    }
    if shared.is_empty() {
        return Err(Error::Input(format!(
            "layout `{}` does not tell the hips: no joint is in both torso and legs; give `z_axis` of preprocessor \
             `agcn`",
            layout.name
        )));
    }
    Ok(shared)
}

/// The joints of all persons in T frames, `[T, M, V]`.
struct Bodies<'a> {
    joints: &'a mut [[f32; 3]],
    persons: usize,
    width: usize,
}

impl Bodies<'_> {
    fn frames(&self) -> usize {
        self.joints.len() / (self.persons * self.width)
    }

    fn at(&self, frame: usize, person: usize) -> usize {
        (frame * self.persons + person) * self.width
    }

    fn is_empty(&self, frame: usize, person: usize) -> bool {
        let at = self.at(frame, person);
        self.joints[at..at + self.width]
            .iter()
            .all(|joint| *joint == [0.0; 3])
    }

    fn copy(&mut self, person: usize, from: usize, to: usize) {
        let (from, to) = (self.at(from, person), self.at(to, person));
        self.joints.copy_within(from..from + self.width, to);
    }

    /// Step 1.
    fn replay(&mut self, person: usize) {
        let frames = self.frames();
        if self.is_empty(0, person) {
            let mut kept = 0;
            for frame in 0..frames {
                if !self.is_empty(frame, person) {
                    self.copy(person, frame, kept);
                    kept += 1;
                }
            }
            for frame in kept..frames {
                let at = self.at(frame, person);
                self.joints[at..at + self.width].fill([0.0; 3]);
            }
        }
        let Some(last) = (0..frames).rfind(|frame| !self.is_empty(*frame, person)) else {
            return;
        };
        for frame in last + 1..frames {
            self.copy(person, frame - (last + 1), frame);
        }
    }

    /// Step 2.
    fn centre(&mut self, spine: usize) {
        for row in self.joints.chunks_exact_mut(self.persons * self.width) {
            let origin = row[spine];
            for joint in row.iter_mut().filter(|joint| **joint != [0.0; 3]) {
                *joint = std::array::from_fn(|axis| joint[axis] - origin[axis]);
            }
        }
    }

    /// Steps 3 and 4.
    fn turn(&mut self, from: &[usize], to: usize, axis: [f64; 3]) {
        let line = std::array::from_fn(|axis| {
            let starts = from.iter().map(|joint| self.joints[*joint][axis]);
            f64::from(self.joints[to][axis] - starts.sum::<f32>() / from.len() as f32)
        });
        let matrix = onto(line, axis);
        for joint in self.joints.iter_mut() {
            *joint = turned(&matrix, *joint);
        }
    }
}
