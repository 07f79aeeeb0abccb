//! `tpt`: for each sample alone, moves the texts until the sample's views agree on an answer; then forgets.
//!
//! Source: Shu et al., "Test-Time Prompt Tuning for Zero-Shot Generalization in Vision-Language Models" (TPT), NeurIPS
//! 2022, eq. 2 to 4; released code azshue/TPT. The views of a skeleton ([`crate::views`]) are ours, and so is the
//! residual on the texts that stands in for the prompt where no text encoder can be tuned.
//!
//! | symbol | here           | shape               | meaning                                                        |
//! |--------|----------------|---------------------|----------------------------------------------------------------|
//! | `x`    | `rows`         | `[B·V, ..]`         | views as the aligner condenses them; view 0 is the sample      |
//! | `a`    | `anchors`      | `[C, G, d]`         | texts                                                          |
//! | `δ`    | `residual`     | `[1 or C, G, d]`    | what is tuned: added to the texts, which keep their lengths    |
//! | `p`    | `context`      | `[n, H]`            | or this: vectors of the prompt's first words                   |
//! | `κ`    | `selection`    | scalar              | `int(κ V)` views of lowest entropy are kept                    |
//! | `q`    | `mean`         | `[C]`               | mean posterior of the kept views; its entropy is the loss      |
//!
//! A few steps of AdamW on the entropy of `q`, the answer to view 0 under the tuned texts, and everything is as before.
//! For aligners that score by a dot product ([`szar_core::Linear`]) and a residual, the gradient is written out (with
//! `P` the posterior of a view, `∂L/∂z = P (h − P·h) / k` for `h = −ln q`; a length that is kept projects
//! the gradient to what is across the text), and a sample costs a few products on the host: on an accelerator the views'
//! rows are copied once per group of samples and the answers back. Everything else goes through autograd, sample by
//! sample, on the device.
//!
//! The adapter replaces the scores that reach it, so that it belongs first among adapters. There is no state between
//! samples: batches and streams do not matter, snapshots are empty.

mod config;
mod graph;
mod linear;
mod objective;
mod select;
#[cfg(test)]
mod tests;
mod tuner;

pub use config::{TptConfig, Tuned};
pub(crate) use config::{judge, needs};
pub use select::Selection;
pub use tuner::{Record, Rules, Tuner};
