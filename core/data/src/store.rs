//! Preprocessed sequences of a run in one host tensor, from which batches are taken.

use std::ops::Range;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use rayon::prelude::*;
use szar_core::{
    Cancel, Dataset, Error, PreprocessorConfig, Progress, Result, Sequence, SkeletonBatch, SkeletonLayout,
    host,
};
use tch::{Device, Kind, Tensor};

/// Where sequences go that are too many for the memory: to a file without a name, which is mapped, so that the system
/// keeps in memory what is used and no more. The file is gone when the store is dropped, or the process ends.
#[derive(Clone, Debug)]
pub struct Spill {
    /// Folder of the file.
    pub folder: PathBuf,
    /// Bytes that stay in memory.
    pub above: u64,
}

/// All sequences of a run, preprocessed.
#[derive(Debug)]
pub struct SkeletonStore {
    /// `[n, 3, T, V, M]` f32 on the CPU.
    joints: Tensor,
    /// `[n]` i64 on the CPU.
    frames: Tensor,
    /// n * M, sample-major.
    present: Vec<bool>,
    layout: Arc<SkeletonLayout>,
}

/// Of one sample: frames that carry data, and who is there.
type Filled = (usize, Vec<bool>);

impl SkeletonStore {
    /// Reads and preprocesses `samples` (numbers in the dataset, any order) on all cores.
    ///
    /// Persons that are in none of them are left out: M is what the data needs.
    ///
    /// # Errors
    /// The first sample, in the order given, that cannot be read or preprocessed, by name;
    /// [`Error::Cancelled`] when asked to stop.
    pub fn load(
        dataset: &dyn Dataset,
        preprocess: &dyn PreprocessorConfig,
        samples: &[usize],
        progress: &dyn Progress,
        cancel: &Cancel,
    ) -> Result<Self> {
        Self::load_within(dataset, preprocess, samples, None, progress, cancel)
    }

    /// As [`Self::load`], in a file when it is much.
    ///
    /// # Errors
    /// As [`Self::load`], and when the file cannot be made or the disk has no room for it.
    pub fn load_within(
        dataset: &dyn Dataset,
        preprocess: &dyn PreprocessorConfig,
        samples: &[usize],
        spill: Option<&Spill>,
        progress: &dyn Progress,
        cancel: &Cancel,
    ) -> Result<Self> {
        let info = dataset.info();
        let (layout, persons) = (Arc::clone(&info.layout), info.persons);
        let frames = usize::try_from(preprocess.frames()).unwrap_or(0);
        if samples.is_empty() || frames == 0 || persons == 0 {
            let name = &info.name;
            return Err(Error::Input(format!(
                "dataset `{name}`: nothing to read (no sample, frame or person)"
            )));
        }
        let shape = [samples.len(), 3, frames, layout.len(), persons].map(|n| n as i64);
        let mut joints = room(&shape, spill)?;
        progress.begin("sequences", samples.len() as u64);
        let done = AtomicU64::new(0);
        let size = 3 * frames * layout.len() * persons;
        let filled: Vec<Result<Filled>> = host::slice_mut(&mut joints)
            .par_chunks_mut(size)
            .zip(samples)
            .map(|(out, sample)| {
                cancel.check()?;
                let filled = fill(dataset, preprocess, *sample, frames, out)?;
                progress.advance(done.fetch_add(1, Ordering::Relaxed) + 1, "");
                Ok(filled)
            })
            .collect();
        progress.end();
        let filled = filled.into_iter().collect::<Result<Vec<Filled>>>()?;
        let counts: Vec<i64> = filled.iter().map(|(valid, _)| *valid as i64).collect();
        let store = Self {
            joints,
            frames: Tensor::from_slice(&counts),
            present: filled.into_iter().flat_map(|(_, present)| present).collect(),
            layout,
        };
        store.trimmed(spill)
    }

    /// Leaves out the last persons that no sample has.
    fn trimmed(mut self, spill: Option<&Spill>) -> Result<Self> {
        let persons = self.persons();
        let last = self
            .present
            .chunks_exact(persons)
            .filter_map(|p| p.iter().rposition(|there| *there))
            .max();
        let kept = last.unwrap_or(0) + 1;
        if kept < persons {
            let part = self.joints.narrow(4, 0, kept as i64);
            let joints = room(&part.size(), spill)?;
            for start in (0..self.len()).step_by(CHUNK) {
                let count = CHUNK.min(self.len() - start) as i64;
                let rows = |t: &Tensor| t.narrow(0, start as i64, count);
                rows(&joints).copy_(&rows(&part));
            }
            self.joints = joints;
            self.present = self
                .present
                .chunks_exact(persons)
                .flat_map(|p| &p[..kept])
                .copied()
                .collect();
        }
        Ok(self)
    }

    /// n.
    pub fn len(&self) -> usize {
        self.size(0)
    }

    /// True when there is no sequence, which [`Self::load`] never gives.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// T, frames of every sequence.
    pub fn frames(&self) -> usize {
        self.size(2)
    }

    /// M, persons at most.
    pub fn persons(&self) -> usize {
        self.size(4)
    }

    /// What the joints are.
    pub fn layout(&self) -> &Arc<SkeletonLayout> {
        &self.layout
    }

    /// `[n, 3, T, V, M]` f32 on the CPU.
    pub fn joints(&self) -> &Tensor {
        &self.joints
    }

    /// Frames that carry data, of some rows. Panics beyond the last row.
    pub fn lengths(&self, rows: &Range<usize>) -> Vec<i64> {
        let of = |row: usize| self.frames.int64_value(&[row as i64]);
        rows.clone().map(of).collect()
    }

    /// The values of some rows, `[rows, 3, T, V, M]` row-major. Panics beyond the last row.
    pub fn values(&self, rows: Range<usize>) -> &[f32] {
        let size: usize = (1..5).map(|d| self.size(d)).product();
        &host::slice(&self.joints)[rows.start * size..rows.end * size]
    }

    /// The sequences of these rows (places in the list given to [`Self::load`]), on a device.
    ///
    /// # Errors
    /// [`Error::Input`] when a row is not there.
    pub fn batch(&self, rows: &[usize], device: Device) -> Result<SkeletonBatch> {
        if let Some(row) = rows.iter().find(|row| **row >= self.len()) {
            let count = self.len();
            return Err(Error::Input(format!(
                "sequence {row} was asked for, the store has {count}"
            )));
        }
        let index: Vec<i64> = rows.iter().map(|row| *row as i64).collect();
        let index = Tensor::from_slice(&index);
        let persons = self.persons();
        let present = rows
            .iter()
            .flat_map(|row| &self.present[row * persons..(row + 1) * persons]);
        Ok(SkeletonBatch {
            joints: self.joints.index_select(0, &index).to_device(device),
            frames: self.frames.index_select(0, &index).to_device(device),
            present: present.copied().collect(),
            layout: Arc::clone(&self.layout),
        })
    }

    fn size(&self, dim: usize) -> usize {
        usize::try_from(self.joints.size()[dim]).unwrap_or(0)
    }
}

/// Sequences that are copied at once.
const CHUNK: usize = 256;

/// Zeros of this size, in memory or, where they are much, in a file.
///
/// # Errors
/// When the file cannot be made or the disk has no room for it.
pub fn room(size: &[i64], spill: Option<&Spill>) -> Result<Tensor> {
    let options = (Kind::Float, Device::Cpu);
    let count = size.iter().product::<i64>();
    let bytes = count as u64 * 4;
    let Some(spill) = spill.filter(|spill| bytes > spill.above) else {
        return Ok(Tensor::zeros(size, options));
    };
    let write = |e| Error::write(&spill.folder, e);
    std::fs::create_dir_all(&spill.folder).map_err(write)?;
    let file = tempfile::NamedTempFile::new_in(&spill.folder).map_err(write)?;
    // All of it now: a mapped file that outgrows the disk ends the process.
    rustix::fs::fallocate(file.as_file(), rustix::fs::FallocateFlags::empty(), 0, bytes)
        .map_err(|e| write(e.into()))?;
    let path = file.path().to_str().ok_or_else(|| {
        let folder = spill.folder.display();
        Error::Input(format!(
            "{folder}: expected a folder whose name is UTF-8; set `SZAR_CACHE`"
        ))
    })?;
    Ok(Tensor::f_from_file(path, true, count, options)?.view(size))
}

/// Reads and preprocesses one sample into `out`, `[3, T, V, M]`.
fn fill(
    dataset: &dyn Dataset,
    preprocess: &dyn PreprocessorConfig,
    sample: usize,
    frames: usize,
    out: &mut [f32],
) -> Result<Filled> {
    let info = dataset.info();
    let name = || match dataset.samples().get(sample) {
        Some(known) => format!("dataset `{}`, sequence `{}`", info.name, known.name),
        None => format!("dataset `{}`, sequence {sample}", info.name),
    };
    let read = || {
        let raw = dataset.load(sample)?;
        let (sequence, valid) = preprocess.apply(&raw, &info.layout)?;
        let fits = sequence.frames == frames
            && sequence.persons == info.persons
            && sequence.joints.len() == out.len();
        if !fits {
            return Err(Error::Input(format!(
                "preprocessing gave {} frames of {} persons, expected {frames} of {}",
                sequence.frames, sequence.persons, info.persons
            )));
        }
        Ok((sequence, valid))
    };
    let (sequence, valid) = read().map_err(|e: Error| e.context(name()))?;
    let present = transpose(&sequence, info.layout.len(), out);
    Ok((valid, present))
}

/// One preprocessed sequence, of whose frames `valid` carry data, as a batch on a device.
///
/// # Errors
/// [`Error::Shape`] when it has not the joints of the layout.
pub fn batch_of(
    sequence: &Sequence,
    valid: usize,
    layout: &Arc<SkeletonLayout>,
    device: Device,
) -> Result<SkeletonBatch> {
    let Sequence { frames, persons, .. } = *sequence;
    let size = [1, 3, frames, layout.len(), persons].map(|n| n as i64);
    let mut joints = Tensor::empty(size, (Kind::Float, Device::Cpu));
    if joints.numel() != sequence.joints.len() || sequence.joints.is_empty() {
        return Err(Error::Shape {
            what: "joints of a sequence".into(),
            got: vec![sequence.joints.len() as i64],
            want: format!("{size:?} numbers"),
        });
    }
    let present = transpose(sequence, layout.len(), host::slice_mut(&mut joints));
    Ok(SkeletonBatch {
        joints: joints.to_device(device),
        frames: Tensor::from_slice(&[valid as i64]).to_device(device),
        present,
        layout: Arc::clone(layout),
    })
}

/// Writes `[T, M, V, 3]` as `[3, T, V, M]`; tells which persons have a joint that is not zero.
fn transpose(sequence: &Sequence, joints: usize, out: &mut [f32]) -> Vec<bool> {
    let Sequence { frames, persons, .. } = *sequence;
    let mut present = vec![false; persons];
    for (row, values) in sequence.joints.chunks_exact(joints * 3).enumerate() {
        let (frame, person) = (row / persons, row % persons);
        present[person] |= values.iter().any(|v| *v != 0.0);
        for (joint, place) in values.as_chunks::<3>().0.iter().enumerate() {
            for (axis, value) in place.iter().enumerate() {
                out[((axis * frames + frame) * joints + joint) * persons + person] = *value;
            }
        }
    }
    present
}

#[cfg(test)]
mod tests;
