//! Words that the options of `dynapurls` choose from, and what a preset stands for.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// A named set of behaviours; an option that is given itself wins over the preset.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Preset {
    /// Balanced logits, soft targets from the anchors as the texts give them, small damped steps every few samples (ours): what was
    /// found to do no harm and to help on classes held out of the seen ones.
    #[default]
    Balanced,
    /// The paper's algorithm with a threshold relative to the number of candidates (ours).
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

/// What remembered samples are pulled to.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Targets {
    /// The class they were taken for under the refined anchors.
    Hard,
    /// The posterior that the anchors as the texts give them had, sharpened (`sharpness`).
    Soft,
}

/// The length that refined anchors have.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Length {
    /// 1.
    Unit,
    /// That of the anchor as the text gives it.
    Kept,
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
    pub targets: Targets,
    pub length: Length,
    pub lr: f64,
    pub every: u64,
    pub pull: f64,
    /// Is the rate of the shift in units of the anchors' root mean square?
    pub relative_shift: bool,
    pub epsilon: f64,
    pub balanced: bool,
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
            targets: Targets::Hard,
            length: Length::Unit,
            lr: 0.01,
            every: 1,
            pull: 0.0,
            relative_shift: false,
            epsilon: 1e-8,
            balanced: false,
        };
        match self {
            Self::Balanced => Behaviour {
                sampling: Sampling::Weighted,
                schedule: Schedule::Constant,
                confidence: 0.0,
                equal_enters: false,
                targets: Targets::Soft,
                length: Length::Kept,
                lr: 0.003,
                every: 8,
                pull: 0.1,
                relative_shift: true,
                epsilon: 1e-12,
                balanced: true,
                ..paper
            },
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
