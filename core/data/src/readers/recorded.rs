//! A dataset held in memory, which every reader here ends in.

use std::path::PathBuf;

use szar_core::{ClassId, ClassSplit, Dataset, DatasetInfo, Error, Result, SampleInfo, SampleRole, Sequence};

use super::quality::{Exclusion, Flags};
use crate::splits::SplitConfig;

/// One sequence as a reader found it.
pub(crate) struct Recording {
    pub(crate) name: String,
    pub(crate) class: ClassId,
    pub(crate) subject: Option<i64>,
    pub(crate) role: SampleRole,
    pub(crate) flags: Flags,
    pub(crate) frames: usize,
}

/// All sequences laid end to end, with what is known of each.
pub(crate) struct Recorded {
    pub(crate) info: DatasetInfo,
    pub(crate) samples: Vec<SampleInfo>,
    #[cfg(test)]
    pub(crate) flags: Vec<Flags>,
    /// `[F, M, V, 3]`.
    values: Vec<f32>,
    /// n + 1 frame numbers.
    offsets: Vec<usize>,
    fps: f32,
    /// The file or folder it came from, for messages.
    source: PathBuf,
    split: SplitSource,
}

/// Where the split comes from.
pub(crate) struct SplitSource {
    pub(crate) config: SplitConfig,
    pub(crate) file: PathBuf,
    pub(crate) dataset: String,
}

impl Recorded {
    /// Puts recordings and their joints together; `values` is `[F, M, V, 3]` with F the sum of their frames.
    pub(crate) fn new(
        info: DatasetInfo,
        recordings: Vec<Recording>,
        values: Vec<f32>,
        fps: f32,
        exclude: &[Exclusion],
        source: PathBuf,
        split: SplitSource,
    ) -> Self {
        let mut offsets = vec![0];
        offsets.extend(recordings.iter().scan(0, |frames, r| {
            *frames += r.frames;
            Some(*frames)
        }));
        #[cfg(test)]
        let flags = recordings.iter().map(|r| r.flags).collect();
        let sample = |r: Recording| SampleInfo {
            usable: r.flags.usable(exclude),
            name: r.name,
            class: r.class,
            subject: r.subject,
            role: r.role,
        };
        Self {
            samples: recordings.into_iter().map(sample).collect(),
            info,
            #[cfg(test)]
            flags,
            values,
            offsets,
            fps,
            source,
            split,
        }
    }

    /// Numbers a frame has: M * V * 3.
    fn width(&self) -> usize {
        self.info.persons * self.info.layout.len() * 3
    }
}

impl Dataset for Recorded {
    fn info(&self) -> &DatasetInfo {
        &self.info
    }

    fn samples(&self) -> &[SampleInfo] {
        &self.samples
    }

    fn load(&self, sample: usize) -> Result<Sequence> {
        let Some(info) = self.samples.get(sample) else {
            let count = self.samples.len();
            return Err(Error::Input(format!(
                "sample number {sample} is not there, the dataset has {count}"
            )));
        };
        let (start, end) = (self.offsets[sample], self.offsets[sample + 1]);
        let joints = self.values[start * self.width()..end * self.width()].to_vec();
        if let Some(at) = joints.iter().position(|v| !v.is_finite()) {
            let (frame, rest) = (at / self.width(), at % self.width());
            let joint = &self.info.layout.joints[rest / 3 % self.info.layout.len()];
            let place = format!("sequence `{}`, frame {frame}, joint `{joint}`", info.name);
            return Err(Error::format(
                &self.source,
                place,
                format!("is {}, expected a number", joints[at]),
            ));
        }
        Ok(Sequence {
            joints,
            frames: end - start,
            persons: self.info.persons,
            fps: self.fps,
        })
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

/// Train for odd subjects, test for even ones: the cross-subject rule of the Kinect v1 sets.
pub(crate) fn odd_subjects_train(subject: i64) -> SampleRole {
    if subject % 2 == 1 {
        SampleRole::Train
    } else {
        SampleRole::Test
    }
}
