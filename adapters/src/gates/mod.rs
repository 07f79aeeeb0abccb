//! Gates: decide between seen and unseen.
//!
//! | gate                     | judges by                              | fitted on                                   |
//! |--------------------------|----------------------------------------|---------------------------------------------|
//! | `entropy`                | entropy of a posterior                 | seen validation samples, or held-out classes |
//! | `calibrated-stacking`    | scores, those of seen classes lessened | held-out classes                            |
//! | `seen-unseen-classifier` | a logistic regression on two posteriors | held-out classes                            |
//! | `oracle`                 | the true class                         | nothing; an upper bound for analysis        |

mod classifier;
mod entropy;
mod evidence;
mod oracle;
mod stacking;
mod sweep;
#[cfg(test)]
mod tests;

pub use classifier::{Preset, SeenUnseenClassifierConfig, Solver};
pub use entropy::{Choice, EntropyGateConfig, Source, Support, entropy};
pub use evidence::Classifier;
pub use oracle::OracleGateConfig;
pub use stacking::{CalibratedStackingConfig, On, calibrated};
