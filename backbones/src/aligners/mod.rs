//! Aligners: one file (or folder) each.

pub mod cada_vae;
pub mod devise;
pub mod eszsl;
pub mod jpose;
mod maps;
pub mod neuron;
mod pooled;
pub mod purls;
pub mod revise;
pub mod sa_dvae;
pub mod scople;
pub mod smie;
pub mod star;
pub mod synse;
pub mod training;
pub mod vae;
