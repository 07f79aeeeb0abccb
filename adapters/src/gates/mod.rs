//! Gates: decide between seen and unseen.

mod entropy;

pub use entropy::{Classifier, EntropyGateConfig, Source, Support, entropy};
