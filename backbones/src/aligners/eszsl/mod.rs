//! `eszsl`: a bilinear map from features to texts in closed form; no seed, no epochs, seconds.
//!
//! Romera-Paredes and Torr, "An embarrassingly simple approach to zero-shot learning" (ICML 2015), eq. 4:
//! `W = (XᵀX + γI)⁻¹ Xᵀ Y S (SᵀS + λI)⁻¹` for features X, targets Y and class texts S; the score of a class with text
//! s is `x W sᵀ`. γ and λ are chosen on seen classes that are held out in turn, so that they are chosen for *new* classes.

mod solve;
#[cfg(test)]
mod tests;

use std::path::Path;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use szar_core::checkpoint::copy_into;
use szar_core::{
    Aligner, AlignerConfig, BuildContext, Capabilities, ComponentInfo, ComponentKind, Embedding, EncoderSpec,
    FeatureMap, FeatureNeed, FilePath, FitContext, FitSummary, Granularity, Linear, NamedTensors, Problems,
    Result, Scores, SeenFeatures, SemanticAnchors, shape,
};
use tch::{Device, Kind, Tensor};

use super::training;
use solve::Training;

/// What the targets are for the classes a sample is not of.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum Targets {
    /// 1 for the sample's class, −1 for the others (the paper).
    #[default]
    Signed,
    /// 1 for the sample's class, 0 for the others.
    Binary,
}

/// Options of the `eszsl` aligner.
#[derive(Clone, Debug, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct EszslConfig {
    /// Text of the classes that is used. Default: `global` (ours).
    pub granularity: Granularity,
    /// Candidates for γ, the ridge on features; above 0, no unit, relative to sums over samples. A single one is
    /// taken as it is. Default: powers of ten from 0.1 to 1e5 (ours; the paper searches powers of ten too).
    pub gammas: Vec<f64>,
    /// Candidates for λ, the ridge on texts; above 0, no unit. Default: powers of ten from 1e-3 to 1e3 (the paper's).
    pub lambdas: Vec<f64>,
    /// Groups of seen classes that are held out in turn to choose γ and λ, at least 2. Default: 3 (ours).
    pub folds: usize,
    /// Brings every feature to mean 0 and deviation 1 over the training samples. Default: true (ours).
    pub standardise: bool,
    /// What the targets are. Default: `signed` (the paper).
    pub targets: Targets,
    /// Multiplies the logits, above 0, no unit: raw scores lie within ±1, where a softmax says little. Default: 10 (ours).
    pub scale: f64,
    /// File with trained weights; without it the aligner is fitted. Default: none.
    pub weights: Option<FilePath>,
}

impl Default for EszslConfig {
    fn default() -> Self {
        Self {
            granularity: Granularity::GLOBAL,
            gammas: (-1..=5).map(|k| 10f64.powi(k)).collect(),
            lambdas: (-3..=3).map(|k| 10f64.powi(k)).collect(),
            folds: 3,
            standardise: true,
            targets: Targets::default(),
            scale: 10.0,
            weights: None,
        }
    }
}

#[typetag::serde(name = "eszsl")]
impl AlignerConfig for EszslConfig {
    fn validate(&self, problems: &mut Problems) {
        for (field, values) in [("gammas", &self.gammas), ("lambdas", &self.lambdas)] {
            problems.check(!values.is_empty(), field, || {
                "must hold at least one value".into()
            });
            for value in values.iter().filter(|v| !(**v > 0.0 && v.is_finite())) {
                problems.add(field, format!("must be above 0, got {value}"));
            }
        }
        problems.check(self.folds >= 2, "folds", || {
            format!("must be at least 2, got {}", self.folds)
        });
        problems.check(self.scale > 0.0 && self.scale.is_finite(), "scale", || {
            format!("must be above 0, got {}", self.scale)
        });
    }

    fn capabilities(&self) -> Capabilities {
        Capabilities {
            features: FeatureNeed::Pooled,
            granularities: vec![self.granularity.clone()],
            differentiable_in_anchors: true,
            differentiable_in_features: true,
            visual_embeddings: true,
            node_embeddings: true,
            ..Capabilities::default()
        }
    }

    fn weights(&self) -> Option<&Path> {
        self.weights.as_ref().map(AsRef::as_ref)
    }

    fn build(
        &self,
        features: &EncoderSpec,
        granularities: &[Granularity],
        width: i64,
        ctx: &BuildContext,
    ) -> Result<Box<dyn Aligner>> {
        training::require("eszsl", [&self.granularity], granularities)?;
        Ok(Box::new(Eszsl::new(self, features.channels, width, ctx.device)))
    }
}

inventory::submit! {
    ComponentInfo::new::<EszslConfig>(
        ComponentKind::Aligner,
        "eszsl",
        "A bilinear ridge regression between pooled features and one text per class, in closed form.",
        "An embarrassingly simple approach to zero-shot learning (Romera-Paredes and Torr, ICML 2015)"
    )
}

/// The `eszsl` aligner; see the module's text.
#[derive(Debug)]
pub struct Eszsl {
    config: EszslConfig,
    /// `[N, d]`.
    weight: Tensor,
    /// `[N]`.
    mean: Tensor,
    /// `[N]`, all above 0.
    deviation: Tensor,
}

impl Eszsl {
    fn new(config: &EszslConfig, channels: i64, width: i64, device: Device) -> Self {
        let options = (Kind::Float, device);
        Self {
            config: config.clone(),
            weight: Tensor::zeros([channels, width], options),
            mean: Tensor::zeros([channels], options),
            deviation: Tensor::ones([channels], options),
        }
    }

    fn text(&self, anchors: &SemanticAnchors) -> Result<Tensor> {
        let width = self.weight.size()[1];
        shape::expect("semantic anchors", &anchors.values, [None, None, Some(width)])?;
        let text = anchors.granularity(&self.config.granularity);
        Ok(text
            .map_err(|e| e.context("aligner `eszsl`"))?
            .to_kind(Kind::Float))
    }

    fn pooled(&self, features: &FeatureMap) -> Result<Tensor> {
        let channels = self.weight.size()[0];
        shape::expect(
            "feature map",
            &features.values,
            [None, Some(channels), None, None],
        )?;
        Ok(features.pooled())
    }
}

impl Aligner for Eszsl {
    fn capabilities(&self) -> Capabilities {
        self.config.capabilities()
    }

    /// Chooses γ and λ by class-mean accuracy on held-out seen classes, then solves on all training samples. Class k
    /// (of those that have samples) is held out in fold `k mod folds`. Equal accuracies go to the larger γ, then the
    /// larger λ. With fewer than two classes a fold there is nothing to choose by, and the middle values are taken.
    fn fit(
        &mut self,
        seen: &SeenFeatures,
        anchors: &SemanticAnchors,
        ctx: &mut FitContext,
    ) -> Result<FitSummary> {
        let text = self.text(anchors)?.detach();
        training::same_classes(seen, anchors)?;
        let features = self.pooled(&seen.train.features)?;
        let training = Training::new(&features, &seen.train.labels, &text, &self.config)?;
        let choice = training.choose(&self.config, ctx)?;
        let solution = training.solve(choice.gamma, choice.lambda)?;
        tch::no_grad(|| {
            self.weight.copy_(&solution.weight);
            self.mean.copy_(&solution.mean);
            self.deviation.copy_(&solution.deviation);
        });
        let mut summary = FitSummary {
            validation_measure: "top1".into(),
            ..FitSummary::default()
        };
        summary.chosen.insert("gamma".into(), choice.gamma);
        summary.chosen.insert("lambda".into(), choice.lambda);
        if let Some(accuracy) = choice.class_mean {
            summary.chosen.insert("held_out_class_mean".into(), accuracy);
        }
        Ok(summary)
    }

    fn score(&self, features: &FeatureMap, anchors: &SemanticAnchors) -> Result<Scores> {
        self.score_condensed(&self.condense(features)?, anchors)
    }

    /// `[B, d]`: the features in the space of the texts.
    fn condense(&self, features: &FeatureMap) -> Result<Tensor> {
        Ok(((self.pooled(features)? - &self.mean) / &self.deviation).mm(&self.weight))
    }

    fn score_condensed(&self, rows: &Tensor, anchors: &SemanticAnchors) -> Result<Scores> {
        let text = self.text(anchors)?;
        shape::expect("condensed features", rows, [None, Some(self.weight.size()[1])])?;
        Ok(Scores {
            logits: rows.mm(&text.transpose(0, 1)) * self.config.scale,
        })
    }

    fn linear(&self, anchors: &SemanticAnchors) -> Result<Option<Linear>> {
        Ok(Some(Linear {
            granularities: vec![anchors.slot(&self.config.granularity)? as usize],
            scale: self.config.scale,
        }))
    }

    fn embed(&self, features: &FeatureMap, anchors: &SemanticAnchors) -> Result<Embedding> {
        Ok(Embedding {
            visual: self.condense(features)?,
            classes: self.text(anchors)?,
        })
    }

    fn embed_nodes(&self, features: &FeatureMap, _: &SemanticAnchors) -> Result<Tensor> {
        let channels = self.weight.size()[0];
        shape::expect(
            "feature map",
            &features.values,
            [None, Some(channels), None, None],
        )?;
        let nodes = features.values.to_kind(Kind::Float).flatten(2, 3).transpose(1, 2);
        Ok(((nodes - &self.mean) / &self.deviation).matmul(&self.weight))
    }

    fn state(&self) -> NamedTensors {
        NamedTensors::from([
            ("w".to_owned(), self.weight.shallow_clone()),
            ("mean".to_owned(), self.mean.shallow_clone()),
            ("std".to_owned(), self.deviation.shallow_clone()),
        ])
    }

    fn load_state(&mut self, state: &NamedTensors) -> Result<()> {
        copy_into(&self.state(), state, |_| false)
    }
}
