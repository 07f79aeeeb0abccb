//! The passes between the matrix products, on the CPU.

use pulp::{Arch, Simd, WithSimd};
use szar_core::host::{HostF32, slice_mut};
use tch::Tensor;

use super::attend::MIN_LENGTH;

/// Values that are summed side by side.
const LANES: usize = 16;

/// A copy of rows of `width` values, of length 1 where asked.
pub(super) fn rows(values: &HostF32, width: i64, normalise: bool) -> Tensor {
    let mut own = Tensor::from_slice(values.as_slice()).reshape([-1, width]);
    if normalise && width > 0 {
        for row in slice_mut(&mut own).chunks_exact_mut(width as usize) {
            let factor = 1.0 / dot(row, row).sqrt().max(MIN_LENGTH);
            row.iter_mut().for_each(|v| *v *= factor);
        }
    }
    own
}

/// `len` rows of a matrix from row `from`, to be written.
pub(super) fn rows_of(matrix: &mut Tensor, from: i64, len: i64) -> &mut [f32] {
    let width = matrix.size()[1] as usize;
    &mut slice_mut(matrix)[from as usize * width..][..len as usize * width]
}

#[inline(always)]
fn dot(a: &[f32], b: &[f32]) -> f32 {
    let (whole_a, rest_a) = a.as_chunks::<LANES>();
    let (whole_b, rest_b) = b.as_chunks::<LANES>();
    let mut sums = [0.0f32; LANES];
    for (a, b) in whole_a.iter().zip(whole_b) {
        for ((sum, a), b) in sums.iter_mut().zip(a).zip(b) {
            *sum += a * b;
        }
    }
    let rest: f32 = rest_a.iter().zip(rest_b).map(|(a, b)| a * b).sum();
    sums.iter().sum::<f32>() + rest
}

/// Turns the affinities into the nodes' attention over the texts, and takes the texts' attention over the nodes with it.
pub(super) struct Look<'a> {
    /// P.
    pub points: usize,
    /// D.
    pub width: usize,
    /// C.
    pub classes: usize,
    /// Multiplies the affinities.
    pub scale: f32,
    /// Do the nodes count as vectors of length 1?
    pub normalise: bool,
    /// `[B, P, D]`.
    pub nodes: &'a [f32],
    /// `[B, D]`.
    pub visual: &'a [f32],
    /// `[B, P, C]`: dot products of nodes and texts before, `softmax_C(A)` after.
    pub affinity: &'a mut [f32],
    /// `[B, C]`: receives `g·F_ta`.
    pub text: &'a mut [f32],
}

impl Look<'_> {
    pub(super) fn run(self) {
        Arch::new().dispatch(self);
    }
}

impl WithSimd for Look<'_> {
    type Output = ();

    #[inline(always)]
    fn with_simd<S: Simd>(self, _: S) {
        let (mut seen, mut tops, mut totals) = (
            vec![0.0f32; self.points],
            vec![0.0f32; self.classes],
            vec![0.0f32; self.classes],
        );
        let samples = self.nodes.chunks_exact(self.points * self.width);
        let samples = samples.zip(self.visual.chunks_exact(self.width));
        let outs = self.affinity.chunks_exact_mut(self.points * self.classes);
        let outs = outs.zip(self.text.chunks_exact_mut(self.classes));
        for ((nodes, visual), (affinity, text)) in samples.zip(outs) {
            let points = nodes
                .chunks_exact(self.width)
                .zip(affinity.chunks_exact_mut(self.classes));
            for ((node, row), seen) in points.zip(&mut seen) {
                let length = if self.normalise {
                    dot(node, node).sqrt().max(MIN_LENGTH)
                } else {
                    1.0
                };
                *seen = dot(node, visual) / length;
                let factor = self.scale / length;
                row.iter_mut().for_each(|a| *a *= factor);
            }
            over_nodes(affinity, &seen, &mut tops, &mut totals, text);
            affinity.chunks_exact_mut(self.classes).for_each(softmax);
        }
    }
}

/// `text[c] = Σ_p softmax_p(A[p, c]) seen[p]`.
#[inline(always)]
fn over_nodes(affinity: &[f32], seen: &[f32], tops: &mut [f32], totals: &mut [f32], text: &mut [f32]) {
    tops.fill(f32::NEG_INFINITY);
    for row in affinity.chunks_exact(tops.len()) {
        tops.iter_mut().zip(row).for_each(|(top, a)| *top = top.max(*a));
    }
    totals.fill(0.0);
    text.fill(0.0);
    for (row, seen) in affinity.chunks_exact(tops.len()).zip(seen) {
        let sums = totals.iter_mut().zip(text.iter_mut());
        for ((a, top), (total, text)) in row.iter().zip(&*tops).zip(sums) {
            let share = (a - top).exp();
            *total += share;
            *text += share * seen;
        }
    }
    text.iter_mut()
        .zip(totals)
        .for_each(|(text, total)| *text /= *total);
}

#[inline(always)]
fn softmax(row: &mut [f32]) {
    let top = row.iter().copied().fold(f32::NEG_INFINITY, f32::max);
    let mut total = 0.0;
    for a in &mut *row {
        *a = (*a - top).exp();
        total += *a;
    }
    row.iter_mut().for_each(|a| *a /= total);
}

/// `pooled = mean_p + max_p` of what each node sees.
pub(super) struct Pool<'a> {
    /// P.
    pub points: usize,
    /// D.
    pub width: usize,
    /// `[B, P, D]`.
    pub looked: &'a [f32],
    /// `[B, D]`, receives the result; zeros before.
    pub pooled: &'a mut [f32],
}

impl Pool<'_> {
    pub(super) fn run(self) {
        Arch::new().dispatch(self);
    }
}

impl WithSimd for Pool<'_> {
    type Output = ();

    #[inline(always)]
    fn with_simd<S: Simd>(self, _: S) {
        let share = 1.0 / self.points as f32;
        let mut tops = vec![0.0f32; self.width];
        let samples = self.looked.chunks_exact(self.points * self.width);
        for (looked, pooled) in samples.zip(self.pooled.chunks_exact_mut(self.width)) {
            tops.fill(f32::NEG_INFINITY);
            for node in looked.chunks_exact(self.width) {
                for ((sum, top), v) in pooled.iter_mut().zip(&mut tops).zip(node) {
                    *sum += v;
                    *top = if *v > *top { *v } else { *top };
                }
            }
            pooled
                .iter_mut()
                .zip(&tops)
                .for_each(|(sum, top)| *sum = *sum * share + top);
        }
    }
}
