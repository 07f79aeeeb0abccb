//! Readers, one per format. Each is a dataset component; its sequences are held in memory, or read when they are asked
//! for where a sequence has a file of its own.

mod agcn_npy;
mod axes;
mod ctr_gcn_npz;
pub(crate) mod features;
pub(crate) mod files;
mod florence3d;
mod joint_csv;
mod kinect_v2_text;
mod labelling;
mod layout_choice;
mod mat5;
mod mocap;
mod msr_action3d;
mod npy;
pub mod ntu;
mod nw_ucla;
mod on_demand;
mod pku_mmd;
mod pose_json;
mod prepared;
mod pyskl;
mod quality;
mod recorded;
mod rows;
mod skeleton_npz;
#[cfg(test)]
pub(crate) mod test_data;
pub(crate) mod text;
mod utd_mhad;
mod utkinect;
mod walk;

pub use agcn_npy::AgcnNpyConfig;
pub use axes::Axes;
pub use ctr_gcn_npz::CtrGcnNpzConfig;
pub use features::{PurlsFeaturesConfig, SynseFeaturesConfig};
pub use florence3d::Florence3dConfig;
pub use joint_csv::{CsvColumns, CsvForm, JointCsvConfig};
pub use kinect_v2_text::KinectV2TextConfig;
pub use labelling::{ClassFrom, Protocol};
pub use mocap::{AsfAmcConfig, BvhConfig};
pub use msr_action3d::MsrAction3dConfig;
pub use ntu::NtuRgbdConfig;
pub use nw_ucla::{NwUclaConfig, NwUclaProtocol};
pub use pku_mmd::{PkuMmdConfig, PkuMmdProtocol};
pub use pose_json::{PoseFiles, PoseJsonConfig, PoseSource};
pub use pyskl::{KeyPoints, PysklConfig};
pub use quality::Exclusion;
pub use skeleton_npz::SkeletonNpzConfig;
pub use utd_mhad::UtdMhadConfig;
pub use utkinect::UtKinectConfig;
