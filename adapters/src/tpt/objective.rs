//! The entropy of the views' mean posterior, and its gradient.

use tch::{Kind, Tensor};

/// Entropy of `softmax(scale · logits)` in nats.
pub(super) fn entropy(logits: &[f32], scale: f64) -> f64 {
    let top = logits.iter().copied().fold(f32::NEG_INFINITY, f32::max);
    let (mut total, mut weighted) = (0.0, 0.0);
    for z in logits {
        let below = f64::from(z - top) * scale;
        let part = below.exp();
        total += part;
        weighted += part * below;
    }
    (total.ln() - weighted / total).max(0.0)
}

/// Entropy of the mean posterior of some views, with room for its gradient.
#[derive(Debug, Default)]
pub(super) struct Marginal {
    /// `[k, C]`.
    posteriors: Vec<f64>,
    /// `[C]`, `−ln q`.
    surprise: Vec<f64>,
    /// `[k, C]`, derivative of the entropy by the logits.
    pub gradient: Vec<f32>,
}

impl Marginal {
    /// Loss of logits `[k, C]` that are multiplied by `scale`; the gradient is left in [`Self::gradient`]. No views: 0.
    pub fn of(&mut self, logits: &[f32], classes: usize, scale: f64) -> f64 {
        let views = logits.len() / classes.max(1);
        self.posteriors.clear();
        self.surprise.clear();
        self.surprise.resize(classes, 0.0);
        for row in logits.chunks_exact(classes) {
            self.add(row, scale);
        }
        let mut loss = 0.0;
        for q in &mut self.surprise {
            let mean = *q / views.max(1) as f64;
            // What has no share in any view has no part in loss or gradient.
            *q = if mean > 0.0 { -mean.ln() } else { 0.0 };
            loss += mean * *q;
        }
        self.differentiate(classes, scale / views.max(1) as f64);
        loss
    }

    /// One view's posterior, summed into `surprise` for now.
    fn add(&mut self, row: &[f32], scale: f64) {
        let top = row.iter().copied().fold(f32::NEG_INFINITY, f32::max);
        let from = self.posteriors.len();
        self.posteriors
            .extend(row.iter().map(|z| (f64::from(z - top) * scale).exp()));
        let own = &mut self.posteriors[from..];
        let share = 1.0 / own.iter().sum::<f64>();
        for (p, sum) in own.iter_mut().zip(&mut self.surprise) {
            *p *= share;
            *sum += *p;
        }
    }

    /// `P (h − P·h)` for every view, times `factor`.
    fn differentiate(&mut self, classes: usize, factor: f64) {
        self.gradient.clear();
        for posterior in self.posteriors.chunks_exact(classes) {
            let expected: f64 = posterior.iter().zip(&self.surprise).map(|(p, h)| p * h).sum();
            let rows = posterior.iter().zip(&self.surprise);
            self.gradient
                .extend(rows.map(|(p, h)| (factor * p * (h - expected)) as f32));
        }
    }
}

/// The same loss on tensors, differentiable in the logits `[k, C]`.
pub(super) fn marginal_entropy(logits: &Tensor, scale: f64) -> Tensor {
    let views = logits.size()[0] as f64;
    let each = (logits * scale).log_softmax(-1, Kind::Float);
    let mean = each.logsumexp([0i64].as_slice(), false) - views.ln();
    let mean = mean.clamp_min(f64::from(f32::MIN));
    -(&mean * mean.exp()).sum(Kind::Float)
}

#[cfg(test)]
mod tests {
    use super::*;
    use szar_core::host::to_f64;
    use szar_core::testing::normal;

    #[test]
    fn the_written_gradient_is_that_of_autograd() {
        for (seed, scale, spread) in [(1, 1.0, 1.0), (2, 30.0, 0.3), (3, 2.0, 20.0)] {
            let logits = (normal(&format!("logits {seed}"), &[5, 7]) * spread).set_requires_grad(true);
            let loss = marginal_entropy(&logits, scale);
            let want = Tensor::run_backward(&[&loss], &[&logits], false, false);
            let mut marginal = Marginal::default();
            let got = marginal.of(szar_core::host::slice(&logits.detach()), 7, scale);
            assert!(
                (got - to_f64(&loss.detach())[0]).abs() < 1e-5,
                "{got} and {loss:?}"
            );
            let got = Tensor::from_slice(&marginal.gradient).view([5, 7]);
            assert!(got.allclose(&want[0], 1e-4, 1e-6, false), "{got} {:?}", want[0]);
        }
    }

    #[test]
    fn two_views_of_opposite_mind_have_the_entropy_of_a_coin() {
        let mut marginal = Marginal::default();
        let loss = marginal.of(&[50.0, 0.0, 0.0, 50.0], 2, 1.0);
        assert!((loss - 2.0f64.ln()).abs() < 1e-9);
    }

    #[test]
    fn a_uniform_posterior_has_the_largest_entropy() {
        assert!((entropy(&[3.0; 4], 5.0) - 4.0f64.ln()).abs() < 1e-12);
        assert!(entropy(&[100.0, 0.0], 1.0) < 1e-12);
    }

    #[test]
    fn no_views_have_no_loss_and_no_gradient() {
        let mut marginal = Marginal::default();
        assert_eq!(marginal.of(&[], 3, 1.0), 0.0);
        assert!(marginal.gradient.is_empty());
    }
}
