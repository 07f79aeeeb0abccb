//! `pose-json`: key points that a pose estimator wrote as JSON.
//!
//! - `source: mediapipe`: MediaPipe Pose's 33 world landmarks, in metres about the middle of the hips. A frame is an
//!   object with `worldLandmarks`, `world_landmarks`, `pose_world_landmarks` or `poseWorldLandmarks` (a list of
//!   landmarks, one such list for each person, or the object `{landmark: [...]}` of the older interface), or the list
//!   itself. A landmark is `{x, y, z, visibility}` or `[x, y, z, visibility]`.
//! - `source: openpose`: a frame is `{people: [{pose_keypoints_2d: [x, y, confidence, ...]}]}`, or
//!   `pose_keypoints_3d` with four numbers a joint; 25 joints, or 18 with `layout: openpose18`. Key points in pixels
//!   need `metres_per_unit`: 1.7 m over the height of the person in pixels, say.
//!
//! `files: sequence` has one file a sequence, a list of frames or an object with the list `frames`; `files: frame` has
//! a folder a sequence with one file a frame, in the order of their numbers. Persons keep the order in which a frame
//! lists them. Where nobody is found, and where a confidence is below `min_confidence` or 0, the joint counts as not
//! tracked.

mod parse;

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::Value;
use szar_core::{
    BuildContext, ComponentInfo, ComponentKind, Dataset, DatasetConfig, DatasetInfo, Error, FilePath,
    Problems, Result, Sequence, SkeletonLayout,
};

use super::axes::Axes;
use super::labelling::{self, ClassFrom, Protocol};
use super::on_demand::OnDemand;
use super::recorded::SplitSource;
use super::walk::{self, Found, natural};
use super::{files, text};
use crate::layouts;
use crate::splits::{self, SplitConfig};

/// A sequence up to this many joints is laid out however few of them are found.
const SMALL: usize = 1 << 20;

/// What wrote the files.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum PoseSource {
    /// MediaPipe Pose, world landmarks.
    #[default]
    Mediapipe,
    /// OpenPose, key points in two dimensions.
    Openpose,
    /// OpenPose, key points in three dimensions.
    Openpose3d,
}

/// How a sequence lies on disk.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum PoseFiles {
    /// One file a sequence.
    #[default]
    Sequence,
    /// A folder a sequence, one file a frame.
    Frame,
}

/// Options of the `pose-json` dataset.
#[derive(Clone, Debug, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct PoseJsonConfig {
    /// Folder with the `.json` files, at any depth. No default.
    pub root: FilePath,
    /// What wrote the files. Default: `mediapipe`.
    pub source: PoseSource,
    /// How a sequence lies on disk. Default: `sequence`, one file each.
    pub files: PoseFiles,
    /// Skeleton layout of the key points. Default: `mediapipe33` or `openpose25`, as the source has them.
    pub layout: Option<String>,
    /// Persons at most, 1 to 8; further ones of a frame are left out. Default: 1.
    pub persons: usize,
    /// Least visibility or confidence of a joint, 0 to 1. Default: 0, so that hidden joints keep their estimate.
    pub min_confidence: f64,
    /// Metres in a unit of length of the files, above 0. Default: 1 for three dimensions; pixels need a value.
    pub metres_per_unit: Option<f64>,
    /// Axes of the files. Default: `camera`.
    pub axes: Axes,
    /// Frames per second. Default: 30.
    pub fps: f32,
    /// What tells the class of a sequence, by the name of its file or folder. Default: `folder`, the one it lies in.
    pub class_from: ClassFrom,
    /// Class list: a line a class, its label, or label, tab and name. Default: `classes.txt` in `root`, else the
    /// labels there are, in order.
    pub classes: Option<FilePath>,
    /// Which samples train and which test. Default: every fifth of a class tests.
    pub protocol: Protocol,
    /// Seen and unseen classes; the dataset's key in a split file is the folder's name. No default.
    pub split: SplitConfig,
}

impl Default for PoseJsonConfig {
    fn default() -> Self {
        Self {
            root: FilePath::default(),
            source: PoseSource::Mediapipe,
            files: PoseFiles::Sequence,
            layout: None,
            persons: 1,
            min_confidence: 0.0,
            metres_per_unit: None,
            axes: Axes::Camera,
            fps: 30.0,
            class_from: ClassFrom::Folder,
            classes: None,
            protocol: Protocol::default(),
            split: SplitConfig::default(),
        }
    }
}

#[typetag::serde(name = "pose-json")]
impl DatasetConfig for PoseJsonConfig {
    fn validate(&self, problems: &mut Problems) {
        files::check_root(self.root.as_ref(), problems);
        problems.scoped("split", |p| self.split.validate(p));
        if let Err(unknown) = self.skeleton() {
            problems.add("layout", unknown.to_string());
        }
        self.class_from.validate(problems);
        problems.scoped("protocol", |p| self.protocol.validate(p));
        labelling::check_fps(self.fps, problems);
        labelling::check_metres_of_key_points(
            self.metres_per_unit,
            self.source == PoseSource::Openpose,
            problems,
        );
        labelling::check_persons(self.persons, problems);
        labelling::check_confidence(self.min_confidence, problems);
    }

    fn layout(&self) -> Option<(Arc<SkeletonLayout>, i64)> {
        self.skeleton().ok().map(|l| (l, self.persons as i64))
    }

    fn build(&self, _: &BuildContext) -> Result<Box<dyn Dataset>> {
        Ok(Box::new(self.open()?))
    }
}

inventory::submit! {
    ComponentInfo::new::<PoseJsonConfig>(
        ComponentKind::Dataset,
        "pose-json",
        "Key points as MediaPipe or OpenPose write them to JSON files.",
        "",
    )
}

impl PoseJsonConfig {
    fn skeleton(&self) -> Result<Arc<SkeletonLayout>> {
        let own = match self.source {
            PoseSource::Mediapipe => "mediapipe33",
            PoseSource::Openpose | PoseSource::Openpose3d => "openpose25",
        };
        layouts::by_name(self.layout.as_deref().unwrap_or(own))
    }

    pub(crate) fn open(&self) -> Result<OnDemand> {
        let root: &Path = self.root.as_ref();
        let layout = self.skeleton()?;
        let (found, parts) = self.sequences(root)?;
        let labels = labelling::labels(&found, &self.class_from)?;
        let class_file = labelling::class_file(root, self.classes.as_ref());
        let (classes, samples) = labelling::samples(&found, &labels, class_file.as_deref(), &self.protocol)?;
        let name = labelling::dataset_name(root);
        let info = DatasetInfo {
            name: name.clone(),
            layout: Arc::clone(&layout),
            classes,
            persons: self.persons,
            synthetic: None,
        };
        let split = SplitSource {
            config: self.split.clone(),
            file: splits::nearest_file(root),
            dataset: name,
        };
        let options = self.clone();
        let read = Box::new(move |_: &Path, sample: usize| options.sequence(&layout, &parts[sample]));
        let paths = found.into_iter().map(|f| f.path).collect();
        OnDemand::new(info, samples, paths, split, read)
    }

    /// The sequences, and the files of each.
    fn sequences(&self, root: &Path) -> Result<(Vec<Found>, Vec<Vec<PathBuf>>)> {
        let mut files = walk::files(root, &["json"], "files `*.json`")?;
        files.retain(|f| f.name != "splits");
        let one = |f: &Found| vec![f.path.clone()];
        if self.files == PoseFiles::Sequence {
            let parts = files.iter().map(one).collect();
            return Ok((files, parts));
        }
        let mut folders: BTreeMap<String, Vec<Found>> = BTreeMap::new();
        for file in files {
            let Some((folder, _)) = file.name.rsplit_once('/') else {
                let why = "lies in no folder below `root`, expected a folder a sequence (`files: frame`)";
                return Err(Error::format(&file.path, None, why));
            };
            folders.entry(folder.to_owned()).or_default().push(file);
        }
        let (mut found, mut parts) = (Vec::new(), Vec::new());
        for (name, mut frames) in folders {
            frames.sort_by_cached_key(|f| natural(&f.name));
            let path = root.join(&name);
            found.push(Found { name, path });
            parts.push(frames.into_iter().map(|f| f.path).collect());
        }
        Ok((found, parts))
    }

    fn sequence(&self, layout: &SkeletonLayout, paths: &[PathBuf]) -> Result<Sequence> {
        let (mut joints, mut tracked) = (Vec::new(), 0);
        for path in paths {
            let content = text::read(path)?;
            let value: Value = serde_json::from_str(&content)
                .map_err(|e| Error::format(path, format!("{}:{}", e.line(), e.column()), e.to_string()))?;
            let bad = |(at, why): (usize, String)| {
                let at = (self.files == PoseFiles::Sequence).then(|| format!("frame {at}"));
                Error::format(path, at, why)
            };
            let frames = match self.files {
                PoseFiles::Sequence => parse::frames(&value).map_err(|why| Error::format(path, None, why))?,
                PoseFiles::Frame => std::slice::from_ref(&value),
            };
            for (at, frame) in frames.iter().enumerate() {
                let people = parse::people(frame, self.source, layout).map_err(|why| bad((at, why)))?;
                tracked += people.len() * layout.len();
                if joints.len() / 3 > SMALL && joints.len() / 3 / 64 > tracked {
                    return Err(bad((at, format!("only {tracked} joints are found up to here"))));
                }
                self.place(&people, layout.len(), &mut joints);
            }
        }
        Ok(Sequence {
            frames: joints.len() / (self.persons * layout.len() * 3).max(1),
            joints,
            persons: self.persons,
            fps: self.fps,
        })
    }

    /// Appends one frame in metres.
    fn place(&self, people: &[Vec<parse::Joint>], count: usize, joints: &mut Vec<f32>) {
        let metres = self.metres_per_unit.unwrap_or(1.0);
        for person in 0..self.persons {
            for joint in 0..count {
                let found = people.get(person).map(|p| p[joint]);
                let found = found.filter(|j| j.confidence > 0.0 && j.confidence >= self.min_confidence);
                let place = |j: parse::Joint| self.axes.turn(j.position).map(|v| (v * metres) as f32);
                joints.extend(found.map_or([0.0; 3], place));
            }
        }
    }
}

#[cfg(test)]
#[path = "tests.rs"]
mod tests;
