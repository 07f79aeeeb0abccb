//! Sequences of one length in a file without a name.

use std::fs::File;
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};

use szar_core::{Error, Result};
use tempfile::NamedTempFile;

/// Rows of f32, one after the other. Any number of threads may read, or write rows of their own, at once.
#[derive(Debug)]
pub(super) struct Spilled {
    file: File,
    /// For errors.
    folder: PathBuf,
    rows: usize,
    /// Numbers of one.
    row: usize,
}

impl Spilled {
    /// Zeros.
    pub(super) fn new(folder: &Path, rows: usize, row: usize) -> Result<Self> {
        Ok(Self {
            file: file(folder, (rows * row) as u64 * 4)?.into_file(),
            folder: folder.to_owned(),
            rows,
            row,
        })
    }

    /// Byte at which a row begins.
    fn place(&self, row: usize) -> u64 {
        (row * self.row) as u64 * 4
    }

    /// The numbers from the beginning of a row on.
    pub(super) fn read(&self, row: usize, out: &mut [f32]) -> Result<()> {
        let read = self
            .file
            .read_exact_at(bytemuck::cast_slice_mut(out), self.place(row));
        read.map_err(|e| Error::read(&self.folder, e))
    }

    pub(super) fn write(&self, row: usize, values: &[f32]) -> Result<()> {
        let written = self
            .file
            .write_all_at(bytemuck::cast_slice(values), self.place(row));
        written.map_err(|e| Error::write(&self.folder, e))
    }

    /// Keeps the first `kept` numbers of every `columns`, in place: no row grows.
    pub(super) fn keep_columns(&mut self, columns: usize, kept: usize) -> Result<()> {
        let mut values = vec![0.0; self.row];
        let narrow = Self {
            file: self.file.try_clone().map_err(|e| Error::write(&self.folder, e))?,
            folder: self.folder.clone(),
            rows: self.rows,
            row: self.row / columns * kept,
        };
        for row in 0..self.rows {
            self.read(row, &mut values)?;
            let some: Vec<f32> = values
                .chunks_exact(columns)
                .flat_map(|c| &c[..kept])
                .copied()
                .collect();
            narrow.write(row, &some)?;
        }
        *self = narrow;
        let bytes = self.place(self.rows);
        self.file
            .set_len(bytes)
            .map_err(|e| Error::write(&self.folder, e))
    }
}

/// A file of zeros; all of its room is taken now, so that a disk that is too small is known before the work begins.
pub(super) fn file(folder: &Path, bytes: u64) -> Result<NamedTempFile> {
    let write = |e| Error::write(folder, e);
    std::fs::create_dir_all(folder).map_err(write)?;
    let file = NamedTempFile::new_in(folder).map_err(write)?;
    rustix::fs::fallocate(file.as_file(), rustix::fs::FallocateFlags::empty(), 0, bytes)
        .map_err(|e| write(e.into()))?;
    Ok(file)
}
