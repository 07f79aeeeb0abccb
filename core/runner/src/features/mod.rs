//! Features of whole parts, computed batch by batch, and kept for later runs.
//!
//! | module   | holds                                                                            |
//! |----------|----------------------------------------------------------------------------------|
//! | `recorded` | features that a dataset brings, gathered in the order of the rows               |
//! | `store`  | who computes an entry and who waits for it, what is damaged and made anew        |
//! | `writer` | an entry in the making, which goes on where it was stopped                       |
//! | `entry`  | a finished entry: its files, their checksums, tensors mapped from them           |

mod entry;
mod recorded;
mod store;
#[cfg(test)]
mod tests;
mod writer;

use std::ops::Range;

use szar_core::{Cancel, Encoding, Error, FeatureMap, Progress, Result, SkeletonEncoder};
use szar_data::store::SkeletonStore;
use tch::{Device, Kind, Tensor, no_grad};

pub use entry::{Form, Wanted};
pub use recorded::Gathering;
pub use store::{FeatureStore, Origin};

/// Rows that are encoded, written and checked together.
const BATCH: usize = 128;

/// Features and, where the encoder classifies, logits over the seen classes.
#[derive(Debug)]
pub struct Features {
    /// `[n, N, T', V']`, or pooled when nothing downstream needs the map.
    pub map: FeatureMap,
    /// `[k, S]`, of the last k rows: all of them where an encoder classifies, those of test samples where features come with
    /// logits of these alone.
    pub seen_logits: Option<Tensor>,
}

impl Features {
    /// A part of the rows, without a copy.
    pub fn rows(&self, rows: &Range<usize>) -> Self {
        let (start, len) = (rows.start as i64, rows.len() as i64);
        Self {
            map: self.map.narrow(start, len),
            seen_logits: self
                .logits_from(start)
                .map(|(logits, start)| logits.narrow(0, start, len)),
        }
    }

    /// Some of the rows; not copied where they stand side by side.
    pub fn at(&self, rows: &[usize]) -> Self {
        let first = rows.first().copied().unwrap_or(0);
        if rows.iter().copied().eq(first..first + rows.len()) {
            return self.rows(&(first..first + rows.len()));
        }
        let index: Vec<i64> = rows.iter().map(|row| *row as i64).collect();
        let lowest = index.iter().min().copied().unwrap_or(0);
        let index = Tensor::from_slice(&index).to_device(self.map.values.device());
        let logits = self.logits_from(lowest);
        Self {
            seen_logits: logits.map(|(all, first)| all.index_select(0, &(&index - (lowest - first)))),
            map: self.map.select(&index),
        }
    }

    /// The logits, and the one of them that belongs to a row, where that row and those behind it have some.
    fn logits_from(&self, row: i64) -> Option<(&Tensor, i64)> {
        let logits = self.seen_logits.as_ref()?;
        let without = self.map.dims().0 - logits.size()[0];
        (row >= without).then(|| (logits, row - without))
    }
}

/// Refuses features that are not finite: any among the first `learned` rows, which are learned from, or all of the rest. A
/// few test samples that are not finite are named by whoever plays the stream.
///
/// # Errors
/// [`Error::Input`] with the number of such rows.
pub fn finite(features: &Features, learned: usize) -> Result<()> {
    let values = &features.map.values;
    if values.sum(Kind::Float).double_value(&[]).is_finite() {
        return Ok(());
    }
    let finite = values.isfinite().flatten(1, -1).all_dim(1, false);
    let finite = szar_core::host::to_i64(&finite)?;
    let bad = |rows: &[i64]| rows.iter().filter(|flag| **flag == 0).count();
    let (learn, test) = finite.split_at(learned.min(finite.len()));
    if bad(learn) > 0 || bad(test) == test.len() && !test.is_empty() {
        return Err(Error::Input(format!(
            "the encoder gave features that are not finite, for {} of {} samples; its weights or the data are damaged",
            bad(&finite),
            finite.len()
        )));
    }
    tracing::warn!(
        samples = bad(test),
        "test samples have features that are not finite"
    );
    Ok(())
}

/// What is asked of an encoder: the sequences in the first `count` rows of a store, in batches.
pub struct Extraction<'a> {
    /// The encoder.
    pub encoder: &'a dyn SkeletonEncoder,
    /// Its input.
    pub store: &'a SkeletonStore,
    /// n.
    pub count: usize,
    /// Where it computes.
    pub device: Device,
    /// Where progress goes.
    pub progress: &'a dyn Progress,
    /// When to stop.
    pub cancel: &'a Cancel,
}

impl Extraction<'_> {
    /// Rows of batch `i`.
    fn batch(&self, i: usize) -> Range<usize> {
        let start = i * BATCH;
        start..(start + BATCH).min(self.count)
    }

    /// Number of batches.
    fn batches(&self) -> usize {
        self.count.div_ceil(BATCH)
    }

    /// Encodes some rows.
    fn encode(&self, rows: Range<usize>) -> Result<Encoding> {
        self.cancel.check()?;
        let end = rows.end as u64;
        let rows: Vec<usize> = rows.collect();
        let encoding = no_grad(|| self.encoder.encode(&self.store.batch(&rows, self.device)?))?;
        self.progress.advance(end, "");
        Ok(encoding)
    }

    /// All features, in memory. `pooled` keeps their mean over frames and joints alone.
    ///
    /// # Errors
    /// When the encoder refuses a batch, or the user stops.
    pub fn run(&self, pooled: bool) -> Result<Features> {
        let spec = self.encoder.spec();
        let (frames, joints) = if pooled {
            (1, 1)
        } else {
            (spec.frames, spec.joints)
        };
        let f32 = (Kind::Float, self.device);
        let map = Tensor::empty([self.count as i64, spec.channels, frames, joints], f32);
        let mut logits: Option<Tensor> = None;
        self.progress.begin("features", self.count as u64);
        for i in 0..self.batches() {
            let rows = self.batch(i);
            let (at, len) = (rows.start as i64, rows.len() as i64);
            let encoding = self.encode(rows)?;
            let features = if pooled {
                FeatureMap::from_pooled(&encoding.features.pooled())?
            } else {
                encoding.features
            };
            map.narrow(0, at, len).copy_(&features.values);
            if let Some(seen) = encoding.seen_logits {
                let all =
                    logits.get_or_insert_with(|| Tensor::empty([self.count as i64, seen.size()[1]], f32));
                all.narrow(0, at, len).copy_(&seen);
            }
        }
        self.progress.end();
        Ok(Features {
            map: FeatureMap::new(map)?,
            seen_logits: logits,
        })
    }
}
