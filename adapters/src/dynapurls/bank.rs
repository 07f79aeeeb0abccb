//! The memory: which samples are remembered for which class, and with what confidence.

use szar_core::{Error, Held, NamedTensors, Result, SampleRef, host, shape};
use tch::{Device, Kind, Tensor};

use super::Sampling;

/// One remembered sample.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct Entry {
    pub confidence: f32,
    pub position: u64,
    /// Its loss when it was remembered; 0 where nobody asked.
    pub loss: f32,
}

/// S banks of C blocks of K entries.
#[derive(Debug)]
pub(super) struct Bank {
    pub streams: usize,
    pub classes: usize,
    pub capacity: usize,
    /// `[S, C·K, ...]`: entry i of class c is row `c·K + i`.
    pub rows: Tensor,
    /// The same order; `None` where the row is free. Blocks fill from the front.
    entries: Vec<Option<Entry>>,
    pub stored: u64,
    pub replaced: u64,
}

impl Bank {
    pub fn new(streams: usize, classes: usize, capacity: usize, row: &[i64], device: Device) -> Self {
        let mut size = vec![streams as i64, (classes * capacity) as i64];
        size.extend_from_slice(row);
        Self {
            streams,
            classes,
            capacity,
            rows: Tensor::zeros(size, (Kind::Float, device)),
            entries: vec![None; streams * classes * capacity],
            stored: 0,
            replaced: 0,
        }
    }

    /// C·K.
    pub fn block(&self) -> usize {
        self.classes * self.capacity
    }

    /// The entries of a stream, `C·K`.
    pub fn of(&self, stream: usize) -> &[Option<Entry>] {
        &self.entries[stream * self.block()..(stream + 1) * self.block()]
    }

    /// Remembered samples of a stream.
    pub fn count(&self, stream: usize) -> usize {
        self.of(stream).iter().flatten().count()
    }

    /// Where a sample goes: a free row of the class, else that of its least confident entry (the earliest on ties) if the
    /// sample is more confident. The caller copies its row of features there.
    pub fn place(&mut self, stream: usize, class: usize, entry: Entry, equal_enters: bool) -> Option<usize> {
        let start = stream * self.block() + class * self.capacity;
        let block = &mut self.entries[start..start + self.capacity];
        let at = match block.iter().position(Option::is_none) {
            Some(free) => free,
            None => {
                let order = |e: &Option<Entry>| e.map_or((f32::INFINITY, 0), |e| (e.confidence, e.position));
                let least = (0..block.len()).min_by(|a, b| {
                    let (a, b) = (order(&block[*a]), order(&block[*b]));
                    a.0.total_cmp(&b.0).then(a.1.cmp(&b.1))
                })?;
                let lowest = order(&block[least]).0;
                if entry.confidence < lowest || (entry.confidence == lowest && !equal_enters) {
                    return None;
                }
                self.replaced += 1;
                least
            }
        };
        block[at] = Some(entry);
        self.stored += 1;
        Some(class * self.capacity + at)
    }

    /// Copies rows `[n, ...]` to the places `stream·C·K + row`.
    pub fn write(&mut self, rows: &Tensor, places: &[i64]) {
        if places.is_empty() {
            return;
        }
        let index = Tensor::from_slice(places).to_device(self.rows.device());
        let _ = self.rows.flatten(0, 1).index_copy_(0, &index, rows);
    }

    /// Weight of every row of a stream in the loss; they sum to 1, or are all 0 when nothing is remembered.
    pub fn weights(&self, stream: usize, sampling: Sampling, into: &mut [f32]) {
        into.fill(0.0);
        let entries = self.of(stream);
        let blocks = || entries.chunks_exact(self.capacity);
        let held = |block: &[Option<Entry>]| block.iter().flatten().count();
        let present = blocks().filter(|b| held(b) > 0).count();
        if present == 0 {
            return;
        }
        let total: usize = blocks().map(held).sum();
        let least = blocks().map(held).filter(|n| *n > 0).min().unwrap_or(0);
        for (class, block) in blocks().enumerate() {
            let out = &mut into[class * self.capacity..(class + 1) * self.capacity];
            let count = held(block);
            match sampling {
                Sampling::All => out[..count].fill(1.0 / total as f32),
                Sampling::Weighted if count > 0 => out[..count].fill(1.0 / (count * present) as f32),
                Sampling::Balanced if count > 0 && count == least => {
                    out[..count].fill(1.0 / (least * present) as f32);
                }
                Sampling::Balanced if count > 0 => most_confident(block, least)
                    .into_iter()
                    .for_each(|i| out[i] = 1.0 / (least * present) as f32),
                Sampling::Weighted | Sampling::Balanced => {}
            }
        }
    }

    pub fn held(&self) -> Vec<Held> {
        let block = self.block();
        let one = |(at, entry): (usize, &Option<Entry>)| {
            let entry = (*entry)?;
            Some(Held {
                sample: SampleRef {
                    stream: at / block,
                    position: entry.position,
                },
                class: at % block / self.capacity,
            })
        };
        self.entries.iter().enumerate().filter_map(one).collect()
    }

    /// Entries per class, all streams together.
    pub fn occupancy(&self) -> Vec<f64> {
        let mut counts = vec![0.0; self.classes];
        self.held().iter().for_each(|held| counts[held.class] += 1.0);
        counts
    }

    pub fn bytes(&self) -> u64 {
        (self.rows.numel() * 4 + self.entries.len() * size_of::<Option<Entry>>()) as u64
    }

    /// Confidence (negative where free), position, loss, as `[S, C·K]` each, and the rows.
    pub fn snapshot(&self, into: &mut NamedTensors) {
        let shape = [self.streams as i64, self.block() as i64];
        let of = |value: fn(&Entry) -> f64| -> Tensor {
            let values: Vec<f64> = self
                .entries
                .iter()
                .map(|e| e.as_ref().map_or(-1.0, value))
                .collect();
            Tensor::from_slice(&values).reshape(shape)
        };
        into.insert("bank/confidence".into(), of(|e| f64::from(e.confidence)));
        into.insert("bank/position".into(), of(|e| e.position as f64));
        into.insert("bank/loss".into(), of(|e| f64::from(e.loss)));
        into.insert("bank/rows".into(), self.rows.copy());
        into.insert(
            "bank/written".into(),
            Tensor::from_slice(&[self.stored as i64, self.replaced as i64]),
        );
    }

    pub fn restore(&mut self, state: &NamedTensors) -> Result<()> {
        let get = |name: &str| -> Result<&Tensor> {
            state
                .get(name)
                .ok_or_else(|| Error::Missing(format!("`{name}` in the snapshot")))
        };
        let want = [Some(self.streams as i64), Some(self.block() as i64)];
        let mut columns = Vec::new();
        for name in ["bank/confidence", "bank/position", "bank/loss"] {
            shape::expect(name, get(name)?, want)?;
            let values = Vec::<f64>::try_from(get(name)?.to_kind(Kind::Double).flatten(0, -1))?;
            columns.push(values);
        }
        let rows = get("bank/rows")?;
        if rows.size() != self.rows.size() {
            return Err(Error::Shape {
                what: "bank/rows".into(),
                got: rows.size(),
                want: format!("{:?}", self.rows.size()),
            });
        }
        let written = host::to_i64(get("bank/written")?)?;
        let [stored, replaced] = written[..] else {
            return Err(Error::Missing("two counts in `bank/written`".into()));
        };
        self.rows.copy_(rows);
        (self.stored, self.replaced) = (stored.unsigned_abs(), replaced.unsigned_abs());
        for (at, entry) in self.entries.iter_mut().enumerate() {
            *entry = (columns[0][at] >= 0.0).then(|| Entry {
                confidence: columns[0][at] as f32,
                position: columns[1][at] as u64,
                loss: columns[2][at] as f32,
            });
        }
        Ok(())
    }
}

/// Rows of the `count` most confident entries of a block, the earliest on ties.
fn most_confident(block: &[Option<Entry>], count: usize) -> Vec<usize> {
    let mut held: Vec<(usize, Entry)> = block
        .iter()
        .enumerate()
        .filter_map(|(i, e)| Some((i, (*e)?)))
        .collect();
    held.sort_by(|(_, a), (_, b)| {
        b.confidence
            .total_cmp(&a.confidence)
            .then(a.position.cmp(&b.position))
    });
    held.into_iter().take(count).map(|(i, _)| i).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn entry(confidence: f32, position: u64) -> Entry {
        Entry {
            confidence,
            position,
            loss: 0.0,
        }
    }

    fn bank(capacity: usize) -> Bank {
        Bank::new(1, 2, capacity, &[3], Device::Cpu)
    }

    #[test]
    fn a_full_class_gives_up_its_least_confident_sample() {
        let mut bank = bank(2);
        assert_eq!(bank.place(0, 1, entry(0.5, 0), true), Some(2));
        assert_eq!(bank.place(0, 1, entry(0.4, 1), true), Some(3));
        assert_eq!(bank.place(0, 1, entry(0.3, 2), true), None);
        assert_eq!(
            bank.place(0, 1, entry(0.4, 3), false),
            None,
            "published code wants more"
        );
        assert_eq!(bank.place(0, 1, entry(0.4, 3), true), Some(3));
        assert_eq!((bank.stored, bank.replaced, bank.count(0)), (3, 1, 2));
    }

    #[test]
    fn a_balanced_batch_takes_the_same_number_from_every_class_that_has_any() {
        let mut bank = bank(3);
        for (class, confidence, position) in [(0, 0.9, 0), (0, 0.5, 1), (0, 0.7, 2), (1, 0.6, 3), (1, 0.2, 4)]
        {
            bank.place(0, class, entry(confidence, position), true);
        }
        let mut weights = [0.0; 6];
        bank.weights(0, Sampling::Balanced, &mut weights);
        assert_eq!(weights, [0.25, 0.0, 0.25, 0.25, 0.25, 0.0]);
        bank.weights(0, Sampling::Weighted, &mut weights);
        assert_eq!(weights, [1.0 / 6.0, 1.0 / 6.0, 1.0 / 6.0, 0.25, 0.25, 0.0]);
        bank.weights(0, Sampling::All, &mut weights);
        assert_eq!(weights, [0.2, 0.2, 0.2, 0.2, 0.2, 0.0]);
    }
}
