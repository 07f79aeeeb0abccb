//! The attention of one sample after the other, on the CPU.
//!
//! Every sum is taken in one fixed order, whatever is computed beside it: the size of a batch cannot be seen in a bit.

use pulp::{Arch, Simd, WithSimd};

use crate::rows::Rows;

/// Nodes that look at the texts side by side.
const TILE: usize = 8;

/// Channels that are transposed at once.
const BLOCK: usize = 16;

/// The nodes of a batch as they lie in memory.
#[derive(Clone, Copy)]
pub(super) enum Nodes<'a> {
    /// `[B, P, D]`.
    ByNode(&'a [f32]),
    /// `[B, D, P]`, as a feature map has them.
    ByChannel(&'a [f32]),
}

/// A batch to be attended, and where the answers go.
pub(super) struct Batch<'a> {
    /// P.
    pub points: usize,
    /// D.
    pub width: usize,
    /// Multiplies the affinities.
    pub scale: f32,
    /// Bring the nodes to length 1.
    pub normalise: bool,
    pub nodes: Nodes<'a>,
    /// `[B, D]`, of length 1 where that is asked for.
    pub visual: &'a [f32],
    /// `[C, D]`, of length 1 where that is asked for.
    pub classes: &'a [f32],
    /// `[B, C]`: receives `g·F_ta`.
    pub text: &'a mut [f32],
    /// `[B, D]`: receives `F_va`.
    pub pooled: &'a mut [f32],
}

/// Attends every sample of a batch.
pub(super) fn attend(batch: Batch) {
    let (points, width) = (batch.points, batch.width);
    let count = batch.classes.len() / width;
    let rows = Rows::new(width);
    let mut nodes = vec![0.0f32; points * width];
    let (mut affinity, mut seen) = (vec![0.0f32; points * count], vec![0.0f32; points]);
    let (mut tops, mut totals) = (vec![0.0f32; count], vec![0.0f32; count]);
    let arch = Arch::new();
    let samples = batch.visual.chunks_exact(width).enumerate();
    let outs = batch
        .text
        .chunks_exact_mut(count)
        .zip(batch.pooled.chunks_exact_mut(width));
    for ((number, visual), (text, pooled)) in samples.zip(outs) {
        let own = number * points * width..(number + 1) * points * width;
        match batch.nodes {
            Nodes::ByNode(all) => nodes.copy_from_slice(&all[own]),
            Nodes::ByChannel(all) => transpose(&all[own], points, &mut nodes),
        }
        if batch.normalise {
            rows.normalise(&mut nodes);
        }
        rows.products(&nodes, batch.classes, &mut affinity);
        affinity.iter_mut().for_each(|a| *a *= batch.scale);
        rows.products(&nodes, visual, &mut seen);
        over_nodes(&affinity, &seen, &mut tops, &mut totals, text);
        affinity.chunks_exact_mut(count).for_each(softmax);
        arch.dispatch(Look {
            points,
            width,
            classes: batch.classes,
            attention: &affinity,
            pooled,
        });
    }
}

/// A copy of rows of `width` values, of length 1 where asked.
pub(super) fn rows(values: &[f32], width: usize, normalise: bool) -> Vec<f32> {
    let mut own = values.to_vec();
    if normalise {
        Rows::new(width).normalise(&mut own);
    }
    own
}

/// `[D, P]` to `[P, D]`, in blocks of channels that stay in the cache.
fn transpose(from: &[f32], points: usize, to: &mut [f32]) {
    let width = from.len() / points;
    for (number, block) in from.chunks(BLOCK * points).enumerate() {
        let (first, channels) = (number * BLOCK, block.len() / points);
        for (point, row) in to.chunks_exact_mut(width).enumerate() {
            let row = &mut row[first..first + channels];
            for (channel, value) in row.iter_mut().enumerate() {
                *value = block[channel * points + point];
            }
        }
    }
}

/// `text[c] = Σ_p softmax_p(A[p, c]) seen[p]`.
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

fn softmax(row: &mut [f32]) {
    let top = row.iter().copied().fold(f32::NEG_INFINITY, f32::max);
    let mut total = 0.0;
    for a in &mut *row {
        *a = (*a - top).exp();
        total += *a;
    }
    row.iter_mut().for_each(|a| *a /= total);
}

/// `pooled = mean_p + max_p` of `attention · classes`, which is never written out.
struct Look<'a> {
    points: usize,
    width: usize,
    /// `[C, D]`.
    classes: &'a [f32],
    /// `[P, C]`.
    attention: &'a [f32],
    /// `[D]`.
    pooled: &'a mut [f32],
}

impl WithSimd for Look<'_> {
    type Output = ();

    /// Plain loops, no closures: what is not inlined here would run without the vector instructions chosen for `S`.
    #[inline(always)]
    fn with_simd<S: Simd>(self, simd: S) {
        let count = self.classes.len() / self.width;
        let tiles = self.points / TILE;
        let attention = tiled(self.attention, count, tiles);
        let (whole, rest) = attention.split_at(tiles * TILE * count);
        let share = simd.splat_f32s(1.0 / self.points as f32);
        let lanes = size_of::<S::f32s>() / size_of::<f32>();
        let mut texts = vec![simd.splat_f32s(0.0); count];
        for from in (0..self.width).step_by(lanes) {
            let to = (from + lanes).min(self.width);
            for (class, text) in texts.iter_mut().enumerate() {
                *text = simd.partial_load_f32s(&self.classes[class * self.width..][from..to]);
            }
            let mut sum = simd.splat_f32s(0.0);
            let mut top = simd.splat_f32s(f32::NEG_INFINITY);
            for tile in whole.chunks_exact(TILE * count) {
                look::<S, TILE>(simd, tile, &texts, &mut sum, &mut top);
            }
            for node in rest.chunks_exact(count) {
                look::<S, 1>(simd, node, &texts, &mut sum, &mut top);
            }
            let both = simd.mul_add_e_f32s(sum, share, top);
            simd.partial_store_f32s(&mut self.pooled[from..to], both);
        }
    }
}

/// What `Q` nodes see of the texts, added to the sum and to the largest so far; `attention` is `[C, Q]`.
#[expect(clippy::needless_range_loop, reason = "indices pair up two arrays")]
#[inline(always)]
fn look<S: Simd, const Q: usize>(
    simd: S,
    attention: &[f32],
    texts: &[S::f32s],
    sum: &mut S::f32s,
    top: &mut S::f32s,
) {
    let (shares, _) = attention.as_chunks::<Q>();
    let mut seen = [simd.splat_f32s(0.0); Q];
    for (shares, text) in shares.iter().zip(texts) {
        for i in 0..Q {
            seen[i] = simd.mul_add_e_f32s(simd.splat_f32s(shares[i]), *text, seen[i]);
        }
    }
    for i in 0..Q {
        *sum = simd.add_f32s(*sum, seen[i]);
        *top = simd.max_f32s(*top, seen[i]);
    }
}

/// `[P, C]` as `[P / 8, C, 8]`, and the nodes that are left over as they are.
fn tiled(attention: &[f32], count: usize, tiles: usize) -> Vec<f32> {
    let (whole, rest) = attention.split_at(tiles * TILE * count);
    let mut out = vec![0.0f32; whole.len()];
    for (from, to) in whole
        .chunks_exact(TILE * count)
        .zip(out.chunks_exact_mut(TILE * count))
    {
        for (node, row) in from.chunks_exact(count).enumerate() {
            for (class, share) in row.iter().enumerate() {
                to[class * TILE + node] = *share;
            }
        }
    }
    out.extend_from_slice(rest);
    out
}
