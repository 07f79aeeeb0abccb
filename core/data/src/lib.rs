//! Skeleton data: layouts, readers, splits, preprocessing, statistics, pictures, and the embedded procedural set.
//!
//! Depends on `szar-core` alone; knows no encoder.

pub mod archive;
mod conform;
pub mod draw;
pub mod inspect;
pub mod layouts;
pub mod motion;
pub mod preprocess;
pub mod pseudo_unseen;
pub mod readers;
pub mod splits;
pub mod store;
#[cfg(test)]
mod toy;
