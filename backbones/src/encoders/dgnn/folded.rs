//! The network as it is evaluated: normalisations folded into the products before them, joints and bones in one tensor.

use tch::{Kind, Tensor, no_grad};

use super::net::{Block, Net, Update, join, to_bones, to_joints, told};
use crate::encoders::gcn::{self, COORDINATES, FoldedResidual, InputAffine};
use crate::encoders::layers::{channels_first, channels_last, temporal};

/// Weights with the statistics of the normalisations multiplied in. Equal to the network in evaluation mode up to
/// rounding.
#[derive(Debug)]
pub struct Folded {
    kind: Kind,
    inputs: [InputAffine; 2],
    blocks: Vec<FoldedBlock>,
    bone_of_joint: Option<Tensor>,
}

#[derive(Debug)]
struct FoldedBlock {
    /// Of joints and of bones.
    updates: [FoldedUpdate; 2],
    temporal: (Tensor, Tensor),
    residual: FoldedResidual,
    stride: i64,
}

#[derive(Debug)]
struct FoldedUpdate {
    /// What the other stream tells, `[2 V, V]`.
    rows: Tensor,
    /// `[C_in, C_out]` and `[2 C_in, C_out]`, for the own stream and for what is told.
    near: Tensor,
    far: Tensor,
    bias: Tensor,
}

impl Folded {
    pub(super) fn new(net: &Net, kind: Kind) -> Self {
        no_grad(|| Self {
            kind,
            inputs: [0, 1].map(|i: usize| net.input_norms[i].affine(COORDINATES)),
            blocks: net.blocks.iter().map(|b| FoldedBlock::new(b, kind)).collect(),
            bone_of_joint: net.bone_of_joint.as_ref().map(Tensor::shallow_clone),
        })
    }

    /// Joints and bones `[n, T', V, N]` of the last block, bones in the network's order.
    pub(super) fn streams(&self, x: &Tensor, slots: &[i64], tap: &mut dyn FnMut(&Tensor)) -> [Tensor; 2] {
        let persons = x.size()[0];
        let halves = x.chunk(2, 2);
        let enter = |i: usize| self.inputs[i].apply(&halves[i], slots).to_kind(self.kind);
        // Joints of all persons, then bones of all persons: what they share takes them at once.
        let both = Tensor::cat(&[enter(0), enter(1)], 0);
        let last = self.blocks.iter().fold(both, |x, block| {
            let y = block.forward(&x);
            tap(&y.narrow(0, 0, persons));
            y
        });
        let last = last.to_kind(Kind::Float);
        [0, 1].map(|i| last.narrow(0, i * persons, persons))
    }
}

impl gcn::Folded for Folded {
    fn forward(&self, x: &Tensor, slots: &[i64], tap: &mut dyn FnMut(&Tensor)) -> Tensor {
        let [joints, bones] = self.streams(x, slots, tap);
        join(joints, bones, self.bone_of_joint.as_ref())
    }
}

impl FoldedBlock {
    fn new(block: &Block, kind: Kind) -> Self {
        let pair = |(w, b): (Tensor, Tensor)| (w.to_kind(kind), b.to_kind(kind));
        let [joints, bones] = &block.updates;
        let (source, target) = (&block.source, &block.target);
        Self {
            updates: [
                FoldedUpdate::new(joints, &to_joints(source, target), kind),
                FoldedUpdate::new(bones, &to_bones(source, target), kind),
            ],
            temporal: pair(block.temporal.followed_by(&block.last_norm.affine())),
            residual: block.residual.fold(kind),
            stride: block.stride,
        }
    }

    /// `[2 n, T, V, C_in]` to `[2 n, T', V, C_out]`.
    fn forward(&self, x: &Tensor) -> Tensor {
        let size = x.size();
        let output = self.updates[0].near.size()[1];
        let halves = x.chunk(2, 0);
        let mut y = Tensor::empty([size[0], size[1], size[2], output], (x.kind(), x.device()));
        let rows = y.view([2, -1, output]);
        for (i, update) in self.updates.iter().enumerate() {
            update.write(&halves[i], &halves[1 - i], &rows.select(0, i as i64));
        }
        let y = channels_first(&y.relu_());
        let y = temporal(&y, &self.temporal.0, &self.temporal.1, self.stride);
        let mut y = self.residual.add(y, x);
        channels_last(&y.relu_())
    }
}

impl FoldedUpdate {
    fn new(update: &Update, rows: &Tensor, kind: Kind) -> Self {
        let (scale, shift) = update.norm.affine();
        let weight = (update.weight.tr() * &scale).to_kind(kind);
        let bias = &update.bias * scale + shift;
        let channels = weight.size()[0] / 3;
        Self {
            rows: rows.to_kind(kind),
            near: weight.narrow(0, 0, channels).contiguous(),
            far: weight.narrow(0, channels, 2 * channels).contiguous(),
            bias: bias.to_kind(kind),
        }
    }

    /// Into `out` `[n T V, C_out]`.
    fn write(&self, own: &Tensor, other: &Tensor, out: &Tensor) {
        let own = own.reshape([-1, self.near.size()[0]]);
        let mut out = self.bias.addmm_out(out, &own, &self.near);
        let _ = out.addmm_(&told(&self.rows, other), &self.far);
    }
}
