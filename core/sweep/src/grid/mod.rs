//! A grid: a pipeline, and axes along which parts of it are changed.
//!
//! ```yaml
//! pipeline: ../quickstart.yaml
//! set: {evaluate: [zsl]}
//! axes:
//!   aligner:                                  # named points: any number of fields each
//!     eszsl: {aligner: {type: eszsl}}
//!     purls: {aligner: {type: purls, partition: static}}
//!   adapter:
//!     none: {adapters: []}
//!     cache: {adapters: [{type: skeleton-cache}]}
//!   seed: [0, 1, 2]                           # plain points: values of the field that the axis is named after
//! exclude: [{aligner: eszsl, adapter: cache}]
//! table: {columns: [adapter], measures: [class_mean_adapted]}
//! ```

mod cells;
mod expected;
mod options;
#[cfg(test)]
mod tests;

pub use cells::{Cell, State, expand, given};
pub use expected::{Expected, Published};
pub use options::{Axis, Grid, Highlight, Labels, Point, TableOptions};
