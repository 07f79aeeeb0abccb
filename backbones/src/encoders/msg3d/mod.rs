//! MS-G3D: every joint meets joints at each distance along the skeleton, in its own frame and in windows of frames
//! around it; three blocks.
//!
//! Liu et al., "Disentangling and Unifying Graph Convolutions for Skeleton-Based Action Recognition", CVPR 2020.
//!
//! | symbol | shape            | meaning                                                                        |
//! |--------|------------------|--------------------------------------------------------------------------------|
//! | `x`    | `[n, T, V, 3]`   | persons' joints, n = B * M                                                     |
//! | `A_k`  | `[V, V]`         | joints k bones apart, and the joint itself; `D^-1/2 A D^-1/2`                   |
//! | `R_k`  | `[V, V]`         | what is learned of every pair, added to `A_k`                                  |
//! | `F`    | `[B, N, T', V]`  | output of the last block, mean over persons; T' = T / 4 rounded up              |
//!
//! A block is `tcn(relu(s(x) + Σ_w g_w(x)))`. `s` takes `relu(BN([(A_k + R_k) x]_k W))` over K distances and two temporal
//! layers. `g_w` does the same over windows of w = 3 and 5 frames, in whose graph a joint meets each neighbour in every
//! frame of the window, and turns the w frames into one by a product. A temporal layer has six branches: 3 frames at
//! distances 1, 2, 3 and 4, a maximum over 3 frames, and a product.
//!
//! Written from the paper; parameters bear the names of the authors' code (`sgcn1.0.A_res`, `gcn3d2.gcn3d.1.out_conv`,
//! `tcn3.branches.0.3.conv`, ..) as far as those are known. Checked here: every layer against its definition written
//! plainly, with the weights read by those names, and the number of parameters against the paper's (3.2 million). Not
//! checked: weights or outputs of the authors' code.
//!
//! The paper's training schedule for NTU RGB+D 60 (`train` of the defaults is ours, for a few epochs):
//!
//! ```yaml
//! preprocess: {type: standard, frames: 300}
//! encoder:
//!   type: msg3d
//!   base_channels: 96
//!   train:
//!     epochs: 50
//!     batch: 32
//!     optimiser: {rule: sgd, momentum: 0.9, nesterov: true}
//!     lr: 0.05
//!     weight_decay: 0.0005
//!     schedule: {shape: steps, milestones: [30, 40], factor: 0.1}
//!     label_smoothing: 0.0
//!     grad_clip: null
//!     augmentation: {rotation: 0.0, scale: 0.0}
//! ```

mod aggregate;
mod config;
mod encoder;
mod folded;
mod graph;
mod net;
#[cfg(test)]
mod plain;
mod temporal;
#[cfg(test)]
mod tests;
mod window;

pub use config::MsG3dConfig;
pub use encoder::MsG3d;
pub use graph::disentangled;
pub use net::Net;
