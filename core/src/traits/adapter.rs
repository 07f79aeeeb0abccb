//! Changes predictions at test time, on the unlabelled stream.

use std::collections::BTreeMap;
use std::fmt::Debug;
use std::sync::Arc;

use tch::{Device, Tensor};

use crate::checkpoint::NamedTensors;
use crate::component::{BuildContext, EncoderSpec, Mark, Requirements};

use crate::traits::{Aligner, OracleLabels, PromptTower, SkeletonEncoder};
use crate::types::{
    ClassList, FeatureMap, Granularity, Scores, SemanticAnchors, SkeletonBatch, SkeletonLayout,
};
use crate::{Error, Problems, Result, Seed};

/// What an adapter is told before a stream begins.
#[derive(Debug)]
pub struct Task {
    /// The C candidates, in the order of the logits' columns.
    pub candidates: ClassList,
    /// Which of them are seen classes, `[C]`.
    pub seen: Vec<bool>,
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
    /// S, number of independent streams whose samples come mixed; at least 1.
    pub streams: usize,
    /// Samples that are expected, all streams together; 0 when nobody knows.
    pub expected: u64,
}

/// Which sample of which stream.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct SampleRef {
    /// Its stream, `0 .. S`.
    pub stream: usize,
    /// Its number among all samples of all streams, from 0.
    pub position: u64,
}

impl SampleRef {
    /// `count` samples of stream 0 from position `first`.
    pub fn run(first: u64, count: usize) -> Vec<Self> {
        (first..)
            .take(count)
            .map(|position| Self { stream: 0, position })
            .collect()
    }
}

/// The skeletons behind the features, and what turns skeletons into features.
#[derive(Clone, Copy)]
pub struct Skeletons<'a> {
    /// The batch as the encoder saw it.
    pub batch: &'a SkeletonBatch,
    /// The encoder.
    pub encoder: &'a dyn SkeletonEncoder,
}

impl Debug for Skeletons<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Skeletons")
            .field("batch", self.batch)
            .finish_non_exhaustive()
    }
}

/// What an adapter sees of the stream: features and scores, never a label.
#[derive(Debug)]
pub struct Observation<'a> {
    /// `[B, N, T', V']`.
    pub features: &'a FeatureMap,
    /// `[B, C]`, from the aligner or the adapter before.
    pub scores: &'a Scores,
    /// One per sample.
    pub samples: &'a [SampleRef],
    /// For adapters whose requirements say `skeletons`.
    pub skeletons: Option<Skeletons<'a>>,
    /// For adapters whose requirements say `prompts`.
    pub prompts: Option<&'a dyn PromptTower>,
    /// For published behaviours that look at test labels; only where the aligner wants them too, and every report says so.
    pub oracle: Option<&'a OracleLabels>,
}

impl<'a> Observation<'a> {
    /// Features and scores alone.
    pub fn new(features: &'a FeatureMap, scores: &'a Scores, samples: &'a [SampleRef]) -> Self {
        Self {
            features,
            scores,
            samples,
            skeletons: None,
            prompts: None,
            oracle: None,
        }
    }
}

/// A sample that an adapter remembers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Held {
    /// Which sample.
    pub sample: SampleRef,
    /// Column of the class it is remembered for.
    pub class: usize,
}

/// How much each part of a sample counts for each class.
#[derive(Debug)]
pub struct SlotWeights {
    /// Names of the D parts.
    pub slots: Vec<Granularity>,
    /// `[C, D]`; rows sum to 1.
    pub values: Tensor,
}

/// A test-time adapter.
pub trait TestTimeAdapter: Send {
    /// Starts a stream: allocates the state, forgets any earlier stream.
    ///
    /// # Errors
    /// When the task does not fit the options (a prior lacks a class, say).
    fn begin(&mut self, task: &Task) -> Result<()>;

    /// One online step: predicts the batch and updates the state. Where the method is per sample, a batch
    /// of B gives what B single steps give, in order, and samples of different streams never meet. Features and scores
    /// are finite (who calls sees to that).
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

    /// What it remembers now, for the evaluator to hold against the labels; empty for methods without a memory.
    fn held(&self) -> Vec<Held> {
        Vec::new()
    }

    /// The anchors as they are now, `[S, C, G, d]`, from methods that move them; the task's own are what they started from.
    fn moved_anchors(&self) -> Option<Tensor> {
        None
    }

    /// Weights of parts by class, from methods that have them; for reports.
    fn slot_weights(&self) -> Option<SlotWeights> {
        None
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

    /// Does a sample get the same answer however the stream is cut into batches?
    fn per_sample(&self) -> bool {
        true
    }

    /// Does the adapter keep S streams apart itself ([`Task::streams`])? Otherwise S of it are built.
    fn holds_streams(&self) -> bool {
        false
    }

    /// Does it change the aligner's buffers, as published code does? They are put back after the stream.
    fn disturbs_aligner(&self) -> bool {
        false
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
