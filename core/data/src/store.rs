//! Preprocessed sequences of a run, in memory or in a file, from which batches are taken.

mod spilled;

use std::borrow::Cow;
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

use spilled::Spilled;

/// Where sequences go that are too many for the memory: to a file without a name, which is gone when the store is dropped,
/// or the process ends.
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
    joints: Joints,
    /// n, T, V and M.
    size: [usize; 4],
    /// `[n]` i64 on the CPU.
    frames: Tensor,
    /// n * M, sample-major.
    present: Vec<bool>,
    layout: Arc<SkeletonLayout>,
}

/// `[n, 3, T, V, M]` f32.
#[derive(Debug)]
enum Joints {
    /// On the CPU.
    Memory(Tensor),
    /// Row after row.
    File(Spilled),
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

    /// As [`Self::load`], in a file when it is much: memory then holds the batches that are in use and no more.
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
        let size = [samples.len(), frames, layout.len(), persons];
        let row = 3 * frames * layout.len() * persons;
        let mut joints = Joints::new(size, row, spill)?;
        progress.begin("sequences", samples.len() as u64);
        let done = AtomicU64::new(0);
        let read = |sample: usize, out: &mut [f32]| {
            cancel.check()?;
            let filled = fill(dataset, preprocess, sample, frames, out)?;
            progress.advance(done.fetch_add(1, Ordering::Relaxed) + 1, "");
            Ok(filled)
        };
        let filled: Vec<Result<Filled>> = match &mut joints {
            Joints::Memory(tensor) => host::slice_mut(tensor)
                .par_chunks_mut(row)
                .zip(samples)
                .map(|(out, sample)| read(*sample, out))
                .collect(),
            Joints::File(file) => samples
                .par_iter()
                .enumerate()
                .map_init(
                    || vec![0.0; row],
                    |out, (at, sample)| {
                        out.fill(0.0);
                        let filled = read(*sample, out)?;
                        file.write(at, out)?;
                        Ok(filled)
                    },
                )
                .collect(),
        };
        progress.end();
        let filled = filled.into_iter().collect::<Result<Vec<Filled>>>()?;
        let counts: Vec<i64> = filled.iter().map(|(valid, _)| *valid as i64).collect();
        let store = Self {
            joints,
            size,
            frames: Tensor::from_slice(&counts),
            present: filled.into_iter().flat_map(|(_, present)| present).collect(),
            layout,
        };
        store.trimmed()
    }

    /// Leaves out the last persons that no sample has.
    fn trimmed(mut self) -> Result<Self> {
        let persons = self.persons();
        let last = self
            .present
            .chunks_exact(persons)
            .filter_map(|p| p.iter().rposition(|there| *there))
            .max();
        let kept = last.unwrap_or(0) + 1;
        if kept < persons {
            match &mut self.joints {
                Joints::Memory(tensor) => *tensor = tensor.narrow(4, 0, kept as i64).contiguous(),
                Joints::File(file) => file.keep_columns(persons, kept)?,
            }
            self.size[3] = kept;
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
        self.size[0]
    }

    /// True when there is no sequence, which [`Self::load`] never gives.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// T, frames of every sequence.
    pub fn frames(&self) -> usize {
        self.size[1]
    }

    /// M, persons at most.
    pub fn persons(&self) -> usize {
        self.size[3]
    }

    /// What the joints are.
    pub fn layout(&self) -> &Arc<SkeletonLayout> {
        &self.layout
    }

    /// Frames that carry data, of some rows. Panics beyond the last row.
    pub fn lengths(&self, rows: &Range<usize>) -> Vec<i64> {
        let of = |row: usize| self.frames.int64_value(&[row as i64]);
        rows.clone().map(of).collect()
    }

    /// The values of some rows, `[rows, 3, T, V, M]` row-major; copied where they lie in a file. Panics beyond the last row.
    ///
    /// # Errors
    /// When the file cannot be read.
    pub fn values(&self, rows: Range<usize>) -> Result<Cow<'_, [f32]>> {
        let row = self.row();
        match &self.joints {
            Joints::Memory(tensor) => Ok(host::slice(tensor)[rows.start * row..rows.end * row].into()),
            Joints::File(file) => {
                let mut values = vec![0.0; rows.len() * row];
                file.read(rows.start, &mut values)?;
                Ok(values.into())
            }
        }
    }

    /// Shows the values of some rows, [`Self::values`], a few rows at a time.
    ///
    /// # Errors
    /// When a file cannot be read.
    pub fn show(&self, rows: Range<usize>, mut see: impl FnMut(&[f32])) -> Result<()> {
        for start in rows.clone().step_by(CHUNK) {
            see(&self.values(start..(start + CHUNK).min(rows.end))?);
        }
        Ok(())
    }

    /// The sequences of these rows (places in the list given to [`Self::load`]), on a device.
    ///
    /// # Errors
    /// [`Error::Input`] when a row is not there; when a file cannot be read.
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
            joints: self.gather(rows, &index)?.to_device(device),
            frames: self.frames.index_select(0, &index).to_device(device),
            present: present.copied().collect(),
            layout: Arc::clone(&self.layout),
        })
    }

    /// `[rows, 3, T, V, M]` on the CPU.
    fn gather(&self, rows: &[usize], index: &Tensor) -> Result<Tensor> {
        match &self.joints {
            Joints::Memory(tensor) => Ok(tensor.index_select(0, index)),
            Joints::File(file) => {
                let [_, frames, joints, persons] = self.size;
                let size = [rows.len(), 3, frames, joints, persons].map(|n| n as i64);
                let mut batch = Tensor::empty(size, (Kind::Float, Device::Cpu));
                let places = host::slice_mut(&mut batch).chunks_exact_mut(self.row());
                places.zip(rows).try_for_each(|(out, row)| file.read(*row, out))?;
                Ok(batch)
            }
        }
    }

    /// How many numbers a sequence has.
    fn row(&self) -> usize {
        3 * self.size[1..].iter().product::<usize>()
    }
}

impl Joints {
    /// Zeros of n, T, V and M, `row` numbers a sequence.
    fn new(size: [usize; 4], row: usize, spill: Option<&Spill>) -> Result<Self> {
        let [count, frames, joints, persons] = size;
        if let Some(spill) = spill.filter(|spill| (count * row) as u64 * 4 > spill.above) {
            return Ok(Self::File(Spilled::new(&spill.folder, count, row)?));
        }
        let size = [count, 3, frames, joints, persons].map(|n| n as i64);
        Ok(Self::Memory(Tensor::zeros(size, (Kind::Float, Device::Cpu))))
    }
}

/// Sequences that are shown at once.
const CHUNK: usize = 64;

/// Zeros of this size, in memory or, where they are much, in a file that is mapped: the system keeps in memory what is used
/// and no more.
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
    let file = spilled::file(&spill.folder, bytes)?;
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
