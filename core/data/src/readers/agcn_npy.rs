//! `agcn-npy`: a folder that the preparation of ST-GCN, 2s-AGCN or Shift-GCN wrote.
//!
//! | file | content |
//! |---|---|
//! | `train_data_joint.npy`, `val_data_joint.npy` | f32 `[N, 3, T, 25, M]`; ST-GCN calls them `train_data.npy`, `val_data.npy` |
//! | `train_label.pkl`, `val_label.pkl` | names and labels, a pickled pair of lists, read as data |

use std::path::{Path, PathBuf};

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use szar_core::checkpoint::read_labels;
use szar_core::{
    BuildContext, ComponentInfo, ComponentKind, Dataset, DatasetConfig, DatasetInfo, FilePath, Problems,
    Result, SampleRole,
};

use super::files::check_root;
use super::prepared::{JOINTS, Order, Part, Prepared, no_name_twice};
use super::recorded::SplitSource;
use super::rows::Rows;
use crate::layouts;
use crate::splits::{self, SplitConfig, published};

const LAYOUT: &str = "ntu25";
/// Most persons that an array may have.
const MOST: usize = 6;

/// Options of the `agcn-npy` dataset.
#[derive(Clone, Debug, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct AgcnNpyConfig {
    /// Folder with the four files. What they hold is prepared already: preprocessor `stgcn` leaves it as it is. No
    /// default.
    pub root: FilePath,
    /// Seen and unseen classes; the published ones are known by name (`55/5`). The dataset's key in a split file is
    /// `ntu60`, `ntu120` or `pku51`. No default.
    pub split: SplitConfig,
    /// Classes: 60 or 120 for NTU RGB+D, 51 for PKU-MMD. Default: 60.
    pub classes: usize,
}

impl Default for AgcnNpyConfig {
    fn default() -> Self {
        Self {
            root: FilePath::default(),
            split: SplitConfig::default(),
            classes: 60,
        }
    }
}

#[typetag::serde(name = "agcn-npy")]
impl DatasetConfig for AgcnNpyConfig {
    fn validate(&self, problems: &mut Problems) {
        check_root(self.root.as_ref(), problems);
        problems.scoped("split", |p| self.split.validate(p));
        self.check(problems);
    }

    fn build(&self, _: &BuildContext) -> Result<Box<dyn Dataset>> {
        Ok(Box::new(self.open()?))
    }
}

inventory::submit! {
    ComponentInfo::new::<AgcnNpyConfig>(
        ComponentKind::Dataset,
        "agcn-npy",
        "NTU RGB+D as the arrays that the preparation of ST-GCN, 2s-AGCN or Shift-GCN writes.",
        "Yan, Xiong, Lin, AAAI 2018; Shi, Zhang, Cheng, Lu, CVPR 2019",
    )
}

impl AgcnNpyConfig {
    /// All but folder and split, which is asked for only where samples are to be split.
    fn check(&self, problems: &mut Problems) {
        let classes = self.classes;
        problems.check([51, 60, 120].contains(&classes), "classes", || {
            format!("must be 51, 60 or 120, got {classes}")
        });
    }

    fn open(&self) -> Result<Prepared> {
        let mut problems = Problems::new();
        self.check(&mut problems);
        problems.into_result()?;
        let root: &Path = self.root.as_ref();
        let train = part(root, "train", SampleRole::Train)?;
        let test = part(root, "val", SampleRole::Test)?;
        let &[_, 3, frames, JOINTS, persons @ 1..=MOST] = train.rows.shape.as_slice() else {
            let why = format!(
                "has shape {:?}, expected [N, 3, T, {JOINTS}, M]",
                train.rows.shape
            );
            return Err(train.rows.error(why));
        };
        if train.rows.shape[1..] != test.rows.shape[1..] {
            let why = format!(
                "has shape {:?}, the training part {:?}; they may differ in the first size only",
                test.rows.shape, train.rows.shape
            );
            return Err(test.rows.error(why));
        }
        let parts = [train, test];
        no_name_twice(&parts).map_err(|e| e.context(root.display().to_string()))?;
        let dataset = match self.classes {
            51 => "pku51".to_owned(),
            classes => format!("ntu{classes}"),
        };
        let info = DatasetInfo {
            name: dataset.clone(),
            layout: layouts::by_name(LAYOUT)?,
            classes: published::classes(&dataset)?,
            persons,
            synthetic: None,
        };
        let split = SplitSource {
            config: self.split.clone(),
            file: splits::nearest_file(root),
            dataset,
        };
        Prepared::new(info, parts, frames, Order::AxesFirst, split)
    }
}

fn part(root: &Path, name: &str, role: SampleRole) -> Result<Part> {
    let rows = Rows::in_file(&data_file(root, name))?;
    let (names, classes) = read_labels(&root.join(format!("{name}_label.pkl")))?;
    let bare = |name: String| name.strip_suffix(".skeleton").map_or(name.clone(), str::to_owned);
    Ok(Part {
        rows,
        names: names.into_iter().map(bare).collect(),
        classes,
        role,
    })
}

/// 2s-AGCN's name where there is such a file, else ST-GCN's, where there is that one.
fn data_file(root: &Path, name: &str) -> PathBuf {
    let (agcn, stgcn) = (
        root.join(format!("{name}_data_joint.npy")),
        root.join(format!("{name}_data.npy")),
    );
    if !agcn.is_file() && stgcn.is_file() {
        stgcn
    } else {
        agcn
    }
}

#[cfg(test)]
#[path = "agcn_npy_tests.rs"]
mod tests;
