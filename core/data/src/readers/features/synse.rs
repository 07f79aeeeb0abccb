//! `synse-features`: the folder of pooled features that SynSE, SA-DVAE and those who follow them train on.
//!
//! | file                            | content                                                            |
//! |---------------------------------|--------------------------------------------------------------------|
//! | `train.npy`, `train_label.npy`  | `[n, N]` and `[n]`: seen classes, training part                    |
//! | `gtest.npy`, `g_label.npy`      | the whole test part, seen and unseen                               |
//! | `gtest_out.npy`                 | `[n, C]`, logits of those over all classes by the encoder's classifier |
//! | `z_label.npy`                   | labels of those of unseen classes once more (`ztest.npy` is not read) |
//!
//! Labels are numbers of the dataset's classes. Test samples are taken from `gtest.npy`, where their logits stand;
//! `z_label.npy` must say the same of the unseen ones.
//!
//! `gate` names the second folder, of an encoder trained without some of the seen classes, on which gates are fitted:
//! `train.npy` as above, `val.npy`, `val_label.npy` and `val_out.npy` of the classes that it knows, `ztest.npy`,
//! `z_label.npy` and `ztest_out.npy` of those that it does not.
//!
//! Source: skelemoa/synse-zsl (`ntu_results/shift_5_r`, `shift_val_5_r`), pha123661/SA-DVAE (`resources/sk_feats`).

use std::path::Path;
use std::sync::Arc;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use szar_core::{
    BuildContext, ClassId, ClassList, ClassSplit, ComponentInfo, ComponentKind, Dataset, DatasetConfig,
    EncoderSpec, Error, FeatureForm, FilePath, Problems, Result, SampleRole, SkeletonLayout,
};

use super::classes::{self, Side};
use super::labels;
use super::set::{Common, FeatureSet, HeldOut, PartFiles};
use crate::layouts;
use crate::readers::files;
use crate::splits::SplitConfig;

/// Skeleton that the features are of; pooled features have no joints.
const LAYOUT: &str = "ntu25";

/// Options of the `synse-features` dataset.
#[derive(Clone, Debug, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct SynseFeaturesConfig {
    /// Folder with `train.npy`, `gtest.npy` and their labels (`shift_5_r`, say). No default.
    pub root: FilePath,
    /// Folder of an encoder that was trained without some seen classes (`shift_val_5_r`), for gates that are fitted on such.
    /// Default: none.
    pub gate: Option<FilePath>,
    /// The set, which is also its key in a split file: `ntu60`, `ntu120` or `pku51`, whose classes come with the program, or
    /// another one with `classes`. Default: `ntu60`.
    pub set: String,
    /// Class list: a name a line, class 0 first. Default: the published one of `set`.
    pub classes: Option<FilePath>,
    /// Seen and unseen classes; the published ones are known by name (`55/5`). No default.
    pub split: SplitConfig,
    /// N, channels of the features, at least 1: 256 of Shift-GCN and ST-GCN, 512 of PoseC3D. Default: 256.
    pub channels: i64,
    /// Read the logits of test samples, `gtest_out.npy`. Default: true; without them a gate judges by the aligner alone.
    pub logits: bool,
}

impl Default for SynseFeaturesConfig {
    fn default() -> Self {
        Self {
            root: FilePath::default(),
            gate: None,
            set: "ntu60".into(),
            classes: None,
            split: SplitConfig::default(),
            channels: 256,
            logits: true,
        }
    }
}

#[typetag::serde(name = "synse-features")]
impl DatasetConfig for SynseFeaturesConfig {
    fn validate(&self, problems: &mut Problems) {
        files::check_root(self.root.as_ref(), problems);
        classes::validate(&self.set, self.classes.as_ref(), &self.split, problems);
        let channels = self.channels;
        problems.check((1..=65536).contains(&channels), "channels", || {
            format!("must be between 1 and 65536, got {channels}")
        });
    }

    fn layout(&self) -> Option<(Arc<SkeletonLayout>, i64)> {
        layouts::by_name(LAYOUT).ok().map(|layout| (layout, 1))
    }

    fn features(&self) -> Option<FeatureForm> {
        Some(FeatureForm {
            spec: self.form(),
            held_out: self.gate.is_some(),
        })
    }

    fn build(&self, _: &BuildContext) -> Result<Box<dyn Dataset>> {
        Ok(Box::new(self.open()?))
    }
}

inventory::submit! {
    ComponentInfo::new::<SynseFeaturesConfig>(
        ComponentKind::Dataset,
        "synse-features",
        "Pooled features as SynSE and SA-DVAE store them, extracted by others.",
        "SynSE, arXiv 2101.11530; SA-DVAE, ECCV 2024",
    )
}

impl SynseFeaturesConfig {
    fn form(&self) -> EncoderSpec {
        EncoderSpec {
            channels: self.channels,
            frames: 1,
            joints: 1,
            classifies: self.logits,
        }
    }

    fn common(&self, classes: ClassList, split: ClassSplit) -> Result<Common> {
        Ok(Common {
            name: self.set.clone(),
            layout: layouts::by_name(LAYOUT)?,
            classes,
            split,
            spec: self.form(),
            unit_nodes: false,
        })
    }

    /// Files of a part in a folder; `short` is how its labels are called.
    fn part(&self, root: &Path, name: &'static str, short: &str, role: SampleRole, side: Side) -> PartFiles {
        let logits = self.logits && role == SampleRole::Test;
        PartFiles {
            name,
            features: root.join(format!("{name}.npy")),
            labels: root.join(format!("{short}_label.npy")),
            logits: logits.then(|| root.join(format!("{name}_out.npy"))),
            role,
            side,
        }
    }

    pub(super) fn open(&self) -> Result<FeatureSet> {
        let root: &Path = self.root.as_ref();
        let (classes, split) = classes::resolve(root, &self.set, self.classes.as_ref(), &self.split)?;
        let parts = [
            self.part(root, "train", "train", SampleRole::Train, Side::Seen),
            self.part(root, "gtest", "g", SampleRole::Test, Side::Both),
        ];
        let held_out = self
            .gate
            .clone()
            .map(|gate| self.held_out(gate, &classes, &split));
        let set = FeatureSet::open(self.common(classes, split)?, &parts, held_out)?;
        self.agree(root, &set)?;
        Ok(set)
    }

    /// Opens the folder for gates when it is asked for.
    fn held_out(&self, gate: FilePath, classes: &ClassList, split: &ClassSplit) -> HeldOut {
        let (options, classes, split) = (self.clone(), classes.clone(), split.clone());
        Box::new(move || {
            let set = options.open_held_out(gate.as_ref(), &classes, &split)?;
            Ok(Box::new(set) as Box<dyn Dataset>)
        })
    }

    fn open_held_out(&self, root: &Path, classes: &ClassList, split: &ClassSplit) -> Result<FeatureSet> {
        let path = root.join("z_label.npy");
        let mut held: Vec<ClassId> = labels::read(&path)?.classes.into_iter().map(ClassId).collect();
        held.sort_unstable();
        held.dedup();
        if let Some(why) = held.iter().find_map(|id| Side::Seen.refuses(*id, classes, split)) {
            return Err(Error::format(&path, None, format!("a label {why}")));
        }
        let seen = split.seen().ids().iter().copied();
        let left: Vec<ClassId> = seen.filter(|id| !held.contains(id)).collect();
        let name = format!("{}, classes held out", split.name());
        let split = ClassSplit::new(&name, classes, &left, &held)?;
        let parts = [
            self.part(root, "train", "train", SampleRole::Train, Side::Seen),
            self.part(root, "val", "val", SampleRole::Test, Side::Seen),
            self.part(root, "ztest", "z", SampleRole::Test, Side::Unseen),
        ];
        FeatureSet::open(self.common(classes.clone(), split)?, &parts, None)
    }

    /// Are the samples of `ztest.npy` the unseen ones of `gtest.npy`?
    fn agree(&self, root: &Path, set: &FeatureSet) -> Result<()> {
        let path = root.join("z_label.npy");
        let mut alone = labels::read(&path)?.classes;
        let mut among = set.unseen_test();
        alone.sort_unstable();
        among.sort_unstable();
        if alone == among {
            return Ok(());
        }
        let why = format!(
            "has {} labels, `g_label.npy` has {} of unseen classes; expected the same classes, each as often",
            alone.len(),
            among.len()
        );
        Err(Error::format(&path, None, why))
    }
}
