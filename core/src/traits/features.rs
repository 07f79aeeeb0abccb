//! Features that were extracted elsewhere and stand in for sequences.

use super::{Dataset, Encoding};
use crate::Result;
use crate::component::EncoderSpec;

/// What the options of a dataset say of the features that it brings.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct FeatureForm {
    /// Of the features; `classifies` where test samples come with logits.
    pub spec: EncoderSpec,
    /// Do features of an encoder that does not know some of the seen classes come with them, to fit gates on?
    pub held_out: bool,
}

/// Features of a dataset's samples, read when they are asked for.
pub trait RecordedFeatures: Send + Sync {
    /// Of the features; `classifies` where test samples have logits.
    fn spec(&self) -> EncoderSpec;

    /// Features of the samples with these numbers, on the CPU; with logits over the seen classes of the split where all of
    /// these samples have some. At least one sample is asked for.
    ///
    /// # Errors
    /// When a sample is not there, its file is cut short or a value is not finite; the error names file and row.
    fn load(&self, samples: &[usize]) -> Result<Encoding>;

    /// Features of an encoder that was trained without some of the seen classes, which stand as the unseen ones of its split:
    /// samples of the training part to train an aligner on, and of the test part, with logits, to fit a gate on. No sample
    /// is of a class that is unseen in the run.
    ///
    /// # Errors
    /// When the files are missing or wrong.
    fn held_out(&self) -> Result<Option<Box<dyn Dataset>>> {
        Ok(None)
    }
}
