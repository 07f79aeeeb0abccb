//! `purls-features`: the folder of feature maps that PURLS and DynaPURLS train on.
//!
//! | file                | content                                                    |
//! |---------------------|------------------------------------------------------------|
//! | `train_feature.npy` | `[n, N, T', V']` of seen classes, training part            |
//! | `val_feature.npy`   | the same of seen classes, test part                        |
//! | `test_feature.npy`  | the same of unseen classes                                 |
//! | `*_labels.npy`      | `[n]` class numbers, or `[2, n]` texts: names and numbers  |
//!
//! Source: azzh1/PURLS and Alchemist0754/DynaPURLS, whose loaders leave out samples that are zero throughout, divide each
//! node's vector by its length and put nodes before channels ([`unit_nodes`]; here a node of length 0 stays 0, there it
//! becomes no number).

use std::path::Path;
use std::sync::Arc;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use szar_core::{
    BuildContext, ComponentInfo, ComponentKind, Dataset, DatasetConfig, EncoderSpec, FeatureForm, FilePath,
    Problems, Result, SampleRole, SkeletonLayout,
};
use tch::Tensor;

use super::classes::{self, Side};
use super::set::{Common, FeatureSet, PartFiles};
use crate::layouts;
use crate::readers::files;
use crate::splits::SplitConfig;

/// Length below which a node's vector is not stretched to 1.
const SHORTEST: f64 = 1e-12;

/// Options of the `purls-features` dataset.
#[derive(Clone, Debug, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct PurlsFeaturesConfig {
    /// Folder with `train_feature.npy`, `val_feature.npy` and `test_feature.npy`. No default.
    pub root: FilePath,
    /// Folder with `train_labels.npy`, `val_labels.npy` and `test_labels.npy`. Default: `root`; for other encoders than
    /// Shift-GCN the published code reads them from Shift-GCN's folder.
    pub labels: Option<FilePath>,
    /// The set, which is also its key in a split file: `ntu60`, `ntu120` or `pku51`, whose classes come with the program, or
    /// another one with `classes`. Default: `ntu60`.
    pub set: String,
    /// Class list: a name a line, class 0 first. Default: the published one of `set`.
    pub classes: Option<FilePath>,
    /// Seen and unseen classes; the published ones are known by name (`55/5`). No default.
    pub split: SplitConfig,
    /// N, channels of the features, at least 1. Default: 256.
    pub channels: i64,
    /// T', frames of the features, at least 1. Default: 3 (the published files).
    pub frames: i64,
    /// Skeleton whose joints the nodes are. Default: `ntu25`.
    pub layout: String,
    /// Leave out samples that are zero throughout, and bring the vector of each node to length 1. Default: true, as the
    /// published loaders.
    pub unit_nodes: bool,
}

impl Default for PurlsFeaturesConfig {
    fn default() -> Self {
        Self {
            root: FilePath::default(),
            labels: None,
            set: "ntu60".into(),
            classes: None,
            split: SplitConfig::default(),
            channels: 256,
            frames: 3,
            layout: "ntu25".into(),
            unit_nodes: true,
        }
    }
}

#[typetag::serde(name = "purls-features")]
impl DatasetConfig for PurlsFeaturesConfig {
    fn validate(&self, problems: &mut Problems) {
        files::check_root(self.root.as_ref(), problems);
        classes::validate(&self.set, self.classes.as_ref(), &self.split, problems);
        for (field, size) in [("channels", self.channels), ("frames", self.frames)] {
            problems.check((1..=65536).contains(&size), field, || {
                format!("must be between 1 and 65536, got {size}")
            });
        }
        if let Err(unknown) = layouts::by_name(&self.layout) {
            problems.add("layout", unknown.to_string());
        }
    }

    fn layout(&self) -> Option<(Arc<SkeletonLayout>, i64)> {
        layouts::by_name(&self.layout).ok().map(|layout| (layout, 1))
    }

    fn features(&self) -> Option<FeatureForm> {
        let joints = layouts::by_name(&self.layout).map_or(0, |layout| layout.len());
        Some(FeatureForm {
            spec: self.form(joints),
            held_out: false,
        })
    }

    fn build(&self, _: &BuildContext) -> Result<Box<dyn Dataset>> {
        Ok(Box::new(self.open()?))
    }
}

inventory::submit! {
    ComponentInfo::new::<PurlsFeaturesConfig>(
        ComponentKind::Dataset,
        "purls-features",
        "Feature maps as PURLS and DynaPURLS store them, extracted by others.",
        "PURLS, CVPR 2024; DynaPURLS, arXiv 2512.11941",
    )
}

impl PurlsFeaturesConfig {
    fn form(&self, joints: usize) -> EncoderSpec {
        EncoderSpec {
            channels: self.channels,
            frames: self.frames,
            joints: joints as i64,
            classifies: false,
        }
    }

    pub(super) fn open(&self) -> Result<FeatureSet> {
        let root: &Path = self.root.as_ref();
        let layout = layouts::by_name(&self.layout)?;
        let (classes, split) = classes::resolve(root, &self.set, self.classes.as_ref(), &self.split)?;
        let common = Common {
            name: self.set.clone(),
            spec: self.form(layout.len()),
            layout,
            classes,
            split,
            unit_nodes: self.unit_nodes,
        };
        let labels = self.labels.as_ref().map_or(root, AsRef::as_ref);
        let part = |name, role, side| PartFiles {
            name,
            features: root.join(format!("{name}_feature.npy")),
            labels: labels.join(format!("{name}_labels.npy")),
            logits: None,
            role,
            side,
        };
        let parts = [
            part("train", SampleRole::Train, Side::Seen),
            part("val", SampleRole::Test, Side::Seen),
            part("test", SampleRole::Test, Side::Unseen),
        ];
        FeatureSet::open(common, &parts, None)
    }
}

/// The vector of every node at length 1; of length 0 it stays 0.
///
/// # Shapes
/// - `maps`: `[n, N, T', V']`
/// - result: the same
pub(crate) fn unit_nodes(maps: &Tensor) -> Tensor {
    let length = maps.norm_scalaropt_dim(2, [1i64].as_slice(), true);
    maps / length.clamp_min(SHORTEST)
}
