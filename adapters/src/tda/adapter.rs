//! The adapter: walks over the samples of a step in order.

use std::collections::BTreeMap;

use szar_core::{
    Aligner, Error, Held, NamedTensors, Observation, Result, SampleRef, Scores, Task, TestTimeAdapter, host,
    shape,
};
use tch::Tensor;

use super::cache::{Cache, Size};
use super::{EntropyUnit, Keep, Keys, Order, TdaConfig};
use crate::rows::{self, Rows, Setting};
use crate::saved::{self, Saved};

/// The runtime part of `tda`.
#[derive(Debug)]
pub struct Tda {
    options: TdaConfig,
    stream: Option<Stream>,
}

/// What lives from `begin` to `begin`.
#[derive(Debug)]
pub(super) struct Stream {
    setting: Setting,
    /// D, once the first vectors came.
    width: Option<usize>,
    pub positive: Option<Cache>,
    pub negative: Option<Cache>,
    samples: i64,
    batch: Batch,
}

/// Buffers of a step, kept for the next.
#[derive(Debug, Default)]
struct Batch {
    /// `[B, D]`.
    keys: Vec<f32>,
    /// `[B, C]`.
    base: Vec<f32>,
    /// `[B, C]`.
    posteriors: Vec<f32>,
    /// `[B]`, nats.
    entropies: Vec<f64>,
    /// `[C·K]`.
    affinities: Vec<f32>,
    /// `[B, C]`.
    out: Vec<f32>,
}

impl Tda {
    /// With these options.
    pub fn new(options: &TdaConfig) -> Self {
        Self {
            options: options.clone(),
            stream: None,
        }
    }

    /// One online step on vectors and posteriors that are already there, such as those of
    /// [`select_views`](super::select_views): the logits after the caches, `[B, C]`.
    ///
    /// # Shapes
    /// - `keys`: `[B, D]`, compared as they are (length 1 for the cosine)
    /// - `logits`, `posteriors`: `[B, C]`
    ///
    /// # Errors
    /// [`Error::Shape`] when they do not fit the task or each other; [`Error::Missing`] before `begin`.
    pub fn step_keys(
        &mut self,
        keys: &Tensor,
        logits: &Tensor,
        posteriors: &Tensor,
        samples: &[SampleRef],
    ) -> Result<Tensor> {
        let stream = self.stream.as_mut().ok_or_else(not_begun)?;
        let batch = stream.setting.check(logits, samples)? as i64;
        shape::expect(
            "posteriors",
            posteriors,
            [Some(batch), Some(stream.setting.classes as i64)],
        )?;
        shape::expect("keys", keys, [Some(batch), None])?;
        let rows = stream.take(keys)?;
        rows::fetch(logits, &mut stream.batch.base);
        rows::fetch(posteriors, &mut stream.batch.posteriors);
        let classes = stream.setting.classes;
        stream.batch.entropies.clear();
        let maps = stream.batch.posteriors.chunks_exact(classes);
        stream.batch.entropies.extend(maps.map(rows::entropy));
        stream.walk(&self.options, rows, samples);
        Ok(stream.answer(logits))
    }

    pub(super) fn stream(&self) -> Result<&Stream> {
        self.stream.as_ref().ok_or_else(not_begun)
    }
}

fn not_begun() -> Error {
    Error::Missing("a stream: tda was not begun".into())
}

/// An entropy in nats as the negative cache's band sees it.
pub(super) fn normalised(entropy: f64, classes: usize, unit: EntropyUnit) -> f64 {
    let count = classes as f64;
    let most = match unit {
        EntropyUnit::Log2 => count.log2(),
        EntropyUnit::Ln => count.ln(),
    };
    if most > 0.0 { entropy / most } else { 0.0 }
}

impl Stream {
    fn begin(options: &TdaConfig, task: &Task) -> Result<Self> {
        let setting = Setting::of(task)?;
        let cache = |enabled: bool, capacity: usize, mask: usize, highest: bool| {
            let size = Size {
                streams: setting.streams,
                classes: setting.classes,
                capacity: capacity.max(1),
                mask,
            };
            enabled.then(|| Cache::new(size, highest))
        };
        let (positive, negative) = (&options.positive, &options.negative);
        let highest = negative.keep == Keep::Highest;
        Ok(Self {
            positive: cache(positive.enabled, positive.capacity, 0, false),
            negative: cache(negative.enabled, negative.capacity, setting.classes, highest),
            setting,
            width: None,
            samples: 0,
            batch: Batch::default(),
        })
    }

    /// Brings the vectors of a batch to the host.
    fn take(&mut self, keys: &Tensor) -> Result<Rows> {
        let width = rows::width_of(keys, self.width)?;
        if self.width.is_none() {
            self.width = Some(width);
            let caches = [self.positive.as_mut(), self.negative.as_mut()];
            caches.into_iter().flatten().for_each(|cache| cache.widen(width));
        }
        rows::fetch(keys, &mut self.batch.keys);
        Ok(Rows::new(width))
    }

    fn answer(&self, like: &Tensor) -> Tensor {
        let (out, classes) = (&self.batch.out, self.setting.classes);
        let shape = [(out.len() / classes) as i64, classes as i64];
        host::tensor(out, &shape).to_device(like.device())
    }

    /// Posteriors and entropies of the batch's logits.
    fn judge(&mut self, temperature: f64) {
        let Batch {
            base,
            posteriors,
            entropies,
            ..
        } = &mut self.batch;
        posteriors.resize(base.len(), 0.0);
        entropies.clear();
        let classes = self.setting.classes;
        for (z, p) in base
            .chunks_exact(classes)
            .zip(posteriors.chunks_exact_mut(classes))
        {
            entropies.push(rows::posterior(z, temperature, p));
        }
    }

    fn walk(&mut self, options: &TdaConfig, rows: Rows, samples: &[SampleRef]) {
        self.batch.out.clear();
        self.batch.out.extend_from_slice(&self.batch.base);
        for (b, sample) in samples.iter().enumerate() {
            if options.order == Order::PredictThenUpdate {
                self.predict(options, rows, b, sample.stream);
            }
            self.update(options, rows, b, *sample);
            if options.order == Order::UpdateThenPredict {
                self.predict(options, rows, b, sample.stream);
            }
        }
        self.samples += samples.len() as i64;
    }

    fn update(&mut self, options: &TdaConfig, rows: Rows, b: usize, sample: SampleRef) {
        let classes = self.setting.classes;
        let key = &self.batch.keys[b * rows.width..][..rows.width];
        let entropy = self.batch.entropies[b];
        let label = rows::largest(&self.batch.base[b * classes..][..classes]);
        let block = sample.stream * classes + label;
        let position = sample.position.cast_signed();
        if let Some(cache) = &mut self.positive {
            let _ = cache.offer(block, entropy, position, key);
        }
        let band = &options.negative;
        let doubt = normalised(entropy, classes, options.entropy_unit);
        if let Some(cache) = &mut self.negative
            && band.entropy_lower < doubt
            && doubt < band.entropy_upper
            && let Some(mask) = cache.offer(block, entropy, position, key)
        {
            let (lower, upper) = (band.mask_lower as f32, band.mask_upper as f32);
            let posterior = &self.batch.posteriors[b * classes..][..classes];
            for (m, p) in mask.iter_mut().zip(posterior) {
                *m = if lower < *p && *p < upper { 1.0 } else { 0.0 };
            }
        }
    }

    /// Adds what the caches say of sample `b` to its logits in `out`.
    fn predict(&mut self, options: &TdaConfig, rows: Rows, b: usize, stream: usize) {
        let classes = self.setting.classes;
        let Batch {
            keys,
            affinities,
            out,
            ..
        } = &mut self.batch;
        let key = &keys[b * rows.width..][..rows.width];
        let out = &mut out[b * classes..][..classes];
        if let Some(cache) = &self.positive {
            let (alpha, beta) = options.positive_constants();
            cache.affinities(rows, stream, key, beta as f32, affinities);
            for (z, block) in out.iter_mut().zip(affinities.chunks_exact(cache.size.capacity)) {
                *z += alpha as f32 * block.iter().sum::<f32>();
            }
        }
        if let Some(cache) = &self.negative {
            let (alpha, beta) = (options.negative.alpha as f32, options.negative.beta as f32);
            cache.affinities(rows, stream, key, beta, affinities);
            for (a, mask) in affinities.iter().zip(cache.masks(stream).chunks_exact(classes)) {
                if *a > 0.0 {
                    out.iter_mut().zip(mask).for_each(|(z, m)| *z -= alpha * a * m);
                }
            }
        }
    }
}

impl TestTimeAdapter for Tda {
    fn begin(&mut self, task: &Task) -> Result<()> {
        self.stream = Some(Stream::begin(&self.options, task)?);
        Ok(())
    }

    fn step(&mut self, seen: &Observation, model: &dyn Aligner) -> Result<Scores> {
        let _no_grad = tch::no_grad_guard();
        let stream = self.stream.as_mut().ok_or_else(not_begun)?;
        let logits = &seen.scores.logits;
        let batch = stream.setting.check(logits, seen.samples)?;
        let keys = match self.options.keys {
            Keys::Embedding => stream.setting.embed(seen, model)?.visual,
            Keys::Pooled => seen.features.pooled(),
        };
        shape::expect("features", &keys, [Some(batch as i64), None])?;
        let rows = stream.take(&keys)?;
        rows.normalise(&mut stream.batch.keys);
        rows::fetch(logits, &mut stream.batch.base);
        stream.judge(self.options.temperature);
        stream.walk(&self.options, rows, seen.samples);
        Ok(Scores {
            logits: stream.answer(logits),
        })
    }

    fn snapshot(&self) -> Result<NamedTensors> {
        let stream = self.stream()?;
        let mut state = NamedTensors::new();
        state.insert("width".into(), saved::width(stream.width));
        state.insert("seen".into(), Tensor::from_slice(&[stream.samples]));
        for (name, cache) in [("positive", &stream.positive), ("negative", &stream.negative)] {
            if let Some(cache) = cache {
                cache.save(name, &mut state);
            }
        }
        Ok(state)
    }

    fn restore(&mut self, state: NamedTensors) -> Result<()> {
        let stream = self.stream.as_mut().ok_or_else(not_begun)?;
        let mut saved = Saved::new("tda", state);
        let width = saved.width()?;
        let seen = host::to_i64(&saved.take("seen", &[Some(1)])?)?;
        let mut read = |name: &str, cache: &Option<Cache>| {
            let restored = cache.as_ref().map(|c| c.restored(name, &mut saved, width));
            restored.transpose()
        };
        let positive = read("positive", &stream.positive)?;
        let negative = read("negative", &stream.negative)?;
        (stream.positive, stream.negative) = (positive, negative);
        (stream.width, stream.samples) = (width, seen[0]);
        Ok(())
    }

    fn held(&self) -> Vec<Held> {
        let caches = self.stream.iter().flat_map(|s| [&s.positive, &s.negative]);
        caches
            .flatten()
            .flat_map(Cache::list)
            .map(|(held, _)| held)
            .collect()
    }

    fn diagnostics(&self) -> BTreeMap<String, Vec<f64>> {
        let Some(stream) = &self.stream else {
            return BTreeMap::new();
        };
        let mut all = BTreeMap::from([("samples".to_owned(), vec![stream.samples as f64])]);
        for (name, cache) in [("positive", &stream.positive), ("negative", &stream.negative)] {
            let Some(cache) = cache else { continue };
            all.insert(format!("{name}_occupancy"), cache.occupancy());
            all.insert(format!("{name}_writes"), vec![cache.writes as f64]);
            all.insert(format!("{name}_replacements"), vec![cache.replacements as f64]);
        }
        all
    }

    fn state_bytes(&self) -> u64 {
        let caches = self.stream.iter().flat_map(|s| [&s.positive, &s.negative]);
        caches.flatten().map(Cache::bytes).sum()
    }
}
