//! `pyskl`: an annotation file of PYSKL or MMAction2, a pickle that is read as data.
//!
//! A dict with `split` (name of a part, then the names of its samples) and `annotations`, a list of
//!
//! | entry            | what it is                                                                        |
//! |------------------|-----------------------------------------------------------------------------------|
//! | `frame_dir`      | name of the sample                                                                |
//! | `label`          | number of its class, from 0                                                       |
//! | `total_frames`   | T                                                                                 |
//! | `keypoint`       | `[M, T, V, 3]` floats in metres, NTU's 25 joints; or `[M, T, V, 2]` in pixels, COCO's 17 |
//! | `keypoint_score` | `[M, T, V]` floats, 0 to 1, with key points in pixels                             |
//!
//! Nothing of the file is run: names that plain data and NumPy's arrays do not need are refused. A joint at the origin, or
//! whose score is 0 or below `min_confidence`, counts as not tracked.
//!
//! Source: kennymckormick/pyskl (`ntu60_3danno.pkl`, `ntu60_hrnet.pkl`).

mod file;
#[cfg(test)]
mod tests;

use std::path::Path;
use std::sync::Arc;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use szar_core::{
    BuildContext, ComponentInfo, ComponentKind, Dataset, DatasetConfig, DatasetInfo, Error, FilePath,
    Problems, Result, SampleInfo, SampleRole, Sequence, SkeletonLayout, checkpoint::PickledArray,
};

use self::file::Annotation;
use super::axes::Axes;
use super::features::classes;
use super::labelling;
use super::npy::items;
use super::on_demand::OnDemand;
use super::prepared::subject;
use super::recorded::SplitSource;
use crate::layouts;
use crate::splits::{self, SplitConfig};

/// What the key points are.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub enum KeyPoints {
    /// Metres, NTU RGB+D's 25 joints (`ntu60_3danno.pkl`).
    #[default]
    #[serde(rename = "3d")]
    Space,
    /// Pixels of an image, COCO's 17 (`ntu60_hrnet.pkl`).
    #[serde(rename = "2d")]
    Image,
}

/// Options of the `pyskl` dataset.
#[derive(Clone, Debug, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct PysklConfig {
    /// The `.pkl` file. No default.
    pub file: FilePath,
    /// What the key points are: `3d` in metres (default), or `2d` in pixels.
    pub keypoints: KeyPoints,
    /// Which samples train and which test, by the file's own lists: `<protocol>_train` and `<protocol>_val`. Default: `xsub`.
    pub protocol: String,
    /// The set, which is also its key in a split file: `ntu60`, `ntu120` or `pku51`, whose classes come with the program, or
    /// another one with `classes`. Default: `ntu60`.
    pub set: String,
    /// Class list: a name a line, class 0 first. Default: the published one of `set`.
    pub classes: Option<FilePath>,
    /// Seen and unseen classes; the published ones are known by name (`55/5`). No default.
    pub split: SplitConfig,
    /// Persons at most, 1 to 8; further ones are left out. Default: 2.
    pub persons: usize,
    /// Least score of a joint, 0 to 1; of key points in pixels. Default: 0.
    pub min_confidence: f64,
    /// Metres in a unit of length of the file, above 0. Default: 1 for three dimensions; pixels need a value.
    pub metres_per_unit: Option<f64>,
    /// Axes of the file. Default: `y-up` for three dimensions, `camera` for pixels.
    pub axes: Option<Axes>,
    /// Frames per second. Default: 30.
    pub fps: f32,
}

impl Default for PysklConfig {
    fn default() -> Self {
        Self {
            file: FilePath::default(),
            keypoints: KeyPoints::Space,
            protocol: "xsub".into(),
            set: "ntu60".into(),
            classes: None,
            split: SplitConfig::default(),
            persons: 2,
            min_confidence: 0.0,
            metres_per_unit: None,
            axes: None,
            fps: 30.0,
        }
    }
}

#[typetag::serde(name = "pyskl")]
impl DatasetConfig for PysklConfig {
    fn validate(&self, problems: &mut Problems) {
        problems.check(!self.file.is_empty(), "file", || {
            "must name the annotation file".into()
        });
        classes::validate(&self.set, self.classes.as_ref(), &self.split, problems);
        problems.check(!self.protocol.is_empty(), "protocol", || {
            "must name a protocol such as `xsub`".into()
        });
        labelling::check_metres_of_key_points(
            self.metres_per_unit,
            self.keypoints == KeyPoints::Image,
            problems,
        );
        labelling::check_persons(self.persons, problems);
        labelling::check_confidence(self.min_confidence, problems);
        labelling::check_fps(self.fps, problems);
    }

    fn layout(&self) -> Option<(Arc<SkeletonLayout>, i64)> {
        self.skeleton().ok().map(|layout| (layout, self.persons as i64))
    }

    fn build(&self, _: &BuildContext) -> Result<Box<dyn Dataset>> {
        Ok(Box::new(self.open()?))
    }
}

inventory::submit! {
    ComponentInfo::new::<PysklConfig>(
        ComponentKind::Dataset,
        "pyskl",
        "An annotation file of PYSKL or MMAction2, in three dimensions or in pixels.",
        "Duan et al., PYSKL, ACM MM 2022",
    )
}

impl PysklConfig {
    fn skeleton(&self) -> Result<Arc<SkeletonLayout>> {
        layouts::by_name(match self.keypoints {
            KeyPoints::Space => "ntu25",
            KeyPoints::Image => "coco17",
        })
    }

    fn axes(&self) -> Axes {
        self.axes.unwrap_or(match self.keypoints {
            KeyPoints::Space => Axes::YUp,
            KeyPoints::Image => Axes::Camera,
        })
    }

    fn open(&self) -> Result<OnDemand> {
        let path: &Path = self.file.as_ref();
        let layout = self.skeleton()?;
        let folder = path.parent().unwrap_or(path);
        let classes = classes::list(&self.set, self.classes.as_ref())?;
        let annotations = file::read(path, self.keypoints, &layout, &classes)?;
        let samples = self.samples(path, &annotations)?;
        let info = DatasetInfo {
            name: self.set.clone(),
            layout: Arc::clone(&layout),
            classes,
            persons: self.persons,
            synthetic: None,
        };
        let split = SplitSource {
            config: self.split.clone(),
            file: splits::nearest_file(folder),
            dataset: self.set.clone(),
        };
        let paths = vec![path.to_owned(); samples.len()];
        let (options, list) = (self.clone(), annotations.list);
        let read = Box::new(move |path: &Path, sample: usize| options.sequence(path, &list[sample]));
        OnDemand::new(info, samples, paths, split, read)
    }
}

impl PysklConfig {
    /// Names, classes and parts; samples that neither part lists belong to none.
    fn samples(&self, path: &Path, file: &file::Annotations) -> Result<Vec<SampleInfo>> {
        let of = |part: &str| -> Result<std::collections::HashSet<&str>> {
            let wanted = format!("{}_{part}", self.protocol);
            let found = file.splits.iter().find(|(name, _)| *name == wanted);
            let known = || file.splits.iter().map(|(name, _)| name.clone());
            let (_, names) = found.ok_or_else(|| {
                Error::unknown("part", &wanted, known()).context(format!("{}, `split`", path.display()))
            })?;
            Ok(names.iter().map(String::as_str).collect())
        };
        let (train, test) = (of("train")?, of("val")?);
        let sample = |annotation: &Annotation| {
            let name = annotation.name.as_str();
            let role = match (train.contains(name), test.contains(name)) {
                (true, false) => SampleRole::Train,
                (false, true) => SampleRole::Test,
                (false, false) => SampleRole::Outside,
                (true, true) => {
                    let why = format!(
                        "`{name}` is in the training and in the test part of `{}`",
                        self.protocol
                    );
                    return Err(Error::format(path, Some("`split`".into()), why));
                }
            };
            Ok(SampleInfo {
                name: name.to_owned(),
                class: annotation.class,
                subject: subject(name),
                role,
                usable: true,
            })
        };
        file.list.iter().map(sample).collect()
    }

    fn sequence(&self, path: &Path, annotation: &Annotation) -> Result<Sequence> {
        let [persons, frames, joints] = annotation.size;
        let places = floats(&annotation.keypoint);
        let scores = annotation.score.as_ref().map(floats);
        let axes = annotation.keypoint.shape[3];
        let metres = self.metres_per_unit.unwrap_or(1.0);
        let mut out = Vec::with_capacity(frames * self.persons * joints * 3);
        for frame in 0..frames {
            for person in 0..self.persons {
                for joint in 0..joints {
                    let at = (person * frames + frame) * joints + joint;
                    let there = person < persons;
                    let score = scores.as_ref().filter(|_| there).map_or(1.0, |s| s[at]);
                    let tracked = there && score > 0.0 && score >= self.min_confidence;
                    let mut place = [0.0; 3];
                    if tracked {
                        place[..axes].copy_from_slice(&places[at * axes..(at + 1) * axes]);
                    }
                    let turned = self.axes().turn(place).map(|v| (v * metres) as f32);
                    // No −0 for what is not tracked.
                    out.extend(turned.map(|v| if v == 0.0 { 0.0 } else { v }));
                }
            }
        }
        if out.iter().all(|v| *v == 0.0) {
            let place = format!("annotation `{}`", annotation.name);
            return Err(Error::format(
                path,
                Some(place),
                "is zero throughout: nobody was tracked",
            ));
        }
        Ok(Sequence {
            joints: out,
            frames,
            persons: self.persons,
            fps: self.fps,
        })
    }
}

/// The numbers of an array of floats, which [`file::read`] has checked.
fn floats(array: &PickledArray) -> Vec<f64> {
    match &*array.kind {
        "f2" => items(&array.bytes, |b| half(u16::from_le_bytes(b))),
        "f4" => items(&array.bytes, |b| f64::from(f32::from_le_bytes(b))),
        _ => items(&array.bytes, f64::from_le_bytes),
    }
}

/// A 16-bit float.
fn half(bits: u16) -> f64 {
    let (sign, exponent, fraction) = (bits >> 15, i32::from(bits >> 10 & 0x1f), f64::from(bits & 0x3ff));
    let size = match exponent {
        0 => fraction * 2f64.powi(-24),
        31 if fraction == 0.0 => f64::INFINITY,
        31 => f64::NAN,
        _ => (1.0 + fraction / 1024.0) * 2f64.powi(exponent - 15),
    };
    if sign == 1 { -size } else { size }
}
