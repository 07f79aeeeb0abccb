//! Small stand-ins for tests of components.

use std::sync::Arc;

use tch::{Device, Kind, Tensor};

use crate::checkpoint::NamedTensors;
use crate::component::{BuildContext, Capabilities, EncoderSpec};
use crate::progress::{Cancel, Silent};
use crate::types::{
    ClassList, FeatureMap, Granularity, Part, Scores, SeenFeatures, SemanticAnchors, SkeletonLayout,
};
use crate::{Aligner, FitContext, FitSummary, Precision, Result, Seed, Task};

/// A chain of `joints` joints; each of the four parts is one joint (the last takes the rest).
pub fn layout(joints: usize) -> SkeletonLayout {
    let parts = ["head", "hands", "torso", "legs"];
    SkeletonLayout {
        name: format!("chain{joints}"),
        joints: (0..joints).map(|j| format!("joint{j}")).collect(),
        bones: (1..joints).map(|j| (j, j - 1)).collect(),
        centre: 0,
        spine: 0,
        shoulders: (0, joints - 1),
        mirror: Vec::new(),
        parts: (0..4)
            .map(|p| Part {
                name: parts[p].into(),
                joints: if p < 3 {
                    vec![p.min(joints - 1)]
                } else {
                    (3.min(joints - 1)..joints).collect()
                },
            })
            .collect(),
    }
}

/// `count` classes named `class 0`, `class 1`, ...
pub fn classes(count: usize) -> ClassList {
    let list = ClassList::numbered((0..count).map(|i| format!("class {i}")));
    list.unwrap_or_else(|e| panic!("numbered names are distinct: {e}"))
}

/// Random unit anchors of `count` classes over the eight texts of PURLS.
pub fn anchors(count: usize, width: i64) -> SemanticAnchors {
    let raw = Tensor::randn([count as i64, 8, width], (Kind::Float, Device::Cpu));
    let values = &raw
        / raw
            .square()
            .sum_dim_intlist([-1i64].as_slice(), true, Kind::Float)
            .sqrt();
    SemanticAnchors {
        values,
        granularities: Granularity::PURLS_ORDER.to_vec(),
        classes: classes(count),
    }
}

/// A task of `count` candidates on features `[_, channels, frames, joints]`.
pub fn task(count: usize, channels: i64, frames: i64, joints: i64) -> Task {
    Task {
        candidates: classes(count),
        anchors: anchors(count, 8),
        features: EncoderSpec {
            channels,
            frames,
            joints,
            classifies: false,
        },
        layout: Arc::new(layout(joints as usize)),
        device: Device::Cpu,
        seed: Seed(0),
    }
}

/// A context for `build`.
pub fn build_context() -> BuildContext {
    BuildContext {
        device: Device::Cpu,
        seed: Seed(0),
        cache: std::env::temp_dir().join("szar-test-cache"),
    }
}

static SILENT: Silent = Silent;

/// A context for `fit` that shows and saves nothing.
pub fn fit_context(cancel: &Cancel) -> FitContext<'_> {
    FitContext {
        device: Device::Cpu,
        precision: Precision::F32,
        seed: Seed(0),
        progress: &SILENT,
        cancel,
        checkpoint: None,
    }
}

/// An aligner that gives zeros, for adapters that never ask.
#[derive(Clone, Copy, Debug, Default)]
pub struct NoModel;

impl Aligner for NoModel {
    fn capabilities(&self) -> Capabilities {
        Capabilities::default()
    }

    fn fit(&mut self, _: &SeenFeatures, _: &SemanticAnchors, _: &mut FitContext) -> Result<FitSummary> {
        Ok(FitSummary::default())
    }

    fn score(&self, features: &FeatureMap, anchors: &SemanticAnchors) -> Result<Scores> {
        let shape = [features.dims().0, anchors.classes.len() as i64];
        Ok(Scores {
            logits: Tensor::zeros(shape, (Kind::Float, features.values.device())),
        })
    }

    fn state(&self) -> NamedTensors {
        NamedTensors::new()
    }

    fn load_state(&mut self, _: &NamedTensors) -> Result<()> {
        Ok(())
    }
}
