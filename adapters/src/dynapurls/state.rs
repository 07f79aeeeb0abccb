//! What lives from the first sample of a stream on.

use szar_core::{Aligner, Error, Granularity, NamedTensors, Result, SampleRef, host, shape};
use tch::{Kind, Tensor};

use super::adapter::Begun;
use super::bank::Bank;
use super::choices::Behaviour;
use super::fused::Rule;
use super::gradient::{Batch, Plan, View};
use super::moving::Moving;
use super::{DynaPurlsConfig, Targets};
use crate::balance::Balance;

/// What lives from the first step on.
#[derive(Debug)]
pub(super) struct State {
    pub plan: Plan,
    pub moving: Moving,
    pub bank: Bank,
    /// `[C·K, C]`, the pseudo-label of each row of the bank; with soft targets `[S, C·K, C]`.
    pub targets: Tensor,
    pub soft: bool,
    /// One per stream; none where logits are not balanced.
    pub balances: Vec<Balance>,
    /// Samples per stream.
    pub since: Vec<u64>,
    /// `[S, C·K, 2, C, P, d]`: gradients that remembered samples had (`stale`).
    pub gradients: Option<Tensor>,
    /// Has training mode begun (`train_mode`)?
    pub training: bool,
    /// The aligner's buffers, which training mode moves; handles share their memory.
    pub buffers: NamedTensors,
    /// Samples by predicted class.
    pub predicted: Vec<u64>,
    pub seen: u64,
    pub confidence: f64,
}

impl State {
    pub(super) fn new(
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
        let linear = model.linear(&anchors)?;
        Ok(Self {
            plan: Plan::new(anchors, refined, linear),
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
    pub(super) fn score(&self, rows: &Tensor, samples: &[SampleRef], model: &dyn Aligner) -> Result<Tensor> {
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

    /// How the logits of these streams become posteriors now.
    pub(super) fn view(&self, streams: &[usize], temperature: f64) -> View {
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

    pub(super) fn through_graph(
        &self,
        stream: usize,
        weights: &[f32],
        temperature: f64,
        model: &dyn Aligner,
    ) -> Result<(Tensor, Tensor)> {
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

    pub(super) fn snapshot(&self) -> NamedTensors {
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

    pub(super) fn restore(&mut self, state: &NamedTensors) -> Result<()> {
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

    pub(super) fn bytes(&self) -> u64 {
        let gradients = self.gradients.as_ref().map_or(0, |g| g.numel() as u64 * 4);
        let balances: u64 = self.balances.iter().map(Balance::bytes).sum();
        self.moving.bytes() + self.bank.bytes() + gradients + self.targets.numel() as u64 * 4 + balances
    }
}
