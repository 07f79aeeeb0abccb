//! What of a motion an encoder reads: joints, bones, or how either moves.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use szar_core::SkeletonLayout;
use tch::Tensor;

/// What of a motion is read (Shi et al. 2019, "Two-Stream Adaptive Graph Convolutional Networks", and Shi et al. 2020).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum Stream {
    /// Positions of the joints.
    #[default]
    Joint,
    /// From each joint's parent to the joint; 0 for a joint without parent.
    Bone,
    /// Positions in the next frame less those in this one; 0 in the last.
    JointMotion,
    /// Bones in the next frame less those in this one; 0 in the last.
    BoneMotion,
}

impl Stream {
    /// The stream of joints `[B, 3, T, V, M]`, of the same shape.
    pub fn of(self, joints: &Tensor, layout: &SkeletonLayout) -> Tensor {
        match self {
            Self::Joint => joints.shallow_clone(),
            Self::Bone => bones(joints, layout),
            Self::JointMotion => motion(joints),
            Self::BoneMotion => motion(&bones(joints, layout)),
        }
    }
}

fn bones(joints: &Tensor, layout: &SkeletonLayout) -> Tensor {
    let mut parents: Vec<i64> = (0..layout.len() as i64).collect();
    for &(child, parent) in &layout.bones {
        parents[child] = parent as i64;
    }
    let parents = Tensor::from_slice(&parents).to_device(joints.device());
    joints - joints.index_select(3, &parents)
}

fn motion(x: &Tensor) -> Tensor {
    let frames = x.size()[2];
    let moved = x.narrow(2, 1, frames - 1) - x.narrow(2, 0, frames - 1);
    moved.constant_pad_nd([0i64, 0, 0, 0, 0, 1])
}
