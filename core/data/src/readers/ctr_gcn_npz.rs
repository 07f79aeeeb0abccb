//! `ctr-gcn-npz`: an archive that CTR-GCN's preparation wrote, such as `NTU60_CS.npz`.
//!
//! | array | type, shape | meaning |
//! |---|---|---|
//! | `x_train`, `x_test` | f32 `[N, T, 150]` | T frames of two persons, 25 joints, x y z; moved to one origin, zeros behind |
//! | `y_train`, `y_test` | float `[N, C]` | one-hot class |
//!
//! Training and test rows are as the archive has them (its protocol); the file says neither names nor subjects.

use std::path::Path;
use std::sync::Arc;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use szar_core::{
    BuildContext, ComponentInfo, ComponentKind, Dataset, DatasetConfig, DatasetInfo, Error, FilePath,
    Problems, Result, SampleRole, SkeletonLayout,
};

use super::npy::Npz;
use super::prepared::{JOINTS, Order, Part, Prepared};
use super::recorded::SplitSource;
use super::rows::Rows;
use crate::layouts;
use crate::splits::{self, SplitConfig, published};

const LAYOUT: &str = "ntu25";
const PERSONS: usize = 2;
/// The datasets that come as such archives, told apart by their number of classes.
const DATASETS: [(usize, &str); 3] = [(51, "pku51"), (60, "ntu60"), (120, "ntu120")];

/// Options of the `ctr-gcn-npz` dataset.
#[derive(Clone, Debug, Default, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct CtrGcnNpzConfig {
    /// The archive, `NTU60_CS.npz` say, as `numpy.savez` wrote it. Goes with preprocessor `ctrgcn`. No default.
    pub file: FilePath,
    /// Seen and unseen classes; the published ones are known by name (`55/5`). The dataset's key in a split file is
    /// `ntu60`, `ntu120` or `pku51`, by the number of classes in the archive. No default.
    pub split: SplitConfig,
}

#[typetag::serde(name = "ctr-gcn-npz")]
impl DatasetConfig for CtrGcnNpzConfig {
    fn validate(&self, problems: &mut Problems) {
        problems.check(!self.file.is_empty(), "file", || "must name the archive".into());
        problems.scoped("split", |p| self.split.validate(p));
    }

    fn layout(&self) -> Option<(Arc<SkeletonLayout>, i64)> {
        layouts::by_name(LAYOUT)
            .ok()
            .map(|layout| (layout, PERSONS as i64))
    }

    fn build(&self, _: &BuildContext) -> Result<Box<dyn Dataset>> {
        Ok(Box::new(self.open()?))
    }
}

inventory::submit! {
    ComponentInfo::new::<CtrGcnNpzConfig>(
        ComponentKind::Dataset,
        "ctr-gcn-npz",
        "NTU RGB+D as the archive that CTR-GCN's preparation writes.",
        "Chen et al., ICCV 2021",
    )
}

impl CtrGcnNpzConfig {
    fn open(&self) -> Result<Prepared> {
        let path: &Path = self.file.as_ref();
        let mut npz = Npz::open(path)?;
        let (train, width) = part(path, &mut npz, "train", SampleRole::Train)?;
        let (test, other) = part(path, &mut npz, "test", SampleRole::Test)?;
        if width != other {
            return Err(npz.error("y_test", format!("has {other} classes, `y_train` has {width}")));
        }
        let Some((_, dataset)) = DATASETS.iter().find(|(classes, _)| *classes == width) else {
            let why = format!("has {width} classes, expected 60 or 120 (NTU RGB+D) or 51 (PKU-MMD)");
            return Err(npz.error("y_train", why));
        };
        let info = DatasetInfo {
            name: (*dataset).into(),
            layout: layouts::by_name(LAYOUT)?,
            classes: published::classes(dataset)?,
            persons: PERSONS,
            synthetic: None,
        };
        let split = SplitSource {
            config: self.split.clone(),
            file: splits::nearest_file(path.parent().unwrap_or(path)),
            dataset: (*dataset).into(),
        };
        let frames = train.rows.width / (PERSONS * JOINTS * 3);
        Prepared::new(info, [train, test], frames, Order::FramesFirst, split)
    }
}

/// One half of the archive and its number of classes.
fn part(path: &Path, npz: &mut Npz, name: &str, role: SampleRole) -> Result<(Part, usize)> {
    let rows = Rows::in_archive(path, &format!("x_{name}"))?;
    if rows.shape.len() != 3 || rows.shape[2] != PERSONS * JOINTS * 3 {
        return Err(rows.error(format!("has shape {:?}, expected [N, T, 150]", rows.shape)));
    }
    let labels = format!("y_{name}");
    let hot = npz.floats(&labels, 2)?;
    let width = hot.shape[1];
    let class = |(row, values): (usize, &[f32])| {
        let ones = values.iter().filter(|v| **v == 1.0).count();
        let zeros = values.iter().filter(|v| **v == 0.0).count();
        let at = values
            .iter()
            .position(|v| *v == 1.0)
            .filter(|_| ones == 1 && ones + zeros == width);
        at.map(|at| at as i64)
            .ok_or_else(|| npz.error(&labels, format!("row {row} is not one 1 among zeros")))
    };
    let classes: Vec<i64> = hot
        .values
        .chunks_exact(width.max(1))
        .enumerate()
        .map(class)
        .collect::<Result<_, Error>>()?;
    let names = (0..classes.len()).map(|row| format!("{name} {row}")).collect();
    let part = Part {
        rows,
        names,
        classes,
        role,
    };
    Ok((part, width))
}

#[cfg(test)]
#[path = "ctr_gcn_npz_tests.rs"]
mod tests;
