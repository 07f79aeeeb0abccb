//! Semantic providers and text encoders: one file (or folder) each.
//!
//! A provider gives each class its anchors: `descriptions` encodes the texts of a JSON file, `embeddings` reads
//! vectors that were made elsewhere. Text encoders turn texts into vectors: `sentence-bert`, `clip`.

mod batches;
pub mod bert;
pub mod classes;
pub mod clip;
pub mod descriptions;
pub mod embed;
pub mod embeddings;
pub mod generate;
mod hash;
mod json;
mod parameters;
pub mod speech;
pub mod vectors;
