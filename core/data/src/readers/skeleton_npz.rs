//! `skeleton-npz`: a folder in the neutral format, which any skeleton dataset can be brought into.
//!
//! | file | content |
//! |---|---|
//! | `dataset.npz` | the arrays below, no pickled objects |
//! | `names.txt` | source name of sequence i on line i |
//! | `classes.txt` | name of class i on line i |
//! | `joints.txt` | name of joint i on line i |
//! | `bones.json` | `[[child, parent], ...]` |
//!
//! | array | type, shape | meaning |
//! |---|---|---|
//! | `x` | f32 `[F, M, V, 3]` | metres, +y up; all sequences end to end |
//! | `offsets` | int `[n + 1]` | sequence i is `x[offsets[i] .. offsets[i + 1]]` |
//! | `label` | int `[n]` | line of `classes.txt`, from 0 |
//! | `subject` | int `[n]` | number in the source, -1 unknown |
//! | `xsub` | int `[n]` | 0 train, 1 test, -1 outside the protocol |
//! | `flags` | int `[n]` | bits: 1 unusable, 2 missing, 4 duplicate, 8 unstable, 16 short, 32 doubtful |
//! | `fps` | f32 `[1]` | nominal |

use std::path::Path;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use szar_core::{
    BuildContext, ClassId, ClassList, ComponentInfo, ComponentKind, Dataset, DatasetConfig, DatasetInfo,
    FilePath, Problems, Result, SampleRole,
};

use super::npy::{Array, Npz};
use super::quality::{Exclusion, Flags};
use super::recorded::{Recorded, Recording, SplitSource};
use super::{files, text};
use crate::layouts;
use crate::splits::{self, SplitConfig};

/// Options of the `skeleton-npz` dataset.
#[derive(Clone, Debug, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct SkeletonNpzConfig {
    /// Folder with `dataset.npz` and its lists. No default.
    pub root: FilePath,
    /// Seen and unseen classes; the dataset's key in a split file is the folder's name. No default.
    pub split: SplitConfig,
    /// Name of a known skeleton layout to use instead of the one that `joints.txt` tells. Default: none.
    pub layout: Option<String>,
    /// Flaws that keep a sequence out. Default (ours): `doubtful`.
    pub exclude: Vec<Exclusion>,
}

impl Default for SkeletonNpzConfig {
    fn default() -> Self {
        Self {
            root: FilePath::default(),
            split: SplitConfig::default(),
            layout: None,
            exclude: vec![Exclusion::Doubtful],
        }
    }
}

#[typetag::serde(name = "skeleton-npz")]
impl DatasetConfig for SkeletonNpzConfig {
    fn validate(&self, problems: &mut Problems) {
        files::check_root(self.root.as_ref(), problems);
        problems.scoped("split", |p| self.split.validate(p));
        if let Some(Err(unknown)) = self.layout.as_deref().map(layouts::by_name) {
            problems.add("layout", unknown.to_string());
        }
    }

    fn build(&self, _: &BuildContext) -> Result<Box<dyn Dataset>> {
        Ok(Box::new(self.open()?))
    }
}

inventory::submit! {
    ComponentInfo::new::<SkeletonNpzConfig>(
        ComponentKind::Dataset,
        "skeleton-npz",
        "A folder in the neutral skeleton format: `dataset.npz` with lists of names, classes and joints.",
        "",
    )
}

impl SkeletonNpzConfig {
    pub(crate) fn open(&self) -> Result<Recorded> {
        let root: &Path = self.root.as_ref();
        let path = root.join("dataset.npz");
        let mut npz = Npz::open(&path)?;
        let x = npz.floats("x", 4)?;
        let layout = match &self.layout {
            Some(name) => layouts::by_name(name)?,
            None => layouts::from_files(root)?,
        };
        if x.shape[2] != layout.len() || x.shape[3] != 3 {
            let why = format!(
                "has shape {:?}, expected [_, _, {}, 3] for the joints of layout `{}`",
                x.shape,
                layout.len(),
                layout.name
            );
            return Err(npz.error("x", why));
        }
        let fps = npz.floats("fps", 1)?.values.first().copied().unwrap_or(0.0);
        let names = text::lines(&root.join("names.txt"))?;
        let classes = ClassList::numbered(text::lines(&root.join("classes.txt"))?)?;
        let recordings = recordings(&mut npz, names, &classes, &x)?;
        let folder = std::path::absolute(root).unwrap_or_else(|_| root.to_owned());
        let name = folder
            .file_name()
            .map_or("skeletons".into(), |n| n.to_string_lossy().into_owned());
        let info = DatasetInfo {
            name: name.clone(),
            layout,
            classes,
            persons: x.shape[1],
            synthetic: None,
        };
        let split = SplitSource {
            config: self.split.clone(),
            file: splits::nearest_file(root),
            dataset: name,
        };
        Ok(Recorded::new(
            info,
            recordings,
            x.values,
            fps,
            &self.exclude,
            path,
            split,
        ))
    }
}

fn recordings(
    npz: &mut Npz,
    names: Vec<String>,
    classes: &ClassList,
    x: &Array<f32>,
) -> Result<Vec<Recording>> {
    let offsets = offsets(npz, x.shape[0])?;
    let count = offsets.len() - 1;
    if names.len() != count {
        let why = format!(
            "has {} entries for {count} sequences; `names.txt` has {} lines",
            offsets.len(),
            names.len()
        );
        return Err(npz.error("offsets", why));
    }
    let last = classes.len() as i64 - 1;
    let labels = column(npz, "label", count, 0, last)?;
    let subjects = column(npz, "subject", count, -1, i64::MAX)?;
    let roles = column(npz, "xsub", count, -1, 1)?;
    let flags = column(npz, "flags", count, 0, Flags::ALL)?;
    let one = |(i, name): (usize, String)| Recording {
        name,
        class: ClassId(labels[i]),
        subject: Some(subjects[i]).filter(|s| *s >= 0),
        role: match roles[i] {
            0 => SampleRole::Train,
            1 => SampleRole::Test,
            _ => SampleRole::Outside,
        },
        flags: Flags(flags[i]),
        frames: offsets[i + 1] - offsets[i],
    };
    Ok(names.into_iter().enumerate().map(one).collect())
}

/// n + 1 increasing frame numbers from 0 to `frames`.
fn offsets(npz: &mut Npz, frames: usize) -> Result<Vec<usize>> {
    let raw = npz.integers("offsets")?;
    if let Some(at) = raw.windows(2).position(|pair| pair[0] >= pair[1]) {
        let why = format!(
            "sequence {at} runs from frame {} to {}; every sequence needs a frame",
            raw[at],
            raw[at + 1]
        );
        return Err(npz.error("offsets", why));
    }
    let ends = (raw.first().copied(), raw.last().copied());
    let expected = (Some(0), i64::try_from(frames).ok());
    if ends != expected || raw.len() < 2 {
        let show = |end: Option<i64>| end.map_or("nothing".into(), |v| v.to_string());
        let why = format!(
            "runs from {} to {}, expected 0 to {frames}, the frames of `x`",
            show(ends.0),
            show(ends.1)
        );
        return Err(npz.error("offsets", why));
    }
    let size = |v: i64| usize::try_from(v).map_err(|_| npz.error("offsets", format!("has the entry {v}")));
    raw.into_iter().map(size).collect()
}

/// `count` integers between `low` and `high`.
fn column(npz: &mut Npz, name: &str, count: usize, low: i64, high: i64) -> Result<Vec<i64>> {
    let values = npz.integers(name)?;
    if values.len() != count {
        return Err(npz.error(name, format!("has {} entries, expected {count}", values.len())));
    }
    if let Some(at) = values.iter().position(|v| !(low..=high).contains(v)) {
        let why = format!("is {} for sequence {at}, expected {low} to {high}", values[at]);
        return Err(npz.error(name, why));
    }
    Ok(values)
}

#[cfg(test)]
#[path = "skeleton_npz_tests.rs"]
mod tests;
