//! Options of `cada-vae`.

use std::path::Path;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use szar_core::{
    Aligner, AlignerConfig, BuildContext, Capabilities, ComponentInfo, ComponentKind, EncoderSpec, FilePath,
    Granularity, Problems, Result,
};

use super::super::vae::{Common, Schedule, Vae};
use super::CadaVae;
pub use crate::aligners::vae::{Activation, ClassifierConfig, Noise, Scoring, Similarity, TripletConfig};

/// Where sizes and rates come from when they are not given: latent dimensions, learning rate, steps a cycle and the
/// timetable of the loss. All of them take batches of 64 in 10 cycles.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum Preset {
    /// 64 dimensions, 1e-3, 300 steps: for sets of a few thousand samples (ours).
    #[default]
    Small,
    /// 100, 1e-4, 1700: official code for NTU-60 with 5 unseen classes.
    #[serde(rename = "ntu60-5")]
    Ntu60Five,
    /// 100, 1e-4, 1900: official code for NTU-60 with 12 unseen classes.
    #[serde(rename = "ntu60-12")]
    Ntu60Twelve,
    /// 200, 1e-4, 1900: official code for NTU-120.
    Ntu120,
}

/// Options of the `cada-vae` aligner.
#[derive(Clone, Debug, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct CadaVaeConfig {
    /// Text of the classes that is used. Default: `global` (ours; the papers take the label).
    pub granularity: Granularity,
    /// Further texts, put behind the first before the whole is brought to length 1. Default: none.
    pub with: Vec<Granularity>,
    /// Source of `latent`, `lr` and `steps` where they are not given, and of the timetable. Default: `small` (ours).
    pub preset: Preset,
    /// Latent dimensions, at least 1. Default: the preset's.
    pub latent: Option<i64>,
    /// How latents are sampled. Default: `legacy` (official code).
    pub noise: Noise,
    /// What follows the layer of a decoder; with `relu` it cannot give the negative values that texts have. Default: `relu`
    /// (official code).
    pub decoder: Activation,
    /// Factor of the distance between the normals of motion and text, at least 0. Default: official code's 0, although the
    /// method's paper has it.
    pub alignment: f64,
    /// A triplet loss on the motion's latent means.
    pub triplet: TripletConfig,
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
    /// Samples a step, at least 2. Default: official code's 64.
    pub batch: i64,
    /// Steps a cycle, each on a new random batch, at least 1; the timetable stretches with them. Default: the preset's.
    pub steps: Option<u64>,
    /// Cycles at most, at least 1. Default: official code's 10.
    pub cycles: u32,
    /// Cycles without better recognition of seen validation samples after which training ends. Default: none, all cycles.
    pub patience: Option<u32>,
    /// File with trained weights; without it the aligner is trained. Default: none.
    pub weights: Option<FilePath>,
}

impl Default for CadaVaeConfig {
    fn default() -> Self {
        Self {
            granularity: Granularity::GLOBAL,
            with: Vec::new(),
            preset: Preset::default(),
            latent: None,
            noise: Noise::default(),
            decoder: Activation::default(),
            alignment: 0.0,
            triplet: TripletConfig::default(),
            scoring: Scoring::default(),
            similarity: Similarity::default(),
            scale: 10.0,
            classifier: ClassifierConfig::default(),
            lr: None,
            batch: 64,
            steps: None,
            cycles: 10,
            patience: None,
            weights: None,
        }
    }
}

impl CadaVaeConfig {
    /// Latent dimensions in force.
    pub fn latent_size(&self) -> i64 {
        self.latent.unwrap_or(match self.preset {
            Preset::Small => 64,
            Preset::Ntu60Five | Preset::Ntu60Twelve => 100,
            Preset::Ntu120 => 200,
        })
    }

    pub(super) fn schedule(&self) -> Schedule {
        let published = match self.preset {
            Preset::Small | Preset::Ntu60Five => 1700,
            Preset::Ntu60Twelve | Preset::Ntu120 => 1900,
        };
        Schedule {
            published,
            steps: self.steps.unwrap_or(match self.preset {
                Preset::Small => 300,
                _ => u64::from(published),
            }),
            lr: self.lr.unwrap_or(match self.preset {
                Preset::Small => 1e-3,
                _ => 1e-4,
            }),
            batch: self.batch,
            cycles: self.cycles,
            patience: self.patience,
        }
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

#[typetag::serde(name = "cada-vae")]
impl AlignerConfig for CadaVaeConfig {
    fn validate(&self, problems: &mut Problems) {
        let latent = self.latent_size();
        problems.check(latent >= 1, "latent", || {
            format!("must be at least 1, got {latent}")
        });
        let alignment = self.alignment;
        let ok = alignment >= 0.0 && alignment.is_finite();
        problems.check(ok, "alignment", || format!("must be at least 0, got {alignment}"));
        self.triplet.validate(problems);
        self.schedule().validate(problems);
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
        let make = |channels, widths: &[i64]| CadaVae::new(self, channels, widths[0], ctx.device);
        let vae = Vae::new(self.common(), features, granularities, width, ctx.seed, make)?;
        Ok(Box::new(vae))
    }
}

inventory::submit! {
    ComponentInfo::new::<CadaVaeConfig>(
        ComponentKind::Aligner,
        "cada-vae",
        "Autoencoders of motion and text whose latents explain each other; a classifier on sampled text latents.",
        "Generalized zero- and few-shot learning via aligned variational autoencoders (Schönfeld et al., CVPR 2019)"
    )
}
