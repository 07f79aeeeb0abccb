//! What the cache holds: keys on the device, everything that decisions need on the host.

use std::ops::Range;

use szar_core::{Error, Held, NamedTensors, Result, SampleRef, host};
use tch::{Device, Kind, Tensor};

use super::soft::Votes;
use crate::balance::{Balance, BalanceConfig};
use crate::rows::largest;

/// The size of a cache; fixed for a stream.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Size {
    /// C.
    pub classes: usize,
    /// K.
    pub capacity: usize,
    /// D.
    pub slots: usize,
    /// N.
    pub width: usize,
}

impl Size {
    /// C·K.
    pub fn columns(self) -> usize {
        self.classes * self.capacity
    }
}

/// Which entries there are, and the running numbers of the stream.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Ledger {
    pub size: Size,
    /// Entries per class; `[C]`.
    pub counts: Vec<usize>,
    /// Nats; `[C·K]`.
    pub entropies: Vec<f64>,
    /// The answer an entry was stored with: the class of its block, except for hedge copies; `[C·K]`.
    pub values: Vec<i64>,
    /// Position in the stream of the sample an entry is made of; `[C·K]`.
    pub samples: Vec<i64>,
    /// What an entry votes for; no rows unless votes are soft.
    pub votes: Votes,
    /// How often each class was the answer; `[C]`.
    pub answers: Vec<i64>,
    /// Samples so far.
    pub seen: i64,
    /// Entries added to classes with room.
    pub insertions: i64,
    /// Entries that took another's place.
    pub replacements: i64,
    /// Insertions and replacements in a runner-up's block, counted above too.
    pub hedges: i64,
    /// Sum over samples of the largest logit as given.
    pub largest_logits: f64,
}

impl Ledger {
    pub fn new(size: Size, soft: bool) -> Self {
        Self {
            size,
            votes: Votes::new(size.classes, if soft { size.columns() } else { 0 }),
            counts: vec![0; size.classes],
            entropies: vec![0.0; size.columns()],
            values: vec![-1; size.columns()],
            samples: vec![-1; size.columns()],
            answers: vec![0; size.classes],
            seen: 0,
            insertions: 0,
            replacements: 0,
            hedges: 0,
            largest_logits: 0.0,
        }
    }

    /// Finds the place of a sample in a class: a free one, else that of the entry with the largest entropy (the
    /// first of equals), if the sample's is strictly lower. Writes all but the key.
    pub fn place(&mut self, class: usize, entropy: f64, value: usize, position: i64) -> Option<usize> {
        let start = class * self.size.capacity;
        let held = self.counts[class];
        let column = if held < self.size.capacity {
            self.counts[class] += 1;
            self.insertions += 1;
            start + held
        } else {
            let column = largest(&self.entropies[start..start + held]) + start;
            if entropy >= self.entropies[column] {
                return None;
            }
            self.replacements += 1;
            column
        };
        self.entropies[column] = entropy;
        self.values[column] = value as i64;
        self.samples[column] = position;
        Some(column)
    }

    /// Every entry with its sample, as one of a stream.
    pub fn held(&self, stream: usize) -> Vec<Held> {
        let capacity = self.size.capacity;
        let of_class = |(class, held): (usize, &usize)| {
            let entries = class * capacity..class * capacity + held;
            let one = move |column: usize| Held {
                sample: SampleRef {
                    stream,
                    position: self.samples[column].unsigned_abs(),
                },
                class,
            };
            entries.map(one).collect::<Vec<_>>()
        };
        self.counts.iter().enumerate().flat_map(of_class).collect()
    }

    /// Is every class full?
    pub fn is_full(&self) -> bool {
        self.counts.iter().all(|held| *held == self.size.capacity)
    }

    /// The columns that hold an entry, neighbours joined.
    pub fn occupied(&self, into: &mut Vec<Range<usize>>) {
        into.clear();
        for (class, held) in self.counts.iter().enumerate().filter(|(_, held)| **held > 0) {
            let start = class * self.size.capacity;
            match into.last_mut() {
                Some(last) if last.end == start => last.end = start + held,
                _ => into.push(start..start + held),
            }
        }
    }

    fn integers(&self) -> [(&'static str, Vec<i64>); 5] {
        [
            ("counts", self.counts.iter().map(|n| *n as i64).collect()),
            ("values", self.values.clone()),
            ("samples", self.samples.clone()),
            ("answers", self.answers.clone()),
            (
                "totals",
                vec![self.seen, self.insertions, self.replacements, self.hedges],
            ),
        ]
    }
}

/// Keys and ledger.
#[derive(Debug)]
pub(super) struct Bank {
    /// `[D, C·K, N]` f32 on the device, vectors of length 1 (0 where there is no entry).
    pub keys: Tensor,
    /// `[D + 1, N]` f64 on the device: sum of the descriptors so far, then how many in every place of the last row.
    pub stream: Tensor,
    pub ledger: Ledger,
    pub balance: Balance,
}

impl Bank {
    pub fn new(size: Size, soft: bool, balance: &BalanceConfig, device: Device) -> Self {
        let [d, e, n] = [size.slots, size.columns(), size.width].map(|v| v as i64);
        Self {
            keys: Tensor::zeros([d, e, n], (Kind::Float, device)),
            stream: Tensor::zeros([d + 1, n], (Kind::Double, device)),
            ledger: Ledger::new(size, soft),
            balance: Balance::new(balance, size.classes),
        }
    }

    /// Bytes held, whatever the length of the stream.
    pub fn bytes(&self) -> u64 {
        let Size { classes, .. } = self.ledger.size;
        let columns = self.ledger.size.columns();
        let host = columns * (8 + 8 + 8) + classes * (8 + 8) + 5 * 8;
        let votes = self.ledger.votes.bytes();
        (self.keys.numel() * 4 + self.stream.numel() * 8 + host + votes) as u64 + self.balance.bytes()
    }

    pub fn snapshot(&self) -> NamedTensors {
        let ledger = &self.ledger;
        let whole = ledger
            .integers()
            .into_iter()
            .map(|(name, v)| (name.to_owned(), Tensor::from_slice(&v)));
        let mut state: NamedTensors = whole.collect();
        state.insert("keys".into(), self.keys.copy());
        state.insert("stream".into(), self.stream.copy());
        state.insert("balance".into(), Tensor::from_slice(&self.balance.numbers()));
        state.insert("votes".into(), Tensor::from_slice(&ledger.votes.values));
        state.insert("vote_rests".into(), Tensor::from_slice(&ledger.votes.rests));
        let places: Vec<i64> = ledger.votes.places.iter().map(|p| i64::from(*p)).collect();
        state.insert("vote_places".into(), Tensor::from_slice(&places));
        state.insert("entropies".into(), Tensor::from_slice(&ledger.entropies));
        state.insert(
            "largest_logits".into(),
            Tensor::from_slice(&[ledger.largest_logits]),
        );
        state
    }

    /// The bank of a snapshot; the size and the device are those of this one.
    pub fn restored(&self, mut state: NamedTensors) -> Result<Self> {
        let size = self.ledger.size;
        let mut take = |name: &str, like: &[i64]| {
            let found = state.remove(name);
            let found =
                found.ok_or_else(|| Error::Missing(format!("`{name}` in the state of skeleton-cache")))?;
            if found.size() == like {
                return Ok(found);
            }
            let want = format!("{like:?}");
            Err(Error::Shape {
                what: format!("state `{name}`"),
                got: found.size(),
                want,
            })
        };
        let (classes, columns) = (size.classes as i64, size.columns() as i64);
        let counts = host::to_i64(&take("counts", &[classes])?)?;
        let held = |n: &i64| usize::try_from(*n).ok().filter(|n| *n <= size.capacity);
        let counts = counts.iter().map(held).collect::<Option<Vec<_>>>();
        let totals = host::to_i64(&take("totals", &[4])?)?;
        let doubles = |t: Tensor| Vec::<f64>::try_from(t.to_device(Device::Cpu)).map_err(Error::from);
        let floats = |t: Tensor| Vec::<f32>::try_from(t.to_device(Device::Cpu)).map_err(Error::from);
        let mut votes = self.ledger.votes.clone();
        votes.values = floats(take("votes", &[votes.values.len() as i64])?)?;
        votes.rests = floats(take("vote_rests", &[votes.rests.len() as i64])?)?;
        let places = host::to_i64(&take("vote_places", &[votes.places.len() as i64])?)?;
        let place_of = |p: &i64| u32::try_from(*p).ok().filter(|p| (*p as usize) < votes.classes());
        let places = places.iter().map(place_of).collect::<Option<Vec<_>>>();
        votes.places = places.ok_or_else(|| Error::Input("state `vote_places` must be classes".into()))?;
        let mut balance = self.balance.clone();
        balance.set_numbers(&doubles(take("balance", &[balance.numbers().len() as i64])?)?)?;
        let place = |t: Tensor, like: &Tensor| t.to_device(like.device()).to_kind(like.kind()).contiguous();
        let ledger = Ledger {
            size,
            votes,
            counts: counts.ok_or_else(|| {
                Error::Input(format!(
                    "state `counts` must lie between 0 and the capacity {}",
                    size.capacity
                ))
            })?,
            entropies: doubles(take("entropies", &[columns])?)?,
            values: host::to_i64(&take("values", &[columns])?)?,
            samples: host::to_i64(&take("samples", &[columns])?)?,
            answers: host::to_i64(&take("answers", &[classes])?)?,
            seen: totals[0],
            insertions: totals[1],
            replacements: totals[2],
            hedges: totals[3],
            largest_logits: doubles(take("largest_logits", &[1])?)?[0],
        };
        let keys = take("keys", &self.keys.size())?;
        let stream = take("stream", &self.stream.size())?;
        // Copies: the caller may keep or write to what it handed over.
        Ok(Self {
            keys: place(keys, &self.keys).copy(),
            stream: place(stream, &self.stream).copy(),
            ledger,
            balance,
        })
    }
}
