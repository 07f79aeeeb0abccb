//! Options of `tda`.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use szar_core::{
    AdapterConfig, BuildContext, ComponentInfo, ComponentKind, Problems, Requirements, Result,
    TestTimeAdapter,
};

use super::{Order, Tda};

/// The published constants of the positive cache, by the data set they were chosen for.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Preset {
    /// alpha 2, beta 5.
    #[default]
    Imagenet,
    /// alpha 2, beta 5.
    ImagenetA,
    /// alpha 1, beta 8.
    ImagenetV,
    /// alpha 1, beta 8.
    ImagenetR,
    /// alpha 2.363, beta 7.45.
    ImagenetS,
    /// alpha 5, beta 5.
    Caltech101,
    /// alpha 2, beta 3.
    Dtd,
    /// alpha 4, beta 8.
    Eurosat,
    /// alpha 2, beta 2.
    FgvcAircraft,
    /// alpha 1, beta 1.
    Food101,
    /// alpha 1, beta 5.
    OxfordFlowers,
    /// alpha 2, beta 7.
    OxfordPets,
    /// alpha 1, beta 7.
    StanfordCars,
    /// alpha 2, beta 3.
    Sun397,
    /// alpha 3, beta 8.
    Ucf101,
}

impl Preset {
    /// alpha and beta.
    fn constants(self) -> (f64, f64) {
        match self {
            Self::Imagenet | Self::ImagenetA => (2.0, 5.0),
            Self::ImagenetV | Self::ImagenetR => (1.0, 8.0),
            Self::ImagenetS => (2.363, 7.45),
            Self::Caltech101 => (5.0, 5.0),
            Self::Dtd | Self::Sun397 => (2.0, 3.0),
            Self::Eurosat => (4.0, 8.0),
            Self::FgvcAircraft => (2.0, 2.0),
            Self::Food101 => (1.0, 1.0),
            Self::OxfordFlowers => (1.0, 5.0),
            Self::OxfordPets => (2.0, 7.0),
            Self::StanfordCars => (1.0, 7.0),
            Self::Ucf101 => (3.0, 8.0),
        }
    }
}

/// What a sample is remembered and compared by.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Keys {
    /// The aligner's vector of the sample.
    #[default]
    Embedding,
    /// The encoder's pooled features; works with every aligner.
    Pooled,
}

/// What entropies are divided by before they meet the negative cache's band.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum EntropyUnit {
    /// Nats by log2 C, as the released code has it: at most 0.693.
    #[default]
    Log2,
    /// Nats by ln C: at most 1.
    Ln,
}

/// Which samples of the band the negative cache keeps.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Keep {
    /// Those with the lowest entropy, as the released code has it.
    #[default]
    Lowest,
    /// Those with the highest entropy.
    Highest,
}

/// Options of the cache of samples that the model is sure of.
#[derive(Clone, Debug, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct PositiveConfig {
    /// Is there such a cache? Default: true, as published.
    pub enabled: bool,
    /// Entries per class, 1 to 4096. Default: the published 3.
    pub capacity: usize,
    /// Factor of its score; 0 or more, in logits. Default: that of `preset`.
    pub alpha: Option<f64>,
    /// Sharpness of the affinity exp(-beta (1 - cos)); 0 or more, no unit. Default: that of `preset`.
    pub beta: Option<f64>,
}

impl Default for PositiveConfig {
    fn default() -> Self {
        Self {
            enabled: true,
            capacity: 3,
            alpha: None,
            beta: None,
        }
    }
}

/// Options of the cache of samples that the model doubts.
#[derive(Clone, Debug, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct NegativeConfig {
    /// Is there such a cache? Default: true, as published.
    pub enabled: bool,
    /// Entries per class, 1 to 4096. Default: the published 2.
    pub capacity: usize,
    /// Factor of its score; 0 or more, in logits. Default: the published 0.117.
    pub alpha: f64,
    /// Sharpness of the affinity exp(-beta (1 - cos)); 0 or more, no unit. Default: the published 1.
    pub beta: f64,
    /// A sample enters when its normalised entropy lies above this; 0 to 1. Default: the published 0.2.
    pub entropy_lower: f64,
    /// A sample enters when its normalised entropy lies below this; 0 to 1. Default: the published 0.5.
    pub entropy_upper: f64,
    /// Classes count as probably wrong for an entry when their probability lay above this; 0 to 1. Default: the published 0.03.
    pub mask_lower: f64,
    /// Classes count as probably wrong for an entry when their probability lay below this; 0 to 1. Default: the published 1.
    pub mask_upper: f64,
    /// Which samples of the band are kept when a class is full. Default: lowest, as published.
    pub keep: Keep,
}

impl Default for NegativeConfig {
    fn default() -> Self {
        Self {
            enabled: true,
            capacity: 2,
            alpha: 0.117,
            beta: 1.0,
            entropy_lower: 0.2,
            entropy_upper: 0.5,
            mask_lower: 0.03,
            mask_upper: 1.0,
            keep: Keep::Lowest,
        }
    }
}

/// Options of the `tda` adapter.
#[derive(Clone, Debug, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct TdaConfig {
    /// Fills `positive.alpha` and `positive.beta` where they are not given. Default: imagenet (2 and 5).
    pub preset: Preset,
    /// What a sample is compared by. Default: embedding, as published.
    pub keys: Keys,
    /// Divides the logits before the softmax that posteriors, entropies and masks come from; above 0. The answer keeps the
    /// logits' own scale. Default: 1, for logits like the published 100 cos.
    pub temperature: f64,
    /// Answer first or store first. Default: update_then_predict, as published: a stored sample meets itself.
    pub order: Order,
    /// What entropies are divided by before they meet the band. Default: log2, as published.
    pub entropy_unit: EntropyUnit,
    /// The cache of samples that the model is sure of.
    pub positive: PositiveConfig,
    /// The cache of samples that the model doubts.
    pub negative: NegativeConfig,
}

impl Default for TdaConfig {
    fn default() -> Self {
        Self {
            preset: Preset::default(),
            keys: Keys::default(),
            temperature: 1.0,
            order: Order::UpdateThenPredict,
            entropy_unit: EntropyUnit::default(),
            positive: PositiveConfig::default(),
            negative: NegativeConfig::default(),
        }
    }
}

impl TdaConfig {
    /// alpha and beta of the positive cache.
    pub(super) fn positive_constants(&self) -> (f64, f64) {
        let (alpha, beta) = self.preset.constants();
        (
            self.positive.alpha.unwrap_or(alpha),
            self.positive.beta.unwrap_or(beta),
        )
    }
}

fn check_cache(problems: &mut Problems, capacity: usize, alpha: f64, beta: f64) {
    problems.check((1..=4096).contains(&capacity), "capacity", || {
        format!("must be between 1 and 4096, got {capacity}")
    });
    for (field, value) in [("alpha", alpha), ("beta", beta)] {
        let ok = value.is_finite() && value >= 0.0;
        problems.check(ok, field, || format!("must be 0 or more, got {value}"));
    }
}

fn check_band(problems: &mut Problems, names: [&str; 2], lower: f64, upper: f64) {
    for (field, value) in names.into_iter().zip([lower, upper]) {
        let ok = (0.0..=1.0).contains(&value);
        problems.check(ok, field, || format!("must be between 0 and 1, got {value}"));
    }
    let crossed = lower >= upper;
    problems.check(!crossed, names[0], || {
        format!("must be below `{}` ({upper}), got {lower}", names[1])
    });
}

#[typetag::serde(name = "tda")]
impl AdapterConfig for TdaConfig {
    fn validate(&self, problems: &mut Problems) {
        let t = self.temperature;
        problems.check(t.is_finite() && t > 0.0, "temperature", || {
            format!("must be above 0, got {t}")
        });
        let (positive, negative) = (&self.positive, &self.negative);
        problems.check(positive.enabled || negative.enabled, "positive.enabled", || {
            "both caches are off: nothing would be adapted".into()
        });
        let (alpha, beta) = self.positive_constants();
        problems.scoped("positive", |p| check_cache(p, positive.capacity, alpha, beta));
        problems.scoped("negative", |p| {
            check_cache(p, negative.capacity, negative.alpha, negative.beta);
            let (lower, upper) = (negative.entropy_lower, negative.entropy_upper);
            check_band(p, ["entropy_lower", "entropy_upper"], lower, upper);
            check_band(
                p,
                ["mask_lower", "mask_upper"],
                negative.mask_lower,
                negative.mask_upper,
            );
        });
    }

    fn requirements(&self) -> Requirements {
        Requirements {
            visual_embeddings: self.keys == Keys::Embedding,
            ..Requirements::default()
        }
    }

    fn holds_streams(&self) -> bool {
        true
    }

    fn build(&self, _: &BuildContext) -> Result<Box<dyn TestTimeAdapter>> {
        Ok(Box::new(Tda::new(self)))
    }
}

inventory::submit! {
    ComponentInfo::new::<TdaConfig>(
        ComponentKind::Adapter,
        "tda",
        "Caches samples that the model is sure of and samples that it doubts, and scores by likeness to both.",
        "TDA, CVPR 2024",
    )
}
