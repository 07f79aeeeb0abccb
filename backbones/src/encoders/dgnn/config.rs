//! Options of `dgnn`.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use szar_core::component::{InputSpec, Mark};
use szar_core::{
    BuildContext, ComponentInfo, ComponentKind, EncoderConfig, EncoderSpec, FilePath, Precision, Problems,
    Result, SkeletonEncoder,
};

use super::encoder::Dgnn;
use crate::encoders::gcn::{Persons, Stream, ten_block_spec};
use crate::nn::classifier::TrainConfig;

/// Where among the bones a bone stands.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum BoneOrder {
    /// Where the columns of the incidence matrices have its edge, so that graph and bones agree.
    #[default]
    Edge,
    /// At the number of the joint it reaches, as the open implementation has it: for weights trained with that code.
    Official,
}

/// What is given as features.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum Parts {
    /// Joints and bones, one after the other: 2 N channels; a bone stands where the joint is that it reaches.
    #[default]
    Both,
    /// Joints alone: N channels.
    Joints,
}

/// Options of the `dgnn` encoder.
#[derive(Clone, Debug, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct DgnnConfig {
    /// Channels of the first blocks, `1 ..`; later ones have twice and four times as many. Default 16, ours: it trains
    /// in minutes on a CPU; the paper's is 64.
    pub base_channels: i64,
    /// Where a bone stands: `edge` (default, ours: graph and bones agree) or `official` (for weights of the open implementation).
    pub bone_order: BoneOrder,
    /// What is given as features: `both` (default) joints and bones, or `joints`.
    pub features: Parts,
    /// Epochs at the start in which the graphs are not trained, `0 ..`. Default 0, ours (few epochs); the open implementation's is 10.
    pub frozen_epochs: u32,
    /// What of the motion is read: `joint` (default) or `joint-motion`; the bones are those of either.
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

impl Default for DgnnConfig {
    fn default() -> Self {
        Self {
            base_channels: 16,
            bone_order: BoneOrder::Edge,
            features: Parts::Both,
            frozen_epochs: 0,
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

#[typetag::serde(name = "dgnn")]
impl EncoderConfig for DgnnConfig {
    fn validate(&self, problems: &mut Problems) {
        let base = self.base_channels;
        problems.check((1..=16384).contains(&base), "base_channels", || {
            format!("must be between 1 and 16384, got {base}")
        });
        problems.check(
            matches!(self.stream, Stream::Joint | Stream::JointMotion),
            "stream",
            || "must be `joint` or `joint-motion`: the network makes the bones itself".into(),
        );
        problems.scoped("train", |p| self.train.validate(p));
    }

    fn spec(&self, input: &InputSpec) -> EncoderSpec {
        let mut spec = ten_block_spec(self.base_channels, input);
        if self.features == Parts::Both {
            spec.channels *= 2;
        }
        spec
    }

    fn weights(&self) -> Option<&std::path::Path> {
        self.weights.as_ref().map(AsRef::as_ref)
    }

    fn prepared(&self) -> Option<&str> {
        self.prepared.as_deref()
    }

    fn marks(&self) -> Vec<Mark> {
        match self.bone_order {
            BoneOrder::Edge => Vec::new(),
            BoneOrder::Official => vec![Mark::note(
                "dgnn: bones are numbered by the joint they reach and the graph's columns by a list of edges, as in the open implementation; the two disagree.",
            )],
        }
    }

    fn build(&self, input: &InputSpec, ctx: &BuildContext) -> Result<Box<dyn SkeletonEncoder>> {
        Ok(Box::new(Dgnn::new(self, input, ctx.device)?))
    }
}

inventory::submit! {
    ComponentInfo::new::<DgnnConfig>(
        ComponentKind::Encoder,
        "dgnn",
        "Directed graph network over joints and bones with learned incidence, trained as a classifier of the seen classes.",
        "Shi et al.: Skeleton-Based Action Recognition with Directed Graph Neural Networks, CVPR 2019",
    )
}
