//! `pku-mmd`: PKU-MMD I and II, actions cut out of untrimmed skeleton sequences.
//!
//! C. Liu et al., "PKU-MMD: a large scale benchmark for continuous multi-modal human action understanding", 2017.
//! Kinect v2, 30 Hz, 51 actions (41 of them in part II), each recording from three views.
//!
//! - `<video>.txt` below `root`: a line a frame, 150 numbers, x y z in metres of the 25 joints of two bodies; a body
//!   that is not there is all zeros.
//! - `<video>.txt` below `labels`: a line an action, `class,start,end,confidence`, the class from 1, frames counted
//!   from 0 with the end left out. An end beyond the last frame means the last frame.
//! - `<video>` is `0002-L` in part I, `A01N01-L` in part II; the letter is the view: left, middle or right.
//!
//! A sample is one action, `<video>_<number of its line from 1>`. Opening reads the label files alone.

use std::collections::BTreeMap;
use std::fs::File;
use std::io::{BufRead, BufReader, Read};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use szar_core::{
    BuildContext, ClassId, ClassList, ComponentInfo, ComponentKind, Dataset, DatasetConfig, DatasetInfo,
    Error, FilePath, Problems, Result, SampleInfo, SampleRole, Sequence, SkeletonLayout,
};

use super::on_demand::OnDemand;
use super::recorded::SplitSource;
use super::walk::{self, Found};
use super::{files, text};
use crate::layouts;
use crate::splits::{self, SplitConfig};

mod videos;

pub use videos::PkuMmdProtocol;

const LAYOUT: &str = "ntu25";
const FPS: f32 = 30.0;
const PERSONS: usize = 2;
const NUMBERS: usize = PERSONS * 25 * 3;
/// A line of 150 numbers is far shorter.
const MAX_LINE: u64 = 1 << 16;

const CLASSES: [&str; 51] = [
    "bow",
    "brushing hair",
    "brushing teeth",
    "check time (from watch)",
    "cheer up",
    "clapping",
    "cross hands in front (say stop)",
    "drink water",
    "drop",
    "eat meal/snack",
    "falling",
    "giving something to other person",
    "hand waving",
    "handshaking",
    "hopping (one foot jumping)",
    "hugging other person",
    "jump up",
    "kicking other person",
    "kicking something",
    "make a phone call/answer phone",
    "pat on back of other person",
    "pickup",
    "playing with phone/tablet",
    "point finger at the other person",
    "pointing to something with finger",
    "punching/slapping other person",
    "pushing other person",
    "put on a hat/cap",
    "put something inside pocket",
    "reading",
    "rub two hands together",
    "salute",
    "sitting down",
    "standing up",
    "take off a hat/cap",
    "take off glasses",
    "take off jacket",
    "take out something from pocket",
    "taking a selfie",
    "tear up paper",
    "throw",
    "touch back (backache)",
    "touch chest (stomachache/heart pain)",
    "touch head (headache)",
    "touch neck (neckache)",
    "typing on a keyboard",
    "use a fan (with hand or paper)/feeling warm",
    "wear jacket",
    "wear on glasses",
    "wipe face",
    "writing",
];

/// Options of the `pku-mmd` dataset.
#[derive(Clone, Debug, Default, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct PkuMmdConfig {
    /// Folder with the skeleton files (`PKU_Skeleton_Renew`). No default.
    pub root: FilePath,
    /// Folder with the label files (`Train_Label_PKU_final`). No default.
    pub labels: FilePath,
    /// Which videos test the seen classes. Default: `cross-subject`, which needs the set's split file.
    pub protocol: PkuMmdProtocol,
    /// The set's list of training and validation videos (`cross-subject.txt`, `cross-view.txt`). Default: that of the
    /// protocol beside `root`, in it, or in the folder `Split` of either; `cross-view` does without.
    pub videos: Option<FilePath>,
    /// Seen and unseen classes; the dataset's key in a split file is `pku51`. No default.
    pub split: SplitConfig,
}

#[typetag::serde(name = "pku-mmd")]
impl DatasetConfig for PkuMmdConfig {
    fn validate(&self, problems: &mut Problems) {
        files::check_root(self.root.as_ref(), problems);
        problems.check(!self.labels.is_empty(), "labels", || {
            "must name the folder of the label files".into()
        });
        problems.scoped("split", |p| self.split.validate(p));
    }

    fn layout(&self) -> Option<(Arc<SkeletonLayout>, i64)> {
        layouts::by_name(LAYOUT).ok().map(|l| (l, PERSONS as i64))
    }

    fn build(&self, _: &BuildContext) -> Result<Box<dyn Dataset>> {
        Ok(Box::new(self.open()?))
    }
}

inventory::submit! {
    ComponentInfo::new::<PkuMmdConfig>(
        ComponentKind::Dataset,
        "pku-mmd",
        "PKU-MMD I and II: 51 actions cut out of untrimmed Kinect v2 sequences.",
        "Liu et al., 2017",
    )
}

/// Frames of one action.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Segment {
    class: i64,
    start: usize,
    end: usize,
}

impl PkuMmdConfig {
    pub(crate) fn open(&self) -> Result<OnDemand> {
        let root: &Path = self.root.as_ref();
        let of_video = self.skeletons(root)?;
        let list = videos::roles(self.protocol, self.videos.as_ref().map(AsRef::as_ref), root)?;
        let (mut samples, mut paths, mut segments) = (Vec::new(), Vec::new(), Vec::new());
        for file in walk::files(self.labels.as_ref(), &["txt"], "label files `<video>.txt`")? {
            let video = stem(&file);
            if videos::view(video).is_none() {
                continue;
            }
            let path = of_video.get(video).ok_or_else(|| {
                let known = of_video.keys().cloned();
                Error::unknown("video", video, known).context(file.path.display().to_string())
            })?;
            let role = list.role(video);
            for (number, segment) in read_labels(&file.path)?.into_iter().enumerate() {
                samples.push(SampleInfo {
                    name: format!("{video}_{}", number + 1),
                    class: ClassId(segment.class),
                    subject: None,
                    role,
                    usable: true,
                });
                paths.push(path.clone());
                segments.push(segment);
            }
        }
        if samples.is_empty() {
            let why = "holds no label of a video `0002-L` or `A01N01-L`";
            return Err(Error::format(&self.labels, None, why));
        }
        let info = DatasetInfo {
            name: "pku51".into(),
            layout: layouts::by_name(LAYOUT)?,
            classes: ClassList::numbered(CLASSES)?,
            persons: PERSONS,
            synthetic: None,
        };
        let split = SplitSource {
            config: self.split.clone(),
            file: splits::nearest_file(root),
            dataset: "pku51".into(),
        };
        let read = Box::new(move |path: &Path, sample: usize| read_segment(path, segments[sample]));
        OnDemand::new(info, samples, paths, split, read)
    }
}

impl PkuMmdConfig {
    /// Skeleton files by video; label files that lie below the same folder are left out.
    fn skeletons(&self, root: &Path) -> Result<BTreeMap<String, PathBuf>> {
        let labels: &Path = self.labels.as_ref();
        let mut found = walk::files(root, &["txt"], "text files `<video>.txt`")?;
        found.retain(|f| videos::view(stem(f)).is_some() && (labels == root || !f.path.starts_with(labels)));
        let mut of_video = BTreeMap::new();
        for file in found {
            if let Some(other) = of_video.insert(stem(&file).to_owned(), file.path.clone()) {
                let why = format!(
                    "is a video that {} is too, expected one file each",
                    other.display()
                );
                return Err(Error::format(&file.path, None, why));
            }
        }
        Ok(of_video)
    }
}

/// Name of a file without its folder.
fn stem(file: &Found) -> &str {
    file.name.rsplit('/').next().unwrap_or_default()
}

fn read_labels(path: &Path) -> Result<Vec<Segment>> {
    let content = text::read(path)?;
    let lines = content.lines().enumerate().filter(|(_, l)| !l.trim().is_empty());
    lines
        .map(|(at, line)| parse_label(line).map_err(|why| Error::format(path, text::place(at), why)))
        .collect()
}

/// `class,start,end` with or without a confidence behind it.
fn parse_label(line: &str) -> Result<Segment, String> {
    let words: Vec<_> = line.split(',').map(str::trim).collect();
    if !(3..=4).contains(&words.len()) {
        let count = words.len();
        return Err(format!(
            "expected `class,start,end,confidence`, found {count} values"
        ));
    }
    let whole = |at: usize, what: &str| {
        let number = words[at].parse::<usize>();
        number.map_err(|_| format!("expected the {what}, found `{}`", text::short(words[at])))
    };
    let (class, start, end) = (
        whole(0, "class")?,
        whole(1, "first frame")?,
        whole(2, "last frame")?,
    );
    if !(1..=CLASSES.len()).contains(&class) {
        return Err(format!("the class is {class}, expected 1 to {}", CLASSES.len()));
    }
    if start >= end {
        return Err(format!(
            "the action runs from frame {start} to {end}, expected at least one frame"
        ));
    }
    let confidence = words.get(3).map_or(Some(0.0), |w| w.parse::<f64>().ok());
    if !confidence.is_some_and(f64::is_finite) {
        return Err(format!(
            "expected a confidence, found `{}`",
            text::short(words[3])
        ));
    }
    Ok(Segment {
        class: class as i64 - 1,
        start,
        end,
    })
}

/// Frames `start .. end` of a video; lines before are skipped, lines behind not read.
fn read_segment(path: &Path, segment: Segment) -> Result<Sequence> {
    let file = File::open(path).map_err(|e| Error::read(path, e))?;
    let mut reader = BufReader::with_capacity(1 << 18, file);
    let mut line = Vec::new();
    let (mut at, mut frames) = (0, 0);
    let mut joints = Vec::new();
    while frames < segment.end {
        line.clear();
        let limited = reader.by_ref().take(MAX_LINE).read_until(b'\n', &mut line);
        if limited.map_err(|e| Error::read(path, e))? == 0 {
            break;
        }
        if line.len() as u64 == MAX_LINE {
            let why = format!("is longer than {MAX_LINE} bytes, expected {NUMBERS} numbers");
            return Err(Error::format(path, text::place(at), why));
        }
        if !line.trim_ascii().is_empty() {
            if frames >= segment.start {
                let words = std::str::from_utf8(&line)
                    .map_err(|_| Error::format(path, text::place(at), "is not UTF-8 text"))?;
                joints.extend(text::numbers::<NUMBERS>(path, at, words)?.map(|v| v as f32));
            }
            frames += 1;
        }
        at += 1;
    }
    if joints.is_empty() {
        let Segment { start, end, .. } = segment;
        let why =
            format!("has {frames} frames, expected the action of frames {start} to {end} by its label file");
        return Err(Error::format(path, None, why));
    }
    Ok(Sequence {
        frames: joints.len() / NUMBERS,
        joints,
        persons: PERSONS,
        fps: FPS,
    })
}

/// Role of a video in a protocol.
fn role(test: bool) -> SampleRole {
    if test { SampleRole::Test } else { SampleRole::Train }
}

#[cfg(test)]
#[path = "pku_mmd_tests.rs"]
mod tests;
