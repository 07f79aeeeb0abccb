//! Options of `jpose`.

use std::path::Path;

use schemars::JsonSchema;
use serde::{Deserialize, Deserializer, Serialize};
use szar_core::{
    Aligner, AlignerConfig, BuildContext, Capabilities, ComponentInfo, ComponentKind, EncoderSpec,
    FeatureNeed, FilePath, Granularity, Problems, Result,
};

use super::Jpose;
use crate::aligners::pooled::{Bounds, Course, Preset, require};
use crate::aligners::training::PlateauConfig;

/// Layers of the text side of a branch.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum TextForm {
    /// `deep` for texts wider than 512, else `shallow`: what the official code picks for 300 and 1024.
    #[default]
    Auto,
    /// One layer and a tanh.
    Shallow,
    /// Two layers, with a tanh between and a ReLU after them.
    Deep,
}

impl TextForm {
    pub(super) fn is_deep(self, width: i64) -> bool {
        match self {
            Self::Auto => width > 512,
            Self::Shallow => false,
            Self::Deep => true,
        }
    }
}

/// Where the triplet loss looks for a sample's hardest negative.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum Mining {
    /// Among the samples of other verbs (nouns), as meant.
    #[default]
    Intended,
    /// Among all samples, the sample itself included, which it then finds (official code, whose exclusion excludes nothing).
    Official,
}

/// Options of the `jpose` aligner.
#[derive(Clone, Debug, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct JposeConfig {
    /// Text of the first branch. Classes with the same row share a verb. Default: `verb` (official code).
    pub verb: Granularity,
    /// Text of the second branch. Classes with the same row share a noun. Default: `noun` (official code).
    pub noun: Granularity,
    /// Layers of the text side of a branch. Default: `auto` (official widths).
    pub text_form: TextForm,
    /// Units of the middle layer of a deep text side, at least 1. Default: official code's 512.
    pub hidden: i64,
    /// Width of a branch's space, at least 1. Default: official code's 50.
    pub branch: i64,
    /// Width of the joint space, at least 1. Default: official code's 50.
    pub joint: i64,
    /// By how much the true class must lead, in cosines; above 0. Default: official code's 0.3.
    pub margin: f64,
    /// Where the triplet loss looks for a sample's hardest negative. Default: `intended`.
    pub mining: Mining,
    /// Weight of the triplet losses, at least 0. Default: official code's 0.01.
    pub triplet_weight: f64,
    /// Multiplies the logits, above 0, no unit: cosines want about 10 before a softmax means anything. Default: 10 (ours).
    pub scale: f64,
    /// Source of `lr`, `batch`, `epochs` and `patience` where they are not given: `small` is 1e-3, 128, 150, 30;
    /// `official` is 1e-4, 1024, 2000, 40. Default: `small` (ours).
    pub preset: Preset,
    /// Learning rate of the three Adams, above 0. Default: the preset's.
    pub lr: Option<f64>,
    /// Samples a step, at least 2. Default: the preset's.
    pub batch: Option<i64>,
    /// Passes over the training set, at least 1. Default: the preset's.
    pub epochs: Option<u32>,
    /// Epochs without a better validation top-1 after which training ends. Default: the preset's.
    pub patience: Option<u32>,
    /// Decay added to the gradient of the branches, at least 0. Default: 0 (official code).
    pub weight_decay: f64,
    /// Decay added to the gradient of the joint part, at least 0. Default: official code's 1e-3.
    pub joint_weight_decay: f64,
    /// When the learning rate falls, by validation top-1. Default: official code's, patience 14 and cooldown 6.
    #[serde(deserialize_with = "plateau")]
    pub plateau: PlateauConfig,
    /// File with trained weights; without it the aligner is trained. Default: none.
    pub weights: Option<FilePath>,
}

impl Default for JposeConfig {
    fn default() -> Self {
        Self {
            verb: Granularity::VERB,
            noun: Granularity::NOUN,
            text_form: TextForm::default(),
            hidden: 512,
            branch: 50,
            joint: 50,
            margin: 0.3,
            mining: Mining::default(),
            triplet_weight: 0.01,
            scale: 10.0,
            preset: Preset::default(),
            lr: None,
            batch: None,
            epochs: None,
            patience: None,
            weight_decay: 0.0,
            joint_weight_decay: 1e-3,
            plateau: PLATEAU,
            weights: None,
        }
    }
}

/// Official code's.
const PLATEAU: PlateauConfig = PlateauConfig {
    factor: 0.1,
    patience: 14,
    cooldown: 6,
};

/// Fields that are not given keep these defaults, not those of other aligners.
fn plateau<'de, D: Deserializer<'de>>(deserializer: D) -> std::result::Result<PlateauConfig, D::Error> {
    #[derive(Deserialize)]
    #[serde(deny_unknown_fields)]
    struct Given {
        factor: Option<f64>,
        patience: Option<u32>,
        cooldown: Option<u32>,
    }
    let given = Given::deserialize(deserializer)?;
    Ok(PlateauConfig {
        factor: given.factor.unwrap_or(PLATEAU.factor),
        patience: given.patience.unwrap_or(PLATEAU.patience),
        cooldown: given.cooldown.unwrap_or(PLATEAU.cooldown),
    })
}

impl JposeConfig {
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
                epochs: 2000,
                patience: Some(40),
            },
        };
        preset.with(self.lr, self.batch, self.epochs, self.patience)
    }
}

#[typetag::serde(name = "jpose")]
impl AlignerConfig for JposeConfig {
    fn validate(&self, problems: &mut Problems) {
        problems.check(self.verb != self.noun, "noun", || {
            format!("must be another text than `verb`, got `{}` for both", self.noun)
        });
        let mut bounds = Bounds(problems);
        bounds.at_least("hidden", self.hidden, 1);
        bounds.at_least("branch", self.branch, 1);
        bounds.at_least("joint", self.joint, 1);
        bounds.above("margin", self.margin);
        bounds.not_below("triplet_weight", self.triplet_weight);
        bounds.above("scale", self.scale);
        bounds.not_below("weight_decay", self.weight_decay);
        bounds.not_below("joint_weight_decay", self.joint_weight_decay);
        self.course().validate(&mut bounds);
        self.plateau.validate(problems);
    }

    fn capabilities(&self) -> Capabilities {
        Capabilities {
            features: FeatureNeed::Pooled,
            granularities: vec![self.verb.clone(), self.noun.clone()],
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
        require("jpose", [&self.verb, &self.noun], granularities)?;
        Ok(Box::new(Jpose::new(self, features.channels, width, ctx.device)))
    }
}

inventory::submit! {
    ComponentInfo::new::<JposeConfig>(
        ComponentKind::Aligner,
        "jpose",
        "Aligns verbs and nouns in spaces of their own, and both together in a joint one.",
        "Fine-Grained Action Retrieval Through Multiple Parts-of-Speech Embeddings (Wray et al., ICCV 2019); as in skelemoa/synse-zsl"
    )
}
