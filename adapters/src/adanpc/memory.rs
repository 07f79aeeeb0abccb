//! The labelled vectors of one stream.

use szar_core::{Error, NamedTensors, Result};
use tch::Tensor;

use crate::rows::Rows;
use crate::saved::{self, Saved};

/// Rows in the order they came, except that a class at its limit writes over its oldest sample.
#[derive(Debug)]
pub(super) struct Memory {
    pub rows: Rows,
    /// `[n, D]`, of length 1.
    pub values: Vec<f32>,
    /// `[n]`, columns.
    pub labels: Vec<usize>,
    /// `[n]`, positions in the stream; -1 for what the memory started with.
    pub samples: Vec<i64>,
    limit: Option<usize>,
    /// By class, where there is a limit: rows of its samples, and which of them is the oldest.
    rings: Vec<(Vec<usize>, usize)>,
    /// Rows added, those written over others among them.
    pub writes: i64,
    /// Rows written over others.
    pub replacements: i64,
}

impl Memory {
    /// Starts from labelled vectors, `[n, D]`, which are scaled to length 1 and never leave.
    pub fn new(rows: Rows, classes: usize, limit: Option<usize>, values: &[f32], labels: &[usize]) -> Self {
        let more = limit.map_or(0, |limit| limit * classes);
        let mut memory = Self {
            rows,
            values: Vec::with_capacity(values.len() + more * rows.width),
            labels: Vec::with_capacity(labels.len() + more),
            samples: Vec::with_capacity(labels.len() + more),
            limit,
            rings: Vec::new(),
            writes: 0,
            replacements: 0,
        };
        if let Some(limit) = limit {
            memory.rings = (0..classes).map(|_| (Vec::with_capacity(limit), 0)).collect();
        }
        memory.values.extend_from_slice(values);
        rows.normalise(&mut memory.values);
        memory.labels.extend_from_slice(labels);
        memory.samples.resize(labels.len(), -1);
        memory
    }

    /// n.
    pub fn len(&self) -> usize {
        self.labels.len()
    }

    /// Remembers a vector of length 1.
    pub fn add(&mut self, label: usize, sample: i64, vector: &[f32]) {
        self.writes += 1;
        if let (Some(limit), Some((ring, oldest))) = (self.limit, self.rings.get_mut(label)) {
            if ring.len() == limit {
                let row = ring[*oldest];
                *oldest = (*oldest + 1) % limit;
                self.values[row * vector.len()..][..vector.len()].copy_from_slice(vector);
                self.samples[row] = sample;
                self.replacements += 1;
                return;
            }
            ring.push(self.labels.len());
        }
        self.values.extend_from_slice(vector);
        self.labels.push(label);
        self.samples.push(sample);
    }

    pub fn bytes(&self) -> u64 {
        let rings: usize = self.rings.iter().map(|(ring, _)| ring.len() + 1).sum();
        (self.values.len() * 4 + (self.len() * 2 + rings) * 8) as u64
    }

    pub fn save(&self, prefix: &str, into: &mut NamedTensors) {
        let shape = [self.len() as i64, self.rows.width as i64];
        let entries = [
            ("rows", Tensor::from_slice(&self.values).reshape(shape)),
            ("labels", saved::integers(self.labels.iter().copied())),
            ("samples", Tensor::from_slice(&self.samples)),
            (
                "oldest",
                saved::integers(self.rings.iter().map(|(_, oldest)| *oldest)),
            ),
            ("totals", Tensor::from_slice(&[self.writes, self.replacements])),
        ];
        into.extend(entries.map(|(name, tensor)| (format!("{prefix}/{name}"), tensor)));
    }

    /// The memory of a snapshot.
    pub fn restored(
        rows: Rows,
        classes: usize,
        limit: Option<usize>,
        prefix: &str,
        saved: &mut Saved,
    ) -> Result<Self> {
        let name = |entry: &str| format!("{prefix}/{entry}");
        let labels = saved.below(&name("labels"), &[None], classes)?;
        let count = Some(labels.len());
        let values = saved.floats(&name("rows"), &[count, Some(rows.width)])?;
        let samples = saved.integers(&name("samples"), &[count])?;
        let totals = saved.integers(&name("totals"), &[Some(2)])?;
        let rings = if limit.is_some() { classes } else { 0 };
        let oldest = saved.below(&name("oldest"), &[Some(rings)], limit.unwrap_or(1))?;
        let mut memory = Self::new(rows, classes, limit, &[], &[]);
        // Rows of a class came in the order of its ring, and stay where they are.
        for (row, (label, sample)) in labels.iter().zip(&samples).enumerate() {
            if *sample >= 0 && rings > 0 {
                memory.rings[*label].0.push(row);
            }
        }
        for ((ring, first), oldest) in memory.rings.iter_mut().zip(oldest) {
            *first = oldest;
            if limit.is_some_and(|limit| ring.len() > limit) {
                return Err(Error::Input(format!(
                    "state `{prefix}` of adanpc remembers {} samples of a class, `capacity` is {}",
                    ring.len(),
                    limit.unwrap_or(0)
                )));
            }
        }
        memory.values.extend_from_slice(&values);
        (memory.labels, memory.samples) = (labels, samples);
        (memory.writes, memory.replacements) = (totals[0], totals[1]);
        Ok(memory)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_class_at_its_limit_forgets_its_oldest_sample_and_never_what_it_started_with() {
        let mut memory = Memory::new(Rows::new(1), 2, Some(2), &[2.0, -2.0], &[0, 1]);
        for (sample, label) in (0..).zip([0, 1, 0, 0, 0]) {
            memory.add(label, sample, &[1.0]);
        }
        assert_eq!(memory.samples, [-1, -1, 3, 1, 4]);
        assert_eq!(memory.labels, [0, 1, 0, 1, 0]);
        assert_eq!(memory.values[..2], [1.0, -1.0]);
        assert_eq!((memory.writes, memory.replacements), (5, 2));
    }
}
