//! From the logits of two streams to one.

use tch::{Kind, Tensor};

/// `[B, C]`: logarithms of the mean of two posteriors.
pub(super) fn mean_posterior(spatial: &Tensor, temporal: &Tensor) -> Tensor {
    let log = |logits: &Tensor| logits.log_softmax(-1, Kind::Float);
    log(spatial).logaddexp(&log(temporal)) - std::f64::consts::LN_2
}

/// `[B, C]`: as published, the stream that is right where either is (the spatial one where neither is).
pub(super) fn either(spatial: &Tensor, temporal: &Tensor, labels: &Tensor) -> Tensor {
    let right = |logits: &Tensor| logits.argmax(-1, false).eq_tensor(labels);
    let only_temporal = right(temporal).logical_and(&right(spatial).logical_not());
    let log = |logits: &Tensor| logits.log_softmax(-1, Kind::Float);
    log(temporal).where_self(&only_temporal.unsqueeze(1), &log(spatial))
}
