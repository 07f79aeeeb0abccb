//! `asf-amc`: motion capture in Acclaim's format, such as HDM05 and the CMU database.
//!
//! M. Müller et al., "Documentation: Mocap database HDM05", Universität Bonn, CG-2007-2, 2007. A skeleton `.asf` an
//! actor, a motion `.amc` a sequence, at 120 Hz. A motion belongs to the skeleton whose name its own starts with
//! (`HDM_bd.asf`, `HDM_bd_squat1Reps_003_120.amc`), in its folder or one above; else to the only one there.
//!
//! The joints are the root and the far end of every bone; lengths of bones may differ between actors, the hierarchy
//! may not. Positions come from the angles when a sequence is read; opening reads the skeletons alone.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use szar_core::{
    BuildContext, ComponentInfo, ComponentKind, Dataset, DatasetConfig, DatasetInfo, Error, FilePath,
    Problems, Result, Sequence,
};

use super::super::files;
use super::super::labelling::{self, ClassFrom, Protocol};
use super::super::on_demand::OnDemand;
use super::super::recorded::SplitSource;
use super::super::walk::{self, Found};
use super::asf::{self, Skeleton};
use super::{amc, check_same, layout_of};
use crate::splits::{self, SplitConfig};

/// Names of HDM05's cut motions: actor, class, number, frame rate.
const HDM05: &str = r"(?:^|/)HDM_(?<subject>[a-z]+)_(?<class>\w+)_[0-9]+_[0-9]+$";

/// Options of the `asf-amc` dataset.
#[derive(Clone, Debug, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct AsfAmcConfig {
    /// Folder with the `.asf` and `.amc` files, at any depth. No default.
    pub root: FilePath,
    /// What tells the class of a motion. Default: the names of HDM05's cut motions, `HDM_<actor>_<class>_...`.
    pub class_from: ClassFrom,
    /// Class list: a line a class, its label, or label, tab and name. Default: `classes.txt` in `root`, else the
    /// labels there are, in order.
    pub classes: Option<FilePath>,
    /// Which samples train and which test; actors are subjects from 1 in the order of their names. Default: every
    /// fifth of a class tests.
    pub protocol: Protocol,
    /// Frames per second of the files. Default: 120, HDM05's and CMU's.
    pub fps: f32,
    /// Keep every so-manieth frame, at least 1. Default (ours): 4, which gives 30 a second.
    pub every: usize,
    /// Description of the skeleton (YAML or JSON), for bone names that do not tell the body parts. Default: none.
    pub layout_file: Option<FilePath>,
    /// Seen and unseen classes; the dataset's key in a split file is the folder's name. No default.
    pub split: SplitConfig,
}

impl Default for AsfAmcConfig {
    fn default() -> Self {
        Self {
            root: FilePath::default(),
            class_from: ClassFrom::Regex(HDM05.into()),
            classes: None,
            protocol: Protocol::default(),
            fps: 120.0,
            every: 4,
            layout_file: None,
            split: SplitConfig::default(),
        }
    }
}

#[typetag::serde(name = "asf-amc")]
impl DatasetConfig for AsfAmcConfig {
    fn validate(&self, problems: &mut Problems) {
        files::check_root(self.root.as_ref(), problems);
        problems.scoped("split", |p| self.split.validate(p));
        self.class_from.validate(problems);
        problems.scoped("protocol", |p| self.protocol.validate(p));
        labelling::check_fps(self.fps, problems);
        problems.check(self.every >= 1, "every", || "must be at least 1, got 0".into());
    }

    fn build(&self, _: &BuildContext) -> Result<Box<dyn Dataset>> {
        Ok(Box::new(self.open()?))
    }
}

inventory::submit! {
    ComponentInfo::new::<AsfAmcConfig>(
        ComponentKind::Dataset,
        "asf-amc",
        "Motion capture of ASF skeletons and AMC motions, such as HDM05.",
        "Müller et al., CG-2007-2, Universität Bonn",
    )
}

impl AsfAmcConfig {
    pub(crate) fn open(&self) -> Result<OnDemand> {
        let root: &Path = self.root.as_ref();
        let found = walk::files(root, &["amc"], "motion files `*.amc`")?;
        let actors = walk::files(root, &["asf"], "skeleton files `*.asf`")?;
        let labels = labelling::labels(&found, &self.class_from)?;
        let class_file = labelling::class_file(root, self.classes.as_ref());
        let (classes, samples) = labelling::samples(&found, &labels, class_file.as_deref(), &self.protocol)?;
        let of: Vec<usize> = found.iter().map(|f| actor(f, &actors)).collect::<Result<_>>()?;
        let skeletons = skeletons(&actors, &of)?;
        let name = labelling::dataset_name(root);
        let description = self.layout_file.as_ref().map(AsRef::as_ref);
        let (first_path, first) = skeletons
            .values()
            .next()
            .ok_or_else(|| Error::format(root, None, "holds no motion"))?;
        let (layout, chosen) = layout_of(&name, &first.hierarchy, description, first_path)?;
        let info = DatasetInfo {
            name: name.clone(),
            layout,
            classes,
            persons: 1,
            synthetic: None,
        };
        let split = SplitSource {
            config: self.split.clone(),
            file: splits::nearest_file(root),
            dataset: name,
        };
        let of: Vec<Arc<Skeleton>> = of
            .iter()
            .filter_map(|i| skeletons.get(i))
            .map(|(_, s)| Arc::clone(s))
            .collect();
        let (every, fps) = (self.every.max(1), self.fps);
        let read = Box::new(move |path: &Path, sample: usize| {
            let bytes = std::fs::read(path).map_err(|e| Error::read(path, e))?;
            let positions = amc::positions(path, &bytes, &of[sample], every)?;
            let all = of[sample].hierarchy.names.len();
            let frame = |frame: &[[f64; 3]]| {
                chosen
                    .iter()
                    .flat_map(|j| frame[*j].map(|v| v as f32))
                    .collect::<Vec<_>>()
            };
            Ok(Sequence {
                joints: positions.chunks_exact(all).flat_map(frame).collect(),
                frames: positions.len() / all,
                persons: 1,
                fps: fps / every as f32,
            })
        });
        let paths = found.into_iter().map(|f| f.path).collect();
        OnDemand::new(info, samples, paths, split, read)
    }
}

/// Skeletons by number, with their files.
type Skeletons = BTreeMap<usize, (PathBuf, Arc<Skeleton>)>;

/// Those of the actors that move, all of one hierarchy.
fn skeletons(actors: &[Found], of: &[usize]) -> Result<Skeletons> {
    let mut skeletons = Skeletons::new();
    for &number in of {
        if skeletons.contains_key(&number) {
            continue;
        }
        let path = &actors[number].path;
        let bytes = std::fs::read(path).map_err(|e| Error::read(path, e))?;
        let skeleton = asf::parse(path, &bytes)?;
        if let Some((first_path, first)) = skeletons.values().next() {
            check_same(path, &skeleton.hierarchy, &first.hierarchy, first_path)?;
        }
        skeletons.insert(number, (path.clone(), Arc::new(skeleton)));
    }
    Ok(skeletons)
}

/// Number of the skeleton that a motion belongs to.
fn actor(motion: &Found, actors: &[Found]) -> Result<usize> {
    let (folder, stem) = parts(&motion.name);
    let within =
        |above: &str| above.is_empty() || folder == above || folder.starts_with(&format!("{above}/"));
    let near = actors
        .iter()
        .enumerate()
        .filter(|(_, a)| within(parts(&a.name).0));
    let starts = |name: &str| {
        let rest = stem.strip_prefix(name);
        rest.is_some_and(|r| !r.starts_with(|c: char| c.is_ascii_alphanumeric()))
    };
    let depth = |(_, a): &(usize, &Found)| (parts(&a.name).0.len(), parts(&a.name).1.len());
    let named = near
        .clone()
        .filter(|(_, a)| starts(parts(&a.name).1))
        .max_by_key(depth);
    if let Some((number, _)) = named {
        return Ok(number);
    }
    let nearest = near.clone().map(|(_, a)| parts(&a.name).0.len()).max();
    let mut only = near.filter(|(_, a)| Some(parts(&a.name).0.len()) == nearest);
    match (only.next(), only.next()) {
        (Some((number, _)), None) => Ok(number),
        _ => {
            let why = "has no skeleton: expected an `.asf` file in its folder, or one above, whose name its own starts \
                       with, or only one there";
            Err(Error::format(&motion.path, None, why))
        }
    }
}

/// Folder and file of a name.
fn parts(name: &str) -> (&str, &str) {
    name.rsplit_once('/').unwrap_or(("", name))
}

#[cfg(test)]
#[path = "asf_amc_tests.rs"]
mod tests;
