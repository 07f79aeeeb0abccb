//! The closed form, and the choice of its two constants; in f64 on the CPU.
//!
//! With `XᵀX = U diag(a) Uᵀ` and `S Sᵀ = V diag(b) Vᵀ` (the small one of the two Gram matrices of the texts,
//! because `S (SᵀS + λI)⁻¹ = (S Sᵀ + λI)⁻¹ S`), every pair of constants costs two small products:
//! `W = U diag(1/(a+γ)) [Uᵀ Xᵀ Y V] diag(1/(b+λ)) Vᵀ S`.

use szar_core::host::to_i64;
use szar_core::{Error, FitContext, Result, SeenLabels};
use tch::{Device, Kind, Tensor};

use super::{EszslConfig, Targets};

/// Training samples and the texts of their classes; classes without a sample are left out.
pub(super) struct Training {
    /// `[n, N]`.
    features: Tensor,
    /// Rows of `text`, one per sample.
    labels: Vec<i64>,
    /// `[S, d]`.
    text: Tensor,
    targets: Targets,
    standardise: bool,
}

/// Constants, and the class-mean accuracy in percent that chose them.
pub(super) struct Choice {
    pub gamma: f64,
    pub lambda: f64,
    pub class_mean: Option<f64>,
}

/// Weights `[N, d]` for features less `mean` over `deviation`, both `[N]`.
pub(super) struct Solution {
    pub weight: Tensor,
    pub mean: Tensor,
    pub deviation: Tensor,
}

/// Everything about a training set that the constants don't change.
struct Decomposed {
    mean: Tensor,
    deviation: Tensor,
    /// `a [N]` and `U [N, N]`.
    features: (Tensor, Tensor),
    /// `b [S]` and `V [S, S]`.
    text: (Tensor, Tensor),
    /// `Uᵀ Xᵀ Y V`, `[N, S]`.
    core: Tensor,
}

impl Training {
    pub fn new(features: &Tensor, labels: &SeenLabels, text: &Tensor, config: &EszslConfig) -> Result<Self> {
        let plain = |x: &Tensor| x.detach().to_device(Device::Cpu).to_kind(Kind::Double);
        let (features, text) = (plain(features), plain(text));
        for (what, values) in [("training features", &features), ("semantic anchors", &text)] {
            if values.isfinite().all().int64_value(&[]) == 0 {
                return Err(Error::Input(format!(
                    "aligner `eszsl`: {what} hold values that are no numbers"
                )));
            }
        }
        let counts = to_i64(&labels.counts())?;
        let present: Vec<i64> = (0..counts.len() as i64)
            .filter(|c| counts[*c as usize] > 0)
            .collect();
        if present.is_empty() {
            return Err(Error::Input("aligner `eszsl` has no training sample".into()));
        }
        let mut row = vec![0i64; counts.len()];
        for (new, old) in present.iter().enumerate() {
            row[*old as usize] = new as i64;
        }
        let labels = to_i64(labels.columns())?
            .iter()
            .map(|c| row[*c as usize])
            .collect();
        Ok(Self {
            features,
            labels,
            text: text.index_select(0, &Tensor::from_slice(&present)),
            targets: config.targets,
            standardise: config.standardise,
        })
    }

    fn classes(&self) -> usize {
        self.text.size()[0] as usize
    }

    /// The samples of the classes for which `keep` holds, with labels counted among those.
    fn part(&self, keep: impl Fn(usize) -> bool) -> Self {
        let classes: Vec<i64> = (0..self.classes())
            .filter(|c| keep(*c))
            .map(|c| c as i64)
            .collect();
        let chosen = self.labels.iter().enumerate().filter_map(|(sample, label)| {
            let column = classes.binary_search(label).ok()?;
            Some((sample as i64, column as i64))
        });
        let (samples, labels): (Vec<i64>, Vec<i64>) = chosen.unzip();
        Self {
            features: self.features.index_select(0, &Tensor::from_slice(&samples)),
            labels,
            text: self.text.index_select(0, &Tensor::from_slice(&classes)),
            ..*self
        }
    }

    pub fn choose(&self, config: &EszslConfig, ctx: &FitContext) -> Result<Choice> {
        let (gammas, lambdas) = (ascending(&config.gammas), ascending(&config.lambdas));
        let middle = |values: &[f64]| values[values.len() / 2];
        let fixed = gammas.len() == 1 && lambdas.len() == 1;
        if fixed || self.classes() < 2 * config.folds {
            return Ok(Choice {
                gamma: middle(&gammas),
                lambda: middle(&lambdas),
                class_mean: None,
            });
        }
        let mut totals = vec![0.0; gammas.len() * lambdas.len()];
        ctx.progress.begin("eszsl", config.folds as u64);
        for fold in 0..config.folds {
            ctx.cancel.check()?;
            let known = self.part(|class| class % config.folds != fold);
            let held_out = self.part(|class| class % config.folds == fold);
            let accuracies = known
                .decompose()?
                .accuracies(&known, &held_out, &gammas, &lambdas);
            totals
                .iter_mut()
                .zip(accuracies)
                .for_each(|(total, one)| *total += one / config.folds as f64);
            ctx.progress.advance(fold as u64 + 1, "");
        }
        ctx.progress.end();
        // Ascending constants and `>=`: equal accuracies go to the larger ones.
        let best = (0..totals.len()).fold(0, |best, i| if totals[i] >= totals[best] { i } else { best });
        Ok(Choice {
            gamma: gammas[best / lambdas.len()],
            lambda: lambdas[best % lambdas.len()],
            class_mean: Some(totals[best]),
        })
    }

    pub fn solve(&self, gamma: f64, lambda: f64) -> Result<Solution> {
        let Decomposed {
            mean,
            deviation,
            features: (a, u),
            text: (b, v),
            core,
        } = self.decompose()?;
        let middle = core / (a + gamma).unsqueeze(1) / (b + lambda);
        Ok(Solution {
            weight: u.mm(&middle).mm(&v.transpose(0, 1)).mm(&self.text),
            mean,
            deviation,
        })
    }

    fn decompose(&self) -> Result<Decomposed> {
        let x = &self.features;
        let (mean, deviation) = if self.standardise {
            let deviation = x.std_dim([0i64].as_slice(), false, false);
            let mean = x.mean_dim([0i64].as_slice(), false, Kind::Double);
            // A feature that never changes says nothing; any deviation will do.
            let flat = deviation.le(1e-12);
            (mean, deviation.masked_fill(&flat, 1.0))
        } else {
            (x.zeros_like().select(0, 0), x.ones_like().select(0, 0))
        };
        let x = (x - &mean) / &deviation;
        let own = Tensor::from_slice(&self.labels)
            .one_hot(self.classes() as i64)
            .to_kind(Kind::Double);
        let y = match self.targets {
            Targets::Signed => own * 2.0 - 1.0,
            Targets::Binary => own,
        };
        let (a, u) = x.transpose(0, 1).mm(&x).f_linalg_eigh("L")?;
        let (b, v) = self.text.mm(&self.text.transpose(0, 1)).f_linalg_eigh("L")?;
        let core = u.transpose(0, 1).mm(&x.transpose(0, 1).mm(&y)).mm(&v);
        // Gram matrices have no negative eigenvalues but by rounding.
        Ok(Decomposed {
            mean,
            deviation,
            features: (a.clamp_min(0.0), u),
            text: (b.clamp_min(0.0), v),
            core,
        })
    }
}

impl Decomposed {
    /// Class-mean accuracy in percent on the held-out classes alone, per pair of constants, γ by γ.
    fn accuracies(&self, known: &Training, held_out: &Training, gammas: &[f64], lambdas: &[f64]) -> Vec<f64> {
        let (a, u) = &self.features;
        let (b, v) = &self.text;
        let left = ((&held_out.features - &self.mean) / &self.deviation).mm(u);
        let right = v
            .transpose(0, 1)
            .mm(&known.text)
            .mm(&held_out.text.transpose(0, 1));
        let labels = Tensor::from_slice(&held_out.labels);
        let own = labels.one_hot(held_out.classes() as i64).to_kind(Kind::Double);
        let counts = own.sum_dim_intlist([0i64].as_slice(), false, Kind::Double);
        let mut accuracies = Vec::with_capacity(gammas.len() * lambdas.len());
        for gamma in gammas {
            let projected = (&left / (a + *gamma)).mm(&self.core);
            for lambda in lambdas {
                let scores = projected.mm(&(&right / (b + *lambda).unsqueeze(1)));
                let right = scores.argmax(-1, false).eq_tensor(&labels).to_kind(Kind::Double);
                let hits = right.unsqueeze(0).mm(&own).squeeze_dim(0);
                accuracies.push((hits / &counts).mean(Kind::Double).double_value(&[]) * 100.0);
            }
        }
        accuracies
    }
}

fn ascending(values: &[f64]) -> Vec<f64> {
    let mut values = values.to_vec();
    values.sort_by(f64::total_cmp);
    values
}

#[cfg(test)]
mod tests {
    use szar_core::testing::normal;

    use super::*;

    #[test]
    fn the_decomposed_form_is_the_published_formula() {
        let random = |rows, columns| normal("x", &[rows, columns]).to_kind(Kind::Double);
        let labels: Vec<i64> = (0..30).map(|i| i % 4).collect();
        let training = Training {
            features: random(30, 6),
            labels,
            text: random(4, 9),
            targets: Targets::Signed,
            standardise: false,
        };
        let got = training.solve(0.7, 0.2).unwrap().weight;
        let (x, s) = (&training.features, &training.text);
        let y = Tensor::from_slice(&training.labels)
            .one_hot(4)
            .to_kind(Kind::Double)
            * 2.0
            - 1.0;
        let eye = |n| Tensor::eye(n, (Kind::Double, Device::Cpu));
        let left = (x.transpose(0, 1).mm(x) + eye(6) * 0.7).inverse();
        let right = (s.transpose(0, 1).mm(s) + eye(9) * 0.2).inverse();
        let want = left.mm(&x.transpose(0, 1)).mm(&y).mm(s).mm(&right);
        assert!(got.allclose(&want, 1e-9, 1e-10, false));
    }
}
