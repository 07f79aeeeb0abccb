//! Features of whole parts, computed batch by batch into one preallocated tensor.

use std::ops::Range;

use szar_core::{Cancel, Error, FeatureMap, Progress, Result, SkeletonEncoder};
use szar_data::store::SkeletonStore;
use tch::{Device, Kind, Tensor, no_grad};

const BATCH: usize = 128;

/// Features and, where the encoder classifies, logits over the seen classes.
#[derive(Debug)]
pub struct Features {
    /// `[n, N, T', V']`, or pooled when nothing downstream needs the map.
    pub map: FeatureMap,
    /// `[n, S]`.
    pub seen_logits: Option<Tensor>,
}

impl Features {
    /// A part of the rows, without a copy.
    pub fn rows(&self, rows: &Range<usize>) -> Self {
        let (start, len) = (rows.start as i64, rows.len() as i64);
        Self {
            map: self.map.narrow(start, len),
            seen_logits: self.seen_logits.as_ref().map(|l| l.narrow(0, start, len)),
        }
    }

    /// Some of the rows; not copied where they stand side by side.
    pub fn at(&self, rows: &[usize]) -> Self {
        let first = rows.first().copied().unwrap_or(0);
        if rows.iter().copied().eq(first..first + rows.len()) {
            return self.rows(&(first..first + rows.len()));
        }
        let index: Vec<i64> = rows.iter().map(|row| *row as i64).collect();
        let index = Tensor::from_slice(&index).to_device(self.map.values.device());
        Self {
            map: self.map.select(&index),
            seen_logits: self.seen_logits.as_ref().map(|l| l.index_select(0, &index)),
        }
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

/// Encodes the sequences in the first `count` rows of the store.
///
/// # Errors
/// When the encoder refuses a batch, or the user stops.
pub fn extract(
    encoder: &dyn SkeletonEncoder,
    store: &SkeletonStore,
    count: usize,
    pooled: bool,
    device: Device,
    progress: &dyn Progress,
    cancel: &Cancel,
) -> Result<Features> {
    let spec = encoder.spec();
    let (frames, joints) = if pooled {
        (1, 1)
    } else {
        (spec.frames, spec.joints)
    };
    let map = Tensor::empty(
        [count as i64, spec.channels, frames, joints],
        (Kind::Float, device),
    );
    let mut logits: Option<Tensor> = None;
    progress.begin("features", count as u64);
    for start in (0..count).step_by(BATCH) {
        cancel.check()?;
        let rows: Vec<usize> = (start..(start + BATCH).min(count)).collect();
        let encoding = no_grad(|| encoder.encode(&store.batch(&rows, device)?))?;
        let features = if pooled {
            FeatureMap::from_pooled(&encoding.features.pooled())?
        } else {
            encoding.features
        };
        let (at, len) = (start as i64, rows.len() as i64);
        map.narrow(0, at, len).copy_(&features.values);
        if let Some(seen) = encoding.seen_logits {
            let all = logits
                .get_or_insert_with(|| Tensor::empty([count as i64, seen.size()[1]], (Kind::Float, device)));
            all.narrow(0, at, len).copy_(&seen);
        }
        progress.advance((start + rows.len()) as u64, "");
    }
    progress.end();
    Ok(Features {
        map: FeatureMap::new(map)?,
        seen_logits: logits,
    })
}
