//! `seen-unseen-classifier`: a logistic regression tells seen from unseen by two sorted posteriors.
//!
//! Source: the gate of SynSE (arXiv 2101.11530, skelemoa/synse-zsl), also used with CADA-VAE, ReViSE, JPoSE and SA-DVAE
//! (pha123661/SA-DVAE). It is fitted on seen validation samples and on samples of seen classes that were held out of a
//! training of their own.
//!
//! | symbol | here          | shape     | meaning                                                           |
//! |--------|---------------|-----------|-------------------------------------------------------------------|
//! | `z`    | `zero_shot`   | `[B, U]`  | softmax of the aligner's scores over the unseen candidates        |
//! | `l`    | `seen_logits` | `[B, S]`  | logits over the seen classes                                      |
//! | `T`    | `temperature` | scalar    | divides `l + 1e-12` before its softmax                            |
//! | `K`    | `top`         | scalar    | largest values kept of either posterior, in descending order      |
//! | `x`    | `features`    | `[B, 2K]` | both, side by side                                                |
//! | `w, b` | `Logistic`    | `[2K]`    | `P(seen) = σ(x·w + b)`                                            |
//! | `th`   | `threshold`   | scalar    | unseen where `P(unseen) > th`                                     |
//!
//! Where the scripts differ from what they validated, the consistent rule is the default and the published one an option:
//! `legacy_threshold` (chosen for `P(unseen) > th`, applied as `P(seen) > th`), `unseen_feature_bug` (while fitting, the
//! zero-shot half of the held-out samples' features is that of seen samples). ReViSE and JPoSE name samples taken for seen
//! among all columns of an encoder that has some for unseen classes; encoders here have none.

mod choose;
mod config;
mod features;
mod gate;
mod golden;
mod logistic;
#[cfg(test)]
mod tests;

pub use config::{Preset, SeenUnseenClassifierConfig, Solver};
