//! `smie`: a network that tells matching pairs of motion and text from others.
//!
//! Zhou et al., "Zero-shot Skeleton-based Action Recognition via Mutual Information Estimation and Maximization" (ACM MM 2023).
//! T(v, t) is trained to maximise the Jensen-Shannon estimate of the mutual information between features and the texts of
//! their classes; with skeletons at hand also so that a motion without its liveliest frames tells less. A class scores
//! `log σ(T(v, t))`. The published evaluation leaves out the normalisation of the features that training applies
//! (`layernorm_at_test: false`).

mod config;
mod discriminator;
mod fit;
mod golden;
mod mask;
mod objective;
#[cfg(test)]
mod tests;
mod views;

use szar_core::checkpoint::copy_into;
use szar_core::{
    Aligner, AlignerConfig, Capabilities, FeatureMap, FitContext, FitSummary, NamedTensors, Result, Scores,
    SeenFeatures, SemanticAnchors, shape,
};
use tch::{Device, Tensor};

use super::pooled;
pub use crate::aligners::pooled::Preset;
pub use config::{Differences, MaskedFrames, SmieConfig, Temporal};
use discriminator::Discriminator;

/// The `smie` aligner; see the module's text.
#[derive(Debug)]
pub struct Smie {
    config: SmieConfig,
    net: Discriminator,
    texts: pooled::Texts,
}

impl Smie {
    fn new(config: &SmieConfig, channels: i64, width: i64, device: Device) -> Self {
        Self {
            config: config.clone(),
            texts: pooled::Texts::default(),
            net: Discriminator::new(channels, width, config.hidden, device),
        }
    }

    /// `[C, d]`, rows of length 1.
    fn text(&self, anchors: &SemanticAnchors) -> Result<Tensor> {
        self.texts
            .of("smie", anchors, &self.config.granularity, self.net.width())
    }

    /// What the network sees of features when it scores, `[B, N]`.
    fn inputs(&self, features: &FeatureMap) -> Result<Tensor> {
        let features = pooled::pooled(features, self.net.channels())?;
        Ok(if self.config.layernorm_at_test {
            objective::layer_norm(&features)
        } else {
            features
        })
    }
}

/// `[B, C]`: log σ(T) of parts of the first layer, `[B, units]` and `[C, units]`.
fn log_matches(net: &Discriminator, features: &Tensor, texts: &Tensor) -> Tensor {
    net.judge_all(features, texts).log_sigmoid()
}

impl Aligner for Smie {
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

    /// `[B, units]`: the features' part of the first layer, which no candidate changes.
    fn condense(&self, features: &FeatureMap) -> Result<Tensor> {
        Ok(self.net.of_features(&self.inputs(features)?))
    }

    fn score_condensed(&self, rows: &Tensor, anchors: &SemanticAnchors) -> Result<Scores> {
        shape::expect("condensed features", rows, [None, Some(self.net.units())])?;
        let texts = self.net.of_texts(&self.text(anchors)?);
        let logits = log_matches(&self.net, rows, &texts);
        let scale = self.config.scale;
        Ok(Scores {
            logits: if scale == 1.0 { logits } else { logits * scale },
        })
    }

    fn state(&self) -> NamedTensors {
        self.net.state()
    }

    fn load_state(&mut self, state: &NamedTensors) -> Result<()> {
        copy_into(&self.state(), state, |_| false)
    }
}
