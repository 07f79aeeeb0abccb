//! What a posterior says of a sample.

use crate::rows::largest;

/// What a posterior says.
#[derive(Clone, Copy, Debug)]
pub(super) struct Judged {
    pub class: usize,
    /// The largest probability.
    pub confidence: f32,
}

impl Judged {
    /// The largest of `softmax(logits / temperature)`, the first of equals.
    pub(super) fn of(logits: &[f32], temperature: f32) -> Self {
        let class = largest(logits);
        let total: f32 = logits
            .iter()
            .map(|z| ((z - logits[class]) / temperature).exp())
            .sum();
        Self {
            class,
            confidence: 1.0 / total,
        }
    }
}

/// `softmax(sharpness · logits)`.
pub(super) fn soften(logits: &[f32], sharpness: f32, into: &mut [f32]) {
    let top = logits.iter().copied().fold(f32::NEG_INFINITY, f32::max);
    for (out, z) in into.iter_mut().zip(logits) {
        *out = (sharpness * (z - top)).exp();
    }
    let total: f32 = into.iter().sum();
    into.iter_mut().for_each(|p| *p /= total);
}
