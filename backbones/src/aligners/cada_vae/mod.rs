//! `cada-vae`: one autoencoder for motion and one for text, whose latents explain each other.
//!
//! Schönfeld et al., "Generalized zero- and few-shot learning via aligned variational autoencoders" (CVPR 2019), as SynSE's
//! authors took it to skeletons. Loss of a step, with `x` the features, `t` the class's text, `z` latents sampled by the
//! encoders and `D` the decoders:
//! `‖x − Dₓ(zₓ)‖² + ‖t − Dₜ(zₜ)‖² + k₁ KLₓ + k₂ KLₜ + c (‖x − Dₓ(zₜ)‖² + ‖t − Dₜ(zₓ)‖²) + w W(x, t)`, squares as means
//! over all elements. `k₁` rises in the course of a cycle, `k₂` and `c` join late; `W` is the distance between the two
//! normals, which the published training weights by 0.

mod config;
mod fit;
mod golden;
#[cfg(test)]
mod tests;

use szar_core::{FitContext, FitSummary, NamedTensors, Result};
use tch::Device;

use super::vae::{Activation, Decoder, Encoder, Family, Keys, Parts, Samples, Vae};
pub use config::{CadaVaeConfig, Preset};

/// What SynSE's code calls the layers of an encoder.
const KEYS: Keys = Keys {
    mean: "mu_transformation.0",
    log_variance: "logvar_transformation.0",
};

/// The four networks of `cada-vae`.
#[derive(Debug)]
pub struct CadaVae {
    config: CadaVaeConfig,
    motion: Encoder,
    motion_decoder: Decoder,
    text: Encoder,
    text_decoder: Decoder,
}

impl CadaVae {
    /// Networks with random weights from libtorch's generator.
    fn new(config: &CadaVaeConfig, channels: i64, width: i64, device: Device) -> Self {
        let (latent, output): (i64, Activation) = (config.latent_size(), config.decoder);
        Self {
            config: config.clone(),
            motion: Encoder::new(channels, latent, device),
            motion_decoder: Decoder::new(latent, channels, output, device),
            text: Encoder::new(width, latent, device),
            text_decoder: Decoder::new(latent, width, output, device),
        }
    }
}

impl Family for CadaVae {
    const NAME: &'static str = "cada-vae";

    fn parts(&self) -> Parts<'_> {
        Parts {
            motion: &self.motion,
            texts: vec![&self.text],
        }
    }

    fn state(&self) -> NamedTensors {
        let mut all = NamedTensors::new();
        self.motion.state("sequence_encoder", KEYS, &mut all);
        self.motion_decoder.state("sequence_decoder", &mut all);
        self.text.state("text_encoder", KEYS, &mut all);
        self.text_decoder.state("text_decoder", &mut all);
        all
    }

    fn parameters(&self) -> NamedTensors {
        let mut all = NamedTensors::new();
        self.motion.parameters("sequence_encoder", &mut all);
        self.motion_decoder.parameters("sequence_decoder", &mut all);
        self.text.parameters("text_encoder", &mut all);
        self.text_decoder.parameters("text_decoder", &mut all);
        all
    }

    fn gradients(&self) -> NamedTensors {
        let mut all = NamedTensors::new();
        self.motion.gradients("sequence_encoder", KEYS, &mut all);
        self.motion_decoder.gradients("sequence_decoder", &mut all);
        self.text.gradients("text_encoder", KEYS, &mut all);
        self.text_decoder.gradients("text_decoder", &mut all);
        all
    }

    fn fit(model: &Vae<Self>, samples: &Samples, ctx: &mut FitContext) -> Result<FitSummary> {
        fit::fit(model, samples, ctx)
    }
}
