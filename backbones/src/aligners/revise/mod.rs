//! `revise`: an autoencoder for features and one for texts, whose codes are drawn to one distribution and mapped into a
//! common space.
//!
//! Tsai et al., "Learning Robust Visual-Semantic Embeddings" (ICCV 2017), in the form of skelemoa/synse-zsl: reconstruction of
//! both sides, maximum mean discrepancy between the codes of a batch, and a hinge loss over the seen classes in the
//! common space. A class scores the dot product of its vector with the sample's.

mod autoencoder;
mod config;
mod fit;
mod golden;
mod objective;
#[cfg(test)]
mod tests;

use szar_core::checkpoint::copy_into;
use szar_core::{
    Aligner, AlignerConfig, Capabilities, Embedding, Error, FeatureMap, FitContext, FitSummary, NamedTensors,
    Result, Scores, SeenFeatures, SemanticAnchors, shape,
};
use tch::{Device, Tensor};

use super::pooled;
pub use crate::aligners::pooled::Preset;
use autoencoder::{Autoencoder, Sizes};
pub use config::{Contractive, Form, HingeGradient, Input, ReviseConfig};

/// Both sides.
#[derive(Debug)]
struct Networks {
    visual: Autoencoder,
    text: Autoencoder,
}

impl Networks {
    fn state(&self) -> NamedTensors {
        let mut state = NamedTensors::new();
        self.visual.state("visae", &mut state);
        self.text.state("attae", &mut state);
        state
    }
}

/// The `revise` aligner; see the module's text.
#[derive(Debug)]
pub struct Revise {
    config: ReviseConfig,
    networks: Networks,
    texts: pooled::Texts,
}

impl Revise {
    fn new(config: &ReviseConfig, channels: i64, width: i64, device: Device) -> Self {
        let side = |inputs: i64, form: Form| {
            let sizes = Sizes {
                inputs,
                hidden: form.is_deep(inputs).then_some(config.hidden),
                code: config.code,
                common: config.common,
            };
            Autoencoder::new(sizes, device)
        };
        Self {
            config: config.clone(),
            texts: pooled::Texts::default(),
            networks: Networks {
                visual: side(channels, config.visual_form),
                text: side(width, config.text_form),
            },
        }
    }

    fn channels(&self) -> i64 {
        self.networks.visual.inputs()
    }

    /// `[C, d]`, rows of length 1.
    fn text(&self, anchors: &SemanticAnchors) -> Result<Tensor> {
        let width = self.networks.text.inputs();
        self.texts.of("revise", anchors, &self.config.granularity, width)
    }

    /// What the visual autoencoder sees of features `[.., N]`.
    fn inputs(&self, features: &Tensor) -> Result<Tensor> {
        inputs(features, self.config.input)
    }

    fn classes(&self, anchors: &SemanticAnchors) -> Result<Tensor> {
        Ok(self.networks.text.embed(&self.text(anchors)?))
    }
}

fn inputs(features: &Tensor, input: Input) -> Result<Tensor> {
    match input {
        Input::SignedLog => Ok(features.sign() * features.abs().log1p()),
        Input::Raw => Ok(features.shallow_clone()),
        Input::Log if features.lt(0.0).any().int64_value(&[]) == 0 => Ok(features.log1p()),
        Input::Log => Err(Error::Input(
            "aligner `revise` with `input: log` takes log(1 + x) of the features, and some are below 0; use `input: signed-log`, which \
             is the same for all others"
                .into(),
        )),
    }
}

impl Aligner for Revise {
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

    /// `[B, D]`: the features in the common space.
    fn condense(&self, features: &FeatureMap) -> Result<Tensor> {
        let features = pooled::pooled(features, self.channels())?;
        Ok(self.networks.visual.embed(&self.inputs(&features)?))
    }

    fn score_condensed(&self, rows: &Tensor, anchors: &SemanticAnchors) -> Result<Scores> {
        shape::expect("condensed features", rows, [None, Some(self.config.common)])?;
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
        let (nodes, count) = pooled::nodes(features, self.channels())?;
        let vectors = self.networks.visual.embed(&self.inputs(&nodes)?);
        Ok(vectors.view([-1, count, self.networks.visual.common()]))
    }

    fn state(&self) -> NamedTensors {
        self.networks.state()
    }

    fn load_state(&mut self, state: &NamedTensors) -> Result<()> {
        copy_into(&self.state(), state, |_| false)
    }
}
