//! `msr-action3d`: MSRAction3D from its own files.
//!
//! W. Li, Z. Zhang, Z. Liu, "Action recognition based on a bag of 3D points", CVPR Workshops 2010. Kinect v1, 20
//! actions, 10 subjects, up to three times each.
//!
//! A file `a01_s02_e03_skeleton3D.txt` (action, subject, repetition, from 1) has four numbers a line, x y z in
//! metres and a confidence, and 20 lines a frame in a joint order of its own. The form in screen coordinates
//! (`..._skeleton.txt`) is another one and not read.

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

const LAYOUT: &str = "msr-20";
const FPS: f32 = 15.0;
const JOINTS: usize = 20;
const ENDING: &str = "_skeleton3D.txt";

const CLASSES: [&str; 20] = [
    "high arm wave",
    "horizontal arm wave",
    "hammer",
    "hand catch",
    "forward punch",
    "high throw",
    "draw x",
    "draw tick",
    "draw circle",
    "hand clap",
    "two hand wave",
    "side boxing",
    "bend",
    "forward kick",
    "side kick",
    "jogging",
    "tennis swing",
    "tennis serve",
    "golf swing",
    "pick up and throw",
];

/// Recordings that the published protocol of 557 sequences leaves out for their bad tracking.
const LEFT_OUT: [&str; 10] = [
    "a02_s03_e02",
    "a04_s03_e01",
    "a07_s04_e01",
    "a13_s09_e01",
    "a13_s09_e02",
    "a13_s09_e03",
    "a14_s03_e01",
    "a20_s07_e01",
    "a20_s07_e03",
    "a20_s10_e03",
];

/// Options of the `msr-action3d` dataset.
#[derive(Clone, Debug, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct MsrAction3dConfig {
    /// Folder with the `*_skeleton3D.txt` files, open or in a zip archive. No default.
    pub root: FilePath,
    /// Seen and unseen classes; the dataset's key in a split file is `msr_action3d`. No default.
    pub split: SplitConfig,
    /// Flaws that keep a sequence out. Default (ours): `doubtful`.
    pub exclude: Vec<Exclusion>,
}

impl Default for MsrAction3dConfig {
    fn default() -> Self {
        Self {
            root: FilePath::default(),
            split: SplitConfig::default(),
            exclude: vec![Exclusion::Doubtful],
        }
    }
}

#[typetag::serde(name = "msr-action3d")]
impl DatasetConfig for MsrAction3dConfig {
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
    ComponentInfo::new::<MsrAction3dConfig>(
        ComponentKind::Dataset,
        "msr-action3d",
        "MSRAction3D from its world-coordinate text files: 20 actions, Kinect v1.",
        "Li, Zhang, Liu, CVPR Workshops 2010",
    )
}

impl MsrAction3dConfig {
    pub(crate) fn open(&self) -> Result<Recorded> {
        let root: &Path = self.root.as_ref();
        let texts = files::texts(
            root,
            |name| name.ends_with(ENDING),
            "files `aNN_sNN_eNN_skeleton3D.txt`",
        )?;
        let texts: Vec<_> = texts.into_iter().collect();
        let parsed: Vec<Result<(Recording, Vec<f32>)>> = texts
            .par_iter()
            .map(|(name, (path, content))| parse(name, path, content))
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
            name: "msr_action3d".into(),
            layout,
            classes: ClassList::numbered(CLASSES)?,
            persons: 1,
            synthetic: None,
        };
        let split = SplitSource {
            config: self.split.clone(),
            file: splits::nearest_file(root),
            dataset: "msr_action3d".into(),
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

fn parse(file: &str, path: &Path, content: &str) -> Result<(Recording, Vec<f32>)> {
    let name = file.trim_end_matches(ENDING);
    let (action, subject) = parse_name(name).ok_or_else(|| {
        let why = format!(
            "expected a name `aNN_sNN_eNN{ENDING}` with an action from 1 to {}",
            CLASSES.len()
        );
        Error::format(path, None, why)
    })?;
    let mut values = Vec::new();
    for (at, line) in content.lines().enumerate().filter(|(_, l)| !l.trim().is_empty()) {
        let numbers = text::numbers::<4>(path, at, line)?;
        values.extend(numbers[..3].iter().map(|v| *v as f32));
    }
    let lines = values.len() / 3;
    if lines == 0 || lines % JOINTS != 0 {
        let why =
            format!("has {lines} lines of joints, expected a multiple of {JOINTS}; is the file cut short?");
        return Err(Error::format(path, None, why));
    }
    let left_out = LEFT_OUT.contains(&name);
    let recording = Recording {
        name: name.into(),
        class: ClassId(action - 1),
        subject: Some(subject),
        role: if left_out {
            SampleRole::Outside
        } else {
            odd_subjects_train(subject)
        },
        flags: Flags(if left_out { Flags::UNSTABLE } else { 0 }),
        frames: lines / JOINTS,
    };
    Ok((recording, values))
}

/// Action and subject, both from 1.
fn parse_name(name: &str) -> Option<(i64, i64)> {
    let mut parts = name.split('_');
    let mut number = |letter: char| {
        let digits = parts.next()?.strip_prefix(letter)?;
        (digits.len() == 2).then(|| digits.parse::<i64>().ok()).flatten()
    };
    let (action, subject, _) = (number('a')?, number('s')?, number('e')?);
    let known = (1..=CLASSES.len() as i64).contains(&action);
    (known && parts.next().is_none()).then_some((action, subject))
}

#[cfg(test)]
#[path = "msr_action3d_tests.rs"]
mod tests;
