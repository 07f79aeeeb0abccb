//! `dynapurls`: moves the semantic anchors towards the unlabelled stream.
//!
//! Source: DynaPURLS, arXiv 2512.11941, section 3.4, eq. 12 to 16 and Algorithm 1; released code
//! Alchemist0754/DynaPURLS. Where the two differ, each reading is an option, and a [`Preset`] names the set.
//!
//! | symbol | here            | shape             | meaning                                                       |
//! |--------|-----------------|-------------------|---------------------------------------------------------------|
//! | `F`    | `base`          | `[C, P, d]`       | the anchors that are refined, as the texts give them          |
//! | `S, Δ` | `Moving::values`| `[S, 2, C, P, d]` | scale and shift per stream, from 1 and 0                      |
//! | `F'`   | `Moving::text`  | `[S, C, P, d]`    | `S∘F + Δ`, rows of length 1: queries and prototypes at once    |
//! | `x`    | `Bank::rows`    | `[S, C·K, ...]`   | remembered samples, as [`szar_core::Aligner::condense`] gives them |
//! | `τ`    | `temperature`   |                   | divides the logits before the softmax                         |
//!
//! A sample is scored with the anchors as they are. If its posterior is confident it is remembered for the class it was
//! taken for; then the cross-entropy of (a class-balanced part of) the memory with its own pseudo-labels, under the
//! *current* anchors, gives one step of Adam on S and Δ. The aligner stays as it is.
//!
//! What is remembered is the cheapest exact form that the aligner can score again: for aligners that compare fixed
//! vectors with anchors, the vector (the gradient is then closed form, without a graph); for those whose anchors also
//! ask the map (attention), the nodes, whose keys never change; for any other, the features.

mod adapter;
mod bank;
mod choices;
mod config;
mod fused;
mod gradient;
mod judged;
mod learn;
mod moving;
mod passes;
mod released;
mod state;
#[cfg(test)]
mod tests;

pub use adapter::{DynaPurls, Update};
pub use choices::{
    Adapted, Combine, Granule, Length, Order, Preset, Sampling, Schedule, Targets, ThresholdScale,
};
pub use config::DynaPurlsConfig;
