//! Options of `dynapurls`.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use szar_core::{
    AdapterConfig, BuildContext, ComponentInfo, ComponentKind, Granularity, Mark, Problems, Requirements,
    Result, TestTimeAdapter,
};

use super::choices::Behaviour;
use super::{
    Adapted, Combine, DynaPurls, Granule, Length, Order, Preset, Sampling, Schedule, Targets, ThresholdScale,
};
use crate::balance::BalanceConfig;

/// Options of the `dynapurls` adapter.
#[derive(Clone, Debug, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct DynaPurlsConfig {
    /// Fills the options below that are not given (those that default to null). Default: balanced.
    pub preset: Preset,
    /// K, remembered samples per class, from 1. Default: the paper's 16.
    pub capacity: usize,
    /// Remember samples at all; without it a step sees the current confident samples alone. Default: the paper's true.
    pub memory_bank: bool,
    /// tau_conf: a sample is remembered when its largest probability (see `confidence_scale`) is above it. Preset balanced: 0;
    /// none: 1.5 times uniform; paper, official: 0.1.
    pub confidence: Option<f64>,
    /// Is `confidence` a probability, or in units of 1/C? Preset none: relative; others: absolute.
    pub confidence_scale: Option<ThresholdScale>,
    /// tau, divides the logits before the softmax, above 0, in logits: cosines want about 0.05 to 0.1. Where logits are
    /// balanced their running deviation takes its place. Default: 1 (official code).
    pub temperature: f64,
    /// What is done to the logits first (as the adapter `balance`). Preset balanced: its defaults; others: nothing.
    pub balance: Option<BalanceConfig>,
    /// What remembered samples are pulled to. Preset balanced: soft; others: hard.
    pub targets: Option<Targets>,
    /// Multiplies the logits of soft targets, above 0, no unit. Default: 2 (ours; chosen on held-out seen classes).
    pub sharpness: f64,
    /// The length of refined anchors. Preset balanced: kept; others: unit.
    pub length: Option<Length>,
    /// Samples of a stream from one update to the next, from 1; for `update: sample`. Preset balanced: 8; others: 1.
    pub every: Option<u64>,
    /// Share of the way back to the texts that every update ends with, 0 to 1. Preset balanced: 0.1; others: 0.
    pub pull: Option<f64>,
    /// Take the shift's learning rate in units of the anchors' root mean square. Preset balanced: true; others: false.
    pub relative_shift: Option<bool>,
    /// The term that keeps Adam from dividing by 0, above 0. Preset balanced: 1e-12; others: 1e-8.
    pub epsilon: Option<f64>,
    /// Remembered samples before the anchors move at all, from 1. Default: official code's 2.
    pub min_samples: usize,
    /// Steps of Adam per update, from 1. Default: the paper's 1.
    pub steps: u32,
    /// When the anchors move. Preset official: batch; others: sample.
    pub update: Option<Granule>,
    /// Answer first or update first. Preset official: update_then_predict; others: predict_then_update.
    pub order: Option<Order>,
    /// Learning rate of Adam at the start, above 0. Preset balanced: 0.003; others: the paper's 0.01.
    pub lr: Option<f64>,
    /// Where the learning rate ends, as a share of `lr`, 0 to 1. Default: official code's 0.1.
    pub lr_floor: f64,
    /// How the learning rate goes on. Preset balanced: constant; official: alternate; others: cosine.
    pub schedule: Option<Schedule>,
    /// Updates over which `cosine` falls, from 1. Default: the expected length of the stream.
    pub horizon: Option<u64>,
    /// Decay of scale and shift added to their gradient, 0 or more. Preset official: 0.001; others: 0.
    pub weight_decay: Option<f64>,
    /// Which remembered samples make a step. Preset balanced: weighted; official: all; others: balanced.
    pub sampling: Option<Sampling>,
    /// Keep the gradient a sample had when it was remembered, instead of a new one under the current anchors.
    /// Preset official: true; others: false.
    pub stale: Option<bool>,
    /// Batch statistics and dropout while adapting and predicting. `purls` has them with `partition: adaptive`, where a class
    /// asks: the true one under its `query: oracle_label`, as published, else the one that wins without them. Preset official:
    /// true; others: false.
    pub train_mode: Option<bool>,
    /// Names of the texts that are refined. Default: all that the aligner uses.
    pub granularities: Option<Vec<Granularity>>,
    /// Whose anchors move. Default: all (the paper's "full").
    pub classes: Adapted,
    /// What becomes of the scores of an adapter before this one. Default: replace.
    pub combine: Combine,
}

impl Default for DynaPurlsConfig {
    fn default() -> Self {
        Self {
            preset: Preset::Balanced,
            capacity: 16,
            memory_bank: true,
            confidence: None,
            confidence_scale: None,
            temperature: 1.0,
            balance: None,
            targets: None,
            sharpness: 2.0,
            length: None,
            every: None,
            pull: None,
            relative_shift: None,
            epsilon: None,
            min_samples: 2,
            steps: 1,
            update: None,
            order: None,
            lr: None,
            lr_floor: 0.1,
            schedule: None,
            horizon: None,
            weight_decay: None,
            sampling: None,
            stale: None,
            train_mode: None,
            granularities: None,
            classes: Adapted::All,
            combine: Combine::Replace,
        }
    }
}

impl DynaPurlsConfig {
    pub(super) fn behaviour(&self) -> Behaviour {
        let preset = self.preset.behaviour();
        Behaviour {
            update: self.update.unwrap_or(preset.update),
            order: self.order.unwrap_or(preset.order),
            train_mode: self.train_mode.unwrap_or(preset.train_mode),
            stale: self.stale.unwrap_or(preset.stale),
            sampling: self.sampling.unwrap_or(preset.sampling),
            schedule: self.schedule.unwrap_or(preset.schedule),
            weight_decay: self.weight_decay.unwrap_or(preset.weight_decay),
            confidence: self.confidence.unwrap_or(preset.confidence),
            scale: self.confidence_scale.unwrap_or(preset.scale),
            equal_enters: preset.equal_enters,
            targets: self.targets.unwrap_or(preset.targets),
            length: self.length.unwrap_or(preset.length),
            lr: self.lr.unwrap_or(preset.lr),
            every: self.every.unwrap_or(preset.every),
            pull: self.pull.unwrap_or(preset.pull),
            relative_shift: self.relative_shift.unwrap_or(preset.relative_shift),
            epsilon: self.epsilon.unwrap_or(preset.epsilon),
            balanced: preset.balanced,
        }
    }

    /// What balances the logits.
    pub(super) fn balancing(&self) -> BalanceConfig {
        let of_preset = || {
            if self.behaviour().balanced {
                BalanceConfig::default()
            } else {
                BalanceConfig::off()
            }
        };
        self.balance.clone().unwrap_or_else(of_preset)
    }
}

#[typetag::serde(name = "dynapurls")]
impl AdapterConfig for DynaPurlsConfig {
    fn validate(&self, problems: &mut Problems) {
        let counts = [
            ("capacity", self.capacity as u64),
            ("min_samples", self.min_samples as u64),
            ("steps", u64::from(self.steps)),
            ("horizon", self.horizon.unwrap_or(1)),
            ("every", self.every.unwrap_or(1)),
        ];
        let behaviour = self.behaviour();
        for (field, value) in counts {
            problems.check(value >= 1, field, || "must be at least 1, got 0".into());
        }
        let positive = [
            ("temperature", self.temperature),
            ("lr", behaviour.lr),
            ("sharpness", self.sharpness),
            ("epsilon", behaviour.epsilon),
        ];
        for (field, value) in positive {
            problems.check(value > 0.0 && value.is_finite(), field, || {
                format!("must be above 0, got {value}")
            });
        }
        for (field, value) in [("lr_floor", self.lr_floor), ("pull", behaviour.pull)] {
            problems.check((0.0..=1.0).contains(&value), field, || {
                format!("must be between 0 and 1, got {value}")
            });
        }
        if let Some(balance) = &self.balance {
            balance.judge("balance", problems);
        }
        let decay = behaviour.weight_decay;
        problems.check(decay >= 0.0 && decay.is_finite(), "weight_decay", || {
            format!("must be 0 or more, got {decay}")
        });
        let (least, most, unit) = match behaviour.scale {
            ThresholdScale::Absolute => (0.0, 1.0, "a probability"),
            ThresholdScale::Relative => (0.0, f64::MAX, "a multiple of 1/C"),
        };
        let confidence = behaviour.confidence;
        problems.check((least..=most).contains(&confidence), "confidence", || {
            format!("is {unit} and must be between {least} and {most}, got {confidence}")
        });
        let none = self.granularities.as_ref().is_some_and(Vec::is_empty);
        problems.check(!none, "granularities", || {
            "must name at least one text; leave it out to refine all".into()
        });
        let alone = behaviour.stale && !self.memory_bank;
        problems.check(!alone, "stale", || {
            "needs `memory_bank: true`: without one there is nothing remembered".into()
        });
        let foreign = behaviour.stale && (behaviour.targets == Targets::Soft || !self.balancing().is_off());
        problems.check(!foreign, "stale", || {
            "goes with `targets: hard` and without `balance`, as in the released code".into()
        });
        let single = behaviour.stale && behaviour.update == Granule::Sample;
        problems.check(!single, "stale", || {
            "goes with `update: batch`, as in the released code".into()
        });
    }

    fn requirements(&self) -> Requirements {
        let behaviour = self.behaviour();
        Requirements {
            differentiable_in_anchors: true,
            training_mode: behaviour.train_mode,
            batch: if behaviour.stale { 2 } else { 1 },
            ..Requirements::default()
        }
    }

    fn marks(&self) -> Vec<Mark> {
        if self.behaviour().update == Granule::Batch {
            let text =
                "adapter `dynapurls` moves the anchors once per batch: its results depend on `stream.batch`";
            return vec![Mark::note(text)];
        }
        Vec::new()
    }

    fn per_sample(&self) -> bool {
        self.behaviour().update == Granule::Sample
    }

    fn holds_streams(&self) -> bool {
        true
    }

    fn disturbs_aligner(&self) -> bool {
        self.behaviour().train_mode
    }

    fn build(&self, _: &BuildContext) -> Result<Box<dyn TestTimeAdapter>> {
        Ok(Box::new(DynaPurls::new(self)))
    }
}

inventory::submit! {
    ComponentInfo::new::<DynaPurlsConfig>(
        ComponentKind::Adapter,
        "dynapurls",
        "Refines the semantic anchors by gradient steps on a class-balanced memory of confident test samples.",
        "DynaPURLS (arXiv 2512.11941)"
    )
}
