//! The network as it is evaluated: normalisations folded into the products before them.

use tch::{Kind, Tensor, no_grad};

use super::aggregate::FoldedAggregate;
use super::net::{Block, Net};
use super::temporal::FoldedTemporal;
use super::window::FoldedWindow;
use crate::encoders::gcn::{self, COORDINATES, InputAffine};
use crate::encoders::layers::{channels_first, channels_last};

/// Weights with the statistics of the normalisations multiplied in. Equal to the network in evaluation mode up to
/// rounding.
#[derive(Debug)]
pub struct Folded {
    kind: Kind,
    input: InputAffine,
    blocks: Vec<FoldedBlock>,
}

#[derive(Debug)]
struct FoldedBlock {
    aggregate: FoldedAggregate,
    inner: [FoldedTemporal; 2],
    windows: [FoldedWindow; 2],
    last: FoldedTemporal,
}

impl Folded {
    pub(super) fn new(net: &Net, kind: Kind) -> Self {
        no_grad(|| Self {
            kind,
            input: net.input_norm.affine(COORDINATES),
            blocks: net.blocks.iter().map(|b| FoldedBlock::new(b, kind)).collect(),
        })
    }
}

impl gcn::Folded for Folded {
    fn forward(&self, x: &Tensor, slots: &[i64], tap: &mut dyn FnMut(&Tensor)) -> Tensor {
        let x = self.input.apply(x, slots).to_kind(self.kind);
        let x = channels_first(&x).contiguous();
        let last = self.blocks.iter().fold(x, |x, block| {
            let y = block.forward(&x);
            tap(&channels_last(&y));
            y
        });
        channels_last(&last.to_kind(Kind::Float))
    }
}

impl FoldedBlock {
    fn new(block: &Block, kind: Kind) -> Self {
        Self {
            aggregate: block.aggregate.fold(kind),
            inner: block.inner.each_ref().map(|t| t.fold(kind)),
            windows: block.windows.each_ref().map(|w| w.fold(kind)),
            last: block.last.fold(kind),
        }
    }

    /// `[n, C_in, T, V]` to `[n, C_out, T', V]`.
    fn forward(&self, x: &Tensor) -> Tensor {
        let y = self.aggregate.forward(x).squeeze_dim(2);
        let y = self.inner[0].forward(&y).relu_();
        let mut sum = self.inner[1].forward(&y);
        for window in &self.windows {
            window.add_to(&mut sum, x);
        }
        self.last.forward(&sum.relu_()).relu_()
    }
}
