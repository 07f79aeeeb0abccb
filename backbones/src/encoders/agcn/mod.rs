//! 2s-AGCN and AAGCN: graph convolutions whose graph follows from the data, ten blocks.
//!
//! Shi, Zhang, Cheng and Lu, "Two-Stream Adaptive Graph Convolutional Networks for Skeleton-Based Action Recognition",
//! CVPR 2019 (`agcn`), and "Skeleton-Based Action Recognition with Multi-Stream Adaptive Graph Convolutional Networks",
//! IEEE TIP 2020 (`aagcn`). State dicts of the official implementation load by name, for `aagcn` also PYSKL's.
//!
//! | symbol  | shape           | meaning                                                                  |
//! |---------|-----------------|--------------------------------------------------------------------------|
//! | `x`     | `[n, V, T, C]`  | activations of n = B * M persons                                         |
//! | `A`     | `[K, V, V]`     | the layout's graph: identity, inward, outward                            |
//! | `PA`    | `[K, V, V]`     | learned graph of a block; starts at 1e-6 (`agcn`) or at `A` (`aagcn`)    |
//! | `S_i`   | `[n, V, V]`     | `a_i(x) b_i(x)ᵀ / (T * C_e)`, likeness of joints over all frames         |
//! | `G_i`   | `[n, V, V]`     | `agcn`: `softmax_v(S_i) + A_i + PA_i`; `aagcn`: `PA_i + α tanh(S_i)`     |
//! | `F`     | `[B, N, T', V]` | output of the last block, mean over persons; T' = T / 4 rounded up       |
//!
//! A block is `relu(tcn(gcn(x)) + residual)`. `gcn` is `relu(BN(Σ_i G_iᵀ x W_i + b_i) + down(x))`, in `aagcn` followed by
//! attention over joints, frames and channels, each `y (1 + g)`; `tcn` is a convolution over 9 frames and a
//! normalisation. The input is normalised for each place among the persons of a sample apart.
//!
//! The bone stream of the two is the same encoder with `stream: bone`. The published training schedule, for large
//! datasets (`train` of the defaults is ours, for a few epochs):
//!
//! ```yaml
//! encoder:
//!   type: agcn
//!   base_channels: 64
//!   freeze_graph_epochs: 1
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

mod attention;
mod attentive;
mod config;
mod convolution;
mod golden;
mod names;
mod relation;
#[cfg(test)]
mod tests;
mod unit;

pub use attentive::{Aagcn, AagcnConfig, InputStatistics};
pub use config::{Agcn, AgcnConfig};
pub use unit::Unit;
