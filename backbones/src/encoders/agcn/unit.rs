//! A block: graph convolution, then convolution over frames.

use szar_core::{NamedTensors, Result, SkeletonLayout};
use tch::{Kind, Tensor};

use super::convolution::{FoldedConvolution, GraphConvolution};
use super::names;
use crate::encoders::gcn::{Block, FoldedBlock, FoldedShortcut, Plan, Shortcut, convolve, normalise, start};
use crate::encoders::layers::{Conv, Norm};

/// Frames that a convolution over time sees.
const FRAMES: i64 = 9;

/// A block of `agcn`, or of `aagcn` where `ATTENTIVE`.
#[derive(Debug)]
pub struct Unit<const ATTENTIVE: bool> {
    spatial: GraphConvolution,
    temporal: Conv,
    norm: Norm,
    residual: Shortcut,
    stride: i64,
}

/// A [`Unit`] in evaluation mode.
#[derive(Debug)]
pub struct FoldedUnit {
    spatial: FoldedConvolution,
    temporal: (Tensor, Tensor),
    residual: FoldedShortcut,
    stride: i64,
}

impl<const ATTENTIVE: bool> Unit<ATTENTIVE> {
    /// Over the graph `[K, V, V]`; `attention` is AAGCN's over joints, frames and channels.
    pub(super) fn new(plan: &Plan, graph: &Tensor, attention: bool) -> Self {
        let device = graph.device();
        let mut temporal = Conv::new(plan.output, plan.output, FRAMES, device);
        start::kaiming(&mut temporal);
        Self {
            spatial: GraphConvolution::new(plan.input, plan.output, graph, ATTENTIVE, attention),
            temporal,
            norm: Norm::new(plan.output, device),
            residual: if plan.residual {
                Shortcut::new(plan.input, plan.output, plan.stride, device)
            } else {
                Shortcut::None
            },
            stride: plan.stride,
        }
    }
}

impl<const ATTENTIVE: bool> Block for Unit<ATTENTIVE> {
    const NAME: &'static str = if ATTENTIVE { "aagcn" } else { "agcn" };
    type Folded = FoldedUnit;

    fn collect(&self, prefix: &str, into: &mut NamedTensors) {
        self.spatial.collect(&format!("{prefix}.gcn1"), into);
        self.temporal.collect(&format!("{prefix}.tcn1.conv"), into);
        self.norm.collect(&format!("{prefix}.tcn1.bn"), into);
        let residual = |part: &str| format!("{prefix}.residual.{part}");
        self.residual.collect(&residual("conv"), &residual("bn"), into);
    }

    fn train(&self, x: &Tensor, kind: Kind) -> Tensor {
        let y = self.spatial.train(x, kind);
        let (weight, bias) = (
            self.temporal.weight.to_kind(kind),
            self.temporal.bias.to_kind(kind),
        );
        let y = convolve(&y, &weight, &bias, self.stride, 1);
        let y = normalise(&y, &self.norm);
        self.residual.add_in_training(y, x, kind).relu_()
    }

    fn fold(&self, kind: Kind) -> FoldedUnit {
        let (weight, bias) = self.temporal.followed_by(&self.norm.affine());
        FoldedUnit {
            spatial: self.spatial.fold(kind),
            temporal: (weight.to_kind(kind), bias.to_kind(kind)),
            residual: self.residual.fold(kind),
            stride: self.stride,
        }
    }

    fn freeze_graph(&self, frozen: bool) {
        self.spatial.relation.freeze(frozen);
    }

    fn translate(given: &mut NamedTensors, layout: &SkeletonLayout) -> Result<()> {
        names::from_pyskl(given, layout)
    }
}

impl FoldedBlock for FoldedUnit {
    fn forward(&self, x: &Tensor) -> Tensor {
        let y = self.spatial.forward(x);
        let y = convolve(&y, &self.temporal.0, &self.temporal.1, self.stride, 1);
        self.residual.add(y, x).relu_()
    }
}
