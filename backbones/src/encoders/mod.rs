//! Skeleton encoders: one file (or folder) each.

pub mod agcn;
pub mod ctr_gcn;
pub mod dgnn;
pub mod ensemble;
#[cfg(test)]
mod folding;
pub mod gcn;
pub mod layers;
pub mod msg3d;
pub mod posec3d;
pub mod recorded;
pub mod shift_gcn;
pub mod st_gcn;
pub mod torchscript;
