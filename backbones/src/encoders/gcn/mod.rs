//! What graph-convolutional encoders share: persons in and out, streams, the norm of the input, weights, evaluation.
//!
//! A network computes persons one by one, `[n, T, V, C]` with channels innermost; [`GraphEncoder`] makes those persons
//! of a batch, leaves out the ones who are not there (an absent person's output depends on nothing but its place, so
//! it is computed once for each place), takes the mean over persons and classifies.

#[cfg(test)]
pub(crate) mod checks;
mod encoder;
pub(crate) mod golden;
mod graph;
mod joints;
mod norm;
mod persons;
mod plan;
mod residual;
mod shortcut;
mod stack;
pub(crate) mod start;
mod stream;
#[cfg(test)]
mod tests;

use std::fmt::Debug;

use szar_core::{NamedTensors, Result, SkeletonLayout};
use tch::{Kind, Tensor};

pub use encoder::{Common, GraphEncoder, check_input};
pub use graph::{GraphMode, spatial};
pub use joints::{convolve, mean_over_time, normalise};
pub use norm::{InputAffine, InputNorm};
pub use persons::Persons;
pub use plan::{Plan, output_frames, ten_block_spec, ten_blocks};
pub use residual::{FoldedResidual, Residual};
pub use shortcut::{FoldedShortcut, Shortcut};
pub use stack::{Block, FoldedBlock, FoldedStack, Stack};
pub use stream::Stream;

/// Coordinates of a joint.
pub const COORDINATES: i64 = 3;

/// A network over one person's joints, with its parameters.
pub trait Network: Debug + Send {
    /// Name of the component.
    const NAME: &'static str;

    /// Name of the classifier in the state dict: `fc`, with `fc.weight` and `fc.bias`.
    const HEAD: &'static str = "fc";

    /// The network as it is evaluated.
    type Folded: Folded;

    /// All parameters and buffers under their official names, the classifier included, sharing memory.
    fn state(&self) -> NamedTensors;

    /// Weight `[S, N]` (or `[S, N, 1, 1]`) and bias `[S]` of the classifier.
    fn head(&self) -> (&Tensor, &Tensor);

    /// Takes out of a state dict what is not loaded but must agree (a fixed graph), and what was made for more persons
    /// than there are; see [`InputNorm::fit_persons`].
    ///
    /// # Errors
    /// When something that is fixed differs.
    fn accept(&self, given: &mut NamedTensors, layout: &SkeletonLayout) -> Result<()>;

    /// Refuses a number of frames that the network cannot take; by default none.
    ///
    /// # Errors
    /// When it is refused, with what would do.
    fn check_frames(&self, frames: i64) -> Result<()> {
        let _ = frames;
        Ok(())
    }

    /// What the network reads, from the joints `[n, T, V, 3]` of a stream: `[n, T, W, C]`. By default the joints.
    fn prepare(&self, joints: Tensor) -> Tensor {
        joints
    }

    /// Training mode: `x` `[n, T, W, C]` f32, row i in place `slots[i]` among the persons of its sample, to the last
    /// block's `[n, T', V', N]`, with products in `kind`.
    fn train(&self, x: &Tensor, slots: &[i64], kind: Kind) -> Tensor;

    /// The weights as they are now, with normalisations folded into the products before them.
    fn fold(&self, kind: Kind) -> Self::Folded;

    /// The channels of the mean `[B, T', V', N]` over persons that are given as features; by default all.
    fn features(&self, map: Tensor) -> Tensor {
        map
    }

    /// Before an epoch of training: what is trained in it.
    fn begin_epoch(&self, epoch: u32) {
        let _ = epoch;
    }

    /// After the gradients are there and before they are used: published training that changes them.
    fn after_backward(&self) {}
}

/// A network as it is evaluated, without gradients.
pub trait Folded: Debug + Send {
    /// `x` `[n, T, W, C]` f32, row i in place `slots[i]`, to `[n, T', V', N]` f32. `tap` sees every block's output
    /// `[n, T, V, C]`.
    fn forward(&self, x: &Tensor, slots: &[i64], tap: &mut dyn FnMut(&Tensor)) -> Tensor;
}
