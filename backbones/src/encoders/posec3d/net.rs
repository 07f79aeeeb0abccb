//! The network: parameters under their official names, and the forward pass that is trained.

use szar_core::NamedTensors;
use tch::{Device, Kind, Tensor, no_grad};

use super::ops::{max_pool, mean, over_space, over_time, pictures, rows, strided, unrows};
use super::plan::{EXPANSION, Plan, Stride};
use crate::encoders::layers::Norm;

/// Name of the classifier in the state dict.
pub(super) const HEAD: &str = "cls_head.fc_cls";
/// What stands before the names of everything else.
pub(super) const BACKBONE: &str = "backbone";
/// Standard deviation of the classifier's first weights, as published.
const HEAD_DEVIATION: f64 = 0.01;

/// A convolution without bias and the normalisation of what it gives.
#[derive(Debug)]
pub(super) struct Unit {
    /// `[C', C, k_t, k, k]`.
    pub(super) weight: Tensor,
    pub(super) norm: Norm,
}

impl Unit {
    /// As published: weights from N(0, 2 / fan out).
    fn new(input: i64, output: i64, time: i64, space: i64, device: Device) -> Self {
        let fan_out = (output * time * space * space) as f64;
        let weight = Tensor::empty([output, input, time, space, space], (Kind::Float, device));
        Self {
            weight: no_grad(|| { weight }.normal_(0.0, (2.0 / fan_out).sqrt())).set_requires_grad(true),
            norm: Norm::new(output, device),
        }
    }

    /// `[C', C]` of a kernel of size 1.
    pub(super) fn matrix(&self) -> Tensor {
        self.weight.flatten(1, -1)
    }

    /// `[C', C, k, k]` of a kernel over one frame.
    pub(super) fn over_space(&self) -> Tensor {
        self.weight.squeeze_dim(2)
    }

    /// `[C', C, k_t, 1]` of a kernel over one cell.
    pub(super) fn over_time(&self) -> Tensor {
        self.weight.squeeze_dim(4)
    }

    fn collect(&self, prefix: &str, into: &mut NamedTensors) {
        into.insert(format!("{prefix}.conv.weight"), self.weight.shallow_clone());
        self.norm.collect(&format!("{prefix}.bn"), into);
    }

    /// Normalises `[n, T, H, W, C]`.
    fn normalise(&self, x: &Tensor) -> Tensor {
        let s = x.size();
        let y = self.norm.train(&pictures(x), 1.0);
        y.permute([0, 2, 3, 1]).unflatten(0, [s[0], s[1]])
    }

    /// The product over channels, normalised.
    fn train_matrix(&self, x: &Tensor, kind: Kind) -> Tensor {
        let y = rows(x).mm(&self.matrix().to_kind(kind).tr());
        self.normalise(&unrows(&y, x))
    }
}

/// Three convolutions beside a way past them.
#[derive(Debug)]
pub(super) struct Bottleneck {
    pub(super) reduce: Unit,
    pub(super) space: Unit,
    pub(super) expand: Unit,
    pub(super) downsample: Option<Unit>,
    pub(super) stride: Stride,
    pub(super) inflated: bool,
}

impl Bottleneck {
    fn new(input: i64, width: i64, first: bool, stage: &super::plan::Stage, device: Device) -> Self {
        let output = EXPANSION * width;
        Self {
            reduce: Unit::new(input, width, if stage.inflated { 3 } else { 1 }, 1, device),
            space: Unit::new(width, width, 1, 3, device),
            expand: Unit::new(width, output, 1, 1, device),
            downsample: first.then(|| Unit::new(input, output, 1, 1, device)),
            stride: if first { stage.stride } else { Stride::ONE },
            inflated: stage.inflated,
        }
    }

    fn collect(&self, prefix: &str, into: &mut NamedTensors) {
        self.reduce.collect(&format!("{prefix}.conv1"), into);
        self.space.collect(&format!("{prefix}.conv2"), into);
        self.expand.collect(&format!("{prefix}.conv3"), into);
        if let Some(unit) = &self.downsample {
            unit.collect(&format!("{prefix}.downsample"), into);
        }
    }

    fn train(&self, x: &Tensor, kind: Kind) -> Tensor {
        let y = match self.inflated {
            true => {
                let weight = self.reduce.over_time().to_kind(kind);
                self.reduce.normalise(&over_time(x, &weight, None, 1))
            }
            false => self.reduce.train_matrix(x, kind),
        };
        let weight = self.space.over_space().to_kind(kind);
        let y = over_space(&y.relu(), &weight, None, self.stride);
        let y = self.space.normalise(&y).relu();
        let y = self.expand.train_matrix(&y, kind);
        let past = match &self.downsample {
            Some(unit) => unit.train_matrix(&strided(x, self.stride), kind),
            None => x.shallow_clone(),
        };
        (y + past).relu()
    }
}

/// SlowOnly with its classifier.
#[derive(Debug)]
pub(super) struct Net {
    pub(super) plan: Plan,
    pub(super) stem: Unit,
    pub(super) stages: Vec<Vec<Bottleneck>>,
    /// `[S, N]`.
    pub(super) weight: Tensor,
    /// `[S]`.
    pub(super) bias: Tensor,
    dropout: f64,
}

impl Net {
    pub(super) fn new(plan: Plan, dropout: f64, seen_classes: i64, device: Device) -> Self {
        let mut input = plan.base;
        let stages = plan.stages.iter().enumerate().map(|(i, stage)| {
            let width = plan.width(i);
            let block = |b| {
                let block = Bottleneck::new(input, width, b == 0, stage, device);
                input = EXPANSION * width;
                block
            };
            (0..stage.blocks).map(block).collect()
        });
        let stages = stages.collect();
        let f32 = (Kind::Float, device);
        let head = [seen_classes.max(1), plan.features()];
        let weight = no_grad(|| Tensor::empty(head, f32).normal_(0.0, HEAD_DEVIATION));
        Self {
            stem: Unit::new(plan.joints, plan.base, 1, plan.kernel, device),
            stages,
            weight: weight.set_requires_grad(true),
            bias: Tensor::zeros([head[0]], f32).set_requires_grad(true),
            plan,
            dropout,
        }
    }

    /// All parameters and buffers under their official names.
    pub(super) fn state(&self) -> NamedTensors {
        let mut state = NamedTensors::new();
        self.stem.collect(&format!("{BACKBONE}.conv1"), &mut state);
        for (s, stage) in self.stages.iter().enumerate() {
            for (b, block) in stage.iter().enumerate() {
                block.collect(&format!("{BACKBONE}.layer{}.{b}", s + 1), &mut state);
            }
        }
        state.insert(format!("{HEAD}.weight"), self.weight.shallow_clone());
        state.insert(format!("{HEAD}.bias"), self.bias.shallow_clone());
        state
    }

    /// Training pass over heat maps `[n, T, H, W, K]`: logits `[n, S]` f32.
    pub(super) fn train(&self, heat: &Tensor, kind: Kind) -> Tensor {
        let pooled = mean(&self.map(heat, kind));
        self.classify(&pooled.dropout(self.dropout, self.dropout > 0.0))
    }

    /// Training pass up to the last stage's `[n, T', H', W', N]`.
    pub(super) fn map(&self, heat: &Tensor, kind: Kind) -> Tensor {
        let weight = self.stem.over_space().to_kind(kind);
        let x = over_space(&heat.to_kind(kind), &weight, None, self.plan.stem);
        let x = max_pool(&self.stem.normalise(&x).relu(), self.plan.pool);
        let blocks = self.stages.iter().flatten();
        blocks.fold(x, |x, block| block.train(&x, kind))
    }

    /// Logits `[n, S]` of pooled features `[n, N]`.
    pub(super) fn classify(&self, pooled: &Tensor) -> Tensor {
        pooled.linear(&self.weight, Some(&self.bias))
    }
}
