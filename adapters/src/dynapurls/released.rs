//! The released code's way: batches that are adapted to and then predicted, with the gradients that remembered samples had
//! when they came, perhaps in training mode.

use szar_core::{Aligner, NamedTensors, Observation, OracleLabels, Result, SampleRef, Scores, host};
use tch::{Kind, Tensor, no_grad};

use super::Order;
use super::adapter::{DynaPurls, Update};
use super::bank::Entry;
use super::judged::Judged;
use super::state::State;

impl DynaPurls {
    pub(super) fn released_by_stream(
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
            let oracle = seen.oracle.map(|o| OracleLabels(o.0.index_select(0, &index)));
            let part = Observation {
                oracle: oracle.as_ref(),
                ..Observation::new(&features, &scores, &samples)
            };
            let logits = self.as_released(&rows.index_select(0, &index), &part, model)?;
            let _ = out.shallow_clone().index_copy_(0, &index, &logits);
        }
        Ok(out)
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
}

impl State {
    /// Where no true class is known to ask, as published, it is in training mode the one that wins in evaluation mode.
    fn score_published(
        &self,
        rows: &Tensor,
        stream: usize,
        oracle: Option<&Tensor>,
        model: &dyn Aligner,
    ) -> Result<Tensor> {
        let anchors = self.plan.anchors_with(&self.moving.text.get(stream as i64))?;
        no_grad(|| {
            if oracle.is_some() || !self.training {
                return Ok(model.score_asked(rows, &anchors, oracle, self.training)?.logits);
            }
            let winners = model
                .score_asked(rows, &anchors, None, false)?
                .logits
                .argmax(-1, false);
            Ok(model.score_asked(rows, &anchors, Some(&winners), true)?.logits)
        })
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
    pub(super) fn follow_buffers(&mut self, model: &dyn Aligner) {
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
}
