//! Affinities on the CPU: dot products of normalised descriptors with the keys, and their exponentials.
//!
//! The product of two vectors is always summed the same way, whichever other vectors are worked on beside them,
//! so that the size of a batch cannot be seen in a single bit of the result.

use std::ops::Range;

use pulp::{Simd, WithSimd};

use crate::simd::{exp, tile};

/// Lengths below this count as this, so that a zero vector is no division by zero.
const MIN_LENGTH: f32 = 1e-8;

/// Vectors divided by their lengths.
pub(super) struct Normalise<'a> {
    /// Vectors of this many values.
    pub width: usize,
    /// Vectors of one sample.
    pub slots: usize,
    /// `[B, D, N]`.
    pub descriptors: &'a [f32],
    /// `[B, D, N]`, where the vectors of length 1 go.
    pub queries: &'a mut [f32],
    /// `[B]`, false for samples with a value that is not finite; their vectors become 0.
    pub usable: &'a mut Vec<bool>,
}

impl WithSimd for Normalise<'_> {
    type Output = ();

    #[inline(always)]
    fn with_simd<S: Simd>(self, simd: S) {
        self.usable.clear();
        let size = self.slots * self.width;
        let samples = self.descriptors.chunks_exact(size);
        for (sample, queries) in samples.zip(self.queries.chunks_exact_mut(size)) {
            let mut usable = true;
            let vectors = sample.chunks_exact(self.width);
            for (vector, query) in vectors.zip(queries.chunks_exact_mut(self.width)) {
                let [[square]] = tile::<S, 1, 1>(simd, [vector], [vector]);
                usable &= square.is_finite();
                let factor = 1.0 / square.sqrt().max(MIN_LENGTH);
                for i in 0..vector.len().min(query.len()) {
                    query[i] = vector[i] * factor;
                }
            }
            if !usable {
                queries.fill(0.0);
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

/// `exp(β (cos − 1))`; what is below `e⁻⁸⁶` counts as that.
#[inline(always)]
fn affinity(cos: f32, beta: f32) -> f32 {
    exp(beta * (cos - 1.0))
}
