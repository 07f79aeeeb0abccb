//! `tda`: two small caches of test samples, one of what the model is sure of and one of what it doubts; a new sample
//! gains what it shares with the sure ones of a class and loses what it shares with those that were probably not it.
//!
//! Source: TDA, "Efficient Test-Time Adaptation of Vision-Language Models", CVPR 2024; released code kdiAAA/TDA, which
//! is followed here: entropies in nats are divided by log2 C before they meet the band (option `entropy_unit`), the
//! negative cache keeps the most certain samples of the band (option `negative.keep`), and a sample enters before it is
//! answered (option `order`).
//!
//! | symbol  | here                | shape         | meaning                                                      |
//! |---------|---------------------|---------------|--------------------------------------------------------------|
//! | `z`     | `base`              | `[B, C]`      | logits of the aligner, or of the adapter before              |
//! | `p`     | `posteriors`        | `[B, C]`      | `softmax(z / temperature)`                                   |
//! | `e`     | `entropies`         | `[B]`         | entropy of `p`, nats                                         |
//! | `v`     | `keys`              | `[B, D]`      | the sample's vector, of length 1                             |
//! | `k`     | `Cache::keys`       | `[S·C·K, D]`  | stored vectors; block `s·C + c` holds class c of stream s    |
//! | `m`     | `Cache::masks`      | `[S·C·K, C]`  | 1 where the stored probability lay inside the mask's bounds  |
//!
//! The answer is `z + α₊ Σ exp(−β₊ (1 − v·k)) onehot(class) − α₋ Σ exp(−β₋ (1 − v·k)) m`, the sums over the entries of
//! the positive and of the negative cache. A class block holds at most `capacity` entries; when it is full, a sample
//! with strictly lower entropy than its most uncertain entry takes that entry's place.
//!
//! A batch is answered sample by sample, bit for bit as if its samples came one at a time. The walk runs on the host: on
//! an accelerator the vectors `[B, D]` and the logits `[B, C]` are copied once per step, and the answer back once.

mod adapter;
mod cache;
mod config;
mod golden;
#[cfg(test)]
mod tests;
mod views;

pub use adapter::Tda;
pub use config::{EntropyUnit, Keep, Keys, NegativeConfig, PositiveConfig, Preset, TdaConfig};
pub use views::{Selected, select_views};

pub use crate::skeleton_cache::Order;
