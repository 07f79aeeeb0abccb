//! The network T(v, t) that judges pairs of a feature and a text.
//!
//! Its first layer is linear in both, `W [v; t] = W_v v + W_t t`, so that B features and C texts go through it once each, and
//! only their sums are made pair by pair.

use szar_core::NamedTensors;
use tch::{Device, Tensor};

use crate::aligners::purls::product;
use crate::aligners::training::{Dense, Init};

/// Pairs that go through the network at a time; some 4 MB of the first layer, which stay in the caches.
const PAIRS: i64 = 1024;

/// Official names `global_D.{l0,l1,l2}`.
#[derive(Debug)]
pub(super) struct Discriminator {
    first: Dense,
    second: Dense,
    last: Dense,
    channels: i64,
}

impl Discriminator {
    pub fn new(channels: i64, width: i64, hidden: [i64; 2], device: Device) -> Self {
        let layer = |from: i64, to: i64| Dense::new(from, to, Init::Torch, device);
        Self {
            first: layer(channels + width, hidden[0]),
            second: layer(hidden[0], hidden[1]),
            last: layer(hidden[1], 1),
            channels,
        }
    }

    pub fn channels(&self) -> i64 {
        self.channels
    }

    pub fn width(&self) -> i64 {
        self.first.weight.size()[1] - self.channels
    }

    /// Units of the first layer.
    pub fn units(&self) -> i64 {
        self.first.weight.size()[0]
    }

    /// `[n, N]` features to their part of the first layer `[n, units]`, the bias included.
    pub fn of_features(&self, features: &Tensor) -> Tensor {
        let weight = self.first.weight.narrow(1, 0, self.channels);
        features.linear(&weight, self.first.bias.as_ref())
    }

    /// `[n, d]` texts to their part of the first layer `[n, units]`.
    pub fn of_texts(&self, texts: &Tensor) -> Tensor {
        let none: Option<&Tensor> = None;
        let weight = self.first.weight.narrow(1, self.channels, self.width());
        texts.linear(&weight, none)
    }

    /// `[n]`: T of pairs whose parts add up to `[n, units]`.
    pub fn judge(&self, sums: Tensor) -> Tensor {
        let hidden = sums.relu();
        let hidden = match &self.second.bias {
            Some(bias) => product(&hidden, &self.second.weight, bias),
            None => self.second.forward(&hidden),
        };
        self.last.forward(&hidden.relu()).squeeze_dim(-1)
    }

    /// `[B, C]`: T of every pair of parts `[B, units]` and `[C, units]`.
    pub fn judge_all(&self, features: &Tensor, texts: &Tensor) -> Tensor {
        let (classes, units) = (texts.size()[0], self.units());
        let step = (PAIRS / classes.max(1)).max(1);
        let judged = features.split(step, 0).into_iter().map(|part| {
            let sums = part.unsqueeze(1) + texts;
            self.judge(sums.view([-1, units])).view([-1, classes])
        });
        Tensor::cat(&judged.collect::<Vec<_>>(), 0)
    }

    pub fn state(&self) -> NamedTensors {
        let mut state = NamedTensors::new();
        let layers = [&self.first, &self.second, &self.last];
        for (i, layer) in layers.into_iter().enumerate() {
            layer.state(&format!("global_D.l{i}"), &mut state);
        }
        state
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use tch::kind::FLOAT_CPU;

    #[test]
    fn parts_add_up_to_the_network_on_the_concatenation() {
        let net = Discriminator::new(6, 9, [40, 24], Device::Cpu);
        let (v, t) = (
            Tensor::randn([70, 6], FLOAT_CPU),
            Tensor::randn([31, 9], FLOAT_CPU),
        );
        let got = net.judge_all(&net.of_features(&v), &net.of_texts(&t));
        let pairs = Tensor::cat(
            &[
                v.unsqueeze(1).expand([70, 31, 6], false),
                t.unsqueeze(0).expand([70, 31, 9], false),
            ],
            -1,
        );
        let hidden = net.second.forward(&net.first.forward(&pairs).relu()).relu();
        let want = net.last.forward(&hidden).squeeze_dim(-1);
        assert!(got.allclose(&want, 1e-4, 1e-5, false));
    }
}
