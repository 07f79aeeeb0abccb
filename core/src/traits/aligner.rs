//! Scores features against semantic anchors.

use std::fmt::Debug;

use tch::Tensor;

use crate::checkpoint::NamedTensors;
use crate::component::{BuildContext, Capabilities, EncoderSpec, Mark};
use crate::types::{FeatureMap, Granularity, Scores, SeenFeatures, SemanticAnchors, SkeletonBatch};
use crate::{Error, FitContext, FitSummary, Problems, Result};

/// True labels of test samples, as columns of the candidates `[B]` i64. Only the evaluator makes them, only for
/// aligners whose options ask for the published behaviour by name, and the report is then marked.
#[derive(Debug)]
pub struct OracleLabels(pub Tensor);

/// Samples and classes in one space, where their dot product tells how well they fit.
#[derive(Debug)]
pub struct Embedding {
    /// `[B, D]`, one vector per sample.
    pub visual: Tensor,
    /// `[C, D]`, one vector per candidate.
    pub classes: Tensor,
}

/// How an aligner scores that compares fixed vectors with anchors.
#[derive(Clone, Debug, PartialEq)]
pub struct Linear {
    /// The anchors' granularities, side by side in this order, that make one vector `[C, D]` of a class.
    pub granularities: Vec<usize>,
    /// `logits = scale · rows · classesᵀ`.
    pub scale: f64,
}

/// Tokens of a sample, and what tokens were like in training.
#[derive(Debug)]
pub struct Tokens {
    /// `[B, L, N]`.
    pub values: Tensor,
    /// `[L, N]`, mean over the training samples.
    pub mean: Tensor,
    /// `[L, N]`, variance over the training samples.
    pub variance: Tensor,
}

/// Scale and shift of one normalisation layer.
#[derive(Debug)]
pub struct Affine {
    /// Name of the layer in the aligner's state.
    pub layer: String,
    /// `[N]`.
    pub weight: Tensor,
    /// `[N]`.
    pub bias: Tensor,
}

impl Affine {
    /// `x` `[n, N]` (or `[n, N, ...]`) normalised by its own mean and (biased) variance over all but the channels, then
    /// scaled and shifted.
    ///
    /// # Errors
    /// [`Error::Shape`] when the channels differ; [`Error::Input`] for a single row, which has no variance.
    pub fn of_batch(&self, x: &Tensor) -> Result<Tensor> {
        let size = x.size();
        if size.get(1) != self.weight.size().first() {
            return Err(Error::Shape {
                what: format!("input of `{}`", self.layer),
                got: size,
                want: format!("[_, {}, ..]", self.weight.numel()),
            });
        }
        if x.numel() as i64 == size[1] {
            return Err(Error::Input(format!(
                "`{}` is normalised by the statistics of the batch, and one row has none; take a larger batch",
                self.layer
            )));
        }
        let none: Option<&Tensor> = None;
        Ok(x.batch_norm(
            Some(&self.weight),
            Some(&self.bias),
            none,
            none,
            true,
            0.0,
            1e-5,
            false,
        ))
    }
}

/// Which nodes of a map the texts of a class (or prompts) look at.
#[derive(Debug)]
pub struct AttentionMap {
    /// Name of each of the G that look.
    pub names: Vec<Granularity>,
    /// `[B, G, T'·V']`, nodes frame by frame and joint by joint; not negative, rows sum to 1.
    pub weights: Tensor,
}

fn lacks<T>(what: &str) -> Result<T> {
    Err(Error::Input(format!("this aligner has no {what}")))
}

/// The skeletons behind the features that an aligner is trained on, and the encoder that made them.
pub trait SeenMotion {
    /// Skeletons of training samples, by their rows in [`SeenFeatures::train`].
    ///
    /// # Errors
    /// When a sequence cannot be read.
    fn skeletons(&self, rows: &[usize]) -> Result<SkeletonBatch>;

    /// Features of skeletons that were changed, masked say; without gradients.
    ///
    /// # Errors
    /// When the encoder does not take them.
    fn encode(&self, batch: &SkeletonBatch) -> Result<FeatureMap>;
}

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

    /// All of a batch that scoring it under other anchors needs, in the cheapest exact form: one row per sample,
    /// `[B, ...]`, of a shape that depends on the aligner alone. By default the features themselves.
    ///
    /// # Errors
    /// When shapes do not fit.
    fn condense(&self, features: &FeatureMap) -> Result<Tensor> {
        Ok(features.values.shallow_clone())
    }

    /// As [`Self::score`], from rows of [`Self::condense`].
    ///
    /// # Errors
    /// As [`Self::score`].
    fn score_condensed(&self, rows: &Tensor, anchors: &SemanticAnchors) -> Result<Scores> {
        self.score(&FeatureMap::new(rows.shallow_clone())?, anchors)
    }

    /// Set when [`Self::score_condensed`] is a dot product of the rows with the anchors (whose rows have length 1
    /// wherever the aligner compares by angle), so that its gradient needs no graph.
    fn linear(&self, anchors: &SemanticAnchors) -> Result<Option<Linear>> {
        let _ = anchors;
        Ok(None)
    }

    /// As [`Self::score_condensed`], where all candidates are judged on what the candidates in `askers` (`[B]` i64) ask of
    /// each sample; aligners whose classes ask nothing score as always. With `training`, normalisation uses (and learns)
    /// the statistics of the batch and dropout is on, as published code does at test time.
    ///
    /// # Errors
    /// As [`Self::score`]; from aligners without a training mode, when it is asked for.
    fn score_asked(
        &self,
        rows: &Tensor,
        anchors: &SemanticAnchors,
        askers: Option<&Tensor>,
        training: bool,
    ) -> Result<Scores> {
        let _ = askers;
        if training {
            return lacks("training mode at test time");
        }
        self.score_condensed(rows, anchors)
    }

    /// One vector per sample and per candidate in a common space; for `visual_embeddings` capabilities only.
    ///
    /// # Errors
    /// As [`Self::score`]; from aligners without such vectors.
    fn embed(&self, features: &FeatureMap, anchors: &SemanticAnchors) -> Result<Embedding> {
        let _ = (features, anchors);
        lacks("visual embeddings")
    }

    /// `[B, P, D]`: one vector per node of the map in the space of [`Self::embed`]; for `node_embeddings` capabilities only.
    ///
    /// # Errors
    /// As [`Self::score`]; from aligners without such vectors.
    fn embed_nodes(&self, features: &FeatureMap, anchors: &SemanticAnchors) -> Result<Tensor> {
        let _ = (features, anchors);
        lacks("node embeddings")
    }

    /// Which nodes the class in `columns` (`[B]` i64, of the candidates) looks at in each sample; `None` from aligners
    /// without attention. For reports: nothing is scored by it.
    ///
    /// # Errors
    /// As [`Self::score`].
    fn attention(
        &self,
        features: &FeatureMap,
        anchors: &SemanticAnchors,
        columns: &Tensor,
    ) -> Result<Option<AttentionMap>> {
        let _ = (features, anchors, columns);
        Ok(None)
    }

    /// The tokens that the aligner makes of a batch, differentiable in the features and (where they have a part in it) in
    /// the anchors; for `tokens` capabilities only.
    ///
    /// # Errors
    /// As [`Self::score`]; from aligners without tokens.
    fn tokens(&self, features: &FeatureMap, anchors: &SemanticAnchors) -> Result<Tokens> {
        let _ = (features, anchors);
        lacks("tokens")
    }

    /// Copies of the scales and shifts of the normalisation layers, in the order of the forward pass.
    fn normalisation(&self) -> Vec<Affine> {
        Vec::new()
    }

    /// As [`Self::score`], with these scales and shifts, and normalised by the statistics of the batch; differentiable in
    /// them. For `normalisation_layers` capabilities only.
    ///
    /// # Errors
    /// As [`Self::score`]; from aligners without such layers.
    fn score_normalised(
        &self,
        features: &FeatureMap,
        anchors: &SemanticAnchors,
        affine: &[Affine],
    ) -> Result<Scores> {
        let _ = (features, anchors, affine);
        lacks("normalisation layers")
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

    /// File or folder with trained weights, as [`crate::checkpoint::read_weights`] takes them; `None` when the aligner is
    /// to be trained here.
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
