//! `adanpc`: classifies by the nearest remembered vectors, and remembers the test samples that it is sure of.
//!
//! Source: Zhang et al., "AdaNPC: Exploring Non-Parametric Classifier for Test-Time Adaptation", ICML 2023; released code
//! yfzhang114/AdaNPC. Its memory starts from labelled source features, which say nothing about unseen classes; here it
//! starts from the aligner's class vectors, one per candidate (or from what [`AdaNpc::with_memory`] is given).
//!
//! | symbol | here              | shape      | meaning                                                              |
//! |--------|-------------------|------------|----------------------------------------------------------------------|
//! | `q`    | `queries`         | `[B, D]`   | the aligner's vectors, scaled to length 1                            |
//! | `M`    | `Memory::rows`    | `[n, D]`   | remembered vectors of length 1, one memory per stream                |
//! | `y`    | `Memory::labels`  | `[n]`      | their classes                                                        |
//! | `p`    | `votes`           | `[B, C]`   | `min(1, 1e-5 + Σ softmax(q·M / T))` over the `k` nearest, class by class |
//!
//! A sample whose confidence reaches `beta` is remembered with the class it is taken for, after it is answered. What
//! differs from the released code is an option, ours being the default: the confidence is the largest vote itself, not
//! that of a second softmax over the votes (`confidence: official`); a class remembers at most `capacity` samples, the
//! newest (`capacity: none` grows without bound, as published); the answer is the logarithm of the votes, so that a
//! softmax gives them back (`answer: votes`); no random vector is put in for class 0 (`noise_row`).
//!
//! The method classifies anew: scores of an adapter before it have no part in the answer. As published, all samples of a
//! batch are answered before any is remembered (`update: batch`), so that answers depend on the size of the batch,
//! unless `update: sample`.
//!
//! With `bn`, a batch normalisation stands before the memory and follows the entropy of the answers by Adam; every pass
//! over a batch also remembers it. It needs at least two samples of a stream in a step; a single one is normalised by the
//! running statistics and changes nothing but the memory.
//!
//! The walk runs on the host: on an accelerator `[B, D]` is copied once per step, and the answer `[B, C]` back once.

mod adapter;
mod bn;
mod config;
mod golden;
mod memory;
mod step;
#[cfg(test)]
mod tests;

pub use adapter::AdaNpc;
pub use config::{AdaNpcConfig, Answer, Capacity, Confidence, Unbounded, Update};
