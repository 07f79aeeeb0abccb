//! Aligners: one file (or folder) each.

pub mod cada_vae;
pub mod eszsl;
pub mod purls;
pub mod sa_dvae;
pub mod synse;
pub mod training;
pub mod vae;
