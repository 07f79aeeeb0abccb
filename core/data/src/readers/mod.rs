//! Readers, one per format. Each is a dataset component that ends in sequences held in memory.

mod agcn_npy;
mod ctr_gcn_npz;
pub(crate) mod files;
mod florence3d;
mod mat5;
mod msr_action3d;
mod npy;
pub mod ntu;
mod prepared;
mod quality;
mod recorded;
mod rows;
mod skeleton_npz;
#[cfg(test)]
pub(crate) mod test_data;
pub(crate) mod text;
mod utkinect;

pub use agcn_npy::AgcnNpyConfig;
pub use ctr_gcn_npz::CtrGcnNpzConfig;
pub use florence3d::Florence3dConfig;
pub use msr_action3d::MsrAction3dConfig;
pub use ntu::NtuRgbdConfig;
pub use quality::Exclusion;
pub use skeleton_npz::SkeletonNpzConfig;
pub use utkinect::UtKinectConfig;
