//! Options of `sa-dvae`.

use std::path::Path;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use szar_core::{
    Aligner, AlignerConfig, BuildContext, Capabilities, ComponentInfo, ComponentKind, EncoderSpec, FilePath,
    Granularity, Problems, Result,
};

use super::super::vae::{Common, Vae, check_positive};
use super::SaDvae;
pub use crate::aligners::vae::{Activation, ClassifierConfig, Noise, Scoring, Similarity};

/// Where sizes and rates come from when they are not given: latent dimensions of meaning and style, learning rate, batch,
/// how often the discriminator learns, steps a cycle. The published ones are those of the official runs, a cycle of which
/// is one pass over the training samples.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum Preset {
    /// 64 + 8, 1e-3, 64, every 4 steps, 300 steps: for sets of a few thousand samples (ours).
    #[default]
    Small,
    /// 160 + 8, 3.39e-5, 32, every 5: NTU-60 with SynSE's splits.
    SynseNtu60,
    /// 256 + 32, 3.48e-5, 32, every 4: NTU-120 with SynSE's splits.
    SynseNtu120,
    /// 224 + 16, 3.60e-5, 32, every 7: NTU-60 with random splits.
    RandomNtu60,
    /// 176 + 20, 7.36e-5, 32, every 12: NTU-120 with random splits.
    RandomNtu120,
    /// 128 + 16, 3.07e-5, 64, every 2: PKU-MMD with random splits.
    RandomPku51,
    /// 96 + 8, 4.94e-5, 32, every 4: NTU-60 with texts of a language model.
    LlmNtu60,
    /// 304 + 12, 2.13e-5, 24, every 16: NTU-120 with texts of a language model.
    LlmNtu120,
}

/// The settings of a run.
struct Run {
    latent: i64,
    style: i64,
    lr: f64,
    batch: i64,
    every: u64,
}

impl Preset {
    fn run(self) -> Run {
        let (latent, style, lr, batch, every) = match self {
            Self::Small => (64, 8, 1e-3, 64, 4),
            Self::SynseNtu60 => (160, 8, 3.389_022_400_898_623e-5, 32, 5),
            Self::SynseNtu120 => (256, 32, 3.477_996_430_266_453_4e-5, 32, 4),
            Self::RandomNtu60 => (224, 16, 3.596_163_218_514_557e-5, 32, 7),
            Self::RandomNtu120 => (176, 20, 7.360_616_069_743_272e-5, 32, 12),
            Self::RandomPku51 => (128, 16, 3.074_099_555_160_793e-5, 64, 2),
            Self::LlmNtu60 => (96, 8, 4.937_294_249_967_23e-5, 32, 4),
            Self::LlmNtu120 => (304, 12, 2.133_571_484_619_993e-5, 24, 16),
        };
        Run {
            latent,
            style,
            lr,
            batch,
            every,
        }
    }
}

/// Options of the `sa-dvae` aligner.
#[derive(Clone, Debug, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct SaDvaeConfig {
    /// Text of the classes that is used. Default: `global` (ours; the papers take the label).
    pub granularity: Granularity,
    /// Further texts, put behind the first before the whole is brought to length 1. Default: none.
    pub with: Vec<Granularity>,
    /// Source of `latent`, `style`, `lr`, `batch`, `dis_step` and `steps` where they are not given. Default: `small` (ours).
    pub preset: Preset,
    /// Latent dimensions of the meaning, at least 1. Default: the preset's.
    pub latent: Option<i64>,
    /// Latent dimensions of the style, at least 1. Default: the preset's.
    pub style: Option<i64>,
    /// How latents are sampled. Default: `legacy` (official code).
    pub noise: Noise,
    /// What follows the layer of a decoder; with `relu` it cannot give the negative values that texts have. Default: `relu`
    /// (official code).
    pub decoder: Activation,
    /// Steps from one lesson of the discriminator to the next, at least 1, counted anew in every cycle. Default: the preset's.
    pub dis_step: Option<u64>,
    /// Replaces the factor of the motion's divergences by 0 in the first third of a cycle, then a rise to this; at least 0.
    /// Default: none (the published runs).
    pub beta_x: Option<f64>,
    /// The same for the factor of the text's divergence, the total correlation and the discriminator; at least 0.
    /// Default: none (the published runs).
    pub beta_y: Option<f64>,
    /// How candidates are scored. Default: `classifier` (the paper).
    pub scoring: Scoring,
    /// How latent means are compared, for `scoring: latent`. Default: `cosine` (ours).
    pub similarity: Similarity,
    /// Multiplies the logits of `scoring: latent`, above 0, no unit. Default: 10 (ours).
    pub scale: f64,
    /// The classifier of `scoring: classifier`.
    pub classifier: ClassifierConfig,
    /// Learning rate of Adam, above 0. Default: the preset's.
    pub lr: Option<f64>,
    /// Samples a step, at least 2. Default: the preset's.
    pub batch: Option<i64>,
    /// Steps a cycle, each on a new random batch, at least 1. Default: the preset's, which for the published runs is one
    /// pass over the training samples.
    pub steps: Option<u64>,
    /// Cycles at most, at least 1. Default: official code's 10.
    pub cycles: u32,
    /// Cycles without better recognition of seen validation samples after which training ends. Default: none, all cycles.
    pub patience: Option<u32>,
    /// File with trained weights; without it the aligner is trained. Default: none.
    pub weights: Option<FilePath>,
}

impl Default for SaDvaeConfig {
    fn default() -> Self {
        Self {
            granularity: Granularity::GLOBAL,
            with: Vec::new(),
            preset: Preset::default(),
            latent: None,
            style: None,
            noise: Noise::default(),
            decoder: Activation::default(),
            dis_step: None,
            beta_x: None,
            beta_y: None,
            scoring: Scoring::default(),
            similarity: Similarity::default(),
            scale: 10.0,
            classifier: ClassifierConfig::default(),
            lr: None,
            batch: None,
            steps: None,
            cycles: 10,
            patience: None,
            weights: None,
        }
    }
}

impl SaDvaeConfig {
    /// Latent dimensions of the meaning in force.
    pub fn latent_size(&self) -> i64 {
        self.latent.unwrap_or(self.preset.run().latent)
    }

    /// Latent dimensions of the style in force.
    pub fn style_size(&self) -> i64 {
        self.style.unwrap_or(self.preset.run().style)
    }

    /// Learning rate in force.
    pub fn learning_rate(&self) -> f64 {
        self.lr.unwrap_or(self.preset.run().lr)
    }

    /// Batch size in force.
    pub fn batch_size(&self) -> i64 {
        self.batch.unwrap_or(self.preset.run().batch)
    }

    /// Steps from one lesson of the discriminator to the next, in force.
    pub fn every(&self) -> u64 {
        self.dis_step.unwrap_or(self.preset.run().every)
    }

    /// Steps a cycle in force; `None` for one pass over the training samples.
    pub fn steps_in_force(&self) -> Option<u64> {
        self.steps.or((self.preset == Preset::Small).then_some(300))
    }

    pub(super) fn common(&self) -> Common {
        Common {
            texts: vec![[std::slice::from_ref(&self.granularity), &self.with].concat()],
            noise: self.noise,
            scoring: self.scoring,
            similarity: self.similarity,
            scale: self.scale,
            classifier: self.classifier,
        }
    }
}

#[typetag::serde(name = "sa-dvae")]
impl AlignerConfig for SaDvaeConfig {
    fn validate(&self, problems: &mut Problems) {
        let mut at_least = |field: &str, value: u64, least: u64| {
            problems.check(value >= least, field, || {
                format!("must be at least {least}, got {value}")
            });
        };
        at_least("dis_step", self.every(), 1);
        at_least("steps", self.steps_in_force().unwrap_or(1), 1);
        at_least("cycles", u64::from(self.cycles), 1);
        for (field, value, least) in [
            ("latent", self.latent_size(), 1),
            ("style", self.style_size(), 1),
            ("batch", self.batch_size(), 2),
        ] {
            problems.check(value >= least, field, || {
                format!("must be at least {least}, got {value}")
            });
        }
        for (field, beta) in [("beta_x", self.beta_x), ("beta_y", self.beta_y)] {
            let ok = beta.is_none_or(|b| b >= 0.0 && b.is_finite());
            problems.check(ok, field, || {
                format!("must be at least 0, got {}", beta.unwrap_or_default())
            });
        }
        check_positive(problems, "lr", self.learning_rate());
        self.common().validate("with", problems);
    }

    fn capabilities(&self) -> Capabilities {
        self.common().capabilities()
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
        let make = |channels, widths: &[i64]| SaDvae::new(self, channels, widths[0], ctx.device);
        let vae = Vae::new(self.common(), features, granularities, width, ctx.seed, make)?;
        Ok(Box::new(vae))
    }
}

inventory::submit! {
    ComponentInfo::new::<SaDvaeConfig>(
        ComponentKind::Aligner,
        "sa-dvae",
        "Autoencoders that part a motion into meaning, which the text's latents share, and style.",
        "SA-DVAE: improving zero-shot skeleton-based action recognition by disentangled variational autoencoders (Li et al., ECCV 2024)"
    )
}
