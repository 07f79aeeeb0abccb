//! Small components of every kind, for the tests of the resolver.

use std::collections::BTreeMap;
use std::sync::Arc;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::component::{BuildContext, Capabilities, EncoderSpec, FeatureNeed, InputSpec, Requirements};
use crate::types::SkeletonLayout;
use crate::*;

fn never<T>() -> Result<T> {
    Err(Error::Input("a toy is never built".into()))
}

macro_rules! toy {
    ($config:ty, $kind:ident, $name:literal) => {
        inventory::submit! { ComponentInfo::new::<$config>(ComponentKind::$kind, $name, "A toy.", "") }
    };
}

/// Options of the `toy` dataset.
#[derive(Clone, Debug, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct ToyDataset {
    /// Folder.
    pub root: FilePath,
    /// Class split.
    pub split: Option<ToySplit>,
    /// Names by number.
    pub names: BTreeMap<String, String>,
    /// Files of several kinds.
    pub files: Vec<FilePath>,
}

impl Default for ToyDataset {
    fn default() -> Self {
        Self {
            root: FilePath::default(),
            split: None,
            names: BTreeMap::new(),
            files: vec!["default.bin".into()],
        }
    }
}

/// A class split, told apart by its protocol.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(tag = "protocol", rename_all = "kebab-case", deny_unknown_fields)]
pub enum ToySplit {
    /// Published.
    Synse {
        /// Which.
        name: String,
    },
    /// From a file.
    Listed {
        /// The file.
        file: FilePath,
        /// How many.
        #[serde(default)]
        count: usize,
    },
}

#[typetag::serde(name = "toy")]
impl DatasetConfig for ToyDataset {
    fn validate(&self, problems: &mut Problems) {
        problems.check(!self.root.is_empty(), "root", || "missing".into());
    }
    fn layout(&self) -> Option<(Arc<SkeletonLayout>, i64)> {
        Some((Arc::new(crate::testing::layout(5)), 2))
    }
    fn build(&self, _: &BuildContext) -> Result<Box<dyn Dataset>> {
        never()
    }
}
toy!(ToyDataset, Dataset, "toy");

/// Options of the `standard` preprocessor.
#[derive(Clone, Debug, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct ToyStandard {
    /// T.
    pub frames: i64,
}

impl Default for ToyStandard {
    fn default() -> Self {
        Self { frames: 64 }
    }
}

#[typetag::serde(name = "standard")]
impl PreprocessorConfig for ToyStandard {
    fn validate(&self, problems: &mut Problems) {
        problems.check(self.frames > 0, "frames", || {
            format!("must be at least 1, got {}", self.frames)
        });
    }
    fn frames(&self) -> i64 {
        self.frames
    }
    fn apply(&self, _: &Sequence, _: &SkeletonLayout) -> Result<(Sequence, usize)> {
        never()
    }
}
toy!(ToyStandard, Preprocessor, "standard");

/// Options of the `toy-net` encoder.
#[derive(Clone, Debug, Default, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct ToyNet {
    /// Trained weights.
    pub weights: FilePath,
    /// Gives only pooled features.
    pub pooled: bool,
    /// Stride; divides the frames.
    pub stride: Option<i64>,
    /// Nodes of a frame that are no joints.
    pub cells: Option<i64>,
}

#[typetag::serde(name = "toy-net")]
impl EncoderConfig for ToyNet {
    fn validate(&self, problems: &mut Problems) {
        problems.check(self.stride != Some(0), "stride", || {
            "must be at least 1, got 0".into()
        });
    }
    fn spec(&self, input: &InputSpec) -> EncoderSpec {
        let frames = input.frames / self.stride.unwrap_or(4);
        EncoderSpec {
            channels: 8,
            frames: if self.pooled { 1 } else { frames },
            joints: if self.pooled {
                1
            } else {
                self.cells.unwrap_or(input.layout.len() as i64)
            },
            classifies: false,
        }
    }
    fn build(&self, _: &InputSpec, _: &BuildContext) -> Result<Box<dyn SkeletonEncoder>> {
        never()
    }
}
toy!(ToyNet, Encoder, "toy-net");

/// Options of the `toy-bag` text encoder.
#[derive(Clone, Debug, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct ToyBag {
    /// d.
    pub width: i64,
    /// Words.
    pub vocabulary: FilePath,
}

impl Default for ToyBag {
    fn default() -> Self {
        Self {
            width: 384,
            vocabulary: FilePath::default(),
        }
    }
}

#[typetag::serde(name = "toy-bag")]
impl TextEncoderConfig for ToyBag {
    fn validate(&self, _: &mut Problems) {}
    fn width(&self) -> Option<i64> {
        Some(self.width)
    }
    fn build(&self, _: &BuildContext) -> Result<Box<dyn TextEncoder>> {
        never()
    }
}
toy!(ToyBag, TextEncoder, "toy-bag");

/// Options of the `toy-texts` semantics.
#[derive(Debug, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct ToyTexts {
    /// Descriptions.
    pub file: FilePath,
    /// From texts to vectors.
    #[schemars(schema_with = "crate::registry::text_encoder_schema")]
    pub text_encoder: Box<dyn TextEncoderConfig>,
    /// Another, perhaps.
    #[schemars(schema_with = "crate::registry::text_encoder_schema")]
    pub second: Option<Box<dyn TextEncoderConfig>>,
}

impl Default for ToyTexts {
    fn default() -> Self {
        Self {
            file: FilePath::default(),
            text_encoder: Box::new(ToyBag::default()),
            second: None,
        }
    }
}

#[typetag::serde(name = "toy-texts")]
impl SemanticsConfig for ToyTexts {
    fn validate(&self, problems: &mut Problems) {
        problems.scoped("text_encoder", |p| self.text_encoder.validate(p));
    }
    fn granularities(&self) -> Vec<Granularity> {
        vec![Granularity::GLOBAL]
    }
    fn width(&self) -> Option<i64> {
        self.text_encoder.width()
    }
    fn build(&self, _: &BuildContext) -> Result<Box<dyn SemanticProvider>> {
        never()
    }
}
toy!(ToyTexts, Semantics, "toy-texts");

/// How to part a body.
#[derive(Clone, Copy, Debug, Default, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum Partition {
    /// Learned.
    #[default]
    Adaptive,
    /// Fixed.
    Static,
}

/// Options of the `toy-match` aligner.
#[derive(Clone, Debug, Default, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct ToyMatch {
    /// d.
    pub width: Option<i64>,
    /// How to part a body.
    pub partition: Partition,
    /// Or not to.
    pub fallback: Option<Partition>,
    /// Needs the head's text, too.
    pub head: bool,
    /// Needs the map.
    pub map: bool,
    /// Several.
    pub several: Vec<Partition>,
}

#[typetag::serde(name = "toy-match")]
impl AlignerConfig for ToyMatch {
    fn validate(&self, _: &mut Problems) {}
    fn capabilities(&self) -> Capabilities {
        let mut granularities = vec![Granularity::GLOBAL];
        granularities.extend(self.head.then_some(Granularity::HEAD));
        Capabilities {
            features: if self.map {
                FeatureNeed::Map
            } else {
                FeatureNeed::Pooled
            },
            granularities,
            ..Default::default()
        }
    }
    fn width(&self) -> Option<i64> {
        self.width
    }
    fn build(
        &self,
        _: &EncoderSpec,
        _: &[Granularity],
        _: i64,
        _: &BuildContext,
    ) -> Result<Box<dyn Aligner>> {
        never()
    }
}
toy!(ToyMatch, Aligner, "toy-match");

/// Options of the `toy-cache` adapter.
#[derive(Clone, Debug, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct ToyCache {
    /// Samples per class.
    pub capacity: usize,
    /// Weight.
    pub alpha: f64,
    /// Prior.
    pub prior: FilePath,
    /// Inner structure.
    pub inner: ToyInner,
    /// Needs gradients.
    pub gradients: bool,
    /// Needs body parts.
    pub parts: bool,
}

/// A structure inside.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct ToyInner {
    /// Steps.
    pub steps: u32,
    /// Rates.
    pub rates: Vec<f64>,
}

impl Default for ToyCache {
    fn default() -> Self {
        Self {
            capacity: 8,
            alpha: 5.0,
            prior: FilePath::default(),
            inner: ToyInner::default(),
            gradients: false,
            parts: false,
        }
    }
}

#[typetag::serde(name = "toy-cache")]
impl AdapterConfig for ToyCache {
    fn validate(&self, problems: &mut Problems) {
        problems.check(self.capacity > 0, "capacity", || {
            "must be at least 1, got 0".into()
        });
    }
    fn requirements(&self) -> Requirements {
        Requirements {
            differentiable_in_anchors: self.gradients,
            parts: self.parts,
            ..Default::default()
        }
    }
    fn build(&self, _: &BuildContext) -> Result<Box<dyn TestTimeAdapter>> {
        never()
    }
}
toy!(ToyCache, Adapter, "toy-cache");

/// Options of the `toy-none` adapter.
#[derive(Clone, Debug, Default, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct ToyNone {}

#[typetag::serde(name = "toy-none")]
impl AdapterConfig for ToyNone {
    fn validate(&self, _: &mut Problems) {}
    fn build(&self, _: &BuildContext) -> Result<Box<dyn TestTimeAdapter>> {
        never()
    }
}
toy!(ToyNone, Adapter, "toy-none");

/// Options of the `toy-gate` gate.
#[derive(Clone, Debug, Default, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct ToyGate {
    /// Judges by the encoder's own classifier.
    pub by_encoder: bool,
}

#[typetag::serde(name = "toy-gate")]
impl GateConfig for ToyGate {
    fn validate(&self, _: &mut Problems) {}
    fn needs_encoder_logits(&self) -> bool {
        self.by_encoder
    }
    fn build(&self, _: &ClassList, _: &BuildContext) -> Result<Box<dyn GzslGate>> {
        never()
    }
}
toy!(ToyGate, Gate, "toy-gate");
