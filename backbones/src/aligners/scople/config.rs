//! Options of `scople`.

use std::path::Path;
use std::sync::Arc;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use szar_core::{
    Aligner, AlignerConfig, BuildContext, Capabilities, ComponentInfo, ComponentKind, EncoderSpec, Error,
    FeatureNeed, FilePath, Granularity, Problems, Result, TextEncoderConfig,
};

use super::Scople;
use crate::aligners::maps::{Course, Descent, at_least, not_negative, positive};
use crate::semantics::clip::ClipConfig;

/// How V and f are compared.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum Similarity {
    /// Cosine, as in CLIP's own training.
    #[default]
    Cosine,
    /// Dot product, as printed.
    Dot,
}

/// Where training constants come from when they are not given.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum Preset {
    /// 1e-3, 256, 20: for sets of a few thousand samples on a CPU (ours).
    #[default]
    Small,
    /// 1e-4, 256, 100: the paper.
    Paper,
}

/// Options of the `scople` aligner.
#[derive(Clone, Debug, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct ScopleConfig {
    /// The text transformer to prompt; its `type` must be `clip`. No default.
    #[schemars(schema_with = "szar_core::registry::text_encoder_schema")]
    pub text_encoder: Option<Arc<dyn TextEncoderConfig>>,
    /// Words in front of the class's name; prompts take the place of the first. Default: the paper's.
    pub preamble: String,
    /// What follows the class's name. Default: a full stop, as in CoOp, whose prompts the paper follows.
    pub ending: String,
    /// Tokens of the preamble that prompts replace, at least 1. Default: the paper's 2.
    pub text_prompts: i64,
    /// S, layers that get prompts of their own, at least 0. Default: the paper's 3.
    pub depth: i64,
    /// Share of the plain stream's attention to begin with, learned per layer. Default: the paper's 0.5.
    pub alpha: f64,
    /// Deviation of the random prompts of the layers, at least 0. Default: the paper's 1.
    pub prompt_deviation: f64,
    /// Learned joints beside the real ones, at least 1. Default: the paper's 3.
    pub skeleton_prompts: i64,
    /// Width of queries and keys, at least 1. Default: the paper's 150.
    pub key_width: i64,
    /// Width of values, at least 1. Default: the paper's 256.
    pub value_width: i64,
    /// Units of the hidden layer behind the sampler, at least 1. Default: the paper's 512.
    pub hidden: i64,
    /// How motion and text are compared. Default: `cosine` (ours).
    pub similarity: Similarity,
    /// By what similarities are divided, above 0, no unit. Default: CLIP's 0.07 (the paper gives none).
    pub tau: f64,
    /// Source of `lr`, `batch` and `epochs` where they are not given. Default: `small` (ours).
    pub preset: Preset,
    /// Learning rate of Adam, above 0. Default: the preset's.
    pub lr: Option<f64>,
    /// Samples a step, at least 2. Default: the preset's.
    pub batch: Option<i64>,
    /// Passes over the training set, at least 1. Default: the preset's.
    pub epochs: Option<u32>,
    /// Decay added to the gradient, at least 0. Default: 0 (the paper).
    pub weight_decay: f64,
    /// Epochs without a better seen validation accuracy after which training ends. Default: none.
    pub patience: Option<u32>,
    /// File with trained weights; without it the aligner is trained. Default: none.
    pub weights: Option<FilePath>,
}

impl Default for ScopleConfig {
    fn default() -> Self {
        Self {
            text_encoder: None,
            preamble: "A skeleton video for the action of".into(),
            ending: ".".into(),
            text_prompts: 2,
            depth: 3,
            alpha: 0.5,
            prompt_deviation: 1.0,
            skeleton_prompts: 3,
            key_width: 150,
            value_width: 256,
            hidden: 512,
            similarity: Similarity::default(),
            tau: 0.07,
            preset: Preset::default(),
            lr: None,
            batch: None,
            epochs: None,
            weight_decay: 0.0,
            patience: None,
            weights: None,
        }
    }
}

impl ScopleConfig {
    /// The options of the text transformer.
    ///
    /// # Errors
    /// [`Error::Input`] when there are none, or they are of another text encoder.
    pub(super) fn clip(&self) -> Result<ClipConfig> {
        let Some(encoder) = &self.text_encoder else {
            return Err(Error::Input("aligner `scople` needs `text_encoder`".into()));
        };
        let name = encoder.typetag_name();
        if name != "clip" {
            return Err(Error::Input(format!(
                "aligner `scople` prompts the layers of a text encoder `clip`, got `{name}`"
            )));
        }
        let wrong = |e: serde_json::Error| Error::Input(format!("`text_encoder` of `scople`: {e}"));
        let mut options = serde_json::to_value(encoder).map_err(wrong)?;
        if let Some(map) = options.as_object_mut() {
            map.remove("type");
        }
        serde_json::from_value(options).map_err(wrong)
    }

    pub(super) fn course(&self) -> Course {
        let (lr, epochs) = match self.preset {
            Preset::Small => (1e-3, 20),
            Preset::Paper => (1e-4, 100),
        };
        Course {
            descent: Descent::Adam,
            lr: self.lr.unwrap_or(lr),
            milestones: Vec::new(),
            batch: self.batch.unwrap_or(256),
            epochs: self.epochs.unwrap_or(epochs),
            weight_decay: self.weight_decay,
            patience: self.patience,
        }
    }

    fn validate_encoder(&self, problems: &mut Problems) {
        match &self.text_encoder {
            None => problems.add_with_hint(
                "",
                "needs `text_encoder`",
                "give a folder of CLIP in Hugging Face's layout as aligner.text_encoder.model (type: clip)",
            ),
            Some(encoder) if encoder.typetag_name() != "clip" => problems.add(
                "text_encoder",
                format!(
                    "must be `clip`, whose layers can be prompted, got `{}`",
                    encoder.typetag_name()
                ),
            ),
            Some(encoder) => problems.scoped("text_encoder", |problems| encoder.validate(problems)),
        }
    }
}

#[typetag::serde(name = "scople")]
impl AlignerConfig for ScopleConfig {
    fn validate(&self, problems: &mut Problems) {
        self.validate_encoder(problems);
        let sizes = [
            ("text_prompts", self.text_prompts, 1),
            ("depth", self.depth, 0),
            ("skeleton_prompts", self.skeleton_prompts, 1),
            ("key_width", self.key_width, 1),
            ("value_width", self.value_width, 1),
            ("hidden", self.hidden, 1),
        ];
        for (field, value, least) in sizes {
            at_least(problems, field, value, least);
        }
        problems.check(!self.preamble.trim().is_empty(), "preamble", || {
            "must not be empty".into()
        });
        problems.check(self.alpha.is_finite(), "alpha", || {
            format!("must be a number, got {}", self.alpha)
        });
        not_negative(problems, "prompt_deviation", self.prompt_deviation);
        positive(problems, "tau", self.tau);
        self.course().validate(problems);
    }

    fn capabilities(&self) -> Capabilities {
        Capabilities {
            features: FeatureNeed::Map,
            differentiable_in_features: true,
            visual_embeddings: true,
            ..Capabilities::default()
        }
    }

    fn weights(&self) -> Option<&Path> {
        self.weights.as_ref().map(AsRef::as_ref)
    }

    fn build(
        &self,
        features: &EncoderSpec,
        _: &[Granularity],
        _: i64,
        ctx: &BuildContext,
    ) -> Result<Box<dyn Aligner>> {
        Ok(Box::new(Scople::new(self, features, ctx.device)?))
    }
}

inventory::submit! {
    ComponentInfo::new::<ScopleConfig>(
        ComponentKind::Aligner,
        "scople",
        "Prompts learned inside CLIP's text transformer and beside the joints, with each class's text asking the motion.",
        "SCoPLe: Semantic-guided Cross-Modal Prompt Learning for Skeleton-based Zero-shot Action Recognition (Zhu et al., CVPR 2025)"
    )
}
