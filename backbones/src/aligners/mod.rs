//! Aligners: one file (or folder) each.

pub mod devise;
pub mod eszsl;
pub mod jpose;
mod maps;
pub mod neuron;
mod pooled;
pub mod purls;
pub mod revise;
pub mod smie;
pub mod star;
pub mod training;
