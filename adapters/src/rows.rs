//! Rows of numbers on the host, for adapters that remember vectors: lengths, products and posteriors, by the vector
//! instructions of the machine.
//!
//! A product of two rows is summed in one fixed order whatever is computed beside it, so that neither the size of a
//! batch nor the number of streams in it can be seen in a single bit.

use pulp::{Arch, Simd, WithSimd};
use szar_core::{
    Aligner, Embedding, Error, Observation, Result, SampleRef, SemanticAnchors, Task, host::HostF32, shape,
};
use tch::Tensor;

use crate::simd::tile;

/// Lengths below this count as this, so that a row of zeros is no division by zero.
const MIN_LENGTH: f32 = 1e-8;

/// Arithmetic on rows of one width.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Rows {
    arch: Arch,
    /// D, values in a row; at least 1.
    pub width: usize,
}

impl Rows {
    /// For rows of `width` values (1 when 0 is asked for, so that there always is a row).
    pub fn new(width: usize) -> Self {
        Self {
            arch: Arch::new(),
            width: width.max(1),
        }
    }

    /// Scales every row to length 1, in place.
    pub fn normalise(self, rows: &mut [f32]) {
        self.arch.dispatch(Normalise {
            width: self.width,
            rows,
        });
    }

    /// `out[q, k] = queries[q] · keys[k]`; `[Q, D]`, `[K, D]` and `[Q, K]`, row-major.
    pub fn products(self, queries: &[f32], keys: &[f32], out: &mut [f32]) {
        self.arch.dispatch(Products {
            width: self.width,
            queries,
            keys,
            out,
        });
    }
}

struct Normalise<'a> {
    width: usize,
    rows: &'a mut [f32],
}

impl WithSimd for Normalise<'_> {
    type Output = ();

    #[inline(always)]
    fn with_simd<S: Simd>(self, simd: S) {
        for row in self.rows.chunks_exact_mut(self.width) {
            let [[square]] = tile::<S, 1, 1>(simd, [row], [row]);
            let factor = 1.0 / square.sqrt().max(MIN_LENGTH);
            row.iter_mut().for_each(|v| *v *= factor);
        }
    }
}

struct Products<'a> {
    width: usize,
    queries: &'a [f32],
    keys: &'a [f32],
    out: &'a mut [f32],
}

impl WithSimd for Products<'_> {
    type Output = ();

    #[inline(always)]
    fn with_simd<S: Simd>(self, simd: S) {
        let (width, count) = (self.width, self.keys.len() / self.width);
        if count == 0 {
            return;
        }
        let fours = self.queries.len() / (4 * width);
        let (blocks, rest) = self.queries.split_at(fours * 4 * width);
        let (out_blocks, out_rest) = self.out.split_at_mut(fours * 4 * count);
        for (queries, out) in blocks
            .chunks_exact(4 * width)
            .zip(out_blocks.chunks_exact_mut(4 * count))
        {
            block::<S, 4, 4>(simd, width, queries, self.keys, out);
        }
        for (query, out) in rest.chunks_exact(width).zip(out_rest.chunks_exact_mut(count)) {
            block::<S, 1, 8>(simd, width, query, self.keys, out);
        }
    }
}

/// Products of `Q` queries with all keys, `K` at a time.
#[inline(always)]
fn block<S: Simd, const Q: usize, const K: usize>(
    simd: S,
    width: usize,
    queries: &[f32],
    keys: &[f32],
    out: &mut [f32],
) {
    let count = keys.len() / width;
    let queries = rows::<Q>(queries, width);
    let mut at = 0;
    while count - at >= K {
        let products = tile::<S, Q, K>(simd, queries, rows::<K>(&keys[at * width..], width));
        for i in 0..Q {
            out[i * count + at..][..K].copy_from_slice(&products[i]);
        }
        at += K;
    }
    while at < count {
        let products = tile::<S, Q, 1>(simd, queries, rows::<1>(&keys[at * width..], width));
        for i in 0..Q {
            out[i * count + at] = products[i][0];
        }
        at += 1;
    }
}

/// The first `N` rows.
#[inline(always)]
fn rows<const N: usize>(values: &[f32], width: usize) -> [&[f32]; N] {
    let mut all: [&[f32]; N] = [&[]; N];
    for i in 0..N {
        all[i] = &values[i * width..][..width];
    }
    all
}

/// Position of the largest value, the first of equals.
pub(crate) fn largest<T: PartialOrd + Copy>(values: &[T]) -> usize {
    let mut best = 0;
    for (i, value) in values.iter().enumerate() {
        if *value > values[best] {
            best = i;
        }
    }
    best
}

/// Writes `softmax(logits / temperature)` and gives its entropy in nats.
pub(crate) fn posterior(logits: &[f32], temperature: f64, out: &mut [f32]) -> f64 {
    let top = f64::from(logits[largest(logits)]);
    let (mut total, mut weighted) = (0.0, 0.0);
    for (z, p) in logits.iter().zip(out.iter_mut()) {
        let below = (f64::from(*z) - top) / temperature;
        let part = below.exp();
        total += part;
        weighted += part * below;
        *p = part as f32;
    }
    let share = 1.0 / total;
    out.iter_mut().for_each(|p| *p = (f64::from(*p) * share) as f32);
    (total.ln() - weighted / total).max(0.0)
}

/// Entropy of a distribution in nats; probabilities below 1e-12 count as that in the logarithm.
pub(crate) fn entropy(p: &[f32]) -> f64 {
    let part = |p: &f32| f64::from(*p) * f64::from(*p).max(1e-12).ln();
    -p.iter().map(part).sum::<f64>()
}

/// What a method that remembers vectors needs of a task, whatever it remembers.
#[derive(Debug)]
pub(crate) struct Setting {
    pub anchors: SemanticAnchors,
    /// C.
    pub classes: usize,
    /// S.
    pub streams: usize,
}

impl Setting {
    pub fn of(task: &Task) -> Result<Self> {
        let classes = task.candidates.len();
        if classes == 0 || task.streams == 0 {
            let why = format!("needs candidates and streams, got {classes} and {}", task.streams);
            return Err(Error::Input(why));
        }
        let anchors = task.anchors.with_values(task.anchors.values.shallow_clone())?;
        Ok(Self {
            anchors,
            classes,
            streams: task.streams,
        })
    }

    /// Refuses scores and samples that do not fit. Returns B.
    pub fn check(&self, scores: &Tensor, samples: &[SampleRef]) -> Result<usize> {
        let batch = samples.len();
        shape::expect("logits", scores, [Some(batch as i64), Some(self.classes as i64)])?;
        match samples.iter().find(|s| s.stream >= self.streams) {
            Some(s) => Err(Error::Input(format!(
                "sample {} is of stream {}, there are {}",
                s.position, s.stream, self.streams
            ))),
            None => Ok(batch),
        }
    }

    /// The aligner's vectors of a batch and of the candidates, `[B, D]` and `[C, D]`.
    pub fn embed(&self, seen: &Observation, model: &dyn Aligner) -> Result<Embedding> {
        let both = model.embed(seen.features, &self.anchors)?;
        shape::expect(
            "visual embeddings",
            &both.visual,
            [Some(seen.samples.len() as i64), None],
        )?;
        let width = Some(both.visual.size()[1]);
        shape::expect(
            "class embeddings",
            &both.classes,
            [Some(self.classes as i64), width],
        )?;
        Ok(both)
    }
}

/// Copies a tensor's values, brought to the host, over `into`.
pub(crate) fn fetch(tensor: &Tensor, into: &mut Vec<f32>) {
    into.clear();
    into.extend_from_slice(HostF32::new(&tensor.detach()).as_slice());
}

/// Rows of one width that fit what is already remembered. Returns the width.
pub(crate) fn width_of(rows: &Tensor, known: Option<usize>) -> Result<usize> {
    let want = known.map(|w| w as i64);
    shape::expect("vectors", rows, [None, want])?;
    match usize::try_from(rows.size()[1]) {
        Ok(width) if width > 0 => Ok(width),
        _ => Err(Error::Input(
            "vectors without a single value cannot be compared".into(),
        )),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn wave(count: usize, step: f32) -> Vec<f32> {
        (0..count).map(|i| (i as f32 * step).sin()).collect()
    }

    #[test]
    fn products_of_any_size_are_right_and_do_not_depend_on_their_neighbours() {
        for (width, queries, keys) in [(1, 1, 1), (3, 5, 9), (16, 4, 8), (17, 9, 21), (512, 6, 13)] {
            let rows = Rows::new(width);
            let (q, k) = (wave(queries * width, 0.7), wave(keys * width, 1.3));
            let mut all = vec![0.0; queries * keys];
            rows.products(&q, &k, &mut all);
            for (i, query) in q.chunks_exact(width).enumerate() {
                for (j, key) in k.chunks_exact(width).enumerate() {
                    let want: f64 = query
                        .iter()
                        .zip(key)
                        .map(|(a, b)| f64::from(*a) * f64::from(*b))
                        .sum();
                    let got = all[i * keys + j];
                    assert!((f64::from(got) - want).abs() < 1e-4, "{width}: {got} and {want}");
                    let mut alone = [0.0];
                    rows.products(query, key, &mut alone);
                    assert_eq!(alone[0].to_bits(), got.to_bits());
                }
            }
        }
    }

    #[test]
    fn rows_are_scaled_to_length_1_and_zeros_stay() {
        let mut rows = [3.0, 4.0, 0.0, 0.0];
        Rows::new(2).normalise(&mut rows);
        assert_eq!(rows, [0.6, 0.8, 0.0, 0.0]);
    }

    #[test]
    fn the_posterior_is_that_of_the_definition() {
        let mut p = [0.0; 3];
        let h = posterior(&[2.0, 0.0, 1.0], 2.0, &mut p);
        let e: Vec<f64> = [1.0f64, 0.0, 0.5].iter().map(|z| z.exp()).collect();
        let total: f64 = e.iter().sum();
        assert!(
            p.iter()
                .zip(&e)
                .all(|(p, e)| (f64::from(*p) - e / total).abs() < 1e-7)
        );
        let want: f64 = e.iter().map(|e| -(e / total) * (e / total).ln()).sum();
        assert!((h - want).abs() < 1e-9 && (entropy(&p) - want).abs() < 1e-6);
    }
}
