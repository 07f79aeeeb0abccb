//! `jpose`: verbs and nouns in spaces of their own, and both together in a joint one.
//!
//! Wray et al., "Fine-Grained Action Retrieval Through Multiple Parts-of-Speech Embeddings" (ICCV 2019), in the reduced form of
//! skelemoa/synse-zsl. A branch per part of speech brings features and words together; the joint part does so with both
//! branches' vectors side by side. A class scores the cosine of its joint vector with the sample's.

mod config;
mod fit;
mod golden;
mod network;
mod objective;
#[cfg(test)]
mod tests;

use szar_core::checkpoint::copy_into;
use szar_core::{
    Aligner, AlignerConfig, Capabilities, Embedding, FeatureMap, FitContext, FitSummary, Granularity,
    NamedTensors, Result, Scores, SeenFeatures, SemanticAnchors, shape,
};
use tch::{Device, Tensor};

use super::pooled;
use super::training::unit_rows;
pub use crate::aligners::pooled::Preset;
pub use config::{JposeConfig, Mining, TextForm};
use network::{Network, Sizes};

/// The `jpose` aligner; see the module's text.
#[derive(Debug)]
pub struct Jpose {
    config: JposeConfig,
    network: Network,
}

impl Jpose {
    fn new(config: &JposeConfig, channels: i64, width: i64, device: Device) -> Self {
        let sizes = Sizes {
            visual: channels,
            text: width,
            hidden: config.text_form.is_deep(width).then_some(config.hidden),
            out: config.branch,
        };
        Self {
            config: config.clone(),
            network: Network::new(sizes, config.joint, device),
        }
    }

    /// `[B, N]`, rows of length 1.
    fn inputs(&self, features: &FeatureMap) -> Result<Tensor> {
        Ok(unit_rows(&pooled::pooled(features, self.network.channels())?))
    }

    /// `[C, d]`, rows of length 1.
    fn text(&self, anchors: &SemanticAnchors, granularity: &Granularity) -> Result<Tensor> {
        pooled::text("jpose", anchors, granularity, self.network.width())
    }

    /// `[C, D]`: the classes in the joint space.
    fn classes(&self, anchors: &SemanticAnchors) -> Result<Tensor> {
        let verb = self.text(anchors, &self.config.verb)?;
        let noun = self.text(anchors, &self.config.noun)?;
        Ok(self.network.text(&verb, &noun).joint)
    }
}

impl Aligner for Jpose {
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

    /// `[B, D]`: the features in the joint space.
    fn condense(&self, features: &FeatureMap) -> Result<Tensor> {
        Ok(self.network.visual(&self.inputs(features)?).joint)
    }

    fn score_condensed(&self, rows: &Tensor, anchors: &SemanticAnchors) -> Result<Scores> {
        shape::expect("condensed features", rows, [None, Some(self.config.joint)])?;
        let embedding = Embedding {
            visual: rows.shallow_clone(),
            classes: self.classes(anchors)?,
        };
        Ok(Scores {
            logits: pooled::compare(&embedding, self.config.scale),
        })
    }

    fn embed(&self, features: &FeatureMap, anchors: &SemanticAnchors) -> Result<Embedding> {
        Ok(Embedding {
            visual: self.condense(features)?,
            classes: self.classes(anchors)?,
        })
    }

    /// Every node through the visual side as if the whole sequence looked like it.
    fn embed_nodes(&self, features: &FeatureMap, _: &SemanticAnchors) -> Result<Tensor> {
        let (nodes, count) = pooled::nodes(features, self.network.channels())?;
        let vectors = self.network.visual(&unit_rows(&nodes)).joint;
        Ok(vectors.view([-1, count, self.config.joint]))
    }

    fn state(&self) -> NamedTensors {
        self.network.state()
    }

    fn load_state(&mut self, state: &NamedTensors) -> Result<()> {
        copy_into(&self.state(), state, |_| false)
    }
}
