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
    /// Rises in a line from 0 over the first `rounds`, then falls to 0 along a cosine, which it would reach in round
    /// `total` (from 0).
    Warmup {
        /// Rounds of rise.
        rounds: u32,
        /// Rounds in all.
        total: u32,
    },
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

/// Share of the full rate in a round, for [`Rate::Warmup`].
pub(super) fn warmup(round: u32, rise: u32, total: u32) -> f64 {
    if round < rise {
        return f64::from(round) / f64::from(rise);
    }
    let at = f64::from(round - rise) / f64::from(total.saturating_sub(rise).max(1));
    0.5 * (1.0 + (std::f64::consts::PI * at.min(1.0)).cos())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_rate_of_smie_is_the_published_one() {
        let want = [
            (0, 0.0),
            (1, 6.6667e-7),
            (14, 9.3333e-6),
            (15, 1e-5),
            (50, 6.3683e-6),
            (99, 3.4147e-9),
        ];
        for (epoch, rate) in want {
            let got = 1e-5 * warmup(epoch, 15, 100);
            assert!((got - rate).abs() <= 1e-4 * rate, "{epoch}: {got} {rate}");
        }
    }
}
