//! From a raw sequence to what an encoder is trained on.

use std::fmt::Debug;

use crate::types::SkeletonLayout;
use crate::{Problems, Result, Sequence};

/// Options of a preprocessor, which is a pure function of one sequence.
#[typetag::serde(tag = "type")]
pub trait PreprocessorConfig: Debug + Send + Sync {
    /// Judges the options alone; touches nothing.
    fn validate(&self, problems: &mut Problems);

    /// T, the length of every sequence afterwards.
    fn frames(&self) -> i64;

    /// The sequence with exactly [`Self::frames`] frames, and how many of them carry data.
    ///
    /// # Errors
    /// When the sequence is empty, has values that are not finite, or another number of joints than the layout.
    fn apply(&self, sequence: &Sequence, layout: &SkeletonLayout) -> Result<(Sequence, usize)>;
}
