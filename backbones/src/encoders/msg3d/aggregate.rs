//! What joints at each distance tell, and a product over all of it.

use szar_core::{NamedTensors, SkeletonLayout};
use tch::{Device, Kind, Tensor};

use super::graph::disentangled;
use crate::encoders::layers::{Conv, Norm, strided};

/// How far from 0 the learned part of a graph starts.
const START: f64 = 1e-6;

/// The nodes of a window of several frames are padded with zeros to a multiple of this many numbers, a cache line: products
/// over 125 nodes, or 75, take a quarter less time then.
const LINE: i64 = 16;

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
    windows: Windows,
}

/// [`Aggregate`] in evaluation mode.
#[derive(Debug)]
pub(super) struct FoldedAggregate {
    /// `[K, P, P]`, see [`Windows::padded`].
    graphs: Tensor,
    /// `[C_out, K * C_in]` and `[C_out, 1, 1, 1]`.
    weight: Tensor,
    bias: Tensor,
    windows: Windows,
}

/// Sizes of an [`Aggregate`].
#[derive(Clone, Copy, Debug)]
pub(super) struct Sizes {
    pub(super) scales: usize,
    pub(super) window: usize,
    pub(super) stride: i64,
    pub(super) input: i64,
    pub(super) output: i64,
}

/// Windows of W frames, an odd number, around every `stride`-th frame.
#[derive(Clone, Copy, Debug)]
struct Windows {
    frames: i64,
    stride: i64,
    joints: i64,
}

impl Windows {
    /// W V.
    fn nodes(self) -> i64 {
        self.frames * self.joints
    }

    /// P, as many numbers as a window's nodes take.
    fn padded(self) -> i64 {
        if self.frames == 1 {
            return self.nodes();
        }
        (self.nodes() + LINE - 1) / LINE * LINE
    }

    /// `x` `[n, C, T, V]` as `[n, C, L]`, frames one after the other with zeros around, from which [`Self::of`] cuts T'
    /// windows and nothing else.
    fn line(self, x: &Tensor) -> Tensor {
        let count = strided(x.size()[2], self.stride);
        let flat = x.flatten(2, 3);
        if self.frames == 1 && self.stride == 1 {
            return flat;
        }
        let before = (self.frames - 1) / 2 * self.joints;
        let length = (count - 1) * self.stride * self.joints + self.padded();
        flat.constant_pad_nd([before, length - before - flat.size()[2]])
    }

    /// Windows `[n, C, T', P]` of `[n, C, L]`, same memory. Past its nodes a window holds the beginning of the next frame.
    fn of(self, line: &Tensor) -> Tensor {
        if self.padded() == self.stride * self.joints {
            return line.unflatten(2, [-1, self.padded()]);
        }
        line.unfold(2, self.padded(), self.stride * self.joints)
    }
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
            windows: Windows {
                frames: sizes.window as i64,
                stride: sizes.stride,
                joints: layout.len() as i64,
            },
        }
    }

    pub(super) fn collect(&self, prefix: &str, into: &mut NamedTensors) {
        into.insert(format!("{prefix}.A_res"), self.learned.shallow_clone());
        self.linear.collect(&format!("{prefix}.mlp.layers.0"), into);
        self.norm.collect(&format!("{prefix}.mlp.layers.1"), into);
    }

    /// The whole graph, `[K, P, P]`, zeros past the nodes.
    fn graphs(&self) -> Tensor {
        let (nodes, more) = (self.windows.nodes(), self.windows.padded() - self.windows.nodes());
        let graph = (&self.graph + &self.learned).view([self.scales, nodes, nodes]);
        graph.constant_pad_nd([0, more, 0, more])
    }

    /// `x` `[n, C_in, T, V]` to `[n, C_out, W, T', V]`.
    pub(super) fn train(&self, x: &Tensor, kind: Kind) -> Tensor {
        let weight = self.linear.weight.flatten(1, -1).to_kind(kind);
        let y = told(x, &self.graphs().to_kind(kind), &weight, self.windows);
        self.norm.train_shifted(&y, &self.linear.bias).relu_()
    }

    pub(super) fn fold(&self, kind: Kind) -> FoldedAggregate {
        let (weight, bias) = self.linear.followed_by(&self.norm.affine());
        FoldedAggregate {
            graphs: self.graphs().to_kind(kind),
            weight: weight.flatten(1, -1).to_kind(kind),
            bias: bias.view([-1, 1, 1, 1]).to_kind(kind),
            windows: self.windows,
        }
    }
}

impl FoldedAggregate {
    /// As [`Aggregate::train`].
    pub(super) fn forward(&self, x: &Tensor) -> Tensor {
        let mut y = told(x, &self.graphs, &self.weight, self.windows);
        y.g_add_(&self.bias).relu_()
    }
}

/// `Σ_k W_k x A_kᵀ` over windows of `x` `[n, C_in, T, V]`, with graphs `[K, P, P]` and weights `[C_out, K * C_in]`:
/// `[n, C_out, W, T', V]`.
///
/// Of the two products the one that leaves fewer channels comes first. Either way the product over nodes takes long rows
/// of a whole person's windows, which is what keeps it fast.
fn told(x: &Tensor, graphs: &Tensor, weight: &Tensor, windows: Windows) -> Tensor {
    let (persons, channels) = (x.size()[0], x.size()[1]);
    let line = windows.line(x);
    let y = if channels < weight.size()[0] {
        nodes_first(&windows.of(&line), graphs, weight)
    } else {
        channels_first(&line, graphs, weight, windows)
    };
    y.view([persons, weight.size()[0], -1, windows.padded()])
        .narrow(3, 0, windows.nodes())
        .unflatten(3, [windows.frames, windows.joints])
        .transpose(2, 3)
        .contiguous()
}

/// Windows `[n, C_in, T', P]` through all graphs at once, then through the weights: `[n, C_out, T' P]`.
fn nodes_first(windows: &Tensor, graphs: &Tensor, weight: &Tensor) -> Tensor {
    let (size, scales) = (windows.size(), graphs.size()[0]);
    let (persons, nodes) = (size[0], size[3]);
    let told = windows.reshape([-1, nodes]).mm(&graphs.flatten(0, 1).tr());
    let told = told
        .view([persons, size[1], size[2], scales, nodes])
        .permute([0, 3, 1, 2, 4])
        .reshape([persons, scales * size[1], -1]);
    for_each_person(weight, persons).bmm(&told)
}

/// `[n, C_in, L]` through the weights of each distance, then its windows through the graph: `[n * C_out * T', P]`.
fn channels_first(line: &Tensor, graphs: &Tensor, weight: &Tensor, windows: Windows) -> Tensor {
    let scales = graphs.size()[0];
    let weights = weight.chunk(scales, 1);
    let parts = weights.iter().zip(graphs.unbind(0)).map(|(weight, graph)| {
        let x = windows.of(&for_each_person(weight, line.size()[0]).bmm(line));
        (x.reshape([-1, windows.padded()]), graph.tr())
    });
    let sum = parts.fold(None, |sum: Option<Tensor>, (x, graph)| match sum {
        Some(mut sum) => Some(sum.addmm_(&x, &graph)),
        None => Some(x.mm(&graph)),
    });
    // There is at least one distance.
    sum.unwrap_or_default()
}

/// One matrix as many times as there are persons, same memory.
pub(super) fn for_each_person(weight: &Tensor, persons: i64) -> Tensor {
    let size = weight.size();
    weight.unsqueeze(0).expand([persons, size[0], size[1]], false)
}
