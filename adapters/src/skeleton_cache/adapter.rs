//! The adapter: pools descriptors, keeps the stream's state, and chooses where a step is computed.

use std::collections::BTreeMap;
use std::sync::Arc;

use szar_core::{
    Aligner, Error, NamedTensors, Observation, Result, Scores, SkeletonLayout, Task, TestTimeAdapter,
    descriptors, host,
};
use tch::{Device, Kind, Tensor};

use super::bank::{Bank, Size};
use super::choices::Behaviour;
use super::host::{Engine, Prior as Weights};
use super::prior::{self, Prior};
use super::scan::{self, Placement, Rules};
use super::{Centre, SecondPass, SkeletonCacheConfig, WeightRow, device, inputs};

/// Samples that are compared with each other at once; a larger batch is taken in pieces.
const PIECE: i64 = 256;

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
    bank: Bank,
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
        self.run(descriptors, logits, false)
    }

    /// As [`Self::step_descriptors`], from the cache as it is and without storing anything.
    ///
    /// # Errors
    /// As [`Self::step_descriptors`].
    pub fn rescore_descriptors(&mut self, descriptors: &Tensor, logits: &Tensor) -> Result<Tensor> {
        self.run(descriptors, logits, true)
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
        Ok(rows.reshape([-1, stream.bank.ledger.size.slots as i64]))
    }

    /// `[B, D, N]`, the descriptors of a feature map.
    ///
    /// # Errors
    /// As [`descriptors::pool`]; [`Error::Shape`] when the map has other channels than the task.
    pub fn pool(&mut self, seen: &Observation) -> Result<Tensor> {
        let (wanted, split) = (&self.options.descriptors, self.behaviour.temporal_split);
        let stream = self.stream.as_mut().ok_or_else(not_begun)?;
        let (batch, channels, frames, joints) = seen.features.dims();
        let width = Some(stream.bank.ledger.size.width as i64);
        szar_core::shape::expect("features", &seen.features.values, [None, width, None, None])?;
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

    fn run(&mut self, descriptors: &Tensor, logits: &Tensor, frozen: bool) -> Result<Tensor> {
        let _no_grad = tch::no_grad_guard();
        let stream = self.stream.as_mut().ok_or_else(not_begun)?;
        let samples = inputs::check(stream.bank.ledger.size, descriptors, logits)? as i64;
        stream.placements.clear();
        if samples <= PIECE {
            return stream.piece(&self.options, descriptors, logits, frozen);
        }
        let mut pieces = Vec::new();
        for from in (0..samples).step_by(PIECE as usize) {
            let len = PIECE.min(samples - from);
            let (d, z) = (descriptors.narrow(0, from, len), logits.narrow(0, from, len));
            pieces.push(stream.piece(&self.options, &d, &z, frozen)?);
        }
        Ok(Tensor::cat(&pieces, 0))
    }
}

fn not_begun() -> Error {
    Error::Missing("a stream: skeleton-cache was not begun".into())
}

impl Stream {
    fn begin(options: &SkeletonCacheConfig, prior: Option<&Prior>, task: &Task) -> Result<Self> {
        let size = Size {
            classes: task.candidates.len(),
            capacity: options.capacity,
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
        let behaviour = options.behaviour();
        let hedges = size.classes < size.capacity;
        Ok(Self {
            bank: Bank::new(size, task.device),
            rules: Rules {
                behaviour,
                accumulate: options.accumulate,
                alpha: options.alpha as f32,
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

    /// At most [`PIECE`] samples.
    fn piece(
        &mut self,
        options: &SkeletonCacheConfig,
        descriptors: &Tensor,
        logits: &Tensor,
        frozen: bool,
    ) -> Result<Tensor> {
        let samples = logits.size()[0];
        if samples == 0 {
            return Ok(logits.to_kind(Kind::Float));
        }
        let centred = (options.centre == Centre::StreamMean)
            .then(|| inputs::centred(&mut self.bank.stream, descriptors, frozen));
        let descriptors = centred.as_ref().unwrap_or(descriptors);
        let (beta, norm) = (options.beta as f32, options.logit_norm);
        let (bank, rules, weights) = (&mut self.bank, &self.rules, &self.weights);
        let (answer, largest) = if self.on_host {
            let mut base = host::HostF32::new(logits).as_slice().to_vec();
            let classes = bank.ledger.size.classes;
            let largest: Vec<f64> = base.chunks_exact(classes).map(scan::largest_value).collect();
            base.chunks_exact_mut(classes)
                .for_each(|row| inputs::normalise(row, norm));
            let engine = &mut self.engine;
            let placements = &mut self.placements;
            let out = engine.step(bank, rules, weights, beta, descriptors, &base, frozen, placements);
            (
                Tensor::from_slice(out).reshape([samples, classes as i64]),
                largest,
            )
        } else {
            let descriptors = descriptors.to_device(self.device);
            let logits = logits.to_device(self.device);
            let norm = |row: &mut [f32]| inputs::normalise(row, norm);
            let placements = &mut self.placements;
            device::step(
                bank,
                rules,
                weights,
                beta,
                &descriptors,
                &logits,
                norm,
                frozen,
                placements,
            )?
        };
        if !frozen {
            self.bank.ledger.largest_logits =
                largest.iter().fold(self.bank.ledger.largest_logits, |s, z| s + z);
        }
        Ok(answer)
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
            logits: self.run(&descriptors, &seen.scores.logits, false)?,
        })
    }

    fn snapshot(&self) -> Result<NamedTensors> {
        Ok(self.stream()?.bank.snapshot())
    }

    fn restore(&mut self, state: NamedTensors) -> Result<()> {
        let stream = self.stream.as_mut().ok_or_else(not_begun)?;
        stream.bank = stream.bank.restored(state)?;
        Ok(())
    }

    fn wants_second_pass(&self) -> bool {
        let Some(stream) = &self.stream else { return false };
        let ledger = &stream.bank.ledger;
        let confident = ledger.largest_logits > CONFIDENT * ledger.seen as f64;
        self.behaviour.second_pass == SecondPass::Official && ledger.is_full() && confident
    }

    fn rescore(&mut self, seen: &Observation, _: &dyn Aligner) -> Result<Scores> {
        let descriptors = self.pool(seen)?;
        Ok(Scores {
            logits: self.run(&descriptors, &seen.scores.logits, true)?,
        })
    }

    fn diagnostics(&self) -> BTreeMap<String, Vec<f64>> {
        let Some(stream) = &self.stream else {
            return BTreeMap::new();
        };
        let ledger = &stream.bank.ledger;
        let seen = ledger.seen.max(1) as f64;
        [
            ("occupancy", ledger.counts.iter().map(|n| *n as f64).collect()),
            (
                "predicted_share",
                ledger.answers.iter().map(|n| *n as f64 / seen).collect(),
            ),
            ("samples", vec![ledger.seen as f64]),
            ("insertions", vec![ledger.insertions as f64]),
            ("replacements", vec![ledger.replacements as f64]),
            ("hedge_copies", vec![ledger.hedges as f64]),
            ("mean_largest_logit", vec![ledger.largest_logits / seen]),
        ]
        .map(|(name, values)| (name.to_owned(), values))
        .into()
    }

    fn state_bytes(&self) -> u64 {
        self.stream.as_ref().map_or(0, |stream| stream.bank.bytes())
    }
}
