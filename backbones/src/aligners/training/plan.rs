//! How long a training goes, on which batches, at which rate.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use szar_core::Problems;

/// When the learning rate falls.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct PlateauConfig {
    /// By what the rate is multiplied; `0 ..= 1`. Default: official code's 0.1.
    pub factor: f64,
    /// Epochs without a lower validation loss that are borne. Default: official code's 25.
    pub patience: u32,
    /// Epochs after a fall in which none is counted. Default: official code's 3.
    pub cooldown: u32,
}

impl Default for PlateauConfig {
    fn default() -> Self {
        Self {
            factor: 0.1,
            patience: 25,
            cooldown: 3,
        }
    }
}

impl PlateauConfig {
    /// Adds what is wrong with it, under its field's name.
    pub fn validate(&self, problems: &mut Problems) {
        let factor = self.factor;
        problems.check((0.0..=1.0).contains(&factor), "plateau.factor", || {
            format!("must be between 0 and 1, got {factor}")
        });
    }
}

/// How the learning rate moves from round to round.
#[derive(Clone, Debug)]
pub enum Rate {
    /// Always the same.
    Constant,
    /// Falls when the validation measure stops improving.
    Plateau(PlateauConfig),
    /// Times the factor of each round (from 0).
    Rounds(fn(u32) -> f64),
    /// Times `factor` from each of these rounds on (from 0).
    Milestones {
        /// Rounds.
        rounds: Vec<u32>,
        /// By what the rate is multiplied.
        factor: f64,
    },
}

/// Which samples a step gets.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Sampling {
    /// Every sample once a round, in a new random order; a last batch of one joins the one before.
    Epoch {
        /// Samples a step.
        batch: i64,
        /// Leaves an incomplete last batch out, unless it is the only one.
        drop_last: bool,
    },
    /// This many steps a round, each with the beginning of a new random order of all samples.
    Draws {
        /// Samples a step, at most all there are.
        batch: i64,
        /// Steps a round.
        steps: u64,
    },
}

/// How a training goes.
#[derive(Clone, Debug)]
pub struct Plan {
    /// Name of the aligner: in messages, in checkpoints, and for its random numbers.
    pub name: &'static str,
    /// What else a checkpoint must agree in, the options say.
    pub about: String,
    /// Rounds at most, at least 1.
    pub rounds: u32,
    /// Which samples a step gets.
    pub sampling: Sampling,
    /// Full learning rate.
    pub lr: f64,
    /// How the rate moves.
    pub rate: Rate,
    /// Rounds without a better validation measure after which training ends; `None`: never before the last.
    pub patience: Option<u32>,
}
