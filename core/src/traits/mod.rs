//! One trait per kind of component, and one per kind of configuration.
//!
//! A component is two objects: its configuration (plain data, [`Send`] and [`Sync`], registered by `typetag`),
//! which validates itself without touching anything, and the runtime part it builds ([`Send`] only, because a
//! tensor is not [`Sync`]).

mod adapter;
mod aligner;
mod augmentation;
mod dataset;
mod encoder;
mod features;
mod gate;
mod launcher;
mod preprocessor;
mod semantics;

pub use adapter::{
    AdapterConfig, Held, Observation, SampleRef, Skeletons, SlotWeights, Task, TestTimeAdapter,
};
pub use aligner::{
    Affine, Aligner, AlignerConfig, AttentionMap, Embedding, Linear, OracleLabels, SeenMotion, Tokens,
};
pub use augmentation::{Augmentation, AugmentationConfig};
pub use dataset::{Dataset, DatasetConfig, DatasetInfo, SampleInfo, SampleRole, Sequence};
pub use encoder::{EncoderConfig, Encoding, SeenSkeletons, SkeletonEncoder};
pub use features::{FeatureForm, RecordedFeatures};
pub use gate::{GateConfig, GateEvidence, GzslGate, OpenEvidence, PseudoUnseen};
pub use launcher::{Launcher, LauncherConfig, Outcome, Sweep, SweepTask, Watch};
pub use preprocessor::PreprocessorConfig;
pub use semantics::{PromptTower, SemanticProvider, SemanticsConfig, TextEncoder, TextEncoderConfig};
