//! What the regression looks at.

use szar_core::{Result, shape};
use tch::{Kind, Tensor};

/// Added to the logits before they are divided by the temperature, as published.
const SHIFT: f64 = 1e-12;

/// Posterior over the seen classes.
///
/// # Shapes
/// - `seen_logits`: `[B, S]`
/// - result: `[B, S]` f32
pub(super) fn seen_posterior(seen_logits: &Tensor, temperature: f64) -> Tensor {
    ((seen_logits.to_kind(Kind::Float) + SHIFT) / temperature).softmax(-1, Kind::Float)
}

/// The `top` largest values of both posteriors, in descending order, side by side.
///
/// # Shapes
/// - `zero_shot`: `[B, U]`, probabilities; `seen_logits`: `[B, S]`
/// - result: `[B, 2 top]` f32
///
/// # Errors
/// When the rows differ, or a side has fewer than `top` columns.
pub(super) fn features(
    zero_shot: &Tensor,
    seen_logits: &Tensor,
    temperature: f64,
    top: usize,
) -> Result<Tensor> {
    let [rows, _] = shape::sizes("zero-shot posteriors", zero_shot, [None, None])?;
    shape::expect("seen logits", seen_logits, [Some(rows), None])?;
    let top = top as i64;
    let largest = |posterior: &Tensor| -> Result<Tensor> { Ok(posterior.f_topk(top, 1, true, true)?.0) };
    let zero_shot = largest(&zero_shot.to_kind(Kind::Float))?;
    let seen = largest(&seen_posterior(seen_logits, temperature))?;
    Ok(Tensor::cat(&[zero_shot, seen], 1))
}
