//! Augmentations: further views of a skeleton sequence, for adapters that adapt to a single sample.
//!
//! Every view has a generator of its own, derived from the seed, the sample's position in the stream and the view's
//! number: the views of a sample do not depend on its batch, and fewer views are the first of more. Arithmetic runs on
//! the device of the skeletons, for all views of all samples at once. Who is absent stays at zero, and so does padding.

mod body;
mod denoise;
mod skeleton;
mod smoothing;
#[cfg(test)]
mod tests;

pub use denoise::NoiseDenoiseConfig;
pub use skeleton::SkeletonAugmentConfig;
