//! `synse`: verb and noun of the class's name each share one half of the motion's latent space.
//!
//! Gupta et al., "Syntactically guided generative embeddings for zero-shot skeleton action recognition" (ICIP 2021). Loss of
//! a step, with `x` the features, `n` and `v` the texts of noun and verb, `z` latents sampled by the encoders, `D` the decoders:
//! `‖x − Dₓ(zₓ)‖² + ‖n − Dₙ(zₙ)‖² + ‖v − Dᵥ(zᵥ)‖² + k₁ KLₓ + kₙ KLₙ + kᵥ KLᵥ + c (‖n − Dₙ(zₓ[..L/2])‖² + ‖v − Dᵥ(zₓ[L/2..])‖²
//! + ‖x − Dₓ([zₙ, zᵥ])‖²)`, squares as means over all elements. `k₁` rises in the course of a cycle, `c` joins late, and
//! `kₙ` and `kᵥ` from the third cycle on.

mod config;
mod fit;
mod golden;
#[cfg(test)]
mod tests;

use szar_core::{FitContext, FitSummary, NamedTensors, Result};
use tch::Device;

use super::vae::{Decoder, Encoder, Family, Keys, Parts, Samples, Vae};
pub use config::{Preset, SynseConfig};

/// What the official code calls the layers of an encoder.
const KEYS: Keys = Keys {
    mean: "mu_transformation.0",
    log_variance: "logvar_transformation.0",
};

/// An autoencoder.
#[derive(Debug)]
struct Coder {
    /// What the official code puts before `_encoder` and `_decoder`.
    name: &'static str,
    encoder: Encoder,
    decoder: Decoder,
}

/// The three autoencoders of `synse`.
#[derive(Debug)]
pub struct Synse {
    config: SynseConfig,
    motion: Coder,
    noun: Coder,
    verb: Coder,
}

impl Synse {
    /// Networks with random weights from libtorch's generator; `widths` are those of noun and verb.
    fn new(config: &SynseConfig, channels: i64, widths: &[i64], device: Device) -> Self {
        let half = config.half();
        let coder = |name, width, latent| Coder {
            name,
            encoder: Encoder::new(width, latent, device),
            decoder: Decoder::new(latent, width, config.decoder, device),
        };
        Self {
            config: config.clone(),
            motion: coder("sequence", channels, 2 * half),
            noun: coder("n_text", widths[0], half),
            verb: coder("v_text", widths[1], half),
        }
    }

    fn gather(&self, add: impl Fn(&Coder, String, String, &mut NamedTensors)) -> NamedTensors {
        let mut all = NamedTensors::new();
        for coder in [&self.motion, &self.noun, &self.verb] {
            let named = |part: &str| format!("{}_{part}", coder.name);
            add(coder, named("encoder"), named("decoder"), &mut all);
        }
        all
    }
}

impl Family for Synse {
    const NAME: &'static str = "synse";

    fn parts(&self) -> Parts<'_> {
        Parts {
            motion: &self.motion.encoder,
            texts: vec![&self.noun.encoder, &self.verb.encoder],
        }
    }

    fn state(&self) -> NamedTensors {
        self.gather(|coder, encoder, decoder, all| {
            coder.encoder.state(&encoder, KEYS, all);
            coder.decoder.state(&decoder, all);
        })
    }

    fn parameters(&self) -> NamedTensors {
        self.gather(|coder, encoder, decoder, all| {
            coder.encoder.parameters(&encoder, all);
            coder.decoder.parameters(&decoder, all);
        })
    }

    fn gradients(&self) -> NamedTensors {
        self.gather(|coder, encoder, decoder, all| {
            coder.encoder.gradients(&encoder, KEYS, all);
            coder.decoder.gradients(&decoder, all);
        })
    }

    fn fit(model: &Vae<Self>, samples: &Samples, ctx: &mut FitContext) -> Result<FitSummary> {
        fit::fit(model, samples, ctx)
    }
}
