//! The graph convolution with a graph of its own for every channel.
//!
//! What is read lies channels last, as everywhere between blocks; the products over joints want every channel's joints
//! and frames together, so the result is `[n, C, V, T]`. Both turns are made by products, not by copies.

use szar_core::NamedTensors;
use tch::{Device, Kind, Tensor};

use crate::encoders::gcn::{COORDINATES, mean_over_time, start};
use crate::encoders::layers::Conv;

/// By how much the embeddings that are compared are narrower than what is read.
const REDUCTION: i64 = 8;

/// One of the K graphs of a block.
#[derive(Debug)]
struct Subset {
    /// Embedding into r channels of the joint that is made.
    targets: Conv,
    /// Embedding into r channels of the joint that is mixed in.
    sources: Conv,
    /// What is mixed, `[N, C, 1, 1]`.
    values: Conv,
    /// From differences of embeddings to channels, `[N, r, 1, 1]`.
    refine: Conv,
}

/// `Σ_i Q_i x_i` with its parameters.
#[derive(Debug)]
pub(super) struct Refinement {
    subsets: Vec<Subset>,
    /// `[K, V, V]`, learned if it requires gradients.
    graph: Tensor,
    /// α `[1]`.
    alpha: Tensor,
}

/// [`Refinement`] made ready for some arithmetic.
#[derive(Debug)]
pub(super) struct Ready {
    /// `[2 * K * r, C]` f32, targets first.
    embedding: Tensor,
    /// `[2 * K * r]` f32.
    embedding_bias: Tensor,
    subsets: Vec<ReadySubset>,
    /// `[N]`, added to every joint and frame.
    shift: Option<Tensor>,
    kind: Kind,
}

#[derive(Debug)]
struct ReadySubset {
    /// `[1, N, C]`.
    values: Tensor,
    /// `[1, N, 1]`.
    values_bias: Tensor,
    /// `[1, N, r]`, α times.
    refine: Tensor,
    /// `[1, N, V * V]`, the graph and α times the bias.
    edges: Tensor,
}

impl Refinement {
    /// Over the graph `[K, V, V]`, which is learned if `adaptive`.
    pub(super) fn new(input: i64, output: i64, graph: &Tensor, adaptive: bool) -> Self {
        let device = graph.device();
        let conv = |input, output| {
            let mut conv = Conv::new(input, output, 1, device);
            start::kaiming(&mut conv);
            conv
        };
        // The published rule: coordinates, of one or three joints at once, are not narrowed.
        let width = if input == COORDINATES || input == 9 {
            8
        } else {
            (input / REDUCTION).max(1)
        };
        let subset = |_| Subset {
            targets: conv(input, width),
            sources: conv(input, width),
            values: conv(input, output),
            refine: conv(width, output),
        };
        Self {
            subsets: (0..graph.size()[0]).map(subset).collect(),
            graph: if adaptive {
                start::parameter(graph)
            } else {
                graph.shallow_clone()
            },
            alpha: zero(device),
        }
    }

    pub(super) fn collect(&self, prefix: &str, into: &mut NamedTensors) {
        if self.graph.requires_grad() {
            into.insert(format!("{prefix}.PA"), self.graph.shallow_clone());
        }
        into.insert(format!("{prefix}.alpha"), self.alpha.shallow_clone());
        for (i, subset) in self.subsets.iter().enumerate() {
            let convs = [&subset.targets, &subset.sources, &subset.values, &subset.refine];
            for (k, conv) in convs.into_iter().enumerate() {
                conv.collect(&format!("{prefix}.convs.{i}.conv{}", k + 1), into);
            }
        }
    }

    /// Followed by `* scale + shift` per channel if given.
    pub(super) fn ready(&self, affine: Option<(Tensor, Tensor)>, kind: Kind) -> Ready {
        let targets = self.subsets.iter().map(|s| &s.targets);
        let both: Vec<&Conv> = targets.chain(self.subsets.iter().map(|s| &s.sources)).collect();
        let weights: Vec<_> = both.iter().map(|c| c.weight.flatten(1, -1)).collect();
        let biases: Vec<_> = both.iter().map(|c| c.bias.shallow_clone()).collect();
        let scale = affine.as_ref().map(|(scale, _)| scale);
        let graphs = self.graph.unbind(0);
        let subsets = self.subsets.iter().zip(&graphs);
        Ready {
            embedding: Tensor::cat(&weights, 0),
            embedding_bias: Tensor::cat(&biases, 0),
            subsets: subsets
                .map(|(subset, graph)| subset.ready(graph, &self.alpha, scale, kind))
                .collect(),
            shift: affine.map(|(_, shift)| shift.to_kind(kind)),
            kind,
        }
    }
}

fn zero(device: Device) -> Tensor {
    Tensor::zeros([1], (Kind::Float, device)).set_requires_grad(true)
}

impl Subset {
    fn ready(&self, graph: &Tensor, alpha: &Tensor, scale: Option<&Tensor>, kind: Kind) -> ReadySubset {
        let values = self.values.weight.flatten(1, -1);
        let (values, values_bias) = match scale {
            None => (values, self.values.bias.shallow_clone()),
            Some(scale) => (values * scale.unsqueeze(1), &self.values.bias * scale),
        };
        let refine = self.refine.weight.flatten(1, -1) * alpha;
        let edges = (&self.refine.bias * alpha).unsqueeze(1) + graph.reshape([1, -1]);
        ReadySubset {
            values: values.unsqueeze(0).to_kind(kind),
            values_bias: values_bias.view([1, -1, 1]).to_kind(kind),
            refine: refine.unsqueeze(0).to_kind(kind),
            edges: edges.unsqueeze(0).to_kind(kind),
        }
    }
}

impl Ready {
    /// `x` `[n, V, T, C]` to `[n, N, V, T]`.
    pub(super) fn apply(&self, x: &Tensor) -> Tensor {
        let size = x.size();
        let (n, v, t, c) = (size[0], size[1], size[2], size[3]);
        let channels = self.subsets.first().map_or(0, |s| s.values.size()[1]);
        let flat = x.view([n, v * t, c]).transpose(1, 2);
        let mut sum: Option<Tensor> = None;
        for (subset, differences) in self.subsets.iter().zip(self.differences(x)) {
            let whole = |part: &Tensor| part.expand([n, -1, -1], false);
            let graphs = subset
                .edges
                .baddbmm(&whole(&subset.refine), &differences, 1.0, 1.0);
            let values = subset
                .values_bias
                .baddbmm(&whole(&subset.values), &flat, 1.0, 1.0);
            let graphs = graphs.view([n * channels, v, v]);
            let values = values.view([n * channels, v, t]);
            sum = Some(match (sum, &self.shift) {
                (Some(mut sum), _) => sum.baddbmm_(&graphs, &values),
                (None, None) => graphs.bmm(&values),
                (None, Some(shift)) => {
                    let shift = shift.repeat([n]).view([n * channels, 1, 1]);
                    shift.baddbmm(&graphs, &values, 1.0, 1.0)
                }
            });
        }
        let sum = sum.unwrap_or_else(|| Tensor::zeros([n * channels, v, t], (x.kind(), x.device())));
        sum.view([n, channels, v, t])
    }

    /// `tanh(x1[u] - x2[v])` of the mean over frames: K of `[n, r, V * V]`.
    fn differences(&self, x: &Tensor) -> Vec<Tensor> {
        let (n, v) = (x.size()[0], x.size()[1]);
        let subsets = self.subsets.len() as i64;
        let mean = mean_over_time(x);
        let embedded = mean.linear(&self.embedding, Some(&self.embedding_bias));
        let embedded = embedded.transpose(1, 2).contiguous();
        let half = embedded.chunk(2, 1);
        let differences = (half[0].unsqueeze(3) - half[1].unsqueeze(2)).tanh();
        let differences = differences.to_kind(self.kind).view([n, subsets, -1, v * v]);
        differences.unbind(1)
    }
}
