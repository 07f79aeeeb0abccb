//! `sa-dvae`: the motion's latent is parted into what texts can tell and the style of the individual motion.
//!
//! Li et al., "SA-DVAE: improving zero-shot skeleton-based action recognition by disentangled variational autoencoders" (ECCV
//! 2024). Loss of a step, with `x` the features, `t` the class's text, `z` and `w` sampled latents of meaning and style, `y` of
//! the text, `D` the decoders:
//! `‖x − Dₓ([z, w])‖² + ‖t − Dₜ(y)‖² + k (KL_z + KL_w) + k₂ KL_t + c (‖x − Dₓ([y, w])‖² + ‖t − Dₜ(z)‖²) + k₂ C`, squares as
//! means over all elements. `C` is how sure a discriminator is that meaning and style belong together (total correlation);
//! every so many steps it learns to tell pairs of one sample from pairs that were mixed within the batch.
//! Scoring uses the meaning alone.

mod config;
mod discriminator;
mod fit;
mod golden;
#[cfg(test)]
mod tests;

use szar_core::{FitContext, FitSummary, NamedTensors, Result};
use tch::Device;

use super::vae::{Decoder, Encoder, Family, Keys, Parts, Samples, Vae};
pub use config::{Preset, SaDvaeConfig};
use discriminator::Discriminator;

/// What the official code calls the layers of an encoder.
const KEYS: Keys = Keys {
    mean: "mu.0",
    log_variance: "logvar.0",
};

/// The five networks of `sa-dvae`.
#[derive(Debug)]
pub struct SaDvae {
    config: SaDvaeConfig,
    motion: Encoder,
    motion_decoder: Decoder,
    text: Encoder,
    text_decoder: Decoder,
    discriminator: Discriminator,
}

impl SaDvae {
    /// Networks with random weights from libtorch's generator.
    fn new(config: &SaDvaeConfig, channels: i64, width: i64, device: Device) -> Self {
        let (meaning, output) = (config.latent_size(), config.decoder);
        let whole = meaning + config.style_size();
        Self {
            config: config.clone(),
            motion: Encoder::new(channels, whole, device),
            motion_decoder: Decoder::new(whole, channels, output, device),
            text: Encoder::new(width, meaning, device),
            text_decoder: Decoder::new(meaning, width, output, device),
            discriminator: Discriminator::new(whole, device),
        }
    }

    /// What the first optimiser moves.
    fn coders(&self) -> NamedTensors {
        let mut all = NamedTensors::new();
        self.motion.parameters("sequence_encoder", &mut all);
        self.motion_decoder.parameters("sequence_decoder", &mut all);
        self.text.parameters("text_encoder", &mut all);
        self.text_decoder.parameters("text_decoder", &mut all);
        all
    }
}

impl Family for SaDvae {
    const NAME: &'static str = "sa-dvae";

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
        let discriminator = self.discriminator.parameters();
        all.extend(discriminator.into_iter().map(|(name, t)| (name, t.detach())));
        all
    }

    fn parameters(&self) -> NamedTensors {
        let mut all = self.coders();
        all.extend(self.discriminator.parameters());
        all
    }

    /// Those of the coders; the discriminator's are its own affair.
    fn gradients(&self) -> NamedTensors {
        let mut all = NamedTensors::new();
        self.motion.gradients("sequence_encoder", KEYS, &mut all);
        self.motion_decoder.gradients("sequence_decoder", &mut all);
        self.text.gradients("text_encoder", KEYS, &mut all);
        self.text_decoder.gradients("text_decoder", &mut all);
        all
    }

    /// Official checkpoints do not hold the discriminator, which scoring does not need.
    fn optional(name: &str) -> bool {
        name.starts_with("discriminator.net.")
    }

    fn fit(model: &Vae<Self>, samples: &Samples, ctx: &mut FitContext) -> Result<FitSummary> {
        fit::fit(model, samples, ctx)
    }
}
