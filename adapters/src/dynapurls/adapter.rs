//! The adapter: scores with the anchors as they are, remembers what is confident, moves the anchors.

use std::collections::BTreeMap;

use szar_core::{
    Aligner, Error, Held, NamedTensors, Observation, Result, Scores, SemanticAnchors, Task, TestTimeAdapter,
    host,
};
use tch::{Device, Kind, Tensor, no_grad};

use super::choices::Behaviour;
use super::judged::Judged;
use super::state::State;
use super::{Adapted, Combine, DynaPurlsConfig, Granule, Schedule, ThresholdScale};

/// One update of a stream's anchors.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Update {
    /// Its stream.
    pub stream: usize,
    /// Position of the sample that it followed.
    pub position: u64,
    /// The loss before it.
    pub loss: f64,
    /// The learning rate.
    pub lr: f64,
}

/// The runtime part of `dynapurls`.
#[derive(Debug)]
pub struct DynaPurls {
    pub(super) options: DynaPurlsConfig,
    pub(super) behaviour: Behaviour,
    pub(super) task: Option<Begun>,
    pub(super) state: Option<State>,
    /// A snapshot that waits for the aligner, which tells the shape of what is remembered.
    pub(super) pending: Option<NamedTensors>,
    pub(super) trace: Option<Vec<Update>>,
}

/// What `begin` told.
#[derive(Debug)]
pub(super) struct Begun {
    pub anchors: SemanticAnchors,
    pub moves: Vec<bool>,
    pub streams: usize,
    pub device: Device,
    pub horizon: u64,
}

impl DynaPurls {
    /// With these options.
    pub fn new(options: &DynaPurlsConfig) -> Self {
        Self {
            options: options.clone(),
            behaviour: options.behaviour(),
            task: None,
            state: None,
            pending: None,
            trace: None,
        }
    }

    /// Keeps loss and learning rate of every update from now on.
    pub fn record(&mut self) {
        self.trace = Some(Vec::new());
    }

    /// The updates since [`Self::record`].
    pub fn updates(&self) -> &[Update] {
        self.trace.as_deref().unwrap_or_default()
    }

    /// Scale and shift, `[S, 2, C, P, d]`, once a sample came.
    pub fn scale_and_shift(&self) -> Option<Tensor> {
        self.state.as_ref().map(|s| s.moving.values().copy())
    }

    /// What is remembered, with confidence and the loss it had: class-major, in the order of the rows.
    pub fn remembered(&self) -> Vec<(Held, f64, f64)> {
        let Some(state) = &self.state else {
            return Vec::new();
        };
        let entries = (0..state.bank.streams).flat_map(|s| state.bank.of(s).iter().flatten());
        let numbers = entries.map(|e| (f64::from(e.confidence), f64::from(e.loss)));
        state
            .bank
            .held()
            .into_iter()
            .zip(numbers)
            .map(|(h, (c, l))| (h, c, l))
            .collect()
    }

    /// The learning rate after so many updates of a stream.
    pub fn learning_rate(&self, updates: u64) -> f64 {
        let (lr, floor) = (self.behaviour.lr, self.behaviour.lr * self.options.lr_floor);
        let horizon = self.task.as_ref().map_or(1, |t| t.horizon);
        let along = match self.behaviour.schedule {
            Schedule::Constant => return lr,
            Schedule::Cosine => updates.min(horizon) as f64 / horizon as f64,
            Schedule::Alternate => updates as f64 / f64::from(self.options.steps),
        };
        floor + (lr - floor) * (1.0 + (std::f64::consts::PI * along).cos()) / 2.0
    }

    pub(super) fn threshold(&self, classes: usize) -> f32 {
        match self.behaviour.scale {
            ThresholdScale::Absolute => self.behaviour.confidence as f32,
            ThresholdScale::Relative => (self.behaviour.confidence / classes as f64) as f32,
        }
    }

    /// Sets the state up for this aligner, once per stream.
    pub(super) fn prepare(&mut self, model: &dyn Aligner, row: &[i64]) -> Result<()> {
        if self.state.is_some() {
            return Ok(());
        }
        let task = self.task.as_ref().ok_or_else(not_begun)?;
        let mut state = State::new(task, &self.options, &self.behaviour, model, row)?;
        if let Some(snapshot) = self.pending.take() {
            state.restore(&snapshot)?;
        }
        self.state = Some(state);
        Ok(())
    }

    pub(super) fn judge(&self, logits: &Tensor) -> Result<Vec<Judged>> {
        let classes = logits.size()[1].unsigned_abs() as usize;
        let values = host::HostF32::new(logits);
        let temperature = self.options.temperature as f32;
        let rows = values.as_slice().chunks_exact(classes.max(1));
        Ok(rows.map(|row| Judged::of(row, temperature)).collect())
    }

    pub(super) fn state(&self) -> Result<&State> {
        self.state.as_ref().ok_or_else(not_begun)
    }

    pub(super) fn state_mut(&mut self) -> Result<&mut State> {
        self.state.as_mut().ok_or_else(not_begun)
    }

    pub(super) fn count(&mut self, logits: &Tensor) -> Result<()> {
        let judged = self.judge(logits)?;
        let state = self.state_mut()?;
        for one in judged {
            state.predicted[one.class] += 1;
            state.seen += 1;
            state.confidence += f64::from(one.confidence);
        }
        Ok(())
    }
}

pub(super) fn not_begun() -> Error {
    Error::Missing("a stream: dynapurls was not begun".into())
}

impl TestTimeAdapter for DynaPurls {
    fn begin(&mut self, task: &Task) -> Result<()> {
        let expected = task.expected.div_ceil(task.streams.max(1) as u64) * u64::from(self.options.steps);
        let horizon = self.options.horizon.unwrap_or(expected);
        if horizon == 0 && self.behaviour.schedule == Schedule::Cosine {
            return Err(Error::Input(
                "dynapurls cannot tell how long the stream is, over which its learning rate falls; give `horizon`, \
                 or `schedule: constant`"
                    .into(),
            ));
        }
        let moves = |seen: &bool| match self.options.classes {
            Adapted::All => true,
            Adapted::Seen => *seen,
            Adapted::Unseen => !*seen,
        };
        self.task = Some(Begun {
            anchors: task.anchors.to_device(task.device),
            moves: task.seen.iter().map(moves).collect(),
            streams: task.streams,
            device: task.device,
            horizon: horizon.max(1),
        });
        (self.state, self.pending) = (None, None);
        if let Some(trace) = &mut self.trace {
            trace.clear();
        }
        Ok(())
    }

    fn step(&mut self, seen: &Observation, model: &dyn Aligner) -> Result<Scores> {
        let rows = no_grad(|| model.condense(seen.features))?
            .to_kind(Kind::Float)
            .contiguous();
        self.prepare(model, &rows.size()[1..])?;
        if self.behaviour.train_mode {
            self.state_mut()?.follow_buffers(model);
        }
        if seen.samples.is_empty() {
            return Ok(Scores {
                logits: seen.scores.logits.shallow_clone(),
            });
        }
        let logits = no_grad(|| match (self.behaviour.stale, self.behaviour.update) {
            (true, _) => self.released_by_stream(&rows, seen, model),
            (false, Granule::Sample) => self.by_sample(&rows, seen.samples, model),
            (false, Granule::Batch) => {
                let fixed = self.fixed(&rows, model)?;
                self.together(&rows, fixed.as_ref(), seen.samples, model)
            }
        })?;
        self.count(&logits)?;
        if self.options.combine == Combine::Replace {
            return Ok(Scores { logits });
        }
        let fixed = no_grad(|| model.score_condensed(&rows, &self.state()?.plan.anchors))?.logits;
        Ok(Scores {
            logits: &seen.scores.logits + (logits - fixed),
        })
    }

    fn snapshot(&self) -> Result<NamedTensors> {
        match (&self.state, &self.pending, &self.task) {
            (Some(state), _, _) => Ok(state.snapshot()),
            (None, Some(pending), _) => Ok(pending.iter().map(|(n, t)| (n.clone(), t.copy())).collect()),
            (None, None, Some(_)) => Ok(NamedTensors::new()),
            (None, None, None) => Err(not_begun()),
        }
    }

    /// The shapes are checked with the first sample, when the aligner tells them.
    fn restore(&mut self, state: NamedTensors) -> Result<()> {
        self.task.as_ref().ok_or_else(not_begun)?;
        self.state = None;
        if !state.is_empty() && !state.contains_key("moving/values") {
            return Err(Error::Missing("`moving/values` in the snapshot".into()));
        }
        self.pending = (!state.is_empty()).then_some(state);
        Ok(())
    }

    fn held(&self) -> Vec<Held> {
        self.state.as_ref().map(|s| s.bank.held()).unwrap_or_default()
    }

    fn moved_anchors(&self) -> Option<Tensor> {
        let state = self.state.as_ref()?;
        let index = Tensor::from_slice(&state.plan.refined).to_device(state.moving.text.device());
        let streams = state.bank.streams as i64;
        let all = state.plan.anchors.values.unsqueeze(0).repeat([streams, 1, 1, 1]);
        Some(all.index_copy(2, &index, &state.moving.text))
    }

    fn diagnostics(&self) -> BTreeMap<String, Vec<f64>> {
        let Some(state) = &self.state else {
            return BTreeMap::new();
        };
        let seen = state.seen.max(1) as f64;
        let updates: u64 = state.moving.updates.iter().sum();
        [
            ("occupancy", state.bank.occupancy()),
            (
                "predicted_share",
                state.predicted.iter().map(|n| *n as f64 / seen).collect(),
            ),
            ("samples", vec![state.seen as f64]),
            ("insertions", vec![state.bank.stored as f64]),
            ("replacements", vec![state.bank.replaced as f64]),
            ("updates", vec![updates as f64]),
            ("mean_confidence", vec![state.confidence / seen]),
        ]
        .map(|(name, values)| (name.to_owned(), values))
        .into()
    }

    fn state_bytes(&self) -> u64 {
        self.state.as_ref().map_or(0, State::bytes)
    }
}
