//! Arrays that are larger than memory: one row at a time from a `.npy` file or from a stored entry of a `.npz`.

use std::fs::File;
use std::io::{BufReader, Read, Seek, SeekFrom};
use std::path::{Path, PathBuf};

use szar_core::{Error, Result};
use zip::{CompressionMethod, ZipArchive};

use super::npy::{archive_error, items, parse_header};

/// Longest header that is read.
const HEADER: u64 = 1 << 16;

/// A float array `[N, ...]` on disk.
#[derive(Debug)]
pub(crate) struct Rows {
    path: PathBuf,
    /// Name of the array within an archive.
    array: Option<String>,
    /// Where the elements begin.
    start: u64,
    pub(crate) shape: Vec<usize>,
    /// Numbers of a row.
    pub(crate) width: usize,
    /// 4 or 8.
    bytes: usize,
}

impl Rows {
    /// The array of a `.npy` file.
    pub(crate) fn in_file(path: &Path) -> Result<Self> {
        let mut file = File::open(path).map_err(|e| Error::read(path, e))?;
        let length = file.metadata().map_err(|e| Error::read(path, e))?.len();
        Self::new(path, None, &mut file, 0, length)
    }

    /// The array `name` of a `.npz` archive, if it is there.
    pub(crate) fn in_archive(path: &Path, name: &str) -> Result<Self> {
        let file = File::open(path).map_err(|e| Error::read(path, e))?;
        let mut zip = ZipArchive::new(BufReader::new(file)).map_err(|e| archive_error(path, None, e))?;
        let Some(index) = zip.index_for_name(&format!("{name}.npy")) else {
            let known = zip
                .file_names()
                .flatten()
                .map(|n| n.trim_end_matches(".npy").to_owned());
            return Err(Error::unknown("array", name, known).context(path.display().to_string()));
        };
        let entry = zip
            .by_index(index)
            .map_err(|e| archive_error(path, Some(name), e))?;
        let stored = entry.compression() == CompressionMethod::Stored;
        let (start, length) = match entry.data_start() {
            Some(start) if stored => (start, entry.size()),
            _ => {
                let why = "is compressed, and rows of it cannot be read one by one; write the archive again with \
                           `numpy.savez`";
                return Err(Error::format(path, format!("array `{name}`"), why));
            }
        };
        drop(entry);
        let mut file = zip.into_inner().into_inner();
        Self::new(path, Some(name.into()), &mut file, start, length)
    }

    fn new(path: &Path, array: Option<String>, file: &mut File, start: u64, length: u64) -> Result<Self> {
        let place = array.as_ref().map(|name| format!("array `{name}`"));
        let bad = |why: String| Error::format(path, place.clone(), why);
        file.seek(SeekFrom::Start(start))
            .map_err(|e| Error::read(path, e))?;
        let mut bytes = Vec::new();
        let read = file.take(length.min(HEADER)).read_to_end(&mut bytes);
        read.map_err(|e| Error::read(path, e))?;
        let header = parse_header(&bytes).map_err(bad)?;
        let bytes = match header.kind.as_str() {
            "<f4" => 4,
            "<f8" => 8,
            other => {
                return Err(bad(format!(
                    "has element type `{other}`, expected `<f4` or `<f8`"
                )));
            }
        };
        let &[count, ref row @ ..] = header.shape.as_slice() else {
            return Err(bad("has no rows: it is a single number".into()));
        };
        let width = row.iter().try_fold(1usize, |all, n| all.checked_mul(*n));
        let needed = width.and_then(|w| w.checked_mul(count)?.checked_mul(bytes)?.checked_add(header.data));
        let (Some(width), Some(needed)) = (width, needed.and_then(|n| u64::try_from(n).ok())) else {
            return Err(bad(format!("has shape {:?}, which is too large", header.shape)));
        };
        if needed > length {
            let why = format!(
                "has shape {:?}, which takes {needed} bytes, but only {length} are there; is the file cut short?",
                header.shape
            );
            return Err(bad(why));
        }
        Ok(Self {
            path: path.to_owned(),
            array,
            start: start + header.data as u64,
            shape: header.shape,
            width,
            bytes,
        })
    }

    /// N.
    pub(crate) fn len(&self) -> usize {
        self.shape[0]
    }

    /// The numbers of a row; 64-bit ones are rounded.
    ///
    /// # Errors
    /// When the row is not there or a number is not finite.
    pub(crate) fn row(&self, row: usize) -> Result<Vec<f32>> {
        if row >= self.len() {
            let why = format!("row {row} is not there, it has {}", self.len());
            return Err(self.error(why));
        }
        let size = self.width * self.bytes;
        let mut file = File::open(&self.path).map_err(|e| Error::read(&self.path, e))?;
        let mut bytes = vec![0; size];
        let at = self.start + row as u64 * size as u64;
        let read = file
            .seek(SeekFrom::Start(at))
            .and_then(|_| file.read_exact(&mut bytes));
        read.map_err(|e| Error::read(&self.path, e))?;
        let values = match self.bytes {
            4 => items(&bytes, f32::from_le_bytes),
            _ => items(&bytes, |b| f64::from_le_bytes(b) as f32),
        };
        match values.iter().position(|v| !v.is_finite()) {
            Some(at) => Err(self.error(format!(
                "number {at} of row {row} is {}, expected a number",
                values[at]
            ))),
            None => Ok(values),
        }
    }

    /// An error at this array.
    pub(crate) fn error(&self, why: impl Into<String>) -> Error {
        let place = self.array.as_ref().map(|name| format!("array `{name}`"));
        Error::format(&self.path, place, why)
    }
}
