//! From skeletons to feature maps.

use std::fmt::Debug;

use tch::Tensor;

use crate::checkpoint::NamedTensors;
use crate::component::{BuildContext, EncoderSpec, InputSpec, Mark};
use crate::types::{FeatureMap, SeenLabels, SkeletonBatch};
use crate::{FitContext, FitSummary, Problems, Result};

/// What an encoder says of a batch.
#[derive(Debug)]
pub struct Encoding {
    /// `[B, N, T', V']`, averaged over persons.
    pub features: FeatureMap,
    /// `[B, S]` logits over the seen classes, from encoders that classify.
    pub seen_logits: Option<Tensor>,
}

/// Skeletons of seen classes with their labels, read batch by batch.
pub trait SeenSkeletons {
    /// Labels of all samples.
    fn labels(&self) -> &SeenLabels;

    /// The samples with these numbers.
    ///
    /// # Errors
    /// When a sequence cannot be read.
    fn batch(&self, samples: &[usize]) -> Result<SkeletonBatch>;
}

/// A skeleton encoder.
pub trait SkeletonEncoder: Send {
    /// What it gives.
    fn spec(&self) -> EncoderSpec;

    /// Features of a batch, in evaluation mode and without gradients.
    ///
    /// # Errors
    /// [`crate::Error::Shape`] when the batch is not what the encoder was built for.
    fn encode(&self, batch: &SkeletonBatch) -> Result<Encoding>;

    /// Trains on seen classes; keeps the weights of the best epoch on the validation part, which may be empty.
    ///
    /// # Errors
    /// [`crate::Error::Cancelled`] when asked to stop; the checkpoint then holds the last finished epoch.
    fn fit(
        &mut self,
        train: &dyn SeenSkeletons,
        validation: &dyn SeenSkeletons,
        ctx: &mut FitContext,
    ) -> Result<FitSummary>;

    /// All parameters and buffers under their official names, sharing memory with the encoder.
    fn state(&self) -> NamedTensors;

    /// Takes over weights by name.
    ///
    /// # Errors
    /// When names or shapes differ.
    fn load_state(&mut self, state: &NamedTensors) -> Result<()>;
}

/// Options of an encoder.
#[typetag::serde(tag = "type")]
pub trait EncoderConfig: Debug + Send + Sync {
    /// Judges the options alone; touches nothing.
    fn validate(&self, problems: &mut Problems);

    /// What it will give for an input.
    fn spec(&self, input: &InputSpec) -> EncoderSpec;

    /// File or folder with trained weights, as [`crate::checkpoint::read_weights`] takes them; `None` when the encoder is
    /// to be trained here.
    fn weights(&self) -> Option<&std::path::Path> {
        None
    }

    /// How the sequences were prepared that its weights were trained on, by the name of a preprocessor; `None` when the
    /// options do not say so.
    fn prepared(&self) -> Option<&str> {
        None
    }

    /// The encoders that it is made of, as they stand in its option `members`.
    fn members(&self) -> Vec<&dyn EncoderConfig> {
        Vec::new()
    }

    /// Is there anything to train? `false` for an encoder that comes with its weights and takes no others.
    fn trains(&self) -> bool {
        true
    }

    /// Does it pass on the features that a dataset brings, and encode no skeleton? Their form is then the dataset's, and not
    /// what [`Self::spec`] says of skeletons.
    fn passes_on(&self) -> bool {
        false
    }

    /// Can it be trained from nothing, without the weights it was given? Asked where it must not know some of the seen
    /// classes.
    fn retrains(&self) -> bool {
        self.trains()
    }

    /// Remarks for the report.
    fn marks(&self) -> Vec<Mark> {
        Vec::new()
    }

    /// Builds the network with random weights from the current seed of libtorch.
    ///
    /// # Errors
    /// When the input does not suit the network.
    fn build(&self, input: &InputSpec, ctx: &BuildContext) -> Result<Box<dyn SkeletonEncoder>>;
}
