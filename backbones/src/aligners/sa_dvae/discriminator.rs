//! Tells whether meaning and style are of one sample.

use szar_core::NamedTensors;
use tch::{Device, Reduction, Tensor};

use super::super::training::{Dense, Init};

/// Two layers, from `[B, L]` to one logit a sample.
#[derive(Debug)]
pub struct Discriminator {
    hidden: Dense,
    output: Dense,
}

impl Discriminator {
    /// Random weights from libtorch's generator; a quarter of the inputs as hidden units.
    pub fn new(inputs: i64, device: Device) -> Self {
        let (hidden, init) = ((inputs / 4).max(1), Init::Xavier(0.5));
        Self {
            hidden: Dense::new(inputs, hidden, init, device),
            output: Dense::new(hidden, 1, init, device),
        }
    }

    /// The parameters under official names.
    pub fn parameters(&self) -> NamedTensors {
        let mut all = NamedTensors::new();
        self.hidden.state("discriminator.net.0", &mut all);
        self.output.state("discriminator.net.2", &mut all);
        all
    }

    /// `[B, 1]`, before the sigmoid.
    pub fn logits(&self, pairs: &Tensor) -> Tensor {
        self.output.forward(&self.hidden.forward(pairs).relu())
    }

    /// `[B, 1]` probabilities that pairs belong together; gradients reach the pairs but not the discriminator.
    pub fn judge(&self, pairs: &Tensor) -> Tensor {
        let fixed = |layer: &Dense, x: &Tensor| {
            let bias = layer.bias.as_ref().map(Tensor::detach);
            x.linear(&layer.weight.detach(), bias.as_ref())
        };
        fixed(&self.output, &fixed(&self.hidden, pairs).relu()).sigmoid()
    }
}

/// Pairs of one branch, made for the discriminator: those of one sample and those that were mixed.
#[derive(Debug)]
pub struct Pairs {
    /// `[B, L]`.
    pub own: Tensor,
    /// `[B, L]`.
    pub mixed: Tensor,
}

impl Pairs {
    /// Pairs of `meaning` and `style`; `orders` (`[2, B]` i64) says how each of them is mixed.
    pub fn new(meaning: &Tensor, style: &Tensor, orders: &Tensor) -> Self {
        let mixed = |x: &Tensor, i: i64| x.index_select(0, &orders.select(0, i));
        Self {
            own: Tensor::cat(&[meaning, style], 1),
            mixed: Tensor::cat(&[mixed(meaning, 0), mixed(style, 1)], 1),
        }
    }

    /// Logits of own and mixed pairs, `[B, 1]` each.
    pub fn logits(&self, discriminator: &Discriminator) -> [Tensor; 2] {
        let rows = self.own.size()[0];
        let both = discriminator.logits(&Tensor::cat(&[&self.own, &self.mixed], 0));
        [0, rows].map(|start| both.narrow(0, start, rows))
    }
}

/// Mean of both cross entropies: own pairs are true, mixed ones false. A scalar.
pub fn cross_entropy([own, mixed]: &[Tensor; 2]) -> Tensor {
    let none: Option<&Tensor> = None;
    let of = |logits: &Tensor, target: Tensor| {
        logits.binary_cross_entropy_with_logits(&target, none, none, Reduction::Mean)
    };
    (of(own, own.ones_like()) + of(mixed, mixed.zeros_like())) / 2.0
}
