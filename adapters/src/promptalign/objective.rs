//! What is minimised: disagreement of the views, and distance of their tokens from those of training.

use szar_core::{Error, Result, Tokens, host, shape};
use tch::{Kind, Tensor};

use super::Distance;

/// The `count` views of least entropy, most confident first (the earlier of equals): `[count]` i64.
///
/// # Shapes
/// - `logits`: `[V, C]`
pub(super) fn confident(logits: &Tensor, count: i64) -> Tensor {
    let log = logits.detach().log_softmax(-1, Kind::Float);
    let entropies = -(log.exp() * log).sum_dim_intlist([-1i64].as_slice(), false, Kind::Float);
    let entropies = host::to_f64(&entropies);
    let mut order: Vec<i64> = (0..entropies.len() as i64).collect();
    order.sort_by(|a, b| entropies[*a as usize].total_cmp(&entropies[*b as usize]));
    order.truncate(count.unsigned_abs() as usize);
    Tensor::from_slice(&order).to_device(logits.device())
}

/// Entropy of the mean posterior of some views, in nats.
///
/// TPT, eq. 3 and 4, summed in logarithms as in the released code.
///
/// # Shapes
/// - `logits`: `[n, C]`; result: scalar
pub(super) fn marginal_entropy(logits: &Tensor) -> Tensor {
    let views = logits.size()[0] as f64;
    let log = logits
        .log_softmax(-1, Kind::Float)
        .logsumexp([0i64].as_slice(), false)
        - views.ln();
    let log = log.clamp_min(f64::from(f32::MIN));
    -(log.exp() * log).sum(Kind::Float)
}

/// Distance of mean and variance over the views from those of training, PromptAlign, eq. 6.
///
/// # Shapes
/// - `tokens.values`: `[n, L, N]`; result: scalar
///
/// # Errors
/// [`Error::Shape`] when the statistics are not `[L, N]`.
pub(super) fn misalignment(tokens: &Tokens, views: i64, distance: Distance) -> Result<Tensor> {
    let values = &tokens.values;
    shape::expect("tokens", values, [Some(views), None, None])?;
    let want = [Some(values.size()[1]), Some(values.size()[2])];
    shape::expect("mean of the tokens in training", &tokens.mean, want)?;
    shape::expect("variance of the tokens in training", &tokens.variance, want)?;
    if values.numel() == 0 {
        return Err(Error::Input("promptalign needs at least one token".into()));
    }
    let over_views = [0i64].as_slice();
    let mean = values.mean_dim(over_views, false, Kind::Float);
    let variance = (values - &mean).square().mean_dim(over_views, false, Kind::Float);
    let apart = |x: Tensor, y: &Tensor| {
        let difference = (x - y).abs();
        match distance {
            Distance::Mean => difference.mean(Kind::Float) * 0.5,
            Distance::Sum => difference.sum(Kind::Float),
        }
    };
    Ok(apart(mean, &tokens.mean) + apart(variance, &tokens.variance))
}

/// Anchors with a residual, every row of its former length.
///
/// # Shapes
/// - `anchors`: `[C, G, d]`; `residual`: `[1 or C, G, d]`
pub(super) fn moved(anchors: &Tensor, residual: &Tensor) -> Tensor {
    let last = [-1i64].as_slice();
    let length = |x: &Tensor| {
        x.square()
            .sum_dim_intlist(last, true, Kind::Float)
            .clamp_min(1e-16)
            .sqrt()
    };
    let sum = anchors + residual;
    let factor = length(anchors) / length(&sum);
    sum * factor
}
