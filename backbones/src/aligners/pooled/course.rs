//! How long and with what steps an aligner is trained, and checks of options.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use szar_core::{Error, Problems, Result};

use crate::aligners::training::{Plan, Rate, Sampling};

/// Where learning rate, batch, epochs and patience come from when they are not given.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum Preset {
    /// For sets of a few thousand samples, on a CPU (ours).
    #[default]
    Small,
    /// The published training, for NTU.
    Official,
}

/// What is in force of a training's options.
#[derive(Clone, Copy, Debug)]
pub struct Course {
    /// Learning rate of Adam.
    pub lr: f64,
    /// Samples a step.
    pub batch: i64,
    /// Passes over the training set.
    pub epochs: u32,
    /// Epochs without a better validation measure that are borne.
    pub patience: Option<u32>,
}

impl Course {
    /// This preset, save what is given.
    pub fn with(
        self,
        lr: Option<f64>,
        batch: Option<i64>,
        epochs: Option<u32>,
        patience: Option<u32>,
    ) -> Self {
        Self {
            lr: lr.unwrap_or(self.lr),
            batch: batch.unwrap_or(self.batch),
            epochs: epochs.unwrap_or(self.epochs),
            patience: patience.or(self.patience),
        }
    }

    /// Adds what is wrong with it.
    pub fn validate(&self, bounds: &mut Bounds) {
        bounds.above("lr", self.lr);
        bounds.at_least("batch", self.batch, 2);
        bounds.at_least("epochs", i64::from(self.epochs), 1);
    }

    /// The plan for the loop; a checkpoint must agree in the options.
    pub fn plan(&self, name: &'static str, options: &impl Serialize, rate: Rate) -> Result<Plan> {
        Ok(Plan {
            name,
            about: serde_json::to_string(options).map_err(|e| Error::Input(e.to_string()))?,
            rounds: self.epochs,
            sampling: Sampling::Epoch {
                batch: self.batch,
                drop_last: false,
            },
            lr: self.lr,
            rate,
            patience: self.patience,
        })
    }
}

/// Adds options that are out of bounds.
pub struct Bounds<'a>(pub &'a mut Problems);

impl Bounds<'_> {
    pub fn at_least(&mut self, field: &str, value: i64, least: i64) {
        self.0.check(value >= least, field, || {
            format!("must be at least {least}, got {value}")
        });
    }

    /// Above 0.
    pub fn above(&mut self, field: &str, value: f64) {
        let ok = value > 0.0 && value.is_finite();
        self.0
            .check(ok, field, || format!("must be above 0, got {value}"));
    }

    /// At least 0.
    pub fn not_below(&mut self, field: &str, value: f64) {
        let ok = value >= 0.0 && value.is_finite();
        self.0
            .check(ok, field, || format!("must be at least 0, got {value}"));
    }
}
