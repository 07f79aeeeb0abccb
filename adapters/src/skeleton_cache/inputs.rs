//! What happens to descriptors and logits before the cache sees them.

use szar_core::{Result, shape};
use tch::{Kind, Tensor};

use super::LogitNorm;
use super::bank::Size;
use crate::balance::Balance;

/// Refuses descriptors and logits that do not fit the cache. Returns B.
pub(super) fn check(size: Size, descriptors: &Tensor, logits: &Tensor) -> Result<usize> {
    let [c, d, n] = [size.classes, size.slots, size.width].map(|v| Some(v as i64));
    let [samples, _] = shape::sizes("logits", logits, [None, c])?;
    shape::expect("descriptors", descriptors, [Some(samples), d, n])?;
    Ok(usize::try_from(samples).unwrap_or(0))
}

/// Descriptors `[B, D, N]` less the mean of the samples before each, slot by slot; the first keeps its own. Samples with
/// values that are not finite do not count. `stream` is [`super::bank::Bank::stream`], moved on unless `frozen`.
pub(super) fn centred(stream: &mut Tensor, descriptors: &Tensor, frozen: bool) -> Tensor {
    let device = stream.device();
    let values = descriptors.to_device(device).to_kind(Kind::Double);
    let (samples, slots, width) = values.size3().unwrap_or_default();
    let finite = values.isfinite().all_dims([1i64, 2].as_slice(), true);
    let counted = values.where_self(&finite, &Tensor::from(0f64).to_device(device));
    let ones = finite.to_kind(Kind::Double).expand([samples, 1, width], false);
    let start = stream.unsqueeze(0);
    let sums = if frozen {
        start.expand([samples, slots + 1, width], false)
    } else {
        // One running sum from the first sample on, so that the pieces of a stream cannot be told apart.
        let all = Tensor::cat(&[start, Tensor::cat(&[counted, ones], 1)], 0).cumsum(0, Kind::Double);
        *stream = all.get(samples).copy();
        all.narrow(0, 0, samples)
    };
    let mean = sums.narrow(1, 0, slots) / sums.narrow(1, slots, 1).clamp_min(1.0);
    (values - mean).to_kind(Kind::Float)
}

/// Normalises and balances logits `[B, C]` in place; rows with values that are not finite stay as they are.
pub(super) fn prepare(
    logits: &mut [f32],
    classes: usize,
    norm: LogitNorm,
    balance: &mut Balance,
    frozen: bool,
) {
    let balanced = !balance.is_off();
    for row in logits.chunks_exact_mut(classes) {
        normalise(row, norm);
        if !balanced || !row.iter().all(|z| z.is_finite()) {
            continue;
        }
        if frozen {
            balance.look(row, None);
        } else {
            balance.step(row, None);
        }
    }
}

/// Normalises one row of logits in place.
fn normalise(row: &mut [f32], norm: LogitNorm) {
    let as_f64 = |z: &f32| f64::from(*z);
    let (shift, scale) = match norm {
        LogitNorm::None => return,
        LogitNorm::LogSoftmax => {
            let top = row.iter().map(as_f64).fold(f64::NEG_INFINITY, f64::max);
            let total: f64 = row.iter().map(|z| (as_f64(z) - top).exp()).sum();
            (top + total.ln(), 1.0)
        }
        LogitNorm::Zscore => {
            let count = row.len() as f64;
            let mean = row.iter().map(as_f64).sum::<f64>() / count;
            let variance = row.iter().map(|z| (as_f64(z) - mean).powi(2)).sum::<f64>() / count;
            (mean, 1.0 / variance.sqrt().max(1e-8))
        }
    };
    row.iter_mut()
        .for_each(|z| *z = ((f64::from(*z) - shift) * scale) as f32);
}
