//! Aligners: one file (or folder) each.

pub mod eszsl;
mod maps;
pub mod neuron;
pub mod purls;
pub mod scople;
pub mod star;
pub mod training;
