//! Reads a store.

use std::fs::{self, File};
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use szar_core::{
    BuildContext, ClassId, ClassList, ClassSplit, ComponentInfo, ComponentKind, Dataset, DatasetConfig,
    DatasetInfo, Error, FilePath, Problems, Result, SampleInfo, Sequence, SkeletonLayout,
};
use xxhash_rust::xxh3::xxh3_64;

use super::index::{COLUMNS, Index, Row, check_format, checksum};
use crate::readers::files;
use crate::splits::{self, SplitConfig};

/// Most persons of a sequence, since zeros are made for those who are not there.
const MAX_PERSONS: usize = 64;

/// Options of the `skeleton-store` dataset.
#[derive(Clone, Debug, Default, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct SkeletonStoreConfig {
    /// Folder that `szar data import` wrote. No default.
    pub root: FilePath,
    /// Seen and unseen classes; the dataset's key in a split file is the name it had when it was imported. No default.
    pub split: SplitConfig,
}

#[typetag::serde(name = "skeleton-store")]
impl DatasetConfig for SkeletonStoreConfig {
    fn validate(&self, problems: &mut Problems) {
        files::check_root(self.root.as_ref(), problems);
        problems.scoped("split", |p| self.split.validate(p));
    }

    fn build(&self, _: &BuildContext) -> Result<Box<dyn Dataset>> {
        Ok(Box::new(Stored::open(self.root.as_ref(), self.split.clone())?))
    }
}

inventory::submit! {
    ComponentInfo::new::<SkeletonStoreConfig>(
        ComponentKind::Dataset,
        "skeleton-store",
        "A store that `szar data import` wrote from any dataset: opened at once, read sequence by sequence.",
        "",
    )
}

/// An opened store.
#[derive(Debug)]
pub struct Stored {
    info: DatasetInfo,
    samples: Vec<SampleInfo>,
    rows: Vec<Row>,
    fps: Vec<f32>,
    joints: File,
    root: PathBuf,
    split: SplitConfig,
}

impl Stored {
    /// Opens the store in a folder; no sequence is read.
    ///
    /// # Errors
    /// When a file is missing, damaged, or another version wrote it.
    pub fn open(root: &Path, split: SplitConfig) -> Result<Self> {
        let path = root.join("index.json");
        let text = fs::read_to_string(&path).map_err(|e| Error::read(&path, e))?;
        let index = check_format(&path, &text)?;
        index
            .layout
            .validate()
            .map_err(|e| e.context(path.display().to_string()))?;
        if !(1..=MAX_PERSONS).contains(&index.persons) || index.layout.is_empty() {
            let why = format!(
                "has {} persons of {} joints, expected 1 to {MAX_PERSONS} of at least one",
                index.persons,
                index.layout.len()
            );
            return Err(Error::format(&path, None, why));
        }
        let [samples, fps, names] = ["samples.i64", "fps.f32", "names.txt"];
        let samples = listed(root, samples, &index.checksums[0], index.samples * COLUMNS * 8)?;
        let fps = listed(root, fps, &index.checksums[1], index.samples * 4)?;
        let names = listed(root, names, &index.checksums[2], usize::MAX)?;
        let classes = index
            .classes
            .iter()
            .map(|(id, name)| (ClassId(*id), name.clone()));
        let classes = ClassList::new(classes)?;
        let rows = rows(root, &index, &samples)?;
        let joints = whole(&root.join("joints.f32"), index.values)?;
        Ok(Self {
            samples: infos(root, &rows, &names, &classes)?,
            rows,
            fps: bytemuck::allocation::pod_collect_to_vec(&fps),
            joints,
            info: DatasetInfo {
                name: index.name,
                layout: Arc::new(index.layout),
                classes,
                persons: index.persons,
                synthetic: index.synthetic,
            },
            root: root.to_owned(),
            split,
        })
    }

    fn layout(&self) -> &SkeletonLayout {
        &self.info.layout
    }
}

/// A small file, whole, if it is as long and has the checksum that the index says.
fn listed(root: &Path, name: &str, sum: &str, length: usize) -> Result<Vec<u8>> {
    let path = root.join(name);
    let bytes = fs::read(&path).map_err(|e| Error::read(&path, e))?;
    if length != usize::MAX && bytes.len() != length {
        let why = format!("has {} bytes, expected {length}", bytes.len());
        return Err(Error::format(&path, None, why));
    }
    if checksum(&bytes) != sum {
        let why =
            "the checksum differs from that of `index.json`: the file was damaged; import the data again";
        return Err(Error::format(&path, None, why));
    }
    Ok(bytes)
}

fn rows(root: &Path, index: &Index, bytes: &[u8]) -> Result<Vec<Row>> {
    let path = root.join("samples.i64");
    let numbers: Vec<i64> = bytemuck::allocation::pod_collect_to_vec(bytes);
    let (chunks, _) = numbers.as_chunks::<COLUMNS>();
    let row = |(i, numbers): (usize, &[i64; COLUMNS])| {
        let row = Row::from_numbers(numbers).filter(|row| {
            let end = row
                .values(index.layout.len())
                .and_then(|n| n.checked_add(row.start));
            let inside = end.is_some_and(|end| end as u64 <= index.values);
            inside && row.frames > 0 && (1..=index.persons).contains(&row.persons)
        });
        row.ok_or_else(|| Error::format(&path, format!("row {i}"), "is no sequence of this store"))
    };
    chunks.iter().enumerate().map(row).collect()
}

fn infos(root: &Path, rows: &[Row], names: &[u8], classes: &ClassList) -> Result<Vec<SampleInfo>> {
    let path = root.join("names.txt");
    let names = std::str::from_utf8(names)
        .map_err(|e| Error::format(&path, format!("byte {}", e.valid_up_to()), "is not UTF-8"))?;
    let names: Vec<&str> = names.lines().collect();
    if names.len() != rows.len() {
        let why = format!("has {} lines, expected {}", names.len(), rows.len());
        return Err(Error::format(&path, None, why));
    }
    let info = |(row, name): (&Row, &str)| {
        if classes.name(row.class).is_none() {
            let why = format!("is of class {}, which `index.json` does not list", row.class);
            return Err(Error::format(&path, format!("sequence `{name}`"), why));
        }
        Ok(SampleInfo {
            name: name.to_owned(),
            class: row.class,
            subject: row.subject,
            role: row.role,
            usable: row.usable,
        })
    };
    rows.iter().zip(names).map(info).collect()
}

/// The file of all values, if it is as long as the index says.
fn whole(path: &Path, values: u64) -> Result<File> {
    let file = File::open(path).map_err(|e| Error::read(path, e))?;
    let length = file.metadata().map_err(|e| Error::read(path, e))?.len();
    if values.checked_mul(4) != Some(length) {
        let why = format!("has {length} bytes, expected 4 for each of {values} numbers");
        return Err(Error::format(path, None, why));
    }
    Ok(file)
}

impl Dataset for Stored {
    fn info(&self) -> &DatasetInfo {
        &self.info
    }

    fn samples(&self) -> &[SampleInfo] {
        &self.samples
    }

    fn load(&self, sample: usize) -> Result<Sequence> {
        let Some(row) = self.rows.get(sample) else {
            let count = self.rows.len();
            return Err(Error::Input(format!(
                "sample number {sample} is not there, the dataset has {count}"
            )));
        };
        let path = || self.root.join("joints.f32");
        let mut joints = vec![0.0; row.values(self.layout().len()).unwrap_or(0)];
        let bytes = bytemuck::cast_slice_mut::<f32, u8>(&mut joints);
        let read = self.joints.read_exact_at(bytes, row.start as u64 * 4);
        read.map_err(|e| Error::read(path(), e))?;
        if xxh3_64(bytes) != row.checksum {
            let place = format!("sequence `{}`", self.samples[sample].name);
            let why = "the checksum differs: the file was damaged; import the data again";
            return Err(Error::format(path(), place, why));
        }
        let persons = self.info.persons;
        if row.persons < persons {
            joints = widened(&joints, row, persons);
        }
        Ok(Sequence {
            joints,
            frames: row.frames,
            persons,
            fps: self.fps[sample],
        })
    }

    fn split(&self) -> Result<ClassSplit> {
        let file = splits::nearest_file(&self.root);
        self.split.resolve(&file, &self.info.name, &self.info.classes)
    }
}

/// `[T, M', V, 3]` as `[T, M, V, 3]`, zeros for the persons who are not there.
fn widened(joints: &[f32], row: &Row, persons: usize) -> Vec<f32> {
    let own = joints.len() / row.frames;
    let width = own / row.persons * persons;
    let mut out = vec![0.0; row.frames * width];
    for (frame, here) in out.chunks_exact_mut(width).zip(joints.chunks_exact(own)) {
        frame[..own].copy_from_slice(here);
    }
    out
}
