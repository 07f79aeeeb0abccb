//! The closed-form gradient on the CPU, without a temporary of the memory's size: one pass for the logits of what is
//! remembered, one for the gradient. Samples without weight are left out.

use pulp::{Simd, WithSimd};

use crate::simd::{exp, tile};

/// Numbers of a row that a pass works on at a time, so that they stay in the caches; a multiple of every vector's length.
const CHUNK: usize = 128;

/// Classes and vectors of numbers whose sums fill the registers.
const TILE: (usize, usize) = (12, 2);

/// What a stream remembers, and how it is judged.
#[derive(Debug)]
pub(super) struct Memory<'a> {
    /// D.
    pub width: usize,
    /// `[n, D]`.
    pub rows: &'a [f32],
    /// `[C, D]`, what rows are compared with.
    pub classes: &'a [f32],
    /// `[n, C]`, rows that sum to 1.
    pub targets: &'a [f32],
    /// `[n]`.
    pub weights: &'a [f32],
    /// Multiplies the products.
    pub factor: f32,
    /// `[C]`, or empty: what is then taken off.
    pub offsets: &'a [f32],
    /// `[C, D]`, the result.
    pub gradient: &'a mut [f32],
}

impl WithSimd for Memory<'_> {
    /// The loss.
    type Output = f64;

    #[inline(always)]
    fn with_simd<S: Simd>(mut self, simd: S) -> f64 {
        let used: Vec<usize> = (0..self.weights.len())
            .filter(|r| self.weights[*r] != 0.0)
            .collect();
        let columns = self.classes.len() / self.width;
        let mut slopes = vec![0.0f32; used.len() * columns];
        self.products(simd, &used, &mut slopes);
        let mut loss = 0.0;
        for (row, slopes) in used.iter().zip(slopes.chunks_exact_mut(columns)) {
            loss += self.slope(*row, slopes);
        }
        self.gather(simd, &used, &slopes);
        loss
    }
}

impl Memory<'_> {
    /// `out[i, c] = rows[used[i]] · classes[c]`.
    #[inline(always)]
    fn products<S: Simd>(&self, simd: S, used: &[usize], out: &mut [f32]) {
        let columns = self.classes.len() / self.width;
        for from in (0..self.width).step_by(4 * CHUNK) {
            let len = (4 * CHUNK).min(self.width - from);
            let mut first = 0;
            while used.len() - first >= 4 {
                self.some_products::<S, 4>(simd, &used[first..], (from, len), &mut out[first * columns..]);
                first += 4;
            }
            while first < used.len() {
                self.some_products::<S, 1>(simd, &used[first..], (from, len), &mut out[first * columns..]);
                first += 1;
            }
        }
    }

    /// Adds the part of the first `Q` rows that lies in `span`, start and length.
    #[inline(always)]
    fn some_products<S: Simd, const Q: usize>(
        &self,
        simd: S,
        used: &[usize],
        span: (usize, usize),
        out: &mut [f32],
    ) {
        let (from, len) = span;
        let columns = self.classes.len() / self.width;
        let mut rows: [&[f32]; Q] = [&[]; Q];
        for (row, at) in rows.iter_mut().zip(used) {
            *row = &self.rows[at * self.width + from..][..len];
        }
        let mut class = 0;
        while columns - class >= 4 {
            let mut own: [&[f32]; 4] = [&[]; 4];
            for (i, own) in own.iter_mut().enumerate() {
                *own = &self.classes[(class + i) * self.width + from..][..len];
            }
            let products = tile::<S, Q, 4>(simd, rows, own);
            for (q, products) in products.iter().enumerate() {
                for (i, product) in products.iter().enumerate() {
                    out[q * columns + class + i] += product;
                }
            }
            class += 4;
        }
        while class < columns {
            let own = &self.classes[class * self.width + from..][..len];
            let products = tile::<S, Q, 1>(simd, rows, [own]);
            for (q, [product]) in products.iter().enumerate() {
                out[q * columns + class] += product;
            }
            class += 1;
        }
    }

    /// Products to slopes `w (p − t) factor` in place; gives the row's part of the loss, `w Σ t (ln Σ exp z − z)`.
    #[inline(always)]
    fn slope(&self, row: usize, products: &mut [f32]) -> f64 {
        let columns = products.len();
        let (weight, targets) = (self.weights[row], &self.targets[row * columns..][..columns]);
        let mut top = f32::NEG_INFINITY;
        for (c, z) in products.iter_mut().enumerate() {
            *z = *z * self.factor - self.offsets.get(c).copied().unwrap_or(0.0);
            top = top.max(*z);
        }
        let mut met = 0.0;
        for (z, target) in products.iter_mut().zip(targets) {
            *z -= top;
            met += target * *z;
        }
        for z in products.iter_mut() {
            *z = exp(*z);
        }
        let total: f32 = products.iter().sum();
        let mass: f32 = targets.iter().sum();
        for (z, target) in products.iter_mut().zip(targets) {
            *z = (*z / total - target) * weight * self.factor;
        }
        f64::from(weight) * f64::from(mass * total.ln() - met)
    }

    /// `gradient[c] = Σ_i slopes[i, c] rows[used[i]]`.
    #[inline(always)]
    fn gather<S: Simd>(&mut self, simd: S, used: &[usize], slopes: &[f32]) {
        let columns = self.classes.len() / self.width;
        let mut packed = vec![0.0f32; used.len() * CHUNK];
        let mut sums = [0.0f32; TILE.0 * CHUNK];
        for from in (0..self.width).step_by(CHUNK) {
            let len = CHUNK.min(self.width - from);
            for (at, into) in used.iter().zip(packed.chunks_exact_mut(CHUNK)) {
                into[..len].copy_from_slice(&self.rows[at * self.width + from..][..len]);
            }
            let mut class = 0;
            while class < columns {
                let count = TILE.0.min(columns - class);
                let all = (&packed[..], slopes);
                match count {
                    12 => some_sums::<S, 12>(simd, all, (class, columns), &mut sums),
                    8..12 => some_sums::<S, 8>(simd, all, (class, columns), &mut sums),
                    4..8 => some_sums::<S, 4>(simd, all, (class, columns), &mut sums),
                    _ => some_sums::<S, 1>(simd, all, (class, columns), &mut sums),
                }
                let done = match count {
                    12 => 12,
                    8..12 => 8,
                    4..8 => 4,
                    _ => 1,
                };
                for (i, sums) in sums.chunks_exact(CHUNK).take(done).enumerate() {
                    let into = &mut self.gradient[(class + i) * self.width + from..][..len];
                    into.copy_from_slice(&sums[..len]);
                }
                class += done;
            }
        }
    }
}

/// `sums[i] = Σ_r slopes[r, class + i] packed[r]` for `K` classes, over numbers `[n, CHUNK]`; `at` is the class and C.
#[inline(always)]
fn some_sums<S: Simd, const K: usize>(simd: S, all: (&[f32], &[f32]), at: (usize, usize), sums: &mut [f32]) {
    let ((packed, slopes), (class, columns)) = (all, at);
    let lanes = size_of::<S::f32s>() / size_of::<f32>();
    let step = TILE.1 * lanes;
    for from in (0..CHUNK).step_by(step) {
        let mut own = [[simd.splat_f32s(0.0); TILE.1]; K];
        let rows = packed.chunks_exact(CHUNK).zip(slopes.chunks_exact(columns));
        for (row, slopes) in rows {
            let (row, _) = S::as_simd_f32s(&row[from..from + step]);
            let slopes = &slopes[class..class + K];
            for i in 0..K {
                let slope = simd.splat_f32s(slopes[i]);
                for j in 0..TILE.1 {
                    own[i][j] = simd.mul_add_e_f32s(slope, row[j], own[i][j]);
                }
            }
        }
        for i in 0..K {
            let (into, _) = S::as_mut_simd_f32s(&mut sums[i * CHUNK + from..][..step]);
            into.copy_from_slice(&own[i]);
        }
    }
}
