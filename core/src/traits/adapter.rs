//! Changes predictions at test time, on the unlabelled stream.

use std::collections::BTreeMap;
use std::fmt::Debug;
use std::sync::Arc;

use tch::Device;

use crate::checkpoint::NamedTensors;
use crate::component::{BuildContext, EncoderSpec, Mark, Requirements};
use crate::traits::Aligner;
use crate::types::{ClassList, FeatureMap, Scores, SemanticAnchors, SkeletonLayout};
use crate::{Error, Problems, Result, Seed};

/// What an adapter is told before a stream begins.
#[derive(Debug)]
pub struct Task {
    /// The C candidates, in the order of the logits' columns.
    pub candidates: ClassList,
    /// Their anchors.
    pub anchors: SemanticAnchors,
    /// Form of the features.
    pub features: EncoderSpec,
    /// The skeleton that the V' joints belong to.
    pub layout: Arc<SkeletonLayout>,
    /// Device of all tensors.
    pub device: Device,
    /// Seed of this stream.
    pub seed: Seed,
}

/// What an adapter sees of the stream: features and scores, never a label.
#[derive(Debug)]
pub struct Observation<'a> {
    /// `[B, N, T', V']`.
    pub features: &'a FeatureMap,
    /// `[B, C]`, from the aligner or the adapter before.
    pub scores: &'a Scores,
}

/// A test-time adapter.
pub trait TestTimeAdapter: Send {
    /// Starts a stream: allocates the state, forgets any earlier stream.
    ///
    /// # Errors
    /// When the task does not fit the options (a prior lacks a class, say).
    fn begin(&mut self, task: &Task) -> Result<()>;

    /// One online step: predicts the batch and updates the state. Where the method is per sample, a batch
    /// of B gives what B single steps give, in order.
    ///
    /// # Errors
    /// When shapes do not fit the task.
    fn step(&mut self, seen: &Observation, model: &dyn Aligner) -> Result<Scores>;

    /// Everything needed to go on later, bit for bit.
    ///
    /// # Errors
    /// When no stream has begun.
    fn snapshot(&self) -> Result<NamedTensors>;

    /// Goes on from a snapshot of the same task.
    ///
    /// # Errors
    /// When entries are missing or have other shapes.
    fn restore(&mut self, state: NamedTensors) -> Result<()>;

    /// Does the method score the finished stream a second time ([`Self::rescore`])? Asked once, after the stream.
    fn wants_second_pass(&self) -> bool {
        false
    }

    /// Scores a batch of the finished stream again without updating; only after [`Self::wants_second_pass`].
    ///
    /// # Errors
    /// When the method has no second pass.
    fn rescore(&mut self, seen: &Observation, model: &dyn Aligner) -> Result<Scores> {
        let _ = (seen, model);
        Err(Error::Input("this adapter has no second pass".into()))
    }

    /// Numbers about the state for the report, by name: per class (`[C]`) or scalar (one value).
    fn diagnostics(&self) -> BTreeMap<String, Vec<f64>> {
        BTreeMap::new()
    }

    /// Bytes of state held, now.
    fn state_bytes(&self) -> u64 {
        0
    }
}

/// Options of an adapter.
#[typetag::serde(tag = "type")]
pub trait AdapterConfig: Debug + Send + Sync {
    /// Judges the options alone; touches nothing.
    fn validate(&self, problems: &mut Problems);

    /// What it cannot do without.
    fn requirements(&self) -> Requirements {
        Requirements::default()
    }

    /// Remarks for the report.
    fn marks(&self) -> Vec<Mark> {
        Vec::new()
    }

    /// The same adapter with other constants, for published protocols that choose the best by test labels.
    /// The evaluator runs every variant, keeps the best and marks the report. Empty for honest protocols.
    fn test_tuned_variants(&self) -> Vec<Box<dyn AdapterConfig>> {
        Vec::new()
    }

    /// Builds the runtime part.
    ///
    /// # Errors
    /// When a file is missing or wrong.
    fn build(&self, ctx: &BuildContext) -> Result<Box<dyn TestTimeAdapter>>;
}
