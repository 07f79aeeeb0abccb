//! Options of the training loop.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use szar_core::Problems;
use szar_core::optim::{Rule, Schedule};

use super::Augmentation;

/// How an encoder is trained as a classifier of the seen classes. The defaults are ours, for a few epochs on
/// thousands of sequences.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct TrainConfig {
    /// Passes over the training part, `1 ..`. Default 12.
    pub epochs: u32,
    /// B, samples per update, `1 ..`. Default 64.
    pub batch: usize,
    /// Update rule. Default `{rule: adam-w}`.
    pub optimiser: Rule,
    /// Full learning rate, `> 0`. Default 2e-3.
    pub lr: f64,
    /// Weight decay, `0 ..`. Default 0.01.
    pub weight_decay: f64,
    /// How the learning rate moves. Default `{shape: one-cycle, warmup: 0.3}`.
    pub schedule: Schedule,
    /// Share of the target probability that is spread over all classes, `0 ..< 1`. Default 0.1.
    pub label_smoothing: f64,
    /// Largest joint norm of the gradients, `> 0`; `null` leaves them as they are. Default 5.
    pub grad_clip: Option<f64>,
    /// Epochs without a better validation accuracy after which training stops, `1 ..`; `null` (default) never stops early.
    pub patience: Option<u32>,
    /// Random changes of the training sequences.
    pub augmentation: Augmentation,
}

impl Default for TrainConfig {
    fn default() -> Self {
        Self {
            epochs: 12,
            batch: 64,
            optimiser: Rule::AdamW,
            lr: 2e-3,
            weight_decay: 0.01,
            schedule: Schedule::OneCycle { warmup: 0.3 },
            label_smoothing: 0.1,
            grad_clip: Some(5.0),
            patience: None,
            augmentation: Augmentation::default(),
        }
    }
}

impl TrainConfig {
    /// Judges the options alone.
    pub fn validate(&self, problems: &mut Problems) {
        problems.check(self.epochs >= 1, "epochs", || "must be at least 1, got 0".into());
        problems.check(self.batch >= 1, "batch", || "must be at least 1, got 0".into());
        problems.check(self.patience != Some(0), "patience", || {
            "must be at least 1, got 0".into()
        });
        let lr = self.lr;
        problems.check(lr.is_finite() && lr > 0.0, "lr", || {
            format!("must be above 0, got {lr}")
        });
        let decay = self.weight_decay;
        problems.check(decay.is_finite() && decay >= 0.0, "weight_decay", || {
            format!("must be at least 0, got {decay}")
        });
        let smoothing = self.label_smoothing;
        problems.check((0.0..1.0).contains(&smoothing), "label_smoothing", || {
            format!("must be at least 0 and below 1, got {smoothing}")
        });
        let clip = self.grad_clip.unwrap_or(1.0);
        problems.check(clip > 0.0, "grad_clip", || format!("must be above 0, got {clip}"));
        self.validate_rules(problems);
        problems.scoped("augmentation", |p| self.augmentation.validate(p));
    }

    fn validate_rules(&self, problems: &mut Problems) {
        if let Rule::Sgd { momentum, .. } = self.optimiser {
            problems.check((0.0..1.0).contains(&momentum), "optimiser.momentum", || {
                format!("must be at least 0 and below 1, got {momentum}")
            });
        }
        match &self.schedule {
            Schedule::OneCycle { warmup } => {
                problems.check((0.0..1.0).contains(warmup), "schedule.warmup", || {
                    format!("must be at least 0 and below 1, got {warmup}")
                });
            }
            Schedule::Steps { factor, .. } => {
                problems.check(factor.is_finite() && *factor > 0.0, "schedule.factor", || {
                    format!("must be above 0, got {factor}")
                });
            }
            Schedule::Constant | Schedule::Cosine => {}
        }
    }
}
