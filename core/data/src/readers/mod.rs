//! Readers, one per format. Each is a dataset component that ends in sequences held in memory.

mod files;
mod florence3d;
mod kinect_v2_text;
mod labelling;
mod mat5;
mod msr_action3d;
mod npy;
mod nw_ucla;
mod on_demand;
mod quality;
mod recorded;
mod skeleton_npz;
#[cfg(test)]
pub(crate) mod test_data;
pub(crate) mod text;
mod utd_mhad;
mod utkinect;
mod walk;

pub use florence3d::Florence3dConfig;
pub use kinect_v2_text::KinectV2TextConfig;
pub use labelling::{ClassFrom, Protocol};
pub use msr_action3d::MsrAction3dConfig;
pub use nw_ucla::{NwUclaConfig, NwUclaProtocol};
pub use quality::Exclusion;
pub use skeleton_npz::SkeletonNpzConfig;
pub use utd_mhad::UtdMhadConfig;
pub use utkinect::UtKinectConfig;
