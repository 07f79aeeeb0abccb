//! The network as it is evaluated: normalisation folded into the products before it.

use std::collections::BTreeMap;

use tch::{Kind, Tensor, no_grad};

use super::net::{Block, COORDINATES, Net, Residual, Spatial};
use crate::encoders::layers::{channels_first, channels_last, temporal};

/// Weights with the statistics of the normalisations multiplied in. Equal to the network in evaluation mode up to
/// rounding.
#[derive(Debug)]
pub(super) struct Folded {
    kind: Kind,
    /// `(scale, shift)`, each `[V, 3]`.
    input: (Tensor, Tensor),
    blocks: Vec<FoldedBlock>,
    /// What an absent person (all zeros) gives, `[1, T', V, N]`, by T.
    absent: BTreeMap<i64, Tensor>,
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
        no_grad(|| {
            let (scale, shift) = net.input_norm.affine();
            let joints = |x: &Tensor| x.view([-1, COORDINATES]);
            Self {
                kind,
                input: (joints(&scale), joints(&shift)),
                blocks: net
                    .blocks
                    .iter()
                    .map(|b| FoldedBlock::new(b, &net.graph, kind))
                    .collect(),
                absent: BTreeMap::new(),
            }
        })
    }

    /// `x` `[n, T, V, 3]` f32 to `[n, T', V, N]` f32. `tap` sees every block's output `[n, T, V, C]`.
    pub(super) fn forward(&self, x: &Tensor, tap: &mut dyn FnMut(&Tensor)) -> Tensor {
        no_grad(|| {
            let x = (x * &self.input.0 + &self.input.1).to_kind(self.kind);
            let last = self.blocks.iter().fold(x, |x, block| {
                let y = block.forward(&x);
                tap(&y);
                y
            });
            last.to_kind(Kind::Float)
        })
    }

    /// What an absent person gives over `frames` frames, `[1, T', V, N]`; computed once.
    pub(super) fn absent(&mut self, frames: i64) -> Tensor {
        if let Some(known) = self.absent.get(&frames) {
            return known.shallow_clone();
        }
        let joints = self.input.0.size()[0];
        let x = Tensor::zeros(
            [1, frames, joints, COORDINATES],
            (Kind::Float, self.input.0.device()),
        );
        let out = self.forward(&x, &mut |_| {});
        self.absent.insert(frames, out.shallow_clone());
        out
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
