//! The graph convolution of a block.

use szar_core::NamedTensors;
use tch::{Kind, Tensor};

use super::attention::Attention;
use super::relation::{Graphs, Relation};
use crate::encoders::gcn::{FoldedShortcut, Shortcut, normalise, start};
use crate::encoders::layers::{Conv, Norm};

/// What the normalisation after a graph convolution starts at: the block then begins as its shortcut.
const SMALL: f64 = 1e-6;

/// `relu(BN(Σ_i G_iᵀ x W_i + b_i) + down(x))`, then attention.
#[derive(Debug)]
pub(super) struct GraphConvolution {
    pub(super) relation: Relation,
    /// K of `[C_out, C_in, 1, 1]`.
    mixes: Vec<Conv>,
    norm: Norm,
    down: Shortcut,
    attention: Option<Attention>,
}

/// [`GraphConvolution`] in evaluation mode.
#[derive(Debug)]
pub(super) struct FoldedConvolution {
    graphs: Graphs,
    mix: Mix,
    down: FoldedShortcut,
    attention: Option<Attention>,
}

impl GraphConvolution {
    /// Over the graph `[K, V, V]`; `tanh` chooses AAGCN's graph.
    pub(super) fn new(input: i64, output: i64, graph: &Tensor, tanh: bool, attention: bool) -> Self {
        let (size, device) = (graph.size(), graph.device());
        let mix = |_| {
            let mut conv = Conv::new(input, output, 1, device);
            start::normal(&mut conv, (2.0 / (output * input * size[0]) as f64).sqrt());
            conv
        };
        let mut norm = Norm::new(output, device);
        start::constant(&mut norm, SMALL);
        Self {
            relation: Relation::new(input, output, graph, tanh),
            mixes: (0..size[0]).map(mix).collect(),
            norm,
            down: Shortcut::new(input, output, 1, device),
            attention: attention.then(|| Attention::new(output, size[1], device)),
        }
    }

    pub(super) fn collect(&self, prefix: &str, into: &mut NamedTensors) {
        self.relation.collect(prefix, into);
        for (i, mix) in self.mixes.iter().enumerate() {
            mix.collect(&format!("{prefix}.conv_d.{i}"), into);
        }
        self.norm.collect(&format!("{prefix}.bn"), into);
        self.down
            .collect(&format!("{prefix}.down.0"), &format!("{prefix}.down.1"), into);
        if let Some(attention) = &self.attention {
            attention.collect(prefix, into);
        }
    }

    /// `[n, V, T, C_in]` to `[n, V, T, C_out]`.
    pub(super) fn train(&self, x: &Tensor, kind: Kind) -> Tensor {
        let graphs = self.relation.ready(kind).of(x);
        let y = Mix::new(&self.mixes, None, kind).apply(&graphs, x);
        let mut y = self.down.add_in_training(normalise(&y, &self.norm), x, kind);
        let y = y.relu_();
        match &self.attention {
            None => y,
            Some(attention) => {
                let (places, channels) = attention.factors(&y);
                y * places * channels
            }
        }
    }

    pub(super) fn fold(&self, kind: Kind) -> FoldedConvolution {
        FoldedConvolution {
            graphs: self.relation.ready(kind),
            mix: Mix::new(&self.mixes, Some(&self.norm.affine()), kind),
            down: self.down.fold(kind),
            attention: self.attention.as_ref().map(Attention::detached),
        }
    }
}

impl FoldedConvolution {
    pub(super) fn forward(&self, x: &Tensor) -> Tensor {
        let y = self.mix.apply(&self.graphs.of(x), x);
        let mut y = self.down.add(y, x).relu_();
        match &self.attention {
            None => y,
            Some(attention) => {
                let (places, channels) = attention.factors(&y);
                y.g_mul_(&places).g_mul_(&channels)
            }
        }
    }
}

/// `Σ_i G_iᵀ x W_i + b`: joints first, one product a person over all its frames and channels, then channels.
#[derive(Debug)]
struct Mix {
    /// K of `[C_in, C_out]`.
    weights: Vec<Tensor>,
    /// `[C_out]`.
    bias: Tensor,
}

impl Mix {
    /// Of convolutions, followed by `* scale + shift` if given.
    fn new(convs: &[Conv], affine: Option<&(Tensor, Tensor)>, kind: Kind) -> Self {
        let biases: Vec<_> = convs.iter().map(|c| c.bias.shallow_clone()).collect();
        let bias = Tensor::stack(&biases, 0).sum_dim_intlist([0i64].as_slice(), false, Kind::Float);
        let weights = convs.iter().map(|c| c.weight.flatten(1, -1).tr());
        let (weights, bias): (Vec<_>, _) = match affine {
            Some((scale, shift)) => (weights.map(|w| w * scale).collect(), bias * scale + shift),
            None => (weights.collect(), bias),
        };
        Self {
            weights: weights.iter().map(|w| w.to_kind(kind)).collect(),
            bias: bias.to_kind(kind),
        }
    }

    /// `x` `[n, V, T, C_in]` over transposed graphs `[K, n, V, V]`.
    fn apply(&self, graphs: &Tensor, x: &Tensor) -> Tensor {
        let size = x.size();
        let (n, v, t, c) = (size[0], size[1], size[2], size[3]);
        let flat = x.view([n, v, t * c]);
        let mut sum: Option<Tensor> = None;
        for (graph, weight) in graphs.unbind(0).iter().zip(&self.weights) {
            let mixed = graph.bmm(&flat).view([n * v * t, c]);
            sum = Some(match sum {
                None => self.bias.addmm(&mixed, weight),
                Some(mut sum) => sum.addmm_(&mixed, weight),
            });
        }
        let sum = sum.unwrap_or_else(|| self.bias.expand([n * v * t, -1], false));
        sum.view([n, v, t, -1])
    }
}
