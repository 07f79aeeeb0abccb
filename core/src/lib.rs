//! The vocabulary of szar: the values that flow through a pipeline, one trait per kind of
//! component, the registry that knows who implements them, and the configuration that
//! composes them.
//!
//! Everyone depends on this crate. It knows no component, no dataset format and no command line.

pub mod checkpoint;
pub mod component;
pub mod config;
pub mod conform;
pub mod descriptors;
pub mod device;
pub mod error;
pub mod host;
pub mod online;
pub mod optim;
pub mod problems;
pub mod progress;
pub mod registry;
pub mod seed;
pub mod shape;
pub mod testing;
pub mod traits;
pub mod types;

pub use checkpoint::NamedTensors;
pub use component::{BuildContext, Capabilities, EncoderSpec, FeatureNeed, InputSpec, Mark, Requirements};
pub use config::{Evaluation, FieldDoc, Pipeline, Resolved, Stream, StreamOrder, Validation};
pub use device::{DeviceChoice, Precision};
pub use error::{Error, Result};
pub use problems::{Problem, Problems};
pub use progress::{Cancel, FitContext, FitSummary, Progress};
pub use registry::{ComponentInfo, ComponentKind};
pub use seed::Seed;
pub use traits::{
    AdapterConfig, Affine, Aligner, AlignerConfig, AttentionMap, Augmentation, AugmentationConfig, Dataset,
    DatasetConfig, DatasetInfo, Embedding, EncoderConfig, Encoding, FeatureForm, GateConfig, GateEvidence,
    GzslGate, Held, Launcher, LauncherConfig, Linear, Observation, OpenEvidence, OracleLabels, Outcome,
    PreprocessorConfig, PromptTower, PseudoUnseen, RecordedFeatures, SampleInfo, SampleRef, SampleRole,
    SeenMotion, SeenSkeletons, SemanticProvider, SemanticsConfig, Sequence, SkeletonEncoder, Skeletons,
    SlotWeights, Sweep, SweepTask, Task, TestTimeAdapter, TextEncoder, TextEncoderConfig, Tokens, Watch,
};
pub use types::{
    ClassId, ClassList, ClassSplit, Column, FeatureMap, FilePath, Granularity, Part, Scores, SeenFeatures,
    SeenLabels, SeenSet, SemanticAnchors, SkeletonBatch, SkeletonLayout,
};
