//! What joints at each distance tell, and a product over all of it.

use szar_core::{NamedTensors, SkeletonLayout};
use tch::{Device, Kind, Tensor};

use super::graph::disentangled;
use crate::encoders::layers::{Conv, Norm};

/// How far from 0 the learned part of a graph starts.
const START: f64 = 1e-6;

/// `relu(BN([(A_k + R_k) x]_k W + b))` over the nodes of a window.
#[derive(Debug)]
pub(super) struct Aggregate {
    /// `[K * W V, W V]`: fixed, and learned in addition.
    graph: Tensor,
    learned: Tensor,
    /// `[C_out, K * C_in, 1, 1]`, distance-major.
    linear: Conv,
    norm: Norm,
    scales: i64,
    window: i64,
}

/// [`Aggregate`] in evaluation mode.
#[derive(Debug)]
pub(super) struct FoldedAggregate {
    rows: Tensor,
    /// `[K * C_in, C_out]` and `[C_out]`.
    weight: Tensor,
    bias: Tensor,
}

/// Sizes of an [`Aggregate`].
#[derive(Clone, Copy, Debug)]
pub(super) struct Sizes {
    pub(super) scales: usize,
    pub(super) window: usize,
    pub(super) input: i64,
    pub(super) output: i64,
}

impl Aggregate {
    pub(super) fn new(layout: &SkeletonLayout, sizes: Sizes, device: Device) -> Self {
        let graph = disentangled(layout, sizes.scales, sizes.window).to_device(device);
        let scales = sizes.scales as i64;
        Self {
            learned: graph.empty_like().uniform_(-START, START).set_requires_grad(true),
            graph,
            linear: Conv::new(scales * sizes.input, sizes.output, 1, device),
            norm: Norm::new(sizes.output, device),
            scales,
            window: sizes.window as i64,
        }
    }

    pub(super) fn collect(&self, prefix: &str, into: &mut NamedTensors) {
        into.insert(format!("{prefix}.A_res"), self.learned.shallow_clone());
        self.linear.collect(&format!("{prefix}.mlp.layers.0"), into);
        self.norm.collect(&format!("{prefix}.mlp.layers.1"), into);
    }

    /// The whole graph with one row for every joint, frame and distance, in this order: `[V W K, W V]`.
    fn rows(&self) -> Tensor {
        let graph = &self.graph + &self.learned;
        let nodes = graph.size()[1];
        graph
            .view([self.scales, self.window, -1, nodes])
            .permute([2, 1, 0, 3])
            .reshape([-1, nodes])
    }

    /// `x` `[f, W V, C_in]`, frames before joints, to `[f * V * W, C_out]`, joints before frames.
    pub(super) fn train(&self, x: &Tensor, kind: Kind) -> Tensor {
        let weight = self.linear.weight.flatten(1, -1).tr().to_kind(kind);
        let told = told(&self.rows().to_kind(kind), x, self.scales);
        let y = self.linear.bias.to_kind(kind).addmm(&told, &weight);
        self.norm.train(&y, 1.0).relu_()
    }

    pub(super) fn fold(&self, kind: Kind) -> FoldedAggregate {
        let (weight, bias) = self.linear.followed_by(&self.norm.affine());
        FoldedAggregate {
            rows: self.rows().to_kind(kind),
            weight: weight.flatten(1, -1).tr().contiguous().to_kind(kind),
            bias: bias.to_kind(kind),
        }
    }
}

impl FoldedAggregate {
    /// As [`Aggregate::train`].
    pub(super) fn forward(&self, x: &Tensor) -> Tensor {
        let scales = self.weight.size()[0] / x.size()[2];
        let mut y = self.bias.addmm(&told(&self.rows, x, scales), &self.weight);
        y.relu_()
    }
}

/// `x` `[f, U, C]` through rows `[R * K, U]`: `[f * R, K * C]`.
fn told(rows: &Tensor, x: &Tensor, scales: i64) -> Tensor {
    let (size, shape) = (x.size(), rows.size());
    let (frames, joints, channels) = (size[0], size[1], size[2]);
    if rows.requires_grad() {
        // One product for all frames: the gradient of a learned graph is then made once, not once for every frame.
        let all = rows.mm(&x.permute([1, 0, 2]).reshape([joints, frames * channels]));
        let all = all.view([shape[0] / scales, scales, frames, channels]);
        return all.permute([2, 0, 1, 3]).reshape([-1, scales * channels]);
    }
    let all = rows.unsqueeze(0).expand([frames, shape[0], shape[1]], false);
    all.bmm(x).view([-1, scales * channels])
}
