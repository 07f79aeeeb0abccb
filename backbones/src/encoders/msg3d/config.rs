//! Options of `msg3d`.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use szar_core::component::InputSpec;
use szar_core::{
    BuildContext, ComponentInfo, ComponentKind, EncoderConfig, EncoderSpec, FilePath, Precision, Problems,
    Result, SkeletonEncoder,
};

use super::encoder::MsG3d;
use super::temporal::BRANCHES;
use crate::encoders::gcn::{Persons, Stream, ten_block_spec};
use crate::nn::classifier::TrainConfig;

/// Options of the `msg3d` encoder.
#[derive(Clone, Debug, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct MsG3dConfig {
    /// Channels of the first block, a multiple of 6; later ones have twice and four times as many. Default 24, ours: it
    /// trains in minutes on a CPU; the paper's is 96.
    pub base_channels: i64,
    /// K within a frame, `1 ..`: distances 0 to K - 1, in bones. Default: the paper's 13 (NTU RGB+D).
    pub gcn_scales: usize,
    /// K within windows of frames, `1 ..`. Default: the paper's 6 (NTU RGB+D).
    pub g3d_scales: usize,
    /// What of the motion is read: `joint` (default), `bone`, `joint-motion` or `bone-motion`.
    pub stream: Stream,
    /// Persons that count: `all` (default, as published) or `present`.
    pub persons: Persons,
    /// Arithmetic of the products while features are computed: `f32` (default), `bf16` or `auto`.
    pub inference: Precision,
    /// Fold normalisations into the products before them while features are computed: faster, equal up to rounding. Default: true.
    pub fold: bool,
    /// State dict with the official names (`.safetensors`, `.pt`, `.pth`, `.pth.tar`, `.ckpt`, or a folder); `null` (default) to train on the seen classes.
    pub weights: Option<FilePath>,
    /// How the sequences were prepared that `weights` were trained on, a type of `preprocess`; needed where the file does not say so, as only szar's do. Default: `null`.
    pub prepared: Option<String>,
    /// How it is trained.
    pub train: TrainConfig,
}

impl Default for MsG3dConfig {
    fn default() -> Self {
        Self {
            base_channels: 24,
            gcn_scales: 13,
            g3d_scales: 6,
            stream: Stream::Joint,
            persons: Persons::All,
            inference: Precision::F32,
            fold: true,
            weights: None,
            prepared: None,
            train: TrainConfig::default(),
        }
    }
}

#[typetag::serde(name = "msg3d")]
impl EncoderConfig for MsG3dConfig {
    fn validate(&self, problems: &mut Problems) {
        let base = self.base_channels;
        problems.check(
            (1..=16384).contains(&base) && base % BRANCHES == 0,
            "base_channels",
            || format!("must be a multiple of {BRANCHES} between {BRANCHES} and 16380, got {base}"),
        );
        for (field, value) in [("gcn_scales", self.gcn_scales), ("g3d_scales", self.g3d_scales)] {
            problems.check((1..=64).contains(&value), field, || {
                format!("must be between 1 and 64, got {value}")
            });
        }
        problems.scoped("train", |p| self.train.validate(p));
    }

    fn spec(&self, input: &InputSpec) -> EncoderSpec {
        // Three blocks, but as wide and as short as ten.
        ten_block_spec(self.base_channels, input)
    }

    fn weights(&self) -> Option<&std::path::Path> {
        self.weights.as_ref().map(AsRef::as_ref)
    }

    fn prepared(&self) -> Option<&str> {
        self.prepared.as_deref()
    }

    fn build(&self, input: &InputSpec, ctx: &BuildContext) -> Result<Box<dyn SkeletonEncoder>> {
        Ok(Box::new(MsG3d::new(self, input, ctx.device)?))
    }
}

inventory::submit! {
    ComponentInfo::new::<MsG3dConfig>(
        ComponentKind::Encoder,
        "msg3d",
        "Graph convolutions at many distances, within frames and across windows of frames, trained on the seen classes.",
        "Liu et al.: Disentangling and Unifying Graph Convolutions for Skeleton-Based Action Recognition, CVPR 2020",
    )
}
