//! The preprocessors: the four published preparations `stgcn`, `agcn`, `ctrgcn` and `aimclr`, and our own `standard`.
//!
//! `standard`: resampling, centring, turning and scaling of a skeleton sequence, each of which can be left out.
//!
//! In this order: frames without a body are dropped or filled, single untracked joints filled, the sequence brought
//! to T frames, moved, turned about y, scaled. A person that is not there in a frame stays exactly 0. Ours; the
//! defaults are those of the baseline measurements on the combined Kinect and motion-capture set.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use szar_core::{
    ComponentInfo, ComponentKind, Error, PreprocessorConfig, Problems, Result, Sequence, SkeletonLayout,
};

mod agcn;
mod aimclr;
mod clip;
pub(crate) mod ctrgcn;
mod repair;
pub(crate) mod resize;
mod stgcn;
pub(crate) mod turn;

pub use agcn::AgcnConfig;
pub use aimclr::AimclrConfig;
use clip::Clip;
pub use ctrgcn::CtrgcnConfig;
pub use stgcn::StgcnConfig;

/// How a sequence gets T frames.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum Resample {
    /// Linear interpolation at T moments from the first to the last frame.
    Linear,
    /// Zeros after the last frame; of a longer sequence the middle T frames.
    Pad,
}

/// Where the origin goes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum Centre {
    /// The mean joint of the first frame.
    FirstFrameMean,
    /// The spine joint of the first frame.
    SpineFirstFrame,
    /// The spine joint of every frame, which removes the path of the body.
    SpineEachFrame,
    /// Nowhere: positions stay as recorded.
    None,
}

/// How the body is turned about the vertical axis.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum Rotate {
    /// Not at all.
    None,
    /// The line from left to right shoulder in the first frame points along +x (it faces -z, the camera).
    FaceCamera,
}

/// How sizes of bodies are made alike.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum Scale {
    /// Not at all: metres.
    None,
    /// Divided by the mean length of the bones within the torso over all frames.
    Torso,
}

/// What happens to frames in which nobody was tracked (all joints zero).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum Missing {
    /// They are removed, before resampling.
    Drop,
    /// They are interpolated between their neighbours in time; at the ends the nearest frame is repeated.
    Fill,
    /// They stay, as zeros.
    Keep,
}

/// Options of the `standard` preprocessor.
#[derive(Clone, Debug, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct StandardConfig {
    /// T, frames of every sequence afterwards; at least 1. Default (ours): 48.
    pub frames: usize,
    /// How a sequence gets T frames. Default (ours): `linear`.
    pub resample: Resample,
    /// Where the origin goes, by person 0. Default (ours): `first-frame-mean`.
    pub centre: Centre,
    /// How the body is turned, by person 0. Default (ours): `none`.
    pub rotate: Rotate,
    /// How sizes are made alike, by person 0. Default (ours): `none`.
    pub scale: Scale,
    /// What happens to frames without a body. Default (ours): `drop`.
    pub missing: Missing,
}

impl Default for StandardConfig {
    fn default() -> Self {
        Self {
            frames: 48,
            resample: Resample::Linear,
            centre: Centre::FirstFrameMean,
            rotate: Rotate::None,
            scale: Scale::None,
            missing: Missing::Drop,
        }
    }
}

/// Most frames a sequence may be resampled to.
const MOST_FRAMES: usize = 10_000;

#[typetag::serde(name = "standard")]
impl PreprocessorConfig for StandardConfig {
    fn validate(&self, problems: &mut Problems) {
        check_frames(self.frames, problems);
    }

    fn frames(&self) -> i64 {
        i64::try_from(self.frames).unwrap_or(i64::MAX)
    }

    fn apply(&self, sequence: &Sequence, layout: &SkeletonLayout) -> Result<(Sequence, usize)> {
        check(sequence, layout)?;
        let mut clip = Clip::new(sequence, layout);
        match self.missing {
            Missing::Drop => clip.drop_empty_frames(),
            Missing::Fill => clip.fill_empty_frames(),
            Missing::Keep => {}
        }
        let person = clip.leading_person()?;
        clip.fill_untracked_joints();
        let valid = match self.resample {
            Resample::Linear => clip.resample(self.frames),
            Resample::Pad => clip.crop_or_pad(self.frames),
        };
        clip.centre(self.centre, person, layout);
        if self.rotate == Rotate::FaceCamera {
            clip.face_camera(person, layout);
        }
        if self.scale == Scale::Torso {
            clip.scale_torso(person, layout)?;
        }
        let out = Sequence {
            joints: clip.joints,
            frames: clip.frames,
            persons: sequence.persons,
            fps: sequence.fps,
        };
        Ok((out, valid))
    }
}

inventory::submit! {
    ComponentInfo::new::<StandardConfig>(
        ComponentKind::Preprocessor,
        "standard",
        "Resamples, centres and optionally turns and scales a sequence.",
        "",
    )
}

/// Judges the option `frames`.
fn check_frames(frames: usize, problems: &mut Problems) {
    problems.check((1..=MOST_FRAMES).contains(&frames), "frames", || {
        format!("must be between 1 and {MOST_FRAMES}, got {frames}")
    });
}

/// Refuses what cannot be preprocessed.
fn check(sequence: &Sequence, layout: &SkeletonLayout) -> Result<()> {
    let Sequence { frames, persons, .. } = *sequence;
    let expected = frames
        .checked_mul(persons)
        .and_then(|n| n.checked_mul(layout.len() * 3));
    if expected != Some(sequence.joints.len()) || sequence.joints.is_empty() {
        return Err(Error::Input(format!(
            "a sequence of {frames} frames and {persons} persons has {} numbers, expected {} for the {} joints of \
             layout `{}`",
            sequence.joints.len(),
            expected.map_or("another count".into(), |n| n.to_string()),
            layout.len(),
            layout.name
        )));
    }
    if let Some(at) = sequence.joints.iter().position(|v| !v.is_finite()) {
        let (row, joint) = (at / 3 / layout.len(), at / 3 % layout.len());
        return Err(Error::Input(format!(
            "frame {}, person {}, joint `{}` is {}, expected a number",
            row / persons,
            row % persons,
            layout.joints[joint],
            sequence.joints[at]
        )));
    }
    Ok(())
}

#[cfg(test)]
#[path = "preprocess/published_tests.rs"]
mod published_tests;
#[cfg(test)]
mod tests;
