//! Binary logistic regression with a squared penalty, by Newton's method in f64.
//!
//! Minimises `½|w|² + C Σ log(1 + exp(−s (x·w + b)))`, s = ±1; the intercept b is not penalised. The Hessian is solved by
//! Cholesky, a step is halved until the objective falls. One weight vector per side with both penalised (scikit-learn's
//! `multinomial`) is the same with twice the C.

use szar_core::{Error, Result, shape};
use tch::{Device, Kind, Tensor};

/// Newton steps at most; well-posed problems take about ten.
const STEPS: usize = 200;
/// The gradient, relative to C times the number of samples, below which the fit is over.
const PRECISE: f64 = 1e-12;

/// `P(positive) = σ(x·w + b)`.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Logistic {
    /// w.
    pub weights: Vec<f64>,
    /// b.
    pub intercept: f64,
}

impl Logistic {
    /// Fits `x` (`[n, d]`) to n labels.
    ///
    /// # Errors
    /// When shapes do not fit, one of the labels does not occur, a value is not finite, or the steps do not end.
    pub fn fit(x: &Tensor, positive: &[bool], c: f64) -> Result<Self> {
        let problem = Problem::new(x, positive, c)?;
        let mut at = vec![0.0; problem.width + 1];
        let mut value = problem.objective(&at);
        for _ in 0..STEPS {
            let (gradient, hessian) = problem.slopes(&at)?;
            let steepest = gradient.iter().fold(0.0f64, |m, g| m.max(g.abs()));
            if steepest <= PRECISE * c * positive.len() as f64 {
                return Ok(Self::of(&at));
            }
            let step = solve(hessian, &gradient)?;
            let Some((next, reached)) = problem.descend(&at, &step, value) else {
                return Ok(Self::of(&at)); // nothing is gained any more: as precise as f64 gets
            };
            (at, value) = (next, reached);
        }
        Err(Error::Input(format!(
            "the logistic regression of the gate did not end within {STEPS} steps"
        )))
    }

    fn of(at: &[f64]) -> Self {
        let (weights, intercept) = at.split_at(at.len() - 1);
        Self {
            weights: weights.to_vec(),
            intercept: intercept[0],
        }
    }

    /// `[n]` f64 on the device of `x`, `[n, d]`.
    ///
    /// # Errors
    /// [`Error::Shape`] when the widths differ.
    pub fn probability(&self, x: &Tensor) -> Result<Tensor> {
        shape::expect("gate features", x, [None, Some(self.weights.len() as i64)])?;
        let weights = Tensor::from_slice(&self.weights).to_device(x.device());
        Ok((x.to_kind(Kind::Double).mv(&weights) + self.intercept).sigmoid())
    }
}

struct Problem {
    /// `[n, d + 1]`, the last column ones.
    x: Tensor,
    /// `[n]`, 1 for positive samples, else 0.
    y: Tensor,
    /// `[n]`, 1 for positive samples, else -1.
    sign: Tensor,
    width: usize,
    c: f64,
}

impl Problem {
    fn new(x: &Tensor, positive: &[bool], c: f64) -> Result<Self> {
        let [_, width] = shape::sizes("gate features", x, [Some(positive.len() as i64), None])?;
        if !positive.contains(&true) || !positive.contains(&false) {
            return Err(Error::Input(
                "the logistic regression of a gate needs samples of both sides".into(),
            ));
        }
        let x = x.to_device(Device::Cpu).to_kind(Kind::Double);
        if !x.sum(Kind::Double).double_value(&[]).is_finite() {
            return Err(Error::Input("the features of a gate must be finite".into()));
        }
        let y = Tensor::from_slice(positive).to_kind(Kind::Double);
        Ok(Self {
            x: Tensor::cat(
                &[
                    &x,
                    &Tensor::ones([positive.len() as i64, 1], (Kind::Double, Device::Cpu)),
                ],
                1,
            ),
            sign: &y * 2f64 - 1f64,
            y,
            width: usize::try_from(width).unwrap_or(0),
            c,
        })
    }

    fn objective(&self, at: &[f64]) -> f64 {
        let penalty: f64 = at[..self.width].iter().map(|w| w * w).sum();
        let margin = self.x.mv(&Tensor::from_slice(at)) * &self.sign;
        0.5 * penalty - self.c * margin.log_sigmoid().sum(Kind::Double).double_value(&[])
    }

    /// Gradient and Hessian (row-major).
    fn slopes(&self, at: &[f64]) -> Result<(Vec<f64>, Vec<f64>)> {
        let p = self.x.mv(&Tensor::from_slice(at)).sigmoid();
        let curve = (&p * (1f64 - &p)).unsqueeze(1) * &self.x;
        let gradient = self.x.transpose(0, 1).mv(&(p - &self.y)) * self.c;
        let hessian = self.x.transpose(0, 1).matmul(&curve) * self.c;
        let mut gradient = Vec::<f64>::try_from(gradient.contiguous())?;
        let mut hessian = Vec::<f64>::try_from(hessian.flatten(0, -1).contiguous())?;
        for (k, weight) in at[..self.width].iter().enumerate() {
            gradient[k] += weight;
            hessian[k * (self.width + 2)] += 1.0;
        }
        Ok((gradient, hessian))
    }

    /// The first of the steps 1, ½, ¼ .. that lowers the objective.
    fn descend(&self, at: &[f64], step: &[f64], value: f64) -> Option<(Vec<f64>, f64)> {
        (0..50).find_map(|halvings| {
            let share = 0.5f64.powi(halvings);
            let next: Vec<f64> = at.iter().zip(step).map(|(a, s)| a - share * s).collect();
            let reached = self.objective(&next);
            (reached < value).then_some((next, reached))
        })
    }
}

/// Solves `a x = b` for a symmetric positive definite `a`, row-major, by Cholesky.
fn solve(mut a: Vec<f64>, b: &[f64]) -> Result<Vec<f64>> {
    let n = b.len();
    for j in 0..n {
        for k in 0..j {
            let factor = a[j * n + k];
            for i in j..n {
                a[i * n + j] -= a[i * n + k] * factor;
            }
        }
        let pivot = a[j * n + j];
        if pivot.is_nan() || pivot <= 0.0 {
            return Err(Error::Input(
                "the logistic regression of the gate is degenerate: its features separate the sides without end".into(),
            ));
        }
        let root = pivot.sqrt();
        for i in j..n {
            a[i * n + j] /= root;
        }
    }
    let mut x = b.to_vec();
    for i in 0..n {
        let known: f64 = (0..i).map(|k| a[i * n + k] * x[k]).sum();
        x[i] = (x[i] - known) / a[i * n + i];
    }
    for i in (0..n).rev() {
        let known: f64 = (i + 1..n).map(|k| a[k * n + i] * x[k]).sum();
        x[i] = (x[i] - known) / a[i * n + i];
    }
    Ok(x)
}

#[cfg(test)]
mod tests {
    use szar_core::host::to_f64;
    use szar_core::testing::uniform;

    use super::*;

    /// 60 samples of 4 features with known fits.
    fn vectors() -> (Tensor, Vec<bool>) {
        let raw: Vec<f64> = to_f64(&(uniform("gate", &[240]) * 2.0 - 1.0));
        let label = |(row, u): (&[f64], f64)| u < 1.0 / (1.0 + (row[1] - 2.0 * row[0]).exp());
        let labels = raw
            .chunks(4)
            .zip(to_f64(&uniform("gate_y", &[60])))
            .map(label)
            .collect();
        (Tensor::from_slice(&raw).reshape([60, 4]), labels)
    }

    #[test]
    fn known_vectors_are_fitted_to_six_digits() {
        let (x, labels) = vectors();
        assert_eq!(labels.iter().filter(|l| **l).count(), 34);
        for (c, want, objective) in [
            (
                1.0,
                [1.412486, -0.868615, 0.228715, 0.205421, 0.193184],
                35.201660,
            ),
            (
                2.0,
                [1.645493, -1.030764, 0.292226, 0.251352, 0.185052],
                68.738273,
            ),
        ] {
            let fitted = Logistic::fit(&x, &labels, c).unwrap();
            let mut got = fitted.weights.clone();
            got.push(fitted.intercept);
            for (got, want) in got.iter().zip(want) {
                assert!((got - want).abs() < 1e-6, "C {c}: {got}, expected {want}");
            }
            let reached = Problem::new(&x, &labels, c).unwrap().objective(&got);
            assert!((reached - objective).abs() < 1e-6, "C {c}: {reached}");
        }
    }

    #[test]
    fn sides_that_can_be_parted_still_have_a_fit() {
        let x = Tensor::from_slice(&[-2.0, -1.0, 1.0, 2.0]).reshape([4, 1]);
        let fitted = Logistic::fit(&x, &[false, false, true, true], 1000.0).unwrap();
        assert!(fitted.weights[0] > 1.0 && fitted.intercept.abs() < 1e-6);
    }

    #[test]
    fn what_cannot_be_fitted_is_refused() {
        let x = Tensor::zeros([3, 2], tch::kind::DOUBLE_CPU);
        assert!(Logistic::fit(&x, &[true; 3], 1.0).is_err());
        assert!(Logistic::fit(&x, &[true, false], 1.0).is_err());
        assert!(Logistic::fit(&(x + f64::NAN), &[true, false, true], 1.0).is_err());
    }
}
