//! Options of `shift-gcn`.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use szar_core::component::InputSpec;
use szar_core::{
    BuildContext, ComponentInfo, ComponentKind, EncoderConfig, EncoderSpec, FilePath, Precision, Problems,
    Result, SkeletonEncoder,
};

use super::encoder::ShiftGcn;
use crate::encoders::gcn::{Persons, Stream, ten_block_spec};
use crate::nn::classifier::TrainConfig;

/// How displacements in time are trained.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum ShiftGrad {
    /// As the published code does: of every gradient only its sign counts, times 0.01 (0.0001 where it is 0).
    #[default]
    Sign,
    /// The gradient itself.
    True,
}

/// Options of the `shift-gcn` encoder.
#[derive(Clone, Debug, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct ShiftGcnConfig {
    /// Channels of the first blocks, `1 ..`; later ones have twice and four times as many. Default 16, ours: it trains
    /// in minutes on a CPU; the paper's is 64.
    pub base_channels: i64,
    /// How displacements in time are trained: `sign` (default, as published) or `true`.
    pub shift_grad: ShiftGrad,
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

impl Default for ShiftGcnConfig {
    fn default() -> Self {
        Self {
            base_channels: 16,
            shift_grad: ShiftGrad::Sign,
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

#[typetag::serde(name = "shift-gcn")]
impl EncoderConfig for ShiftGcnConfig {
    fn validate(&self, problems: &mut Problems) {
        let base = self.base_channels;
        problems.check((1..=16384).contains(&base), "base_channels", || {
            format!("must be between 1 and 16384, got {base}")
        });
        problems.scoped("train", |p| self.train.validate(p));
    }

    fn spec(&self, input: &InputSpec) -> EncoderSpec {
        ten_block_spec(self.base_channels, input)
    }

    fn weights(&self) -> Option<&std::path::Path> {
        self.weights.as_ref().map(AsRef::as_ref)
    }

    fn prepared(&self) -> Option<&str> {
        self.prepared.as_deref()
    }

    fn build(&self, input: &InputSpec, ctx: &BuildContext) -> Result<Box<dyn SkeletonEncoder>> {
        Ok(Box::new(ShiftGcn::new(self, input, ctx.device)?))
    }
}

inventory::submit! {
    ComponentInfo::new::<ShiftGcnConfig>(
        ComponentKind::Encoder,
        "shift-gcn",
        "Shifts of channels between joints and between frames, with products over channels, trained on the seen classes.",
        "Cheng et al.: Skeleton-Based Action Recognition with Shift Graph Convolutional Network, CVPR 2020",
    )
}
