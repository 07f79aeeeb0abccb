//! `devise`: a linear map from features to texts, trained by a hinge rank loss.
//!
//! Frome et al., "DeViSE: A Deep Visual-Semantic Embedding Model" (NeurIPS 2013), eq. 1. For a sample v of class y, texts
//! t of length 1 and a matrix M: `Σ_{j ≠ y} max(0, margin − t_y·Mv + t_j·Mv)`. A re-implementation: there is no official
//! code, the map starts from pooled skeleton features, and Adam takes the place of Adagrad. Scores are `t·Mv`.

mod config;
mod fit;
mod golden;
#[cfg(test)]
mod tests;

use szar_core::checkpoint::copy_into;
use szar_core::{
    Aligner, AlignerConfig, Capabilities, Embedding, FeatureMap, FitContext, FitSummary, Linear,
    NamedTensors, Result, Scores, SeenFeatures, SemanticAnchors, shape,
};
use tch::{Device, Tensor};

use super::pooled;
use super::training::{Dense, Init};
pub use crate::aligners::pooled::Preset;
pub use config::{DeviseConfig, Violations};

/// The `devise` aligner; see the module's text.
#[derive(Debug)]
pub struct Devise {
    config: DeviseConfig,
    /// M, `[d, N]`.
    projection: Dense,
    texts: pooled::Texts,
}

impl Devise {
    fn new(config: &DeviseConfig, channels: i64, width: i64, device: Device) -> Self {
        Self {
            config: config.clone(),
            texts: pooled::Texts::default(),
            projection: Dense::without_bias(channels, width, Init::Torch, device),
        }
    }

    fn width(&self) -> i64 {
        self.projection.weight.size()[0]
    }

    fn channels(&self) -> i64 {
        self.projection.weight.size()[1]
    }

    /// `[C, d]`, rows of length 1.
    fn text(&self, anchors: &SemanticAnchors) -> Result<Tensor> {
        self.texts
            .of("devise", anchors, &self.config.granularity, self.width())
    }
}

impl Aligner for Devise {
    fn capabilities(&self) -> Capabilities {
        self.config.capabilities()
    }

    fn fit(
        &mut self,
        seen: &SeenFeatures,
        anchors: &SemanticAnchors,
        ctx: &mut FitContext,
    ) -> Result<FitSummary> {
        fit::fit(self, seen, anchors, ctx)
    }

    fn score(&self, features: &FeatureMap, anchors: &SemanticAnchors) -> Result<Scores> {
        self.score_condensed(&self.condense(features)?, anchors)
    }

    /// `[B, d]`: the features in the space of the texts.
    fn condense(&self, features: &FeatureMap) -> Result<Tensor> {
        Ok(self
            .projection
            .forward(&pooled::pooled(features, self.channels())?))
    }

    fn score_condensed(&self, rows: &Tensor, anchors: &SemanticAnchors) -> Result<Scores> {
        shape::expect("condensed features", rows, [None, Some(self.width())])?;
        let embedding = Embedding {
            visual: rows.shallow_clone(),
            classes: self.text(anchors)?,
        };
        Ok(Scores {
            logits: pooled::compare(&embedding, self.config.scale),
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
        let (nodes, count) = pooled::nodes(features, self.channels())?;
        Ok(self.projection.forward(&nodes).view([-1, count, self.width()]))
    }

    fn state(&self) -> NamedTensors {
        let mut state = NamedTensors::new();
        self.projection.state("projection", &mut state);
        state
    }

    fn load_state(&mut self, state: &NamedTensors) -> Result<()> {
        copy_into(&self.state(), state, |_| false)
    }
}
