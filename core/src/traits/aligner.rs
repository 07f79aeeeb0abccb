//! Scores features against semantic anchors.

use std::fmt::Debug;

use tch::Tensor;

use crate::checkpoint::NamedTensors;
use crate::component::{BuildContext, Capabilities, EncoderSpec, Mark};
use crate::types::{FeatureMap, Granularity, Scores, SeenFeatures, SemanticAnchors};
use crate::{Error, FitContext, FitSummary, Problems, Result};

/// True labels of test samples, as columns of the candidates `[B]` i64. Only the evaluator makes them, only for
/// aligners whose options ask for the published behaviour by name, and the report is then marked.
#[derive(Debug)]
pub struct OracleLabels(pub Tensor);

/// Scores features against the anchors of any list of classes.
pub trait Aligner: Send {
    /// What it offers and needs.
    fn capabilities(&self) -> Capabilities;

    /// Learns from seen classes. `anchors` are those of the seen classes, rows in the order of the labels' columns.
    ///
    /// # Errors
    /// [`Error::Cancelled`] when asked to stop; when the anchors lack a granularity or have the wrong width.
    fn fit(
        &mut self,
        seen: &SeenFeatures,
        anchors: &SemanticAnchors,
        ctx: &mut FitContext,
    ) -> Result<FitSummary>;

    /// Logits `[B, C]`, column c for row c of the anchors; evaluation mode. Gradients reach `anchors.values`
    /// where the capabilities say so and gradients are on.
    ///
    /// # Errors
    /// When shapes, granularities or widths do not fit.
    fn score(&self, features: &FeatureMap, anchors: &SemanticAnchors) -> Result<Scores>;

    /// As [`Self::score`], with the true labels at hand; for `oracle_labels` capabilities only.
    ///
    /// # Errors
    /// [`Error::Input`] from every aligner that does not want labels.
    fn score_with_labels(
        &self,
        features: &FeatureMap,
        anchors: &SemanticAnchors,
        labels: &OracleLabels,
    ) -> Result<Scores> {
        let _ = (features, anchors, labels);
        Err(Error::Input("this aligner has no use for test labels".into()))
    }

    /// All parameters and buffers under their official names, sharing memory with the aligner.
    fn state(&self) -> NamedTensors;

    /// Takes over weights by name.
    ///
    /// # Errors
    /// When names or shapes differ.
    fn load_state(&mut self, state: &NamedTensors) -> Result<()>;
}

/// Options of an aligner.
#[typetag::serde(tag = "type")]
pub trait AlignerConfig: Debug + Send + Sync {
    /// Judges the options alone; touches nothing.
    fn validate(&self, problems: &mut Problems);

    /// What the built aligner will offer and need.
    fn capabilities(&self) -> Capabilities;

    /// The width its anchors must have, when the options fix one.
    fn width(&self) -> Option<i64> {
        None
    }

    /// File with trained weights; `None` when the aligner is to be trained here.
    fn weights(&self) -> Option<&std::path::Path> {
        None
    }

    /// Remarks for the report.
    fn marks(&self) -> Vec<Mark> {
        Vec::new()
    }

    /// Builds the aligner for features of this form and anchors of this width, with random weights from the current seed of libtorch.
    ///
    /// # Errors
    /// When features or anchors do not suit it.
    fn build(
        &self,
        features: &EncoderSpec,
        granularities: &[Granularity],
        width: i64,
        ctx: &BuildContext,
    ) -> Result<Box<dyn Aligner>>;
}
