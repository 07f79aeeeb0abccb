//! Affinities on the CPU: dot products of normalised descriptors with the keys, and their exponentials.
//!
//! The product of two vectors is always summed the same way, whichever other vectors are worked on beside them,
//! so that the size of a batch cannot be seen in a single bit of the result.

use std::ops::Range;

use pulp::{Simd, WithSimd};

/// Lengths below this count as this, so that a zero vector is no division by zero.
const MIN_LENGTH: f32 = 1e-8;

/// Divides every vector by its length.
pub(super) struct Normalise<'a> {
    /// Vectors of this many values.
    pub width: usize,
    /// Vectors of one sample.
    pub slots: usize,
    /// `[B, D, N]`, in place.
    pub values: &'a mut [f32],
    /// `[B]`, false for samples with a value that is not finite; their vectors become 0.
    pub usable: &'a mut Vec<bool>,
}

impl WithSimd for Normalise<'_> {
    type Output = ();

    #[inline(always)]
    fn with_simd<S: Simd>(self, simd: S) {
        self.usable.clear();
        for sample in self.values.chunks_exact_mut(self.slots * self.width) {
            let mut usable = true;
            for vector in sample.chunks_exact_mut(self.width) {
                let [[square]] = tile::<S, 1, 1>(simd, [vector], [vector]);
                usable &= square.is_finite();
                let factor = 1.0 / square.sqrt().max(MIN_LENGTH);
                vector.iter_mut().for_each(|v| *v *= factor);
            }
            if !usable {
                sample.fill(0.0);
            }
            self.usable.push(usable);
        }
    }
}

/// Weights of the slots: for each sample, or for each class.
#[derive(Clone, Copy, Debug)]
pub(super) enum Weights<'a> {
    /// `[B, D]`: whatever the class of the entry.
    PerSample(&'a [f32]),
    /// `[D, C·K]`: those of the entry's class.
    PerColumn(&'a [f32]),
}

/// `out[b, e] = Σ_d w_d exp(β (q[b, d] · k[d, e] − 1))`, eq. 6 and 11 with the slots already summed.
pub(super) struct Affinities<'a> {
    /// D.
    pub slots: usize,
    /// C·K.
    pub columns: usize,
    /// N.
    pub width: usize,
    /// β.
    pub beta: f32,
    /// `[B, D, N]`, vectors of length 1.
    pub queries: &'a [f32],
    /// `[D, C·K, N]`, vectors of length 1.
    pub keys: &'a [f32],
    /// Columns that hold an entry; what comes out elsewhere means nothing.
    pub occupied: &'a [Range<usize>],
    pub weights: Weights<'a>,
    /// Scratch, `[4, C·K]`.
    pub dots: &'a mut [f32],
    /// `[B, C·K]`.
    pub out: &'a mut [f32],
}

impl WithSimd for Affinities<'_> {
    type Output = ();

    #[inline(always)]
    fn with_simd<S: Simd>(mut self, simd: S) {
        self.out.fill(0.0);
        let samples = self.queries.len() / (self.slots * self.width);
        for slot in 0..self.slots {
            let mut first = 0;
            while samples - first >= 4 {
                self.rows::<S, 4, 4>(simd, slot, first);
                first += 4;
            }
            while first < samples {
                self.rows::<S, 1, 8>(simd, slot, first);
                first += 1;
            }
        }
    }
}

impl Affinities<'_> {
    /// Adds one slot's part for `Q` samples from `first`, `K` keys at a time.
    #[inline(always)]
    fn rows<S: Simd, const Q: usize, const K: usize>(&mut self, simd: S, slot: usize, first: usize) {
        let (n, e) = (self.width, self.columns);
        let query = |i: usize| &self.queries[((first + i) * self.slots + slot) * n..][..n];
        let queries: [&[f32]; Q] = std::array::from_fn(query);
        let keys = &self.keys[slot * e * n..][..e * n];
        let key = |column: usize| &keys[column * n..][..n];
        for range in self.occupied {
            let mut column = range.start;
            while range.end - column >= K {
                let products = tile::<S, Q, K>(simd, queries, std::array::from_fn(|i| key(column + i)));
                for (row, products) in self.dots.chunks_exact_mut(e).zip(products) {
                    row[column..column + K].copy_from_slice(&products);
                }
                column += K;
            }
            for column in column..range.end {
                let products = tile::<S, Q, 1>(simd, queries, [key(column)]);
                for (row, [product]) in self.dots.chunks_exact_mut(e).zip(products) {
                    row[column] = product;
                }
            }
        }
        for (i, dots) in self.dots.chunks_exact(e).take(Q).enumerate() {
            let out = &mut self.out[(first + i) * e..][..e];
            match self.weights {
                Weights::PerSample(w) => {
                    let w = w[(first + i) * self.slots + slot];
                    for (out, dot) in out.iter_mut().zip(dots) {
                        *out += w * affinity(*dot, self.beta);
                    }
                }
                Weights::PerColumn(w) => {
                    for ((out, dot), w) in out.iter_mut().zip(dots).zip(&w[slot * e..][..e]) {
                        *out += w * affinity(*dot, self.beta);
                    }
                }
            }
        }
    }
}

/// The affinity of some samples to one new entry, as [`Affinities`] gives it for an old one.
pub(super) struct Column<'a> {
    /// N.
    pub width: usize,
    /// β.
    pub beta: f32,
    /// `[D, N]`, the entry.
    pub key: &'a [f32],
    /// `[B, D, N]`.
    pub queries: &'a [f32],
    /// `[B, D]`, or `[D]` when the same for all.
    pub weights: &'a [f32],
    /// Result `i` goes to `out[i * stride]`.
    pub stride: usize,
    pub out: &'a mut [f32],
}

impl WithSimd for Column<'_> {
    type Output = ();

    #[inline(always)]
    fn with_simd<S: Simd>(self, simd: S) {
        let slots = self.key.len() / self.width;
        let mut weights = self.weights.chunks_exact(slots).cycle();
        let samples = self.queries.chunks_exact(self.key.len());
        for (sample, out) in samples.zip(self.out.iter_mut().step_by(self.stride)) {
            let mut sum = 0.0;
            let pairs = sample
                .chunks_exact(self.width)
                .zip(self.key.chunks_exact(self.width));
            let Some(weights) = weights.next() else { return };
            for ((query, key), w) in pairs.zip(weights) {
                let [[dot]] = tile::<S, 1, 1>(simd, [query], [key]);
                sum += w * affinity(dot, self.beta);
            }
            *out = sum;
        }
    }
}

/// All dot products of `Q` with `K` vectors of one length.
///
/// Plain loops, no closures: what is not inlined here would run without the vector instructions chosen for `S`.
#[expect(clippy::needless_range_loop, reason = "indices pair up two arrays")]
#[inline(always)]
fn tile<S: Simd, const Q: usize, const K: usize>(
    simd: S,
    queries: [&[f32]; Q],
    keys: [&[f32]; K],
) -> [[f32; K]; Q] {
    let none: &[S::f32s] = &[];
    let (mut q, mut k) = ([none; Q], [none; K]);
    let (mut q_rest, mut k_rest) = ([&[] as &[f32]; Q], [&[] as &[f32]; K]);
    for i in 0..Q {
        (q[i], q_rest[i]) = S::as_simd_f32s(queries[i]);
    }
    for j in 0..K {
        (k[j], k_rest[j]) = S::as_simd_f32s(keys[j]);
    }
    let mut sums = [[simd.splat_f32s(0.0); K]; Q];
    let steps = q[0].len();
    for i in 0..Q {
        q[i] = &q[i][..steps];
    }
    for j in 0..K {
        k[j] = &k[j][..steps];
    }
    for step in 0..steps {
        for j in 0..K {
            for i in 0..Q {
                sums[i][j] = simd.mul_add_e_f32s(q[i][step], k[j][step], sums[i][j]);
            }
        }
    }
    if !q_rest[0].is_empty() {
        for j in 0..K {
            let key = simd.partial_load_f32s(k_rest[j]);
            for i in 0..Q {
                let query = simd.partial_load_f32s(q_rest[i]);
                sums[i][j] = simd.mul_add_e_f32s(query, key, sums[i][j]);
            }
        }
    }
    let mut products = [[0.0; K]; Q];
    for i in 0..Q {
        for j in 0..K {
            products[i][j] = simd.reduce_sum_f32s(sums[i][j]);
        }
    }
    products
}

/// `exp(β (cos − 1))`; what is below `e⁻⁸⁶` counts as that.
#[inline(always)]
fn affinity(cos: f32, beta: f32) -> f32 {
    exp(beta * (cos - 1.0))
}

/// The exponential, to within 2e-7 of its value, in steps that a compiler can do on many values at once.
///
/// `x = n ln 2 + r` with whole `n` and `|r| <= ln 2 / 2`; `e^r` by its Taylor polynomial, `2^n` by its bits.
#[inline(always)]
fn exp(x: f32) -> f32 {
    /// Adding this rounds to whole numbers: the fraction falls off the mantissa.
    const ROUND: f32 = 12_582_912.0;
    const LN2_HIGH: f32 = 0.693_359_4;
    const LN2_LOW: f32 = -2.121_944_4e-4;
    let x = x.clamp(-86.0, 86.0);
    let shifted = x * std::f32::consts::LOG2_E + ROUND;
    let n = shifted - ROUND;
    let r = x - n * LN2_HIGH - n * LN2_LOW;
    let mut sum = 1.0 / 5040.0;
    for term in [1.0 / 720.0, 1.0 / 120.0, 1.0 / 24.0, 1.0 / 6.0, 0.5, 1.0, 1.0] {
        sum = sum * r + term;
    }
    f32::from_bits(sum.to_bits().wrapping_add(shifted.to_bits() << 23))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_exponential_is_that_of_the_library() {
        for i in 0..200_000 {
            let x = -86.0 + i as f32 * (88.0 / 200_000.0);
            let want = f64::from(x).exp();
            let error = (f64::from(exp(x)) - want).abs() / want;
            assert!(error < 2e-7, "exp({x}) is off by {error:e}");
        }
        assert_eq!(exp(0.0), 1.0);
    }

    #[test]
    fn dot_products_of_any_length_are_right() {
        struct Dot<'a>(&'a [f32], &'a [f32]);
        impl WithSimd for Dot<'_> {
            type Output = f32;
            #[inline(always)]
            fn with_simd<S: Simd>(self, simd: S) -> f32 {
                tile::<S, 1, 1>(simd, [self.0], [self.1])[0][0]
            }
        }
        for n in [1usize, 3, 8, 15, 16, 17, 25, 48, 256] {
            let a: Vec<f32> = (0..n).map(|i| (i as f32 * 0.7).sin()).collect();
            let b: Vec<f32> = (0..n).map(|i| (i as f32 * 1.3).cos()).collect();
            let want: f64 = a.iter().zip(&b).map(|(a, b)| f64::from(*a) * f64::from(*b)).sum();
            let got = pulp::Arch::new().dispatch(Dot(&a, &b));
            assert!((f64::from(got) - want).abs() < 1e-4, "{n}: {got} and {want}");
        }
    }
}
