//! Features that a dataset brings, in the order of the rows of a run.

use szar_core::descriptors::{self, TemporalSplit};
use szar_core::{
    Cancel, Encoding, FeatureMap, Granularity, Progress, RecordedFeatures, Result, SkeletonLayout,
};
use szar_data::store::{Spill, room};
use tch::{Device, Kind, Tensor};

use super::{BATCH, Features, Wanted};

/// What is gathered, and where to.
pub struct Gathering<'a> {
    /// The dataset's features.
    pub recorded: &'a dyn RecordedFeatures,
    /// The skeleton that their joints are of.
    pub layout: &'a SkeletonLayout,
    /// Where a map goes that is much.
    pub spill: &'a Spill,
    /// Where the features end.
    pub device: Device,
    /// Where progress goes.
    pub progress: &'a dyn Progress,
    /// When to stop.
    pub cancel: &'a Cancel,
}

impl Gathering<'_> {
    /// The features of these samples, part by part; a map that is large lies in a file and is mapped. Logits are kept of the
    /// last parts, as far as all of their samples have some.
    ///
    /// # Errors
    /// When a file is damaged or a value not finite, the disk has no room, or the user stops.
    pub fn run(&self, parts: [&[usize]; 4], wanted: Wanted) -> Result<Features> {
        let rows: usize = parts.iter().map(|part| part.len()).sum();
        let mut gathered = Gathered::new(self.recorded, rows, wanted, self.spill)?;
        self.progress.begin("features", rows as u64);
        let mut start = 0;
        for batch in parts.iter().flat_map(|part| part.chunks(BATCH)) {
            self.cancel.check()?;
            gathered.put(start, self.recorded.load(batch)?, self.layout)?;
            start += batch.len();
            self.progress.advance(start as u64, "");
        }
        self.progress.end();
        gathered.finish(self.device)
    }
}

struct Gathered {
    /// `[n, N, T', V']`, or pooled.
    map: Tensor,
    /// `[n, 8, N]`.
    descriptors: Option<Tensor>,
    /// Of the batches since the last one without.
    logits: Vec<Tensor>,
}

impl Gathered {
    fn new(recorded: &dyn RecordedFeatures, rows: usize, wanted: Wanted, spill: &Spill) -> Result<Self> {
        let (spec, n) = (recorded.spec(), rows as i64);
        let (frames, joints) = match wanted {
            Wanted::Map => (spec.frames, spec.joints),
            Wanted::Pooled | Wanted::Descriptors => (1, 1),
        };
        let pooled = spec.is_pooled() || wanted != Wanted::Descriptors;
        let descriptors = || room(&[n, 8, spec.channels], Some(spill));
        Ok(Self {
            map: room(&[n, spec.channels, frames, joints], Some(spill))?,
            descriptors: (!pooled).then(descriptors).transpose()?,
            logits: Vec::new(),
        })
    }

    /// A batch whose first row is `start`.
    fn put(&mut self, start: usize, encoding: Encoding, layout: &SkeletonLayout) -> Result<()> {
        let features = encoding.features;
        let rows = |all: &Tensor| all.narrow(0, start as i64, features.dims().0);
        let pooled = self.map.size()[2..] == [1, 1];
        let values = if pooled {
            FeatureMap::from_pooled(&features.pooled())?.values
        } else {
            features.values.shallow_clone()
        };
        rows(&self.map).copy_(&values);
        if let Some(descriptors) = &self.descriptors {
            let texts = &Granularity::PURLS_ORDER;
            let some = descriptors::pool(&features, layout, texts, TemporalSplit::Floor)?;
            rows(descriptors).copy_(&some);
        }
        match encoding.seen_logits {
            Some(logits) => self.logits.push(logits),
            None => self.logits.clear(),
        }
        Ok(())
    }

    fn finish(self, device: Device) -> Result<Features> {
        let map = FeatureMap::new(self.map.to_device(device))?;
        let logits = (!self.logits.is_empty()).then(|| Tensor::f_cat(&self.logits, 0));
        Ok(Features {
            map: match self.descriptors {
                Some(descriptors) => map.with_descriptors(descriptors.to_device(device))?,
                None => map,
            },
            seen_logits: logits
                .transpose()?
                .map(|l| l.to_kind(Kind::Float).to_device(device)),
        })
    }
}
