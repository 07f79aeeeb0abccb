//! Options of `st-gcn`.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use szar_core::component::InputSpec;
use szar_core::{
    BuildContext, ComponentInfo, ComponentKind, EncoderConfig, EncoderSpec, FilePath, Precision, Problems,
    Result, SkeletonEncoder,
};

use super::encoder::StGcn;
use super::graph::Strategy;
use super::net::{Plan, output_frames};
use crate::encoders::gcn::{COORDINATES, Persons, Stream};
use crate::nn::classifier::TrainConfig;

/// Which plan of channels.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum Variant {
    /// The paper's ten blocks: 4 of `base_channels`, 3 of twice, 3 of four times as many (64, 128, 256).
    Official,
    /// The smaller plan of SMIE (Zhou et al. 2023): 4 of `base_channels`, 3 of twice, 2 of four times as many, one
    /// of 256 (16, 32, 64, 256). About a tenth of the arithmetic, level with the official plan on small datasets.
    #[default]
    Smie,
}

/// How the network starts.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum Init {
    /// PyTorch's defaults: convolutions uniform within 1 / sqrt(fan in), normalisation weights 1.
    #[default]
    Torch,
    /// The published training script's: convolutions from N(0, 0.02²), normalisation weights from N(1, 0.02²).
    Official,
}

/// Options of the `st-gcn` encoder.
#[derive(Clone, Debug, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct StGcnConfig {
    /// Plan of channels: `official` (the paper's) or `smie`. Default `smie`, ours: it trains in minutes on a CPU.
    pub variant: Variant,
    /// Channels of the first blocks, `1 ..`. Default: the variant's, 64 (`official`, paper) or 16 (`smie`, SMIE's code).
    pub base_channels: Option<i64>,
    /// N, channels of the last block, `1 ..`. Default: four times `base_channels` (`official`) or 256 (`smie`).
    pub features: Option<i64>,
    /// How neighbours are told apart: `spatial` (the paper's best, default), `distance` or `uniform`.
    pub strategy: Strategy,
    /// Farthest neighbour in bones, `1 ..`. Default: the paper's 1.
    pub max_hop: usize,
    /// Every `dilation`-th hop distance is used, `1 ..`. Default: the official code's 1.
    pub dilation: usize,
    /// Learn a factor for every edge of every block. Default: true, as in the paper.
    pub edge_importance: bool,
    /// Frames that a temporal convolution sees, odd, `1 ..`. Default: the paper's 9.
    pub temporal_kernel: i64,
    /// Dropout after each temporal convolution but the first block's, `0 ..< 1`. Default 0.2, ours (small datasets, few epochs); the paper's is 0.5.
    pub dropout: f64,
    /// Start of the weights: `torch` (default) or `official`.
    pub init: Init,
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

impl Default for StGcnConfig {
    fn default() -> Self {
        Self {
            variant: Variant::Smie,
            base_channels: None,
            features: None,
            strategy: Strategy::Spatial,
            max_hop: 1,
            dilation: 1,
            edge_importance: true,
            temporal_kernel: 9,
            dropout: 0.2,
            init: Init::Torch,
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

impl StGcnConfig {
    /// The ten blocks.
    pub(super) fn plan(&self) -> Vec<Plan> {
        let (base, last) = match self.variant {
            Variant::Official => (64, 4),
            Variant::Smie => (16, 0),
        };
        let base = self.base_channels.unwrap_or(base);
        let features = self.features.unwrap_or(if last == 4 { 4 * base } else { 256 });
        let mut outputs = [1, 1, 1, 1, 2, 2, 2, 4, 4, 4].map(|times| times * base);
        outputs[9] = features;
        let mut input = COORDINATES;
        let block = |(i, output): (usize, i64)| {
            let stride = if i == 4 || i == 7 { 2 } else { 1 };
            let plan = Plan {
                input,
                output,
                stride,
                residual: i > 0,
            };
            input = output;
            plan
        };
        outputs.into_iter().enumerate().map(block).collect()
    }
}

#[typetag::serde(name = "st-gcn")]
impl EncoderConfig for StGcnConfig {
    fn validate(&self, problems: &mut Problems) {
        for (field, value) in [("base_channels", self.base_channels), ("features", self.features)] {
            let value = value.unwrap_or(1);
            problems.check((1..=65536).contains(&value), field, || {
                format!("must be between 1 and 65536, got {value}")
            });
        }
        for (field, value) in [("max_hop", self.max_hop), ("dilation", self.dilation)] {
            problems.check((1..=64).contains(&value), field, || {
                format!("must be between 1 and 64, got {value}")
            });
        }
        let kernel = self.temporal_kernel;
        problems.check(
            (1..=255).contains(&kernel) && kernel % 2 == 1,
            "temporal_kernel",
            || format!("must be an odd number between 1 and 255, got {kernel}"),
        );
        let rate = self.dropout;
        problems.check((0.0..1.0).contains(&rate), "dropout", || {
            format!("must be at least 0 and below 1, got {rate}")
        });
        problems.scoped("train", |p| self.train.validate(p));
    }

    fn spec(&self, input: &InputSpec) -> EncoderSpec {
        let plan = self.plan();
        EncoderSpec {
            channels: plan.last().map_or(0, |p| p.output),
            frames: output_frames(&plan, input.frames),
            joints: input.layout.len() as i64,
            classifies: input.seen_classes > 0,
        }
    }

    fn weights(&self) -> Option<&std::path::Path> {
        self.weights.as_ref().map(AsRef::as_ref)
    }

    fn prepared(&self) -> Option<&str> {
        self.prepared.as_deref()
    }

    fn build(&self, input: &InputSpec, ctx: &BuildContext) -> Result<Box<dyn SkeletonEncoder>> {
        Ok(Box::new(StGcn::new(self, input, ctx.device)?))
    }
}

inventory::submit! {
    ComponentInfo::new::<StGcnConfig>(
        ComponentKind::Encoder,
        "st-gcn",
        "Spatial graph and temporal convolutions over joints and frames, trained as a classifier of the seen classes.",
        "Yan, Xiong, Lin: Spatial Temporal Graph Convolutional Networks for Skeleton-Based Action Recognition, AAAI 2018",
    )
}
