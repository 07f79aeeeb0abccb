//! Options that these aligners have in common.

use rand_chacha::ChaCha8Rng;
use rand_distr::{Distribution, StandardNormal};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use szar_core::host::tensor;
use szar_core::{Capabilities, FeatureNeed, Granularity, Problems};
use tch::{Device, Tensor};

/// The random numbers that turn a mean and a deviation into a sample.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum Noise {
    /// One number a sample, the same in all latent dimensions (official code).
    #[default]
    Legacy,
    /// One number per sample and dimension (Kingma and Welling 2014, what the papers describe).
    PerDimension,
}

impl Noise {
    /// How many numbers a sample of L dimensions takes.
    pub fn columns(self, latent: i64) -> i64 {
        match self {
            Self::Legacy => 1,
            Self::PerDimension => latent,
        }
    }

    /// `[rows, 1]` or `[rows, L]` standard normal numbers. They come from the host, and so are the same on every device.
    pub fn draw(self, rng: &mut ChaCha8Rng, rows: i64, latent: i64, device: Device) -> Tensor {
        let width = self.columns(latent);
        let values: Vec<f32> = (0..rows * width).map(|_| StandardNormal.sample(rng)).collect();
        tensor(&values, &[rows, width]).to_device(device)
    }
}

/// What follows a linear layer.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum Activation {
    /// Negative values become 0 (official code).
    #[default]
    Relu,
    /// Nothing.
    Linear,
}

impl Activation {
    /// Applies it.
    pub fn apply(self, x: Tensor) -> Tensor {
        match self {
            Self::Relu => x.relu(),
            Self::Linear => x,
        }
    }
}

/// How candidates are scored.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum Scoring {
    /// By a linear classifier trained on samples of the candidates' text latents (the papers), once per list of
    /// candidates. No gradient reaches the anchors: a training of many steps lies between them and the scores.
    #[default]
    Classifier,
    /// By comparing the motion's latent mean with each candidate's (ours); differentiable in the anchors.
    Latent,
}

/// How latent means are compared, for `scoring: latent`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum Similarity {
    /// Cosine.
    #[default]
    Cosine,
    /// Minus the squared distance.
    Distance,
    /// Dot product (up to what is the same for all candidates), and so linear in the anchors.
    Dot,
}

/// Where the triplet loss looks for negatives.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum Negatives {
    /// Among samples of other classes, as meant.
    #[default]
    Others,
    /// Among all samples, the sample itself included, as official code does.
    All,
}

/// A triplet loss on the latent means of the motion; in official code, but never used by its training.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct TripletConfig {
    /// Factor in the loss, at least 0. Default: 0 (official code).
    pub weight: f64,
    /// By how much a sample must be nearer to its own class, in dot products. Default: 0.1 (official code).
    pub margin: f64,
    /// Where negatives are looked for. Default: `others`.
    pub negatives: Negatives,
}

impl Default for TripletConfig {
    fn default() -> Self {
        Self {
            weight: 0.0,
            margin: 0.1,
            negatives: Negatives::default(),
        }
    }
}

impl TripletConfig {
    /// Adds what is wrong with it, under its field's name.
    pub fn validate(&self, problems: &mut Problems) {
        let weight = self.weight;
        let why = || format!("must be at least 0, got {weight}");
        problems.check(weight >= 0.0 && weight.is_finite(), "triplet.weight", why);
        let margin = self.margin;
        problems.check(margin.is_finite(), "triplet.margin", || {
            format!("must be finite, got {margin}")
        });
    }
}

/// The classifier on sampled text latents, for `scoring: classifier`.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct ClassifierConfig {
    /// Samples of each candidate's text latent, at least 1. Default: official code's 500.
    pub samples: i64,
    /// Steps, each on all samples, at least 1. Default: official code's 300.
    pub steps: u32,
    /// Learning rate of Adam, above 0. Default: official code's 1e-3.
    pub lr: f64,
    /// What follows its layer: with `relu`, negative logits become 0 and ties go to the first candidate. Default: `relu`
    /// (official code).
    pub output: Activation,
    /// As `samples`, where weights are judged on seen validation samples after a cycle. Default: 100 (ours).
    pub validation_samples: i64,
    /// As `steps`, where weights are judged on seen validation samples after a cycle. Default: 300 (ours).
    pub validation_steps: u32,
}

impl Default for ClassifierConfig {
    fn default() -> Self {
        Self {
            samples: 500,
            steps: 300,
            lr: 1e-3,
            output: Activation::default(),
            validation_samples: 100,
            validation_steps: 300,
        }
    }
}

impl ClassifierConfig {
    /// Adds what is wrong with it, under its field's name.
    pub fn validate(&self, problems: &mut Problems) {
        let counts = [
            ("classifier.samples", self.samples),
            ("classifier.steps", i64::from(self.steps)),
            ("classifier.validation_samples", self.validation_samples),
            ("classifier.validation_steps", i64::from(self.validation_steps)),
        ];
        for (field, value) in counts {
            problems.check(value >= 1, field, || format!("must be at least 1, got {value}"));
        }
        check_positive(problems, "classifier.lr", self.lr);
    }

    /// The cheaper one that judges weights in training.
    pub fn for_validation(self) -> Self {
        Self {
            samples: self.validation_samples,
            steps: self.validation_steps,
            ..self
        }
    }
}

/// Refuses what is not above 0 and finite.
pub fn check_positive(problems: &mut Problems, field: &str, value: f64) {
    let ok = value > 0.0 && value.is_finite();
    problems.check(ok, field, || format!("must be above 0, got {value}"));
}

/// The options of an aligner that scoring depends on.
#[derive(Clone, Debug)]
pub struct Common {
    /// Texts of each text encoder, in the order of the latent's parts.
    pub texts: Vec<Vec<Granularity>>,
    /// How samples are drawn.
    pub noise: Noise,
    /// How candidates are scored.
    pub scoring: Scoring,
    /// How latent means are compared.
    pub similarity: Similarity,
    /// Multiplies the logits of `scoring: latent`.
    pub scale: f64,
    /// The classifier.
    pub classifier: ClassifierConfig,
}

impl Common {
    /// Adds what is wrong with it, under the fields' names; `field` is that of the texts.
    pub fn validate(&self, field: &str, problems: &mut Problems) {
        check_positive(problems, "scale", self.scale);
        self.classifier.validate(problems);
        let all = self.granularities();
        let twice = all.iter().enumerate().find(|(i, g)| all[..*i].contains(g));
        if let Some((_, name)) = twice {
            problems.add(field, format!("`{name}` is there twice"));
        }
    }

    /// Every text that is used, in the order of the encoders.
    pub fn granularities(&self) -> Vec<Granularity> {
        self.texts.concat()
    }

    /// True when scores are dot products with the anchors.
    pub fn is_linear(&self) -> bool {
        self.scoring == Scoring::Latent && self.similarity == Similarity::Dot
    }

    /// What the aligner offers and needs.
    pub fn capabilities(&self) -> Capabilities {
        Capabilities {
            features: FeatureNeed::Pooled,
            granularities: self.granularities(),
            differentiable_in_anchors: self.scoring == Scoring::Latent,
            differentiable_in_features: true,
            visual_embeddings: true,
            node_embeddings: true,
            ..Capabilities::default()
        }
    }
}
