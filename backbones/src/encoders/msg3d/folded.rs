//! The network as it is evaluated: normalisations folded into the products before them.

use tch::{Kind, Tensor, no_grad};

use super::aggregate::FoldedAggregate;
use super::net::{Block, Net};
use super::temporal::FoldedTemporal;
use super::window::FoldedWindow;
use crate::encoders::gcn::{self, COORDINATES, InputAffine};
use crate::encoders::layers::channels_last;

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
        let last = self.blocks.iter().fold(x, |x, block| {
            let y = block.forward(&x);
            tap(&y);
            y
        });
        last.to_kind(Kind::Float)
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

    /// `[n, T, V, C_in]` to `[n, T', V, C_out]`.
    fn forward(&self, x: &Tensor) -> Tensor {
        let size = x.size();
        let y = self
            .aggregate
            .forward(&x.reshape([size[0] * size[1], size[2], size[3]]));
        let y = y.view([size[0], size[1], size[2], -1]);
        let y = channels_last(&self.inner[0].forward(&y).relu_());
        let mut sum = channels_last(&self.inner[1].forward(&y)).contiguous();
        for window in &self.windows {
            window.add_to(&sum, x);
        }
        channels_last(&self.last.forward(&sum.relu_()).relu_())
    }
}
