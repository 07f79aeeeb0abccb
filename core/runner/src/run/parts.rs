//! The two parts of a run that are trained.

use std::path::PathBuf;

use szar_core::checkpoint::NamedTensors;
use szar_core::{
    Aligner, FeatureMap, FitSummary, Progress, Result, SeenFeatures, SeenMotion, SeenSkeletons,
    SemanticAnchors, SkeletonBatch, SkeletonEncoder,
};
use tch::no_grad;

use super::Session;
use super::training::Purpose;
use crate::data::SeenPart;
use crate::train::Trainable;

pub(super) struct EncoderPart<'a, 'b> {
    pub(super) encoder: &'a mut dyn SkeletonEncoder,
    pub(super) train: &'a SeenPart<'a>,
    pub(super) validation: &'a SeenPart<'a>,
    pub(super) purpose: Purpose,
    pub(super) session: &'a Session<'b>,
}

impl Trainable for EncoderPart<'_, '_> {
    fn load(&mut self, state: &NamedTensors) -> Result<()> {
        self.encoder.load_state(state)
    }

    fn state(&self) -> NamedTensors {
        self.encoder.state()
    }

    fn fit(&mut self, checkpoint: PathBuf) -> Result<FitSummary> {
        let progress = self.session.progress(self.purpose);
        let mut ctx = self.session.fit_context("encoder", checkpoint, &progress);
        self.encoder.fit(self.train, self.validation, &mut ctx)
    }
}

/// The training samples' skeletons, encoded as their features were.
pub(super) struct Motion<'a> {
    pub(super) skeletons: &'a SeenPart<'a>,
    pub(super) encoder: &'a dyn SkeletonEncoder,
    pub(super) pooled: bool,
}

impl SeenMotion for Motion<'_> {
    fn skeletons(&self, rows: &[usize]) -> Result<SkeletonBatch> {
        self.skeletons.batch(rows)
    }

    fn encode(&self, batch: &SkeletonBatch) -> Result<FeatureMap> {
        let features = no_grad(|| self.encoder.encode(batch))?.features;
        if self.pooled {
            return FeatureMap::from_pooled(&features.pooled());
        }
        Ok(features)
    }
}

pub(super) struct AlignerPart<'a, 'b> {
    pub(super) aligner: &'a mut dyn Aligner,
    pub(super) seen: &'a SeenFeatures,
    pub(super) anchors: &'a SemanticAnchors,
    /// `None` where there are only features.
    pub(super) motion: Option<&'a Motion<'a>>,
    pub(super) purpose: Purpose,
    pub(super) session: &'a Session<'b>,
}

impl Trainable for AlignerPart<'_, '_> {
    fn load(&mut self, state: &NamedTensors) -> Result<()> {
        self.aligner.load_state(state)
    }

    fn state(&self) -> NamedTensors {
        self.aligner.state()
    }

    fn fit(&mut self, checkpoint: PathBuf) -> Result<FitSummary> {
        let progress = self.session.progress(self.purpose);
        let mut ctx = self.session.fit_context("aligner", checkpoint, &progress);
        if self.aligner.capabilities().skeletons {
            ctx.motion = self.motion.map(|motion| motion as &dyn SeenMotion);
        }
        self.aligner.fit(self.seen, self.anchors, &mut ctx)
    }
}

/// Progress whose stages say what they are for.
pub(super) struct Named<'a> {
    pub(super) purpose: Purpose,
    pub(super) inner: &'a dyn Progress,
}

impl Progress for Named<'_> {
    fn begin(&self, stage: &str, total: u64) {
        self.inner.begin(&self.purpose.stage(stage), total);
    }

    fn advance(&self, done: u64, note: &str) {
        self.inner.advance(done, note);
    }

    fn end(&self) {
        self.inner.end();
    }
}
