//! Options of `star`.

use std::path::Path;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use szar_core::{
    Aligner, AlignerConfig, BuildContext, Capabilities, ComponentInfo, ComponentKind, EncoderSpec, Error,
    FeatureNeed, FilePath, Granularity, Problems, Result,
};

use super::loss::Shares;
use super::network::Sizes;
use super::parts::{NamedParts, Parts};
use super::{Star, maps};
pub use crate::aligners::maps::Descent;
use maps::{Course, at_least, not_negative, positive};

/// Where sizes and training constants come from when they are not given.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum Preset {
    /// 16 prompts of width 128, 2 heads, 128 hidden units, temperature 0.1; Adam at 2e-3, tenfold less from epoch 15
    /// and again from 20, batch 64, 24 epochs: for sets of a few thousand samples on a CPU (ours).
    #[default]
    Small,
    /// 100 prompts of the texts' width, 4 heads, 256 hidden units, temperature 1; SGD at 0.01, milestones 10 and 20,
    /// decay 5e-4, batch 64, 40 epochs: official code for NTU RGB+D 60. Give `parts: star6` too.
    Paper,
    /// As `paper`, 30 epochs: official code for NTU RGB+D 120.
    PaperNtu120,
    /// As `paper`, milestones 15 and 20: official code for PKU-MMD.
    PaperPku,
}

/// Options of the `star` aligner.
#[derive(Clone, Debug, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct StarConfig {
    /// Text of whole classes, the one candidates are scored with. Default: `global` (ours; the official code takes the
    /// name of the class, `label`).
    pub label: Granularity,
    /// The body parts: `four` of the layout, the paper's `star6`, or joints (numbers or names) per granularity.
    /// Default: `four` (ours), which goes with every layout and with files of eight texts.
    pub parts: Parts,
    /// Source of sizes and training constants that are not given. Default: `small` (ours).
    pub preset: Preset,
    /// Prompts of a part, at least 1. Default: the preset's.
    pub prompts: Option<i64>,
    /// Width of the prompts and of the attention, at least 1. Default: the preset's.
    pub width: Option<i64>,
    /// Attention heads, at least 1; they divide the width. Default: the preset's.
    pub heads: Option<i64>,
    /// Hidden units between a text and its numbers, at least 1. Default: the preset's.
    pub text_hidden: Option<i64>,
    /// By what cosines are divided in the loss, above 0, no unit. Default: the preset's.
    pub temperature: Option<f64>,
    /// Share of the term that compares whole classes in the loss, at least 0. Default: official code's 0.1.
    pub global_share: f64,
    /// Share of the term that compares parts, at least 0. Default: official code's 1.
    pub part_share: f64,
    /// Share of the term that compares texts of parts with those of whole classes, at least 0. Default: official
    /// code's 0.1.
    pub text_share: f64,
    /// Multiplies the cosines that are the logits, above 0, no unit: raw ones lie within ±1, where a softmax says
    /// little. Default: 10 (ours).
    pub scale: f64,
    /// Update rule. Default: the preset's.
    pub descent: Option<Descent>,
    /// Learning rate, above 0. Default: the preset's.
    pub lr: Option<f64>,
    /// Epochs (from 0) from which on the rate is a tenth of what it was. Default: the preset's.
    pub milestones: Option<Vec<u32>>,
    /// Samples a step, at least 2. Default: the preset's.
    pub batch: Option<i64>,
    /// Passes over the training set, at least 1. Default: the preset's.
    pub epochs: Option<u32>,
    /// Decay added to the gradient, at least 0. Default: the preset's.
    pub weight_decay: Option<f64>,
    /// Epochs without a better seen validation accuracy after which training ends. Default: none, as official.
    pub patience: Option<u32>,
    /// File with trained weights; without it the aligner is trained. Default: none.
    pub weights: Option<FilePath>,
}

impl Default for StarConfig {
    fn default() -> Self {
        Self {
            label: Granularity::GLOBAL,
            parts: Parts::Named(NamedParts::Four),
            preset: Preset::default(),
            prompts: None,
            width: None,
            heads: None,
            text_hidden: None,
            temperature: None,
            global_share: 0.1,
            part_share: 1.0,
            text_share: 0.1,
            scale: 10.0,
            descent: None,
            lr: None,
            milestones: None,
            batch: None,
            epochs: None,
            weight_decay: None,
            patience: None,
            weights: None,
        }
    }
}

impl StarConfig {
    fn small(&self) -> bool {
        self.preset == Preset::Small
    }

    /// Sizes in force for features of `channels` and texts of width `text`.
    ///
    /// # Errors
    /// [`Error::Input`] when the heads do not divide the width.
    pub(super) fn sizes(&self, channels: i64, text: i64) -> Result<Sizes> {
        let small = self.small();
        let width = self.width.unwrap_or(if small { 128 } else { text });
        let heads = self.heads.unwrap_or(if small { 2 } else { 4 });
        if width % heads != 0 {
            return Err(Error::Input(format!(
                "aligner `star`: the width {width} of the prompts is not a multiple of the {heads} heads; give `width` or `heads`"
            )));
        }
        Ok(Sizes {
            channels,
            text,
            width,
            heads,
            prompts: self.prompts.unwrap_or(if small { 16 } else { 100 }),
            text_hidden: self.text_hidden.unwrap_or(if small { 128 } else { 256 }),
            parts: self.parts.granularities().len(),
        })
    }

    /// Temperature in force.
    pub fn temperature(&self) -> f64 {
        self.temperature.unwrap_or(if self.small() { 0.1 } else { 1.0 })
    }

    pub(super) fn shares(&self) -> Shares {
        Shares {
            global: self.global_share,
            part: self.part_share,
            text: self.text_share,
        }
    }

    pub(super) fn course(&self) -> Course {
        let (descent, lr, decay) = match self.preset {
            Preset::Small => (Descent::Adam, 2e-3, 0.0),
            _ => (Descent::Sgd, 0.01, 5e-4),
        };
        let (epochs, milestones) = match self.preset {
            Preset::Small => (24, [15, 20]),
            Preset::Paper => (40, [10, 20]),
            Preset::PaperNtu120 => (30, [10, 20]),
            Preset::PaperPku => (40, [15, 20]),
        };
        Course {
            descent: self.descent.unwrap_or(descent),
            lr: self.lr.unwrap_or(lr),
            milestones: self.milestones.clone().unwrap_or_else(|| milestones.into()),
            batch: self.batch.unwrap_or(64),
            epochs: self.epochs.unwrap_or(epochs),
            weight_decay: self.weight_decay.unwrap_or(decay),
            patience: self.patience,
        }
    }
}

#[typetag::serde(name = "star")]
impl AlignerConfig for StarConfig {
    fn validate(&self, problems: &mut Problems) {
        let sizes = [
            ("prompts", self.prompts),
            ("width", self.width),
            ("heads", self.heads),
            ("text_hidden", self.text_hidden),
        ];
        for (field, value) in sizes {
            at_least(problems, field, value.unwrap_or(1), 1);
        }
        if let (Some(width), Some(heads @ 1..)) = (self.width, self.heads) {
            problems.check(width % heads == 0, "heads", || {
                format!("must divide the width {width}, got {heads}")
            });
        }
        positive(problems, "temperature", self.temperature());
        positive(problems, "scale", self.scale);
        not_negative(problems, "global_share", self.global_share);
        not_negative(problems, "part_share", self.part_share);
        not_negative(problems, "text_share", self.text_share);
        self.parts.validate(problems);
        self.course().validate(problems);
    }

    fn capabilities(&self) -> Capabilities {
        let mut granularities = self.parts.granularities();
        if !granularities.contains(&self.label) {
            granularities.push(self.label.clone());
        }
        Capabilities {
            features: FeatureNeed::Map,
            granularities,
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
        Ok(Box::new(Star::new(
            self,
            features,
            granularities,
            width,
            ctx.device,
        )?))
    }
}

inventory::submit! {
    ComponentInfo::new::<StarConfig>(
        ComponentKind::Aligner,
        "star",
        "Learned prompts ask each body part of the map, and texts of the parts guide what they learn.",
        "Fine-Grained Side Information Guided Dual-Prompts for Zero-Shot Skeleton Action Recognition (Chen et al., ACM MM 2024)"
    )
}
