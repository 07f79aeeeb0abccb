//! Options of `devise`.

use std::path::Path;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use szar_core::{
    Aligner, AlignerConfig, BuildContext, Capabilities, ComponentInfo, ComponentKind, EncoderSpec,
    FeatureNeed, FilePath, Granularity, Mark, Problems, Result,
};

use super::Devise;
use crate::aligners::pooled::{Bounds, Course, Preset, require};
use crate::aligners::training::PlateauConfig;

/// Which wrong classes a sample learns from.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum Violations {
    /// All that come nearer than the margin.
    #[default]
    All,
    /// The first of them in a random order of the classes (the paper, which draws wrong classes one by one).
    First,
}

/// Options of the `devise` aligner.
#[derive(Clone, Debug, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct DeviseConfig {
    /// Text of the classes that is used. Default: `global` (ours).
    pub granularity: Granularity,
    /// By how much the true class must lead, in units of the score before `scale`; above 0. Default: the paper's 0.1.
    pub margin: f64,
    /// Which wrong classes a sample learns from. Default: `all` (the paper's equation).
    pub violations: Violations,
    /// Multiplies the logits, above 0, no unit: scores some margins apart mean little in a softmax. Default: 10 (ours).
    pub scale: f64,
    /// Source of `lr`, `batch`, `epochs` and `patience` where they are not given: `small` is 1e-3, 128, 100, 20;
    /// `official` is 1e-4, 1024, 300 and to the end, as the SynSE study trains its baselines. Default: `small` (ours).
    pub preset: Preset,
    /// Learning rate of Adam, above 0. Default: the preset's.
    pub lr: Option<f64>,
    /// Samples a step, at least 2. Default: the preset's.
    pub batch: Option<i64>,
    /// Passes over the training set, at least 1. Default: the preset's.
    pub epochs: Option<u32>,
    /// Epochs without a better validation top-1 after which training ends. Default: the preset's.
    pub patience: Option<u32>,
    /// Decay added to the gradient, at least 0. Default: 0 (ours).
    pub weight_decay: f64,
    /// When the learning rate falls, by validation top-1. Default: that of the SynSE baselines.
    pub plateau: PlateauConfig,
    /// File with trained weights; without it the aligner is trained. Default: none.
    pub weights: Option<FilePath>,
}

impl Default for DeviseConfig {
    fn default() -> Self {
        Self {
            granularity: Granularity::GLOBAL,
            margin: 0.1,
            violations: Violations::default(),
            scale: 10.0,
            preset: Preset::default(),
            lr: None,
            batch: None,
            epochs: None,
            patience: None,
            weight_decay: 0.0,
            plateau: PlateauConfig::default(),
            weights: None,
        }
    }
}

impl DeviseConfig {
    pub(super) fn course(&self) -> Course {
        let preset = match self.preset {
            Preset::Small => Course {
                lr: 1e-3,
                batch: 128,
                epochs: 100,
                patience: Some(20),
            },
            Preset::Official => Course {
                lr: 1e-4,
                batch: 1024,
                epochs: 300,
                patience: None,
            },
        };
        preset.with(self.lr, self.batch, self.epochs, self.patience)
    }
}

#[typetag::serde(name = "devise")]
impl AlignerConfig for DeviseConfig {
    fn validate(&self, problems: &mut Problems) {
        let mut bounds = Bounds(problems);
        bounds.above("margin", self.margin);
        bounds.above("scale", self.scale);
        bounds.not_below("weight_decay", self.weight_decay);
        self.course().validate(&mut bounds);
        self.plateau.validate(problems);
    }

    fn capabilities(&self) -> Capabilities {
        Capabilities {
            features: FeatureNeed::Pooled,
            granularities: vec![self.granularity.clone()],
            differentiable_in_anchors: true,
            differentiable_in_features: true,
            visual_embeddings: true,
            node_embeddings: true,
            ..Capabilities::default()
        }
    }

    fn weights(&self) -> Option<&Path> {
        self.weights.as_ref().map(AsRef::as_ref)
    }

    fn marks(&self) -> Vec<Mark> {
        vec![Mark::note(
            "aligner `devise` is a re-implementation from the paper (linear map, hinge rank loss) on skeleton features, with Adam",
        )]
    }

    fn build(
        &self,
        features: &EncoderSpec,
        granularities: &[Granularity],
        width: i64,
        ctx: &BuildContext,
    ) -> Result<Box<dyn Aligner>> {
        require("devise", [&self.granularity], granularities)?;
        Ok(Box::new(Devise::new(self, features.channels, width, ctx.device)))
    }
}

inventory::submit! {
    ComponentInfo::new::<DeviseConfig>(
        ComponentKind::Aligner,
        "devise",
        "A linear map from pooled features to one text per class, trained by a hinge rank loss.",
        "DeViSE: A Deep Visual-Semantic Embedding Model (Frome et al., NeurIPS 2013); a re-implementation"
    )
}
