//! `aimclr`: each body around its own upper spine, resized to T frames and turned to the front in every frame; the
//! preparation of AimCLR, SMIE and of PKU-MMD in STAR and Neuron.
//!
//! Source: Guo et al., "Contrastive learning from extremely augmented skeleton sequences for self-supervised action
//! recognition", AAAI 2022, as SMIE uses it. Its bodies are the first two of each frame.
//!
//! 1. In every frame each person is moved so that the centre joint of the layout (NTU: joint 20) is the origin.
//! 2. The frames that have person 0 are interpolated linearly to T frames (half-pixel rule).
//! 3. In every frame each person is turned about y by the angle between the line v from left to right shoulder and
//!    the x axis, `arccos(v_x / (|v_xz| + 1e-4))`, towards the side on which the sum of `v_z` over all frames lies.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use szar_core::{
    ComponentInfo, ComponentKind, Error, PreprocessorConfig, Problems, Result, Sequence, SkeletonLayout,
};

use super::resize::resize;
use super::{check, check_frames};

/// Keeps the angle of a line without length finite; AimCLR's.
const LEAST: f64 = 1.0e-4;

/// Options of the `aimclr` preprocessor.
#[derive(Clone, Debug, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct AimclrConfig {
    /// T, frames of every sequence afterwards; at least 1. Default (AimCLR, SMIE): 50; Neuron takes 64 for PKU-MMD.
    pub frames: usize,
}

impl Default for AimclrConfig {
    fn default() -> Self {
        Self { frames: 50 }
    }
}

#[typetag::serde(name = "aimclr")]
impl PreprocessorConfig for AimclrConfig {
    fn validate(&self, problems: &mut Problems) {
        check_frames(self.frames, problems);
    }

    fn frames(&self) -> i64 {
        i64::try_from(self.frames).unwrap_or(i64::MAX)
    }

    fn apply(&self, sequence: &Sequence, layout: &SkeletonLayout) -> Result<(Sequence, usize)> {
        check(sequence, layout)?;
        let (persons, size) = (sequence.persons, layout.len());
        let mut kept = with_first_person(sequence, size)?;
        for body in kept.as_chunks_mut::<3>().0.chunks_exact_mut(size) {
            let origin = body[layout.centre];
            let there = body.iter().any(|joint| *joint != [0.0; 3]);
            for joint in body.iter_mut().filter(|_| there) {
                *joint = std::array::from_fn(|axis| joint[axis] - origin[axis]);
            }
        }
        let mut joints = resize(&kept, persons * size * 3, self.frames);
        for person in 0..persons {
            face_front(joints.as_chunks_mut().0, person, persons, layout);
        }
        let out = Sequence {
            joints,
            frames: self.frames,
            persons,
            fps: sequence.fps,
        };
        Ok((out, self.frames))
    }
}

inventory::submit! {
    ComponentInfo::new::<AimclrConfig>(
        ComponentKind::Preprocessor,
        "aimclr",
        "Centres each body, resizes, and turns each frame to the front, as AimCLR and SMIE do.",
        "Guo et al., AAAI 2022",
    )
}

/// The frames in which person 0 is there.
fn with_first_person(sequence: &Sequence, size: usize) -> Result<Vec<f32>> {
    let frames = sequence.joints.chunks_exact(sequence.persons * size * 3);
    let there = frames.filter(|frame| frame[..size * 3].iter().any(|v| *v != 0.0));
    let kept: Vec<f32> = there.flatten().copied().collect();
    if kept.is_empty() {
        return Err(Error::Input(
            "no frame has person 0, whose frames `aimclr` keeps: all its joints are zero".into(),
        ));
    }
    Ok(kept)
}

/// Step 3 for one person.
fn face_front(joints: &mut [[f32; 3]], person: usize, persons: usize, layout: &SkeletonLayout) {
    let (left, right) = layout.shoulders;
    let line = |row: &[[f32; 3]]| [0, 2].map(|axis| f64::from(row[right][axis]) - f64::from(row[left][axis]));
    let rows = || joints.chunks_exact(layout.len()).skip(person).step_by(persons);
    let side = if rows().map(|row| line(row)[1]).sum::<f64>() >= 0.0 {
        1.0
    } else {
        -1.0
    };
    let own = joints
        .chunks_exact_mut(layout.len())
        .skip(person)
        .step_by(persons);
    for row in own {
        let [x, z] = line(row);
        let cos = x / (x.hypot(z) + LEAST);
        let sin = side * (1.0 - cos * cos).max(0.0).sqrt();
        for joint in row {
            let [x, y, z] = *joint;
            let (x, z) = (f64::from(x), f64::from(z));
            *joint = [(cos * x + sin * z) as f32, y, (cos * z - sin * x) as f32];
        }
    }
}
