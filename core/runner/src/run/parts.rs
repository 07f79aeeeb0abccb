//! The two parts of a run that are trained.

use std::path::PathBuf;

use szar_core::checkpoint::NamedTensors;
use szar_core::{Aligner, FitSummary, Result, SeenFeatures, SemanticAnchors, SkeletonEncoder};

use super::Session;
use crate::data::SeenPart;
use crate::train::Trainable;

pub(super) struct EncoderPart<'a, 'b> {
    pub(super) encoder: &'a mut dyn SkeletonEncoder,
    pub(super) train: &'a SeenPart<'a>,
    pub(super) validation: &'a SeenPart<'a>,
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
        let mut ctx = self.session.fit_context("encoder", checkpoint);
        self.encoder.fit(self.train, self.validation, &mut ctx)
    }
}

pub(super) struct AlignerPart<'a, 'b> {
    pub(super) aligner: &'a mut dyn Aligner,
    pub(super) seen: &'a SeenFeatures,
    pub(super) anchors: &'a SemanticAnchors,
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
        let mut ctx = self.session.fit_context("aligner", checkpoint);
        self.aligner.fit(self.seen, self.anchors, &mut ctx)
    }
}
