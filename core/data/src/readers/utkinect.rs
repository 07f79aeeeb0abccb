//! `utkinect`: UTKinect-Action3D from its own files.
//!
//! L. Xia, C. Chen, J. K. Aggarwal, "View invariant human action recognition using histograms of 3D joints",
//! CVPR Workshops 2012. Kinect v1, 10 actions, 10 subjects, each twice.
//!
//! A joint file `joints_s01_e01.txt` has a line a frame: its number, then x y z of 20 joints, in metres. Frame
//! numbers repeat with other values; the first of each is kept. The label file names, per recording, the first
//! and the last frame of every action, both included; `NaN NaN` stands for an action that was not recorded.

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;

use rayon::prelude::*;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use szar_core::{
    BuildContext, ClassId, ClassList, ComponentInfo, ComponentKind, Dataset, DatasetConfig, DatasetInfo,
    Error, FilePath, Problems, Result, SkeletonLayout,
};

use super::quality::{self, Exclusion, Flags};
use super::recorded::{Recorded, Recording, SplitSource, odd_subjects_train};
use super::{files, text};
use crate::layouts;
use crate::splits::{self, SplitConfig};

const LAYOUT: &str = "kinect-v1-20";
/// Nominal; the numbers of kept frames step by 2 to 8.
const FPS: f32 = 15.0;
const NUMBERS: usize = 61;

/// Name in the label file, name of the class; numbered in this order.
const ACTIONS: [(&str, &str); 10] = [
    ("walk", "walk"),
    ("sitDown", "sit down"),
    ("standUp", "stand up"),
    ("pickUp", "pick up"),
    ("carry", "carry"),
    ("throw", "throw"),
    ("push", "push"),
    ("pull", "pull"),
    ("waveHands", "wave hands"),
    ("clapHands", "clap hands"),
];

/// Options of the `utkinect` dataset.
#[derive(Clone, Debug, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct UtKinectConfig {
    /// Folder with the joint files (open or in a zip archive) and the label file. No default.
    pub root: FilePath,
    /// Label file in `root`. Default: `actionLabel_modified.txt`, which mends seven wrong ranges, else `actionLabel.txt`.
    pub labels: Option<String>,
    /// Seen and unseen classes; the dataset's key in a split file is `utkinect`. No default.
    pub split: SplitConfig,
    /// Flaws that keep a sequence out. Default (ours): `doubtful`.
    pub exclude: Vec<Exclusion>,
}

impl Default for UtKinectConfig {
    fn default() -> Self {
        Self {
            root: FilePath::default(),
            labels: None,
            split: SplitConfig::default(),
            exclude: vec![Exclusion::Doubtful],
        }
    }
}

#[typetag::serde(name = "utkinect")]
impl DatasetConfig for UtKinectConfig {
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
    ComponentInfo::new::<UtKinectConfig>(
        ComponentKind::Dataset,
        "utkinect",
        "UTKinect-Action3D from its joint and label files: 10 actions, Kinect v1.",
        "Xia, Chen, Aggarwal, CVPR Workshops 2012",
    )
}

/// Frames of a recording: number to the 60 values.
type Frames = BTreeMap<i64, [f32; NUMBERS - 1]>;
/// Per recording the first and last frame of every action, in the order of [`ACTIONS`].
type Labels = BTreeMap<String, [Option<(i64, i64)>; ACTIONS.len()]>;

impl UtKinectConfig {
    pub(crate) fn open(&self) -> Result<Recorded> {
        let root: &Path = self.root.as_ref();
        let joint_file = |name: &str| name.starts_with("joints_s") && name.ends_with(".txt");
        let texts = files::texts(root, joint_file, "joint files `joints_sNN_eNN.txt`")?;
        let mut label_file = root.join(self.labels.as_deref().unwrap_or("actionLabel_modified.txt"));
        if self.labels.is_none() && !label_file.is_file() {
            label_file = root.join("actionLabel.txt");
        }
        let labels = parse_labels(&label_file, &text::read(&label_file)?)?;
        let mut wanted = Vec::new();
        for (video, ranges) in &labels {
            let name = format!("joints_{video}.txt");
            let (path, content) = texts.get(&name).ok_or_else(|| {
                let known = texts.keys().cloned();
                Error::unknown("joint file", &name, known).context(label_file.display().to_string())
            })?;
            wanted.push((video, ranges, path, content));
        }
        let parsed: Vec<Result<Frames>> = wanted
            .par_iter()
            .map(|(_, _, path, content)| parse_frames(path, content))
            .collect();
        let (mut recordings, mut values) = (Vec::new(), Vec::new());
        for ((video, ranges, path, _), frames) in wanted.iter().zip(parsed) {
            let frames = frames?;
            for (label, range) in ranges.iter().enumerate() {
                let Some((first, last)) = *range else { continue };
                let before = values.len();
                values.extend(frames.range(first..=last).flat_map(|(_, frame)| frame));
                let key = ACTIONS[label].0;
                if values.len() == before {
                    let why =
                        format!("has no frame from {first} to {last}, where `{key}` of {video} should be");
                    return Err(Error::format(path, None, why));
                }
                recordings.push(recording(video, label, (values.len() - before) / (NUMBERS - 1)));
            }
        }
        let layout = layouts::by_name(LAYOUT)?;
        quality::assess(&mut recordings, &values, layout.len(), &layout.bones);
        let info = DatasetInfo {
            name: "utkinect".into(),
            layout,
            classes: ClassList::numbered(ACTIONS.map(|(_, name)| name))?,
            persons: 1,
            synthetic: None,
        };
        let split = SplitSource {
            config: self.split.clone(),
            file: splits::nearest_file(root),
            dataset: "utkinect".into(),
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

fn recording(video: &str, label: usize, frames: usize) -> Recording {
    let subject = video.get(1..3).and_then(|s| s.parse().ok());
    Recording {
        name: format!("{video}_{}", ACTIONS[label].0),
        class: ClassId(label as i64),
        subject,
        role: odd_subjects_train(subject.unwrap_or(0)),
        flags: Flags::default(),
        frames,
    }
}

fn parse_frames(path: &Path, content: &str) -> Result<Frames> {
    let mut frames = Frames::new();
    for (at, line) in content.lines().enumerate().filter(|(_, l)| !l.trim().is_empty()) {
        let numbers = text::numbers::<NUMBERS>(path, at, line)?;
        let number = whole(numbers[0]).ok_or_else(|| {
            Error::format(
                path,
                text::place(at),
                format!("expected a frame number, found {}", numbers[0]),
            )
        })?;
        let mut frame = [0.0; NUMBERS - 1];
        for (to, from) in frame.iter_mut().zip(&numbers[1..]) {
            *to = *from as f32;
        }
        frames.entry(number).or_insert(frame);
    }
    Ok(frames)
}

/// A frame number that was written as a number with a fraction of zero.
fn whole(value: f64) -> Option<i64> {
    (value.fract() == 0.0 && value.abs() < 1e15).then_some(value as i64)
}

fn parse_labels(path: &Path, content: &str) -> Result<Labels> {
    let mut labels = Labels::new();
    let mut current: Option<String> = None;
    for (at, line) in content
        .lines()
        .map(str::trim)
        .enumerate()
        .filter(|(_, l)| !l.is_empty())
    {
        let bad = |why: String| Error::format(path, text::place(at), why);
        let Some((key, range)) = line.split_once(':') else {
            if !is_video(line) {
                return Err(bad(format!(
                    "expected a recording such as `s01_e01`, found `{}`",
                    text::short(line)
                )));
            }
            labels.insert(line.into(), [None; ACTIONS.len()]);
            current = Some(line.into());
            continue;
        };
        let ranges = current.as_ref().and_then(|video| labels.get_mut(video));
        let ranges = ranges.ok_or_else(|| bad("an action comes before the first recording".into()))?;
        let label = ACTIONS
            .iter()
            .position(|(name, _)| *name == key.trim())
            .ok_or_else(|| {
                let unknown = Error::unknown("action", key.trim(), ACTIONS.map(|(name, _)| name));
                unknown.context(format!("{}, line {}", path.display(), at + 1))
            })?;
        ranges[label] = parse_range(range).map_err(bad)?;
    }
    if labels.is_empty() {
        return Err(Error::format(path, None, "names no recording"));
    }
    Ok(labels)
}

fn is_video(line: &str) -> bool {
    let bytes = line.as_bytes();
    let digits = |range: std::ops::Range<usize>| bytes[range].iter().all(u8::is_ascii_digit);
    bytes.len() == 7 && bytes[0] == b's' && digits(1..3) && &bytes[3..5] == b"_e" && digits(5..7)
}

fn parse_range(range: &str) -> Result<Option<(i64, i64)>, String> {
    let words: Vec<_> = range.split_whitespace().collect();
    let expected = || {
        format!(
            "expected the first and the last frame, found `{}`",
            text::short(range.trim())
        )
    };
    match words.as_slice() {
        ["NaN", "NaN"] => Ok(None),
        [first, last] => {
            let number = |word: &str| word.parse::<f64>().ok().and_then(whole).ok_or_else(expected);
            let (first, last) = (number(first)?, number(last)?);
            if first > last {
                return Err(format!("the range {first} {last} ends before it starts"));
            }
            Ok(Some((first, last)))
        }
        _ => Err(expected()),
    }
}

#[cfg(test)]
#[path = "utkinect_tests.rs"]
mod tests;
