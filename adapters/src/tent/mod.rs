//! `tent`: on every batch, moves scale and shift of the normalisation layers towards sharper answers.
//!
//! Source: Wang et al., "Tent: Fully Test-Time Adaptation by Entropy Minimization", ICLR 2021, section 3; released code
//! DequanWang/tent.
//!
//! | symbol | here      | shape    | meaning                                                              |
//! |--------|-----------|----------|----------------------------------------------------------------------|
//! | `γ, β` | `affine`  | `[N]`    | scale and shift of each normalisation layer                          |
//! | `z`    | `logits`  | `[B, C]` | the aligner's scores under them, normalised by the batch's statistics |
//! | `H`    | `entropy` | scalar   | mean over the batch of the entropy of `softmax(logit_scale · z)`     |
//!
//! A step scores the batch under `γ, β`, takes one gradient step on `H`, and gives back the scores from before it, as
//! published (`answer: after_update` scores once more). Everything else of the model stays. The released code moves the
//! layers over maps alone (`BatchNorm2d`); here all normalisation layers of the aligner move unless `layers` names some.
//! The encoder has run when an adapter begins, so its layers are never moved.
//!
//! The answer to a sample depends on the other samples of its batch. Each stream has its own `γ, β`, and the samples of one
//! stream in a batch are a batch of their own; where they are fewer than `min_batch`, they keep the scores they came with
//! and nothing moves. State per stream: `γ, β` and the optimiser's moments, on the device of the task; nothing is copied to
//! the host.

mod adapter;
mod golden;
mod state;
#[cfg(test)]
mod tests;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use szar_core::optim::Rule;
use szar_core::{
    AdapterConfig, BuildContext, ComponentInfo, ComponentKind, Problems, Requirements, Result,
    TestTimeAdapter,
};

pub use adapter::Tent;

/// How scale and shift are moved.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum Optimiser {
    /// Adam, moments decaying by 0.9 and 0.999.
    #[default]
    Adam,
    /// Stochastic gradient descent with Nesterov's momentum.
    Sgd,
}

/// Which scores are given back.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Answer {
    /// Those that the last gradient was taken of.
    #[default]
    BeforeUpdate,
    /// Those after the last update, at the price of another pass.
    AfterUpdate,
}

/// Options of the `tent` adapter.
#[derive(Clone, Debug, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct TentConfig {
    /// Learning rate; above 0. Default: the paper's 0.001.
    pub lr: f64,
    /// Gradient steps on each batch, from 1. Default: the paper's 1.
    pub steps: u32,
    /// Forget everything before each batch. Default: false, as in the paper.
    pub episodic: bool,
    /// Pulls scale and shift towards 0, added to the gradient; 0 or more. Default: the released code's 0.
    pub weight_decay: f64,
    /// How scale and shift are moved. Default: adam, as in the paper.
    pub optimiser: Optimiser,
    /// Momentum of `optimiser: sgd`; `0 ..< 1`. Default: the released code's 0.9.
    pub momentum: f64,
    /// Which scores are given back. Default: before_update, as published.
    pub answer: Answer,
    /// Multiplies the logits inside the entropy (not those given back); above 0. Default: 1, as published.
    pub logit_scale: f64,
    /// Names of the layers to move; the others keep scale and shift. Default: empty, all of them.
    pub layers: Vec<String>,
    /// Samples of a stream that a batch must have to be adapted on, from 1; others keep their scores. 1 is sound only for
    /// layers that see more than one row of a sample. Default: 2.
    pub min_batch: usize,
}

impl Default for TentConfig {
    fn default() -> Self {
        Self {
            lr: 1e-3,
            steps: 1,
            episodic: false,
            weight_decay: 0.0,
            optimiser: Optimiser::Adam,
            momentum: 0.9,
            answer: Answer::BeforeUpdate,
            logit_scale: 1.0,
            layers: Vec::new(),
            min_batch: 2,
        }
    }
}

impl TentConfig {
    fn rule(&self) -> Rule {
        match self.optimiser {
            Optimiser::Adam => Rule::Adam,
            Optimiser::Sgd => Rule::Sgd {
                momentum: self.momentum,
                nesterov: self.momentum > 0.0,
            },
        }
    }
}

#[typetag::serde(name = "tent")]
impl AdapterConfig for TentConfig {
    fn validate(&self, problems: &mut Problems) {
        for (field, value) in [("lr", self.lr), ("logit_scale", self.logit_scale)] {
            problems.check(value.is_finite() && value > 0.0, field, || {
                format!("must be above 0, got {value}")
            });
        }
        problems.check((1..=1000).contains(&self.steps), "steps", || {
            format!("must be between 1 and 1000, got {}", self.steps)
        });
        let decay = self.weight_decay;
        problems.check(decay.is_finite() && decay >= 0.0, "weight_decay", || {
            format!("must be 0 or more, got {decay}")
        });
        problems.check((0.0..1.0).contains(&self.momentum), "momentum", || {
            format!("must be at least 0 and below 1, got {}", self.momentum)
        });
        problems.check(self.min_batch >= 1, "min_batch", || {
            "must be 1 or more, got 0".into()
        });
        for (i, layer) in self.layers.iter().enumerate() {
            problems.check(!self.layers[..i].contains(layer), &format!("layers[{i}]"), || {
                format!("`{layer}` is listed twice")
            });
        }
    }

    fn requirements(&self) -> Requirements {
        Requirements {
            normalisation_layers: true,
            batch: self.min_batch,
            ..Requirements::default()
        }
    }

    fn per_sample(&self) -> bool {
        false
    }

    fn holds_streams(&self) -> bool {
        true
    }

    fn build(&self, _: &BuildContext) -> Result<Box<dyn TestTimeAdapter>> {
        Ok(Box::new(Tent::new(self)))
    }
}

inventory::submit! {
    ComponentInfo::new::<TentConfig>(
        ComponentKind::Adapter,
        "tent",
        "Moves scale and shift of the normalisation layers towards answers of less entropy, batch by batch.",
        "Tent, ICLR 2021, arXiv 2006.10726",
    )
}
