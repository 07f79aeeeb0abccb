//! The adapter: scores with the anchors as they are, remembers what is confident, moves the anchors.

use std::collections::BTreeMap;

use szar_core::{
    Aligner, Error, Granularity, Held, NamedTensors, Observation, Result, SampleRef, Scores, SemanticAnchors,
    Task, TestTimeAdapter, host, shape,
};
use tch::{Device, Kind, Tensor, no_grad};

use super::bank::{Bank, Entry};
use super::choices::Behaviour;
use super::fused::Rule;
use super::gradient::{Batch, Plan, View};
use super::moving::Moving;
use super::{Adapted, Combine, DynaPurlsConfig, Granule, Order, Schedule, Targets, ThresholdScale};
use crate::balance::Balance;

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
    options: DynaPurlsConfig,
    behaviour: Behaviour,
    task: Option<Begun>,
    state: Option<State>,
    /// A snapshot that waits for the aligner, which tells the shape of what is remembered.
    pending: Option<NamedTensors>,
    trace: Option<Vec<Update>>,
}

/// What `begin` told.
#[derive(Debug)]
struct Begun {
    anchors: SemanticAnchors,
    moves: Vec<bool>,
    streams: usize,
    device: Device,
    horizon: u64,
}

/// What lives from the first step on.
#[derive(Debug)]
pub(super) struct State {
    pub plan: Plan,
    pub moving: Moving,
    pub bank: Bank,
    /// `[C·K, C]`, the pseudo-label of each row of the bank; with soft targets `[S, C·K, C]`.
    targets: Tensor,
    soft: bool,
    /// One per stream; none where logits are not balanced.
    balances: Vec<Balance>,
    /// Samples per stream.
    since: Vec<u64>,
    /// `[S, C·K, 2, C, P, d]`: gradients that remembered samples had (`stale`).
    gradients: Option<Tensor>,
    /// Has training mode begun (`train_mode`)?
    training: bool,
    /// The aligner's buffers, which training mode moves; handles share their memory.
    buffers: NamedTensors,
    /// Samples by predicted class.
    predicted: Vec<u64>,
    seen: u64,
    confidence: f64,
}

/// Some samples as they were judged.
struct Lessons {
    /// `[n, C]`, the answer.
    logits: Tensor,
    judged: Vec<Judged>,
    /// `[n, C]`, soft targets; empty where they are hard.
    targets: Vec<f32>,
}

/// What a posterior says.
#[derive(Clone, Copy, Debug)]
struct Judged {
    class: usize,
    /// The largest probability.
    confidence: f32,
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

    fn threshold(&self, classes: usize) -> f32 {
        match self.behaviour.scale {
            ThresholdScale::Absolute => self.behaviour.confidence as f32,
            ThresholdScale::Relative => (self.behaviour.confidence / classes as f64) as f32,
        }
    }

    /// Sets the state up for this aligner, once per stream.
    fn prepare(&mut self, model: &dyn Aligner, row: &[i64]) -> Result<()> {
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

    /// Sample by sample; samples of different streams go together.
    fn by_sample(&mut self, rows: &Tensor, samples: &[SampleRef], model: &dyn Aligner) -> Result<Tensor> {
        let fixed = self.fixed(rows, model)?;
        let classes = self.state()?.plan.anchors.classes.len() as i64;
        let out = Tensor::zeros([samples.len() as i64, classes], (Kind::Float, rows.device()));
        for round in rounds(samples) {
            let refs: Vec<SampleRef> = round.iter().map(|r| samples[*r]).collect();
            if let [one] = round[..] {
                let at = |t: &Tensor| t.narrow(0, one as i64, 1);
                let logits = self.together(&at(rows), fixed.as_ref().map(at).as_ref(), &refs, model)?;
                at(&out).copy_(&logits);
                continue;
            }
            let index: Vec<i64> = round.iter().map(|r| *r as i64).collect();
            let index = Tensor::from_slice(&index).to_device(rows.device());
            let at = |t: &Tensor| t.index_select(0, &index);
            let logits = self.together(&at(rows), fixed.as_ref().map(at).as_ref(), &refs, model)?;
            let _ = out.shallow_clone().index_copy_(0, &index, &logits);
        }
        Ok(out)
    }

    /// `[n, C]`: scores under the anchors as the texts give them, where something depends on them.
    fn fixed(&self, rows: &Tensor, model: &dyn Aligner) -> Result<Option<Tensor>> {
        let state = self.state()?;
        if !state.soft && state.balances.is_empty() {
            return Ok(None);
        }
        Ok(Some(model.score_condensed(rows, &state.plan.anchors)?.logits))
    }

    /// All samples with the anchors as they are, then one update per stream.
    fn together(
        &mut self,
        rows: &Tensor,
        fixed: Option<&Tensor>,
        samples: &[SampleRef],
        model: &dyn Aligner,
    ) -> Result<Tensor> {
        let logits = self.state()?.score(rows, samples, model)?;
        let lessons = self.lessons(&logits, fixed, samples)?;
        self.learn(rows, &lessons, samples, model)?;
        if self.behaviour.order == Order::PredictThenUpdate {
            return Ok(lessons.logits);
        }
        let again = self.state()?.score(rows, samples, model)?;
        let state = self.state_mut()?;
        if state.balances.is_empty() {
            return Ok(again);
        }
        let classes = again.size()[1].unsigned_abs() as usize;
        let mut values = host::HostF32::new(&again).as_slice().to_vec();
        for (row, sample) in values.chunks_exact_mut(classes).zip(samples) {
            state.balances[sample.stream].look(row, None);
        }
        Ok(Tensor::from_slice(&values)
            .reshape(again.size())
            .to_device(again.device()))
    }

    /// Balances and judges samples in order.
    fn lessons(&mut self, logits: &Tensor, fixed: Option<&Tensor>, samples: &[SampleRef]) -> Result<Lessons> {
        let (temperature, sharpness) = (self.options.temperature, self.options.sharpness);
        let state = self.state_mut()?;
        samples.iter().for_each(|sample| state.since[sample.stream] += 1);
        if !state.soft && state.balances.is_empty() {
            let judged = self.judge(logits)?;
            return Ok(Lessons {
                logits: logits.shallow_clone(),
                judged,
                targets: Vec::new(),
            });
        }
        let fixed = fixed.ok_or_else(|| Error::Missing("scores under the anchors of the texts".into()))?;
        let classes = logits.size()[1].unsigned_abs() as usize;
        let mut values = host::HostF32::new(logits).as_slice().to_vec();
        let fixed = host::HostF32::new(fixed);
        let mut targets = vec![0.0f32; if state.soft { values.len() } else { 0 }];
        let mut teacher = vec![0.0f32; classes];
        let mut judged = Vec::with_capacity(samples.len());
        let rows = values
            .chunks_exact_mut(classes)
            .zip(fixed.as_slice().chunks_exact(classes));
        for (i, ((row, own), sample)) in rows.zip(samples).enumerate() {
            let mut factor = 1.0 / temperature;
            let mut offsets: &[f64] = &[];
            if let Some(balance) = state.balances.get_mut(sample.stream) {
                balance.step(row, Some(own));
                (factor, offsets) = (1.0 / balance.sigma(), balance.correction());
            }
            if state.soft {
                let mean = own.iter().map(|z| f64::from(*z)).sum::<f64>() / classes as f64;
                for (c, t) in teacher.iter_mut().enumerate() {
                    let offset = offsets.get(c).copied().unwrap_or(0.0);
                    *t = ((f64::from(own[c]) - mean) * factor - offset) as f32;
                }
                judged.push(Judged::of(&teacher, 1.0));
                soften(
                    &teacher,
                    sharpness as f32,
                    &mut targets[i * classes..(i + 1) * classes],
                );
            } else {
                judged.push(Judged::of(row, 1.0));
            }
        }
        let balanced = if state.balances.is_empty() {
            logits.shallow_clone()
        } else {
            Tensor::from_slice(&values)
                .reshape(logits.size())
                .to_device(logits.device())
        };
        Ok(Lessons {
            logits: balanced,
            judged,
            targets,
        })
    }

    /// Remembers what is confident and moves the anchors of the streams that `samples` are of.
    fn learn(
        &mut self,
        rows: &Tensor,
        lessons: &Lessons,
        samples: &[SampleRef],
        model: &dyn Aligner,
    ) -> Result<()> {
        let judged = &lessons.judged;
        let threshold = self.threshold(self.state()?.plan.anchors.classes.len());
        let confident: Vec<usize> = (0..samples.len())
            .filter(|i| judged[*i].confidence > threshold)
            .collect();
        if !self.options.memory_bank {
            return self.learn_from_current(rows, lessons, samples, &confident, model);
        }
        self.remember(rows, lessons, samples, &confident)?;
        let mut last: BTreeMap<usize, u64> = BTreeMap::new();
        samples.iter().for_each(|s| {
            last.insert(s.stream, s.position);
        });
        let (least, every) = (self.options.min_samples, self.behaviour.every);
        let by_sample = self.behaviour.update == Granule::Sample;
        for _ in 0..self.options.steps {
            let state = self.state()?;
            let due = |s: usize| !by_sample || state.since[s].is_multiple_of(every);
            let ready: Vec<(usize, u64)> = last
                .iter()
                .map(|(s, p)| (*s, *p))
                .filter(|(s, _)| due(*s) && state.bank.count(*s) >= least)
                .collect();
            if ready.is_empty() {
                return Ok(());
            }
            self.update(&ready, model)?;
        }
        Ok(())
    }

    fn remember(
        &mut self,
        rows: &Tensor,
        lessons: &Lessons,
        samples: &[SampleRef],
        confident: &[usize],
    ) -> Result<()> {
        let equal = self.behaviour.equal_enters;
        let state = self.state_mut()?;
        let block = state.bank.block();
        let (mut from, mut to): (Vec<i64>, Vec<i64>) = (Vec::new(), Vec::new());
        for i in confident {
            let SampleRef { stream, position } = samples[*i];
            let Judged { class, confidence } = lessons.judged[*i];
            let entry = Entry {
                confidence,
                position,
                loss: 0.0,
            };
            if let Some(at) = state.bank.place(stream, class, entry, equal) {
                // A later sample of the batch may take the place again; the last one counts.
                let place = (stream * block + at) as i64;
                match to.iter().position(|p| *p == place) {
                    Some(earlier) => from[earlier] = *i as i64,
                    None => {
                        from.push(*i as i64);
                        to.push(place);
                    }
                }
            }
        }
        if to.is_empty() {
            return Ok(());
        }
        let whole = from.len() as i64 == rows.size()[0] && from.iter().zip(0..).all(|(f, i)| *f == i);
        let kept = if whole {
            rows.shallow_clone()
        } else {
            rows.index_select(0, &Tensor::from_slice(&from).to_device(rows.device()))
        };
        state.bank.write(&kept, &to);
        if state.soft {
            let classes = state.plan.anchors.classes.len();
            let chosen = from
                .iter()
                .flat_map(|i| &lessons.targets[*i as usize * classes..][..classes]);
            let chosen: Vec<f32> = chosen.copied().collect();
            let device = rows.device();
            let chosen = Tensor::from_slice(&chosen)
                .reshape([to.len() as i64, -1])
                .to_device(device);
            let index = Tensor::from_slice(&to).to_device(device);
            let _ = state.targets.flatten(0, 1).index_copy_(0, &index, &chosen);
        }
        Ok(())
    }

    /// One step of Adam for each of these streams, on what they remember.
    fn update(&mut self, ready: &[(usize, u64)], model: &dyn Aligner) -> Result<()> {
        let (temperature, sampling) = (self.options.temperature, self.behaviour.sampling);
        let traced = self.trace.is_some();
        let state = self.state()?;
        let block = state.bank.block();
        let mut weights = vec![0.0f32; ready.len() * block];
        for ((stream, _), into) in ready.iter().zip(weights.chunks_exact_mut(block)) {
            state.bank.weights(*stream, sampling, into);
        }
        let streams: Vec<usize> = ready.iter().map(|(s, _)| *s).collect();
        let (gradients, losses) = match &state.plan.linear {
            Some(linear) => {
                let all = state.bank.streams;
                let batch = Batch {
                    rows: choose(&state.bank.rows, &streams, all),
                    targets: if state.soft {
                        choose(&state.targets, &streams, all)
                    } else {
                        state.targets.shallow_clone()
                    },
                    weights: Tensor::from_slice(&weights)
                        .view([ready.len() as i64, -1])
                        .to_device(state.bank.rows.device()),
                    view: state.view(&streams, temperature),
                };
                let text = choose(&state.moving.text, &streams, all);
                let (gradient, losses) = state.plan.linear_gradient(linear, &text, &batch, traced);
                (gradient, losses.map(|l| host::to_f64(&l)))
            }
            None => {
                let mut all = (Vec::new(), Vec::new());
                for (stream, weights) in streams.iter().zip(weights.chunks_exact(block)) {
                    let (gradient, loss) = state.through_graph(*stream, weights, temperature, model)?;
                    all.0.push(gradient);
                    all.1.push(loss);
                }
                (Tensor::stack(&all.0, 0), Some(all.1))
            }
        };
        self.apply(ready, &gradients, losses.as_deref());
        Ok(())
    }

    fn apply(&mut self, ready: &[(usize, u64)], gradients: &Tensor, losses: Option<&[f64]>) {
        for (i, (stream, position)) in ready.iter().enumerate() {
            let updates = self.state.as_ref().map_or(0, |s| s.moving.updates[*stream]);
            let lr = self.learning_rate(updates);
            if let Some(state) = &mut self.state {
                state.moving.step(*stream, &gradients.get(i as i64), lr);
            }
            if let Some(trace) = &mut self.trace {
                let loss = losses.and_then(|l| l.get(i)).copied().unwrap_or(f64::NAN);
                trace.push(Update {
                    stream: *stream,
                    position: *position,
                    loss,
                    lr,
                });
            }
        }
    }

    /// Without a memory: a step on the confident samples of this step alone.
    fn learn_from_current(
        &mut self,
        rows: &Tensor,
        lessons: &Lessons,
        samples: &[SampleRef],
        confident: &[usize],
        model: &dyn Aligner,
    ) -> Result<()> {
        let mut by_stream: BTreeMap<usize, Vec<usize>> = BTreeMap::new();
        confident
            .iter()
            .for_each(|i| by_stream.entry(samples[*i].stream).or_default().push(*i));
        for (stream, own) in by_stream {
            let (device, count) = (rows.device(), own.len() as i64);
            let index: Vec<i64> = own.iter().map(|i| *i as i64).collect();
            let index = Tensor::from_slice(&index).to_device(device);
            let classes = self.state()?.plan.anchors.classes.len() as i64;
            let targets = if self.state()?.soft {
                let all = Tensor::from_slice(&lessons.targets).reshape([-1, classes]);
                all.to_device(device).index_select(0, &index)
            } else {
                let labels: Vec<i64> = own.iter().map(|i| lessons.judged[*i].class as i64).collect();
                Tensor::from_slice(&labels)
                    .one_hot(classes)
                    .to_kind(Kind::Float)
                    .to_device(device)
            };
            let batch = Batch {
                rows: rows.index_select(0, &index).unsqueeze(0),
                targets,
                weights: Tensor::full([1, count], 1.0 / count as f64, (Kind::Float, device)),
                view: self.state()?.view(&[stream], self.options.temperature),
            };
            let position = own.last().map_or(0, |i| samples[*i].position);
            for _ in 0..self.options.steps {
                let state = self.state()?;
                let text = state.moving.text.get(stream as i64);
                let (gradient, loss) = state.plan.graph_gradient(model, &text, &batch)?;
                self.apply(&[(stream, position)], &gradient.unsqueeze(0), Some(&[loss]));
            }
        }
        Ok(())
    }

    /// The released code's batch: remembered samples keep the gradient they had.
    fn as_released(&mut self, rows: &Tensor, seen: &Observation, model: &dyn Aligner) -> Result<Tensor> {
        let samples = seen.samples;
        let stream = samples.first().map_or(0, |s| s.stream);
        let oracle = seen.oracle.map(|o| &o.0);
        let mut first = None;
        for _ in 0..self.options.steps {
            let logits = self.state()?.score_published(rows, stream, oracle, model)?;
            let judged = self.judge(&logits)?;
            first.get_or_insert(logits);
            let threshold = self.threshold(self.state()?.plan.anchors.classes.len());
            let kept: Vec<usize> = (0..samples.len())
                .filter(|i| judged[*i].confidence > threshold)
                .collect();
            if kept.len() < 2 {
                break;
            }
            let train = self.behaviour.train_mode;
            let temperature = self.options.temperature;
            let state = self.state_mut()?;
            state.training |= train;
            state.remember_gradients(rows, samples, &judged, &kept, temperature, model)?;
            if state.bank.count(stream) < self.options.min_samples {
                continue;
            }
            let (mean, loss) = self.state()?.mean_gradient(stream);
            let updates = self.state()?.moving.updates[stream];
            let lr = self.learning_rate(updates);
            self.state_mut()?.moving.step_values(stream, &mean, lr);
            let position = samples.last().map_or(0, |s| s.position);
            if let Some(trace) = &mut self.trace {
                trace.push(Update {
                    stream,
                    position,
                    loss,
                    lr,
                });
            }
        }
        match (self.behaviour.order, first) {
            (Order::PredictThenUpdate, Some(logits)) => Ok(logits),
            _ => self.state()?.score_published(rows, stream, oracle, model),
        }
    }

    fn judge(&self, logits: &Tensor) -> Result<Vec<Judged>> {
        let classes = logits.size()[1].unsigned_abs() as usize;
        let values = host::HostF32::new(logits);
        let temperature = self.options.temperature as f32;
        let rows = values.as_slice().chunks_exact(classes.max(1));
        Ok(rows.map(|row| Judged::of(row, temperature)).collect())
    }

    fn state(&self) -> Result<&State> {
        self.state.as_ref().ok_or_else(not_begun)
    }

    fn state_mut(&mut self) -> Result<&mut State> {
        self.state.as_mut().ok_or_else(not_begun)
    }

    fn count(&mut self, logits: &Tensor) -> Result<()> {
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

impl Judged {
    /// The largest of `softmax(logits / temperature)`, the first of equals.
    fn of(logits: &[f32], temperature: f32) -> Self {
        let class = (0..logits.len()).fold(0, |best, c| if logits[c] > logits[best] { c } else { best });
        let total: f32 = logits
            .iter()
            .map(|z| ((z - logits[class]) / temperature).exp())
            .sum();
        Self {
            class,
            confidence: 1.0 / total,
        }
    }
}

/// `softmax(sharpness · logits)`.
fn soften(logits: &[f32], sharpness: f32, into: &mut [f32]) {
    let top = logits.iter().copied().fold(f32::NEG_INFINITY, f32::max);
    for (out, z) in into.iter_mut().zip(logits) {
        *out = (sharpness * (z - top)).exp();
    }
    let total: f32 = into.iter().sum();
    into.iter_mut().for_each(|p| *p /= total);
}

fn not_begun() -> Error {
    Error::Missing("a stream: dynapurls was not begun".into())
}

/// The samples of a batch such that a round has at most one of each stream, in the streams' order.
fn rounds(samples: &[SampleRef]) -> Vec<Vec<usize>> {
    let mut rounds: Vec<Vec<usize>> = Vec::new();
    let mut next: BTreeMap<usize, usize> = BTreeMap::new();
    for (i, sample) in samples.iter().enumerate() {
        let round = next.entry(sample.stream).or_insert(0);
        if *round == rounds.len() {
            rounds.push(Vec::new());
        }
        rounds[*round].push(i);
        *round += 1;
    }
    rounds
        .iter_mut()
        .for_each(|round| round.sort_by_key(|i| samples[*i].stream));
    rounds
}

/// The rows of `tensor` `[S, ...]` of these streams, without a copy when they are all of them.
fn choose(tensor: &Tensor, streams: &[usize], all: usize) -> Tensor {
    if streams.len() == all {
        return tensor.shallow_clone();
    }
    if let [one] = streams {
        return tensor.narrow(0, *one as i64, 1);
    }
    let index: Vec<i64> = streams.iter().map(|s| *s as i64).collect();
    tensor.index_select(0, &Tensor::from_slice(&index).to_device(tensor.device()))
}

impl State {
    fn new(
        task: &Begun,
        options: &DynaPurlsConfig,
        behaviour: &Behaviour,
        model: &dyn Aligner,
        row: &[i64],
    ) -> Result<Self> {
        let used = model.capabilities().granularities;
        let wanted: &[Granularity] = options.granularities.as_deref().unwrap_or(&used);
        let position = |g: &Granularity| task.anchors.slot(g);
        let refined = wanted.iter().map(position).collect::<Result<Vec<i64>>>()?;
        let index = Tensor::from_slice(&refined).to_device(task.device);
        let base = task.anchors.values.index_select(1, &index);
        let classes = task.anchors.classes.len();
        let root = || base.square().mean(Kind::Double).double_value(&[]).sqrt();
        let rule = Rule {
            decay: behaviour.weight_decay,
            epsilon: behaviour.epsilon,
            pull: behaviour.pull,
            shift: if behaviour.relative_shift { root() } else { 1.0 },
        };
        let moving = Moving::new(
            &base,
            task.streams,
            &task.moves,
            (behaviour.length, rule),
            task.device,
        );
        let bank = Bank::new(task.streams, classes, options.capacity, row, task.device);
        let soft = behaviour.targets == Targets::Soft;
        let targets = if soft {
            let size = [task.streams as i64, bank.block() as i64, classes as i64];
            Tensor::zeros(size, (Kind::Float, task.device))
        } else {
            let numbers: Vec<i64> = (0..bank.block()).map(|r| (r / options.capacity) as i64).collect();
            Tensor::from_slice(&numbers)
                .one_hot(classes as i64)
                .to_kind(Kind::Float)
                .to_device(task.device)
        };
        let balancing = options.balancing();
        let balanced = if balancing.is_off() { 0 } else { task.streams };
        let gradients = behaviour.stale.then(|| {
            let mut size = vec![task.streams as i64, bank.block() as i64, 2];
            size.extend(base.size());
            Tensor::zeros(size, (Kind::Float, task.device))
        });
        let anchors = task
            .anchors
            .with_values(task.anchors.values.to_kind(Kind::Float))?;
        Ok(Self {
            plan: Plan {
                linear: model.linear(&anchors)?,
                anchors,
                refined,
            },
            moving,
            targets,
            soft,
            balances: (0..balanced).map(|_| Balance::new(&balancing, classes)).collect(),
            since: vec![0; task.streams],
            bank,
            gradients,
            training: false,
            buffers: NamedTensors::new(),
            predicted: vec![0; classes],
            seen: 0,
            confidence: 0.0,
        })
    }

    /// Logits `[n, C]` of rows under the anchors of their streams.
    fn score(&self, rows: &Tensor, samples: &[SampleRef], model: &dyn Aligner) -> Result<Tensor> {
        let streams: Vec<usize> = samples.iter().map(|s| s.stream).collect();
        let same = streams.windows(2).all(|w| w[0] == w[1]);
        if same {
            let stream = streams.first().copied().unwrap_or(0) as i64;
            if let Some(linear) = &self.plan.linear {
                return Ok(self
                    .plan
                    .score_linear(linear, rows, &self.moving.text.narrow(0, stream, 1)));
            }
            let anchors = self.plan.anchors_with(&self.moving.text.get(stream))?;
            return Ok(model.score_condensed(rows, &anchors)?.logits);
        }
        if let Some(linear) = &self.plan.linear {
            let index: Vec<i64> = streams.iter().map(|s| *s as i64).collect();
            let all =
                index.len() == self.bank.streams && index.iter().enumerate().all(|(i, s)| i as i64 == *s);
            let text = if all {
                self.moving.text.shallow_clone()
            } else {
                self.moving
                    .text
                    .index_select(0, &Tensor::from_slice(&index).to_device(rows.device()))
            };
            return Ok(self.plan.score_linear(linear, rows, &text));
        }
        let one = |(i, stream): (usize, &usize)| -> Result<Tensor> {
            let anchors = self.plan.anchors_with(&self.moving.text.get(*stream as i64))?;
            Ok(model
                .score_condensed(&rows.narrow(0, i as i64, 1), &anchors)?
                .logits)
        };
        let parts = streams.iter().enumerate().map(one).collect::<Result<Vec<_>>>()?;
        Ok(Tensor::cat(&parts, 0))
    }

    fn score_published(
        &self,
        rows: &Tensor,
        stream: usize,
        oracle: Option<&Tensor>,
        model: &dyn Aligner,
    ) -> Result<Tensor> {
        let anchors = self.plan.anchors_with(&self.moving.text.get(stream as i64))?;
        let training = self.training;
        no_grad(|| Ok(model.score_asked(rows, &anchors, oracle, training)?.logits))
    }

    /// How the logits of these streams become posteriors now.
    fn view(&self, streams: &[usize], temperature: f64) -> View {
        let (count, device) = (streams.len() as i64, self.bank.rows.device());
        if self.balances.is_empty() {
            return View {
                factors: Tensor::full([count, 1, 1], 1.0 / temperature, (Kind::Float, device)),
                offsets: None,
            };
        }
        let own = || streams.iter().map(|s| &self.balances[*s]);
        let factors: Vec<f32> = own().map(|b| (1.0 / b.sigma()) as f32).collect();
        let offsets: Vec<f32> = own()
            .flat_map(|b| b.correction().iter().map(|c| *c as f32))
            .collect();
        View {
            factors: Tensor::from_slice(&factors).view([count, 1, 1]).to_device(device),
            offsets: Some(
                Tensor::from_slice(&offsets)
                    .view([count, 1, -1])
                    .to_device(device),
            ),
        }
    }

    fn through_graph(
        &self,
        stream: usize,
        weights: &[f32],
        temperature: f64,
        model: &dyn Aligner,
    ) -> Result<(Tensor, f64)> {
        let used: Vec<i64> = (0..weights.len())
            .filter(|r| weights[*r] > 0.0)
            .map(|r| r as i64)
            .collect();
        let device = self.bank.rows.device();
        let index = Tensor::from_slice(&used).to_device(device);
        let weights: Vec<f32> = used.iter().map(|r| weights[*r as usize]).collect();
        let targets = if self.soft {
            self.targets.get(stream as i64)
        } else {
            self.targets.shallow_clone()
        };
        let batch = Batch {
            rows: self
                .bank
                .rows
                .get(stream as i64)
                .index_select(0, &index)
                .unsqueeze(0),
            targets: targets.index_select(0, &index),
            weights: Tensor::from_slice(&weights).unsqueeze(0).to_device(device),
            view: self.view(&[stream], temperature),
        };
        self.plan
            .graph_gradient(model, &self.moving.text.get(stream as i64), &batch)
    }

    /// Remembers confident samples with the gradient of their loss under the anchors as they are now.
    fn remember_gradients(
        &mut self,
        rows: &Tensor,
        samples: &[SampleRef],
        judged: &[Judged],
        kept: &[usize],
        temperature: f64,
        model: &dyn Aligner,
    ) -> Result<()> {
        let stream = samples.first().map_or(0, |s| s.stream);
        let index: Vec<i64> = kept.iter().map(|i| *i as i64).collect();
        let labels: Vec<i64> = kept.iter().map(|i| judged[*i].class as i64).collect();
        let rows = rows.index_select(0, &Tensor::from_slice(&index).to_device(rows.device()));
        let labels = Tensor::from_slice(&labels).to_device(rows.device());
        let leaf = self
            .moving
            .text
            .get(stream as i64)
            .detach()
            .copy()
            .set_requires_grad(true);
        let losses = tch::with_grad(|| -> Result<Vec<Tensor>> {
            let anchors = self.plan.anchors_with(&leaf)?;
            let logits = model
                .score_asked(&rows, &anchors, Some(&labels), self.training)?
                .logits
                / temperature;
            let picked = logits
                .log_softmax(-1, Kind::Float)
                .gather(1, &labels.unsqueeze(1), false);
            Ok((-picked.squeeze_dim(1)).unbind(0))
        })?;
        let values = host::to_f64(&Tensor::stack(&losses, 0));
        for (j, i) in kept.iter().enumerate() {
            let entry = Entry {
                confidence: judged[*i].confidence,
                position: samples[*i].position,
                loss: values[j] as f32,
            };
            let Some(at) = self.bank.place(stream, judged[*i].class, entry, false) else {
                continue;
            };
            let gradient = Tensor::f_run_backward(&[&losses[j]], &[&leaf], true, false)?;
            let down = self.moving.down(stream, &gradient[0]);
            if let Some(all) = &self.gradients {
                all.get(stream as i64).get(at as i64).copy_(&down);
            }
            self.bank.write(
                &rows.narrow(0, j as i64, 1),
                &[(stream * self.bank.block() + at) as i64],
            );
        }
        Ok(())
    }

    /// `[2, C, P, d]` and the mean loss over all that a stream remembers.
    fn mean_gradient(&self, stream: usize) -> (Tensor, f64) {
        let held: Vec<i64> = (0..)
            .zip(self.bank.of(stream))
            .filter_map(|(i, e)| e.map(|_| i))
            .collect();
        let entries = self.bank.of(stream).iter().flatten();
        let loss = entries.map(|e| f64::from(e.loss)).sum::<f64>() / held.len().max(1) as f64;
        let index = Tensor::from_slice(&held).to_device(self.bank.rows.device());
        let mean = match &self.gradients {
            Some(all) => {
                all.get(stream as i64)
                    .index_select(0, &index)
                    .mean_dim([0i64].as_slice(), false, Kind::Float)
            }
            None => self.moving.values().get(stream as i64).zeros_like(),
        };
        (mean, loss)
    }

    /// Keeps hold of the buffers that training mode moves; puts back those of a snapshot.
    fn follow_buffers(&mut self, model: &dyn Aligner) {
        let own: NamedTensors = model
            .state()
            .into_iter()
            .filter(|(name, _)| name.contains("running_"))
            .collect();
        for (name, tensor) in &own {
            let saved = self.buffers.get(name).filter(|s| s.size() == tensor.size());
            if let Some(saved) = saved.filter(|s| s.data_ptr() != tensor.data_ptr()) {
                tensor.shallow_clone().copy_(saved);
            }
        }
        self.buffers = own;
    }

    fn snapshot(&self) -> NamedTensors {
        let mut state = NamedTensors::new();
        self.moving.snapshot(&mut state);
        self.bank.snapshot(&mut state);
        if let Some(gradients) = &self.gradients {
            state.insert("gradients".into(), gradients.copy());
        }
        for (name, tensor) in &self.buffers {
            state.insert(format!("buffer/{name}"), tensor.copy());
        }
        let mut counts: Vec<i64> = self.predicted.iter().map(|n| n.cast_signed()).collect();
        counts.extend([self.seen.cast_signed(), i64::from(self.training)]);
        counts.extend(self.since.iter().map(|n| n.cast_signed()));
        if self.soft {
            state.insert("targets".into(), self.targets.copy());
        }
        let balances: Vec<f64> = self.balances.iter().flat_map(Balance::numbers).collect();
        state.insert("balances".into(), Tensor::from_slice(&balances));
        state.insert("counts".into(), Tensor::from_slice(&counts));
        state.insert("confidence".into(), Tensor::from_slice(&[self.confidence]));
        state
    }

    fn restore(&mut self, state: &NamedTensors) -> Result<()> {
        let get = |name: &str| -> Result<&Tensor> {
            state
                .get(name)
                .ok_or_else(|| Error::Missing(format!("`{name}` in the snapshot")))
        };
        let counts = host::to_i64(get("counts")?)?;
        let classes = self.predicted.len();
        let streams = self.since.len();
        shape::expect("counts", get("counts")?, [Some((classes + 2 + streams) as i64)])?;
        let balances = Vec::<f64>::try_from(get("balances")?)?;
        let each = balances.len() / self.balances.len().max(1);
        for (balance, own) in self.balances.iter_mut().zip(balances.chunks(each.max(1))) {
            balance.set_numbers(own)?;
        }
        if self.soft {
            if get("targets")?.size() != self.targets.size() {
                return Err(Error::Missing(
                    "targets of the right shape in the snapshot".into(),
                ));
            }
            self.targets.copy_(get("targets")?);
        }
        self.moving.restore(state)?;
        self.bank.restore(state)?;
        if let Some(gradients) = &mut self.gradients {
            if get("gradients")?.size() != gradients.size() {
                return Err(Error::Missing(
                    "gradients of the right shape in the snapshot".into(),
                ));
            }
            gradients.copy_(get("gradients")?);
        }
        let buffers = state
            .iter()
            .filter_map(|(n, t)| Some((n.strip_prefix("buffer/")?.to_owned(), t.copy())));
        self.buffers = buffers.collect();
        self.predicted = counts[..classes].iter().map(|n| n.unsigned_abs()).collect();
        self.seen = counts[classes].unsigned_abs();
        self.training = counts[classes + 1] == 1;
        self.since = counts[classes + 2..].iter().map(|n| n.unsigned_abs()).collect();
        self.confidence = get("confidence")?.double_value(&[0]);
        Ok(())
    }

    fn bytes(&self) -> u64 {
        let gradients = self.gradients.as_ref().map_or(0, |g| g.numel() as u64 * 4);
        let balances: u64 = self.balances.iter().map(Balance::bytes).sum();
        self.moving.bytes() + self.bank.bytes() + gradients + self.targets.numel() as u64 * 4 + balances
    }
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

impl DynaPurls {
    fn released_by_stream(
        &mut self,
        rows: &Tensor,
        seen: &Observation,
        model: &dyn Aligner,
    ) -> Result<Tensor> {
        let mut streams: Vec<usize> = seen.samples.iter().map(|s| s.stream).collect();
        streams.sort_unstable();
        streams.dedup();
        if streams.len() == 1 {
            return self.as_released(rows, seen, model);
        }
        let out = Tensor::zeros_like(&seen.scores.logits);
        for stream in streams {
            let own: Vec<usize> = (0..seen.samples.len())
                .filter(|i| seen.samples[*i].stream == stream)
                .collect();
            let index: Vec<i64> = own.iter().map(|i| *i as i64).collect();
            let index = Tensor::from_slice(&index).to_device(rows.device());
            let samples: Vec<SampleRef> = own.iter().map(|i| seen.samples[*i]).collect();
            let features = seen.features.select(&index);
            let scores = Scores {
                logits: seen.scores.logits.index_select(0, &index),
            };
            let oracle = seen
                .oracle
                .map(|o| szar_core::OracleLabels(o.0.index_select(0, &index)));
            let part = Observation {
                oracle: oracle.as_ref(),
                ..Observation::new(&features, &scores, &samples)
            };
            let logits = self.as_released(&rows.index_select(0, &index), &part, model)?;
            let _ = out.shallow_clone().index_copy_(0, &index, &logits);
        }
        Ok(out)
    }
}
