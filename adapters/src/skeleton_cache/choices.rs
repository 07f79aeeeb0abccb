//! Words that the options of `skeleton-cache` choose from, and what a preset stands for.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use szar_core::descriptors::TemporalSplit;

/// A named set of behaviours; an option that is given itself wins over the preset.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Preset {
    /// Balanced logits, and a vote of the neighbours among all remembered samples (ours): what was found to do no harm and to
    /// help on classes held out of the seen ones.
    #[default]
    Balanced,
    /// The paper's cache, but predict first, store by the zero-shot answer, never match a sample with itself (ours).
    None,
    /// Algorithm 1 of the paper: store first, so that a stored sample also matches itself.
    Paper,
    /// The released code: store by the refined answer, hedge copies, second pass, thirds by rounding.
    Official,
}

/// Whether a sample is answered before or after it may enter the cache.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Order {
    /// The sample meets the cache as the samples before it left it.
    PredictThenUpdate,
    /// The sample enters first.
    UpdateThenPredict,
}

/// Which posterior names the class and the entropy that a sample is stored with.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Signal {
    /// That of the logits before the cache.
    ZeroShot,
    /// That of the logits after the cache, as it was before the sample.
    Refined,
}

/// Whether the stream is scored again with the finished cache.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum SecondPass {
    /// Never.
    Off,
    /// As in the released code: when every class is full and the mean of the largest logits exceeds 0.85.
    Official,
}

/// Whose weights fuse the descriptors.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum WeightRow {
    /// Those of the class with the largest logit before the cache, for all candidates.
    Predicted,
    /// Each candidate's own.
    PerClass,
}

/// What a class of candidates without weights in the prior means.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum MissingPrior {
    /// A mistake.
    #[default]
    Error,
    /// Equal weights for it.
    Uniform,
}

/// How the affinities of a class's entries become its score.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Accumulate {
    /// Their sum: a class with more entries scores higher.
    Sum,
    /// Their mean.
    Mean,
    /// None of the two: every entry of every class votes with the logits its sample had, weighted by its affinity; the
    /// mean vote counts N / (N + C), N being the number of entries.
    Soft,
}

/// What is subtracted from the descriptors.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Centre {
    /// Nothing.
    #[default]
    None,
    /// The mean of the samples before this one in the stream, slot by slot.
    StreamMean,
}

/// What is done to the logits before anything else.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum LogitNorm {
    /// Nothing.
    #[default]
    None,
    /// Logarithm of the softmax.
    LogSoftmax,
    /// Mean 0 and standard deviation 1 over the candidates of each sample.
    Zscore,
}

/// Where alpha and beta come from.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Protocol {
    /// `alpha` and `beta` as given.
    #[default]
    Fixed,
    /// The best pair of `alpha_grid` x `beta_grid` by TEST accuracy, as published; every report says so.
    TestTuned,
}

/// The behaviour that options and preset come to.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct Behaviour {
    pub order: Order,
    pub signal: Signal,
    pub exclude_self: bool,
    pub hedge_margin: f64,
    pub second_pass: SecondPass,
    pub weight_row: WeightRow,
    pub temporal_split: TemporalSplit,
    pub accumulate: Accumulate,
    pub capacity: usize,
    pub alpha: f64,
    pub beta: f64,
    pub balanced: bool,
}

impl Behaviour {
    /// That of a preset.
    pub fn of(preset: Preset) -> Self {
        let ours = Self {
            order: Order::PredictThenUpdate,
            signal: Signal::ZeroShot,
            exclude_self: true,
            hedge_margin: 0.0,
            second_pass: SecondPass::Off,
            weight_row: WeightRow::Predicted,
            temporal_split: TemporalSplit::Floor,
            accumulate: Accumulate::Sum,
            capacity: 8,
            alpha: 5.0,
            beta: 3.0,
            balanced: false,
        };
        match preset {
            Preset::Balanced => Self {
                accumulate: Accumulate::Soft,
                capacity: 32,
                alpha: 1.0,
                beta: 30.0,
                balanced: true,
                ..ours
            },
            Preset::None => ours,
            Preset::Paper => Self {
                order: Order::UpdateThenPredict,
                exclude_self: false,
                ..ours
            },
            Preset::Official => Self {
                signal: Signal::Refined,
                hedge_margin: 0.5,
                second_pass: SecondPass::Official,
                temporal_split: TemporalSplit::Round,
                ..ours
            },
        }
    }
}
