//! A dataset that reads a sequence when it is asked for: opening it lists names, classes and subjects alone.

use std::path::{Path, PathBuf};

use rayon::prelude::*;
use szar_core::{ClassSplit, Dataset, DatasetInfo, Error, Result, SampleInfo, Sequence};

use super::quality::{self, Exclusion, Flags};
use super::recorded::{Recording, SplitSource};

/// Reads the sample of this number from the file of this path.
pub(crate) type Read = Box<dyn Fn(&Path, usize) -> Result<Sequence> + Send + Sync>;

/// Samples, their files and what reads them.
pub(crate) struct OnDemand {
    pub(crate) info: DatasetInfo,
    pub(crate) samples: Vec<SampleInfo>,
    /// The file of each sample.
    paths: Vec<PathBuf>,
    read: Read,
    split: SplitSource,
}

impl OnDemand {
    /// Puts a dataset together; `samples` and `paths` go by the same number.
    ///
    /// # Errors
    /// When two samples have one name, or there is none.
    pub(crate) fn new(
        info: DatasetInfo,
        samples: Vec<SampleInfo>,
        paths: Vec<PathBuf>,
        split: SplitSource,
        read: Read,
    ) -> Result<Self> {
        let mut names: Vec<_> = samples.iter().map(|s| s.name.as_str()).zip(&paths).collect();
        names.sort();
        if let Some(pair) = names.windows(2).find(|pair| pair[0].0 == pair[1].0) {
            let why = format!(
                "holds a sample `{}`, which {} holds too",
                pair[1].0,
                pair[0].1.display()
            );
            return Err(Error::format(pair[1].1, None, why));
        }
        if names.is_empty() {
            return Err(Error::Input(format!("dataset `{}` has no sample", info.name)));
        }
        Ok(Self {
            info,
            samples,
            paths,
            read,
            split,
        })
    }

    /// Marks sequences with these flaws as unusable, for which all are read now. Nothing to exclude reads nothing.
    pub(crate) fn excluding(mut self, exclude: &[Exclusion]) -> Result<Self> {
        if exclude.is_empty() {
            return Ok(self);
        }
        let read = |sample| self.load(sample);
        let sequences: Vec<Result<Sequence>> = (0..self.samples.len()).into_par_iter().map(read).collect();
        let (mut recordings, mut values) = (Vec::new(), Vec::new());
        let width = self.info.layout.len() * 3;
        for (sample, sequence) in self.samples.iter().zip(sequences) {
            let sequence = sequence?;
            let bodies = sequence.joints.chunks_exact(width * sequence.persons);
            values.extend(bodies.flat_map(|frame| &frame[..width]));
            recordings.push(Recording {
                name: sample.name.clone(),
                class: sample.class,
                subject: sample.subject,
                role: sample.role,
                flags: Flags::default(),
                frames: sequence.frames,
            });
        }
        let layout = &self.info.layout;
        quality::assess(&mut recordings, &values, layout.len(), &layout.bones);
        for (sample, recording) in self.samples.iter_mut().zip(recordings) {
            sample.usable = recording.flags.usable(exclude);
        }
        Ok(self)
    }
}

impl Dataset for OnDemand {
    fn info(&self) -> &DatasetInfo {
        &self.info
    }

    fn samples(&self) -> &[SampleInfo] {
        &self.samples
    }

    fn load(&self, sample: usize) -> Result<Sequence> {
        let Some(path) = self.paths.get(sample) else {
            let count = self.samples.len();
            return Err(Error::Input(format!(
                "sample number {sample} is not there, the dataset has {count}"
            )));
        };
        let sequence = (self.read)(path, sample)?;
        check(&sequence, &self.info, path, &self.samples[sample].name)?;
        Ok(sequence)
    }

    fn split(&self) -> Result<ClassSplit> {
        let SplitSource {
            config,
            file,
            dataset,
        } = &self.split;
        config.resolve(file, dataset, &self.info.classes)
    }
}

/// Refuses a sequence of no frame, of another size than it says, or with a value that is no finite number.
fn check(sequence: &Sequence, info: &DatasetInfo, path: &Path, name: &str) -> Result<()> {
    let joints = info.layout.len();
    let width = info.persons * joints * 3;
    if sequence.frames == 0 {
        return Err(Error::format(path, None, "has no frame, expected at least one"));
    }
    if sequence.persons != info.persons || sequence.joints.len() != sequence.frames * width {
        let why = format!(
            "gives {} numbers for {} frames of {} persons, expected {width} a frame",
            sequence.joints.len(),
            sequence.frames,
            sequence.persons
        );
        return Err(Error::format(path, None, why));
    }
    if let Some(at) = sequence.joints.iter().position(|v| !v.is_finite()) {
        let joint = &info.layout.joints[at % width / 3 % joints];
        let place = format!("sequence `{name}`, frame {}, joint `{joint}`", at / width);
        let why = format!("is {}, expected a number", sequence.joints[at]);
        return Err(Error::format(path, place, why));
    }
    Ok(())
}
