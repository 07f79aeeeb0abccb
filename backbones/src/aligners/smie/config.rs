//! Options of `smie`.

use std::path::Path;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use szar_core::{
    Aligner, AlignerConfig, BuildContext, Capabilities, ComponentInfo, ComponentKind, EncoderSpec,
    FeatureNeed, FilePath, Granularity, Problems, Result,
};

use super::Smie;
use crate::aligners::pooled::{Bounds, Course, Preset, require};

/// Whether training compares whole motions with masked ones.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum Temporal {
    /// Where the skeletons and their encoder are at hand; features alone are trained on without. The training's summary
    /// says which (`temporal`: 1 or 0).
    #[default]
    Auto,
    /// Always; refused where there are only features.
    On,
    /// Never.
    Off,
}

/// How many frames a masked sequence has.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum MaskedFrames {
    /// As many as before: each kept frame is repeated until the sequence has its length again, which every encoder takes.
    #[default]
    Repeat,
    /// The kept ones (official code); for encoders that take sequences of any length.
    Compact,
}

/// Which neighbours of a frame tell how much moves in it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum Differences {
    /// The frame before and the frame after (official training).
    #[default]
    Both,
    /// The frame after (an earlier form in the official code).
    Forward,
}

/// Options of the `smie` aligner.
#[derive(Clone, Debug, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct SmieConfig {
    /// Text of the classes that is used. Default: `global` (ours).
    pub granularity: Granularity,
    /// Units of the two hidden layers, at least 1 each. Default: official code's 1024 and 512.
    pub hidden: [i64; 2],
    /// Normalises the features when candidates are scored, as training does. Default: true; the official evaluation leaves it out.
    pub layernorm_at_test: bool,
    /// Whether training compares whole motions with masked ones. Default: `auto` (ours).
    pub temporal: Temporal,
    /// By how much a whole motion must tell more than a masked one, in nats; at least 0. Default: official code's 0.1.
    pub margin: f64,
    /// Weight of that demand, at least 0. Default: official code's 0.5.
    pub temporal_weight: f64,
    /// Share of the frames that are masked because most moves in them; `0 ..= 1`. Default: 0.3 (official code's 15 of 50).
    pub masked: f64,
    /// Share of the frames that are then drawn from the rest; `0 ..= 1`. Default: 0.4 (official code's 20 of 50).
    pub kept: f64,
    /// Which neighbours of a frame tell how much moves in it. Default: `both` (official code).
    pub differences: Differences,
    /// How many frames a masked sequence has. Default: `repeat`, because many encoders take one length only.
    pub masked_frames: MaskedFrames,
    /// Masked encodings made of every sample before training, among which every step draws; 0 encodes anew in every step
    /// (official code), which costs a pass of the encoder over the training set per epoch. Default: 2 (ours).
    pub views: usize,
    /// Multiplies the logits, which are logarithms of probabilities; above 0, no unit. Default: 1 (official code).
    pub scale: f64,
    /// Source of `lr`, `batch`, `epochs`, `warmup` and `patience` where they are not given: `small` is 2e-4, 128, 40, 3, 12;
    /// `official` is 1e-5, 128, 100, 15 and to the end. Default: `small` (ours).
    pub preset: Preset,
    /// Highest learning rate of Adam, above 0. Default: the preset's.
    pub lr: Option<f64>,
    /// Samples a step, at least 2. Default: the preset's.
    pub batch: Option<i64>,
    /// Passes over the training set, at least 1. Default: the preset's.
    pub epochs: Option<u32>,
    /// Epochs in which the learning rate rises from 0; it then falls to 0 along a cosine. Default: the preset's.
    pub warmup: Option<u32>,
    /// Epochs without a better validation top-1 after which training ends. Default: the preset's.
    pub patience: Option<u32>,
    /// Decay added to the gradient, at least 0. Default: 0 (official code).
    pub weight_decay: f64,
    /// File with trained weights; without it the aligner is trained. Default: none.
    pub weights: Option<FilePath>,
}

impl Default for SmieConfig {
    fn default() -> Self {
        Self {
            granularity: Granularity::GLOBAL,
            hidden: [1024, 512],
            layernorm_at_test: true,
            temporal: Temporal::default(),
            margin: 0.1,
            temporal_weight: 0.5,
            masked: 0.3,
            kept: 0.4,
            differences: Differences::default(),
            masked_frames: MaskedFrames::default(),
            views: 2,
            scale: 1.0,
            preset: Preset::default(),
            lr: None,
            batch: None,
            epochs: None,
            warmup: None,
            patience: None,
            weight_decay: 0.0,
            weights: None,
        }
    }
}

impl SmieConfig {
    pub(super) fn course(&self) -> Course {
        let preset = match self.preset {
            Preset::Small => Course {
                lr: 2e-4,
                batch: 128,
                epochs: 40,
                patience: Some(12),
            },
            Preset::Official => Course {
                lr: 1e-5,
                batch: 128,
                epochs: 100,
                patience: None,
            },
        };
        preset.with(self.lr, self.batch, self.epochs, self.patience)
    }

    /// Epochs of rising rate in force.
    pub(super) fn warmup_epochs(&self) -> u32 {
        self.warmup.unwrap_or(match self.preset {
            Preset::Small => 3,
            Preset::Official => 15,
        })
    }
}

#[typetag::serde(name = "smie")]
impl AlignerConfig for SmieConfig {
    fn validate(&self, problems: &mut Problems) {
        for (field, share) in [("masked", self.masked), ("kept", self.kept)] {
            problems.check((0.0..=1.0).contains(&share), field, || {
                format!("must be between 0 and 1, got {share}")
            });
        }
        let over = self.masked + self.kept > 1.0 + 1e-9;
        problems.check(!over, "kept", || {
            let rest = 1.0 - self.masked;
            format!(
                "must be at most the {rest:.3} that `masked` leaves, got {}",
                self.kept
            )
        });
        let mut bounds = Bounds(problems);
        bounds.at_least("hidden[0]", self.hidden[0], 1);
        bounds.at_least("hidden[1]", self.hidden[1], 1);
        bounds.not_below("margin", self.margin);
        bounds.not_below("temporal_weight", self.temporal_weight);
        bounds.above("scale", self.scale);
        bounds.not_below("weight_decay", self.weight_decay);
        self.course().validate(&mut bounds);
        let (warmup, epochs) = (self.warmup_epochs(), self.course().epochs);
        problems.check(warmup < epochs || warmup == 0, "warmup", || {
            format!("must be below `epochs`, {epochs}, got {warmup}")
        });
    }

    fn capabilities(&self) -> Capabilities {
        Capabilities {
            features: FeatureNeed::Pooled,
            granularities: vec![self.granularity.clone()],
            differentiable_in_anchors: true,
            differentiable_in_features: true,
            skeletons: self.temporal != Temporal::Off,
            needs_skeletons: (self.temporal == Temporal::On).then(|| "temporal: on".into()),
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
        require("smie", [&self.granularity], granularities)?;
        Ok(Box::new(Smie::new(self, features.channels, width, ctx.device)))
    }
}

inventory::submit! {
    ComponentInfo::new::<SmieConfig>(
        ComponentKind::Aligner,
        "smie",
        "A network that tells matching pairs of motion and text, trained to maximise their mutual information.",
        "Zero-shot Skeleton-based Action Recognition via Mutual Information Estimation and Maximization (Zhou et al., ACM MM 2023)"
    )
}
