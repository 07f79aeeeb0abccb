//! Aligners: one file (or folder) each.

pub mod eszsl;
pub mod purls;
pub mod training;
