//! A dataset in memory, for tests of what reads any dataset.

use std::sync::Arc;

use szar_core::{
    ClassId, ClassList, ClassSplit, Dataset, DatasetInfo, Error, Result, SampleInfo, SampleRole, Sequence,
};

use crate::layouts;

/// Sequences on `common15`; one that is absent cannot be read.
pub(crate) struct Toy {
    info: DatasetInfo,
    samples: Vec<SampleInfo>,
    sequences: Vec<Option<Sequence>>,
}

impl Toy {
    /// An empty set with these classes.
    pub fn new(classes: &[&str]) -> Self {
        let info = DatasetInfo {
            name: "toy".into(),
            layout: Arc::clone(&layouts::by_name("common15").unwrap()),
            classes: ClassList::numbered(classes.iter().copied()).unwrap(),
            persons: 1,
            synthetic: None,
        };
        Self {
            info,
            samples: Vec::new(),
            sequences: Vec::new(),
        }
    }

    /// Adds a usable sequence of subject 1.
    pub fn add(&mut self, name: &str, class: i64, role: SampleRole, sequence: Option<Sequence>) {
        self.samples.push(SampleInfo {
            name: name.into(),
            class: ClassId(class),
            subject: Some(1),
            role,
            usable: true,
        });
        self.sequences.push(sequence);
    }

    /// The sample added last, to be changed.
    pub fn last(&mut self) -> &mut SampleInfo {
        self.samples.last_mut().unwrap()
    }
}

impl Dataset for Toy {
    fn info(&self) -> &DatasetInfo {
        &self.info
    }

    fn samples(&self) -> &[SampleInfo] {
        &self.samples
    }

    fn load(&self, sample: usize) -> Result<Sequence> {
        let bad = || Error::Input("the file ends in frame 3".into());
        self.sequences[sample].clone().ok_or_else(bad)
    }

    fn split(&self) -> Result<ClassSplit> {
        Err(Error::Missing("a split".into()))
    }
}

/// One person who stands at (0, 0, 2): head at 1.7 m, feet at 0; `salt` tells sequences apart.
pub(crate) fn standing(frames: usize, salt: f32) -> Sequence {
    // head neck torso, left arm, right arm, left leg, right leg; left is at +x
    let plane: [[f32; 2]; 15] = [
        [0.0, 1.7],
        [0.0, 1.5],
        [0.0, 1.2],
        [0.2, 1.45],
        [0.3, 1.2],
        [0.35, 0.9],
        [-0.2, 1.45],
        [-0.3, 1.2],
        [-0.35, 0.9],
        [0.1, 0.9],
        [0.12, 0.5],
        [0.13, 0.01],
        [-0.1, 0.9],
        [-0.12, 0.5],
        [-0.13, 0.01],
    ];
    let frame = plane.iter().flat_map(|[x, y]| [*x, *y, 2.0 + salt]);
    Sequence {
        joints: (0..frames).flat_map(|_| frame.clone()).collect(),
        frames,
        persons: 1,
        fps: 30.0,
    }
}
