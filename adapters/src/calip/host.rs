//! The attention of one sample after the other, on the CPU.
//!
//! Every sum is taken in one fixed order, whatever is computed beside it: the size of a batch cannot be seen in a bit.

use pulp::{Arch, Simd, WithSimd};

use crate::rows::Rows;
use crate::simd::{exp, tile};

/// Nodes that look at the texts side by side, and texts that nodes are compared with.
const TILE: usize = 8;

/// Lengths below this count as this.
const MIN_LENGTH: f32 = 1e-8;

/// The nodes of a batch as they lie in memory.
#[derive(Clone, Copy)]
pub(super) enum Nodes<'a> {
    /// `[B, P, D]`.
    ByNode(&'a [f32]),
    /// `[B, D, P]`, as a feature map has them.
    ByChannel(&'a [f32]),
}

/// What depends on the class embeddings alone.
#[derive(Debug, Default)]
pub(super) struct Texts {
    /// As they came, and how.
    given: (Vec<f32>, i64, bool),
    /// `[C, D]`, of length 1 where that is asked for.
    pub rows: Vec<f32>,
    /// The same, `[D, C]`.
    columns: Vec<f32>,
}

impl Texts {
    /// Takes over embeddings of `width` values; nothing is done for those that are there already.
    pub fn hold(&mut self, values: &[f32], width: i64, normalise: bool) {
        let (given, of_width, normalised) = &self.given;
        if (*of_width, *normalised) == (width, normalise) && same(given, values) {
            return;
        }
        self.given = (values.to_vec(), width, normalise);
        let width = width.unsigned_abs() as usize;
        self.rows = rows(values, width, normalise);
        let column = |channel: usize| self.rows.chunks_exact(width).map(move |row| row[channel]);
        self.columns = (0..width).flat_map(column).collect();
    }
}

/// Are these the same bits? Without an exit in every step, so that many are compared at once.
fn same(a: &[f32], b: &[f32]) -> bool {
    let differ = |(a, b): (&[f32], &[f32])| {
        let pairs = a.iter().zip(b);
        pairs.fold(0, |bits, (a, b)| bits | (a.to_bits() ^ b.to_bits())) != 0
    };
    a.len() == b.len() && !a.chunks(256).zip(b.chunks(256)).any(differ)
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
    pub texts: &'a Texts,
    /// `[B, C]`: receives `g·F_ta`.
    pub text: &'a mut [f32],
    /// `[B, D]`: receives `F_va`.
    pub pooled: &'a mut [f32],
}

/// Attends every sample of a batch.
pub(super) fn attend(batch: Batch) {
    let (points, width) = (batch.points, batch.width);
    let (classes, columns) = (&batch.texts.rows, &batch.texts.columns);
    let count = classes.len() / width;
    let (rows, arch) = (Rows::new(width), Arch::new());
    let mut nodes = Vec::new();
    if let Nodes::ByNode(_) = batch.nodes {
        nodes.resize(points * width, 0.0);
    }
    let mut attention = vec![0.0f32; count * points];
    let mut seen = vec![0.0f32; points];
    let mut scratch = vec![0.0f32; 2 * points];
    let samples = batch.visual.chunks_exact(width).enumerate();
    let outs = batch
        .text
        .chunks_exact_mut(count)
        .zip(batch.pooled.chunks_exact_mut(width));
    for ((number, visual), (text, pooled)) in samples.zip(outs) {
        let own = number * points * width..(number + 1) * points * width;
        match batch.nodes {
            Nodes::ByNode(all) => {
                nodes.copy_from_slice(&all[own]);
                if batch.normalise {
                    rows.normalise(&mut nodes);
                }
                rows.products(classes, &nodes, &mut attention);
                rows.products(visual, &nodes, &mut seen);
                attention.iter_mut().for_each(|a| *a *= batch.scale);
            }
            Nodes::ByChannel(all) => arch.dispatch(Compare {
                nodes: &all[own],
                visual,
                columns,
                scale: batch.scale,
                normalise: batch.normalise,
                factors: &mut scratch[..points],
                attention: &mut attention,
                seen: &mut seen,
            }),
        }
        arch.dispatch(Shares {
            attention: &mut attention,
            seen: &seen,
            scratch: &mut scratch,
            text,
        });
        arch.dispatch(Look {
            points,
            width,
            classes,
            attention: &attention,
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

/// Nodes as a feature map has them against the texts, without turning the map around: neighbouring nodes in the lanes.
struct Compare<'a> {
    /// `[D, P]`.
    nodes: &'a [f32],
    /// `[D]`.
    visual: &'a [f32],
    /// `[D, C]`, the texts.
    columns: &'a [f32],
    scale: f32,
    normalise: bool,
    /// Scratch, `[P]`.
    factors: &'a mut [f32],
    /// `[C, P]`: receives the scaled affinities.
    attention: &'a mut [f32],
    /// `[P]`: receives the products with `visual`.
    seen: &'a mut [f32],
}

impl WithSimd for Compare<'_> {
    type Output = ();

    #[inline(always)]
    fn with_simd<S: Simd>(self, simd: S) {
        let (points, count) = (self.seen.len(), self.columns.len() / self.visual.len());
        let (squares, seen) = (self.factors, self.seen);
        squares.fill(0.0);
        seen.fill(0.0);
        for (row, v) in self.nodes.chunks_exact(points).zip(self.visual) {
            for i in 0..points.min(squares.len()) {
                squares[i] += row[i] * row[i];
                seen[i] += row[i] * v;
            }
        }
        for (square, seen) in squares.iter_mut().zip(seen) {
            let factor = if self.normalise {
                1.0 / square.sqrt().max(MIN_LENGTH)
            } else {
                1.0
            };
            *seen *= factor;
            *square = factor * self.scale;
        }
        let (factors, lanes) = (&*squares, size_of::<S::f32s>() / size_of::<f32>());
        for from in (0..points).step_by(lanes) {
            let own = from..(from + lanes).min(points);
            let mut first = 0;
            while first < count {
                let whole = own.len() == lanes;
                let against = Against {
                    nodes: self.nodes,
                    columns: self.columns,
                    factors,
                    points,
                    count,
                    first,
                };
                let rows = &mut self.attention[first * points..];
                if count - first >= TILE {
                    match whole {
                        true => against.texts::<S, TILE, true>(simd, own.clone(), rows),
                        false => against.texts::<S, TILE, false>(simd, own.clone(), rows),
                    }
                    first += TILE;
                } else {
                    against.texts::<S, 1, false>(simd, own.clone(), rows);
                    first += 1;
                }
            }
        }
    }
}

/// A few nodes against a few texts.
struct Against<'a> {
    nodes: &'a [f32],
    columns: &'a [f32],
    /// `[P]`, what the products are multiplied by.
    factors: &'a [f32],
    points: usize,
    count: usize,
    /// The first of the texts.
    first: usize,
}

impl Against<'_> {
    /// `WHOLE`: the nodes in `own` fill a vector.
    #[inline(always)]
    fn texts<S: Simd, const K: usize, const WHOLE: bool>(
        &self,
        simd: S,
        own: std::ops::Range<usize>,
        out: &mut [f32],
    ) {
        let mut sums = [simd.splat_f32s(0.0); K];
        let channels = self
            .nodes
            .chunks_exact(self.points)
            .zip(self.columns.chunks_exact(self.count));
        for (row, texts) in channels {
            let row = &row[own.start..own.end];
            let nodes = if WHOLE {
                S::as_simd_f32s(row).0[0]
            } else {
                simd.partial_load_f32s(row)
            };
            let texts = &texts[self.first..self.first + K];
            for k in 0..K {
                sums[k] = simd.mul_add_e_f32s(nodes, simd.splat_f32s(texts[k]), sums[k]);
            }
        }
        let factors = simd.partial_load_f32s(&self.factors[own.start..own.end]);
        for (sum, row) in sums.into_iter().zip(out.chunks_exact_mut(self.points)) {
            simd.partial_store_f32s(&mut row[own.start..own.end], simd.mul_f32s(sum, factors));
        }
    }
}

/// The two softmaxes.
struct Shares<'a> {
    /// `[C, P]`, affinities; receives their softmax over the texts.
    attention: &'a mut [f32],
    /// `[P]`.
    seen: &'a [f32],
    /// `[2, P]`.
    scratch: &'a mut [f32],
    /// `[C]`: receives `Σ_p softmax_p(A[c, p]) seen[p]`.
    text: &'a mut [f32],
}

impl WithSimd for Shares<'_> {
    type Output = ();

    /// Plain loops, no closures: what is not inlined here would run without the vector instructions chosen for `S`.
    #[inline(always)]
    fn with_simd<S: Simd>(self, simd: S) {
        let points = self.seen.len();
        let (shares, ones) = self.scratch.split_at_mut(points);
        ones.fill(1.0);
        for (row, text) in self.attention.chunks_exact(points).zip(self.text) {
            let top = top::<S>(simd, row);
            for i in 0..points {
                shares[i] = exp(row[i] - top);
            }
            let [[total, sum]] = tile::<S, 1, 2>(simd, [shares], [ones, self.seen]);
            *text = sum / total;
        }
        let (tops, totals) = self.scratch.split_at_mut(points);
        tops.fill(f32::NEG_INFINITY);
        for row in self.attention.chunks_exact(points) {
            for i in 0..points {
                tops[i] = if row[i] > tops[i] { row[i] } else { tops[i] };
            }
        }
        totals.fill(0.0);
        for row in self.attention.chunks_exact_mut(points) {
            for i in 0..points {
                row[i] = exp(row[i] - tops[i]);
                totals[i] += row[i];
            }
        }
        for row in self.attention.chunks_exact_mut(points) {
            for i in 0..points {
                row[i] /= totals[i];
            }
        }
    }
}

/// The largest of a row.
#[inline(always)]
fn top<S: Simd>(simd: S, row: &[f32]) -> f32 {
    let (whole, rest) = S::as_simd_f32s(row);
    let mut best = simd.splat_f32s(f32::NEG_INFINITY);
    for values in whole {
        best = simd.max_f32s(best, *values);
    }
    let mut best = simd.reduce_max_f32s(best);
    for value in rest {
        best = best.max(*value);
    }
    best
}

/// `pooled = mean_p + max_p` of `attention · classes`, which is never written out.
struct Look<'a> {
    points: usize,
    width: usize,
    /// `[C, D]`.
    classes: &'a [f32],
    /// `[C, P]`.
    attention: &'a [f32],
    /// `[D]`.
    pooled: &'a mut [f32],
}

impl WithSimd for Look<'_> {
    type Output = ();

    #[inline(always)]
    fn with_simd<S: Simd>(self, simd: S) {
        let (points, count) = (self.points, self.classes.len() / self.width);
        let share = simd.splat_f32s(1.0 / points as f32);
        let lanes = size_of::<S::f32s>() / size_of::<f32>();
        let mut texts = vec![simd.splat_f32s(0.0); count];
        for from in (0..self.width).step_by(lanes) {
            let to = (from + lanes).min(self.width);
            for (class, text) in texts.iter_mut().enumerate() {
                *text = simd.partial_load_f32s(&self.classes[class * self.width..][from..to]);
            }
            let mut sum = simd.splat_f32s(0.0);
            let mut top = simd.splat_f32s(f32::NEG_INFINITY);
            let mut point = 0;
            while points - point >= TILE {
                look::<S, TILE>(simd, self.attention, points, point, &texts, &mut sum, &mut top);
                point += TILE;
            }
            while point < points {
                look::<S, 1>(simd, self.attention, points, point, &texts, &mut sum, &mut top);
                point += 1;
            }
            let both = simd.mul_add_e_f32s(sum, share, top);
            simd.partial_store_f32s(&mut self.pooled[from..to], both);
        }
    }
}

/// What `Q` nodes from `first` see of the texts, added to the sum and to the largest so far; `attention` is `[C, P]`.
#[inline(always)]
fn look<S: Simd, const Q: usize>(
    simd: S,
    attention: &[f32],
    points: usize,
    first: usize,
    texts: &[S::f32s],
    sum: &mut S::f32s,
    top: &mut S::f32s,
) {
    let mut seen = [simd.splat_f32s(0.0); Q];
    for (shares, text) in attention.chunks_exact(points).zip(texts) {
        let shares = &shares[first..first + Q];
        for i in 0..Q {
            seen[i] = simd.mul_add_e_f32s(simd.splat_f32s(shares[i]), *text, seen[i]);
        }
    }
    for seen in seen {
        *sum = simd.add_f32s(*sum, seen);
        *top = simd.max_f32s(*top, seen);
    }
}
