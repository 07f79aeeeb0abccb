//! Draws that several parts share.

use rand::RngExt;
use rand_distr::{Distribution, StandardNormal};

/// The generator of everything here; its stream is the same on every platform.
pub(super) type Generator = rand_chacha::ChaCha8Rng;

/// A normal draw without its far tails, which would break limbs.
pub(super) fn normal(rng: &mut Generator) -> f64 {
    let x: f64 = StandardNormal.sample(rng);
    x.clamp(-2.5, 2.5)
}

/// A number of a range that may be a single one.
pub(super) fn between((low, high): (f64, f64), rng: &mut Generator) -> f64 {
    if high > low {
        rng.random_range(low..=high)
    } else {
        low
    }
}
