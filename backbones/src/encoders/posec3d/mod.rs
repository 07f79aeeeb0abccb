//! PoseC3D: joints drawn as heat maps, a stack of pictures over time, and SlowOnly, a 3-D convolutional ResNet, over it.
//!
//! Duan, Zhao, Chen, Lin and Dai, "Revisiting Skeleton-based Action Recognition", CVPR 2022. State dicts of the official
//! implementation (pyskl) load by name, with or without `backbone.` and `cls_head.` in front; their first convolution is
//! made for as many joints as the layout must then have (17 of COCO in the published ones).
//!
//! | symbol | shape               | meaning                                                                      |
//! |--------|---------------------|------------------------------------------------------------------------------|
//! | `x`    | `[B, 3, T, V, M]`   | joints; seen from one side (`view`), at L frames (`clip_frames`)             |
//! | `h`    | `[n, L, S, S, V]`   | heat maps, `max_m exp(-((x-x_v)² + (y-y_v)²) / 2σ²)`, 0 beyond 3σ, S = `size` |
//! | `F`    | `[n, T', H', W', N]`| output of the last stage; T' = L / 2, H' = W' = S / 8, all rounded up        |
//!
//! The picture is a square around all joints of all frames and persons, 1.25 times as wide as they need. Persons share
//! it, so that there is no mean over persons; one who is not there leaves no trace.
//!
//! **The V' of the features.** The map's cells are places in the picture, not joints. What aligners and adapters are
//! given is chosen by `pool`: one node for each joint (`joints`, the default, which everything can use), one for each
//! cell (`cells`, "pixel-wise attention"), one for each frame (`image`) or one in all (`clip`). With `cells` and `image`
//! V' is not the layout's number of joints: what pools by body parts refuses them.
//!
//! The published setting and training schedule (`train` of the defaults is ours, for a few epochs on a CPU):
//!
//! ```yaml
//! encoder:
//!   type: posec3d
//!   base_channels: 32
//!   clip_frames: 48
//!   size: 64
//!   train_size: 56
//!   crop: 0.56
//!   dropout: 0.5
//!   pool: cells
//!   train:
//!     epochs: 240
//!     batch: 256
//!     optimiser: {rule: sgd, momentum: 0.9, nesterov: false}
//!     lr: 0.4
//!     weight_decay: 0.0003
//!     schedule: {shape: cosine}
//!     label_smoothing: 0.0
//!     grad_clip: 40
//!     augmentation: {rotation: 0.0, scale: 0.0, flip: 0.5}
//! ```

mod config;
mod encoder;
mod folded;
mod golden;
mod heat;
mod net;
mod ops;
mod plan;
#[cfg(test)]
mod tests;

pub use config::{Pool, PoseC3dConfig, View};
pub use encoder::PoseC3d;
