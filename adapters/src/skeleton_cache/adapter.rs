//! The adapter: pools descriptors, keeps the stream's state, and chooses where a step is computed.

use std::collections::BTreeMap;
use std::sync::Arc;

use szar_core::{
    Aligner, Error, Held, NamedTensors, Observation, Result, SampleRef, Scores, SkeletonLayout, SlotWeights,
    Task, TestTimeAdapter, descriptors, host,
};
use tch::{Device, Kind, Tensor};

use super::bank::{Bank, Ledger, Size};
use super::choices::Behaviour;
use super::host::{Engine, Prior as Weights};
use super::prior::{self, Prior};
use super::scan::{self, Placement, Rules};
use super::{Accumulate, Centre, SecondPass, SkeletonCacheConfig, WeightRow, device, inputs};

/// Samples that are compared with each other at once; a larger batch is taken in pieces.
const PIECE: usize = 256;

/// The mean of the largest logits above which the released code scores the stream again.
const CONFIDENT: f64 = 0.85;

/// The runtime part of `skeleton-cache`.
#[derive(Debug)]
pub struct SkeletonCache {
    options: SkeletonCacheConfig,
    behaviour: Behaviour,
    prior: Option<Prior>,
    stream: Option<Stream>,
}

/// What lives from `begin` to `begin`.
#[derive(Debug)]
struct Stream {
    /// One per stream.
    banks: Vec<Bank>,
    rules: Rules,
    weights: Weights,
    layout: Arc<SkeletonLayout>,
    /// Frames, joints and the `[T'·V', D]` matrix that pools a map of that size.
    pooling: Option<(i64, i64, Tensor)>,
    engine: Engine,
    device: Device,
    /// Are the steps computed by [`Engine`], rather than by tensor operations?
    on_host: bool,
    placements: Vec<Placement>,
}

impl SkeletonCache {
    /// Reads the prior, if there is one.
    ///
    /// # Errors
    /// As [`Prior::read`].
    pub fn new(options: &SkeletonCacheConfig) -> Result<Self> {
        let read = |path: &szar_core::FilePath| Prior::read(path.as_ref(), options.prior_split.as_deref());
        Ok(Self::with_prior(
            options,
            options.prior.as_ref().map(read).transpose()?,
        ))
    }

    /// With a prior at hand instead of that of the options; without one, all descriptors weigh the same.
    pub fn with_prior(options: &SkeletonCacheConfig, prior: Option<Prior>) -> Self {
        Self {
            options: options.clone(),
            behaviour: options.behaviour(),
            prior,
            stream: None,
        }
    }

    /// One online step on descriptors that are already there: the logits after the cache, `[B, C]`.
    ///
    /// # Shapes
    /// - `descriptors`: `[B, D, N]`, in the order of the option `descriptors`, of any length
    /// - `logits`: `[B, C]`
    ///
    /// # Errors
    /// [`Error::Shape`] when they do not fit the task; [`Error::Missing`] before `begin`.
    pub fn step_descriptors(&mut self, descriptors: &Tensor, logits: &Tensor) -> Result<Tensor> {
        self.run(descriptors, logits, &[], false)
    }

    /// As [`Self::step_descriptors`], from the cache as it is and without storing anything.
    ///
    /// # Errors
    /// As [`Self::step_descriptors`].
    pub fn rescore_descriptors(&mut self, descriptors: &Tensor, logits: &Tensor) -> Result<Tensor> {
        self.run(descriptors, logits, &[], true)
    }

    /// Where the samples of the last step went.
    pub fn placements(&self) -> &[Placement] {
        self.stream.as_ref().map_or(&[], |stream| &stream.placements)
    }

    /// `[C, D]`, weights of the descriptors for each candidate.
    ///
    /// # Errors
    /// [`Error::Missing`] before `begin`.
    pub fn fusion_weights(&self) -> Result<Tensor> {
        let stream = self.stream()?;
        let rows = Tensor::from_slice(&stream.weights.rows);
        Ok(rows.reshape([-1, stream.size().slots as i64]))
    }

    /// `[B, D, N]`, the descriptors of a feature map.
    ///
    /// # Errors
    /// As [`descriptors::pool`]; [`Error::Shape`] when the map has other channels than the task.
    pub fn pool(&mut self, seen: &Observation) -> Result<Tensor> {
        let (wanted, split) = (&self.options.descriptors, self.behaviour.temporal_split);
        let stream = self.stream.as_mut().ok_or_else(not_begun)?;
        let (batch, channels, frames, joints) = seen.features.dims();
        let width = Some(stream.size().width as i64);
        szar_core::shape::expect("features", &seen.features.values, [None, width, None, None])?;
        if let Some(kept) = descriptors::kept(seen.features, wanted, split) {
            return Ok(kept);
        }
        let pooling = match &stream.pooling {
            Some((t, v, pooling)) if (*t, *v) == (frames, joints) => pooling.shallow_clone(),
            _ => {
                let rows = descriptors::averaging(frames, joints, &stream.layout, wanted, split)?;
                let pooling = rows.transpose(0, 1).contiguous().to_device(stream.device);
                stream.pooling = Some((frames, joints, pooling.shallow_clone()));
                pooling
            }
        };
        let nodes = seen
            .features
            .values
            .to_kind(Kind::Float)
            .reshape([batch, channels, frames * joints]);
        Ok(nodes.matmul(&pooling).transpose(1, 2).contiguous())
    }

    /// Computes the steps by tensor operations, as on an accelerator.
    #[cfg(test)]
    pub(super) fn use_tensors(&mut self) {
        self.stream.as_mut().unwrap().on_host = false;
    }

    fn stream(&self) -> Result<&Stream> {
        self.stream.as_ref().ok_or_else(not_begun)
    }

    /// `samples` is `[B]`, or empty for samples of the first stream that nobody counts.
    pub(super) fn run(
        &mut self,
        descriptors: &Tensor,
        logits: &Tensor,
        samples: &[SampleRef],
        frozen: bool,
    ) -> Result<Tensor> {
        let _no_grad = tch::no_grad_guard();
        let stream = self.stream.as_mut().ok_or_else(not_begun)?;
        let count = inputs::check(stream.size(), descriptors, logits)?;
        if !samples.is_empty() && samples.len() != count {
            let why = format!("{count} rows of logits come with {} samples", samples.len());
            return Err(Error::Input(why));
        }
        stream.placements.clear();
        if count == 0 {
            return Ok(logits.to_kind(Kind::Float));
        }
        if stream.banks.len() == 1 || samples.is_empty() {
            let positions: Vec<i64> = samples.iter().map(|s| s.position.cast_signed()).collect();
            return stream.pieces(&self.options, 0, count, descriptors, logits, &positions, frozen);
        }
        stream.mixed(&self.options, descriptors, logits, samples, frozen)
    }
}

fn not_begun() -> Error {
    Error::Missing("a stream: skeleton-cache was not begun".into())
}

impl Stream {
    fn begin(options: &SkeletonCacheConfig, prior: Option<&Prior>, task: &Task) -> Result<Self> {
        let behaviour = options.behaviour();
        let size = Size {
            classes: task.candidates.len(),
            capacity: behaviour.capacity,
            slots: options.descriptors.len(),
            width: usize::try_from(task.features.channels).unwrap_or(0),
        };
        if size.classes == 0 || size.width == 0 || size.slots == 0 || size.capacity == 0 {
            let why = format!("skeleton-cache needs classes, features, descriptors and room, got {size:?}");
            return Err(Error::Input(why));
        }
        let rows = match prior {
            Some(prior) => prior.weights(&task.candidates, &options.descriptors, options.missing_prior)?,
            None => vec![prior::uniform(size.slots); size.classes * size.slots],
        };
        let hedges = size.classes < size.capacity;
        let soft = behaviour.accumulate == Accumulate::Soft;
        let bank = || Bank::new(size, soft, &options.balancing(), task.device);
        Ok(Self {
            banks: (0..task.streams.max(1)).map(|_| bank()).collect(),
            rules: Rules {
                behaviour,
                accumulate: behaviour.accumulate,
                alpha: behaviour.alpha as f32,
                hedge: if hedges { behaviour.hedge_margin } else { 0.0 },
            },
            weights: Weights::new(rows, size, behaviour.weight_row == WeightRow::PerClass),
            layout: Arc::clone(&task.layout),
            pooling: None,
            engine: Engine::new(),
            device: task.device,
            on_host: task.device == Device::Cpu,
            placements: Vec::new(),
        })
    }

    fn size(&self) -> Size {
        self.banks[0].ledger.size
    }

    /// Samples of several streams: each stream's own, in order, then back in their places.
    fn mixed(
        &mut self,
        options: &SkeletonCacheConfig,
        descriptors: &Tensor,
        logits: &Tensor,
        samples: &[SampleRef],
        frozen: bool,
    ) -> Result<Tensor> {
        let mut order: Vec<usize> = (0..samples.len()).collect();
        order.sort_by_key(|row| samples[*row].stream); // stable: a stream keeps its order
        let index: Vec<i64> = order.iter().map(|row| *row as i64).collect();
        let index = Tensor::from_slice(&index).to_device(logits.device());
        let descriptors = descriptors.index_select(0, &index.to_device(descriptors.device()));
        let logits = logits.index_select(0, &index);
        let out = Tensor::empty(logits.size(), (Kind::Float, self.device));
        let mut from = 0;
        while from < order.len() {
            let stream = samples[order[from]].stream;
            let len = order[from..]
                .iter()
                .take_while(|row| samples[**row].stream == stream)
                .count();
            let own = &order[from..from + len];
            let positions: Vec<i64> = own
                .iter()
                .map(|row| samples[*row].position.cast_signed())
                .collect();
            let (at, count) = (from as i64, len as i64);
            let (d, z) = (descriptors.narrow(0, at, count), logits.narrow(0, at, count));
            out.narrow(0, at, count)
                .copy_(&self.pieces(options, stream, len, &d, &z, &positions, frozen)?);
            from += len;
        }
        Ok(out
            .empty_like()
            .index_copy_(0, &index.to_device(self.device), &out))
    }

    #[expect(clippy::too_many_arguments, reason = "those of `piece`")]
    fn pieces(
        &mut self,
        options: &SkeletonCacheConfig,
        stream: usize,
        samples: usize,
        descriptors: &Tensor,
        logits: &Tensor,
        positions: &[i64],
        frozen: bool,
    ) -> Result<Tensor> {
        if samples <= PIECE {
            return self.piece(options, stream, samples, descriptors, logits, positions, frozen);
        }
        let mut pieces = Vec::new();
        for from in (0..samples).step_by(PIECE) {
            let len = PIECE.min(samples - from);
            let (at, count) = (from as i64, len as i64);
            let (d, z) = (descriptors.narrow(0, at, count), logits.narrow(0, at, count));
            let own = positions.get(from..from + len).unwrap_or_default();
            pieces.push(self.piece(options, stream, len, &d, &z, own, frozen)?);
        }
        Ok(Tensor::cat(&pieces, 0))
    }

    /// At most [`PIECE`] samples of one stream.
    #[expect(clippy::too_many_arguments, reason = "one call, from one place")]
    fn piece(
        &mut self,
        options: &SkeletonCacheConfig,
        stream: usize,
        samples: usize,
        descriptors: &Tensor,
        logits: &Tensor,
        positions: &[i64],
        frozen: bool,
    ) -> Result<Tensor> {
        let bank = &mut self.banks[stream];
        let centred = (options.centre == Centre::StreamMean)
            .then(|| inputs::centred(&mut bank.stream, descriptors, frozen));
        let descriptors = centred.as_ref().unwrap_or(descriptors);
        let classes = bank.ledger.size.classes;
        let mut base = host::HostF32::new(logits).as_slice().to_vec();
        let largest: f64 = base.chunks_exact(classes).map(scan::largest_value).sum();
        inputs::prepare(&mut base, classes, options.logit_norm, &mut bank.balance, frozen);
        if !frozen {
            bank.ledger.largest_logits += largest;
        }
        let beta = self.rules.behaviour.beta as f32;
        let (rules, weights, placements) = (&self.rules, &self.weights, &mut self.placements);
        if self.on_host {
            let values = host::HostF32::new(descriptors);
            let engine = &mut self.engine;
            let out = engine.step(
                bank,
                rules,
                weights,
                beta,
                values.as_slice(),
                &base,
                positions,
                frozen,
                placements,
            );
            return Ok(host::tensor(out, &[samples as i64, classes as i64]));
        }
        let descriptors = descriptors.to_device(self.device);
        let logits = host::tensor(&base, &logits.size()).to_device(self.device);
        device::step(
            bank,
            rules,
            weights,
            beta,
            &descriptors,
            &logits,
            positions,
            frozen,
            placements,
        )
    }
}

impl TestTimeAdapter for SkeletonCache {
    fn begin(&mut self, task: &Task) -> Result<()> {
        self.stream = Some(Stream::begin(&self.options, self.prior.as_ref(), task)?);
        Ok(())
    }

    fn step(&mut self, seen: &Observation, _: &dyn Aligner) -> Result<Scores> {
        let descriptors = self.pool(seen)?;
        Ok(Scores {
            logits: self.run(&descriptors, &seen.scores.logits, seen.samples, false)?,
        })
    }

    fn snapshot(&self) -> Result<NamedTensors> {
        let named = |(number, bank): (usize, &Bank)| {
            let own = bank.snapshot().into_iter();
            own.map(move |(name, tensor)| (format!("{number}/{name}"), tensor))
                .collect::<Vec<_>>()
        };
        Ok(self.stream()?.banks.iter().enumerate().flat_map(named).collect())
    }

    fn restore(&mut self, state: NamedTensors) -> Result<()> {
        let stream = self.stream.as_mut().ok_or_else(not_begun)?;
        let restored = |(number, bank): (usize, &Bank)| {
            let prefix = format!("{number}/");
            let own = state
                .iter()
                .filter_map(|(n, t)| Some((n.strip_prefix(&prefix)?.to_owned(), t.shallow_clone())));
            bank.restored(own.collect())
        };
        stream.banks = stream
            .banks
            .iter()
            .enumerate()
            .map(restored)
            .collect::<Result<_>>()?;
        Ok(())
    }

    fn held(&self) -> Vec<Held> {
        let Some(stream) = &self.stream else {
            return Vec::new();
        };
        let of_bank = |(number, bank): (usize, &Bank)| bank.ledger.held(number);
        stream.banks.iter().enumerate().flat_map(of_bank).collect()
    }

    fn wants_second_pass(&self) -> bool {
        let Some(stream) = &self.stream else { return false };
        let earns = |bank: &Bank| {
            let ledger = &bank.ledger;
            ledger.is_full() && ledger.largest_logits > CONFIDENT * ledger.seen as f64
        };
        self.behaviour.second_pass == SecondPass::Official && stream.banks.iter().all(earns)
    }

    fn rescore(&mut self, seen: &Observation, _: &dyn Aligner) -> Result<Scores> {
        let descriptors = self.pool(seen)?;
        Ok(Scores {
            logits: self.run(&descriptors, &seen.scores.logits, seen.samples, true)?,
        })
    }

    fn slot_weights(&self) -> Option<SlotWeights> {
        Some(SlotWeights {
            slots: self.options.descriptors.clone(),
            values: self.fusion_weights().ok()?,
        })
    }

    fn diagnostics(&self) -> BTreeMap<String, Vec<f64>> {
        let Some(stream) = &self.stream else {
            return BTreeMap::new();
        };
        let ledgers = || stream.banks.iter().map(|bank| &bank.ledger);
        let total = |of: fn(&Ledger) -> f64| ledgers().map(of).sum::<f64>();
        let by_class = |of: fn(&Ledger, usize) -> f64| -> Vec<f64> {
            let classes = 0..stream.size().classes;
            classes
                .map(|class| ledgers().map(|ledger| of(ledger, class)).sum())
                .collect()
        };
        let seen = total(|l| l.seen as f64).max(1.0);
        let answers = by_class(|l, class| l.answers[class] as f64);
        let strength: f64 = stream.banks.iter().map(|bank| bank.balance.mean_strength()).sum();
        [
            ("occupancy", by_class(|l, class| l.counts[class] as f64)),
            ("predicted_share", answers.iter().map(|n| n / seen).collect()),
            ("samples", vec![total(|l| l.seen as f64)]),
            ("insertions", vec![total(|l| l.insertions as f64)]),
            ("replacements", vec![total(|l| l.replacements as f64)]),
            ("hedge_copies", vec![total(|l| l.hedges as f64)]),
            ("mean_largest_logit", vec![total(|l| l.largest_logits) / seen]),
            ("balance_strength", vec![strength / stream.banks.len() as f64]),
        ]
        .map(|(name, values)| (name.to_owned(), values))
        .into()
    }

    fn state_bytes(&self) -> u64 {
        let bytes = |stream: &Stream| stream.banks.iter().map(Bank::bytes).sum();
        self.stream.as_ref().map_or(0, bytes)
    }
}
