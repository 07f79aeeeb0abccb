//! Terms of the losses.

use tch::{Kind, Reduction, Tensor, no_grad};

use super::{Negatives, Posterior, TripletConfig};

/// Mean square of the differences over all elements.
pub fn mean_square(got: &Tensor, want: &Tensor) -> Tensor {
    got.mse_loss(want, Reduction::Mean)
}

/// A term of a loss; worked out without a graph when it does not count.
pub fn term(factor: f64, make: impl FnOnce() -> Tensor) -> Tensor {
    if factor == 0.0 { no_grad(make) } else { make() }
}

/// Sum of the terms that count, each times its factor.
pub fn total(terms: &[(&Tensor, f64)]) -> Tensor {
    let counting = terms.iter().filter(|(_, factor)| *factor != 0.0);
    let weighted = counting.map(|(term, factor)| {
        if *factor == 1.0 {
            term.shallow_clone()
        } else {
            *term * *factor
        }
    });
    weighted
        .reduce(|sum, next| sum + next)
        .unwrap_or_else(|| Tensor::from(0f32))
}

/// The whole loss and its terms side by side, without a graph.
pub fn detached(whole: &Tensor, terms: &[&Tensor]) -> Tensor {
    let all: Vec<Tensor> = [whole]
        .iter()
        .chain(terms)
        .map(|t| t.detach().view([1]))
        .collect();
    Tensor::cat(&all, 0)
}

/// 2-Wasserstein distance between the normals of motion and text, summed over samples:
/// `Σ √(‖μ₁ − μ₂‖² + ‖σ₁ − σ₂‖²)` (CADA-VAE, eq. 5). A scalar.
pub fn wasserstein(a: &Posterior, b: &Posterior) -> Tensor {
    let square = |x: Tensor| x.square().sum_dim_intlist([-1i64].as_slice(), false, Kind::Float);
    (square(&a.mean - &b.mean) + square(&a.deviation - &b.deviation))
        .sqrt()
        .sum(Kind::Float)
}

/// Triplet loss on mined samples of the batch.
#[derive(Clone, Copy, Debug)]
pub struct Triplet {
    /// By how much a sample must be nearer to its own class.
    pub margin: f64,
    /// Where negatives are looked for.
    pub negatives: Negatives,
}

impl From<TripletConfig> for Triplet {
    fn from(config: TripletConfig) -> Self {
        Self {
            margin: config.margin,
            negatives: config.negatives,
        }
    }
}

impl Triplet {
    /// For every sample the farthest of its class (maybe itself) and the nearest of the negatives are mined by dot product,
    /// and taken as constants; every sample is then held against every mined pair: `Σᵢⱼ max(0, xᵢ·nⱼ − xᵢ·pⱼ + margin) / B`.
    /// `x` is `[B, L]`, `labels` `[B]` i64; a scalar.
    pub fn loss(self, x: &Tensor, labels: &Tensor) -> Tensor {
        let products = x.detach().mm(&x.detach().transpose(0, 1));
        let same = labels.unsqueeze(0).eq_tensor(&labels.unsqueeze(1));
        let far = products
            .masked_fill(&same.logical_not(), f64::INFINITY)
            .argmin(1, false);
        let near = match self.negatives {
            Negatives::All => products,
            Negatives::Others => products.masked_fill(&same, f64::NEG_INFINITY),
        }
        .argmax(1, false);
        let mined = x.detach().index_select(0, &near) - x.detach().index_select(0, &far);
        let mut pairs = x.mm(&mined.transpose(0, 1)) + self.margin;
        if self.negatives == Negatives::Others {
            // A batch of one class has no negative, and no pair.
            let has = same.logical_not().any_dim(1, false).unsqueeze(0);
            pairs *= has.to_kind(Kind::Float);
        }
        pairs.relu().sum(Kind::Float) / x.size()[0] as f64
    }
}
