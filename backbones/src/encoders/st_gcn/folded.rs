//! The network as it is evaluated: normalisation folded into the products before it.

use tch::{Kind, Tensor, no_grad};

use super::net::{Block, Net, Residual, Spatial};
use crate::encoders::gcn::{self, COORDINATES, InputAffine};
use crate::encoders::layers::{channels_first, channels_last, temporal};

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
    spatial: Spatial,
    temporal: (Tensor, Tensor),
    residual: FoldedResidual,
    stride: i64,
}

#[derive(Debug)]
enum FoldedResidual {
    None,
    Identity,
    Conv(Tensor, Tensor),
}

impl Folded {
    pub(super) fn new(net: &Net, kind: Kind) -> Self {
        no_grad(|| Self {
            kind,
            input: net.input_norm.affine(COORDINATES),
            blocks: net
                .blocks
                .iter()
                .map(|b| FoldedBlock::new(b, &net.graph, kind))
                .collect(),
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
    fn new(block: &Block, graph: &Tensor, kind: Kind) -> Self {
        let pair = |(w, b): (Tensor, Tensor)| (w.to_kind(kind), b.to_kind(kind));
        let residual = match &block.residual {
            Residual::None => FoldedResidual::None,
            Residual::Identity => FoldedResidual::Identity,
            Residual::Conv(conv, norm) => {
                let (weight, bias) = pair(conv.followed_by(&norm.affine()));
                FoldedResidual::Conv(weight, bias)
            }
        };
        Self {
            spatial: Spatial::new(
                &block.edges(graph),
                &block.spatial,
                Some(&block.norm.affine()),
                kind,
            ),
            temporal: pair(block.temporal.followed_by(&block.last_norm.affine())),
            residual,
            stride: block.stride,
        }
    }

    fn forward(&self, x: &Tensor) -> Tensor {
        let y = channels_first(&self.spatial.apply(x).relu_());
        let mut y = temporal(&y, &self.temporal.0, &self.temporal.1, self.stride);
        match &self.residual {
            FoldedResidual::None => {}
            FoldedResidual::Identity => y += channels_first(x),
            FoldedResidual::Conv(weight, bias) => {
                y += temporal(&channels_first(x), weight, bias, self.stride);
            }
        }
        channels_last(&y.relu_())
    }
}
