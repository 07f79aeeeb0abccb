//! Graph convolution over windows of frames.

use szar_core::{NamedTensors, SkeletonLayout};
use tch::{Device, Kind, Tensor};

use super::aggregate::{Aggregate, FoldedAggregate, Sizes};
use crate::encoders::layers::{Conv, Norm, channels_first, strided};

/// An [`Aggregate`] over windows, then a product that makes one frame of each.
#[derive(Debug)]
pub(super) struct Window {
    aggregate: Aggregate,
    /// `[C_out, C, 1, W, 1]`.
    weight: Tensor,
    bias: Tensor,
    norm: Norm,
    frames: i64,
    stride: i64,
}

/// [`Window`] in evaluation mode.
#[derive(Debug)]
pub(super) struct FoldedWindow {
    aggregate: FoldedAggregate,
    /// `[W * C, C_out]` and `[C_out]`.
    weight: Tensor,
    bias: Tensor,
    frames: i64,
    stride: i64,
}

impl Window {
    /// Windows of `sizes.window` frames, an odd number, around every `stride`-th frame; `output` channels.
    pub(super) fn new(
        layout: &SkeletonLayout,
        sizes: Sizes,
        output: i64,
        stride: i64,
        device: Device,
    ) -> Self {
        let frames = sizes.window as i64;
        let Conv { weight, bias } = Conv::new(sizes.output, output, frames, device);
        Self {
            aggregate: Aggregate::new(layout, sizes, device),
            weight: weight.detach().unsqueeze(2).set_requires_grad(true),
            bias,
            norm: Norm::new(output, device),
            frames,
            stride,
        }
    }

    pub(super) fn collect(&self, prefix: &str, into: &mut NamedTensors) {
        self.aggregate.collect(&format!("{prefix}.gcn3d.1"), into);
        into.insert(format!("{prefix}.out_conv.weight"), self.weight.shallow_clone());
        into.insert(format!("{prefix}.out_conv.bias"), self.bias.shallow_clone());
        self.norm.collect(&format!("{prefix}.out_bn"), into);
    }

    /// `[W * C, C_out]`, frames before channels.
    fn product(&self) -> Tensor {
        let output = self.weight.size()[0];
        let weight = self.weight.view([output, -1, self.frames]);
        weight.permute([2, 1, 0]).reshape([-1, output])
    }

    /// `[n, T, V, C_in]` to `[n, C_out, T', V]`.
    pub(super) fn train(&self, x: &Tensor, kind: Kind) -> Tensor {
        let inside = self.aggregate.train(&windows(x, self.frames, self.stride), kind);
        let weight = self.product().to_kind(kind);
        let bias = self.bias.to_kind(kind);
        let y = bias.addmm(&inside.view([-1, weight.size()[0]]), &weight);
        self.norm
            .train(&channels_first(&frames_of(&y, x, self.stride)), 1.0)
    }

    pub(super) fn fold(&self, kind: Kind) -> FoldedWindow {
        let (scale, shift) = self.norm.affine();
        FoldedWindow {
            aggregate: self.aggregate.fold(kind),
            weight: (self.product() * &scale).to_kind(kind),
            bias: (&self.bias * scale + shift).to_kind(kind),
            frames: self.frames,
            stride: self.stride,
        }
    }
}

impl FoldedWindow {
    /// Adds what `x` `[n, T, V, C_in]` gives to `sum` `[n, T', V, C_out]`.
    pub(super) fn add_to(&self, sum: &Tensor, x: &Tensor) {
        let inside = self.aggregate.forward(&windows(x, self.frames, self.stride));
        let output = self.bias.size()[0];
        let mut rows = sum.view([-1, output]);
        let _ = rows
            .addmm_(&inside.view([-1, self.weight.size()[0]]), &self.weight)
            .g_add_(&self.bias);
    }
}

/// Rows `[n * T' * V, C]` as `[n, T', V, C]`, for windows around every `stride`-th frame of `x` `[n, T, V, _]`.
fn frames_of(rows: &Tensor, x: &Tensor, stride: i64) -> Tensor {
    let size = x.size();
    rows.view([size[0], strided(size[1], stride), size[2], -1])
}

/// Windows of `length` frames around every `stride`-th frame of `x` `[n, T, V, C]`, zeros outside the motion:
/// `[n * T', length * V, C]`.
fn windows(x: &Tensor, length: i64, stride: i64) -> Tensor {
    let size = x.size();
    let reach = (length - 1) / 2;
    let padded = x.constant_pad_nd([0i64, 0, 0, 0, reach, reach]);
    let count = strided(size[1], stride);
    let frames: Vec<i64> = (0..count * length)
        .map(|i| i / length * stride + i % length)
        .collect();
    let frames = Tensor::from_slice(&frames).to_device(x.device());
    padded
        .index_select(1, &frames)
        .view([size[0] * count, length * size[2], size[3]])
}
