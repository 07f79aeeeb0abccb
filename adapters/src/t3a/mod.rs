//! `t3a`: moves the class vectors of the classifier towards the test samples that it is surest of.
//!
//! Source: Iwasawa and Matsuo, "Test-Time Classifier Adjustment Module for Model-Agnostic Domain Generalization",
//! NeurIPS 2021; released code matsuolab/T3A. In zero-shot recognition the classifier's weight rows are the aligner's
//! class vectors. Labels and entropies of the samples come from the logits that the adapter is given, so that it also
//! follows another adapter.
//!
//! | symbol | here               | shape        | meaning                                                             |
//! |--------|--------------------|--------------|---------------------------------------------------------------------|
//! | `z`    | `queries`          | `[B, D]`     | the aligner's vectors, of any length                                |
//! | `W`    | `classes`          | `[C, D]`     | the aligner's class vectors: the first supports (the warm-up)       |
//! | `S`    | `Supports::rows`   | `[n, D]`     | supports, of length 1; those of block `s·C + c` for class c of stream s |
//! | `h`    | `Entry::entropy`   | per support  | entropy of the posterior that named its class, nats                 |
//! | `w`    | `Supports::weights`| `[S·C, D]`   | sum of a class's supports, scaled to length 1                       |
//!
//! A step adds the samples to the classes they are taken for, keeps in each class the `filter_k` supports of lowest
//! entropy, and answers `scale · z · w`. As published all samples of a batch are added before any of them is answered
//! (`update: batch`), so the answer depends on how the stream is cut into batches, unless `update: sample`. The released
//! code's `filter_K = -1` is meant as "keep all" (the default here), but throws the most uncertain support of every class
//! out at every step; at batch size 1 nothing remains and all logits are 0 (`filter: official`).
//!
//! Vectors are kept only as long as something may be thrown out; otherwise their sums are, and the memory grows by the
//! 24 bytes that name each sample. The walk runs on the host: on an accelerator `[B, D]` and `[B, C]` are copied once per
//! step, and the answer back once.

mod adapter;
mod config;
mod golden;
mod supports;
#[cfg(test)]
mod tests;

pub use adapter::T3a;
pub use config::{Filter, T3aConfig, Update};

pub use crate::skeleton_cache::Order;
