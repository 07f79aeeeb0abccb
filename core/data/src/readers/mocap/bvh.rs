//! `bvh`: a folder of BVH motion files.
//!
//! Any set of one hierarchy, such as Bandai-Namco-Research-Motiondataset (M. Kobayashi et al., arXiv:2306.08861:
//! `drop_root: true`, since its first node is a point on the ground, and `class_from: {regex: "_(?<class>[a-z-]+)_"}`).
//! Positions come from the joint angles by forward kinematics when a sequence is read; opening reads the hierarchies.
//!
//! The layout is the known one with the same joint names, else one derived from the names, else the one that
//! `layout_file` describes, which can also choose some of the joints.

use std::path::Path;

use rayon::prelude::*;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use szar_core::{
    BuildContext, ComponentInfo, ComponentKind, Dataset, DatasetConfig, DatasetInfo, Error, FilePath,
    Problems, Result, Sequence,
};

use super::super::axes::Axes;
use super::super::labelling::{self, ClassFrom, Protocol};
use super::super::on_demand::OnDemand;
use super::super::recorded::SplitSource;
use super::super::{files, text, walk};
use super::bvh_file::{self, Header};
use super::{check_same, layout_of};
use crate::layouts::mapping::Hierarchy;
use crate::splits::{self, SplitConfig};

/// Options of the `bvh` dataset.
#[derive(Clone, Debug, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct BvhConfig {
    /// Folder with the `.bvh` files, at any depth. No default.
    pub root: FilePath,
    /// What tells the class of a file. Default: `folder`.
    pub class_from: ClassFrom,
    /// Class list: a line a class, its label, or label, tab and name. Default: `classes.txt` in `root`, else the
    /// labels there are, in order.
    pub classes: Option<FilePath>,
    /// Which samples train and which test. Default: every fifth of a class tests.
    pub protocol: Protocol,
    /// Metres in a unit of length of the files, above 0. Default: 0.01, centimetres.
    pub metres_per_unit: f64,
    /// Axes of the files. Default: `y-up`.
    pub axes: Axes,
    /// Leave the first node out, where it is a point on the ground and not a joint. Default: no.
    pub drop_root: bool,
    /// Keep every so-manieth frame, at least 1. Default: 1, all.
    pub every: usize,
    /// Description of the skeleton (YAML or JSON), for joint names that do not tell the body parts. Default: none.
    pub layout_file: Option<FilePath>,
    /// Seen and unseen classes; the dataset's key in a split file is the folder's name. No default.
    pub split: SplitConfig,
}

impl Default for BvhConfig {
    fn default() -> Self {
        Self {
            root: FilePath::default(),
            class_from: ClassFrom::default(),
            classes: None,
            protocol: Protocol::default(),
            metres_per_unit: 0.01,
            axes: Axes::YUp,
            drop_root: false,
            every: 1,
            layout_file: None,
            split: SplitConfig::default(),
        }
    }
}

#[typetag::serde(name = "bvh")]
impl DatasetConfig for BvhConfig {
    fn validate(&self, problems: &mut Problems) {
        files::check_root(self.root.as_ref(), problems);
        problems.scoped("split", |p| self.split.validate(p));
        self.class_from.validate(problems);
        problems.scoped("protocol", |p| self.protocol.validate(p));
        labelling::check_metres(self.metres_per_unit, problems);
        problems.check(self.every >= 1, "every", || "must be at least 1, got 0".into());
    }

    fn build(&self, _: &BuildContext) -> Result<Box<dyn Dataset>> {
        Ok(Box::new(self.open()?))
    }
}

inventory::submit! {
    ComponentInfo::new::<BvhConfig>(
        ComponentKind::Dataset,
        "bvh",
        "A folder of BVH motion capture files of one hierarchy.",
        "",
    )
}

impl BvhConfig {
    pub(crate) fn open(&self) -> Result<OnDemand> {
        let root: &Path = self.root.as_ref();
        let found = walk::files(root, &["bvh"], "motion files `*.bvh`")?;
        let labels = labelling::labels(&found, &self.class_from)?;
        let class_file = labelling::class_file(root, self.classes.as_ref());
        let (classes, samples) = labelling::samples(&found, &labels, class_file.as_deref(), &self.protocol)?;
        let paths: Vec<_> = found.into_iter().map(|f| f.path).collect();
        let headers: Vec<Result<Header>> = paths.par_iter().map(|p| bvh_file::read_header(p)).collect();
        let mut source: Option<Hierarchy> = None;
        for (header, path) in headers.into_iter().zip(&paths) {
            let header = header?.hierarchy;
            match &source {
                Some(first) => check_same(path, &header, first, &paths[0])?,
                None => source = Some(header),
            }
        }
        let source = source.ok_or_else(|| Error::format(root, None, "holds no motion files `*.bvh`"))?;
        let kept = if self.drop_root {
            without_root(&paths[0], &source)?
        } else {
            source.clone()
        };
        let name = labelling::dataset_name(root);
        let description = self.layout_file.as_ref().map(AsRef::as_ref);
        let (layout, mut chosen) = layout_of(&name, &kept, description, &paths[0])?;
        for joint in &mut chosen {
            *joint += usize::from(self.drop_root);
        }
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
        let (options, first) = (self.clone(), paths[0].clone());
        let read = Box::new(move |path: &Path, _| {
            let content = text::read(path)?;
            let header = bvh_file::parse_header(path, &content)?;
            check_same(path, &header.hierarchy, &source, &first)?; // it may have changed since
            options.sequence(path, &content, &header, &chosen)
        });
        OnDemand::new(info, samples, paths, split, read)
    }

    fn sequence(&self, path: &Path, content: &str, header: &Header, chosen: &[usize]) -> Result<Sequence> {
        let every = self.every.max(1);
        let positions = bvh_file::positions(path, content, header, every)?;
        let all = header.hierarchy.names.len();
        let metres = |v: [f64; 3]| self.axes.turn(v).map(|v| (v * self.metres_per_unit) as f32);
        let frame = |frame: &[[f64; 3]]| chosen.iter().flat_map(|j| metres(frame[*j])).collect::<Vec<_>>();
        Ok(Sequence {
            joints: positions.chunks_exact(all).flat_map(frame).collect(),
            frames: positions.len() / all,
            persons: 1,
            fps: (1.0 / header.frame_time / every as f64) as f32,
        })
    }
}

/// The hierarchy below the only child of the root.
fn without_root(path: &Path, source: &Hierarchy) -> Result<Hierarchy> {
    let children = source.parents.iter().filter(|p| **p == Some(0)).count();
    if children != 1 {
        let why = format!(
            "`drop_root`: the root `{}` has {children} joints below it, expected one",
            source.names[0]
        );
        return Err(Error::format(path, None, why));
    }
    Ok(Hierarchy {
        names: source.names[1..].to_vec(),
        parents: source.parents[1..]
            .iter()
            .map(|p| p.and_then(|p| p.checked_sub(1)))
            .collect(),
    })
}

#[cfg(test)]
#[path = "bvh_tests.rs"]
mod tests;
