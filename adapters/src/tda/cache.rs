//! One cache: a fixed number of entries for every class of every stream.

use szar_core::{Error, Held, NamedTensors, Result, SampleRef};
use tch::Tensor;

use crate::rows::Rows;
use crate::saved::{self, Saved};

/// Sizes that are fixed for a stream.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Size {
    /// S.
    pub streams: usize,
    /// C.
    pub classes: usize,
    /// K.
    pub capacity: usize,
    /// Values of an entry's mask: C in the negative cache, 0 in the positive one.
    pub mask: usize,
}

impl Size {
    /// S·C.
    pub fn blocks(self) -> usize {
        self.streams * self.classes
    }

    /// Entries of one stream, C·K.
    pub fn per_stream(self) -> usize {
        self.classes * self.capacity
    }

    /// S·C·K.
    pub fn entries(self) -> usize {
        self.blocks() * self.capacity
    }
}

/// Entries in blocks of K; block `s·C + c` is class c of stream s. Entries never move: `order` sorts them.
#[derive(Debug)]
pub(super) struct Cache {
    pub size: Size,
    /// D, once the first vectors came.
    width: Option<usize>,
    /// Are high entropies kept, rather than low ones?
    highest: bool,
    /// `[S·C]`.
    counts: Vec<usize>,
    /// `[S·C·K]`, places within the block from the entry kept longest to the one that goes first.
    order: Vec<usize>,
    /// `[S·C·K]`, nats.
    entropies: Vec<f64>,
    /// `[S·C·K]`.
    samples: Vec<i64>,
    /// `[S·C·K, D]`.
    keys: Vec<f32>,
    /// `[S·C·K, mask]`.
    masks: Vec<f32>,
    /// Entries written, those that took another's place among them.
    pub writes: i64,
    /// Entries that took another's place.
    pub replacements: i64,
}

impl Cache {
    pub fn new(size: Size, highest: bool) -> Self {
        Self {
            size,
            width: None,
            highest,
            counts: vec![0; size.blocks()],
            order: vec![0; size.entries()],
            entropies: vec![0.0; size.entries()],
            samples: vec![0; size.entries()],
            keys: Vec::new(),
            masks: vec![0.0; size.entries() * size.mask],
            writes: 0,
            replacements: 0,
        }
    }

    /// Makes room for vectors of this width, once.
    pub fn widen(&mut self, width: usize) {
        if self.width.is_none() {
            self.width = Some(width);
            self.keys = vec![0.0; self.size.entries() * width];
        }
    }

    /// Offers a sample to a block. It enters a block with room; a full one only in the place of its last entry, when
    /// it goes strictly before that. The mask of the new entry, when there is one, is for the caller to write.
    pub fn offer(&mut self, block: usize, entropy: f64, sample: i64, key: &[f32]) -> Option<&mut [f32]> {
        let capacity = self.size.capacity;
        let start = block * capacity;
        let rank = |e: f64| if self.highest { -e } else { e };
        let held = self.counts[block];
        let order = &mut self.order[start..start + capacity];
        let (place, stay) = if held < capacity {
            (held, held)
        } else {
            let last = order[capacity - 1];
            if rank(entropy) >= rank(self.entropies[start + last]) {
                return None;
            }
            self.replacements += 1;
            (last, capacity - 1)
        };
        let entropies = &self.entropies[start..start + capacity];
        let at = order[..stay].partition_point(|i| rank(entropies[*i]) <= rank(entropy));
        order.copy_within(at..stay, at + 1);
        order[at] = place;
        self.counts[block] = stay + 1;
        self.writes += 1;
        let entry = start + place;
        self.entropies[entry] = entropy;
        self.samples[entry] = sample;
        self.keys[entry * key.len()..][..key.len()].copy_from_slice(key);
        Some(&mut self.masks[entry * self.size.mask..][..self.size.mask])
    }

    /// Writes `exp(−β (1 − v·k))` for all entries of a stream, `[C·K]`, 0 where there is none.
    pub fn affinities(&self, rows: Rows, stream: usize, key: &[f32], beta: f32, out: &mut Vec<f32>) {
        let Size {
            classes, capacity, ..
        } = self.size;
        let count = self.size.per_stream();
        out.resize(count, 0.0);
        let keys = &self.keys[stream * count * rows.width..][..count * rows.width];
        rows.products(key, keys, out);
        let counts = &self.counts[stream * classes..][..classes];
        for (block, held) in out.chunks_exact_mut(capacity).zip(counts) {
            let (here, nothing) = block.split_at_mut(*held);
            here.iter_mut().for_each(|v| *v = (beta * (*v - 1.0)).exp());
            nothing.fill(0.0);
        }
    }

    /// `[C·K, mask]`, the masks of a stream's entries.
    pub fn masks(&self, stream: usize) -> &[f32] {
        let count = self.size.per_stream() * self.size.mask;
        &self.masks[stream * count..][..count]
    }

    /// Entries of each class, summed over streams.
    pub fn occupancy(&self) -> Vec<f64> {
        let mut sums = vec![0.0; self.size.classes];
        for (block, held) in self.counts.iter().enumerate() {
            sums[block % self.size.classes] += *held as f64;
        }
        sums
    }

    /// Class, sample, entropy of every entry, stream by stream and class by class, in the order of their ranks.
    pub fn list(&self) -> Vec<(Held, f64)> {
        let Size {
            classes, capacity, ..
        } = self.size;
        let mut all = Vec::new();
        for (block, held) in self.counts.iter().enumerate() {
            for place in &self.order[block * capacity..][..*held] {
                let entry = block * capacity + place;
                let sample = SampleRef {
                    stream: block / classes,
                    position: self.samples[entry].unsigned_abs(),
                };
                all.push((
                    Held {
                        sample,
                        class: block % classes,
                    },
                    self.entropies[entry],
                ));
            }
        }
        all
    }

    pub fn bytes(&self) -> u64 {
        let floats = self.keys.len() + self.masks.len();
        (floats * 4 + self.size.entries() * (8 + 8 + 8) + self.size.blocks() * 8) as u64
    }

    pub fn save(&self, prefix: &str, into: &mut NamedTensors) {
        let entries = self.size.entries() as i64;
        let rows = |v: &[f32], width: usize| Tensor::from_slice(v).reshape([entries, width as i64]);
        let all = [
            ("counts", saved::integers(self.counts.iter().copied())),
            ("order", saved::integers(self.order.iter().copied())),
            ("entropies", Tensor::from_slice(&self.entropies)),
            ("samples", Tensor::from_slice(&self.samples)),
            ("keys", rows(&self.keys, self.width.unwrap_or(0))),
            ("masks", rows(&self.masks, self.size.mask)),
            ("totals", Tensor::from_slice(&[self.writes, self.replacements])),
        ];
        into.extend(all.map(|(name, tensor)| (format!("{prefix}/{name}"), tensor)));
    }

    /// The cache of a snapshot; its size is that of this one.
    pub fn restored(&self, prefix: &str, saved: &mut Saved, width: Option<usize>) -> Result<Self> {
        let (size, entries) = (self.size, [Some(self.size.entries())]);
        let name = |entry: &str| format!("{prefix}/{entry}");
        let rows = |width: usize| [Some(size.entries()), Some(width)];
        let counts = saved.below(&name("counts"), &[Some(size.blocks())], size.capacity + 1)?;
        let order = saved.below(&name("order"), &entries, size.capacity)?;
        let totals = saved.integers(&name("totals"), &[Some(2)])?;
        let restored = Self {
            size,
            width,
            highest: self.highest,
            entropies: saved.doubles(&name("entropies"), &entries)?,
            samples: saved.integers(&name("samples"), &entries)?,
            keys: saved.floats(&name("keys"), &rows(width.unwrap_or(0)))?,
            masks: saved.floats(&name("masks"), &rows(size.mask))?,
            counts,
            order,
            writes: totals[0],
            replacements: totals[1],
        };
        let empty = width.is_none() && restored.counts.iter().any(|n| *n > 0);
        if empty {
            return Err(Error::Input(format!(
                "state `{prefix}` of tda has entries without vectors"
            )));
        }
        Ok(restored)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn cache(capacity: usize, highest: bool) -> Cache {
        let mut cache = Cache::new(
            Size {
                streams: 1,
                classes: 2,
                capacity,
                mask: 0,
            },
            highest,
        );
        cache.widen(1);
        cache
    }

    fn held(cache: &Cache) -> Vec<(usize, u64)> {
        cache
            .list()
            .iter()
            .map(|(h, _)| (h.class, h.sample.position))
            .collect()
    }

    #[test]
    fn a_full_class_gives_its_last_entry_for_a_strictly_better_one() {
        let mut cache = cache(2, false);
        for (sample, (class, entropy)) in
            (0..).zip([(1, 0.5), (1, 0.3), (1, 0.5), (1, 0.4), (0, 9.0), (1, 0.3)])
        {
            let _ = cache.offer(class, entropy, sample, &[1.0]);
        }
        // 0.5 does not beat 0.5; 0.4 does; the second 0.3 comes after the first and throws 0.4 out.
        assert_eq!(held(&cache), [(0, 4), (1, 1), (1, 5)]);
        assert_eq!((cache.writes, cache.replacements), (5, 2));
    }

    #[test]
    fn the_other_way_round_the_highest_stay() {
        let mut cache = cache(1, true);
        for (sample, entropy) in (0..).zip([0.3, 0.2, 0.6]) {
            let _ = cache.offer(0, entropy, sample, &[1.0]);
        }
        assert_eq!(held(&cache), [(0, 2)]);
    }
}
