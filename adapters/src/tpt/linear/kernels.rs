//! The loops over the texts, compiled for the vector instructions of the machine.

use pulp::{Simd, WithSimd};

use super::super::tuner::{BETA1, BETA2, EPSILON};
use super::Engine;

/// Values that are summed side by side.
const LANES: usize = 16;

/// Lengths below this count as this.
const SHORTEST: f32 = 1e-12;

/// `Σ a b`, [`LANES`] sums side by side.
#[inline(always)]
fn dot(a: &[f32], b: &[f32]) -> f32 {
    let mut sums = [0.0f32; LANES];
    let (a_blocks, b_blocks) = (a.chunks_exact(LANES), b.chunks_exact(LANES));
    let mut rest = 0.0;
    for (x, y) in a_blocks.remainder().iter().zip(b_blocks.remainder()) {
        rest += x * y;
    }
    for (x, y) in a_blocks.zip(b_blocks) {
        for lane in 0..LANES {
            sums[lane] += x[lane] * y[lane];
        }
    }
    for sum in sums {
        rest += sum;
    }
    rest
}

/// Texts and residual, and the same with the texts' lengths.
pub(super) struct Place<'a> {
    pub engine: &'a mut Engine,
}

impl WithSimd for Place<'_> {
    type Output = ();

    #[inline(always)]
    fn with_simd<S: Simd>(self, _: S) {
        let Engine {
            work,
            texts,
            lengths,
            width,
            slots,
            shared,
            ..
        } = self.engine;
        let row = *width * *slots;
        for class in 0..lengths.len() / (*slots).max(1) {
            let residual = if *shared {
                &work.residual[..]
            } else {
                &work.residual[class * row..][..row]
            };
            for slot in 0..*slots {
                let (at, from) = (class * *slots + slot, class * row + slot * *width);
                let moved = &mut work.moved[from..][..*width];
                let text = &texts[from..][..*width];
                let residual = &residual[slot * *width..][..*width];
                for i in 0..*width {
                    moved[i] = text[i] + residual[i];
                }
                let inverse = 1.0 / dot(moved, moved).sqrt().max(SHORTEST);
                work.inverse[at] = inverse;
                let factor = inverse * lengths[at];
                let vector = &mut work.vectors[from..][..*width];
                for i in 0..*width {
                    vector[i] = moved[i] * factor;
                }
            }
        }
    }
}

/// The gradient of the residual from that of the logits: pulled back to each class's vector, and from there through the
/// length that is kept.
pub(super) struct Differentiate<'a> {
    pub engine: &'a mut Engine,
}

impl WithSimd for Differentiate<'_> {
    type Output = ();

    #[inline(always)]
    fn with_simd<S: Simd>(self, _: S) {
        let Engine {
            work,
            marginal,
            lengths,
            width,
            slots,
            shared,
            scale,
            classes,
            ..
        } = self.engine;
        let row = *width * *slots;
        work.gradient.fill(0.0);
        for class in 0..*classes {
            work.pull.fill(0.0);
            let pull = &mut work.pull[..row];
            for (view, by_logit) in work
                .kept
                .chunks_exact(row)
                .zip(marginal.gradient.chunks_exact(*classes))
            {
                let weight = by_logit[class] * *scale;
                for i in 0..row {
                    pull[i] += weight * view[i];
                }
            }
            let own = if *shared { 0 } else { class * row };
            for slot in 0..*slots {
                let (at, from) = (class * *slots + slot, class * row + slot * *width);
                let moved = &work.moved[from..][..*width];
                let pull = &work.pull[slot * *width..][..*width];
                let inverse = work.inverse[at];
                let along = dot(moved, pull) * inverse * inverse;
                let factor = lengths[at] * inverse;
                let gradient = &mut work.gradient[own + slot * *width..][..*width];
                for i in 0..*width {
                    gradient[i] += factor * (pull[i] - along * moved[i]);
                }
            }
        }
    }
}

/// One step of AdamW.
pub(super) struct AdamW<'a> {
    /// What the decay leaves of a value.
    pub keep: f32,
    /// Learning rate over the first moment's correction.
    pub rate: f32,
    /// Root of the second moment's correction.
    pub root: f32,
    pub value: &'a mut [f32],
    pub gradient: &'a [f32],
    pub first: &'a mut [f32],
    pub second: &'a mut [f32],
}

impl WithSimd for AdamW<'_> {
    type Output = ();

    #[inline(always)]
    fn with_simd<S: Simd>(self, _: S) {
        let (first_share, second_share) = ((1.0 - BETA1) as f32, (1.0 - BETA2) as f32);
        let (second_decay, epsilon) = (BETA2 as f32, EPSILON as f32);
        let count = self.value.len();
        let (gradient, first, second) = (
            &self.gradient[..count],
            &mut self.first[..count],
            &mut self.second[..count],
        );
        for i in 0..count {
            let g = gradient[i];
            first[i] += first_share * (g - first[i]);
            second[i] = second[i] * second_decay + second_share * g * g;
            let step = self.rate * first[i] / (second[i].sqrt() / self.root + epsilon);
            self.value[i] = self.value[i] * self.keep - step;
        }
    }
}
