//! Test-time adapters and gates for generalised zero-shot recognition: one file (or folder) each.
//!
//! Depends on `szar-core` alone; knows no encoder, aligner or dataset.

pub mod augment;
pub mod balance;
pub mod calip;
pub mod dynapurls;
pub mod gates;
pub mod none;
pub mod promptalign;
mod simd;
pub mod skeleton_cache;
pub mod tent;
pub mod views;

pub mod adanpc;
pub mod t3a;
pub mod tda;

pub mod diff_tpt;
mod recorded;
mod rows;
mod saved;
pub mod tpt;
#[cfg(test)]
mod trial;
