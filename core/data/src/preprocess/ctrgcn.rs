//! `ctrgcn`: one origin for the sequence, a centre crop, and a linear resize to T frames; the preparation of CTR-GCN,
//! which STAR and Neuron share.
//!
//! Source: Chen et al., "Channel-wise topology refinement graph convolution for skeleton-based action recognition",
//! ICCV 2021, and Uason-Chen/CTR-GCN. Its two actors are chosen by `bodies: ctr-gcn` of `ntu-rgbd`. What its loader
//! does in testing is meant; in training it draws the crop, which is an augmentation.
//!
//! 1. The spine of person 0 in the first frame that has one is subtracted from everybody in every frame. With two
//!    persons or more, one who is away stays 0; the empty frames of a single one do not.
//! 2. Of the first L frames, L being the number of frames that are not empty, `floor((1 - crop) L / 2)` are cut off
//!    at either end.
//! 3. The rest is interpolated linearly to T frames, frame centres onto frame centres (half-pixel rule).

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use szar_core::{
    ComponentInfo, ComponentKind, Error, PreprocessorConfig, Problems, Result, Sequence, SkeletonLayout,
};

use super::resize::resize;
use super::turn::{about_axes, turned};
use super::{check, check_frames};

/// Options of the `ctrgcn` preprocessor.
#[derive(Clone, Debug, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct CtrgcnConfig {
    /// T, frames of every sequence afterwards; at least 1. Default (CTR-GCN): 64.
    pub frames: usize,
    /// Share of the frames that the centre crop keeps; `0.01 ..= 1`. Default (CTR-GCN in testing): 0.95.
    pub crop: f64,
    /// Turn about x, y and z, in radians, one after the other. CTR-GCN draws each from -0.3 to 0.3 in training.
    /// Default (CTR-GCN in testing): 0.
    pub turn: [f32; 3],
}

impl Default for CtrgcnConfig {
    fn default() -> Self {
        Self {
            frames: 64,
            crop: 0.95,
            turn: [0.0; 3],
        }
    }
}

#[typetag::serde(name = "ctrgcn")]
impl PreprocessorConfig for CtrgcnConfig {
    fn validate(&self, problems: &mut Problems) {
        check_frames(self.frames, problems);
        problems.check((0.01..=1.0).contains(&self.crop), "crop", || {
            format!("must be between 0.01 and 1, got {}", self.crop)
        });
        problems.check(self.turn.iter().all(|angle| angle.is_finite()), "turn", || {
            format!("must be three angles in radians, got {:?}", self.turn)
        });
    }

    fn frames(&self) -> i64 {
        i64::try_from(self.frames).unwrap_or(i64::MAX)
    }

    fn apply(&self, sequence: &Sequence, layout: &SkeletonLayout) -> Result<(Sequence, usize)> {
        check(sequence, layout)?;
        let mut moved = sequence.clone();
        translate(&mut moved, layout)?;
        let size = moved.joints.len() / moved.frames;
        let cropped = centre_crop(&moved.joints, size, valid_frames(&moved), self.crop);
        let mut joints = resize(cropped, size, self.frames);
        if self.turn != [0.0; 3] {
            turn(&mut joints, self.turn);
        }
        let out = Sequence {
            joints,
            frames: self.frames,
            ..moved
        };
        Ok((out, self.frames))
    }
}

inventory::submit! {
    ComponentInfo::new::<CtrgcnConfig>(
        ComponentKind::Preprocessor,
        "ctrgcn",
        "Moves to one origin, crops the centre and resizes, as CTR-GCN, STAR and Neuron do.",
        "Chen et al., ICCV 2021",
    )
}

/// Step 1.
///
/// # Errors
/// When nobody is anywhere.
pub(crate) fn translate(sequence: &mut Sequence, layout: &SkeletonLayout) -> Result<()> {
    let (persons, size) = (sequence.persons, layout.len());
    let joints = sequence.joints.as_chunks_mut::<3>().0;
    let there: Vec<bool> = joints
        .chunks_exact(size)
        .map(|row| row.iter().any(|joint| *joint != [0.0; 3]))
        .collect();
    let somewhere = |person: &usize| there.iter().skip(*person).step_by(persons).any(|there| *there);
    let present: Vec<usize> = (0..persons).filter(somewhere).collect();
    let leader = present.first().copied();
    let first = leader.and_then(|p| (p..there.len()).step_by(persons).find(|row| there[*row]));
    let (Some(leader), Some(first)) = (leader, first) else {
        return Err(Error::Input(
            "no frame has a tracked body: all joints are zero".into(),
        ));
    };
    let origin = joints[first * size + layout.spine];
    for (at, row) in joints.chunks_exact_mut(size).enumerate() {
        let alone = present.len() == 1 && at % persons == leader;
        if there[at] || alone {
            for joint in row {
                *joint = std::array::from_fn(|axis| joint[axis] - origin[axis]);
            }
        }
    }
    Ok(())
}

/// L: frames that are not empty.
pub(crate) fn valid_frames(sequence: &Sequence) -> usize {
    let frames = sequence
        .joints
        .chunks_exact(sequence.joints.len() / sequence.frames);
    frames.filter(|frame| frame.iter().any(|v| *v != 0.0)).count()
}

/// Step 2: the middle of the first `valid` frames of `size` numbers each; at least one frame.
pub(crate) fn centre_crop(frames: &[f32], size: usize, valid: usize, share: f64) -> &[f32] {
    let valid = valid.clamp(1, frames.len() / size);
    let bias = (((1.0 - share) * valid as f64 / 2.0) as usize).min((valid - 1) / 2);
    &frames[bias * size..(valid - bias) * size]
}

/// Turns every joint about x, then y, then z.
pub(crate) fn turn(joints: &mut [f32], angles: [f32; 3]) {
    let matrix = about_axes(angles);
    for joint in joints.as_chunks_mut::<3>().0 {
        *joint = turned(&matrix, *joint);
    }
}
