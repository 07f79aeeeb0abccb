//! Small stand-ins for tests of components.

use std::sync::Arc;

use tch::{Device, Kind, Tensor};

use crate::checkpoint::NamedTensors;
use crate::component::{BuildContext, Capabilities, EncoderSpec};
use crate::progress::{Cancel, Silent};
use crate::types::{
    ClassList, FeatureMap, Granularity, Part, Scores, SeenFeatures, SemanticAnchors, SkeletonLayout,
};
use crate::{
    Aligner, Embedding, FitContext, FitSummary, Linear, Observation, Precision, Result, SampleRef, Seed,
    Task, TestTimeAdapter,
};

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

/// Values in `[0, 1)` by name, f64 of this shape: SplitMix64 from the FNV-1a hash of the name, the stream of recorded test
/// vectors. Tests that run side by side share libtorch's generator, and disturb each other's draws; these they do not.
pub fn uniform(name: &str, shape: &[i64]) -> Tensor {
    let hash = |hash: u64, byte: u8| (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3);
    let start = name.bytes().fold(0xcbf2_9ce4_8422_2325, hash);
    let draw = |i: u64| {
        let z = start.wrapping_add(i.wrapping_mul(0x9e37_79b9_7f4a_7c15));
        let z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        ((z ^ (z >> 31)) >> 11) as f64 / (1u64 << 53) as f64
    };
    let count = shape.iter().product::<i64>().cast_unsigned();
    Tensor::from_slice(&(1..=count).map(draw).collect::<Vec<_>>()).view(shape)
}

/// Standard normal values by name, f32 of this shape: the Box-Muller transform of [`uniform`]'s.
pub fn normal(name: &str, shape: &[i64]) -> Tensor {
    let length = ((uniform(name, shape) * -1.0).log1p() * -2.0).sqrt();
    let angle = uniform(&format!("{name}, angle"), shape) * std::f64::consts::TAU;
    (length * angle.cos()).to_kind(Kind::Float)
}

/// Random unit anchors of `count` classes over the eight texts of PURLS.
pub fn anchors(count: usize, width: i64) -> SemanticAnchors {
    let raw = normal("anchors", &[count as i64, 8, width]);
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
        seen: vec![false; count],
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
        streams: 1,
        expected: 0,
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
        motion: None,
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

/// An aligner whose features are vectors already: pooled features `[B, d]` against the global texts, `scale · x · tᵀ`.
#[derive(Clone, Copy, Debug)]
pub struct DotModel {
    /// Multiplies the logits.
    pub scale: f64,
}

impl DotModel {
    fn text(anchors: &SemanticAnchors) -> Result<Tensor> {
        Ok(anchors.granularity(&Granularity::GLOBAL)?.to_kind(Kind::Float))
    }
}

impl Aligner for DotModel {
    fn capabilities(&self) -> Capabilities {
        Capabilities {
            granularities: vec![Granularity::GLOBAL],
            differentiable_in_anchors: true,
            differentiable_in_features: true,
            visual_embeddings: true,
            node_embeddings: true,
            ..Capabilities::default()
        }
    }

    fn fit(&mut self, _: &SeenFeatures, _: &SemanticAnchors, _: &mut FitContext) -> Result<FitSummary> {
        Ok(FitSummary::default())
    }

    fn score(&self, features: &FeatureMap, anchors: &SemanticAnchors) -> Result<Scores> {
        self.score_condensed(&self.condense(features)?, anchors)
    }

    fn condense(&self, features: &FeatureMap) -> Result<Tensor> {
        Ok(features.pooled())
    }

    fn score_condensed(&self, rows: &Tensor, anchors: &SemanticAnchors) -> Result<Scores> {
        let logits = rows.f_matmul(&Self::text(anchors)?.transpose(0, 1))?;
        Ok(Scores {
            logits: logits * self.scale,
        })
    }

    fn linear(&self, anchors: &SemanticAnchors) -> Result<Option<Linear>> {
        Ok(Some(Linear {
            granularities: vec![usize::try_from(anchors.slot(&Granularity::GLOBAL)?).unwrap_or(0)],
            scale: self.scale,
        }))
    }

    fn embed(&self, features: &FeatureMap, anchors: &SemanticAnchors) -> Result<Embedding> {
        Ok(Embedding {
            visual: features.pooled(),
            classes: Self::text(anchors)?,
        })
    }

    fn embed_nodes(&self, features: &FeatureMap, _: &SemanticAnchors) -> Result<Tensor> {
        Ok(features.values.to_kind(Kind::Float).flatten(2, 3).transpose(1, 2))
    }

    fn state(&self) -> NamedTensors {
        NamedTensors::new()
    }

    fn load_state(&mut self, _: &NamedTensors) -> Result<()> {
        Ok(())
    }
}

/// Plays a stream of pooled features `[n, d]` in batches through an adapter that has begun, and gives all scores `[n, C]`.
///
/// # Errors
/// Whatever the aligner or the adapter refuses.
pub fn play(
    adapter: &mut dyn TestTimeAdapter,
    model: &dyn Aligner,
    anchors: &SemanticAnchors,
    features: &FeatureMap,
    batch: i64,
) -> Result<Tensor> {
    let count = features.dims().0;
    let mut all = Vec::new();
    for from in (0..count).step_by(usize::try_from(batch).unwrap_or(1).max(1)) {
        let len = batch.min(count - from);
        let part = features.narrow(from, len);
        let scores = tch::no_grad(|| model.score(&part, anchors))?;
        let samples = SampleRef::run(from.unsigned_abs(), usize::try_from(len).unwrap_or(0));
        let seen = Observation::new(&part, &scores, &samples);
        all.push(adapter.step(&seen, model)?.logits);
    }
    Ok(Tensor::cat(&all, 0))
}
