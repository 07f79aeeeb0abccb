//! Plays a test stream: scores batch by batch, lets the adapters predict and update, keeps both.

use std::time::{Duration, Instant};

use rand::seq::SliceRandom;
use szar_core::config::{Stream, StreamOrder as Order};
use szar_core::{
    AdapterConfig, BuildContext, Cancel, ClassList, FeatureMap, Observation, OracleLabels, Progress, Result,
    Scores, Task, TestTimeAdapter,
};
use tch::{Device, Kind, Tensor, no_grad};

use super::{Model, argmax};
use crate::extract::Features;
use crate::report::AdapterReport;

/// Everything a stream needs besides its candidates.
pub struct Streaming<'a> {
    /// Aligner and anchors.
    pub model: Model<'a>,
    /// The chain of adapters.
    pub adapters: &'a [Box<dyn AdapterConfig>],
    /// Order and batch size.
    pub options: &'a Stream,
    /// Where and with which seed.
    pub ctx: &'a BuildContext,
    /// The skeleton of the features.
    pub layout: std::sync::Arc<szar_core::SkeletonLayout>,
    /// Form of the encoder's features.
    pub spec: szar_core::EncoderSpec,
    /// Where progress goes.
    pub progress: &'a dyn Progress,
    /// When to stop.
    pub cancel: &'a Cancel,
}

/// A stream that was played. Rows are in stream order.
pub struct Played {
    /// Row of the features at each position of the stream.
    pub order: Vec<usize>,
    /// `[n, C]` without adapters.
    pub before: Tensor,
    /// `[n, C]` with adapters; `None` when there is none.
    pub after: Option<Tensor>,
    /// The adapters.
    pub adapters: Vec<AdapterReport>,
    /// Time of the aligner.
    pub scoring: Duration,
    /// Time of the adapters.
    pub adapting: Duration,
}

impl Played {
    /// Logits that count: with adapters where there are any.
    pub fn last(&self) -> &Tensor {
        self.after.as_ref().unwrap_or(&self.before)
    }
}

impl Streaming<'_> {
    /// Plays the samples `features` with these candidates. `labels` are candidate columns of the rows; they reach only aligners whose
    /// capabilities say `oracle_labels` and the choice among published test-tuned variants.
    ///
    /// # Errors
    /// When a component refuses, or the user stops.
    pub fn play(
        &self,
        what: &str,
        features: &Features,
        candidates: &ClassList,
        labels: &[i64],
    ) -> Result<Played> {
        let order = self.order(what, labels.len());
        let index = Tensor::from_slice(&order.iter().map(|r| *r as i64).collect::<Vec<_>>());
        let index = index.to_device(self.ctx.device);
        let ordered: Vec<i64> = order.iter().map(|r| labels[*r]).collect();
        let started = Instant::now();
        let before = self.score(what, features, candidates, &index, &ordered)?;
        synchronise(self.ctx.device);
        let scoring = started.elapsed();
        let started = Instant::now();
        let (after, adapters) = self.adapt(what, features, candidates, &index, &before, &ordered)?;
        synchronise(self.ctx.device);
        Ok(Played {
            order,
            before,
            after,
            adapters,
            scoring,
            adapting: started.elapsed(),
        })
    }

    fn order(&self, what: &str, count: usize) -> Vec<usize> {
        let mut order: Vec<usize> = (0..count).collect();
        if self.options.order == Order::Shuffled {
            order.shuffle(&mut self.ctx.seed.derive(&format!("stream/{what}"), 0).rng());
        }
        order
    }

    fn batches(&self, count: usize) -> impl Iterator<Item = (i64, i64)> {
        let batch = self.options.batch.max(1);
        (0..count)
            .step_by(batch)
            .map(move |start| (start as i64, batch.min(count - start) as i64))
    }

    fn score(
        &self,
        what: &str,
        features: &Features,
        candidates: &ClassList,
        index: &Tensor,
        labels: &[i64],
    ) -> Result<Tensor> {
        let anchors = self.model.anchors.for_classes(candidates)?;
        let oracle = self.model.aligner.capabilities().oracle_labels;
        let all = Tensor::empty(
            [labels.len() as i64, candidates.len() as i64],
            (Kind::Float, self.ctx.device),
        );
        self.progress
            .begin(&format!("{what}: scores"), labels.len() as u64);
        for (start, len) in self.batches(labels.len()) {
            self.cancel.check()?;
            let batch = features.map.select(&index.narrow(0, start, len));
            let scores = no_grad(|| {
                if !oracle {
                    return self.model.aligner.score(&batch, &anchors);
                }
                let truth = &labels[start as usize..(start + len) as usize];
                let truth = OracleLabels(Tensor::from_slice(truth).to_device(self.ctx.device));
                self.model.aligner.score_with_labels(&batch, &anchors, &truth)
            })?;
            szar_core::shape::expect(
                "aligner scores",
                &scores.logits,
                [Some(len), Some(candidates.len() as i64)],
            )?;
            all.narrow(0, start, len).copy_(&scores.logits);
            self.progress.advance((start + len) as u64, "");
        }
        self.progress.end();
        Ok(all)
    }

    /// Runs the chain; where an adapter's published protocol picks constants by test accuracy, the best of them.
    fn adapt(
        &self,
        what: &str,
        features: &Features,
        candidates: &ClassList,
        index: &Tensor,
        before: &Tensor,
        labels: &[i64],
    ) -> Result<(Option<Tensor>, Vec<AdapterReport>)> {
        let mut current = before.shallow_clone();
        let mut reports = Vec::new();
        for (position, config) in self.adapters.iter().enumerate() {
            let run = |config: &dyn AdapterConfig| {
                let name = format!("{what}: {}", config.typetag_name());
                self.one(&name, position, config, features, candidates, index, &current)
            };
            let variants = config.test_tuned_variants();
            let mut best: Option<(usize, Tensor, AdapterReport)> = None;
            for variant in &variants {
                let (logits, mut report) = run(variant.as_ref())?;
                let right = argmax(&logits).iter().zip(labels).filter(|(a, b)| a == b).count();
                report.test_tuned = serde_json::to_value(variant).ok();
                if best.as_ref().is_none_or(|(most, ..)| right > *most) {
                    best = Some((right, logits, report));
                }
            }
            let (logits, report) = match best {
                Some((_, logits, report)) => (logits, report),
                None => run(config.as_ref())?,
            };
            current = logits;
            reports.push(report);
        }
        Ok(((!reports.is_empty()).then_some(current), reports))
    }

    #[expect(
        clippy::too_many_arguments,
        reason = "private; the stream and its place in the chain"
    )]
    fn one(
        &self,
        name: &str,
        position: usize,
        config: &dyn AdapterConfig,
        features: &Features,
        candidates: &ClassList,
        index: &Tensor,
        incoming: &Tensor,
    ) -> Result<(Tensor, AdapterReport)> {
        let mut adapter = config.build(self.ctx)?;
        adapter.begin(&self.task(candidates, position)?)?;
        let count = incoming.size()[0];
        let all = incoming.empty_like();
        self.progress.begin(name, count as u64);
        for (start, len) in self.batches(count as usize) {
            self.cancel.check()?;
            let batch = features.map.select(&index.narrow(0, start, len));
            let logits = self.step(adapter.as_mut(), &batch, incoming.narrow(0, start, len), start.unsigned_abs(), false)?;
            all.narrow(0, start, len).copy_(&logits);
            self.progress.advance((start + len) as u64, "");
        }
        let second_pass = adapter.wants_second_pass();
        if second_pass {
            for (start, len) in self.batches(count as usize) {
                self.cancel.check()?;
                let batch = features.map.select(&index.narrow(0, start, len));
                let logits = self.step(adapter.as_mut(), &batch, incoming.narrow(0, start, len), start.unsigned_abs(), true)?;
                all.narrow(0, start, len).copy_(&logits);
            }
        }
        self.progress.end();
        let report = AdapterReport {
            component: config.typetag_name().to_owned(),
            second_pass,
            test_tuned: None,
            state_bytes: adapter.state_bytes(),
            diagnostics: adapter.diagnostics(),
        };
        Ok((all, report))
    }

    fn step(
        &self,
        adapter: &mut dyn TestTimeAdapter,
        features: &FeatureMap,
        logits: Tensor,
        first: u64,
        again: bool,
    ) -> Result<Tensor> {
        let shape = logits.size();
        let scores = Scores { logits };
        let samples = szar_core::SampleRef::run(first, shape[0].unsigned_abs() as usize);
        let seen = Observation::new(features, &scores, &samples);
        let step = |adapter: &mut dyn TestTimeAdapter| {
            if again {
                adapter.rescore(&seen, self.model.aligner)
            } else {
                adapter.step(&seen, self.model.aligner)
            }
        };
        let logits = no_grad(|| step(adapter))?.logits;
        szar_core::shape::expect("adapter scores", &logits, [Some(shape[0]), Some(shape[1])])?;
        Ok(logits.detach())
    }

    fn task(&self, candidates: &ClassList, position: usize) -> Result<Task> {
        Ok(Task {
            candidates: candidates.clone(),
            seen: vec![false; candidates.len()],
            anchors: self.model.anchors.for_classes(candidates)?,
            features: self.spec,
            layout: std::sync::Arc::clone(&self.layout),
            device: self.ctx.device,
            seed: self.ctx.seed.derive("adapter", position as u64),
            streams: 1,
            expected: 0,
        })
    }
}

fn synchronise(device: Device) {
    if let Device::Cuda(index) = device {
        tch::Cuda::synchronize(index as i64);
    }
}
