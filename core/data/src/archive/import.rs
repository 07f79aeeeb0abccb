//! Writes a store.

use std::fs::{self, File};
use std::io::{BufWriter, Write};
use std::path::Path;

use rayon::prelude::*;
use serde::Serialize;
use szar_core::checkpoint::write_atomically;
use szar_core::{Cancel, Dataset, Error, Progress, Result, Sequence};
use xxhash_rust::xxh3::xxh3_64;

use super::index::{FORMAT, Index, Row, checksum};

/// Sequences that are read at once, on all cores: what bounds the memory.
const CHUNK: usize = 256;

/// What was imported.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Imported {
    /// Sequences in the store.
    pub samples: usize,
    /// Their frames.
    pub frames: u64,
    /// Size of the store, bytes.
    pub bytes: u64,
    /// Sequences that could not be read, with the reason; they are not in the store.
    pub failed: Vec<(String, String)>,
}

/// Writes all sequences of a dataset to a store in a new folder. The order is the dataset's, whatever the number of cores.
///
/// Sequences that cannot be read are left out and listed when `lenient`; else the first of them is an error.
///
/// # Errors
/// [`Error::Input`] when the folder exists; when two samples have one name or a name has a line break, a sequence cannot be
/// read, nothing is left, the folder cannot be written, or the user stops. Nothing is left behind then.
pub fn import(
    dataset: &dyn Dataset,
    source: &str,
    folder: &Path,
    lenient: bool,
    progress: &dyn Progress,
    cancel: &Cancel,
) -> Result<Imported> {
    if folder.exists() {
        return Err(Error::Input(format!(
            "{}: is there already; name a new folder",
            folder.display()
        )));
    }
    let mut name = folder.file_name().unwrap_or_default().to_owned();
    name.push(".part");
    let part = folder.with_file_name(name);
    let written = write(dataset, source, &part, lenient, progress, cancel).and_then(|done| {
        fs::rename(&part, folder)
            .map_err(|e| Error::write(folder, e))
            .map(|()| done)
    });
    if written.is_err() {
        let _ = fs::remove_dir_all(&part);
    }
    written
}

/// A store in the making.
struct Writer {
    joints: BufWriter<File>,
    rows: Vec<i64>,
    fps: Vec<f32>,
    names: String,
    values: usize,
    done: Imported,
}

fn write(
    dataset: &dyn Dataset,
    source: &str,
    part: &Path,
    lenient: bool,
    progress: &dyn Progress,
    cancel: &Cancel,
) -> Result<Imported> {
    check_names(dataset)?;
    fs::create_dir_all(part).map_err(|e| Error::write(part, e))?;
    let path = part.join("joints.f32");
    let file = File::create(&path).map_err(|e| Error::write(&path, e))?;
    let mut writer = Writer {
        joints: BufWriter::with_capacity(1 << 20, file),
        rows: Vec::new(),
        fps: Vec::new(),
        names: String::new(),
        values: 0,
        done: Imported::default(),
    };
    let samples = dataset.samples();
    progress.begin("sequences", samples.len() as u64);
    let numbers: Vec<usize> = (0..samples.len()).collect();
    for chunk in numbers.chunks(CHUNK) {
        cancel.check()?;
        let read: Vec<Result<Sequence>> = chunk.par_iter().map(|i| dataset.load(*i)).collect();
        for (sample, sequence) in chunk.iter().zip(read) {
            match sequence {
                Ok(sequence) => writer.add(dataset, *sample, &sequence, &path)?,
                Err(error) if lenient => {
                    let name = samples[*sample].name.clone();
                    writer.done.failed.push((name, error.to_string()));
                }
                Err(error) => return Err(error.context(format!("sequence `{}`", samples[*sample].name))),
            }
        }
        progress.advance(chunk.last().map_or(0, |i| i + 1) as u64, "");
    }
    progress.end();
    writer.finish(dataset, source, part)
}

/// Refuses names that a list of one a line cannot hold, and those by which samples cannot be told apart.
fn check_names(dataset: &dyn Dataset) -> Result<()> {
    let mut names: Vec<&str> = dataset.samples().iter().map(|s| s.name.as_str()).collect();
    names.sort_unstable();
    if let Some(name) = names.iter().find(|name| name.contains(['\n', '\r'])) {
        return Err(Error::Input(format!(
            "sequence {name:?}: its name has a line break"
        )));
    }
    match names.windows(2).find(|pair| pair[0] == pair[1]) {
        Some(pair) => Err(Error::Input(format!(
            "dataset `{}`: two sequences are called `{}`",
            dataset.info().name,
            pair[0]
        ))),
        None => Ok(()),
    }
}

impl Writer {
    fn add(&mut self, dataset: &dyn Dataset, sample: usize, sequence: &Sequence, path: &Path) -> Result<()> {
        let info = &dataset.samples()[sample];
        let joints = dataset.info().layout.len();
        let (values, persons) =
            trimmed(sequence, joints).map_err(|e| e.context(format!("sequence `{}`", info.name)))?;
        let bytes = bytemuck::cast_slice::<f32, u8>(&values);
        self.joints.write_all(bytes).map_err(|e| Error::write(path, e))?;
        let row = Row::of(info, self.values, sequence.frames, persons, xxh3_64(bytes));
        self.rows.extend(row.to_numbers());
        self.fps.push(sequence.fps);
        self.names.push_str(&info.name);
        self.names.push('\n');
        self.values += values.len();
        self.done.samples += 1;
        self.done.frames += sequence.frames as u64;
        Ok(())
    }

    fn finish(mut self, dataset: &dyn Dataset, source: &str, part: &Path) -> Result<Imported> {
        let path = part.join("joints.f32");
        let flushed = self
            .joints
            .flush()
            .and_then(|()| self.joints.get_ref().sync_all());
        flushed.map_err(|e| Error::write(&path, e))?;
        let info = dataset.info();
        if self.done.samples == 0 {
            return Err(Error::Input(format!(
                "dataset `{}`: no sequence to import",
                info.name
            )));
        }
        let parts: [(&str, &[u8]); 3] = [
            ("samples.i64", bytemuck::cast_slice(&self.rows)),
            ("fps.f32", bytemuck::cast_slice(&self.fps)),
            ("names.txt", self.names.as_bytes()),
        ];
        for (name, bytes) in parts {
            write_atomically(&part.join(name), bytes)?;
        }
        let index = Index {
            format: FORMAT,
            name: info.name.clone(),
            layout: info.layout.as_ref().clone(),
            classes: info
                .classes
                .iter()
                .map(|(id, name)| (id.0, name.to_owned()))
                .collect(),
            persons: info.persons,
            synthetic: info.synthetic.clone(),
            samples: self.done.samples,
            frames: self.done.frames,
            values: self.values as u64,
            checksums: parts.map(|(_, bytes)| checksum(bytes)),
            source: source.to_owned(),
        };
        let path = part.join("index.json");
        let text =
            serde_json::to_string_pretty(&index).map_err(|e| Error::format(&path, None, e.to_string()))?;
        write_atomically(&path, text.as_bytes())?;
        let sizes = parts.iter().map(|(_, bytes)| bytes.len() as u64).sum::<u64>();
        self.done.bytes = sizes + text.len() as u64 + self.values as u64 * 4;
        Ok(self.done)
    }
}

/// The values up to the last person who is there (one at least), `[T, M', V, 3]`, and M'.
fn trimmed(sequence: &Sequence, joints: usize) -> Result<(Vec<f32>, usize)> {
    let Sequence { frames, persons, .. } = *sequence;
    let one = joints * 3;
    if sequence.joints.len() != frames * persons * one || sequence.joints.is_empty() {
        return Err(Error::Input(format!(
            "has {} numbers, expected {frames} frames of {persons} persons of {joints} joints",
            sequence.joints.len()
        )));
    }
    let bodies = sequence.joints.chunks_exact(one);
    let here = |(_, body): &(usize, &[f32])| body.iter().any(|v| *v != 0.0);
    let last = bodies
        .clone()
        .enumerate()
        .filter(here)
        .map(|(i, _)| i % persons)
        .max();
    let kept = last.unwrap_or(0) + 1;
    let wanted = bodies.enumerate().filter(|(i, _)| i % persons < kept);
    Ok((wanted.flat_map(|(_, body)| body.iter().copied()).collect(), kept))
}
