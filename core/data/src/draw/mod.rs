//! Pictures of skeletons: a contact sheet of classes (SVG, PNG) and the motion of one sequence (GIF).
//!
//! Front view of any [`szar_core::SkeletonLayout`]: x to the right, +y up, depth left out. The first person and the others
//! differ in hue, left and right limbs in lightness. Joints that are untracked or not finite are not drawn, nor are their
//! bones. One [`Scene`] of lines, dots and words is laid out, and painted three ways; the same input gives the same bytes.

mod animation;
mod colour;
mod figure;
mod label;
mod motion;
mod paint;
mod scene;
mod sheet;

pub use animation::{Animation, animation};
pub use colour::Colour;
pub use motion::{Still, motion, still};
pub use scene::{Item, Point, Scene};
pub use sheet::contact_sheet;

#[cfg(test)]
mod tests;
