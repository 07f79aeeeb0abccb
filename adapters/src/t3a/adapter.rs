//! The adapter: stores the samples of a step, then answers them.

use std::collections::BTreeMap;

use szar_core::{
    Aligner, Error, Held, NamedTensors, Observation, Result, SampleRef, Scores, Task, TestTimeAdapter, host,
};
use tch::Tensor;

use super::supports::{Size, Supports};
use super::{Order, T3aConfig, Update};
use crate::rows::{self, Rows, Setting};
use crate::saved::{self, Saved};

/// The runtime part of `t3a`.
#[derive(Debug)]
pub struct T3a {
    options: T3aConfig,
    stream: Option<Stream>,
}

/// What lives from `begin` to `begin`.
#[derive(Debug)]
struct Stream {
    setting: Setting,
    /// Once the first vectors came.
    supports: Option<Supports>,
    samples: i64,
    batch: Batch,
}

/// Buffers of a step, kept for the next.
#[derive(Debug, Default)]
struct Batch {
    /// `[B, D]`, as they are.
    queries: Vec<f32>,
    /// `[B, D]`, of length 1.
    units: Vec<f32>,
    /// `[B, C]`.
    base: Vec<f32>,
    /// `[C]`.
    posterior: Vec<f32>,
    /// `[B, C]`.
    out: Vec<f32>,
    /// Streams with samples in this batch, ascending.
    streams: Vec<usize>,
}

impl T3a {
    /// With these options.
    pub fn new(options: &T3aConfig) -> Self {
        Self {
            options: options.clone(),
            stream: None,
        }
    }

    fn stream(&self) -> Result<&Stream> {
        self.stream.as_ref().ok_or_else(not_begun)
    }

    pub(super) fn supports(&self) -> Option<&Supports> {
        self.stream.as_ref()?.supports.as_ref()
    }
}

fn not_begun() -> Error {
    Error::Missing("a stream: t3a was not begun".into())
}

/// The supports that the class vectors themselves make: each belongs to the class that the classifier takes it for.
fn warm_up(options: &T3aConfig, size: Size, classes: &[f32], scale: f64) -> Supports {
    let (count, rows) = (size.classes, Rows::new(size.width));
    let mut logits = vec![0.0; count * count];
    rows.products(classes, classes, &mut logits);
    let square = (scale * scale) as f32;
    logits.iter_mut().for_each(|z| *z *= square);
    let mut units = classes.to_vec();
    rows.normalise(&mut units);
    let mut posterior = vec![0.0; count];
    let mut supports = Supports::new(size);
    let all = logits.chunks_exact(count).zip(units.chunks_exact(size.width));
    for (c, (logits, unit)) in all.enumerate() {
        let entropy = rows::posterior(logits, options.temperature, &mut posterior);
        let label = rows::largest(logits);
        for stream in 0..size.streams {
            supports.add(stream * count + label, entropy, c as i64 - count as i64, unit);
        }
    }
    supports.totals = [0; 2];
    supports
}

impl Stream {
    /// Brings a batch to the host; the first one also starts the supports.
    fn take(&mut self, options: &T3aConfig, seen: &Observation, model: &dyn Aligner) -> Result<Rows> {
        let vectors = self.setting.embed(seen, model)?;
        let known = self.supports.as_ref().map(|s| s.size.width);
        let width = rows::width_of(&vectors.visual, known)?;
        if self.supports.is_none() {
            let mut classes = Vec::new();
            rows::fetch(&vectors.classes, &mut classes);
            let own = || Ok::<_, Error>(model.linear(&self.setting.anchors)?.map_or(1.0, |l| l.scale));
            let scale = options.logit_scale.map_or_else(own, Ok)?;
            let size = Size::new(options, self.setting.streams, self.setting.classes, width);
            self.supports = Some(warm_up(options, size, &classes, scale));
        }
        let rows = Rows::new(width);
        let Batch {
            queries,
            units,
            base,
            posterior,
            out,
            streams,
        } = &mut self.batch;
        rows::fetch(&vectors.visual, queries);
        rows::fetch(&seen.scores.logits, base);
        units.clear();
        units.extend_from_slice(queries);
        rows.normalise(units);
        posterior.resize(self.setting.classes, 0.0);
        out.resize(base.len(), 0.0);
        streams.clear();
        streams.extend(seen.samples.iter().map(|s| s.stream));
        streams.sort_unstable();
        streams.dedup();
        Ok(rows)
    }

    fn step(&mut self, options: &T3aConfig, rows: Rows, samples: &[SampleRef]) {
        let Some(supports) = &mut self.supports else {
            return;
        };
        let (classes, batch) = (self.setting.classes, &mut self.batch);
        match options.update {
            Update::Batch => {
                if options.order == Order::PredictThenUpdate {
                    batch.answer(supports, rows, samples, 0..samples.len());
                }
                for (b, sample) in samples.iter().enumerate() {
                    batch.store(options, supports, rows, classes, b, *sample);
                }
                batch.streams.iter().for_each(|stream| supports.end_step(*stream));
                if options.order == Order::UpdateThenPredict {
                    batch.answer(supports, rows, samples, 0..samples.len());
                }
            }
            Update::Sample => {
                for (b, sample) in samples.iter().enumerate() {
                    if options.order == Order::PredictThenUpdate {
                        batch.answer(supports, rows, samples, b..b + 1);
                    }
                    batch.store(options, supports, rows, classes, b, *sample);
                    supports.end_step(sample.stream);
                    if options.order == Order::UpdateThenPredict {
                        batch.answer(supports, rows, samples, b..b + 1);
                    }
                }
            }
        }
        let scale = options.scale as f32;
        batch.out.iter_mut().for_each(|z| *z *= scale);
        self.samples += samples.len() as i64;
    }
}

impl Batch {
    fn store(
        &mut self,
        options: &T3aConfig,
        supports: &mut Supports,
        rows: Rows,
        classes: usize,
        b: usize,
        sample: SampleRef,
    ) {
        let logits = &self.base[b * classes..][..classes];
        let entropy = rows::posterior(logits, options.temperature, &mut self.posterior);
        let block = sample.stream * classes + rows::largest(logits);
        let unit = &self.units[b * rows.width..][..rows.width];
        supports.add(block, entropy, sample.position.cast_signed(), unit);
    }

    /// Writes `z · w` for some samples; neighbours of one stream are answered together.
    fn answer(
        &mut self,
        supports: &mut Supports,
        rows: Rows,
        samples: &[SampleRef],
        which: std::ops::Range<usize>,
    ) {
        let (width, classes) = (rows.width, supports.size.classes);
        let mut from = which.start;
        while from < which.end {
            let stream = samples[from].stream;
            let more = samples[from..which.end].iter().take_while(|s| s.stream == stream);
            let to = from + more.count();
            let queries = &self.queries[from * width..to * width];
            let out = &mut self.out[from * classes..to * classes];
            rows.products(queries, supports.weights(stream), out);
            from = to;
        }
    }
}

impl TestTimeAdapter for T3a {
    fn begin(&mut self, task: &Task) -> Result<()> {
        self.stream = Some(Stream {
            setting: Setting::of(task)?,
            supports: None,
            samples: 0,
            batch: Batch::default(),
        });
        Ok(())
    }

    fn step(&mut self, seen: &Observation, model: &dyn Aligner) -> Result<Scores> {
        let _no_grad = tch::no_grad_guard();
        let stream = self.stream.as_mut().ok_or_else(not_begun)?;
        let logits = &seen.scores.logits;
        let batch = stream.setting.check(logits, seen.samples)?;
        let rows = stream.take(&self.options, seen, model)?;
        stream.step(&self.options, rows, seen.samples);
        let shape = [batch as i64, stream.setting.classes as i64];
        let out = host::tensor(&stream.batch.out, &shape);
        Ok(Scores {
            logits: out.to_device(logits.device()),
        })
    }

    fn snapshot(&self) -> Result<NamedTensors> {
        let stream = self.stream()?;
        let mut state = NamedTensors::new();
        state.insert(
            "width".into(),
            saved::width(stream.supports.as_ref().map(|s| s.size.width)),
        );
        state.insert("seen".into(), Tensor::from_slice(&[stream.samples]));
        if let Some(supports) = &stream.supports {
            supports.save(&mut state);
        }
        Ok(state)
    }

    fn restore(&mut self, state: NamedTensors) -> Result<()> {
        let stream = self.stream.as_mut().ok_or_else(not_begun)?;
        let mut saved = Saved::new("t3a", state);
        let width = saved.width()?;
        let seen = saved.integers("seen", &[Some(1)])?;
        let (streams, classes) = (stream.setting.streams, stream.setting.classes);
        let size = |width| Size::new(&self.options, streams, classes, width);
        let supports = width.map(|width| Supports::restored(size(width), &mut saved));
        stream.supports = supports.transpose()?;
        stream.samples = seen[0];
        Ok(())
    }

    fn held(&self) -> Vec<Held> {
        let Some(supports) = self.supports() else {
            return Vec::new();
        };
        let classes = supports.size.classes;
        let of = |(block, entries): (usize, &[super::supports::Entry])| {
            let samples = entries.iter().filter_map(|e| u64::try_from(e.sample).ok());
            let held = |position| Held {
                sample: SampleRef {
                    stream: block / classes,
                    position,
                },
                class: block % classes,
            };
            samples.map(held).collect::<Vec<_>>()
        };
        supports.blocks().enumerate().flat_map(of).collect()
    }

    fn diagnostics(&self) -> BTreeMap<String, Vec<f64>> {
        let Some(supports) = self.supports() else {
            return BTreeMap::new();
        };
        let samples = self.stream.as_ref().map_or(0, |s| s.samples);
        let [writes, dropped] = supports.totals.map(|n| n as f64);
        [
            ("samples", vec![samples as f64]),
            ("occupancy", supports.occupancy()),
            ("writes", vec![writes]),
            ("replacements", vec![dropped]),
        ]
        .map(|(name, values)| (name.to_owned(), values))
        .into()
    }

    fn state_bytes(&self) -> u64 {
        self.supports().map_or(0, Supports::bytes)
    }
}
