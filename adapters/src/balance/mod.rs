//! `balance`: brings logits to a scale of their own, and takes out the class that the stream's posteriors favour.
//!
//! A zero-shot recogniser favours some classes on every stream (hubs), and how its logits are scaled is nobody's
//! decision. Both are measured here on the unlabelled stream, sample by sample, from the samples so far. Ours; the
//! correction is the post-hoc logit adjustment of Menon et al., "Long-tail learning via logit adjustment" (ICLR 2021), with
//! the class prior estimated online from *uncorrected* posteriors, so that it never feeds on itself.
//!
//! | symbol | here        | meaning                                                                     |
//! |--------|-------------|-----------------------------------------------------------------------------|
//! | `σ`    | `spread / n`| running mean over samples of the deviation of their logits over the classes   |
//! | `u`    |             | `(z − mean z) / σ`                                                          |
//! | `P`    | `mass`      | sum of the posteriors `softmax(u)` so far                                   |
//! | `ρ`    |             | lag-1 autocorrelation of the posteriors                                     |
//! | `τ`    |             | `strength · clip(1 − brake · ρ, 0, 1)`                                      |
//!
//! The answer is `b_c = u_c − τ · clip(ln(C (P_c + κ) / (n + C κ)), ±limit)`. On a stream that comes class by class the
//! posteriors say what came lately and not what is favoured; consecutive posteriors are then alike, ρ rises, and the
//! correction fades. State: 2C + 4 numbers a stream.

mod adapter;
#[cfg(test)]
pub(crate) mod tests;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use szar_core::{Error, Problems, Result};

pub use adapter::BalanceAdapter;

/// Options of the `balance` adapter, and of the same step inside other adapters.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct BalanceConfig {
    /// Divide centred logits by their running deviation. Default: true (ours; chosen on held-out seen classes).
    pub rescale: bool,
    /// Share of the running class prior that is taken out, 0 to 1, no unit. Default: 1 (ours, as above).
    pub strength: f64,
    /// Largest correction of a class, above 0, in (rescaled) logits. Default: 1 (ours, as above).
    pub limit: f64,
    /// kappa, samples' worth of uniform prior per class to start from, above 0. Default: 1 (ours, as above).
    pub pseudo_count: f64,
    /// How fast the correction fades when consecutive posteriors are alike, 0 or more; 0 never. Default: 3 (ours, as above).
    pub brake: f64,
    /// Samples before that likeness is believed by half, 0 or more. Default: 10 (ours, as above).
    pub settle: f64,
}

impl Default for BalanceConfig {
    fn default() -> Self {
        Self {
            rescale: true,
            strength: 1.0,
            limit: 1.0,
            pseudo_count: 1.0,
            brake: 3.0,
            settle: 10.0,
        }
    }
}

impl BalanceConfig {
    /// Leaves the logits as they are.
    pub fn off() -> Self {
        Self {
            rescale: false,
            strength: 0.0,
            ..Self::default()
        }
    }

    /// Does it change anything?
    pub fn is_off(&self) -> bool {
        !self.rescale && self.strength == 0.0
    }

    /// Adds what is wrong with the options, below `scope` (empty for the adapter's own).
    pub(crate) fn judge(&self, scope: &str, problems: &mut Problems) {
        let field = |name: &str| {
            if scope.is_empty() {
                name.to_owned()
            } else {
                format!("{scope}.{name}")
            }
        };
        let strength = self.strength;
        problems.check((0.0..=1.0).contains(&strength), &field("strength"), || {
            format!("must be between 0 and 1, got {strength}")
        });
        for (name, value) in [("limit", self.limit), ("pseudo_count", self.pseudo_count)] {
            problems.check(value > 0.0 && value.is_finite(), &field(name), || {
                format!("must be above 0, got {value}")
            });
        }
        for (name, value) in [("brake", self.brake), ("settle", self.settle)] {
            problems.check(value >= 0.0 && value.is_finite(), &field(name), || {
                format!("must be 0 or more, got {value}")
            });
        }
    }
}

/// The running numbers of one stream.
#[derive(Clone, Debug, PartialEq)]
pub struct Balance {
    options: BalanceConfig,
    /// n.
    samples: u64,
    /// Sum of the deviations.
    spread: f64,
    /// P, `[C]`.
    mass: Vec<f64>,
    /// The posterior before, `[C]`.
    last: Vec<f64>,
    /// Sums of products of posteriors with the one before, and with themselves.
    products: [f64; 2],
    /// σ of the last sample.
    sigma: f64,
    /// The correction of the last sample, `[C]`.
    correction: Vec<f64>,
    /// Room for a posterior, `[C]`.
    posterior: Vec<f64>,
    /// Sum of τ, for the report.
    taken: f64,
}

impl Balance {
    /// For C candidates, before the first sample.
    pub fn new(options: &BalanceConfig, classes: usize) -> Self {
        Self {
            options: options.clone(),
            samples: 0,
            spread: 0.0,
            mass: vec![0.0; classes],
            last: vec![0.0; classes],
            products: [0.0; 2],
            sigma: 1.0,
            correction: vec![0.0; classes],
            posterior: vec![0.0; classes],
            taken: 0.0,
        }
    }

    /// Balances the logits of one sample in place and learns from them. `scale` are the logits whose deviation sets the
    /// scale, when they are not the same. Lengths C.
    pub fn step(&mut self, logits: &mut [f32], scale: Option<&[f32]>) {
        let (spread, tau) = self.look(logits, scale);
        let first = self.samples == 0;
        self.spread = spread;
        self.taken += tau;
        for (at, p) in self.posterior.iter().enumerate() {
            if !first {
                self.products[0] += p * self.last[at];
            }
            self.products[1] += p * p;
            self.mass[at] += p;
            self.last[at] = *p;
        }
        self.samples += 1;
    }

    /// As [`Self::step`] without learning. Gives the sum of deviations with this sample's, and τ.
    pub fn look(&mut self, logits: &mut [f32], scale: Option<&[f32]>) -> (f64, f64) {
        let classes = logits.len() as f64;
        let mean = logits.iter().map(|z| f64::from(*z)).sum::<f64>() / classes;
        let spread = self.spread + scale.map_or_else(|| deviation(logits), deviation);
        let n = self.samples as f64;
        let (shift, sigma) = if self.options.rescale {
            (mean, spread / (n + 1.0) + 1e-12)
        } else {
            (0.0, 1.0)
        };
        self.sigma = sigma;
        let tau = self.options.strength * self.released();
        let (kappa, limit) = (self.options.pseudo_count, self.options.limit);
        let whole = n + classes * kappa;
        let mut top = f64::NEG_INFINITY;
        for (at, z) in logits.iter_mut().enumerate() {
            let u = (f64::from(*z) - shift) / sigma;
            self.posterior[at] = u;
            top = top.max(u);
            let favour = (classes * (self.mass[at] + kappa) / whole).ln();
            self.correction[at] = tau * favour.clamp(-limit, limit);
            *z = (u - self.correction[at]) as f32;
        }
        let mut total = 0.0;
        for p in &mut self.posterior {
            *p = (*p - top).exp();
            total += *p;
        }
        self.posterior.iter_mut().for_each(|p| *p /= total);
        (spread, tau)
    }

    /// Do the options change nothing?
    pub fn is_off(&self) -> bool {
        self.options.is_off()
    }

    /// σ of the last sample.
    pub fn sigma(&self) -> f64 {
        self.sigma
    }

    /// What was taken out of the last sample's logits, `[C]`.
    pub fn correction(&self) -> &[f64] {
        &self.correction
    }

    /// Mean τ so far; 1 where there was no sample.
    pub fn mean_strength(&self) -> f64 {
        if self.samples == 0 {
            self.options.strength
        } else {
            self.taken / self.samples as f64
        }
    }

    /// 1 for a shuffled stream, towards 0 for one that comes class by class.
    fn released(&self) -> f64 {
        if self.samples < 2 || self.options.brake == 0.0 {
            return 1.0;
        }
        let n = self.samples as f64;
        let square: f64 = self.mass.iter().map(|m| (m / n) * (m / n)).sum();
        let [across, own] = self.products;
        let rho = (across / (n - 1.0) - square) / (own / n - square + 1e-9) * n / (n + self.options.settle);
        (1.0 - self.options.brake * rho).clamp(0.0, 1.0)
    }

    /// All numbers in one row of `2C + 5`, for a snapshot.
    pub fn numbers(&self) -> Vec<f64> {
        let scalars = [
            self.samples as f64,
            self.spread,
            self.products[0],
            self.products[1],
            self.taken,
        ];
        [&scalars[..], &self.mass, &self.last].concat()
    }

    /// Goes on from [`Self::numbers`].
    ///
    /// # Errors
    /// [`Error::Input`] for another number of them.
    pub fn set_numbers(&mut self, numbers: &[f64]) -> Result<()> {
        let classes = self.mass.len();
        if numbers.len() != 5 + 2 * classes {
            let why = format!(
                "`balance` must hold {} numbers, found {}",
                5 + 2 * classes,
                numbers.len()
            );
            return Err(Error::Input(why));
        }
        self.samples = numbers[0] as u64;
        self.spread = numbers[1];
        self.products = [numbers[2], numbers[3]];
        self.taken = numbers[4];
        self.mass.copy_from_slice(&numbers[5..5 + classes]);
        self.last.copy_from_slice(&numbers[5 + classes..]);
        Ok(())
    }

    /// Bytes held.
    pub fn bytes(&self) -> u64 {
        (8 * (4 * self.mass.len() + 6)) as u64
    }
}

fn deviation(logits: &[f32]) -> f64 {
    let count = logits.len() as f64;
    let mean = logits.iter().map(|z| f64::from(*z)).sum::<f64>() / count;
    (logits.iter().map(|z| (f64::from(*z) - mean).powi(2)).sum::<f64>() / count).sqrt()
}
