//! What a configuration file says, as plain data.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::problems::Problems;
use crate::registry::ComponentKind;
use crate::{
    AdapterConfig, AlignerConfig, DatasetConfig, DeviceChoice, EncoderConfig, FilePath, GateConfig,
    Precision, PreprocessorConfig, SemanticsConfig,
};

/// Top-level fields that hold one component each; `adapters` is a list of them.
pub(crate) const BLOCKS: [(&str, ComponentKind); 6] = [
    ("dataset", ComponentKind::Dataset),
    ("preprocess", ComponentKind::Preprocessor),
    ("encoder", ComponentKind::Encoder),
    ("semantics", ComponentKind::Semantics),
    ("aligner", ComponentKind::Aligner),
    ("gate", ComponentKind::Gate),
];

/// A pipeline: every component's options and how to run and judge them.
#[derive(Debug, Serialize)]
pub struct Pipeline {
    /// Name of the pipeline, kebab-case; the name of the file when it gives none.
    pub name: String,
    /// Seed of everything random.
    pub seed: u64,
    /// Where tensors live.
    pub device: DeviceChoice,
    /// Threads of libtorch on the CPU; `None` for all cores.
    pub threads: Option<usize>,
    /// Arithmetic of encoders.
    pub precision: Precision,
    /// Dynamic libraries with further components.
    pub plugins: Vec<FilePath>,
    /// Where skeletons come from.
    pub dataset: Box<dyn DatasetConfig>,
    /// From raw sequences to the encoder's input.
    pub preprocess: Box<dyn PreprocessorConfig>,
    /// From skeletons to features.
    pub encoder: Box<dyn EncoderConfig>,
    /// From class names to anchors.
    pub semantics: Box<dyn SemanticsConfig>,
    /// Scores features against anchors.
    pub aligner: Box<dyn AlignerConfig>,
    /// Applied one after the other, each on the scores of the one before.
    pub adapters: Vec<Box<dyn AdapterConfig>>,
    /// Decides between seen and unseen.
    pub gate: Option<Box<dyn GateConfig>>,
    /// What is measured.
    pub evaluate: Vec<Evaluation>,
    /// How test samples arrive.
    pub stream: Stream,
    /// What is held out of the seen classes' training samples.
    pub validation: Validation,
    /// What is kept of the features.
    pub features: FeatureStorage,
    /// Folder of run directories.
    pub output: FilePath,
}

/// Numbers of stored feature maps.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum StoredPrecision {
    /// As they were computed.
    #[default]
    F32,
    /// 16 bits, rounded: half the space. Pooled features, descriptors and logits stay `f32`.
    F16,
}

/// What is kept of the features that the encoder gives, for later runs with the same data and encoder.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct FeatureStorage {
    /// Keep them, and use what earlier runs kept. Default: true.
    pub keep: bool,
    /// Folder they are kept in. Default: `.features` in the folder of run directories.
    pub store: Option<FilePath>,
    /// Numbers of the maps: `f32` (default) or `f16`, which is rounded.
    pub precision: StoredPrecision,
}

impl Default for FeatureStorage {
    fn default() -> Self {
        Self {
            keep: true,
            store: None,
            precision: StoredPrecision::F32,
        }
    }
}

/// A protocol of evaluation.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum Evaluation {
    /// Samples and candidates of the unseen classes only.
    Zsl,
    /// Samples and candidates of seen and unseen classes.
    Gzsl,
}

/// Order of the test stream.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum StreamOrder {
    /// Shuffled by the seed.
    #[default]
    Shuffled,
    /// As the dataset lists its samples.
    Dataset,
}

/// How test samples arrive.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct Stream {
    /// `shuffled` by the seed, or as the `dataset` lists them. Default: ours.
    pub order: StreamOrder,
    /// Samples per step, at least 1. Default: ours.
    pub batch: usize,
    /// S, independent streams (cameras, users) that the samples are dealt to in turn; at least 1. Every adapter keeps a
    /// state per stream. Default: 1.
    pub streams: usize,
}

impl Default for Stream {
    fn default() -> Self {
        Self {
            order: StreamOrder::Shuffled,
            batch: 64,
            streams: 1,
        }
    }
}

/// What is held out of the seen classes' training samples, to choose constants and epochs on.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct Validation {
    /// Part of the training samples, `0 .. 0.5`, no unit. Default: ours.
    pub fraction: f64,
}

impl Default for Validation {
    fn default() -> Self {
        Self { fraction: 0.1 }
    }
}

/// The top-level fields that are no components.
#[derive(Clone, Debug, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub(crate) struct Plain {
    /// Name of the pipeline, kebab-case. Default: the name of the file.
    pub name: String,
    /// Seed of everything random. Default: 5, the seed of most official code in this field.
    pub seed: u64,
    /// `auto`, `cpu`, `cuda` or `cuda:N`.
    pub device: DeviceChoice,
    /// Threads of libtorch on the CPU, at least 1. Default: all cores.
    pub threads: Option<usize>,
    /// Arithmetic of encoders.
    pub precision: Precision,
    /// Dynamic libraries with further components.
    pub plugins: Vec<FilePath>,
    /// What is measured: `zsl`, `gzsl`.
    pub evaluate: Vec<Evaluation>,
    /// How test samples arrive.
    pub stream: Stream,
    /// What is held out of the seen classes' training samples.
    pub validation: Validation,
    /// What is kept of the features.
    pub features: FeatureStorage,
    /// Folder of run directories. Default: `runs` in the working folder.
    pub output: FilePath,
}

impl Default for Plain {
    fn default() -> Self {
        Self {
            name: String::new(),
            seed: 5,
            device: DeviceChoice::Auto,
            threads: None,
            precision: Precision::Auto,
            plugins: Vec::new(),
            evaluate: vec![Evaluation::Zsl],
            stream: Stream::default(),
            validation: Validation::default(),
            features: FeatureStorage::default(),
            output: "runs".into(),
        }
    }
}

impl Plain {
    pub fn of(pipeline: &Pipeline) -> Self {
        Self {
            name: pipeline.name.clone(),
            seed: pipeline.seed,
            device: pipeline.device,
            threads: pipeline.threads,
            precision: pipeline.precision,
            plugins: pipeline.plugins.clone(),
            evaluate: pipeline.evaluate.clone(),
            stream: pipeline.stream.clone(),
            validation: pipeline.validation.clone(),
            features: pipeline.features.clone(),
            output: pipeline.output.clone(),
        }
    }

    /// Judges these fields alone.
    pub fn validate(&self, problems: &mut Problems) {
        let name = &self.name;
        let kebab = !name.is_empty()
            && name
                .split('-')
                .all(|w| !w.is_empty() && w.bytes().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit()));
        problems.check(kebab, "name", || {
            format!("`{name}` is no kebab-case name: small letters and digits, `-` between words")
        });
        problems.check(self.threads != Some(0), "threads", || {
            "must be at least 1, got 0".into()
        });
        let batch = self.stream.batch;
        problems.check(batch >= 1, "stream.batch", || {
            format!("must be at least 1, got {batch}")
        });
        let streams = self.stream.streams;
        problems.check(streams >= 1, "stream.streams", || {
            format!("must be at least 1, got {streams}")
        });
        let fraction = self.validation.fraction;
        problems.check((0.0..0.5).contains(&fraction), "validation.fraction", || {
            format!("must be at least 0 and less than 0.5, got {fraction}")
        });
        let rounded = self.features.precision == StoredPrecision::F16;
        problems.check(self.features.keep || !rounded, "features.precision", || {
            "says how features are kept, but `features.keep` is false".into()
        });
        problems.check(!self.evaluate.is_empty(), "evaluate", || {
            "nothing to evaluate; known evaluations: zsl, gzsl".into()
        });
        for (i, evaluation) in self.evaluate.iter().enumerate() {
            let again = self.evaluate[..i].contains(evaluation);
            problems.check(!again, &format!("evaluate[{i}]"), || "is listed twice".into());
        }
    }
}
