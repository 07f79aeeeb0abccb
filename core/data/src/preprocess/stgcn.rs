//! `stgcn`: zeros after the last frame and nothing else, the preparation of ST-GCN.
//!
//! Source: Yan, Xiong, Lin, "Spatial temporal graph convolutional networks for skeleton-based action recognition",
//! AAAI 2018, and yysijie/st-gcn. Its bodies are the first two of each frame (`bodies: first` of `ntu-rgbd`).

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use szar_core::{
    ComponentInfo, ComponentKind, PreprocessorConfig, Problems, Result, Sequence, SkeletonLayout,
};

use super::{check, check_frames};

/// Options of the `stgcn` preprocessor.
#[derive(Clone, Debug, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct StgcnConfig {
    /// T, frames of every sequence afterwards; at least 1. Of longer sequences the first T are kept. Default
    /// (ST-GCN): 300.
    pub frames: usize,
}

impl Default for StgcnConfig {
    fn default() -> Self {
        Self { frames: 300 }
    }
}

#[typetag::serde(name = "stgcn")]
impl PreprocessorConfig for StgcnConfig {
    fn validate(&self, problems: &mut Problems) {
        check_frames(self.frames, problems);
    }

    fn frames(&self) -> i64 {
        i64::try_from(self.frames).unwrap_or(i64::MAX)
    }

    fn apply(&self, sequence: &Sequence, layout: &SkeletonLayout) -> Result<(Sequence, usize)> {
        check(sequence, layout)?;
        Ok((padded(sequence, self.frames), sequence.frames.min(self.frames)))
    }
}

inventory::submit! {
    ComponentInfo::new::<StgcnConfig>(
        ComponentKind::Preprocessor,
        "stgcn",
        "Pads with zero frames, as ST-GCN does: no centring, no turning.",
        "Yan, Xiong, Lin, AAAI 2018",
    )
}

/// The first `frames` frames, with zeros behind a shorter sequence.
pub(super) fn padded(sequence: &Sequence, frames: usize) -> Sequence {
    let size = sequence.joints.len() / sequence.frames;
    let mut joints = sequence.joints[..sequence.frames.min(frames) * size].to_vec();
    joints.resize(frames * size, 0.0);
    Sequence {
        joints,
        frames,
        persons: sequence.persons,
        fps: sequence.fps,
    }
}
