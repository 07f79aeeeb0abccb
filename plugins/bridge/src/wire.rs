//! The JSON forms of what crosses beside tensors.
#![expect(missing_docs, reason = "fields bear the names of those they stand for")]

use std::path::PathBuf;
use std::sync::Arc;

use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use szar_core::{
    BuildContext, ClassList, EncoderSpec, Error, InputSpec, Precision, Result, Seed, SkeletonLayout,
};
use tch::Device;

/// `cpu`, `cuda:0`.
pub fn device_name(device: Device) -> String {
    match device {
        Device::Cuda(n) => format!("cuda:{n}"),
        Device::Mps => "mps".into(),
        Device::Vulkan => "vulkan".into(),
        Device::Cpu => "cpu".into(),
    }
}

/// The other way round.
pub fn device_of(name: &str) -> Result<Device> {
    let numbered = name.strip_prefix("cuda:").and_then(|n| n.parse().ok());
    match (name, numbered) {
        ("cpu", _) => Ok(Device::Cpu),
        ("mps", _) => Ok(Device::Mps),
        ("vulkan", _) => Ok(Device::Vulkan),
        (_, Some(n)) => Ok(Device::Cuda(n)),
        _ => Err(Error::Input(format!(
            "`{name}` is no device; expected cpu or cuda:N"
        ))),
    }
}

/// Reads JSON that the other side wrote.
pub fn read<T: DeserializeOwned>(what: &str, json: &str) -> Result<T> {
    serde_json::from_str(json).map_err(|e| Error::Input(format!("{what} cannot be read: {e}")))
}

/// [`BuildContext`] and what else the kind is built with.
#[derive(Debug, Serialize, Deserialize)]
pub struct Surroundings {
    pub device: String,
    pub seed: u64,
    pub cache: PathBuf,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub input: Option<Input>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub features: Option<EncoderSpec>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub granularities: Option<Vec<szar_core::Granularity>>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub width: Option<i64>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub candidates: Option<ClassList>,
}

impl Surroundings {
    pub fn of(ctx: &BuildContext) -> Self {
        Self {
            device: device_name(ctx.device),
            seed: ctx.seed.0,
            cache: ctx.cache.clone(),
            input: None,
            features: None,
            granularities: None,
            width: None,
            candidates: None,
        }
    }

    pub fn context(&self) -> Result<BuildContext> {
        Ok(BuildContext {
            device: device_of(&self.device)?,
            seed: Seed(self.seed),
            cache: self.cache.clone(),
        })
    }
}

/// [`InputSpec`].
#[derive(Debug, Serialize, Deserialize)]
pub struct Input {
    pub layout: Arc<SkeletonLayout>,
    pub frames: i64,
    pub persons: i64,
    pub seen_classes: i64,
}

impl Input {
    pub fn of(spec: &InputSpec) -> Self {
        Self {
            layout: Arc::clone(&spec.layout),
            frames: spec.frames,
            persons: spec.persons,
            seen_classes: spec.seen_classes,
        }
    }

    pub fn spec(self) -> InputSpec {
        InputSpec {
            layout: self.layout,
            frames: self.frames,
            persons: self.persons,
            seen_classes: self.seen_classes,
        }
    }
}

/// A task without its anchors.
#[derive(Debug, Serialize, Deserialize)]
pub struct Task {
    pub candidates: ClassList,
    pub seen: Vec<bool>,
    pub features: EncoderSpec,
    pub layout: Arc<SkeletonLayout>,
    pub device: String,
    pub seed: u64,
    pub streams: usize,
    pub expected: u64,
}

/// What a fit gets beside tensors and [`szar_plugin_abi::Work`].
#[derive(Debug, Serialize, Deserialize)]
pub struct Fit {
    pub device: String,
    pub precision: Precision,
    pub seed: u64,
    pub checkpoint: Option<PathBuf>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub classes: Option<ClassList>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub layout: Option<Arc<SkeletonLayout>>,
}

/// What a configuration says of itself without being built; each kind uses a few.
#[derive(Debug, Default, Serialize, Deserialize)]
#[serde(default)]
pub struct Facts {
    pub marks: Vec<szar_core::Mark>,
    pub weights: Option<PathBuf>,
    pub width: Option<i64>,
    /// Of encoders that come trained; a plugin that says nothing trains.
    pub comes_trained: bool,
    /// Of encoders with weights: how the sequences were prepared that those were trained on.
    pub prepared: Option<String>,
    // adapters
    pub requirements: szar_core::Requirements,
    pub per_sample: bool,
    pub holds_streams: bool,
    pub disturbs_aligner: bool,
    // aligners
    pub capabilities: szar_core::Capabilities,
    // semantics
    pub granularities: Vec<szar_core::Granularity>,
    // gates
    pub needs_encoder_logits: bool,
    pub needs_validation: bool,
    /// A plugin that says nothing asks for no held-out classes.
    pub needs_pseudo_unseen: Option<szar_core::PseudoUnseen>,
    /// A plugin that says nothing asks for no labels.
    pub wants_truth: bool,
    // datasets
    pub layout: Option<(Arc<SkeletonLayout>, i64)>,
}

/// What a gate is fitted on with held-out classes, beside its tensors.
#[derive(Debug, Serialize, Deserialize)]
pub struct Open {
    pub seen: Vec<szar_core::Column>,
    pub unseen: Vec<szar_core::Column>,
    pub classes: [usize; 2],
}

/// A problem of a configuration.
#[derive(Debug, Serialize, Deserialize)]
pub struct Problem {
    pub field: String,
    pub message: String,
    #[serde(default)]
    pub hint: Option<String>,
}

/// An entry that an adapter holds.
#[derive(Debug, Serialize, Deserialize)]
pub struct Entry {
    pub stream: usize,
    pub position: u64,
    pub class: usize,
}

/// The frame of a sequence.
#[derive(Debug, Serialize, Deserialize)]
pub struct Frame {
    pub frames: usize,
    pub persons: usize,
    pub fps: f32,
}

/// [`szar_core::DatasetInfo`].
#[derive(Debug, Serialize, Deserialize)]
pub struct Info {
    pub name: String,
    pub layout: Arc<SkeletonLayout>,
    pub classes: ClassList,
    pub persons: usize,
    #[serde(default)]
    pub synthetic: Option<String>,
}

/// A component as a plugin lists it.
#[derive(Debug, Serialize, Deserialize)]
pub struct Listed {
    pub kind: szar_core::ComponentKind,
    pub name: String,
    #[serde(default)]
    pub summary: String,
    #[serde(default)]
    pub paper: String,
    pub schema: serde_json::Value,
    pub defaults: serde_json::Value,
}
