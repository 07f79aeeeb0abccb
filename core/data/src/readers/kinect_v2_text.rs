//! `kinect-v2-text`: plain text recordings of a Kinect v2, x y z a line and 25 lines a frame, as GTUAction3D has them.
//!
//! S. Yucer, Y. S. Akgul, "3D human action recognition with Siamese-LSTM based deep metric learning", 2018. Any other
//! set of that form can be read with it: a line has the x y z of one joint in metres (+y up, the camera at the origin
//! looking along +z), 25 lines in the order of the Kinect v2 (layout `ntu25`) are a frame, there is no header.
//!
//! GTUAction3D has one folder a class. Its own list of class names follows the folder names sorted as text (1 10 11
//! ... 2 3); a file `classes.txt` with lines such as `1<tab>open and close both arms` names them.

use std::path::Path;
use std::sync::Arc;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use szar_core::{
    BuildContext, ComponentInfo, ComponentKind, Dataset, DatasetConfig, DatasetInfo, Error, FilePath,
    Problems, Result, Sequence, SkeletonLayout,
};

use super::labelling::{self, ClassFrom, Protocol};
use super::on_demand::OnDemand;
use super::quality::Exclusion;
use super::recorded::SplitSource;
use super::{files, text, walk};
use crate::layouts;
use crate::splits::{self, SplitConfig};

const LAYOUT: &str = "ntu25";
const JOINTS: usize = 25;

/// Options of the `kinect-v2-text` dataset.
#[derive(Clone, Debug, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct KinectV2TextConfig {
    /// Folder with the text files, or with a folder of them for each class. No default.
    pub root: FilePath,
    /// What tells the class of a file. Default: `folder`.
    pub class_from: ClassFrom,
    /// Class list: a line a class, its label, or label, tab and name. Default: `classes.txt` in `root`, else the
    /// labels there are, in order.
    pub classes: Option<FilePath>,
    /// Which samples train and which test. Default: every fifth of a class tests.
    pub protocol: Protocol,
    /// Frames per second. Default: 30, the Kinect's.
    pub fps: f32,
    /// Seen and unseen classes; the dataset's key in a split file is the folder's name. No default.
    pub split: SplitConfig,
    /// Flaws that keep a sequence out; to find any, all files are read at the start. Default: none.
    pub exclude: Vec<Exclusion>,
}

impl Default for KinectV2TextConfig {
    fn default() -> Self {
        Self {
            root: FilePath::default(),
            class_from: ClassFrom::default(),
            classes: None,
            protocol: Protocol::default(),
            fps: 30.0,
            split: SplitConfig::default(),
            exclude: Vec::new(),
        }
    }
}

#[typetag::serde(name = "kinect-v2-text")]
impl DatasetConfig for KinectV2TextConfig {
    fn validate(&self, problems: &mut Problems) {
        files::check_root(self.root.as_ref(), problems);
        problems.scoped("split", |p| self.split.validate(p));
        self.class_from.validate(problems);
        problems.scoped("protocol", |p| self.protocol.validate(p));
        labelling::check_fps(self.fps, problems);
    }

    fn layout(&self) -> Option<(Arc<SkeletonLayout>, i64)> {
        layouts::by_name(LAYOUT).ok().map(|l| (l, 1))
    }

    fn build(&self, _: &BuildContext) -> Result<Box<dyn Dataset>> {
        Ok(Box::new(self.open()?))
    }
}

inventory::submit! {
    ComponentInfo::new::<KinectV2TextConfig>(
        ComponentKind::Dataset,
        "kinect-v2-text",
        "Text files of x y z a line and 25 Kinect v2 joints a frame, as GTUAction3D has them.",
        "Yucer, Akgul, 2018",
    )
}

impl KinectV2TextConfig {
    pub(crate) fn open(&self) -> Result<OnDemand> {
        let root: &Path = self.root.as_ref();
        let classes = labelling::class_file(root, self.classes.as_ref());
        let mut found = walk::files(root, &["txt"], "text files `*.txt`")?;
        found.retain(|f| Some(&f.path) != classes.as_ref());
        let labels = labelling::labels(&found, &self.class_from)?;
        let (classes, samples) = labelling::samples(&found, &labels, classes.as_deref(), &self.protocol)?;
        let name = labelling::dataset_name(root);
        let info = DatasetInfo {
            name: name.clone(),
            layout: layouts::by_name(LAYOUT)?,
            classes,
            persons: 1,
            synthetic: None,
        };
        let split = SplitSource {
            config: self.split.clone(),
            file: splits::nearest_file(root),
            dataset: name,
        };
        let fps = self.fps;
        let read = Box::new(move |path: &Path, _| parse(path, &text::read(path)?, fps));
        let paths = found.into_iter().map(|f| f.path).collect();
        OnDemand::new(info, samples, paths, split, read)?.excluding(&self.exclude)
    }
}

fn parse(path: &Path, content: &str, fps: f32) -> Result<Sequence> {
    let mut joints = Vec::new();
    for (at, line) in content.lines().enumerate().filter(|(_, l)| !l.trim().is_empty()) {
        joints.extend(text::numbers::<3>(path, at, line)?.map(|v| v as f32));
    }
    let lines = joints.len() / 3;
    if lines == 0 || lines % JOINTS != 0 {
        let why =
            format!("has {lines} lines of joints, expected a multiple of {JOINTS}; is the file cut short?");
        return Err(Error::format(path, None, why));
    }
    Ok(Sequence {
        joints,
        frames: lines / JOINTS,
        persons: 1,
        fps,
    })
}

#[cfg(test)]
#[path = "kinect_v2_text_tests.rs"]
mod tests;
