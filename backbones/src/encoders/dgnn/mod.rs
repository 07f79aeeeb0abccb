//! DGNN: joints and bones are both nodes of a directed graph and tell each other what they know; ten blocks.
//!
//! Shi et al., "Skeleton-Based Action Recognition with Directed Graph Neural Networks", CVPR 2019. The authors published
//! no code; names, shapes and initial graphs are those of the open implementation kenziyuliu/DGNN-PyTorch, whose state
//! dicts load by name.
//!
//! | symbol   | shape             | meaning                                                                    |
//! |----------|-------------------|----------------------------------------------------------------------------|
//! | `v`, `e` | `[n, T, V, C]`    | joints and bones of persons, n = B * M; E = V, a root has a bone of length 0 |
//! | `S`, `R` | `[V, E]`          | which joint a bone leaves and which it reaches, over the joint's degree; learned in every block |
//! | `F`      | `[B, 2 N, T', V]` | outputs of both streams, mean over persons; T' = T / 4 rounded up          |
//!
//! A block is `v' = relu(BN([v, S e, R e] W_v))` and `e' = relu(BN([e, Sᵀ v, Rᵀ v] W_e))`, then, with weights that both
//! streams share, `relu(tcn(.) + residual)`; the residual of a block that strides is a convolution over 9 frames, too.
//!
//! The open implementation computes bones at the number of the joint they reach, but counts the columns of `S` and `R`
//! by a sorted list of edges, so that the graph joins each joint to bones elsewhere on the body; `bone_order` chooses.
//!
//! A schedule for large datasets, that of the same authors' 2s-AGCN (`train` of the defaults is ours, for a few epochs):
//!
//! ```yaml
//! encoder:
//!   type: dgnn
//!   base_channels: 64
//!   frozen_epochs: 10
//!   train:
//!     epochs: 50
//!     optimiser: {rule: sgd, momentum: 0.9, nesterov: true}
//!     lr: 0.1
//!     weight_decay: 0.0001
//!     schedule: {shape: steps, milestones: [30, 40], factor: 0.1}
//!     label_smoothing: 0.0
//!     grad_clip: null
//!     augmentation: {rotation: 0.0, scale: 0.0}
//! ```

mod config;
mod encoder;
mod folded;
mod golden;
mod graph;
mod net;
#[cfg(test)]
mod tests;

pub use config::{BoneOrder, DgnnConfig, Parts};
pub use encoder::Dgnn;
pub use graph::Graph;
pub use net::Net;
