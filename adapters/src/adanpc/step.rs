//! Votes of the nearest neighbours, and what is remembered of a group of samples.

use szar_core::SampleRef;

use super::memory::Memory;
use super::{AdaNpcConfig, Confidence};
use crate::rows;

/// What every class gets besides the votes.
pub(super) const FLOOR: f64 = 1e-5;

/// Buffers of a step, kept for the next.
#[derive(Debug, Default)]
pub(super) struct Voting {
    /// `[G, n]`.
    similarities: Vec<f32>,
    /// Neighbours of one sample: similarity and label.
    near: Vec<(f32, usize)>,
    /// `[C]`.
    sums: Vec<f64>,
    /// `[C]`.
    second: Vec<f32>,
}

impl Voting {
    /// Writes the votes `[G, C]` for queries `[G, D]` of length 1, all from the memory as it is.
    pub fn votes(
        &mut self,
        options: &AdaNpcConfig,
        memory: &Memory,
        queries: &[f32],
        classes: usize,
        out: &mut [f32],
    ) {
        let count = memory.len();
        let samples = queries.len() / memory.rows.width;
        self.similarities.resize(samples * count, 0.0);
        memory
            .rows
            .products(queries, &memory.values, &mut self.similarities);
        let ball = options.eps_ball.map(|eps| eps as f32);
        let near = |eps: f32| {
            let mut rows = self.similarities.chunks_exact(count);
            rows.all(|row| row.iter().any(|s| *s >= eps))
        };
        let ball = ball.filter(|eps| near(*eps));
        let rows = self
            .similarities
            .chunks_exact(count)
            .zip(out.chunks_exact_mut(classes));
        for (similarities, out) in rows {
            self.near.clear();
            let all = similarities.iter().copied().zip(memory.labels.iter().copied());
            match ball {
                Some(eps) => self.near.extend(all.filter(|(s, _)| *s >= eps)),
                None => nearest(all, options.k, &mut self.near),
            }
            vote(&self.near, options.temperature, &mut self.sums, out);
        }
    }

    /// Remembers the samples of a group whose votes are sure enough; `vectors` `[G, D]` have length 1.
    pub fn remember(
        &mut self,
        options: &AdaNpcConfig,
        memory: &mut Memory,
        vectors: &[f32],
        votes: &[f32],
        samples: &[SampleRef],
    ) {
        let classes = votes.len() / samples.len().max(1);
        self.second.resize(classes, 0.0);
        let all = vectors
            .chunks_exact(memory.rows.width)
            .zip(votes.chunks_exact(classes));
        for ((vector, votes), sample) in all.zip(samples) {
            let label = rows::largest(votes);
            let sure = match options.confidence {
                Confidence::Single => votes[label],
                Confidence::Official => {
                    rows::posterior(votes, 1.0, &mut self.second);
                    self.second[label]
                }
            };
            if f64::from(sure) >= options.beta {
                memory.add(label, sample.position.cast_signed(), vector);
            }
        }
    }
}

/// The `k` most similar, in no order.
fn nearest(all: impl Iterator<Item = (f32, usize)>, k: usize, into: &mut Vec<(f32, usize)>) {
    into.extend(all);
    if into.len() > k {
        into.select_nth_unstable_by(k - 1, |a, b| b.0.total_cmp(&a.0));
        into.truncate(k);
    }
}

/// `min(1, 1e-5 + Σ softmax(s / T))` over each class's neighbours.
fn vote(near: &[(f32, usize)], temperature: f64, sums: &mut Vec<f64>, out: &mut [f32]) {
    sums.clear();
    sums.resize(out.len(), 0.0);
    let top = near.iter().fold(f32::NEG_INFINITY, |top, (s, _)| top.max(*s));
    let mut total = 0.0;
    for (similarity, label) in near {
        let weight = (f64::from(similarity - top) / temperature).exp();
        sums[*label] += weight;
        total += weight;
    }
    for (out, sum) in out.iter_mut().zip(sums) {
        *out = (*sum / total + FLOOR).min(1.0) as f32;
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::rows::Rows;

    #[test]
    fn the_nearest_vote_by_their_softmax() {
        // Similarities to (1, 0): 1, 0.6, -1. With k = 2, T = 0.4: weights 1 and e^-1 for classes 0 and 1.
        let memory = Memory::new(
            Rows::new(2),
            3,
            None,
            &[1.0, 0.0, 0.6, 0.8, -1.0, 0.0],
            &[0, 1, 2],
        );
        let options = AdaNpcConfig {
            k: 2,
            temperature: 0.4,
            ..AdaNpcConfig::default()
        };
        let mut out = [0.0; 3];
        Voting::default().votes(&options, &memory, &[1.0, 0.0], 3, &mut out);
        let other = (-1.0f64).exp() / (1.0 + (-1.0f64).exp());
        let want = [1.0 - other + 1e-5, other + 1e-5, 1e-5];
        assert!(
            out.iter()
                .zip(want)
                .all(|(o, w)| (f64::from(*o) - w).abs() < 1e-6),
            "{out:?}"
        );
        let ball = AdaNpcConfig {
            eps_ball: Some(0.9),
            ..options
        };
        Voting::default().votes(&ball, &memory, &[1.0, 0.0], 3, &mut out);
        assert_eq!(out, [1.0, 1e-5, 1e-5]);
    }
}
