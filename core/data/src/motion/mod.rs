//! The embedded procedural motion set, `procedural`: thirty classes of motions computed from joint rotations.
//!
//! A subject has a body, a posture and habits; an action is a list of primitives, each moving one channel of a
//! posture over time; forward kinematics turn a posture into joints; a camera and its sensor add the viewpoint, noise
//! and gaps. All of it follows from the seed, and every sample is computed when it is asked for.
//!
//! Sequences have 40 to 90 frames at 30 a second; metres, +y up, right-handed, the camera at the origin looking along
//! +z, the actor 2 to 4 m away (a little more or less at the ends of a walk).
//!
//! Unlike recorded data it needs no download and no licence. Unlike recorded data it is not real: reports say so.

mod actor;
mod body;
mod classes;
mod config;
mod dataset;
mod draw;
mod pose;
mod primitives;
mod secondary;
mod sensor;
mod shape;
mod space;
mod splits;
mod subject;
#[cfg(test)]
mod tests;
mod timing;

pub use config::ProceduralConfig;
