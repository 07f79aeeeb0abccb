//! `nw-ucla`: Northwestern-UCLA Multiview Action 3D from the `all_sqe` JSON files.
//!
//! J. Wang et al., "Cross-view action modeling, learning and recognition", CVPR 2014. Kinect v1, 10 actions, 10
//! subjects, 3 views.
//!
//! A file `a01_s02_e03_v01.json` (number of the recorded script, subject, repetition, view) holds
//! `{"file_name": ..., "skeletons": [T][20][3], "label": 1..10}`, metres. The label counts; the number behind `a` in
//! the name is another one (01-06 08 09 11 12). Since it stands inside, the files are read when the set is opened.
//!
//! View 2 and view 3 hold the same recording, bit for bit, of all 95 pairs of "pick up with two hands" and "drop
//! trash". The usual cross-view test (views 1 and 2 against view 3) then tests on copies of training samples, which
//! `exclude: [duplicate]` leaves out.

use std::path::Path;
use std::sync::Arc;

use rayon::prelude::*;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use szar_core::{
    BuildContext, ClassId, ClassList, ComponentInfo, ComponentKind, Dataset, DatasetConfig, DatasetInfo,
    Error, FilePath, Problems, Result, SampleRole, SkeletonLayout,
};

use super::quality::{self, Exclusion, Flags};
use super::recorded::{Recorded, Recording, SplitSource, odd_subjects_train};
use super::{files, text};
use crate::layouts;
use crate::splits::{self, SplitConfig};

const LAYOUT: &str = "kinect-v1-20";
const FPS: f32 = 30.0;
const JOINTS: usize = 20;

const CLASSES: [&str; 10] = [
    "pick up with one hand",
    "pick up with two hands",
    "drop trash",
    "walk around",
    "sit down",
    "stand up",
    "donning",
    "doffing",
    "throw",
    "carry",
];

/// Which samples test the seen classes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum NwUclaProtocol {
    /// Views 1 and 2 train, view 3 tests.
    #[default]
    CrossView,
    /// Odd subjects train, even ones test.
    CrossSubject,
}

/// Options of the `nw-ucla` dataset.
#[derive(Clone, Debug, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct NwUclaConfig {
    /// Folder with the JSON files (`all_sqe`), open or in a zip archive. No default.
    pub root: FilePath,
    /// Which samples test the seen classes. Default: `cross-view`, the test of the paper.
    pub protocol: NwUclaProtocol,
    /// Seen and unseen classes; the dataset's key in a split file is `nw_ucla`. No default.
    pub split: SplitConfig,
    /// Flaws that keep a sequence out. Default (ours): `doubtful` and `duplicate`, since view 3 repeats view 2.
    pub exclude: Vec<Exclusion>,
}

impl Default for NwUclaConfig {
    fn default() -> Self {
        Self {
            root: FilePath::default(),
            protocol: NwUclaProtocol::default(),
            split: SplitConfig::default(),
            exclude: vec![Exclusion::Doubtful, Exclusion::Duplicate],
        }
    }
}

#[typetag::serde(name = "nw-ucla")]
impl DatasetConfig for NwUclaConfig {
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
    ComponentInfo::new::<NwUclaConfig>(
        ComponentKind::Dataset,
        "nw-ucla",
        "Northwestern-UCLA from its `all_sqe` JSON files: 10 actions, 3 views, Kinect v1.",
        "Wang et al., CVPR 2014",
    )
}

/// One file, as far as it is read.
#[derive(Deserialize)]
struct Content {
    file_name: String,
    skeletons: Vec<Vec<[f64; 3]>>,
    label: i64,
}

impl NwUclaConfig {
    pub(crate) fn open(&self) -> Result<Recorded> {
        let root: &Path = self.root.as_ref();
        let texts = files::texts(
            root,
            |name| name.ends_with(".json") && name != "splits.json",
            "files `aNN_sNN_eNN_vNN.json`",
        )?;
        let texts: Vec<_> = texts.into_iter().collect();
        let parsed: Vec<Result<(Recording, Vec<f32>)>> = texts
            .par_iter()
            .map(|(name, (path, content))| parse(name, path, content, self.protocol))
            .collect();
        let (mut recordings, mut values) = (Vec::new(), Vec::new());
        for sequence in parsed {
            let (recording, joints) = sequence?;
            recordings.push(recording);
            values.extend(joints);
        }
        let layout = layouts::by_name(LAYOUT)?;
        quality::assess(&mut recordings, &values, layout.len(), &layout.bones);
        for recording in recordings.iter_mut().filter(|r| r.flags.has(Flags::UNUSABLE)) {
            recording.role = SampleRole::Outside;
        }
        let info = DatasetInfo {
            name: "nw_ucla".into(),
            layout,
            classes: ClassList::numbered(CLASSES)?,
            persons: 1,
            synthetic: None,
        };
        let split = SplitSource {
            config: self.split.clone(),
            file: splits::nearest_file(root),
            dataset: "nw_ucla".into(),
        };
        Ok(Recorded::new(
            info,
            recordings,
            values,
            FPS,
            &self.exclude,
            root.to_owned(),
            split,
        ))
    }
}

fn parse(file: &str, path: &Path, content: &str, protocol: NwUclaProtocol) -> Result<(Recording, Vec<f32>)> {
    let name = file.trim_end_matches(".json");
    let [_, subject, _, view] = parse_name(name).ok_or_else(|| {
        let why = "expected a name `aNN_sNN_eNN_vNN.json` (script, subject, repetition, view)";
        Error::format(path, None, why)
    })?;
    let content: Content = serde_json::from_str(content)
        .map_err(|e| Error::format(path, format!("{}:{}", e.line(), e.column()), e.to_string()))?;
    if content.file_name != name {
        let found = text::short(&content.file_name);
        let why = format!("is `{found}`, expected `{name}` as the file is called");
        return Err(Error::format(path, Some("`file_name`".into()), why));
    }
    if !(1..=CLASSES.len() as i64).contains(&content.label) {
        let why = format!("is {}, expected 1 to {}", content.label, CLASSES.len());
        return Err(Error::format(path, Some("`label`".into()), why));
    }
    if content.skeletons.is_empty() {
        return Err(Error::format(path, Some("`skeletons`".into()), "has no frame"));
    }
    if let Some(at) = content.skeletons.iter().position(|f| f.len() != JOINTS) {
        let place = format!("`skeletons`, frame {at}");
        let why = format!("has {} joints, expected {JOINTS}", content.skeletons[at].len());
        return Err(Error::format(path, place, why));
    }
    let values = content
        .skeletons
        .iter()
        .flatten()
        .flatten()
        .map(|v| *v as f32)
        .collect();
    let recording = Recording {
        name: name.into(),
        class: ClassId(content.label - 1),
        subject: Some(subject),
        role: match protocol {
            NwUclaProtocol::CrossSubject => odd_subjects_train(subject),
            NwUclaProtocol::CrossView if view == 3 => SampleRole::Test,
            NwUclaProtocol::CrossView => SampleRole::Train,
        },
        flags: Flags::default(),
        frames: content.skeletons.len(),
    };
    Ok((recording, values))
}

/// Script, subject, repetition, view (1 to 3).
fn parse_name(name: &str) -> Option<[i64; 4]> {
    let mut parts = name.split('_');
    let mut number = |letter: char| {
        let digits = parts.next()?.strip_prefix(letter)?;
        let plain = digits.len() == 2 && digits.bytes().all(|b| b.is_ascii_digit());
        plain.then(|| digits.parse::<i64>().ok()).flatten()
    };
    let all = [number('a')?, number('s')?, number('e')?, number('v')?];
    ((1..=3).contains(&all[3]) && parts.next().is_none()).then_some(all)
}

#[cfg(test)]
#[path = "nw_ucla_tests.rs"]
mod tests;
