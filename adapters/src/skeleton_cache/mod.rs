//! `skeleton-cache`: remembers confident test samples class by class, and adds to each class what the new
//! sample has in common with them.
//!
//! Source: Skeleton-Cache, arXiv 2512.11458, sections 3.1 and 3.2, eq. 3 to 12 and Algorithm 1; released code
//! Alchemist0754/Skeleton-Cache. Where the two differ, each reading is an option, and a [`Preset`] names the set.
//!
//! | symbol | here             | shape       | meaning                                                        |
//! |--------|------------------|-------------|----------------------------------------------------------------|
//! | `φ̂`    | `base`           | `[B, C]`    | logits before the cache                                        |
//! | `q`    | `descriptors`    | `[B, D, N]` | pooled features of the sample, one per slot                    |
//! | `k`    | `Bank::keys`     | `[D, C·K, N]` | stored descriptors of length 1; column `j·K + i` is entry i of class j |
//! | `h`    | `Bank::entropies`| `[C·K]`     | entropy of the posterior an entry was stored with, nats        |
//! | `W`    | `prior`          | `[C, D]`    | weight of each slot, rows sum to 1                             |
//! | `a`    | `affinity`       | `[B, C·K]`  | `Σ_d w_d exp(−β (1 − cos(q_d, k_d)))`                          |
//!
//! The answer is `φ = φ̂ + α s` with `s_j = Σ_i a_{j,i}` over the entries of class j. Which sample is stored where
//! depends on the samples before it, in that order; everything else is arithmetic that a batch shares. So a step
//! computes the affinities of the whole batch at once, then walks over the batch in order on the host, where an
//! entry that is stored halfway replaces one column of affinities for the samples that follow.
//!
//! On the CPU the predictions of a batch are those of its samples one by one, bit for bit.

mod adapter;
mod bank;
mod choices;
mod config;
mod device;
mod golden;
mod host;
mod inputs;
mod prior;
mod scan;
mod similarity;
mod soft;
#[cfg(test)]
mod tests;

pub use adapter::SkeletonCache;
pub use choices::{
    Accumulate, Centre, LogitNorm, MissingPrior, Order, Preset, Protocol, SecondPass, Signal, WeightRow,
};
pub use config::SkeletonCacheConfig;
pub use prior::Prior;
pub use scan::Placement;
