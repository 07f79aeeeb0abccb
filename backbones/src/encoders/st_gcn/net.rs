//! The network: parameters under their official names, and the forward pass that is trained.

use szar_core::{NamedTensors, Result, SkeletonLayout};
use tch::{Device, Kind, Tensor, no_grad};

use super::config::{Init, StGcnConfig};
use super::folded::Folded;
use crate::encoders::gcn::{COORDINATES, InputNorm, Network};
use crate::encoders::layers::{
    Conv, Norm, channels_first, channels_last, drop, same_graph, strided, temporal,
};

/// How a block's input reaches its output past the convolutions.
#[derive(Debug)]
pub(super) enum Residual {
    None,
    Identity,
    Conv(Conv, Norm),
}

/// Spatial graph convolution, then temporal convolution.
#[derive(Debug)]
pub(super) struct Block {
    /// `[K * C_out, C_in, 1, 1]`, partition-major.
    pub(super) spatial: Conv,
    pub(super) norm: Norm,
    pub(super) temporal: Conv,
    pub(super) last_norm: Norm,
    pub(super) residual: Residual,
    pub(super) stride: i64,
    /// `[K, V, V]`, learned; `None` without edge importance.
    pub(super) importance: Option<Tensor>,
    dropout: f64,
}

/// One block's sizes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Plan {
    pub(super) input: i64,
    pub(super) output: i64,
    pub(super) stride: i64,
    pub(super) residual: bool,
}

/// ST-GCN with its classifier.
#[derive(Debug)]
pub struct Net {
    /// `[K, V, V]`, fixed.
    pub(super) graph: Tensor,
    /// Over V * C channels, joint-major.
    pub(super) input_norm: InputNorm,
    pub(super) blocks: Vec<Block>,
    /// `[S, N, 1, 1]`.
    pub(super) classifier: Conv,
}

impl Net {
    pub(super) fn new(config: &StGcnConfig, graph: &Tensor, seen_classes: i64, device: Device) -> Self {
        let graph = graph.to_device(device);
        let joints = graph.size()[1];
        let plan = config.plan();
        let input_norm = InputNorm::shared(joints * COORDINATES, device);
        let blocks: Vec<_> = plan.iter().map(|p| Block::new(p, config, &graph)).collect();
        let features = plan.last().map_or(0, |p| p.output);
        let classifier = Conv::new(features, seen_classes.max(1), 1, device);
        let net = Self {
            graph,
            input_norm,
            blocks,
            classifier,
        };
        if config.init == Init::Official {
            net.official_init();
        }
        net
    }

    /// Convolutions from N(0, 0.02²) with bias 0, normalisation weights from N(1, 0.02²).
    fn official_init(&self) {
        no_grad(|| {
            for (name, mut tensor) in self.state() {
                let shape = tensor.size();
                if name.ends_with(".weight") && shape.len() == 4 {
                    let _ = tensor.normal_(0.0, 0.02);
                } else if name.ends_with(".weight") {
                    let _ = tensor.normal_(1.0, 0.02);
                } else if name.ends_with(".bias") {
                    let _ = tensor.zero_();
                }
            }
        });
    }
}

impl Network for Net {
    const NAME: &'static str = "st-gcn";
    const HEAD: &'static str = "fcn";
    type Folded = Folded;

    fn state(&self) -> NamedTensors {
        let mut state = NamedTensors::new();
        state.insert("A".into(), self.graph.shallow_clone());
        self.input_norm.collect("data_bn", &mut state);
        for (i, block) in self.blocks.iter().enumerate() {
            block.collect(&format!("st_gcn_networks.{i}"), &mut state);
            if let Some(importance) = &block.importance {
                state.insert(format!("edge_importance.{i}"), importance.shallow_clone());
            }
        }
        self.classifier.collect("fcn", &mut state);
        state
    }

    fn head(&self) -> (&Tensor, &Tensor) {
        (&self.classifier.weight, &self.classifier.bias)
    }

    /// `A` is compared.
    fn accept(&self, given: &mut NamedTensors, layout: &SkeletonLayout) -> Result<()> {
        match given.remove("A") {
            Some(graph) => same_graph(&graph, &self.graph, &layout.name),
            None => Ok(()),
        }
    }

    fn train(&self, x: &Tensor, slots: &[i64], kind: Kind) -> Tensor {
        let x = self.input_norm.train(x, slots).to_kind(kind);
        self.blocks
            .iter()
            .fold(x, |x, block| block.train(&x, &self.graph, kind))
    }

    fn fold(&self, kind: Kind) -> Folded {
        Folded::new(self, kind)
    }
}

impl Block {
    fn new(plan: &Plan, config: &StGcnConfig, graph: &Tensor) -> Self {
        let (device, partitions) = (graph.device(), graph.size()[0]);
        let Plan {
            input,
            output,
            stride,
            residual,
        } = *plan;
        let residual = match residual {
            false => Residual::None,
            true if input == output && stride == 1 => Residual::Identity,
            true => Residual::Conv(Conv::new(input, output, 1, device), Norm::new(output, device)),
        };
        Self {
            spatial: Conv::new(input, partitions * output, 1, device),
            norm: Norm::new(output, device),
            temporal: Conv::new(output, output, config.temporal_kernel, device),
            last_norm: Norm::new(output, device),
            // The published first block has neither residual nor dropout.
            dropout: if matches!(residual, Residual::None) {
                0.0
            } else {
                config.dropout
            },
            residual,
            stride,
            importance: config
                .edge_importance
                .then(|| no_grad(|| graph.ones_like()).set_requires_grad(true)),
        }
    }

    fn collect(&self, prefix: &str, into: &mut NamedTensors) {
        self.spatial.collect(&format!("{prefix}.gcn.conv"), into);
        self.norm.collect(&format!("{prefix}.tcn.0"), into);
        self.temporal.collect(&format!("{prefix}.tcn.2"), into);
        self.last_norm.collect(&format!("{prefix}.tcn.3"), into);
        if let Residual::Conv(conv, norm) = &self.residual {
            conv.collect(&format!("{prefix}.residual.0"), into);
            norm.collect(&format!("{prefix}.residual.1"), into);
        }
    }

    /// The graph with the learned importance of its edges, `[K, V, V]`.
    pub(super) fn edges(&self, graph: &Tensor) -> Tensor {
        self.importance
            .as_ref()
            .map_or_else(|| graph.shallow_clone(), |e| graph * e)
    }

    fn train(&self, x: &Tensor, graph: &Tensor, kind: Kind) -> Tensor {
        let spatial = Spatial::new(&self.edges(graph), &self.spatial, None, kind);
        let y = channels_first(&spatial.apply(x));
        let y = self.norm.train(&y, 1.0).relu_();
        let (weight, bias) = (
            self.temporal.weight.to_kind(kind),
            self.temporal.bias.to_kind(kind),
        );
        let y = temporal(&y, &weight, &bias, self.stride);
        let y = self.last_norm.train(&y, 1.0 / (1.0 - self.dropout));
        let mut y = drop(y, self.dropout);
        let y = match &self.residual {
            Residual::None => y,
            Residual::Identity => y.g_add_(&channels_first(x)),
            Residual::Conv(conv, norm) => {
                let short = temporal(
                    &channels_first(x),
                    &conv.weight.to_kind(kind),
                    &conv.bias.to_kind(kind),
                    self.stride,
                );
                y.g_add_(&norm.train(&short, 1.0))
            }
        };
        let mut y = y;
        channels_last(&y.relu_())
    }
}

/// The spatial graph convolution in the order that costs least: joints are mixed first, for all K partitions in one
/// batched product with the small graph, then channels in one product over the K partitions' concatenation. The
/// official order makes K * C_out channels first and mixes those; in exact arithmetic it is the same, because
/// `Σ_k A_kᵀ (x W_k + b_k) = [A_1ᵀ x .. A_Kᵀ x] [W_1; ..; W_K] + Σ_k (column sums of A_k) b_k`.
#[derive(Debug)]
pub(super) struct Spatial {
    /// `[V * K, V]`, row `w * K + k`.
    mix: Tensor,
    /// `[K * C_in, C_out]`.
    weight: Tensor,
    /// `[V, C_out]`.
    bias: Tensor,
}

impl Spatial {
    /// From edges `[K, V, V]` and the official 1 x 1 convolution, followed by `* scale + shift` if given.
    pub(super) fn new(edges: &Tensor, conv: &Conv, affine: Option<&(Tensor, Tensor)>, kind: Kind) -> Self {
        let size = edges.size();
        let (k, v) = (size[0], size[1]);
        let input = conv.weight.size()[1];
        let weight = conv
            .weight
            .view([k, -1, input])
            .permute([0, 2, 1])
            .reshape([k * input, -1]);
        let column_sums = edges.sum_dim_intlist([1i64].as_slice(), false, Kind::Float);
        let bias = column_sums.tr().matmul(&conv.bias.view([k, -1]));
        let (weight, bias) = match affine {
            Some((scale, shift)) => (weight * scale, bias * scale + shift),
            None => (weight, bias),
        };
        Self {
            mix: edges.permute([2, 0, 1]).reshape([v * k, v]).to_kind(kind),
            weight: weight.to_kind(kind),
            bias: bias.to_kind(kind),
        }
    }

    /// `[n, T, V, C_in]` to `[n, T, V, C_out]`.
    pub(super) fn apply(&self, x: &Tensor) -> Tensor {
        let size = x.size();
        let (n, t, v, c) = (size[0], size[1], size[2], size[3]);
        let rows = self.mix.size()[0];
        let mix = self.mix.unsqueeze(0).expand([n * t, rows, v], false);
        let mixed = mix.bmm(&x.reshape([n * t, v, c]));
        let out = mixed.view([n * t * v, rows / v * c]).mm(&self.weight);
        let mut out = out.view([n, t, v, -1]);
        out.g_add_(&self.bias)
    }
}

/// T' of the last block for T frames.
pub(super) fn output_frames(plan: &[Plan], frames: i64) -> i64 {
    plan.iter().fold(frames, |t, block| strided(t, block.stride))
}
