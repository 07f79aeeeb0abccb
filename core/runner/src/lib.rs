//! Runs a pipeline: data, training on seen classes, evaluation before and after adaptation, report.
//!
//! The only crate that sees all others; it knows components by their traits alone.

pub mod conform;
mod data;
mod evaluate;
mod features;
mod lock;
pub mod matrix;
pub mod metrics;
mod parity;
pub mod perf;
pub mod predict;
pub mod record;
pub mod report;
mod run;
mod rundir;
pub mod summary;
pub mod table;
mod train;

pub use conform::{CaseReport, Verdict, conform};
pub use report::Report;
pub use run::{
    Extracted, Models, Outcome, RunOptions, SAVE_EVERY, cache_dir, encoder_key, extract, model_key,
    prepare_after, reads_map, run, run_after,
};
pub use train::content_hash;

// A crate that nobody names is not linked, and its components vanish in silence.
use szar_adapters as _;
use szar_backbones as _;
use szar_data as _;
