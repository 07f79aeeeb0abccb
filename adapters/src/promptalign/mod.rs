//! `promptalign`: tunes a prompt on each sample alone, so that confident views of it agree and look like what was
//! trained on.
//!
//! Source: Abdul Samadh et al., "Align Your Prompts: Test-Time Prompting with Distribution Alignment for Zero-Shot
//! Generalization", NeurIPS 2023, section 3; released code jameelhassan/PromptAlign. It extends the objective of TPT.
//!
//! | symbol  | here        | shape              | meaning                                                        |
//! |---------|-------------|--------------------|----------------------------------------------------------------|
//! | `x`     | `views`     | `[V, N, T', V']`   | views of one sample, itself first                              |
//! | `p`     | `text`      | `[1 or C, G, d]`   | what is added to the anchors                                   |
//! | `q`     | `visual`    | `[1, N, 1, 1]`     | what is added to every node of the features                    |
//! | `H`     | `marginal_entropy` | scalar      | entropy of the mean posterior of the most confident views      |
//! | `μ, σ²` | `Tokens`    | `[L, N]`           | mean and variance of the views' tokens; with a hat, in training |
//!
//! Per sample: `p = q = 0`; one AdamW step (or more) on `H + β (|μ − μ̂|₁ + |σ² − σ̂²|₁)`; the sample itself is scored under
//! what came of it. The confident views are chosen in the first step. Nothing is kept between samples, and a batch
//! gives bit for bit what its samples give one by one.
//!
//! The paper's prompts are inputs of the transformers of CLIP on both sides. Skeleton pipelines have a text side that is
//! computed beforehand and features that are an encoder's output, so that the prompts here are residuals on both; a moved
//! anchor keeps its length. The tokens are those of the aligner ([`szar_core::Aligner::tokens`]), one layer where CLIP has several.
//!
//! Where paper and code differ: the paper sums the distances over all components (`distance: sum`) and takes the statistics
//! over all views (`align_share: 1`); the code halves both distances, averages over components, and takes the confident views.

mod adapter;
mod objective;
#[cfg(test)]
mod tests;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use szar_core::{
    AdapterConfig, BuildContext, ComponentInfo, ComponentKind, Problems, Requirements, Result,
    TestTimeAdapter,
};

use crate::views::ViewsConfig;

pub use adapter::{PromptAlign, adapt};

/// Which residuals are tuned.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Parameters {
    /// On the anchors and on the features.
    #[default]
    Both,
    /// On the anchors alone.
    Text,
    /// On the features alone.
    Visual,
}

/// How the distance between two statistics is counted.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Distance {
    /// Half the mean absolute difference, as in the released code.
    #[default]
    Mean,
    /// The sum of absolute differences, as in the paper.
    Sum,
}

/// Options of the `promptalign` adapter.
#[derive(Clone, Debug, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct PromptAlignConfig {
    /// How views of a sample are made. Default: 64 views, as published, of skeletons.
    pub views: ViewsConfig,
    /// Which residuals are tuned. Default: both, as in the paper.
    pub parameters: Parameters,
    /// One residual on the anchors for all classes, as a prompt is shared; or one per class. Default: true.
    pub shared: bool,
    /// AdamW steps on each sample, from 1. Default: the paper's 1.
    pub steps: u32,
    /// Learning rate; above 0. Default: 0.0005, that of the released code for other datasets (0.04 for shifted images).
    pub lr: f64,
    /// Decoupled weight decay; 0 or more. Default: AdamW's 0.01, as in the released code.
    pub weight_decay: f64,
    /// Share of the views, those of least entropy, whose mean posterior is sharpened; above 0, up to 1, one view at least.
    /// Default: the paper's 0.1.
    pub select_share: f64,
    /// Share of the views, those of least entropy, whose tokens are aligned; above 0, up to 1, one view at least.
    /// Default: the released code's 0.1 (the paper's formula takes all).
    pub align_share: f64,
    /// beta, weight of the distances between tokens and training; 0 or more. Default: the paper's 100.
    pub beta: f64,
    /// How a distance is counted. Default: mean, as in the released code.
    pub distance: Distance,
    /// Sharpen the mean posterior at all. Default: true.
    pub entropy: bool,
    /// Multiplies the logits in the entropies (not those given back); above 0. Default: 1, for aligners whose logits
    /// are scaled already.
    pub logit_scale: f64,
}

impl Default for PromptAlignConfig {
    fn default() -> Self {
        Self {
            views: ViewsConfig::default(),
            parameters: Parameters::Both,
            shared: true,
            steps: 1,
            lr: 5e-4,
            weight_decay: 0.01,
            select_share: 0.1,
            align_share: 0.1,
            beta: 100.0,
            distance: Distance::Mean,
            entropy: true,
            logit_scale: 1.0,
        }
    }
}

#[typetag::serde(name = "promptalign")]
impl AdapterConfig for PromptAlignConfig {
    fn validate(&self, problems: &mut Problems) {
        problems.scoped("views", |problems| self.views.validate(problems));
        problems.check((1..=1000).contains(&self.steps), "steps", || {
            format!("must be between 1 and 1000, got {}", self.steps)
        });
        for (field, value) in [("lr", self.lr), ("logit_scale", self.logit_scale)] {
            problems.check(value.is_finite() && value > 0.0, field, || {
                format!("must be above 0, got {value}")
            });
        }
        for (field, value) in [("weight_decay", self.weight_decay), ("beta", self.beta)] {
            problems.check(value.is_finite() && value >= 0.0, field, || {
                format!("must be 0 or more, got {value}")
            });
        }
        for (field, share) in [
            ("select_share", self.select_share),
            ("align_share", self.align_share),
        ] {
            problems.check(share > 0.0 && share <= 1.0, field, || {
                format!("must be above 0 and at most 1, got {share}")
            });
        }
        let aimless = !self.entropy && self.beta == 0.0;
        problems.check(!aimless, "entropy", || {
            "false, with `beta: 0`, leaves nothing to tune for".into()
        });
    }

    fn requirements(&self) -> Requirements {
        Requirements {
            tokens: self.beta > 0.0,
            differentiable_in_anchors: self.parameters != Parameters::Visual,
            differentiable_in_features: self.parameters != Parameters::Text,
            ..self.views.requirements()
        }
    }

    fn holds_streams(&self) -> bool {
        true
    }

    fn build(&self, _: &BuildContext) -> Result<Box<dyn TestTimeAdapter>> {
        Ok(Box::new(PromptAlign::new(self)))
    }
}

inventory::submit! {
    ComponentInfo::new::<PromptAlignConfig>(
        ComponentKind::Adapter,
        "promptalign",
        "Tunes residuals on anchors and features for each sample, so that its views agree and look like training.",
        "PromptAlign, NeurIPS 2023, arXiv 2311.01459",
    )
}
