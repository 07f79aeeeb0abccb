//! The supports of every class of every stream, and the class vectors they make.

use szar_core::{NamedTensors, Result};
use tch::Tensor;

use super::T3aConfig;
use crate::saved::{self, Saved};

/// One support.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct Entry {
    /// Nats.
    pub entropy: f64,
    /// Position of the sample; `c − C` for the vector of class c itself.
    pub sample: i64,
    /// Its row; meaningless where no rows are kept.
    row: usize,
}

/// Sizes and rules that are fixed for a stream.
#[derive(Clone, Copy, Debug)]
pub(super) struct Size {
    /// S.
    pub streams: usize,
    /// C.
    pub classes: usize,
    /// D.
    pub width: usize,
    /// Most entries of a class; none for no limit.
    pub most: Option<usize>,
    /// Does every step throw one entry of every class out?
    pub shrinks: bool,
}

impl Size {
    pub fn new(options: &T3aConfig, streams: usize, classes: usize, width: usize) -> Self {
        let shrinks = options.drops_at_every_step();
        Self {
            streams,
            classes,
            width,
            most: options.filter_k,
            shrinks,
        }
    }

    /// S·C.
    fn blocks(self) -> usize {
        self.streams * self.classes
    }

    /// May an entry ever go? Then its vector must be known.
    fn forgets(self) -> bool {
        self.most.is_some() || self.shrinks
    }
}

#[derive(Debug)]
pub(super) struct Supports {
    pub size: Size,
    /// By block `s·C + c`, in ascending entropy where entries may go, else in the order they came.
    entries: Vec<Vec<Entry>>,
    /// `[_, D]`, vectors of length 1.
    rows: Vec<f32>,
    /// Rows that no entry uses.
    free: Vec<usize>,
    /// `[S·C, D]`.
    sums: Vec<f64>,
    /// `[S·C, D]`, the sums scaled to length 1.
    weights: Vec<f32>,
    /// `[S·C]`, is the weight older than the sum?
    stale: Vec<bool>,
    /// Entries written, and those thrown out again.
    pub totals: [i64; 2],
}

impl Supports {
    pub fn new(size: Size) -> Self {
        let values = size.blocks() * size.width;
        let rows = size.most.map_or(0, |k| values * k);
        let room = size.most.unwrap_or(0);
        Self {
            size,
            entries: (0..size.blocks()).map(|_| Vec::with_capacity(room)).collect(),
            rows: Vec::with_capacity(rows),
            free: Vec::new(),
            sums: vec![0.0; values],
            weights: vec![0.0; values],
            stale: vec![false; size.blocks()],
            totals: [0; 2],
        }
    }

    /// Adds a vector of length 1 to a class. A full class gives its most uncertain entry for it, when that is strictly
    /// more uncertain.
    pub fn add(&mut self, block: usize, entropy: f64, sample: i64, vector: &[f32]) {
        if self.size.most == Some(self.entries[block].len()) {
            match self.entries[block].last() {
                Some(last) if entropy < last.entropy => self.drop_last(block),
                _ => return,
            }
        }
        let row = self.keep(vector);
        let entries = &mut self.entries[block];
        let at = if self.size.forgets() {
            entries.partition_point(|e| e.entropy <= entropy)
        } else {
            entries.len()
        };
        entries.insert(at, Entry { entropy, sample, row });
        let sum = &mut self.sums[block * self.size.width..][..self.size.width];
        sum.iter_mut().zip(vector).for_each(|(s, v)| *s += f64::from(*v));
        self.stale[block] = true;
        self.totals[0] += 1;
    }

    /// Finds a row for a vector.
    fn keep(&mut self, vector: &[f32]) -> usize {
        let width = self.size.width;
        if !self.size.forgets() {
            return 0;
        }
        match self.free.pop() {
            Some(row) => {
                self.rows[row * width..][..width].copy_from_slice(vector);
                row
            }
            None => {
                self.rows.extend_from_slice(vector);
                self.rows.len() / width - 1
            }
        }
    }

    fn drop_last(&mut self, block: usize) {
        let Some(entry) = self.entries[block].pop() else {
            return;
        };
        let width = self.size.width;
        let sum = &mut self.sums[block * width..][..width];
        if self.entries[block].is_empty() {
            sum.fill(0.0);
        } else {
            let row = &self.rows[entry.row * width..][..width];
            sum.iter_mut().zip(row).for_each(|(s, v)| *s -= f64::from(*v));
        }
        self.free.push(entry.row);
        self.stale[block] = true;
        self.totals[1] += 1;
    }

    /// Ends a step of a stream: throws out what the released code's slice does, where that is asked for.
    pub fn end_step(&mut self, stream: usize) {
        if self.size.shrinks {
            let first = stream * self.size.classes;
            (first..first + self.size.classes).for_each(|block| self.drop_last(block));
        }
    }

    /// `[C, D]`, the class vectors of a stream; 0 for a class without supports.
    pub fn weights(&mut self, stream: usize) -> &[f32] {
        let (classes, width) = (self.size.classes, self.size.width);
        for block in stream * classes..(stream + 1) * classes {
            if self.stale[block] {
                let sum = &self.sums[block * width..][..width];
                let length = sum.iter().map(|s| s * s).sum::<f64>().sqrt().max(1e-12);
                let factor = 1.0 / length;
                let weights = &mut self.weights[block * width..][..width];
                weights
                    .iter_mut()
                    .zip(sum)
                    .for_each(|(w, s)| *w = (s * factor) as f32);
                self.stale[block] = false;
            }
        }
        &self.weights[stream * classes * width..][..classes * width]
    }

    /// Entries by block.
    pub fn blocks(&self) -> impl Iterator<Item = &[Entry]> {
        self.entries.iter().map(Vec::as_slice)
    }

    /// Entries of each class, summed over streams.
    pub fn occupancy(&self) -> Vec<f64> {
        let mut sums = vec![0.0; self.size.classes];
        for (block, entries) in self.entries.iter().enumerate() {
            sums[block % self.size.classes] += entries.len() as f64;
        }
        sums
    }

    /// Bytes of what is remembered now; rows that wait for their next entry are not counted.
    pub fn bytes(&self) -> u64 {
        let entries: usize = self.entries.iter().map(Vec::len).sum();
        let vector = if self.size.forgets() {
            self.size.width * 4
        } else {
            0
        };
        let classes = self.weights.len() * 4 + self.sums.len() * 8;
        (classes + entries * (size_of::<Entry>() + vector)) as u64
    }

    pub fn save(&self, into: &mut NamedTensors) {
        let (size, all) = (self.size, self.entries.concat());
        let vectors = if size.forgets() { size.width } else { 0 };
        let rows = all.iter().flat_map(|e| &self.rows[e.row * vectors..][..vectors]);
        let rows: Vec<f32> = rows.copied().collect();
        let entropies: Vec<f64> = all.iter().map(|e| e.entropy).collect();
        let samples: Vec<i64> = all.iter().map(|e| e.sample).collect();
        let shape = |rows: usize, width: usize| [rows as i64, width as i64];
        let entries = [
            ("counts", saved::integers(self.entries.iter().map(Vec::len))),
            ("entropies", Tensor::from_slice(&entropies)),
            ("samples", Tensor::from_slice(&samples)),
            (
                "rows",
                Tensor::from_slice(&rows).reshape(shape(all.len(), vectors)),
            ),
            (
                "sums",
                Tensor::from_slice(&self.sums).reshape(shape(size.blocks(), size.width)),
            ),
            ("totals", Tensor::from_slice(&self.totals)),
        ];
        into.extend(entries.map(|(name, tensor)| (name.to_owned(), tensor)));
    }

    /// The supports of a snapshot.
    pub fn restored(size: Size, saved: &mut Saved) -> Result<Self> {
        let vectors = if size.forgets() { size.width } else { 0 };
        let limit = size.most.map_or(usize::MAX, |k| k + 1);
        let counts = saved.below("counts", &[Some(size.blocks())], limit)?;
        let total = counts.iter().fold(0usize, |sum, n| sum.saturating_add(*n));
        let entropies = saved.doubles("entropies", &[Some(total)])?;
        let samples = saved.integers("samples", &[Some(total)])?;
        let rows = saved.floats("rows", &[Some(total), Some(vectors)])?;
        let totals = saved.integers("totals", &[Some(2)])?;
        let sums = saved.doubles("sums", &[Some(size.blocks()), Some(size.width)])?;
        let mut new = Self::new(size);
        new.sums = sums;
        new.rows.extend_from_slice(&rows);
        new.stale.fill(true);
        new.totals.copy_from_slice(&totals);
        let forgets = size.forgets();
        let all = entropies.iter().zip(&samples).enumerate();
        let entry = |(row, (entropy, sample)): (usize, (&f64, &i64))| Entry {
            entropy: *entropy,
            sample: *sample,
            row: if forgets { row } else { 0 },
        };
        let mut all = all.map(entry);
        for (entries, count) in new.entries.iter_mut().zip(counts) {
            entries.extend(all.by_ref().take(count));
        }
        Ok(new)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn supports(most: Option<usize>, shrinks: bool) -> Supports {
        Supports::new(Size {
            streams: 1,
            classes: 1,
            width: 2,
            most,
            shrinks,
        })
    }

    fn samples(supports: &Supports) -> Vec<i64> {
        supports.blocks().flatten().map(|e| e.sample).collect()
    }

    #[test]
    fn the_surest_stay_and_their_mean_direction_is_the_class() {
        let mut two = supports(Some(2), false);
        for (sample, (entropy, vector)) in (0..).zip([
            (0.9, [1.0, 0.0]),
            (0.2, [0.0, 1.0]),
            (0.5, [0.6, 0.8]),
            (0.5, [1.0, 0.0]),
        ]) {
            two.add(0, entropy, sample, &vector);
        }
        assert_eq!(samples(&two), [1, 2]); // the second 0.5 is not strictly surer than the first
        let length = (0.36f64 + 1.8 * 1.8).sqrt();
        let got = two.weights(0);
        assert!(
            (f64::from(got[0]) - 0.6 / length).abs() < 1e-6
                && (f64::from(got[1]) - 1.8 / length).abs() < 1e-6
        );
        assert_eq!((two.totals, two.rows.len()), ([3, 1], 4));
    }

    #[test]
    fn the_released_slice_empties_a_class_and_its_vector() {
        let mut official = supports(None, true);
        official.add(0, 0.1, 0, &[0.6, 0.8]);
        official.end_step(0);
        assert!(samples(&official).is_empty());
        assert_eq!(official.weights(0), [0.0, 0.0]);
    }

    #[test]
    fn nothing_but_names_is_kept_of_samples_that_stay_forever() {
        let mut all = supports(None, false);
        for sample in 0..10 {
            all.add(0, 0.1, sample, &[0.0, 1.0]);
        }
        assert_eq!(all.bytes(), 2 * 4 + 2 * 8 + 10 * 24);
        assert_eq!(all.weights(0), [0.0, 1.0]);
    }
}
