//! From scores to what is remembered, and from that to a step of the anchors.

use std::collections::BTreeMap;

use szar_core::{Aligner, Error, Result, SampleRef, host};
use tch::{Kind, Tensor};

use super::adapter::{DynaPurls, Update};
use super::bank::Entry;
use super::gradient::Batch;
use super::judged::{Judged, soften};
use super::{Granule, Order};

/// Some samples as they were judged.
struct Lessons {
    /// `[n, C]`, the answer.
    logits: Tensor,
    judged: Vec<Judged>,
    /// `[n, C]`, soft targets; empty where they are hard.
    targets: Vec<f32>,
}

impl DynaPurls {
    /// Sample by sample; samples of different streams go together.
    pub(super) fn by_sample(
        &mut self,
        rows: &Tensor,
        samples: &[SampleRef],
        model: &dyn Aligner,
    ) -> Result<Tensor> {
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
    pub(super) fn fixed(&self, rows: &Tensor, model: &dyn Aligner) -> Result<Option<Tensor>> {
        let state = self.state()?;
        if !state.soft && state.balances.is_empty() {
            return Ok(None);
        }
        Ok(Some(model.score_condensed(rows, &state.plan.anchors)?.logits))
    }

    /// All samples with the anchors as they are, then one update per stream.
    pub(super) fn together(
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
        Ok(host::tensor(&values, &again.size()).to_device(again.device()))
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
            host::tensor(&values, &logits.size()).to_device(logits.device())
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
                (gradient, losses)
            }
            None => {
                let mut all = (Vec::new(), Vec::new());
                for (stream, weights) in streams.iter().zip(weights.chunks_exact(block)) {
                    let (gradient, loss) = state.through_graph(*stream, weights, temperature, model)?;
                    all.0.push(gradient);
                    all.1.push(loss);
                }
                (Tensor::stack(&all.0, 0), Some(Tensor::stack(&all.1, 0)))
            }
        };
        self.apply(ready, &gradients, losses.as_ref());
        Ok(())
    }

    fn apply(&mut self, ready: &[(usize, u64)], gradients: &Tensor, losses: Option<&Tensor>) {
        for (i, (stream, position)) in ready.iter().enumerate() {
            let updates = self.state.as_ref().map_or(0, |s| s.moving.updates[*stream]);
            let lr = self.learning_rate(updates);
            if let Some(state) = &mut self.state {
                state.moving.step(*stream, &gradients.get(i as i64), lr);
            }
            if let Some(trace) = &mut self.trace {
                let loss = losses.map_or(f64::NAN, |l| l.double_value(&[i as i64]));
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
                self.apply(
                    &[(stream, position)],
                    &gradient.unsqueeze(0),
                    Some(&loss.unsqueeze(0)),
                );
            }
        }
        Ok(())
    }
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
