//! Options of `revise`.

use std::path::Path;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use szar_core::{
    Aligner, AlignerConfig, BuildContext, Capabilities, ComponentInfo, ComponentKind, EncoderSpec,
    FeatureNeed, FilePath, Granularity, Problems, Result,
};

use super::Revise;
use crate::aligners::pooled::{Bounds, Course, Preset, require};
use crate::aligners::training::PlateauConfig;

/// Layers of an autoencoder.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum Form {
    /// `deep` for inputs wider than 512, else `shallow`: what the official code picks for 256, 300, 1024 and 2048.
    #[default]
    Auto,
    /// One layer each way.
    Shallow,
    /// Two layers each way.
    Deep,
}

impl Form {
    pub(super) fn is_deep(self, inputs: i64) -> bool {
        match self {
            Self::Auto => inputs > 512,
            Self::Shallow => false,
            Self::Deep => true,
        }
    }
}

/// What becomes of the features before the first layer.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum Input {
    /// `sign(x) log(1 + |x|)`: as `log` for features after a ReLU, and defined for all others.
    #[default]
    SignedLog,
    /// `log(1 + x)` (official code); features below 0 are refused.
    Log,
    /// As they are.
    Raw,
}

/// The contractive term of the visual autoencoder.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum Contractive {
    /// None; trains as the official code does, whose term has no gradient.
    #[default]
    Drop,
    /// Adds the norm of the input gradient of the summed code to the loss without a gradient (official code): the loss
    /// reads as published, the training is that of `drop`.
    Constant,
    /// The squared Frobenius norm of the code's Jacobian, averaged over the batch, with its gradient (the paper).
    Jacobian,
}

/// Whose vectors learn from the hinge loss on the text side.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum HingeGradient {
    /// The true class alone (official code, which holds the vectors it compares with fixed).
    #[default]
    Own,
    /// Every class.
    All,
}

/// Options of the `revise` aligner.
#[derive(Clone, Debug, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct ReviseConfig {
    /// Text of the classes that is used. Default: `global` (ours).
    pub granularity: Granularity,
    /// What becomes of the features before the first layer. Default: `signed-log`, official for features after a ReLU.
    pub input: Input,
    /// Layers of the visual autoencoder. Default: `auto` (official widths).
    pub visual_form: Form,
    /// Layers of the text autoencoder. Default: `auto` (official widths).
    pub text_form: Form,
    /// Units of the middle layers of a deep autoencoder, at least 1. Default: official code's 512.
    pub hidden: i64,
    /// Width of the codes that the two autoencoders share a distribution in, at least 1. Default: official code's 100.
    pub code: i64,
    /// Width of the common space, at least 1. Default: official code's 50.
    pub common: i64,
    /// By how much the true class must lead, in units of the score before `scale`; above 0. Default: official code's 0.3.
    pub margin: f64,
    /// Whose vectors learn from the hinge loss on the text side. Default: `own` (official code).
    pub hinge_gradient: HingeGradient,
    /// κ of the kernel `exp(−κ d²)` that compares the distributions of the codes; above 0, per squared code unit.
    /// Default: official code's 32.
    pub kernel: f64,
    /// The contractive term of the visual autoencoder. Default: `drop`, as the official code trains.
    pub contractive: Contractive,
    /// Weight of the contractive term, at least 0. Default: official code's 1e-4.
    pub contractive_weight: f64,
    /// Multiplies the logits, above 0, no unit. Default: 1 (official code); scores lie within ±`common`.
    pub scale: f64,
    /// Source of `lr`, `batch`, `epochs` and `patience` where they are not given: `small` is 1e-3, 128, 150, 30;
    /// `official` is 1e-4, 1024, 300 and to the end. Default: `small` (ours).
    pub preset: Preset,
    /// Learning rate of both Adams, above 0. Default: the preset's.
    pub lr: Option<f64>,
    /// Samples a step, at least 2. Default: the preset's.
    pub batch: Option<i64>,
    /// Passes over the training set, at least 1. Default: the preset's.
    pub epochs: Option<u32>,
    /// Epochs without a better validation top-1 after which training ends. Default: the preset's.
    pub patience: Option<u32>,
    /// Decay added to the gradient of the visual side, at least 0. Default: 0 (official code).
    pub weight_decay: f64,
    /// Decay added to the gradient of the text side, at least 0. Default: official code's 1e-3.
    pub text_weight_decay: f64,
    /// When the learning rate falls, by validation top-1. Default: official code's.
    pub plateau: PlateauConfig,
    /// File with trained weights; without it the aligner is trained. Default: none.
    pub weights: Option<FilePath>,
}

impl Default for ReviseConfig {
    fn default() -> Self {
        Self {
            granularity: Granularity::GLOBAL,
            input: Input::default(),
            visual_form: Form::default(),
            text_form: Form::default(),
            hidden: 512,
            code: 100,
            common: 50,
            margin: 0.3,
            hinge_gradient: HingeGradient::default(),
            kernel: 32.0,
            contractive: Contractive::default(),
            contractive_weight: 1e-4,
            scale: 1.0,
            preset: Preset::default(),
            lr: None,
            batch: None,
            epochs: None,
            patience: None,
            weight_decay: 0.0,
            text_weight_decay: 1e-3,
            plateau: PlateauConfig::default(),
            weights: None,
        }
    }
}

impl ReviseConfig {
    pub(super) fn course(&self) -> Course {
        let preset = match self.preset {
            Preset::Small => Course {
                lr: 1e-3,
                batch: 128,
                epochs: 150,
                patience: Some(30),
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

#[typetag::serde(name = "revise")]
impl AlignerConfig for ReviseConfig {
    fn validate(&self, problems: &mut Problems) {
        let mut bounds = Bounds(problems);
        bounds.at_least("hidden", self.hidden, 1);
        bounds.at_least("code", self.code, 1);
        bounds.at_least("common", self.common, 1);
        bounds.above("margin", self.margin);
        bounds.above("kernel", self.kernel);
        bounds.not_below("contractive_weight", self.contractive_weight);
        bounds.above("scale", self.scale);
        bounds.not_below("weight_decay", self.weight_decay);
        bounds.not_below("text_weight_decay", self.text_weight_decay);
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

    fn build(
        &self,
        features: &EncoderSpec,
        granularities: &[Granularity],
        width: i64,
        ctx: &BuildContext,
    ) -> Result<Box<dyn Aligner>> {
        require("revise", [&self.granularity], granularities)?;
        Ok(Box::new(Revise::new(self, features.channels, width, ctx.device)))
    }
}

inventory::submit! {
    ComponentInfo::new::<ReviseConfig>(
        ComponentKind::Aligner,
        "revise",
        "Two autoencoders whose codes share a distribution, and a hinge loss in a space common to both.",
        "Learning Robust Visual-Semantic Embeddings (Tsai et al., ICCV 2017); as in skelemoa/synse-zsl"
    )
}
