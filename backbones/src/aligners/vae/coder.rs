//! Encoders and decoders of one layer.

use szar_core::NamedTensors;
use tch::{Device, Kind, Tensor};

use super::super::training::{Dense, Init};
use super::Activation;

/// Official code's initialisation.
const INIT: Init = Init::Xavier(0.5);

/// What official code calls the two layers of an encoder.
#[derive(Clone, Copy, Debug)]
pub struct Keys {
    /// Layer of the means.
    pub mean: &'static str,
    /// Layer of the log variances.
    pub log_variance: &'static str,
}

/// `[B, inputs]` to the mean and log variance of each of L latent dimensions. Both layers are one product: the first L
/// rows of the weights make the means.
#[derive(Debug)]
pub struct Encoder {
    /// `[2·L, inputs]`.
    weight: Tensor,
    /// `[2·L]`.
    bias: Tensor,
    latent: i64,
}

impl Encoder {
    /// Random weights from libtorch's generator.
    pub fn new(inputs: i64, latent: i64, device: Device) -> Self {
        let layers = [(), ()].map(|()| Dense::new(inputs, latent, INIT, device).weight);
        Self {
            weight: Tensor::cat(&layers, 0),
            bias: Tensor::zeros([2 * latent], (Kind::Float, device)),
            latent,
        }
    }

    /// L.
    pub fn latent(&self) -> i64 {
        self.latent
    }

    /// Width of the input.
    pub fn inputs(&self) -> i64 {
        self.weight.size()[1]
    }

    /// Mean and log variance `[.., L]` of `x` `[.., inputs]`.
    pub fn posterior(&self, x: &Tensor) -> Posterior {
        let mut halves = x
            .linear(&self.weight, Some(&self.bias))
            .split(self.latent, -1)
            .into_iter();
        match (halves.next(), halves.next()) {
            (Some(mean), Some(log_variance)) => Posterior::new(mean, log_variance),
            _ => unreachable!("2 L values split by L are two halves"),
        }
    }

    /// The means of the first `count` latent dimensions, `[.., count]`.
    pub fn means(&self, x: &Tensor, count: i64) -> Tensor {
        x.linear(
            &self.weight.narrow(0, 0, count),
            Some(&self.bias.narrow(0, 0, count)),
        )
    }

    /// `[L, inputs]`, what the means are a product with.
    pub fn mean_weight(&self) -> Tensor {
        self.weight.narrow(0, 0, self.latent)
    }

    /// Adds the layers under their official names, sharing memory and without gradients.
    pub fn state(&self, name: &str, keys: Keys, into: &mut NamedTensors) {
        for (key, at) in [(keys.mean, 0), (keys.log_variance, self.latent)] {
            for (part, tensor) in [("weight", &self.weight), ("bias", &self.bias)] {
                let own = tensor.detach().narrow(0, at, self.latent);
                into.insert(format!("{name}.{key}.{part}"), own);
            }
        }
    }

    /// Adds the two tensors that are learned, for an optimiser.
    pub fn parameters(&self, name: &str, into: &mut NamedTensors) {
        into.insert(format!("{name}.weight"), self.weight.shallow_clone());
        into.insert(format!("{name}.bias"), self.bias.shallow_clone());
    }

    /// Adds the gradients of the layers under their official names.
    pub fn gradients(&self, name: &str, keys: Keys, into: &mut NamedTensors) {
        let own = Self {
            weight: self.weight.grad(),
            bias: self.bias.grad(),
            latent: self.latent,
        };
        own.state(name, keys, into);
    }
}

/// What an encoder says of samples: independent normals.
#[derive(Debug)]
pub struct Posterior {
    /// `[B, L]`.
    pub mean: Tensor,
    /// `[B, L]`.
    pub log_variance: Tensor,
    /// `[B, L]`, the standard deviation.
    pub deviation: Tensor,
}

impl Posterior {
    fn new(mean: Tensor, log_variance: Tensor) -> Self {
        Self {
            deviation: (&log_variance * 0.5).exp(),
            mean,
            log_variance,
        }
    }

    /// `mean + noise · deviation` for noise `[B, 1]` or `[B, L]`.
    pub fn sample(&self, noise: &Tensor) -> Tensor {
        self.mean.addcmul(noise, &self.deviation)
    }

    /// Some of the dimensions.
    pub fn narrow(&self, start: i64, length: i64) -> Self {
        let own = |t: &Tensor| t.narrow(-1, start, length);
        Self {
            mean: own(&self.mean),
            log_variance: own(&self.log_variance),
            deviation: own(&self.deviation),
        }
    }

    /// The samples that `rows` (`[n]` i64) name.
    pub fn select(&self, rows: &Tensor) -> Self {
        let own = |t: &Tensor| t.index_select(0, rows);
        Self {
            mean: own(&self.mean),
            log_variance: own(&self.log_variance),
            deviation: own(&self.deviation),
        }
    }

    /// Minus the divergence to the standard normal, summed over dimensions, mean over samples:
    /// `½ Σ (1 + log σ² − μ² − σ²) / B`. A scalar.
    pub fn minus_divergence(&self) -> Tensor {
        let size = self.mean.size();
        let inner = &self.log_variance - self.mean.square() - self.deviation.square();
        (inner.sum(Kind::Float) / size[0] as f64 + size[1] as f64) * 0.5
    }
}

/// `[B, L]` to `[B, outputs]`.
#[derive(Debug)]
pub struct Decoder {
    layer: Dense,
    output: Activation,
}

impl Decoder {
    /// Random weights from libtorch's generator.
    pub fn new(latent: i64, outputs: i64, output: Activation, device: Device) -> Self {
        Self {
            layer: Dense::new(latent, outputs, INIT, device),
            output,
        }
    }

    /// What the latents stand for.
    pub fn forward(&self, latents: &Tensor) -> Tensor {
        self.output.apply(self.layer.forward(latents))
    }

    /// Adds the layer under its official name, sharing memory and without gradients.
    pub fn state(&self, name: &str, into: &mut NamedTensors) {
        let mut own = NamedTensors::new();
        self.parameters(name, &mut own);
        into.extend(own.into_iter().map(|(name, t)| (name, t.detach())));
    }

    /// Adds the parameters, for an optimiser.
    pub fn parameters(&self, name: &str, into: &mut NamedTensors) {
        self.layer.state(&format!("{name}.model.0"), into);
    }

    /// Adds the gradients of the layer under its official name.
    pub fn gradients(&self, name: &str, into: &mut NamedTensors) {
        let mut own = NamedTensors::new();
        self.parameters(name, &mut own);
        into.extend(own.into_iter().map(|(name, t)| (name, t.grad())));
    }
}
