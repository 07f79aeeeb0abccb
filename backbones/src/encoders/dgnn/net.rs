//! The network: parameters under their official names, and the forward pass that is trained.

use std::cell::Cell;

use szar_core::component::InputSpec;
use szar_core::{NamedTensors, Result, SkeletonLayout};
use tch::{Device, Kind, Tensor};

use super::config::{BoneOrder, DgnnConfig, Parts};
use super::folded::Folded;
use super::graph::Graph;
use crate::encoders::gcn::{COORDINATES, InputNorm, Network, Plan, Residual, ten_blocks};
use crate::encoders::layers::{Conv, Norm, channels_first, channels_last, temporal};

/// Frames that a temporal convolution sees.
const KERNEL: i64 = 9;

/// What makes one stream of both: a product over `[own, S other, R other]`, then a normalisation.
#[derive(Debug)]
pub(super) struct Update {
    /// `[C_out, 3 C_in]`.
    pub(super) weight: Tensor,
    /// `[C_out]`.
    pub(super) bias: Tensor,
    pub(super) norm: Norm,
}

/// Exchange between joints and bones, then a temporal convolution that both share.
#[derive(Debug)]
pub(super) struct Block {
    /// `[V, E]` each: incidence of sources and targets.
    pub(super) source: Tensor,
    pub(super) target: Tensor,
    /// Of joints and of bones.
    pub(super) updates: [Update; 2],
    pub(super) temporal: Conv,
    pub(super) last_norm: Norm,
    pub(super) residual: Residual,
    pub(super) stride: i64,
}

/// DGNN with its classifier.
#[derive(Debug)]
pub struct Net {
    /// Of joints and of bones; over M * V * 3 channels; persons, then joints, then coordinates.
    pub(super) input_norms: [InputNorm; 2],
    pub(super) blocks: Vec<Block>,
    /// Weight `[S, 2 N]`, bias `[S]`.
    classifier: (Tensor, Tensor),
    /// The joint each bone leaves and the one it reaches, `[E]` each, in the order of the bones.
    ends: (Tensor, Tensor),
    /// For every joint the bone that reaches it, `[V]`, where that is not the bone of the same number.
    pub(super) bone_of_joint: Option<Tensor>,
    features: Parts,
    frozen_epochs: u32,
    frozen: Cell<bool>,
}

impl Net {
    pub(super) fn new(config: &DgnnConfig, input: &InputSpec, graph: &Graph, device: Device) -> Self {
        let index = |numbers: &[i64]| Tensor::from_slice(numbers).to_device(device);
        let (edges, bone_of_joint) = match config.bone_order {
            BoneOrder::Edge => (graph.edges.clone(), Some(index(&graph.edge_of_joint()))),
            BoneOrder::Official => (graph.by_target(), None),
        };
        let end = |of: fn(&(usize, usize)) -> usize| {
            index(&edges.iter().map(|edge| of(edge) as i64).collect::<Vec<_>>())
        };
        let joints = input.layout.len() as i64;
        let plan = ten_blocks(COORDINATES, config.base_channels);
        let features = 2 * plan.last().map_or(0, |p| p.output);
        let classes = input.seen_classes.max(1);
        let norm = || InputNorm::per_person(input.persons, joints * COORDINATES, device);
        Self {
            input_norms: [norm(), norm()],
            blocks: plan.iter().map(|p| Block::new(p, graph, device)).collect(),
            classifier: linear(features, classes, device),
            ends: (end(|edge| edge.0), end(|edge| edge.1)),
            bone_of_joint,
            features: config.features,
            frozen_epochs: config.frozen_epochs,
            frozen: Cell::new(false),
        }
    }
}

impl Network for Net {
    const NAME: &'static str = "dgnn";
    type Folded = Folded;

    fn state(&self) -> NamedTensors {
        let mut state = NamedTensors::new();
        self.input_norms[0].collect("data_bn_v", &mut state);
        self.input_norms[1].collect("data_bn_e", &mut state);
        for (i, block) in self.blocks.iter().enumerate() {
            block.collect(&format!("l{}", i + 1), &mut state);
        }
        state.insert("fc.weight".into(), self.classifier.0.shallow_clone());
        state.insert("fc.bias".into(), self.classifier.1.shallow_clone());
        state
    }

    fn head(&self) -> (&Tensor, &Tensor) {
        (&self.classifier.0, &self.classifier.1)
    }

    /// Nothing is fixed: the graphs are learned.
    fn accept(&self, given: &mut NamedTensors, _: &SkeletonLayout) -> Result<()> {
        self.input_norms[0].fit_persons("data_bn_v", given);
        self.input_norms[1].fit_persons("data_bn_e", given);
        Ok(())
    }

    /// Joints, then bones: `[n, T, V + E, 3]`.
    fn prepare(&self, joints: Tensor) -> Tensor {
        let bones = joints.index_select(2, &self.ends.1) - joints.index_select(2, &self.ends.0);
        Tensor::cat(&[joints, bones], 2)
    }

    /// `[n, T, V + E, 3]` to `[n, T', V, 2 N]`.
    fn train(&self, x: &Tensor, slots: &[i64], kind: Kind) -> Tensor {
        let halves = x.chunk(2, 2);
        let enter = |i: usize| self.input_norms[i].train(&halves[i], slots).to_kind(kind);
        let streams = self.blocks.iter().fold([enter(0), enter(1)], |both, block| {
            block.train(&both, self.frozen.get(), kind)
        });
        self.join(streams)
    }

    fn fold(&self, kind: Kind) -> Folded {
        Folded::new(self, kind)
    }

    fn features(&self, map: Tensor) -> Tensor {
        match self.features {
            Parts::Both => map,
            Parts::Joints => map.narrow(3, 0, map.size()[3] / 2),
        }
    }

    fn begin_epoch(&self, epoch: u32) {
        self.frozen.set(epoch < self.frozen_epochs);
    }
}

impl Net {
    /// Joints and bones `[n, T, V, N]`, each bone beside the joint that it reaches: `[n, T, V, 2 N]`.
    fn join(&self, [joints, bones]: [Tensor; 2]) -> Tensor {
        join(joints, bones, self.bone_of_joint.as_ref())
    }
}

pub(super) fn join(joints: Tensor, bones: Tensor, bone_of_joint: Option<&Tensor>) -> Tensor {
    let bones = match bone_of_joint {
        Some(order) => bones.index_select(2, order),
        None => bones,
    };
    Tensor::cat(&[joints, bones], 3)
}

/// Weight `[output, input]` and bias of a product, as PyTorch draws them.
fn linear(input: i64, output: i64, device: Device) -> (Tensor, Tensor) {
    let Conv { weight, bias } = Conv::new(input, output, 1, device);
    let weight = weight.detach().view([output, input]);
    (weight.set_requires_grad(true), bias)
}

impl Update {
    fn new(input: i64, output: i64, device: Device) -> Self {
        let (weight, bias) = linear(3 * input, output, device);
        Self {
            weight,
            bias,
            norm: Norm::new(output, device),
        }
    }

    /// Of `own` `[n, T, V, C]` and what both matrices make of the other stream, `[n T V, 2 C]`.
    fn train(&self, own: &Tensor, others: &Tensor, kind: Kind) -> Tensor {
        let size = own.size();
        let channels = size[3];
        let weight = self.weight.tr().to_kind(kind);
        let (near, far) = (
            weight.narrow(0, 0, channels),
            weight.narrow(0, channels, 2 * channels),
        );
        let bias = self.bias.to_kind(kind);
        let mut y = bias.addmm(&own.reshape([-1, channels]), &near);
        let y = y.addmm_(others, &far).view([size[0], size[1], size[2], -1]);
        channels_last(&self.norm.train(&channels_first(&y), 1.0).relu_())
    }
}

/// What bones tell joints: rows `v * 2 + k` of S (k = 0) and R (k = 1), `[2 V, E]`.
pub(super) fn to_joints(source: &Tensor, target: &Tensor) -> Tensor {
    Tensor::stack(&[source, target], 1).flatten(0, 1)
}

/// What joints tell bones: rows `e * 2 + k` of Sᵀ and Rᵀ, `[2 E, V]`.
pub(super) fn to_bones(source: &Tensor, target: &Tensor) -> Tensor {
    to_joints(&source.tr(), &target.tr())
}

/// `x` `[n, T, V, C]` through rows `[2 W, V]`: `[n T W, 2 C]`.
pub(super) fn told(rows: &Tensor, x: &Tensor) -> Tensor {
    let (size, shape) = (x.size(), rows.size());
    let frames = size[0] * size[1];
    let all = rows.unsqueeze(0).expand([frames, shape[0], shape[1]], false);
    all.bmm(&x.reshape([frames, size[2], size[3]]))
        .view([-1, 2 * size[3]])
}

impl Block {
    fn new(plan: &Plan, graph: &Graph, device: Device) -> Self {
        let Plan {
            input,
            output,
            stride,
            residual,
        } = *plan;
        let (source, target) = graph.incidence();
        let learned = |m: Tensor| m.to_device(device).set_requires_grad(true);
        Self {
            source: learned(source),
            target: learned(target),
            updates: [
                Update::new(input, output, device),
                Update::new(input, output, device),
            ],
            temporal: Conv::new(output, output, KERNEL, device),
            last_norm: Norm::new(output, device),
            residual: if residual {
                let conv = || Conv::new(input, output, KERNEL, device);
                Residual::new(input, output, stride, conv)
            } else {
                Residual::None
            },
            stride,
        }
    }

    fn collect(&self, prefix: &str, into: &mut NamedTensors) {
        into.insert(format!("{prefix}.dgn.source_M"), self.source.shallow_clone());
        into.insert(format!("{prefix}.dgn.target_M"), self.target.shallow_clone());
        for (update, letter) in self.updates.iter().zip(["v", "e"]) {
            for (part, tensor) in [("weight", &update.weight), ("bias", &update.bias)] {
                into.insert(format!("{prefix}.dgn.H_{letter}.{part}"), tensor.shallow_clone());
            }
            update.norm.collect(&format!("{prefix}.dgn.bn_{letter}"), into);
        }
        self.temporal
            .collect(&format!("{prefix}.tcn.tempconv.conv"), into);
        self.last_norm.collect(&format!("{prefix}.tcn.tempconv.bn"), into);
        self.residual
            .collect(&format!("{prefix}.residual.tempconv"), into);
    }

    fn train(&self, [joints, bones]: &[Tensor; 2], frozen: bool, kind: Kind) -> [Tensor; 2] {
        let graph = |m: &Tensor| if frozen { m.detach() } else { m.shallow_clone() }.to_kind(kind);
        let (source, target) = (graph(&self.source), graph(&self.target));
        let of_bones = told(&to_joints(&source, &target), bones);
        let of_joints = told(&to_bones(&source, &target), joints);
        // One after the other: the normalisations that both share see two batches.
        [(0, joints, &of_bones), (1, bones, &of_joints)].map(|(i, own, others)| {
            let y = self.updates[i].train(own, others, kind);
            self.in_time(own, &y, kind)
        })
    }

    /// The temporal convolution of `y`, with the residual of `x`.
    fn in_time(&self, x: &Tensor, y: &Tensor, kind: Kind) -> Tensor {
        let (weight, bias) = (
            self.temporal.weight.to_kind(kind),
            self.temporal.bias.to_kind(kind),
        );
        let y = temporal(&channels_first(y), &weight, &bias, self.stride);
        let y = self.last_norm.train(&y, 1.0);
        channels_last(&self.residual.add_in_training(y, x, kind).relu_())
    }
}
