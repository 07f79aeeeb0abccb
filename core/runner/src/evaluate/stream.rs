//! Plays a test stream: scores batch by batch, lets the adapters predict and update, keeps both.

use std::ops::Range;
use std::time::{Duration, Instant};

use rand::seq::SliceRandom;
use szar_core::config::{Stream, StreamOrder as Order};
use szar_core::{
    AdapterConfig, BuildContext, Cancel, ClassList, FeatureMap, OracleLabels, Progress, PromptTower, Result,
    SemanticAnchors, SkeletonEncoder,
};
use szar_data::store::SkeletonStore;
use tch::{Device, Kind, Tensor, no_grad};

use super::Model;
use super::chain::Trace;
use super::saved::Saves;
use crate::features::Features;
use crate::report::AdapterReport;

/// Everything a stream needs besides its samples and candidates.
pub struct Streaming<'a> {
    /// Aligner and anchors.
    pub model: Model<'a>,
    /// The chain of adapters.
    pub adapters: &'a [Box<dyn AdapterConfig>],
    /// Order, batch size and number of streams.
    pub options: &'a Stream,
    /// Where and with which seed.
    pub ctx: &'a BuildContext,
    /// The skeleton of the features.
    pub layout: std::sync::Arc<szar_core::SkeletonLayout>,
    /// Form of the encoder's features.
    pub spec: szar_core::EncoderSpec,
    /// All sequences and the encoder, where an adapter asks for them.
    pub skeletons: Option<(&'a SkeletonStore, &'a dyn SkeletonEncoder)>,
    /// Where unfinished streams are kept.
    pub saves: Saves,
    /// Where progress goes.
    pub progress: &'a dyn Progress,
    /// When to stop.
    pub cancel: &'a Cancel,
}

/// The samples of a stream, in the order of the store, and what they are told apart by.
pub struct Setting<'a> {
    /// `zsl` or `gzsl`.
    pub name: &'static str,
    /// Features of the samples.
    pub features: Features,
    /// Row of the store that holds the first sample.
    pub first: usize,
    /// Names of the samples.
    pub names: Vec<&'a str>,
    /// The candidates.
    pub candidates: &'a ClassList,
    /// Which of them are seen classes.
    pub seen: Vec<bool>,
    /// Column of the true class of each sample. Reaches only aligners whose capabilities say `oracle_labels`, adapters whose
    /// marks say the same on top of them, and the choice among published test-tuned variants.
    pub labels: Vec<i64>,
    /// Set where an adapter asks for prompts.
    pub prompts: Option<&'a dyn PromptTower>,
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
    /// What else they leave.
    pub trace: Trace,
    /// Time of aligner and adapters.
    pub clock: Clock,
}

impl Played {
    /// Logits that count: with adapters where there are any.
    pub fn last(&self) -> &Tensor {
        self.after.as_ref().unwrap_or(&self.before)
    }
}

/// Time spent inside the components while a stream was played.
#[derive(Clone, Copy, Debug, Default)]
pub struct Clock {
    /// In the aligner.
    pub scoring: Duration,
    /// In the adapters.
    pub adapting: Duration,
    /// Samples that went through an adapter, counted once per adapter.
    pub adapted: usize,
}

impl Streaming<'_> {
    /// Plays a stream, or goes on with one that was stopped. Rows that are not finite count as no answer: all logits 0.
    ///
    /// # Errors
    /// When a component refuses, a saved stream does not fit, or the user stops.
    pub fn play(&self, setting: &Setting) -> Result<Played> {
        let order = self.order(setting.name, setting.labels.len());
        let index = Tensor::from_slice(&order.iter().map(|r| *r as i64).collect::<Vec<_>>());
        let track = Track {
            streaming: self,
            setting,
            anchors: self.model.anchors.for_classes(setting.candidates)?,
            index: index.to_device(self.ctx.device),
            labels: order.iter().map(|r| setting.labels[*r]).collect(),
            order,
        };
        let mut clock = Clock::default();
        let before = track.score(&mut clock)?;
        let (after, adapters, trace) = track.adapt(&before, &mut clock)?;
        Ok(Played {
            before: answers(&before),
            after: after.map(|logits| answers(&logits)),
            order: track.order,
            adapters,
            trace,
            clock,
        })
    }

    fn order(&self, what: &str, count: usize) -> Vec<usize> {
        let mut order: Vec<usize> = (0..count).collect();
        if self.options.order == Order::Shuffled {
            order.shuffle(&mut self.ctx.seed.derive(&format!("stream/{what}"), 0).rng());
        }
        order
    }
}

/// Rows with a value that is not finite become zeros, which answer nothing.
fn answers(logits: &Tensor) -> Tensor {
    let finite = logits.isfinite().all_dim(1, true);
    logits.where_self(&finite, &logits.zeros_like())
}

/// A stream being played: a setting in stream order.
pub(super) struct Track<'a> {
    pub(super) streaming: &'a Streaming<'a>,
    pub(super) setting: &'a Setting<'a>,
    /// Anchors of the candidates.
    pub(super) anchors: SemanticAnchors,
    /// Row of the features at each position.
    pub(super) order: Vec<usize>,
    /// The same on the device.
    index: Tensor,
    /// True column at each position.
    pub(super) labels: Vec<i64>,
}

impl Track<'_> {
    /// The positions of each step.
    pub(super) fn batches(&self) -> impl Iterator<Item = Range<usize>> + use<> {
        let (batch, count) = (self.streaming.options.batch.max(1), self.order.len());
        (0..count)
            .step_by(batch)
            .map(move |start| start..(start + batch).min(count))
    }

    /// Features at some positions; not copied where they stand side by side.
    pub(super) fn features(&self, at: &Range<usize>) -> FeatureMap {
        let rows = &self.order[at.clone()];
        let first = rows.first().copied().unwrap_or(0);
        if rows.iter().copied().eq(first..first + rows.len()) {
            return self.setting.features.map.narrow(first as i64, at.len() as i64);
        }
        let index = self.index.narrow(0, at.start as i64, at.len() as i64);
        self.setting.features.map.select(&index)
    }

    /// True columns at some positions.
    pub(super) fn oracle(&self, at: &Range<usize>) -> OracleLabels {
        let labels = Tensor::from_slice(&self.labels[at.clone()]);
        OracleLabels(labels.to_device(self.streaming.ctx.device))
    }

    fn score(&self, clock: &mut Clock) -> Result<Tensor> {
        let (streaming, aligner) = (self.streaming, self.streaming.model.aligner);
        let oracle = aligner.capabilities().oracle_labels;
        let (count, classes) = (self.order.len(), self.setting.candidates.len() as i64);
        let all = Tensor::empty([count as i64, classes], (Kind::Float, streaming.ctx.device));
        streaming
            .progress
            .begin(&format!("{}: scores", self.setting.name), count as u64);
        for at in self.batches() {
            streaming.cancel.check()?;
            let features = self.features(&at);
            let truth = oracle.then(|| self.oracle(&at));
            let started = Instant::now();
            let scores = no_grad(|| match &truth {
                None => aligner.score(&features, &self.anchors),
                Some(truth) => aligner.score_with_labels(&features, &self.anchors, truth),
            })?;
            clock.scoring += started.elapsed();
            let (start, len) = (at.start as i64, at.len() as i64);
            szar_core::shape::expect("aligner scores", &scores.logits, [Some(len), Some(classes)])?;
            all.narrow(0, start, len).copy_(&scores.logits);
            streaming.progress.advance(at.end as u64, "");
        }
        let started = Instant::now();
        synchronise(streaming.ctx.device);
        clock.scoring += started.elapsed();
        streaming.progress.end();
        Ok(all)
    }
}

/// Waits for an accelerator, so that its time is counted where it is spent.
pub(super) fn synchronise(device: Device) {
    if let Device::Cuda(index) = device {
        tch::Cuda::synchronize(index as i64);
    }
}

#[cfg(test)]
mod tests;
