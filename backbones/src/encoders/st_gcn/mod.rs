//! ST-GCN: spatial graph convolutions over joints, temporal convolutions over frames, ten blocks.
//!
//! Yan, Xiong and Lin, AAAI 2018, and the smaller plan of channels that SMIE (Zhou et al., 2023) trains. State dicts
//! of both official implementations load by name.
//!
//! | symbol | shape            | meaning                                                              |
//! |--------|------------------|----------------------------------------------------------------------|
//! | `x`    | `[n, T, V, 3]`   | persons' joints, n = B * M                                           |
//! | `A`    | `[K, V, V]`      | column-normalised adjacency, one matrix per partition of neighbours  |
//! | `E_b`  | `[K, V, V]`      | learned importance of every edge, per block                          |
//! | `F`    | `[B, N, T', V]`  | output of the last block, mean over persons; T' = T / 4 rounded up   |
//!
//! A block is `relu(tcn(relu(BN(Σ_k (A_k ∘ E_bk)ᵀ (x W_k + b_k)))) + residual)`, with `tcn` a convolution over 9
//! frames, a normalisation and dropout.
//!
//! The published training schedule, for large datasets (`train` of the defaults is ours, for a few epochs):
//!
//! ```yaml
//! encoder:
//!   type: st-gcn
//!   variant: official
//!   dropout: 0.5
//!   init: official
//!   train:
//!     epochs: 80
//!     optimiser: {rule: sgd, momentum: 0.9, nesterov: true}
//!     lr: 0.1
//!     weight_decay: 0.0001
//!     schedule: {shape: steps, milestones: [10, 50], factor: 0.1}
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
#[cfg(test)]
mod vectors;

pub use config::{Init, StGcnConfig, Variant};
pub use encoder::StGcn;
pub use graph::{Graph, Strategy};
pub use net::Net;
