//! A float array `[n, ...]` in a `.npy` file, mapped: pages are read when rows of them are asked for.

use std::fs::File;
use std::io::Read;
use std::path::{Path, PathBuf};

use memmap2::Mmap;
use szar_core::{Error, Result, host};
use tch::{Kind, Tensor};

use crate::readers::npy::parse_header;

/// Longest header that is read.
const HEADER: u64 = 1 << 16;

/// An opened array.
#[derive(Debug)]
pub(super) struct Array {
    path: PathBuf,
    bytes: Mmap,
    /// Where the elements begin.
    start: usize,
    /// Bytes of a row.
    width: usize,
    kind: Kind,
    pub(super) shape: Vec<usize>,
}

impl Array {
    /// Opens a file of 16, 32 or 64-bit floats.
    ///
    /// # Errors
    /// When the file is missing, no `.npy`, of another element type, shorter than its header says, or without rows.
    pub(super) fn open(path: &Path) -> Result<Self> {
        let bad = |why: String| Error::format(path, None, why);
        let read = |e| Error::read(path, e);
        let file = File::open(path).map_err(read)?;
        let length = file.metadata().map_err(read)?.len();
        let mut start = Vec::new();
        (&file).take(HEADER).read_to_end(&mut start).map_err(read)?;
        let header = parse_header(&start).map_err(bad)?;
        let kind = kind(&header.kind).map_err(bad)?;
        let &[count, ref row @ ..] = header.shape.as_slice() else {
            return Err(bad("has no rows: it is a single number".into()));
        };
        let width = row
            .iter()
            .try_fold(kind.elt_size_in_bytes(), |all, n| all.checked_mul(*n));
        let needed = width.and_then(|w| w.checked_mul(count)?.checked_add(header.data));
        let (Some(width), Some(needed)) = (width, needed) else {
            return Err(bad(format!("has shape {:?}, which is too large", header.shape)));
        };
        if count == 0 || width == 0 {
            return Err(bad(format!("has shape {:?}, which holds nothing", header.shape)));
        }
        if needed as u64 > length {
            let why = format!(
                "has shape {:?}, which takes {needed} bytes, but only {length} are there; is the file cut short?",
                header.shape
            );
            return Err(bad(why));
        }
        Ok(Self {
            path: path.to_owned(),
            bytes: map(path, &file)?,
            start: header.data,
            width,
            kind,
            shape: header.shape,
        })
    }

    /// n.
    pub(super) fn len(&self) -> usize {
        self.shape[0]
    }

    /// `[k, ...]` f32, rows in the order of `rows`.
    ///
    /// # Errors
    /// When a value is not finite; the error names its row.
    pub(super) fn rows(&self, rows: &[usize]) -> Result<Tensor> {
        let mut size: Vec<i64> = self.shape.iter().map(|n| *n as i64).collect();
        size[0] = rows.len() as i64;
        let mut bytes = Vec::with_capacity(rows.len() * self.width);
        for row in rows {
            bytes.extend_from_slice(self.row(*row)?);
        }
        let values = Tensor::f_from_data_size(&bytes, &size, self.kind)?.to_kind(Kind::Float);
        if !values.sum(Kind::Double).double_value(&[]).is_finite() {
            let finite = host::to_i64(&values.isfinite().flatten(1, -1).all_dim(1, false))?;
            if let Some(at) = finite.iter().position(|flag| *flag == 0) {
                let why = "has a value that is not finite, expected numbers";
                return Err(self.error(Some(rows[at]), why));
            }
        }
        Ok(values)
    }

    /// Is a row zero throughout? Of most rows the first value is all that is looked at.
    ///
    /// # Errors
    /// When the row is not there.
    pub(super) fn is_zero(&self, row: usize) -> Result<bool> {
        Ok(is_zero(self.row(row)?, self.kind.elt_size_in_bytes()))
    }

    fn row(&self, row: usize) -> Result<&[u8]> {
        let at = self.start + row * self.width;
        let bytes = self.bytes.get(at..at + self.width).filter(|_| row < self.len());
        bytes.ok_or_else(|| self.error(Some(row), format!("is not there, there are {}", self.len())))
    }

    /// An error at this file, and a row of it.
    pub(super) fn error(&self, row: Option<usize>, why: impl Into<String>) -> Error {
        Error::format(&self.path, row.map(|row| format!("row {row}")), why)
    }
}

/// Are all floats of `size` bytes each 0 (or −0)?
pub(crate) fn is_zero(elements: &[u8], size: usize) -> bool {
    let zero = |element: &[u8]| match element.split_last() {
        Some((sign, rest)) => sign & 0x7f == 0 && rest.iter().all(|byte| *byte == 0),
        None => true,
    };
    elements.chunks_exact(size).all(zero)
}

#[expect(
    unsafe_code,
    reason = "mapping a file is unsafe because others could change it"
)]
fn map(path: &Path, file: &File) -> Result<Mmap> {
    // SAFETY: the bytes are only copied out, whatever they are at that time, and every bit pattern is a float; their
    // number was held against the header above.
    unsafe { Mmap::map(file) }.map_err(|e| Error::read(path, e))
}

fn kind(letters: &str) -> Result<Kind, String> {
    match letters {
        "<f2" => Ok(Kind::Half),
        "<f4" => Ok(Kind::Float),
        "<f8" => Ok(Kind::Double),
        "|O" => {
            Err("holds pickled Python objects, which are never read; save it as an array of numbers".into())
        }
        other => Err(format!(
            "has element type `{other}`, expected `<f2`, `<f4` or `<f8`"
        )),
    }
}
