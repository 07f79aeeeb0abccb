//! Fully connected layers under PyTorch's names.

use szar_core::NamedTensors;
use tch::{Device, Kind, Tensor};

/// How weights are drawn.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Init {
    /// PyTorch's own for linear layers: weight and bias from U(−1/√n, 1/√n) for n inputs.
    Torch,
    /// Weight from U(−a, a), a = gain·√(6 / (inputs + outputs)) (Glorot and Bengio 2010); bias 0.
    Xavier(f64),
}

/// `x Wᵀ + b`.
#[derive(Debug)]
pub struct Dense {
    /// `[outputs, inputs]`.
    pub weight: Tensor,
    /// `[outputs]`.
    pub bias: Option<Tensor>,
}

impl Dense {
    /// Random weights from libtorch's generator.
    pub fn new(inputs: i64, outputs: i64, init: Init, device: Device) -> Self {
        let options = (Kind::Float, device);
        let mut weight = Tensor::empty([outputs, inputs], options);
        let (weight, bias) = match init {
            Init::Torch => {
                let bound = 1.0 / (inputs as f64).sqrt();
                let bias = Tensor::empty([outputs], options).uniform_(-bound, bound);
                (weight.uniform_(-bound, bound), bias)
            }
            Init::Xavier(gain) => {
                let bound = gain * (6.0 / (inputs + outputs) as f64).sqrt();
                (weight.uniform_(-bound, bound), Tensor::zeros([outputs], options))
            }
        };
        Self {
            weight,
            bias: Some(bias),
        }
    }

    /// The same without a bias.
    pub fn without_bias(inputs: i64, outputs: i64, init: Init, device: Device) -> Self {
        Self {
            bias: None,
            ..Self::new(inputs, outputs, init, device)
        }
    }

    /// `[.., inputs]` to `[.., outputs]`.
    pub fn forward(&self, x: &Tensor) -> Tensor {
        x.linear(&self.weight, self.bias.as_ref())
    }

    /// Adds the parameters as `name.weight` and `name.bias`, sharing memory.
    pub fn state(&self, name: &str, into: &mut NamedTensors) {
        into.insert(format!("{name}.weight"), self.weight.shallow_clone());
        if let Some(bias) = &self.bias {
            into.insert(format!("{name}.bias"), bias.shallow_clone());
        }
    }
}

/// Turns gradients of parameters on or off; integer tensors and buffers named `running_*` are left alone.
pub fn set_trainable(parameters: &NamedTensors, on: bool) {
    for (name, tensor) in parameters {
        if tensor.is_floating_point() && !name.contains("running_") {
            let _ = tensor.set_requires_grad(on);
        }
    }
}
