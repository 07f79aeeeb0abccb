//! `torchscript`: a network that was written and trained in Python, saved by `torch.jit`, as an encoder.
//!
//! The module comes with its weights and is used as it is: nothing here trains it. What it takes and what it gives is
//! described by axis strings, one letter an axis:
//!
//! | letter | axis                           |
//! |--------|--------------------------------|
//! | `n`    | samples, or persons of samples |
//! | `m`    | persons                        |
//! | `c`    | channels                       |
//! | `t`    | frames                         |
//! | `v`    | joints                         |
//!
//! | tensor   | shape                             | meaning                                             |
//! |----------|-----------------------------------|-----------------------------------------------------|
//! | joints   | `layout` of `[B, 3, T, V, M]`     | what the module takes                               |
//! | features | `output_layout`, to `[B, N, T', V']` | what it gives, mean over the persons who are there |
//! | logits   | `[B, S]`                          | optional scores of the seen classes, in their order |
//!
//! A `layout` without `m` is a module for one person at a time: only persons who are there are given to it (the first
//! of a sample with nobody in it), and their features and logits are averaged.
//!
//! ```yaml
//! encoder:
//!   type: torchscript
//!   module: ctr_gcn.pt
//!   layout: nctvm
//!   output: 1               # of the tuple (logits, features)
//!   output_layout: nctv
//!   channels: 256
//!   frames: 16
//! ```
//!
//! A module file is a program: libtorch runs it in its own interpreter, not in Python, but it is code all the same.

mod axes;
mod config;
mod encoder;
mod module;
mod persons;
mod pick;
#[cfg(test)]
mod tests;

pub use config::{Input, TorchScriptConfig};
pub use encoder::TorchScript;
pub use pick::Pick;
