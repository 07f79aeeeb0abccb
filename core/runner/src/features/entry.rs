//! A finished entry of the store: one folder with an index and plain arrays, rows one after the other, little endian.
//!
//! | file              | shape and kind              | what it holds                                              |
//! |-------------------|-----------------------------|------------------------------------------------------------|
//! | `index.json`      |                             | form, what made it, checksums; written last                |
//! | `pooled.f32`      | `[n, N]` f32                | features averaged over frames and joints                   |
//! | `descriptors.f32` | `[n, 8, N]` f32             | the eight pooled descriptors, where the map has the joints |
//! | `logits.f32`      | `[n, S]` f32                | logits over seen classes, from encoders that classify      |
//! | `map.f32`, `.f16` | `[n, N, T', V']` f32 or f16 | the feature map, when a run wanted it                      |

use std::collections::BTreeMap;
use std::fs;
use std::io::Read as _;
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};
use szar_core::config::StoredPrecision;
use szar_core::{EncoderSpec, Error, FeatureMap, Granularity, Result, SkeletonLayout};
use tch::{Device, Kind, Tensor};
use xxhash_rust::xxh3::xxh3_64;

use super::{BATCH, Features};

/// Version of the files' form; entries of another are neither read nor touched.
pub(super) const FORMAT: u32 = 1;

/// What an entry holds.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Form {
    /// n.
    pub rows: usize,
    /// Of the encoder's output.
    pub features: EncoderSpec,
    /// Numbers of the map; `None` where pooled features were all that was wanted.
    pub map: Option<StoredPrecision>,
    /// Are the eight descriptors there?
    pub descriptors: bool,
    /// S, where the encoder gives logits.
    pub seen_classes: Option<i64>,
    /// What the features are of, for whoever reads the index.
    pub about: BTreeMap<String, String>,
}

/// What `index.json` says.
#[derive(Debug, Serialize, Deserialize)]
pub(super) struct Index {
    pub format: u32,
    pub form: Form,
    /// Rows that each checksum is of.
    pub batch: usize,
    /// XXH3 (64 bits, hexadecimal) of every batch of rows, by file.
    pub checksums: BTreeMap<String, Vec<String>>,
}

/// One file of numbers.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Array {
    pub file: &'static str,
    /// Of one row.
    pub size: Vec<i64>,
    pub kind: Kind,
}

impl Array {
    /// Bytes of one row.
    pub fn stride(&self) -> usize {
        self.size.iter().product::<i64>() as usize * self.kind.elt_size_in_bytes()
    }
}

impl Form {
    /// For features that are to be kept; the number of logits is learned from the first batch.
    pub fn new(
        rows: usize,
        features: EncoderSpec,
        map: Option<StoredPrecision>,
        layout: &SkeletonLayout,
        about: BTreeMap<String, String>,
    ) -> Self {
        let named = |g: &Granularity| layout.parts.iter().any(|p| p.name == g.as_str());
        let joints = features.joints == layout.len() as i64 && features.frames * features.joints > 1;
        Self {
            rows,
            features,
            map,
            descriptors: joints && Granularity::PURLS_ORDER[..4].iter().all(named),
            seen_classes: None,
            about,
        }
    }

    /// Its files.
    pub(super) fn arrays(&self) -> Vec<Array> {
        let EncoderSpec {
            channels,
            frames,
            joints,
            ..
        } = self.features;
        let float = |file, size: &[i64]| Array {
            file,
            size: size.to_vec(),
            kind: Kind::Float,
        };
        let mut arrays = vec![float("pooled.f32", &[channels])];
        if self.descriptors {
            arrays.push(float("descriptors.f32", &[8, channels]));
        }
        arrays.extend(self.seen_classes.map(|s| float("logits.f32", &[s])));
        let map = [channels, frames, joints];
        arrays.extend(self.map.map(|precision| match precision {
            StoredPrecision::F32 => float("map.f32", &map),
            StoredPrecision::F16 => Array {
                file: "map.f16",
                size: map.to_vec(),
                kind: Kind::Half,
            },
        }));
        arrays
    }

    /// Is everything here that `wanted` wants?
    fn serves(&self, wanted: &Self) -> bool {
        self.rows == wanted.rows
            && self.features == wanted.features
            && (self.descriptors || !wanted.descriptors)
            && (wanted.map.is_none() || self.map == wanted.map)
    }
}

/// How much of the features a run wants.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Wanted {
    /// Their mean over frames and joints.
    Pooled,
    /// That, and the eight descriptors.
    Descriptors,
    /// The whole map.
    Map,
}

/// Why an entry is not used.
#[derive(Debug)]
pub(super) enum Unfit {
    /// It is not there, or lacks what is wanted.
    Absent,
    /// It is there and damaged.
    Damaged(Error),
}

/// Reads what is wanted of the entry in a folder, if it is of this form; every number is checked.
pub(super) fn open(
    folder: &Path,
    form: &Form,
    wanted: Wanted,
    device: Device,
) -> std::result::Result<Features, Unfit> {
    let index = index(folder, form)?;
    read(folder, &index, wanted, device).map_err(Unfit::Damaged)
}

/// Checks every number of the entry in a folder, if it is of this form.
pub(super) fn check(folder: &Path, form: &Form) -> std::result::Result<(), Unfit> {
    let index = index(folder, form)?;
    let arrays = index.form.arrays();
    arrays
        .iter()
        .try_for_each(|array| verify(folder, array, &index))
        .map_err(Unfit::Damaged)
}

/// The index of the entry in a folder, if it is of this form.
fn index(folder: &Path, form: &Form) -> std::result::Result<Index, Unfit> {
    let path = folder.join("index.json");
    let text = match fs::read_to_string(&path) {
        Ok(text) => text,
        Err(e) if e.kind() == std::io::ErrorKind::NotFound => return Err(Unfit::Absent),
        Err(e) => return Err(Unfit::Damaged(Error::read(&path, e))),
    };
    let index: Index = serde_json::from_str(&text)
        .map_err(|e| Unfit::Damaged(Error::format(&path, format!("line {}", e.line()), e.to_string())))?;
    index.form.serves(form).then_some(index).ok_or(Unfit::Absent)
}

fn read(folder: &Path, index: &Index, wanted: Wanted, device: Device) -> Result<Features> {
    let arrays = index.form.arrays();
    let array = |stem: &str| arrays.iter().find(|a| a.file.starts_with(stem));
    let load = |array: &Array| load(folder, array, index).map(|t| t.to_device(device));
    let mut map = match array("map.").filter(|_| wanted == Wanted::Map) {
        Some(array) => FeatureMap::new(load(array)?.to_kind(Kind::Float))?,
        None => FeatureMap::from_pooled(&array("pooled.").map_or_else(|| Err(missing(folder)), load)?)?,
    };
    if let Some(array) = array("descriptors.").filter(|_| wanted >= Wanted::Descriptors) {
        map = map.with_descriptors(load(array)?)?;
    }
    Ok(Features {
        map,
        seen_logits: array("logits.").map(load).transpose()?,
    })
}

fn missing(folder: &Path) -> Error {
    Error::format(
        folder.join("index.json"),
        None,
        "names no array of pooled features",
    )
}

/// `[n, ..]`, mapped from its file: pages are read when they are used, and writes stay in memory.
fn load(folder: &Path, array: &Array, index: &Index) -> Result<Tensor> {
    verify(folder, array, index)?;
    let mut size = vec![index.form.rows as i64];
    size.extend_from_slice(&array.size);
    let count = size.iter().product::<i64>();
    Ok(map(&folder.join(array.file), count, array.kind)?.view(size.as_slice()))
}

/// Compares a file's length and the checksum of every batch of rows. The file is read, not mapped, so that a map larger than
/// the memory takes no more of it than a batch.
fn verify(folder: &Path, array: &Array, index: &Index) -> Result<()> {
    let path = folder.join(array.file);
    let rows = index.form.rows;
    let mut file = fs::File::open(&path).map_err(|e| Error::read(&path, e))?;
    let expected = (rows * array.stride()) as u64;
    let got = file.metadata().map_err(|e| Error::read(&path, e))?.len();
    if got != expected {
        let why = format!("has {got} bytes, expected {expected} for {rows} rows");
        return Err(Error::format(&path, None, why));
    }
    let known = index.checksums.get(array.file).map_or(&[][..], Vec::as_slice);
    let mut bytes = vec![0; BATCH.min(rows) * array.stride()];
    for (i, start) in (0..rows).step_by(BATCH).enumerate() {
        let end = (start + BATCH).min(rows);
        let part = &mut bytes[..(end - start) * array.stride()];
        file.read_exact(part).map_err(|e| Error::read(&path, e))?;
        if known.get(i) != Some(&digits(checksum(part))) {
            let place = format!("rows {start} to {}", end - 1);
            let why = "the checksum differs: the file was damaged";
            return Err(Error::format(&path, place, why));
        }
    }
    Ok(())
}

fn map(path: &Path, count: i64, kind: Kind) -> Result<Tensor> {
    let options = (kind, Device::Cpu);
    if count == 0 {
        return Ok(Tensor::empty([0], options));
    }
    let name = path.to_str().ok_or_else(|| {
        Error::Input(format!(
            "{}: features cannot be kept under a name that is not UTF-8; choose another `features.store`",
            path.display()
        ))
    })?;
    Ok(Tensor::f_from_file(name, false, count, options)?)
}

/// Of some rows, as they stand in their file.
pub(super) fn checksum(bytes: &[u8]) -> u64 {
    xxh3_64(bytes)
}

/// A checksum as it is written.
pub(super) fn digits(sum: u64) -> String {
    format!("{sum:016x}")
}

/// Shows the bytes of a contiguous copy of a tensor, f32 or f16; on the CPU and contiguous, the tensor's own.
pub(super) fn with_bytes<R>(tensor: &Tensor, mut see: impl FnMut(&[u8]) -> R) -> Result<R> {
    if tensor.kind() == Kind::Half {
        let bits = tensor.to_device(Device::Cpu).contiguous().view_dtype(Kind::Int16);
        let bits = Vec::<i16>::try_from(bits.flatten(0, -1))?;
        return Ok(see(bytemuck::cast_slice(&bits)));
    }
    let values = szar_core::host::HostF32::new(tensor);
    Ok(see(bytemuck::cast_slice(values.as_slice())))
}

/// Folder of the entry with this key.
pub(super) fn folder(store: &Path, key: &str) -> PathBuf {
    store.join(format!("v{FORMAT}")).join(key)
}
