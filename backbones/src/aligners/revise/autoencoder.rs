//! An autoencoder with a way from its code to the common space.

use szar_core::NamedTensors;
use tch::{Device, Kind, Tensor};

use crate::aligners::training::{Dense, Init};

/// Sizes of an autoencoder.
#[derive(Clone, Copy, Debug)]
pub(super) struct Sizes {
    pub inputs: i64,
    /// Units of the middle layers; `None` for one layer each way.
    pub hidden: Option<i64>,
    pub code: i64,
    pub common: i64,
}

/// Official names `encoder.{0,2}`, `decoder.{0,2}`, `transformation.0`.
#[derive(Debug)]
pub(super) struct Autoencoder {
    encoder: Vec<Dense>,
    decoder: Vec<Dense>,
    transformation: Dense,
}

impl Autoencoder {
    pub fn new(sizes: Sizes, device: Device) -> Self {
        let Sizes {
            inputs,
            hidden,
            code,
            common,
        } = sizes;
        let layer = |from: i64, to: i64| Dense::new(from, to, Init::Torch, device);
        let (encoder, decoder) = match hidden {
            None => (vec![layer(inputs, code)], vec![layer(code, inputs)]),
            Some(hidden) => (
                vec![layer(inputs, hidden), layer(hidden, code)],
                vec![layer(code, hidden), layer(hidden, inputs)],
            ),
        };
        Self {
            encoder,
            decoder,
            transformation: layer(code, common),
        }
    }

    pub fn inputs(&self) -> i64 {
        self.encoder[0].weight.size()[1]
    }

    pub fn common(&self) -> i64 {
        self.transformation.weight.size()[0]
    }

    /// `[n, N]` to the code `[n, 100]`.
    pub fn encode(&self, x: &Tensor) -> Tensor {
        through(&self.encoder, x)
    }

    /// The code back to `[n, N]`.
    pub fn decode(&self, code: &Tensor) -> Tensor {
        through(&self.decoder, code)
    }

    /// The code to the common space, within ±1.
    pub fn transform(&self, code: &Tensor) -> Tensor {
        self.transformation.forward(code).tanh()
    }

    /// `[n, N]` to the common space.
    pub fn embed(&self, x: &Tensor) -> Tensor {
        self.transform(&self.encode(x))
    }

    /// `[n, N]`: the gradient of the sum of each sample's code by its input, differentiable in the weights. Rectified
    /// layers are linear where they are, so that it is a product of weights and of who is above 0.
    pub fn slope_of_sum(&self, x: &Tensor) -> Tensor {
        let active = self.active(x);
        let last = active.len() - 1;
        let start = active[last].shallow_clone();
        (0..last)
            .rev()
            .fold(start, |slope, i| {
                slope.mm(&self.encoder[i + 1].weight) * &active[i]
            })
            .mm(&self.encoder[0].weight)
    }

    /// Scalar: the squared Frobenius norm of the Jacobian of the code by the input, averaged over the samples.
    pub fn jacobian(&self, x: &Tensor) -> Tensor {
        let active = self.active(x);
        let first = &self.encoder[0].weight;
        let squares = match self.encoder.get(1) {
            None => active[0].mv(&first
                .square()
                .sum_dim_intlist([-1i64].as_slice(), false, Kind::Float)),
            Some(second) => {
                // Rows D₂ W₂ D₁ per sample; their products with W₁ have the squares r W₁ W₁ᵀ rᵀ.
                let rows = active[1].unsqueeze(-1) * &second.weight * active[0].unsqueeze(1);
                let gram = first.mm(&first.transpose(0, 1));
                (rows.matmul(&gram) * &rows).sum_dim_intlist([1i64, 2].as_slice(), false, Kind::Float)
            }
        };
        squares.mean(Kind::Float)
    }

    /// Who is above 0 in each layer of the encoder, `[n, units]` of 0 and 1.
    fn active(&self, x: &Tensor) -> Vec<Tensor> {
        let mut active = Vec::with_capacity(self.encoder.len());
        let _ = tch::no_grad(|| {
            self.encoder.iter().fold(x.shallow_clone(), |x, layer| {
                let y = layer.forward(&x).relu();
                active.push(y.gt(0.0).to_kind(Kind::Float));
                y
            })
        });
        active
    }

    pub fn state(&self, name: &str, into: &mut NamedTensors) {
        for (part, layers) in [("encoder", &self.encoder), ("decoder", &self.decoder)] {
            for (i, layer) in layers.iter().enumerate() {
                layer.state(&format!("{name}.{part}.{}", 2 * i), into);
            }
        }
        self.transformation
            .state(&format!("{name}.transformation.0"), into);
    }
}

fn through(layers: &[Dense], x: &Tensor) -> Tensor {
    layers
        .iter()
        .fold(x.shallow_clone(), |x, layer| layer.forward(&x).relu())
}

#[cfg(test)]
mod tests {
    use super::*;
    use tch::kind::FLOAT_CPU;

    #[test]
    fn slopes_are_those_that_autograd_finds() {
        for hidden in [None, Some(7)] {
            let sizes = Sizes {
                inputs: 5,
                hidden,
                code: 4,
                common: 3,
            };
            let net = Autoencoder::new(sizes, Device::Cpu);
            let x = Tensor::randn([6, 5], FLOAT_CPU).set_requires_grad(true);
            let by_unit: Vec<Tensor> = (0..4)
                .map(|unit| {
                    let code = net.encode(&x).select(1, unit).sum(Kind::Float);
                    Tensor::run_backward(&[code], &[&x], true, false).remove(0)
                })
                .collect();
            let jacobian = Tensor::stack(&by_unit, 0); // [code, n, N]
            let sum = jacobian.sum_dim_intlist([0i64].as_slice(), false, Kind::Float);
            assert!(net.slope_of_sum(&x).allclose(&sum, 1e-4, 1e-6, false));
            let want = jacobian.square().sum(Kind::Float).double_value(&[]) / 6.0;
            assert!((net.jacobian(&x).double_value(&[]) - want).abs() < 1e-5);
        }
    }
}
