//! `ntu-rgbd`: NTU RGB+D 60 and 120 from their `.skeleton` files.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use szar_core::{
    BuildContext, ClassId, ClassSplit, ComponentInfo, ComponentKind, Dataset, DatasetConfig, DatasetInfo,
    Error, FilePath, Problems, Result, SampleInfo, Sequence, SkeletonLayout,
};

use super::actors::{Denoising, Tracks};
use super::name::Name;
use super::parse::{Raw, parse};
use super::protocol::Protocol;
use super::{bodies, files};
use crate::layouts;
use crate::readers::files::check_root;
use crate::readers::recorded::SplitSource;
use crate::splits::{self, SplitConfig, published};

const LAYOUT: &str = "ntu25";
/// Places in a frame that are looked at for energy; 2s-AGCN's.
const SLOTS: usize = 4;
/// Most bodies that the sensor tracks.
const MOST: usize = 6;

/// Which of the tracked bodies become the persons of a sequence.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum Bodies {
    /// CTR-GCN's two actors: bodies by tracking id, noise dropped, most motion first; frames without a body dropped.
    #[default]
    CtrGcn,
    /// 2s-AGCN's: of the first four places in the frame those with the largest deviation; all frames kept.
    Energy,
    /// ST-GCN's: the first places in the frame as they stand; all frames kept.
    First,
}

/// Options of the `ntu-rgbd` dataset.
#[derive(Clone, Debug, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct NtuRgbdConfig {
    /// Folder with the `SsssCcccPpppRrrrAaaa.skeleton` files, or with folders of them. No default.
    pub root: FilePath,
    /// Seen and unseen classes; the published ones are known by name (`55/5`). The dataset's key in a split file is
    /// `ntu60` or `ntu120`. No default.
    pub split: SplitConfig,
    /// Classes: 60 for NTU RGB+D 60 (files of further actions are passed over), 120 for NTU RGB+D 120. Default: 60.
    pub classes: usize,
    /// Which samples are for training: `xsub`, `xview` (60 only) or `xset` (120 only). Default (SynSE): `xsub`.
    pub protocol: Protocol,
    /// List of samples with missing skeletons, a name a line, which are never trained or tested on; the authors
    /// publish one of 302 and one of 535. Recordings without a single body are left out with or without it. Default:
    /// none.
    pub missing: Option<FilePath>,
    /// Which of the tracked bodies become persons. Preprocessor `ctrgcn` goes with `ctr-gcn`, `agcn` with `energy`,
    /// `stgcn` and `aimclr` with `first`. Default: `ctr-gcn`.
    pub bodies: Bodies,
    /// M, persons of a sequence: 1 to 2 for `ctr-gcn`, to 4 for `energy`, to 6 for `first`. Default (all of them): 2.
    pub max_body: usize,
}

impl Default for NtuRgbdConfig {
    fn default() -> Self {
        Self {
            root: FilePath::default(),
            split: SplitConfig::default(),
            classes: 60,
            protocol: Protocol::Xsub,
            missing: None,
            bodies: Bodies::CtrGcn,
            max_body: 2,
        }
    }
}

#[typetag::serde(name = "ntu-rgbd")]
impl DatasetConfig for NtuRgbdConfig {
    fn validate(&self, problems: &mut Problems) {
        check_root(self.root.as_ref(), problems);
        problems.scoped("split", |p| self.split.validate(p));
        self.check(problems);
    }

    fn layout(&self) -> Option<(Arc<SkeletonLayout>, i64)> {
        let persons = i64::try_from(self.max_body).ok()?;
        layouts::by_name(LAYOUT).ok().map(|layout| (layout, persons))
    }

    fn build(&self, _: &BuildContext) -> Result<Box<dyn Dataset>> {
        Ok(Box::new(self.open()?))
    }
}

inventory::submit! {
    ComponentInfo::new::<NtuRgbdConfig>(
        ComponentKind::Dataset,
        "ntu-rgbd",
        "NTU RGB+D 60 or 120 from the original skeleton files: Kinect v2, up to two actors.",
        "Shahroudy et al., CVPR 2016; Liu et al., TPAMI 2019",
    )
}

impl NtuRgbdConfig {
    fn most_bodies(&self) -> usize {
        match self.bodies {
            Bodies::CtrGcn => 2,
            Bodies::Energy => SLOTS,
            Bodies::First => MOST,
        }
    }

    /// All but folder and split, which is asked for only where samples are to be split.
    fn check(&self, problems: &mut Problems) {
        let classes = self.classes;
        problems.check(classes == 60 || classes == 120, "classes", || {
            format!("must be 60 or 120, got {classes}")
        });
        let fits = match self.protocol {
            Protocol::Xsub => true,
            Protocol::Xview => classes == 60,
            Protocol::Xset => classes == 120,
        };
        problems.check(fits, "protocol", || {
            format!("must be `xsub`, or `xview` for 60 classes and `xset` for 120; `classes` is {classes}")
        });
        let most = self.most_bodies();
        let persons = self.max_body;
        problems.check((1..=most).contains(&persons), "max_body", || {
            format!("must be between 1 and {most} for these `bodies`, got {persons}")
        });
    }

    fn open(&self) -> Result<NtuRgbd> {
        let mut problems = Problems::new();
        self.check(&mut problems);
        problems.into_result()?;
        let root: &Path = self.root.as_ref();
        let missing = match &self.missing {
            Some(list) => files::list(list.as_ref())?,
            None => BTreeSet::new(),
        };
        let dataset = format!("ntu{}", self.classes);
        let classes = published::classes(&dataset)?;
        let (mut samples, mut paths) = (Vec::new(), Vec::new());
        let mut further = 0;
        for (name, path) in files::find(root)? {
            if usize::from(name.action) <= self.classes {
                samples.push(self.sample(&name, &path, missing.contains(&name)));
                paths.push(path);
            } else if name.action <= 120 {
                further += 1;
            } else {
                let why = format!("is of action {}, expected 1 to 120", name.action);
                return Err(Error::format(&path, None, why));
            }
        }
        if samples.is_empty() {
            let why = format!(
                "holds {further} recordings of actions 61 to 120 and none of 1 to 60; for those set `classes: 120`"
            );
            return Err(Error::format(root, None, why));
        }
        let info = DatasetInfo {
            name: dataset.clone(),
            layout: layouts::by_name(LAYOUT)?,
            classes,
            persons: self.max_body,
            synthetic: None,
        };
        let split = SplitSource {
            config: self.split.clone(),
            file: splits::nearest_file(root),
            dataset,
        };
        Ok(NtuRgbd {
            info,
            samples,
            paths,
            bodies: self.bodies,
            split,
        })
    }

    fn sample(&self, name: &Name, path: &Path, missing: bool) -> SampleInfo {
        SampleInfo {
            name: path
                .file_stem()
                .unwrap_or_default()
                .to_string_lossy()
                .into_owned(),
            class: ClassId(i64::from(name.action) - 1),
            subject: Some(i64::from(name.subject)),
            role: self.protocol.role(name, self.classes),
            usable: !missing && !without_body(path),
        }
    }
}

/// A recording of more bytes has a body, unless it runs for minutes.
const EMPTY_BYTES: u64 = 1 << 15;

/// True for a recording in which nobody was ever tracked. What cannot be read is for [`Dataset::load`] to report.
fn without_body(path: &Path) -> bool {
    let small = std::fs::metadata(path).is_ok_and(|file| file.len() <= EMPTY_BYTES);
    let read = || parse(path, &files::read(path)?);
    small && read().is_ok_and(|raw| raw.bodies() == 0)
}

/// The opened folder; recordings are read when they are asked for.
struct NtuRgbd {
    info: DatasetInfo,
    samples: Vec<SampleInfo>,
    paths: Vec<PathBuf>,
    bodies: Bodies,
    split: SplitSource,
}

impl Dataset for NtuRgbd {
    fn info(&self) -> &DatasetInfo {
        &self.info
    }

    fn samples(&self) -> &[SampleInfo] {
        &self.samples
    }

    fn load(&self, sample: usize) -> Result<Sequence> {
        let Some(path) = self.paths.get(sample) else {
            let count = self.paths.len();
            return Err(Error::Input(format!(
                "sample number {sample} is not there, the dataset has {count}"
            )));
        };
        let raw = parse(path, &files::read(path)?)?;
        let persons = choose(&raw, self.bodies, self.info.persons);
        if !persons.anybody() {
            let why = format!(
                "has {} frames and no tracked body in any of them; put its name into the list `missing`",
                raw.frames()
            );
            return Err(Error::format(path, None, why));
        }
        Ok(persons.into_sequence())
    }

    fn split(&self) -> Result<ClassSplit> {
        let SplitSource {
            config,
            file,
            dataset,
        } = &self.split;
        config.resolve(file, dataset, &self.info.classes)
    }
}

fn choose(raw: &Raw, bodies: Bodies, persons: usize) -> bodies::Persons {
    match bodies {
        Bodies::CtrGcn => Tracks::new(raw).actors(&Denoising::default()).resized(persons),
        Bodies::Energy => bodies::by_energy(raw, SLOTS, persons),
        Bodies::First => bodies::first(raw, persons),
    }
}

#[cfg(test)]
#[path = "dataset_tests.rs"]
mod tests;
