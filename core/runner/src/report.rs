//! What a run leaves for its reader.

use std::collections::BTreeMap;
use std::path::Path;

use serde::{Deserialize, Serialize};
use szar_core::{EncoderSpec, Error, FitSummary, Mark, Result};

use crate::metrics::{Confusion, SeenUnseen};
use crate::perf::Stage;

/// A finished run. Everything but `performance` is the same for the same configuration, seed, device and threads.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Report {
    /// Name of the pipeline.
    pub name: String,
    /// Remarks without which the numbers cannot be read.
    pub marks: Vec<Mark>,
    /// What ran, where.
    pub provenance: Provenance,
    /// The data.
    pub data: DataReport,
    /// The encoder on the seen classes.
    pub encoder: EncoderReport,
    /// The aligner's training.
    pub aligner: AlignerReport,
    /// Zero-shot: candidates are the unseen classes.
    pub zsl: Option<ZslReport>,
    /// Generalised zero-shot: candidates are all classes.
    pub gzsl: Option<GzslReport>,
    /// Time and memory; differs from run to run.
    pub performance: Vec<Stage>,
}

/// What ran, where.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Provenance {
    /// Version of szar.
    pub szar: String,
    /// Git revision of the working folder's repository, if it has one.
    pub git: Option<String>,
    /// Hash of the resolved configuration.
    pub config: String,
    /// The resolved configuration, without where the run was written to.
    #[serde(default)]
    pub options: serde_json::Value,
    /// Seed.
    pub seed: u64,
    /// Device.
    pub device: String,
    /// Threads of libtorch.
    pub threads: i64,
    /// `f32` or `bf16`.
    pub precision: String,
    /// Components by role.
    pub components: BTreeMap<String, String>,
    /// Plugins that some of them are of: name, version and SHA-256 of the file.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub plugins: Vec<String>,
}

/// The data of a run.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct DataReport {
    /// Name of the dataset.
    pub name: String,
    /// Sentence for data that was not recorded from people.
    pub synthetic: Option<String>,
    /// Skeleton layout.
    pub layout: String,
    /// Split of the classes.
    pub split: String,
    /// Names of the seen classes.
    pub seen: Vec<String>,
    /// Names of the unseen classes.
    pub unseen: Vec<String>,
    /// Samples: train, validation, seen_test, unseen_test, left_out.
    pub samples: BTreeMap<String, usize>,
}

/// The encoder on the seen classes.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct EncoderReport {
    /// What it gives.
    pub spec: EncoderSpec,
    /// Number of trainable values.
    pub parameters: u64,
    /// Its training; `None` when weights were given.
    pub fit: Option<FitSummary>,
    /// Accuracy on the seen validation samples, percent, where it classifies.
    pub validation_top1: Option<f64>,
    /// Accuracy on the seen test samples, percent.
    pub test_top1: Option<f64>,
    /// Class mean of the same.
    pub test_class_mean: Option<f64>,
}

/// The aligner's training.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct AlignerReport {
    /// Number of values it holds.
    pub parameters: u64,
    /// Its training; `None` when weights were given.
    pub fit: Option<FitSummary>,
}

/// Accuracy over the unseen classes.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Accuracy {
    /// Mean recall over classes, percent.
    pub class_mean: f64,
    /// Share of right samples, percent.
    pub top1: f64,
    /// Recall by class, percent.
    pub per_class: BTreeMap<String, Option<f64>>,
    /// Share of each class among the predictions, percent.
    pub prediction_share: BTreeMap<String, f64>,
    /// Counts; rows and columns in the order of `data.unseen`.
    pub confusion: Confusion,
}

/// One adapter of the chain after its stream.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct AdapterReport {
    /// Its name.
    pub component: String,
    /// Did it score the stream a second time?
    pub second_pass: bool,
    /// Constants that were chosen by test accuracy, if its protocol does that.
    pub test_tuned: Option<serde_json::Value>,
    /// Bytes of state at the end.
    pub state_bytes: u64,
    /// Its own numbers, per class or scalar.
    pub diagnostics: BTreeMap<String, Vec<f64>>,
    /// Samples that were kept away from it, because their features or scores were not finite.
    #[serde(default)]
    pub skipped: Vec<Skipped>,
    /// How it fared along its stream: at most 20 segments of about the same length.
    #[serde(default)]
    pub course: Vec<Segment>,
}

/// A sample that an adapter never saw.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Skipped {
    /// Position in the stream, from 0.
    pub position: usize,
    /// Name of the sample in its dataset.
    pub sample: String,
}

/// A part of a stream, and the state of an adapter at its end. What it remembers is held against the labels by the
/// evaluator alone.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Segment {
    /// Samples of the stream up to its end.
    pub end: usize,
    /// Mean entropy of the posteriors of the segment, nats: those that came in, those that went out.
    pub entropy: [f64; 2],
    /// Share of right samples of the segment, percent, by the same scores; over all candidates, without a gate.
    pub top1: [f64; 2],
    /// Entries per candidate at the end; empty for methods without a memory.
    #[serde(default)]
    pub occupancy: Vec<usize>,
    /// Percentage of a candidate's entries that truly are of it; `None` where there are no entries.
    #[serde(default)]
    pub purity: Vec<Option<f64>>,
    /// How far the anchors have moved, from methods that move them.
    #[serde(default)]
    pub drift: Option<Drift>,
    /// The adapter's own scalar numbers at the end (entries written so far, say).
    #[serde(default)]
    pub counters: BTreeMap<String, f64>,
}

/// `1 - cos` between the anchors at the start and now, over streams, classes and granularities.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Drift {
    /// Mean.
    pub mean: f64,
    /// Largest.
    pub max: f64,
}

/// Zero-shot results.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct ZslReport {
    /// Answering at random, percent.
    pub chance: f64,
    /// Always answering the largest class, percent of samples.
    pub largest_class: f64,
    /// Without adapters.
    pub before: Accuracy,
    /// With adapters; `None` when there is none.
    pub after: Option<Accuracy>,
    /// Mean entropy of the posterior, nats, before and after.
    pub entropy: [f64; 2],
    /// The adapters.
    pub adapters: Vec<AdapterReport>,
}

/// Generalised results, one state of adaptation.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Generalised {
    /// Over classes.
    pub class_mean: SeenUnseen,
    /// Over samples.
    pub top1: SeenUnseen,
}

/// Generalised zero-shot results.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct GzslReport {
    /// Constants of the gate, given or chosen on validation samples.
    pub gate: BTreeMap<String, f64>,
    /// The seen classes that stood for unseen ones while it was fitted, if it asked for any.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub held_out: Option<HeldOut>,
    /// Area under the ROC curve of the gate, unseen against seen, percent.
    pub gate_auc: f64,
    /// Share of seen and of unseen test samples that the gate takes for seen, percent.
    pub taken_for_seen: [f64; 2],
    /// Argmax over all classes, without gate and adapters.
    pub ungated: Generalised,
    /// Without adapters.
    pub before: Generalised,
    /// With adapters.
    pub after: Option<Generalised>,
    /// The adapters.
    pub adapters: Vec<AdapterReport>,
}

/// The validation with held-out classes that a gate was fitted on.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct HeldOut {
    /// Names of the seen classes that were held out of a training of their own.
    pub classes: Vec<String>,
    /// Was the encoder trained without them, too?
    pub encoder_retrained: bool,
    /// Validation samples of the seen classes that remained, and training samples of those held out.
    pub samples: [usize; 2],
    /// Training of the encoder without them.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub encoder: Option<FitSummary>,
    /// Training of the aligner without them.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub aligner: Option<FitSummary>,
}

/// One line of `predictions.csv`.
#[derive(Clone, Debug, Serialize)]
pub struct Prediction {
    /// `zsl` or `gzsl`.
    pub setting: &'static str,
    /// Position in the stream, from 0.
    pub position: usize,
    /// Name of the sample in its dataset.
    pub sample: String,
    /// True class number.
    pub class: i64,
    /// True class name.
    pub class_name: String,
    /// Class number predicted without adapters.
    pub before: i64,
    /// Class number predicted with adapters.
    pub after: i64,
    /// Entropy of the posterior without adapters, nats.
    pub entropy_before: f64,
    /// Entropy of the posterior with adapters, nats.
    pub entropy_after: f64,
    /// Did the gate take it for a seen class? Empty for `zsl`.
    pub taken_for_seen: Option<bool>,
}

/// The report in a file.
///
/// # Errors
/// When the file cannot be read, or is none that this version reads; the version that wrote it is named.
pub fn read(path: &Path) -> Result<Report> {
    let text = std::fs::read_to_string(path).map_err(|e| Error::read(path, e))?;
    serde_json::from_str(&text).map_err(|e| {
        let found: Option<serde_json::Value> = serde_json::from_str(&text).ok();
        let version = found.as_ref().and_then(|v| v["provenance"]["szar"].as_str());
        let by = match version.filter(|v| *v != env!("CARGO_PKG_VERSION")) {
            Some(version) => format!(
                " (written by szar {version}, this is {}: run the pipeline again with `--fresh`)",
                env!("CARGO_PKG_VERSION")
            ),
            None => String::new(),
        };
        Error::format(path, format!("line {}", e.line()), format!("{e}{by}"))
    })
}
