//! The graph of every person, from how alike the joints are.

use std::cell::Cell;

use szar_core::NamedTensors;
use tch::{Kind, Tensor, no_grad};

use crate::encoders::gcn::start;
use crate::encoders::layers::Conv;

/// Graph of a block with the embeddings by which joints are compared.
#[derive(Debug)]
pub(super) struct Relation {
    /// `A` `[K, V, V]` where it is added (`agcn`).
    fixed: Option<Tensor>,
    /// `PA` `[K, V, V]`.
    learned: Tensor,
    /// α `[1]` where likeness goes through tanh (`aagcn`), not softmax.
    alpha: Option<Tensor>,
    /// K embeddings into `C_e` channels of the joint that is mixed in.
    sources: Vec<Conv>,
    /// K embeddings into `C_e` channels of the joint that is made.
    targets: Vec<Conv>,
    frozen: Cell<bool>,
}

/// [`Relation`] made ready for some arithmetic.
#[derive(Debug)]
pub(super) struct Graphs {
    /// `[2 * K * C_e, C]`, sources first.
    weight: Tensor,
    /// `[2 * K * C_e]`.
    bias: Tensor,
    /// `[K, 1, V, V]` f32, transposed: row w, column v.
    edges: Tensor,
    alpha: Option<Tensor>,
    /// `C_e`.
    width: i64,
    kind: Kind,
}

impl Relation {
    /// Over `input` channels of the block's `output`, on the device of the graph `[K, V, V]`.
    pub(super) fn new(input: i64, output: i64, graph: &Tensor, attentive: bool) -> Self {
        let (partitions, device) = (graph.size()[0], graph.device());
        let width = (output / 4).max(1);
        let embeddings = || {
            let one = |_| {
                let mut conv = Conv::new(input, width, 1, device);
                start::kaiming(&mut conv);
                conv
            };
            (0..partitions).map(one).collect()
        };
        let small = no_grad(|| graph.full_like(1e-6));
        Self {
            fixed: (!attentive).then(|| graph.shallow_clone()),
            learned: start::parameter(if attentive { graph } else { &small }),
            alpha: attentive.then(|| Tensor::zeros([1], (Kind::Float, device)).set_requires_grad(true)),
            sources: embeddings(),
            targets: embeddings(),
            frozen: Cell::new(false),
        }
    }

    pub(super) fn collect(&self, prefix: &str, into: &mut NamedTensors) {
        into.insert(format!("{prefix}.PA"), self.learned.shallow_clone());
        if let Some(alpha) = &self.alpha {
            into.insert(format!("{prefix}.alpha"), alpha.shallow_clone());
        }
        for (name, convs) in [("conv_a", &self.sources), ("conv_b", &self.targets)] {
            for (i, conv) in convs.iter().enumerate() {
                conv.collect(&format!("{prefix}.{name}.{i}"), into);
            }
        }
    }

    /// Whether training leaves `PA` as it is.
    pub(super) fn freeze(&self, frozen: bool) {
        self.frozen.set(frozen);
    }

    pub(super) fn ready(&self, kind: Kind) -> Graphs {
        let all = || self.sources.iter().chain(&self.targets);
        let weights: Vec<_> = all().map(|c| c.weight.flatten(1, -1)).collect();
        let biases: Vec<_> = all().map(|c| c.bias.shallow_clone()).collect();
        let learned = if self.frozen.get() {
            self.learned.detach()
        } else {
            self.learned.shallow_clone()
        };
        let edges = match &self.fixed {
            Some(fixed) => fixed + learned,
            None => learned,
        };
        Graphs {
            weight: Tensor::cat(&weights, 0).to_kind(kind),
            bias: Tensor::cat(&biases, 0).to_kind(kind),
            edges: edges.transpose(1, 2).unsqueeze(1),
            alpha: self.alpha.as_ref().map(Tensor::shallow_clone),
            width: self.sources.first().map_or(1, |c| c.bias.size()[0]),
            kind,
        }
    }
}

impl Graphs {
    /// Of `x` `[n, V, T, C]`: the transposed graphs `[K, n, V, V]`, row w, column v.
    pub(super) fn of(&self, x: &Tensor) -> Tensor {
        let size = x.size();
        let (n, v, t) = (size[0], size[1], size[2]);
        let partitions = self.edges.size()[0];
        let embedded = x.linear(&self.weight, Some(&self.bias));
        let embedded = embedded
            .view([n, v, t, 2 * partitions, self.width])
            .permute([3, 0, 1, 2, 4])
            .reshape([2, partitions * n, v, t * self.width])
            .unbind(0);
        let likeness = embedded[1].bmm(&embedded[0].transpose(1, 2));
        let likeness = likeness.to_kind(Kind::Float) / (t * self.width) as f64;
        let likeness = likeness.view([partitions, n, v, v]);
        let graphs = match &self.alpha {
            Some(alpha) => likeness.tanh() * alpha,
            None => likeness.softmax(-1, Kind::Float),
        };
        (graphs + &self.edges).to_kind(self.kind)
    }
}
