//! Options of `adanpc`.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use szar_core::{
    AdapterConfig, BuildContext, ComponentInfo, ComponentKind, Mark, Problems, Requirements, Result,
    TestTimeAdapter,
};

use super::AdaNpc;

/// What is held against `beta`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Confidence {
    /// The largest vote.
    #[default]
    Single,
    /// The largest of a softmax over the votes, as the released code has it: at most e / (e + C - 1).
    Official,
}

/// What the answer holds.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Answer {
    /// The logarithms of the votes: logits whose softmax is the votes.
    #[default]
    LogVotes,
    /// The votes, as published: between 0 and 1.
    Votes,
}

/// How much of a batch a sample's answer may know.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Update {
    /// The whole batch is remembered at once, as published: answers depend on the size of the batch.
    #[default]
    Batch,
    /// Sample after sample, as if they came one at a time.
    Sample,
}

/// The word for no limit.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Unbounded {
    /// The memory grows with the stream.
    None,
}

/// How many samples a class remembers.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(untagged)]
pub enum Capacity {
    /// This many, the newest.
    Samples(usize),
    /// All.
    Word(Unbounded),
}

impl Capacity {
    /// The limit, if there is one.
    pub fn limit(self) -> Option<usize> {
        match self {
            Self::Samples(count) => Some(count),
            Self::Word(Unbounded::None) => None,
        }
    }
}

/// Options of the `adanpc` adapter.
#[derive(Clone, Debug, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct AdaNpcConfig {
    /// Neighbours that vote, from 1; at most as many as are remembered. Default: the released code's 100.
    pub k: usize,
    /// Divides the similarities before the softmax over the neighbours; above 0. Default: the released code's 0.1.
    pub temperature: f64,
    /// Samples with at least this confidence are remembered; 0 to 1.1, where all above 1 is never. Default: the released code's 0.1.
    pub beta: f64,
    /// What is held against `beta`. Default: single.
    pub confidence: Confidence,
    /// When every sample of a step has a neighbour at least this similar, all such neighbours vote instead of the `k`
    /// nearest; cosine, -1 to 1. Default: null, off.
    pub eps_ball: Option<f64>,
    /// Samples that a class remembers, the newest, from 1; or `none` for all, as published. Default: 16 (ours).
    pub capacity: Capacity,
    /// Start with one random vector labelled as the first class, as the released code does. Default: false.
    pub noise_row: bool,
    /// Whole batches or sample after sample. Default: batch, as published.
    pub update: Update,
    /// What the answer holds. Default: log_votes.
    pub answer: Answer,
    /// Put an adapting batch normalisation before the memory. Default: false.
    pub bn: bool,
    /// Passes over each batch with `bn`, from 1. Default: 1.
    pub steps: usize,
    /// Learning rate of Adam with `bn`; above 0. Default: 0.001.
    pub lr: f64,
}

impl Default for AdaNpcConfig {
    fn default() -> Self {
        Self {
            k: 100,
            temperature: 0.1,
            beta: 0.1,
            confidence: Confidence::default(),
            eps_ball: None,
            capacity: Capacity::Samples(16),
            noise_row: false,
            update: Update::default(),
            answer: Answer::default(),
            bn: false,
            steps: 1,
            lr: 1e-3,
        }
    }
}

#[typetag::serde(name = "adanpc")]
impl AdapterConfig for AdaNpcConfig {
    fn validate(&self, problems: &mut Problems) {
        problems.check(self.k > 0, "k", || "must be 1 or more, got 0".into());
        let limit = self.capacity.limit();
        let fits = limit.is_none_or(|n| (1..=65536).contains(&n));
        problems.check(fits, "capacity", || {
            format!(
                "must be between 1 and 65536, or `none`, got {}",
                limit.unwrap_or(0)
            )
        });
        for (field, value) in [("temperature", self.temperature), ("lr", self.lr)] {
            let ok = value.is_finite() && value > 0.0;
            problems.check(ok, field, || format!("must be above 0, got {value}"));
        }
        let beta = self.beta;
        problems.check((0.0..=1.1).contains(&beta), "beta", || {
            format!("must be between 0 and 1.1, got {beta}")
        });
        let ball = self.eps_ball.unwrap_or(0.0);
        problems.check((-1.0..=1.0).contains(&ball), "eps_ball", || {
            format!("must be between -1 and 1, got {ball}")
        });
        problems.check((1..=100).contains(&self.steps), "steps", || {
            format!("must be between 1 and 100, got {}", self.steps)
        });
        let apart = self.bn && self.update == Update::Sample;
        problems.check(!apart, "update", || {
            "must be `batch` with `bn`: a single sample has no batch statistics".into()
        });
    }

    fn requirements(&self) -> Requirements {
        Requirements {
            visual_embeddings: true,
            batch: if self.bn { 2 } else { 0 },
            ..Requirements::default()
        }
    }

    fn marks(&self) -> Vec<Mark> {
        let unbounded = self.capacity.limit().is_none();
        let text = "adanpc: the memory grows with the stream (capacity: none)";
        unbounded.then(|| Mark::note(text)).into_iter().collect()
    }

    fn per_sample(&self) -> bool {
        self.update == Update::Sample && !self.bn
    }

    fn holds_streams(&self) -> bool {
        true
    }

    fn build(&self, _: &BuildContext) -> Result<Box<dyn TestTimeAdapter>> {
        Ok(Box::new(AdaNpc::new(self)))
    }
}

inventory::submit! {
    ComponentInfo::new::<AdaNpcConfig>(
        ComponentKind::Adapter,
        "adanpc",
        "Lets the nearest remembered vectors vote, and remembers the samples that it is sure of.",
        "AdaNPC, ICML 2023",
    )
}
