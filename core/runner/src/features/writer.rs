//! An entry in the making: a folder of its own, with a journal of the batches that are written.

use std::collections::BTreeMap;
use std::fs::{self, File, OpenOptions};
use std::io::{BufRead, BufReader, Write};
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};
use szar_core::checkpoint::write_atomically;
use szar_core::config::StoredPrecision;
use szar_core::descriptors::{self, TemporalSplit};
use szar_core::{Encoding, Error, Granularity, Result, SkeletonLayout};
use tch::{Kind, Tensor};

use super::entry::{Array, FORMAT, Form, Index, checksum, digits, with_bytes};
use super::{BATCH, Extraction};

/// A line of the journal.
#[derive(Debug, Serialize, Deserialize)]
struct Written {
    batch: usize,
    /// By array, in the order of [`Form::arrays`].
    checksums: Vec<String>,
}

/// Writes the batches of an entry, one after the other.
pub(super) struct Writer<'a> {
    folder: PathBuf,
    form: Form,
    layout: &'a SkeletonLayout,
    arrays: Vec<Array>,
    files: Vec<File>,
    journal: Option<File>,
    /// Checksums of the batches, as many a batch as there are arrays. In one piece, made at the start: something small that
    /// is kept from batch to batch would lie between the blocks of memory that every batch takes and leaves.
    sums: Vec<u64>,
}

impl<'a> Writer<'a> {
    /// Goes on with what is in `folder`, if it was to become the same entry; else begins anew.
    pub fn open(folder: PathBuf, form: Form, layout: &'a SkeletonLayout) -> Result<Self> {
        let mut writer = Self {
            folder,
            form,
            layout,
            arrays: Vec::new(),
            files: Vec::new(),
            journal: None,
            sums: Vec::new(),
        };
        if let Some((form, written)) = writer.earlier() {
            writer.form = form;
            writer.begin(true)?;
            writer.sums.extend(writer.intact(written));
            writer.shorten_journal()?;
            tracing::info!(
                folder = %writer.folder.display(),
                rows = (writer.written() * BATCH).min(writer.form.rows),
                "features were being computed before: going on from there"
            );
        }
        Ok(writer)
    }

    /// Computes what is missing and gives the finished folder.
    pub fn finish(mut self, extraction: &Extraction) -> Result<PathBuf> {
        extraction.progress.begin("features", self.form.rows as u64);
        for i in self.written()..extraction.batches() {
            let rows = extraction.batch(i);
            let encoding = extraction.encode(rows.clone())?;
            self.append(rows.start, encoding)?;
        }
        extraction.progress.end();
        for (array, file) in self.arrays.iter().zip(&self.files) {
            let path = self.folder.join(array.file);
            file.sync_all().map_err(|e| Error::write(&path, e))?;
        }
        let column = |i: usize| self.batches().map(|sums| digits(sums[i])).collect();
        let index = Index {
            format: FORMAT,
            form: self.form.clone(),
            batch: BATCH,
            checksums: self
                .arrays
                .iter()
                .enumerate()
                .map(|(i, array)| (array.file.to_owned(), column(i)))
                .collect::<BTreeMap<_, Vec<String>>>(),
        };
        let path = self.folder.join("index.json");
        let text =
            serde_json::to_string_pretty(&index).map_err(|e| Error::format(&path, None, e.to_string()))?;
        write_atomically(&path, text.as_bytes())?;
        let journal = self.journal_path();
        fs::remove_file(&journal).map_err(|e| Error::write(&journal, e))?;
        Ok(self.folder)
    }

    fn append(&mut self, start: usize, encoding: Encoding) -> Result<()> {
        if self.files.is_empty() {
            self.form.seen_classes = encoding.seen_logits.as_ref().map(|l| l.size()[1]);
            self.begin(false)?;
        }
        for (array, file) in self.arrays.iter().zip(&self.files) {
            let tensor = self.part(array, &encoding)?;
            let at = (start * array.stride()) as u64;
            let sum = with_bytes(&tensor, |bytes| {
                let written = file.write_all_at(bytes, at);
                written.map(|()| checksum(bytes))
            })?;
            self.sums
                .push(sum.map_err(|e| Error::write(self.folder.join(array.file), e))?);
        }
        self.note_batch(self.written() - 1)
    }

    /// How many batches are written.
    fn written(&self) -> usize {
        self.batches().len()
    }

    /// Checksums by array, of each batch.
    fn batches(&self) -> impl ExactSizeIterator<Item = &[u64]> {
        self.sums.chunks_exact(self.arrays.len().max(1))
    }

    /// The numbers that go into an array, of one batch.
    fn part(&self, array: &Array, encoding: &Encoding) -> Result<Tensor> {
        let features = &encoding.features;
        let tensor = match (array.file, &encoding.seen_logits) {
            ("pooled.f32", _) => features.pooled(),
            ("descriptors.f32", _) => {
                let wanted = &Granularity::PURLS_ORDER;
                descriptors::pool(features, self.layout, wanted, TemporalSplit::Floor)?
            }
            ("logits.f32", Some(logits)) => logits.shallow_clone(),
            (_, _) if self.form.map == Some(StoredPrecision::F16) => features.values.to_kind(Kind::Half),
            (_, _) => features.values.to_kind(Kind::Float),
        };
        let size = tensor.size();
        if size[1..] != array.size {
            return Err(Error::Shape {
                what: format!("what the encoder gave for `{}`", array.file),
                want: format!("{:?} after the first axis", array.size),
                got: size,
            });
        }
        Ok(tensor)
    }

    /// Opens the files; the journal begins with the form.
    fn begin(&mut self, again: bool) -> Result<()> {
        fs::create_dir_all(&self.folder).map_err(|e| Error::write(&self.folder, e))?;
        self.arrays = self.form.arrays();
        for array in &self.arrays {
            let path = self.folder.join(array.file);
            let mut options = OpenOptions::new();
            let options = options.read(true).write(true).create(true).truncate(!again);
            let file = options.open(&path).map_err(|e| Error::write(&path, e))?;
            self.files.push(file);
        }
        self.sums
            .reserve_exact(self.form.rows.div_ceil(BATCH) * self.arrays.len());
        if !again {
            let path = self.journal_path();
            let journal = File::create(&path).map_err(|e| Error::write(&path, e))?;
            self.journal = Some(journal);
            self.note(&self.form)?;
        }
        Ok(())
    }

    fn journal_path(&self) -> PathBuf {
        self.folder.join("journal")
    }

    /// Adds a line to the journal.
    fn note(&self, line: &impl Serialize) -> Result<()> {
        let path = self.journal_path();
        let text = serde_json::to_string(line).map_err(|e| Error::format(&path, None, e.to_string()))?;
        let line = format!("{text}\n");
        let written = self
            .journal
            .as_ref()
            .map(|mut file| file.write_all(line.as_bytes()));
        written
            .transpose()
            .map_err(|e| Error::write(&path, e))
            .map(|_| ())
    }

    /// What the journal of an earlier attempt at the same entry says. Whatever is wrong with it, one begins anew.
    fn earlier(&self) -> Option<(Form, Vec<Written>)> {
        let mut lines = BufReader::new(File::open(self.journal_path()).ok()?).lines();
        let form: Form = serde_json::from_str(&lines.next()?.ok()?).ok()?;
        let same = Form {
            seen_classes: None,
            ..form.clone()
        };
        let parsed = lines.map_while(|line| serde_json::from_str(&line.ok()?).ok());
        (same == self.form).then(|| (form, parsed.collect()))
    }

    /// Checksums of the first batches that stand in the files as the journal says.
    fn intact(&self, written: Vec<Written>) -> Vec<u64> {
        let mut intact = Vec::new();
        for (i, line) in written.into_iter().enumerate() {
            let rows = BATCH.min(self.form.rows.saturating_sub(i * BATCH));
            let arrays = self.arrays.iter().zip(&self.files).zip(&line.checksums);
            let sums = arrays.map(|((array, file), sum)| stands(array, file, i * BATCH, rows, sum));
            let sums: Option<Vec<u64>> = sums.collect();
            let whole = rows > 0 && line.batch == i && line.checksums.len() == self.arrays.len();
            match sums.filter(|_| whole) {
                Some(sums) => intact.extend(sums),
                None => break,
            }
        }
        intact
    }

    /// Keeps the lines of the batches that stand, and opens the journal for more.
    fn shorten_journal(&mut self) -> Result<()> {
        let path = self.journal_path();
        self.journal = Some(File::create(&path).map_err(|e| Error::write(&path, e))?);
        self.note(&self.form)?;
        (0..self.written()).try_for_each(|batch| self.note_batch(batch))
    }

    /// Adds the line of a batch to the journal.
    fn note_batch(&self, batch: usize) -> Result<()> {
        let sums = self.batches().nth(batch).unwrap_or_default();
        let checksums = sums.iter().map(|sum| digits(*sum)).collect();
        self.note(&Written { batch, checksums })
    }
}

/// The checksum of these rows of a file, if it is the one that the journal says.
fn stands(array: &Array, file: &File, start: usize, rows: usize, sum: &str) -> Option<u64> {
    let mut bytes = vec![0; rows * array.stride()];
    file.read_exact_at(&mut bytes, (start * array.stride()) as u64)
        .ok()?;
    Some(checksum(&bytes)).filter(|found| digits(*found) == sum)
}

/// Removes a folder that may not be there.
pub(super) fn remove(folder: &Path) -> Result<()> {
    match fs::remove_dir_all(folder) {
        Err(e) if e.kind() != std::io::ErrorKind::NotFound => Err(Error::write(folder, e)),
        _ => Ok(()),
    }
}
