//! CTR-GCN: graph convolutions with a graph of its own for every channel, ten blocks.
//!
//! Chen, Zhang, Yuan, Li, Deng and Hu, "Channel-wise Topology Refinement Graph Convolution for Skeleton-Based Action
//! Recognition", ICCV 2021. State dicts of the official implementation load by name.
//!
//! | symbol | shape            | meaning                                                                   |
//! |--------|------------------|---------------------------------------------------------------------------|
//! | `x`    | `[n, V, T, C]`   | activations of n = B * M persons                                          |
//! | `A_i`  | `[V, V]`         | learned graph of a block (`PA`), starts at identity, inward, outward      |
//! | `D_i`  | `[n, V, V, r]`   | `tanh(x1[u] - x2[v])` of two embeddings of the mean over frames           |
//! | `Q_i`  | `[n, N, V, V]`   | `A_i + α (W4 D_i + b4)`, a graph for every channel                        |
//! | `z`    | `[n, V, T, N]`   | `Σ_i Σ_v Q_i[c, u, v] (W3 x + b3)[v]`: rows of the graph are what is made |
//! | `F`    | `[B, N, T', V]`  | output of the last block, mean over persons; T' = T / 4 rounded up        |
//!
//! A block is `relu(tcn(gcn(x)) + residual)`. `gcn` is `relu(BN(z) + down(x))`; `tcn` has four branches of a fourth of
//! the channels each: convolutions over 5 frames, one of them over every second; a maximum over 3 frames; a product.
//!
//! The published training, for large datasets (`train` of the defaults is ours, for a few epochs). Its crops are cut of
//! the whole sequence and are 64 frames at least; here they are cut of the prepared one, which is why `preprocess` keeps
//! all of it:
//!
//! ```yaml
//! preprocess: {type: ctrgcn, crop: 1.0}
//! encoder:
//!   type: ctr-gcn
//!   base_channels: 64
//!   train:
//!     epochs: 65
//!     optimiser: {rule: sgd, momentum: 0.9, nesterov: true}
//!     lr: 0.1
//!     weight_decay: 0.0004
//!     schedule: {shape: steps, milestones: [35, 55], factor: 0.1, warmup_epochs: 5}
//!     label_smoothing: 0.0
//!     grad_clip: null
//!     augmentation: {rotation: 0.0, scale: 0.0, crop: 0.5, rotation_3d: 0.3}
//! ```

mod config;
mod golden;
mod refinement;
mod temporal;
#[cfg(test)]
mod tests;
mod unit;

pub use config::{CtrGcn, CtrGcnConfig};
pub use unit::Unit;
