//! Blocks that two components use.

pub mod classifier;
