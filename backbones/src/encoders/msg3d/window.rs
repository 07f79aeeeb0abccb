//! Graph convolution over windows of frames.

use szar_core::{NamedTensors, SkeletonLayout};
use tch::{Device, Kind, Tensor};

use super::aggregate::{Aggregate, FoldedAggregate, Sizes, for_each_person};
use crate::encoders::layers::{Conv, Norm};

/// An [`Aggregate`] over windows, then a product that makes one frame of each.
#[derive(Debug)]
pub(super) struct Window {
    aggregate: Aggregate,
    /// `[C_out, C, 1, W, 1]`.
    weight: Tensor,
    bias: Tensor,
    norm: Norm,
}

/// [`Window`] in evaluation mode.
#[derive(Debug)]
pub(super) struct FoldedWindow {
    aggregate: FoldedAggregate,
    /// `[C_out, C * W]` and `[C_out, 1, 1]`.
    weight: Tensor,
    bias: Tensor,
}

impl Window {
    /// Windows of `sizes.window` frames, an odd number, around every `sizes.stride`-th frame; `output` channels.
    pub(super) fn new(layout: &SkeletonLayout, sizes: Sizes, output: i64, device: Device) -> Self {
        let Conv { weight, bias } = Conv::new(sizes.output, output, sizes.window as i64, device);
        Self {
            aggregate: Aggregate::new(layout, sizes, device),
            weight: weight.detach().unsqueeze(2).set_requires_grad(true),
            bias,
            norm: Norm::new(output, device),
        }
    }

    pub(super) fn collect(&self, prefix: &str, into: &mut NamedTensors) {
        self.aggregate.collect(&format!("{prefix}.gcn3d.1"), into);
        into.insert(format!("{prefix}.out_conv.weight"), self.weight.shallow_clone());
        into.insert(format!("{prefix}.out_conv.bias"), self.bias.shallow_clone());
        self.norm.collect(&format!("{prefix}.out_bn"), into);
    }

    /// `[n, C_in, T, V]` to `[n, C_out, T', V]`.
    pub(super) fn train(&self, x: &Tensor, kind: Kind) -> Tensor {
        let inside = self.aggregate.train(x, kind);
        let weight = self.weight.flatten(1, -1).to_kind(kind);
        self.norm.train_shifted(&joined(&inside, &weight), &self.bias)
    }

    pub(super) fn fold(&self, kind: Kind) -> FoldedWindow {
        let (scale, shift) = self.norm.affine();
        FoldedWindow {
            aggregate: self.aggregate.fold(kind),
            weight: (self.weight.flatten(1, -1) * scale.unsqueeze(1)).to_kind(kind),
            bias: (&self.bias * scale + shift).view([-1, 1, 1]).to_kind(kind),
        }
    }
}

impl FoldedWindow {
    /// Adds what `x` `[n, C_in, T, V]` gives to `sum` `[n, C_out, T', V]`.
    pub(super) fn add_to(&self, sum: &mut Tensor, x: &Tensor) {
        let y = joined(&self.aggregate.forward(x), &self.weight);
        let _ = sum.g_add_(&y).g_add_(&self.bias);
    }
}

/// Frames of windows `[n, C, W, T', V]` as one, `[n, C_out, T', V]`, by weights `[C_out, C * W]`.
fn joined(inside: &Tensor, weight: &Tensor) -> Tensor {
    let size = inside.size();
    let y = for_each_person(weight, size[0]).bmm(&inside.view([size[0], size[1] * size[2], -1]));
    y.view([size[0], -1, size[3], size[4]])
}
