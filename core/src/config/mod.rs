//! Configuration: from YAML text and overrides to checked components.
//!
//! [`load`] goes through these steps, and reports every mistake of all of them at once, each with the file, line
//! and column (or the override) it was written in:
//!
//! 1. The YAML file becomes a tree whose nodes know their place; `base: other.yaml` (or a list) names files to build
//!    on. Maps merge field by field, the later one wins; lists and plain values are replaced, and so is a block
//!    whose `type` changes.
//! 2. Overrides, `adapters.0.capacity=8`, are laid over it.
//! 3. Paths become absolute: relative to the YAML file they stand in, or to the working folder in an override.
//! 4. `${dataset.root}` is replaced by the value it names; `$${` stands for a plain `${`.
//! 5. Each component's block is looked up in the registry by its `type` and checked against its schema.
//! 6. Each component validates its options, then [`check`] asks whether the components fit each other.

mod base;
mod blocks;
mod check;
mod document;
mod emit;
mod fields;
mod interpolate;
mod options;
mod overrides;
mod paths;
mod pipeline;
mod resolve;
mod resolved;
mod schema;
#[cfg(test)]
mod tests;
mod tree;
mod words;
mod yaml;

pub use check::{Composition, check};
pub use document::{Document, Layer};
pub use fields::{FieldDoc, fields, fields_of, pipeline_fields};
pub use pipeline::{Evaluation, FeatureStorage, Pipeline, StoredPrecision, Stream, StreamOrder, Validation};
pub use resolve::{dataset, load, load_over, load_str, plugins};
pub use resolved::Resolved;
pub use schema::pipeline_schema;
