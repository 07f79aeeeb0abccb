//! NTU RGB+D 60 and 120: the raw text files, which bodies of them are used, and the dataset.
//!
//! A. Shahroudy, J. Liu, T.-T. Ng, G. Wang, "NTU RGB+D: a large scale dataset for 3D human activity analysis", CVPR
//! 2016; J. Liu et al., "NTU RGB+D 120", TPAMI 2019. Kinect v2, 25 joints, 30 frames a second.

pub(crate) mod actors;
pub(crate) mod bodies;
mod dataset;
mod files;
mod name;
pub mod parse;
mod protocol;
#[cfg(test)]
pub(crate) mod test_files;

pub use dataset::{Bodies, NtuRgbdConfig};
pub use protocol::Protocol;

/// Frames per second of the sensor.
const FPS: f32 = 30.0;
