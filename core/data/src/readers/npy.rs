//! `.npz` archives of plain arrays, read without trusting any number in them.
//!
//! Source of the format: NumPy's `numpy.lib.format` (versions 1.0 to 3.0). Pickled objects, records and
//! big-endian arrays are refused.

use std::fs::File;
use std::io::{BufReader, Read};
use std::path::{Path, PathBuf};

use szar_core::{Error, Result};
use zip::ZipArchive;
use zip::result::ZipError;

/// One array: its shape and its elements, row-major.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Array<T> {
    pub(crate) shape: Vec<usize>,
    pub(crate) values: Vec<T>,
}

/// An opened archive.
pub(crate) struct Npz {
    path: PathBuf,
    zip: ZipArchive<BufReader<File>>,
}

/// What a header says.
pub(super) struct Header {
    /// Element type in NumPy's letters.
    pub(super) kind: String,
    pub(super) shape: Vec<usize>,
    /// Bytes of the header, behind which the elements stand.
    pub(super) data: usize,
}

impl Npz {
    /// Opens an archive.
    pub(crate) fn open(path: &Path) -> Result<Self> {
        let file = File::open(path).map_err(|e| Error::read(path, e))?;
        let zip = ZipArchive::new(BufReader::new(file)).map_err(|e| archive_error(path, None, e))?;
        Ok(Self {
            path: path.to_owned(),
            zip,
        })
    }

    /// A 32-bit (or, rounded, 64-bit) float array of rank `rank`.
    pub(crate) fn floats(&mut self, name: &str, rank: usize) -> Result<Array<f32>> {
        let (header, bytes) = self.array(name, rank)?;
        let data = &bytes[header.data..];
        let values = match header.kind.as_str() {
            "<f4" => items(data, f32::from_le_bytes),
            "<f8" => items(data, |b| f64::from_le_bytes(b) as f32),
            other => return Err(self.wrong_kind(name, "<f4", other)),
        };
        self.finish(name, header.shape, values)
    }

    /// An integer array of rank 1.
    pub(crate) fn integers(&mut self, name: &str) -> Result<Vec<i64>> {
        let (header, bytes) = self.array(name, 1)?;
        let data = &bytes[header.data..];
        let values = match header.kind.as_str() {
            "<i8" => items(data, i64::from_le_bytes),
            "<i4" => items(data, |b| i64::from(i32::from_le_bytes(b))),
            "<i2" => items(data, |b| i64::from(i16::from_le_bytes(b))),
            "|i1" => items(data, |b: [u8; 1]| i64::from(b[0] as i8)),
            "|u1" | "|b1" => items(data, |b: [u8; 1]| i64::from(b[0])),
            other => return Err(self.wrong_kind(name, "<i8", other)),
        };
        Ok(self.finish(name, header.shape, values)?.values)
    }

    /// Header and bytes of one entry.
    fn array(&mut self, name: &str, rank: usize) -> Result<(Header, Vec<u8>)> {
        let bytes = self.bytes(name)?;
        let header = parse_header(&bytes).map_err(|why| self.error(name, why))?;
        if header.shape.len() != rank {
            let why = format!("has shape {:?}, expected {rank} dimensions", header.shape);
            return Err(self.error(name, why));
        }
        Ok((header, bytes))
    }

    fn bytes(&mut self, name: &str) -> Result<Vec<u8>> {
        let Some(index) = self.zip.index_for_name(&format!("{name}.npy")) else {
            let known = self
                .zip
                .file_names()
                .flatten()
                .map(|n| n.trim_end_matches(".npy").to_owned());
            let unknown = Error::unknown("array", name, known);
            return Err(unknown.context(self.path.display().to_string()));
        };
        let entry = self
            .zip
            .by_index(index)
            .map_err(|e| archive_error(&self.path, Some(name), e))?;
        let mut bytes = Vec::new();
        let read = entry.take(MAX_BYTES).read_to_end(&mut bytes);
        read.map_err(|e| self.error(name, format!("cannot be unpacked: {e}")))?;
        Ok(bytes)
    }

    fn finish<T>(&self, name: &str, shape: Vec<usize>, values: Vec<T>) -> Result<Array<T>> {
        let count = shape.iter().try_fold(1usize, |all, n| all.checked_mul(*n));
        if count != Some(values.len()) {
            let why = format!(
                "has shape {shape:?} but holds {} values; is the file cut short?",
                values.len()
            );
            return Err(self.error(name, why));
        }
        Ok(Array { shape, values })
    }

    fn wrong_kind(&self, name: &str, want: &str, got: &str) -> Error {
        self.error(name, format!("has element type `{got}`, expected `{want}`"))
    }

    /// An error at an array of this archive.
    pub(crate) fn error(&self, array: &str, why: impl Into<String>) -> Error {
        Error::format(&self.path, format!("array `{array}`"), why)
    }
}

/// Largest array that is read: 16 GiB, so that a small file cannot fill the memory.
const MAX_BYTES: u64 = 1 << 34;

pub(super) fn archive_error(path: &Path, array: Option<&str>, error: ZipError) -> Error {
    let at = array.map(|a| format!("array `{a}`"));
    match error {
        ZipError::Io(e) if e.kind() != std::io::ErrorKind::InvalidData && array.is_none() => {
            Error::format(path, at, format!("is not a zip archive: {e}"))
        }
        e => Error::format(path, at, e.to_string()),
    }
}

/// Little-endian elements of `N` bytes; a cut last one is left out.
pub(super) fn items<const N: usize, T>(data: &[u8], decode: impl Fn([u8; N]) -> T) -> Vec<T> {
    data.as_chunks::<N>().0.iter().map(|b| decode(*b)).collect()
}

/// Reads the header at the start of the bytes.
pub(super) fn parse_header(bytes: &[u8]) -> Result<Header, String> {
    let short = || "is cut short inside its header".to_owned();
    if !bytes.starts_with(b"\x93NUMPY") {
        return Err("does not start as a .npy array".into());
    }
    let major = *bytes.get(6).ok_or_else(short)?;
    let (at, length): (usize, usize) = match (major, bytes.get(8..10), bytes.get(8..12)) {
        (1, Some(&[a, b]), _) => (10, usize::from(u16::from_le_bytes([a, b]))),
        (2 | 3, _, Some(&[a, b, c, d])) => (12, u32::from_le_bytes([a, b, c, d]) as usize),
        (1..=3, _, _) => return Err(short()),
        _ => return Err(format!("has .npy version {major}, expected 1 to 3")),
    };
    let text = bytes.get(at..at.saturating_add(length)).ok_or_else(short)?;
    let text = String::from_utf8_lossy(text);
    if field(&text, "fortran_order")?.starts_with("True") {
        return Err("is stored column by column (Fortran order), expected row by row".into());
    }
    let kind = field(&text, "descr")?;
    let kind = kind.strip_prefix('\'').and_then(|k| k.split('\'').next());
    let kind = kind.ok_or("holds records, expected plain numbers")?;
    Ok(Header {
        kind: kind.to_owned(),
        shape: shape(field(&text, "shape")?)?,
        data: at + length,
    })
}

/// What follows a key of the header's dictionary.
fn field<'a>(text: &'a str, key: &str) -> Result<&'a str, String> {
    let quoted = format!("'{key}'");
    let rest = text
        .split_once(quoted.as_str())
        .map(|(_, rest)| rest.trim_start());
    let value = rest.and_then(|r| r.strip_prefix(':')).map(str::trim_start);
    value.ok_or_else(|| format!("has no `{key}` in its header"))
}

fn shape(text: &str) -> Result<Vec<usize>, String> {
    let inner = text
        .strip_prefix('(')
        .and_then(|t| t.split_once(')'))
        .map(|(inner, _)| inner);
    let inner = inner.ok_or("has no readable shape in its header")?;
    let sizes = inner.split(',').map(str::trim).filter(|s| !s.is_empty());
    sizes
        .map(|s| s.parse().map_err(|_| format!("has the size `{s}` in its header")))
        .collect()
}
