//! Test-time adapters and gates for generalised zero-shot recognition: one file (or folder) each.
//!
//! Depends on `szar-core` alone; knows no encoder, aligner or dataset.

pub mod balance;
pub mod dynapurls;
pub mod gates;
pub mod skeleton_cache;
pub mod augment;
pub mod views;
pub mod calip;
pub mod none;
pub mod promptalign;
pub mod tent;

pub mod adanpc;
pub mod t3a;
pub mod tda;

mod recorded;
mod rows;
mod saved;
#[cfg(test)]
mod trial;
pub mod tpt;
pub mod diff_tpt;
