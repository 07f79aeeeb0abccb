//! `utd-mhad`: the skeletons of UTD-MHAD from its MATLAB files.
//!
//! C. Chen, R. Jafari, N. Kehtarnavaz, "UTD-MHAD: a multimodal dataset for human action recognition utilizing a
//! depth camera and a wearable inertial sensor", ICIP 2015. Kinect v1, 30 Hz, 27 actions, 8 subjects, 4 trials.
//!
//! A file `a1_s2_t3_skeleton.mat` (action, subject, trial, from 1) holds `d_skel` `[20, 3, frames]` in metres, in a
//! joint order that starts at the head (layout `utd-20`). Three of the 864 were never released.

use std::path::Path;
use std::sync::Arc;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use szar_core::{
    BuildContext, ClassId, ClassList, ComponentInfo, ComponentKind, Dataset, DatasetConfig, DatasetInfo,
    Error, FilePath, Problems, Result, SampleInfo, SampleRole, Sequence, SkeletonLayout,
};

use super::files;
use super::mat5::{self, Value};
use super::on_demand::OnDemand;
use super::quality::Exclusion;
use super::recorded::SplitSource;
use super::walk;
use crate::layouts;
use crate::splits::{self, SplitConfig};

const LAYOUT: &str = "utd-20";
const FPS: f32 = 30.0;
const JOINTS: usize = 20;
const ENDING: &str = "_skeleton";

const CLASSES: [&str; 27] = [
    "swipe left",
    "swipe right",
    "wave",
    "clap",
    "throw",
    "arm cross",
    "basketball shoot",
    "draw x",
    "draw circle clockwise",
    "draw circle counter clockwise",
    "draw triangle",
    "bowling",
    "boxing",
    "baseball swing",
    "tennis swing",
    "arm curl",
    "tennis serve",
    "push",
    "knock",
    "catch",
    "pick up and throw",
    "jog",
    "walk",
    "sit to stand",
    "stand to sit",
    "lunge",
    "squat",
];

/// Options of the `utd-mhad` dataset.
#[derive(Clone, Debug, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct UtdMhadConfig {
    /// Folder with the `aN_sN_tN_skeleton.mat` files. No default.
    pub root: FilePath,
    /// Subjects that train; the others test the seen classes. Default: 1 3 5 7, the paper's.
    pub train_subjects: Vec<i64>,
    /// Seen and unseen classes; the dataset's key in a split file is `utd_mhad`. No default.
    pub split: SplitConfig,
    /// Flaws that keep a sequence out; to find any, all files are read at the start. Default: none.
    pub exclude: Vec<Exclusion>,
}

impl Default for UtdMhadConfig {
    fn default() -> Self {
        Self {
            root: FilePath::default(),
            train_subjects: vec![1, 3, 5, 7],
            split: SplitConfig::default(),
            exclude: Vec::new(),
        }
    }
}

#[typetag::serde(name = "utd-mhad")]
impl DatasetConfig for UtdMhadConfig {
    fn validate(&self, problems: &mut Problems) {
        files::check_root(self.root.as_ref(), problems);
        problems.scoped("split", |p| self.split.validate(p));
        problems.check(!self.train_subjects.is_empty(), "train_subjects", || {
            "must name at least one subject".into()
        });
    }

    fn layout(&self) -> Option<(Arc<SkeletonLayout>, i64)> {
        layouts::by_name(LAYOUT).ok().map(|l| (l, 1))
    }

    fn build(&self, _: &BuildContext) -> Result<Box<dyn Dataset>> {
        Ok(Box::new(self.open()?))
    }
}

inventory::submit! {
    ComponentInfo::new::<UtdMhadConfig>(
        ComponentKind::Dataset,
        "utd-mhad",
        "UTD-MHAD from its MATLAB skeleton files: 27 actions, Kinect v1.",
        "Chen, Jafari, Kehtarnavaz, ICIP 2015",
    )
}

impl UtdMhadConfig {
    pub(crate) fn open(&self) -> Result<OnDemand> {
        let root: &Path = self.root.as_ref();
        let mut found = walk::files(root, &["mat"], "files `aN_sN_tN_skeleton.mat`")?;
        found.retain(|f| f.name.ends_with(ENDING));
        let (mut samples, mut paths) = (Vec::new(), Vec::new());
        for file in found {
            let stem = file
                .name
                .rsplit('/')
                .next()
                .unwrap_or_default()
                .trim_end_matches(ENDING);
            samples.push(self.sample(stem, &file.path)?);
            paths.push(file.path);
        }
        if samples.is_empty() {
            return Err(Error::format(
                root,
                None,
                "holds no files `aN_sN_tN_skeleton.mat`",
            ));
        }
        let info = DatasetInfo {
            name: "utd_mhad".into(),
            layout: layouts::by_name(LAYOUT)?,
            classes: ClassList::numbered(CLASSES)?,
            persons: 1,
            synthetic: None,
        };
        let split = SplitSource {
            config: self.split.clone(),
            file: splits::nearest_file(root),
            dataset: "utd_mhad".into(),
        };
        let read = Box::new(|path: &Path, _| {
            let bytes = std::fs::read(path).map_err(|e| Error::read(path, e))?;
            parse(&bytes).map_err(|why| Error::format(path, None, why))
        });
        OnDemand::new(info, samples, paths, split, read)?.excluding(&self.exclude)
    }

    fn sample(&self, stem: &str, path: &Path) -> Result<SampleInfo> {
        let [action, subject, _] = parse_name(stem).ok_or_else(|| {
            let last = CLASSES.len();
            let why = format!("expected a name `aN_sN_tN{ENDING}.mat` with an action from 1 to {last}");
            Error::format(path, None, why)
        })?;
        Ok(SampleInfo {
            name: stem.into(),
            class: ClassId(action - 1),
            subject: Some(subject),
            role: if self.train_subjects.contains(&subject) {
                SampleRole::Train
            } else {
                SampleRole::Test
            },
            usable: true,
        })
    }
}

/// Action, subject, trial, all from 1.
fn parse_name(name: &str) -> Option<[i64; 3]> {
    let mut parts = name.split('_');
    let mut number = |letter: char| {
        let digits = parts.next()?.strip_prefix(letter)?;
        let plain = digits.len() <= 3 && digits.bytes().all(|b| b.is_ascii_digit());
        plain
            .then(|| digits.parse::<i64>().ok())
            .flatten()
            .filter(|n| *n > 0)
    };
    let all = [number('a')?, number('s')?, number('t')?];
    (all[0] <= CLASSES.len() as i64 && parts.next().is_none()).then_some(all)
}

/// `d_skel [20, 3, frames]`, column-major, to frames of joints.
fn parse(bytes: &[u8]) -> Result<Sequence, String> {
    let variables = mat5::parse(bytes)?;
    let names: Vec<_> = variables.iter().map(|(name, _)| format!("`{name}`")).collect();
    let found = variables.into_iter().find(|(name, _)| name == "d_skel");
    let Some((_, Value::Numbers { dims, values })) = found else {
        return Err(format!("has no numbers `d_skel`, found {}", names.join(", ")));
    };
    let frames = match dims.as_slice() {
        [JOINTS, 3, frames] if *frames > 0 => *frames,
        [JOINTS, 3] => 1,
        other => {
            return Err(format!(
                "`d_skel` has size {other:?}, expected [{JOINTS}, 3, frames]"
            ));
        }
    };
    let mut joints = Vec::with_capacity(values.len());
    for frame in values.chunks_exact(JOINTS * 3) {
        for joint in 0..JOINTS {
            joints.extend((0..3).map(|axis| frame[axis * JOINTS + joint] as f32));
        }
    }
    Ok(Sequence {
        joints,
        frames,
        persons: 1,
        fps: FPS,
    })
}

#[cfg(test)]
#[path = "utd_mhad_tests.rs"]
mod tests;
