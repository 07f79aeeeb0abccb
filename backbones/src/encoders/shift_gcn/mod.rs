//! Shift-GCN: joints and frames exchange channels by shifts, so that the products stay as small as those of 1 x 1
//! convolutions; ten blocks.
//!
//! Cheng et al., "Skeleton-Based Action Recognition with Shift Graph Convolutional Network", CVPR 2020. The encoder of
//! SynSE, PURLS and Neuron. Official state dicts load by name.
//!
//! | symbol | shape            | meaning                                                               |
//! |--------|------------------|-----------------------------------------------------------------------|
//! | `x`    | `[n, T, V, 3]`   | persons' joints, n = B * M; T a multiple of 4                          |
//! | `M`    | `[V, C]`         | learned mask of what a joint reads from others, `tanh(.) + 1`          |
//! | `y`    | `[C]`            | learned displacement in time of every channel, in frames               |
//! | `F`    | `[B, N, T', V]`  | output of the last block, mean over persons; T' = T / 4                |
//!
//! A block is `relu(tcn(gcn(x)) + residual)`. In `gcn`, channel j of joint i is read from joint i + j and, after the
//! product over channels, written to joint i + j again, all modulo V: every joint meets every other, whatever the
//! skeleton. `tcn` shifts each channel by its own fraction of frames, multiplies, and shifts again.
//!
//! The published training schedule, for large datasets (`train` of the defaults is ours, for a few epochs):
//!
//! ```yaml
//! preprocess: {type: standard, frames: 300}
//! encoder:
//!   type: shift-gcn
//!   base_channels: 64
//!   shift_grad: sign
//!   train:
//!     epochs: 140
//!     optimiser: {rule: sgd, momentum: 0.9, nesterov: true}
//!     lr: 0.1
//!     weight_decay: 0.0001
//!     schedule: {shape: steps, milestones: [60, 80, 100], factor: 0.1}
//!     label_smoothing: 0.0
//!     grad_clip: null
//!     augmentation: {rotation: 0.0, scale: 0.0}
//! ```

mod config;
mod encoder;
mod folded;
mod golden;
mod net;
mod spatial;
mod temporal;
#[cfg(test)]
mod tests;

pub use config::{ShiftGcnConfig, ShiftGrad};
pub use encoder::ShiftGcn;
pub use net::Net;
