//! Test-time adapters and gates for generalised zero-shot recognition: one file (or folder) each.
//!
//! Depends on `szar-core` alone; knows no encoder, aligner or dataset.

pub mod augment;
pub mod gates;
pub mod skeleton_cache;
pub mod views;
