//! The chain of adapters over a stream: each plays the whole stream on the scores of the one before.

use std::ops::Range;
use std::time::Instant;

use szar_core::checkpoint::{NamedTensors, copies, copy_into};
use szar_core::online::{Online, Stepped};
use szar_core::{
    AdapterConfig, Aligner, Error, Observation, Result, SampleRef, Scores, Skeletons, SlotWeights, Task,
};
use tch::{Tensor, no_grad};

use super::argmax;
use super::course::Course;
use super::saved::{Note, Slot};
use super::stream::{Clock, Track, synchronise};
use crate::report::{AdapterReport, Skipped};

impl Track<'_> {
    /// Runs the chain; where an adapter's published protocol picks constants by test accuracy, the best of them.
    pub(super) fn adapt(
        &self,
        before: &Tensor,
        clock: &mut Clock,
    ) -> Result<(Option<Tensor>, Vec<AdapterReport>, Trace)> {
        let mut current = before.shallow_clone();
        let mut reports = Vec::new();
        let mut traces = Trace::default();
        for (place, config) in self.streaming.adapters.iter().enumerate() {
            let variants = config.test_tuned_variants();
            let mut best: Option<(usize, Tensor, AdapterReport, Trace)> = None;
            for (number, variant) in variants.iter().enumerate() {
                let part = format!("{}-{place}-{number}", self.setting.name);
                let (logits, mut report, trace) =
                    self.one(&part, place, variant.as_ref(), &current, clock)?;
                let answers = argmax(&logits);
                let right = answers.iter().zip(&self.labels).filter(|(a, b)| a == b).count();
                report.test_tuned = serde_json::to_value(variant).ok();
                if best.as_ref().is_none_or(|(most, ..)| right > *most) {
                    best = Some((right, logits, report, trace));
                }
            }
            let (logits, report, trace) = match best {
                Some((_, logits, report, trace)) => (logits, report, trace),
                None => {
                    let part = format!("{}-{place}", self.setting.name);
                    self.one(&part, place, config.as_ref(), &current, clock)?
                }
            };
            current = logits;
            reports.push(report);
            traces.update(trace);
        }
        Ok(((!reports.is_empty()).then_some(current), reports, traces))
    }

    fn one(
        &self,
        part: &str,
        place: usize,
        config: &dyn AdapterConfig,
        incoming: &Tensor,
        clock: &mut Clock,
    ) -> Result<(Tensor, AdapterReport, Trace)> {
        let aligner = self.streaming.model.aligner;
        let kept = config.disturbs_aligner().then(|| copies(&aligner.state()));
        let result = self.play(part, place, config, incoming, clock, kept.is_some());
        if let Some(kept) = kept {
            copy_into(&aligner.state(), &kept, |_| false)?;
        }
        result
    }

    fn play(
        &self,
        part: &str,
        place: usize,
        config: &dyn AdapterConfig,
        incoming: &Tensor,
        clock: &mut Clock,
        disturbs: bool,
    ) -> Result<(Tensor, AdapterReport, Trace)> {
        let name = format!("{}: {}", self.setting.name, config.typetag_name());
        let task = self.task(place)?;
        task.seed.apply();
        let mut run = Run {
            track: self,
            sees_labels: sees_labels(config, self.streaming.model.aligner),
            online: Online::begin(config, self.streaming.ctx, &task)?,
            config,
            task,
            logits: incoming.copy(),
            note: Note::default(),
            course: Course::new(self),
            slot: self.streaming.saves.slot(part, self.order.len()),
            disturbs,
        };
        if let Some(report) = run.resume()? {
            let trace = Trace::of(&run.online);
            return Ok((run.logits, report, trace));
        }
        self.streaming.progress.begin(&name, self.order.len() as u64);
        run.stream(incoming, clock)?;
        let started = Instant::now();
        let second_pass = run.online.wants_second_pass();
        if second_pass {
            run.second_pass(incoming)?;
        }
        synchronise(self.streaming.ctx.device);
        clock.adapting += started.elapsed();
        self.streaming.progress.end();
        let report = run.report(incoming, second_pass);
        run.keep_finished(&report)?;
        let trace = Trace::of(&run.online);
        Ok((run.logits, report, trace))
    }

    fn task(&self, place: usize) -> Result<Task> {
        let streaming = self.streaming;
        Ok(Task {
            candidates: self.setting.candidates.clone(),
            seen: self.setting.seen.clone(),
            anchors: self.anchors.with_values(self.anchors.values.shallow_clone())?,
            features: streaming.spec,
            layout: std::sync::Arc::clone(&streaming.layout),
            device: streaming.ctx.device,
            seed: streaming.ctx.seed.derive("adapter", place as u64),
            streams: streaming.options.streams,
            expected: self.order.len() as u64,
        })
    }

    /// Sample `i` of all is of stream `i % S`.
    fn samples(&self, at: &Range<usize>) -> Vec<SampleRef> {
        let streams = self.streaming.options.streams.max(1);
        let sample = |position: usize| SampleRef {
            stream: position % streams,
            position: position as u64,
        };
        at.clone().map(sample).collect()
    }
}

/// What adapters leave behind besides their scores, for the record of a run.
#[derive(Debug, Default)]
pub struct Trace {
    /// `[S, C, G, d]`, the anchors as the last adapter that moves them left them.
    pub anchors: Option<Tensor>,
    /// Of the last adapter that weighs parts.
    pub weights: Option<SlotWeights>,
}

impl Trace {
    fn of(online: &Online) -> Self {
        Self {
            anchors: online.moved_anchors(),
            weights: online.slot_weights(),
        }
    }

    /// Takes over what a later adapter left.
    fn update(&mut self, later: Self) {
        self.anchors = later.anchors.or_else(|| self.anchors.take());
        self.weights = later.weights.or_else(|| self.weights.take());
    }
}

/// Labels reach an adapter only where it and the aligner both say that they use them, and the report says so too.
fn sees_labels(config: &dyn AdapterConfig, aligner: &dyn Aligner) -> bool {
    aligner.capabilities().oracle_labels && config.marks().iter().any(|mark| mark.uses_test_labels)
}

/// One adapter on its way through the stream.
struct Run<'a> {
    track: &'a Track<'a>,
    config: &'a dyn AdapterConfig,
    task: Task,
    online: Online,
    /// `[n, C]`: the scores that come in, replaced by those that go out as far as the stream was played.
    logits: Tensor,
    note: Note,
    course: Course<'a>,
    slot: Slot,
    sees_labels: bool,
    disturbs: bool,
}

impl Run<'_> {
    /// Takes over what was saved; the report when the adapter was through.
    fn resume(&mut self) -> Result<Option<AdapterReport>> {
        let device = self.track.streaming.ctx.device;
        let Some(saved) = self.slot.load(device)? else {
            return Ok(None);
        };
        self.slot.fits(self.online.restore(&saved.snapshot))?;
        if self.disturbs {
            let state = self.track.streaming.model.aligner.state();
            self.slot.fits(copy_into(&state, &saved.aligner, |_| false))?;
        }
        let (count, classes) = (saved.note.position as i64, self.logits.size()[1]);
        self.slot.fits(szar_core::shape::expect(
            "logits",
            &saved.logits,
            [Some(count), Some(classes)],
        ))?;
        self.logits.narrow(0, 0, count).copy_(&saved.logits);
        self.course.segments = saved.note.course.clone();
        self.note = saved.note;
        tracing::info!(
            adapter = self.config.typetag_name(),
            position = count,
            "goes on inside its stream"
        );
        Ok(self.note.finished.take())
    }

    fn stream(&mut self, incoming: &Tensor, clock: &mut Clock) -> Result<()> {
        let first = self.note.position;
        for at in self.track.batches().filter(|at| at.start >= first) {
            if self.track.streaming.cancel.requested() {
                self.save(None)?;
                return Err(Error::Cancelled);
            }
            if self.slot.is_due() {
                self.save(None)?;
            }
            let stepped = self.step(incoming, &at, Some(clock))?;
            self.skip(&stepped, &at);
            self.note.position = at.end;
            clock.adapted += at.len();
            self.course.note(at.end, &self.online)?;
            self.track.streaming.progress.advance(at.end as u64, "");
        }
        Ok(())
    }

    fn second_pass(&mut self, incoming: &Tensor) -> Result<()> {
        for at in self.track.batches() {
            if self.track.streaming.cancel.requested() {
                self.save(None)?;
                return Err(Error::Cancelled);
            }
            self.step(incoming, &at, None)?;
        }
        Ok(())
    }

    /// One step, or with no clock a second look.
    fn step(&mut self, incoming: &Tensor, at: &Range<usize>, clock: Option<&mut Clock>) -> Result<Stepped> {
        let (track, streaming) = (self.track, self.track.streaming);
        let (start, len) = (at.start as i64, at.len() as i64);
        let features = track.features(at);
        let scores = Scores {
            logits: incoming.narrow(0, start, len),
        };
        let samples = track.samples(at);
        let needs = self.config.requirements();
        let rows = || -> Vec<usize> {
            let rows = track.order[at.clone()].iter();
            rows.map(|row| row + track.setting.first).collect()
        };
        let skeletons = streaming.skeletons.filter(|_| needs.skeletons.is_some());
        let batch = skeletons
            .map(|(store, _)| store.batch(&rows(), streaming.ctx.device))
            .transpose()?;
        let oracle = self.sees_labels.then(|| track.oracle(at));
        let seen = Observation {
            skeletons: batch
                .as_ref()
                .zip(skeletons)
                .map(|(batch, (_, encoder))| Skeletons { batch, encoder }),
            prompts: track.setting.prompts.filter(|_| needs.prompts.is_some()),
            oracle: oracle.as_ref(),
            ..Observation::new(&features, &scores, &samples)
        };
        // What is drawn in a step depends on its place alone, so that a stream that goes on draws the same.
        self.task.seed.derive("step", at.start as u64).apply();
        let aligner = streaming.model.aligner;
        let started = Instant::now();
        let stepped = match clock {
            Some(clock) => {
                let stepped = no_grad(|| self.online.step(&seen, aligner));
                clock.adapting += started.elapsed();
                stepped
            }
            None => no_grad(|| self.online.rescore(&seen, aligner)),
        }?;
        self.logits.narrow(0, start, len).copy_(&stepped.scores.logits);
        Ok(stepped)
    }

    fn skip(&mut self, stepped: &Stepped, at: &Range<usize>) {
        let names = &self.track.setting.names;
        for row in &stepped.skipped {
            let position = at.start + row;
            let sample = names[self.track.order[position]].to_owned();
            let adapter = self.config.typetag_name();
            tracing::warn!(
                adapter,
                position,
                sample,
                "skipped: its features or scores are not finite"
            );
            self.note.skipped.push(Skipped { position, sample });
        }
    }

    fn report(&mut self, incoming: &Tensor, second_pass: bool) -> AdapterReport {
        AdapterReport {
            component: self.config.typetag_name().to_owned(),
            second_pass,
            test_tuned: None,
            state_bytes: self.online.state_bytes(),
            diagnostics: self.online.diagnostics(),
            skipped: std::mem::take(&mut self.note.skipped),
            course: self.course.finish(incoming, &self.logits),
        }
    }

    fn save(&mut self, finished: Option<&AdapterReport>) -> Result<()> {
        self.note.course.clone_from(&self.course.segments);
        self.note.finished = finished.cloned();
        let aligner = match self.disturbs {
            true => self.track.streaming.model.aligner.state(),
            false => NamedTensors::new(),
        };
        let logits = self.logits.narrow(0, 0, self.note.position as i64);
        self.slot
            .save(self.online.snapshot()?, &logits, &aligner, &self.note)
    }

    /// A stream that took long is not played again when a later one is stopped.
    fn keep_finished(&mut self, report: &AdapterReport) -> Result<()> {
        if self.slot.took_long() {
            self.save(Some(report))?;
        }
        Ok(())
    }
}
