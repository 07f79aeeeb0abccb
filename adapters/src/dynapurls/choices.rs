//! Words that the options of `dynapurls` choose from, and what a preset stands for.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// A named set of behaviours; an option that is given itself wins over the preset.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Preset {
    /// The paper's algorithm with a threshold relative to the number of candidates (ours).
    #[default]
    None,
    /// Algorithm 1 of the paper: sample by sample, predict first, recomputed losses, a balanced batch.
    Paper,
    /// The released code: batches that are adapted to and then predicted, in training mode, with stale gradients of all
    /// remembered samples, weight decay, and a learning rate that alternates.
    Official,
}

/// When the anchors move.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Granule {
    /// After every sample, so that batches do not matter.
    Sample,
    /// After every batch.
    Batch,
}

/// Whether a sample is answered with the anchors before or after it moved them.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Order {
    /// Before.
    PredictThenUpdate,
    /// After.
    UpdateThenPredict,
}

/// Which remembered samples make a step.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Sampling {
    /// From every class that has any, the most confident ones, as many as the smallest class has.
    Balanced,
    /// From every class that has any, all of them, every class with the same weight in the loss.
    Weighted,
    /// All of them, each with the same weight.
    All,
}

/// What the confidence threshold is compared with.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum ThresholdScale {
    /// The largest probability itself; a softmax over C classes never gives less than 1/C.
    Absolute,
    /// The largest probability times C: 1 is a uniform posterior.
    Relative,
}

/// How the learning rate goes on from update to update.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Schedule {
    /// From `lr` to the floor by half a cosine over the stream, then stays.
    Cosine,
    /// A cosine whose half period is `steps`: with one step per batch it alternates between `lr` and the floor.
    Alternate,
    /// Stays.
    Constant,
}

/// Whose anchors move.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Adapted {
    /// All candidates (the paper's "full").
    #[default]
    All,
    /// Those of seen classes (the paper's "partial"); where all candidates are unseen, nothing moves.
    Seen,
    /// Those of unseen classes.
    Unseen,
}

/// What becomes of the scores of the adapter before.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Combine {
    /// The scores under the refined anchors take their place.
    #[default]
    Replace,
    /// What the refinement changes is added to them.
    AddChange,
}

/// All behaviours after the preset was applied.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct Behaviour {
    pub update: Granule,
    pub order: Order,
    pub train_mode: bool,
    pub stale: bool,
    pub sampling: Sampling,
    pub schedule: Schedule,
    pub weight_decay: f64,
    pub confidence: f64,
    pub scale: ThresholdScale,
    /// A full class also takes a sample that is as confident as its least confident one.
    pub equal_enters: bool,
}

impl Preset {
    pub(super) fn behaviour(self) -> Behaviour {
        let paper = Behaviour {
            update: Granule::Sample,
            order: Order::PredictThenUpdate,
            train_mode: false,
            stale: false,
            sampling: Sampling::Balanced,
            schedule: Schedule::Cosine,
            weight_decay: 0.0,
            confidence: 0.1,
            scale: ThresholdScale::Absolute,
            equal_enters: true,
        };
        match self {
            Self::Paper => paper,
            Self::None => Behaviour {
                confidence: 1.5,
                scale: ThresholdScale::Relative,
                ..paper
            },
            Self::Official => Behaviour {
                update: Granule::Batch,
                order: Order::UpdateThenPredict,
                train_mode: true,
                stale: true,
                sampling: Sampling::All,
                schedule: Schedule::Alternate,
                weight_decay: 1e-3,
                equal_enters: false,
                ..paper
            },
        }
    }
}
