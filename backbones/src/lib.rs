//! The parts a zero-shot recogniser is made of before adaptation: skeleton encoders, semantic providers and aligners.
//!
//! Depends on `szar-core` alone; knows no dataset and no adapter.

pub mod aligners;
pub mod encoders;
pub mod nn;
pub mod semantics;
