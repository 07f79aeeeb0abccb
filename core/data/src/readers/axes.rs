//! Which way the axes of a source point, and the turn to ours.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// Axes of the source; all right-handed.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum Axes {
    /// +y up, as here.
    #[default]
    YUp,
    /// +z up: y turns into -z.
    ZUp,
    /// A camera image: x to the right, y down, z away from the camera. Turned half way about z, so that a person who
    /// faces the camera has the left side at smaller x, as a Kinect gives it.
    Camera,
}

impl Axes {
    /// The point with +y up.
    pub(crate) fn turn(self, [x, y, z]: [f64; 3]) -> [f64; 3] {
        match self {
            Self::YUp => [x, y, z],
            Self::ZUp => [x, z, -y],
            Self::Camera => [-x, -y, z],
        }
    }
}
