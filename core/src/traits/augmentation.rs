//! Makes further views of a sample, for methods that adapt to a single one.

use std::fmt::Debug;
use std::sync::Arc;

use crate::traits::SampleRef;
use crate::types::{SkeletonBatch, SkeletonLayout};
use crate::{Problems, Result, Seed};

/// A source of views of a skeleton sequence.
pub trait Augmentation: Send {
    /// `count` views of every sample, all views of a sample next to each other: `[B·count, 3, T, V, M]`. The draws of a
    /// sample depend on `seed`, its stream and its position alone, so that batches do not matter.
    ///
    /// # Errors
    /// When the skeleton does not suit it.
    fn views(
        &mut self,
        skeletons: &SkeletonBatch,
        samples: &[SampleRef],
        count: usize,
        seed: Seed,
    ) -> Result<SkeletonBatch>;
}

/// Options of an augmentation.
#[typetag::serde(tag = "type")]
pub trait AugmentationConfig: Debug + Send + Sync {
    /// Judges the options alone; touches nothing.
    fn validate(&self, problems: &mut Problems);

    /// Builds the runtime part for a skeleton.
    ///
    /// # Errors
    /// When the skeleton does not suit it.
    fn build(&self, layout: &Arc<SkeletonLayout>) -> Result<Box<dyn Augmentation>>;
}
