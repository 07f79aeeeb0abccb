//! A dataset of the other side.

use std::sync::Arc;

use szar_core::{ClassSplit, Dataset, DatasetInfo, Result, SampleInfo, Sequence, host};
use szar_plugin_abi as abi;
use tch::Device;

use super::{Asked, Handle};
use crate::wire::{Frame, Info};

/// A dataset behind a table; its samples are listed once.
#[derive(Debug)]
pub struct ForeignDataset {
    handle: Handle,
    table: &'static abi::Dataset,
    info: DatasetInfo,
    samples: Vec<SampleInfo>,
}

impl ForeignDataset {
    /// Wraps an object of this table.
    ///
    /// # Errors
    /// When it does not say what it holds, or its layout contradicts itself.
    pub fn new(handle: Handle, table: &'static abi::Dataset) -> Result<Self> {
        let answer = handle.must("info", &Asked::default())?;
        let info: Info = handle.json("info", &answer)?;
        info.layout
            .validate()
            .map_err(|e| handle.who.error("info", e.to_string()))?;
        let answer = handle.must("samples", &Asked::default())?;
        let samples = handle.json("samples", &answer)?;
        Ok(Self {
            info: DatasetInfo {
                name: info.name,
                layout: Arc::clone(&info.layout),
                classes: info.classes,
                persons: info.persons,
                synthetic: info.synthetic,
            },
            samples,
            handle,
            table,
        })
    }
}

impl Dataset for ForeignDataset {
    fn info(&self) -> &DatasetInfo {
        &self.info
    }

    fn samples(&self) -> &[SampleInfo] {
        &self.samples
    }

    fn load(&self, sample: usize) -> Result<Sequence> {
        let load = |object, out| {
            // SAFETY: the object is valid and the boundary allows several threads here.
            unsafe { (self.table.load)(object, sample as u64, out) }
        };
        let mut answer = self.handle.run("load", load)?;
        let frame: Frame = self.handle.json("load", &answer)?;
        let who = &self.handle.who;
        let parts = [frame.persons, frame.frames, self.info.layout.len(), 3];
        let count = parts.iter().try_fold(1usize, |all, part| all.checked_mul(*part));
        let count = count.and_then(|count| i64::try_from(count).ok());
        let count = count.ok_or_else(|| who.error("load", "says that it is larger than any memory"))?;
        let joints = who.sound("load", answer.tensor("joints"))?.flatten(0, -1);
        let joints = who.checked("load", Ok(joints), [Some(count)], Device::Cpu)?;
        Ok(Sequence {
            joints: host::HostF32::new(&joints).as_slice().to_vec(),
            frames: frame.frames,
            persons: frame.persons,
            fps: frame.fps,
        })
    }

    fn split(&self) -> Result<ClassSplit> {
        let answer = self.handle.must("split", &Asked::default())?;
        self.handle.json("split", &answer)
    }
}
