//! `florence3d`: Florence 3D Actions from its MATLAB or text file.
//!
//! L. Seidenari et al., "Recognizing actions from depth cameras as weakly aligned multi-part bag-of-poses", CVPR
//! Workshops 2013. OpenNI, 15 joints, 9 actions, 10 subjects, 215 sequences of 8 to 35 frames.
//!
//! - `skeletal_data.mat`: cells of structs with `original_skeletal_data [3, 15, T]` in metres as (x, depth, up),
//!   `subject` and `action` from 1. Depth and up change places here.
//! - text: a line a frame with the numbers of video, subject and action, then x y z of 15 joints in millimetres,
//!   y up.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use szar_core::{
    BuildContext, ClassId, ClassList, ComponentInfo, ComponentKind, Dataset, DatasetConfig, DatasetInfo,
    Error, FilePath, Problems, Result, SkeletonLayout,
};

use super::mat5::{self, Value};
use super::quality::{self, Exclusion, Flags};
use super::recorded::{Recorded, Recording, SplitSource, odd_subjects_train};
use super::{files, text};
use crate::layouts;
use crate::splits::{self, SplitConfig};

const LAYOUT: &str = "florence15";
const FPS: f32 = 10.0;
const JOINTS: usize = 15;
const NUMBERS: usize = 3 + JOINTS * 3;

const CLASSES: [&str; 9] = [
    "wave",
    "drink from a bottle",
    "answer phone",
    "clap",
    "tight lace",
    "sit down",
    "stand up",
    "read watch",
    "bow",
];

/// Options of the `florence3d` dataset.
#[derive(Clone, Debug, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct Florence3dConfig {
    /// Folder with `skeletal_data.mat` or the text file. No default.
    pub root: FilePath,
    /// File in `root`, `.mat` or text. Default: `skeletal_data.mat`, else the only text file with
    /// `world_coordinates` (in any case) in its name.
    pub file: Option<String>,
    /// Seen and unseen classes; the dataset's key in a split file is `florence3d`. No default.
    pub split: SplitConfig,
    /// Flaws that keep a sequence out. Default (ours): `doubtful`.
    pub exclude: Vec<Exclusion>,
}

impl Default for Florence3dConfig {
    fn default() -> Self {
        Self {
            root: FilePath::default(),
            file: None,
            split: SplitConfig::default(),
            exclude: vec![Exclusion::Doubtful],
        }
    }
}

#[typetag::serde(name = "florence3d")]
impl DatasetConfig for Florence3dConfig {
    fn validate(&self, problems: &mut Problems) {
        files::check_root(self.root.as_ref(), problems);
        problems.scoped("split", |p| self.split.validate(p));
    }

    fn layout(&self) -> Option<(Arc<SkeletonLayout>, i64)> {
        layouts::by_name(LAYOUT).ok().map(|l| (l, 1))
    }

    fn build(&self, _: &BuildContext) -> Result<Box<dyn Dataset>> {
        Ok(Box::new(self.open()?))
    }
}

inventory::submit! {
    ComponentInfo::new::<Florence3dConfig>(
        ComponentKind::Dataset,
        "florence3d",
        "Florence 3D Actions from its MATLAB or text file: 9 actions, 15 joints.",
        "Seidenari et al., CVPR Workshops 2013",
    )
}

/// Recordings and their joints `[F, 15, 3]`.
type Parsed = (Vec<Recording>, Vec<f32>);

impl Florence3dConfig {
    pub(crate) fn open(&self) -> Result<Recorded> {
        let root: &Path = self.root.as_ref();
        let path = self.path(root)?;
        let is_mat = path.extension().is_some_and(|e| e.eq_ignore_ascii_case("mat"));
        let (mut recordings, values) = if is_mat {
            let bytes = std::fs::read(&path).map_err(|e| Error::read(&path, e))?;
            parse_mat(&bytes).map_err(|(at, why)| Error::format(&path, at, why))?
        } else {
            parse_text(&path, &text::read(&path)?)?
        };
        let layout = layouts::by_name(LAYOUT)?;
        quality::assess(&mut recordings, &values, layout.len(), &layout.bones);
        let info = DatasetInfo {
            name: "florence3d".into(),
            layout,
            classes: ClassList::numbered(CLASSES)?,
            persons: 1,
            synthetic: None,
        };
        let split = SplitSource {
            config: self.split.clone(),
            file: splits::nearest_file(root),
            dataset: "florence3d".into(),
        };
        Ok(Recorded::new(
            info,
            recordings,
            values,
            FPS,
            &self.exclude,
            path,
            split,
        ))
    }

    fn path(&self, root: &Path) -> Result<PathBuf> {
        if let Some(file) = &self.file {
            return Ok(root.join(file));
        }
        let mat = root.join("skeletal_data.mat");
        if mat.is_file() {
            return Ok(mat);
        }
        let entries = std::fs::read_dir(root).map_err(|e| Error::read(root, e))?;
        let is_text = |path: &PathBuf| {
            let name = path
                .file_name()
                .unwrap_or_default()
                .to_string_lossy()
                .to_lowercase();
            name.replace('_', "").contains("worldcoordinates")
        };
        let mut found: Vec<_> = entries.flatten().map(|e| e.path()).filter(is_text).collect();
        match (found.pop(), found.is_empty()) {
            (Some(only), true) => Ok(only),
            _ => Err(Error::format(
                root,
                None,
                "expected `skeletal_data.mat` or one text file with `world_coordinates` in its name; or name it: `file`",
            )),
        }
    }
}

fn recording(name: String, subject: i64, action: i64, frames: usize) -> Recording {
    Recording {
        name,
        class: ClassId(action - 1),
        subject: Some(subject),
        role: odd_subjects_train(subject),
        flags: Flags::default(),
        frames,
    }
}

/// Place and reason of a fault in the MATLAB file.
type Fault = (Option<String>, String);

fn parse_mat(bytes: &[u8]) -> Result<Parsed, Fault> {
    let variables = mat5::parse(bytes).map_err(|why| (None, why))?;
    let cells = variables.into_iter().find(|(name, _)| name == "skeletal_data");
    let Some((_, Value::Cells(cells))) = cells else {
        return Err((None, "has no cell array `skeletal_data`".into()));
    };
    let (mut recordings, mut values) = (Vec::new(), Vec::new());
    for (i, cell) in cells.iter().enumerate() {
        let fault = |why: String| (Some(format!("cell {}", i + 1)), why);
        let number = |field: &str, last: usize| {
            let value = cell.field(field).and_then(Value::number);
            let whole = value.filter(|v| v.fract() == 0.0 && (1.0..=last as f64).contains(v));
            let number = whole.map(|v| v as i64);
            number.ok_or_else(|| {
                fault(format!(
                    "field `{field}` is {value:?}, expected a number from 1 to {last}"
                ))
            })
        };
        let (subject, action) = (number("subject", 1000)?, number("action", CLASSES.len())?);
        let frames = joints(cell, &mut values).map_err(fault)?;
        recordings.push(recording(format!("video{:03}", i + 1), subject, action, frames));
    }
    if recordings.is_empty() {
        return Err((None, "has no sequence in `skeletal_data`".into()));
    }
    Ok((recordings, values))
}

/// Appends the joints of a cell, `(x, depth, up)` to `(x, up, depth)`; returns the number of frames.
fn joints(cell: &Value, values: &mut Vec<f32>) -> Result<usize, String> {
    let field = "original_skeletal_data";
    let Some(Value::Numbers { dims, values: raw }) = cell.field(field) else {
        return Err(format!("has no numbers in field `{field}`"));
    };
    let frames = match dims.as_slice() {
        [3, JOINTS, frames] if *frames > 0 => *frames,
        [3, JOINTS] => 1,
        other => {
            return Err(format!(
                "field `{field}` has size {other:?}, expected [3, {JOINTS}, frames]"
            ));
        }
    };
    values.extend(
        raw.as_chunks::<3>()
            .0
            .iter()
            .flat_map(|[x, depth, up]| [*x as f32, *up as f32, *depth as f32]),
    );
    Ok(frames)
}

fn parse_text(path: &Path, content: &str) -> Result<Parsed> {
    let (mut recordings, mut values): Parsed = (Vec::new(), Vec::new());
    let mut current = None;
    for (at, line) in content.lines().enumerate().filter(|(_, l)| !l.trim().is_empty()) {
        let numbers = text::numbers::<NUMBERS>(path, at, line)?;
        let [video, subject, action] = [numbers[0], numbers[1], numbers[2]].map(|v| v as i64);
        let whole = numbers[..3].iter().all(|v| v.fract() == 0.0 && *v >= 1.0);
        if !whole || action > CLASSES.len() as i64 {
            let why = format!(
                "expected the numbers of video, subject and action (1 to {}), found {} {} {}",
                CLASSES.len(),
                numbers[0],
                numbers[1],
                numbers[2]
            );
            return Err(Error::format(path, text::place(at), why));
        }
        match recordings.last_mut() {
            Some(last) if current == Some((video, subject, action)) => last.frames += 1,
            _ => recordings.push(recording(format!("video{video:03}"), subject, action, 1)),
        }
        current = Some((video, subject, action));
        values.extend(numbers[3..].iter().map(|mm| (*mm / 1000.0) as f32));
    }
    if recordings.is_empty() {
        return Err(Error::format(path, None, "is empty, expected a line a frame"));
    }
    Ok((recordings, values))
}

#[cfg(test)]
#[path = "florence3d_tests.rs"]
mod tests;
