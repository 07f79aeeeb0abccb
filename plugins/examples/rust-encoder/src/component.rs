//! An encoder: where each joint is relative to the middle of the body, and how much it moves.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use szar_plugin::{
    BuildContext, ComponentInfo, ComponentKind, EncoderConfig, EncoderSpec, Encoding, FeatureMap, FitContext,
    FitSummary, InputSpec, NamedTensors, Problems, Result, SeenSkeletons, SkeletonBatch, SkeletonEncoder,
    checkpoint, shape,
};
use tch::{Kind, Tensor};

/// Options of `joint-statistics`.
#[derive(Clone, Debug, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct JointStatisticsConfig {
    /// Multiplies the coordinates, above 0. Default: 1, metres.
    pub scale: f64,
}

impl Default for JointStatisticsConfig {
    fn default() -> Self {
        Self { scale: 1.0 }
    }
}

#[typetag::serde(name = "joint-statistics")]
impl EncoderConfig for JointStatisticsConfig {
    fn validate(&self, problems: &mut Problems) {
        let scale = self.scale;
        problems.check(scale > 0.0 && scale.is_finite(), "scale", || {
            format!("must be above 0, got {scale}")
        });
    }

    fn spec(&self, input: &InputSpec) -> EncoderSpec {
        EncoderSpec {
            channels: 6,
            frames: 1,
            joints: input.layout.len() as i64,
            classifies: false,
        }
    }

    fn build(&self, input: &InputSpec, ctx: &BuildContext) -> Result<Box<dyn SkeletonEncoder>> {
        let options = (Kind::Float, ctx.device);
        Ok(Box::new(JointStatistics {
            spec: self.spec(input),
            scale: self.scale,
            centre: input.layout.centre as i64,
            mean: Tensor::zeros([6], options),
            deviation: Tensor::ones([6], options),
        }))
    }
}

inventory::submit! {
    ComponentInfo::new::<JointStatisticsConfig>(
        ComponentKind::Encoder,
        "joint-statistics",
        "Mean and deviation over time of every joint, relative to the middle of the body.",
        "",
    )
}

/// The runtime part.
#[derive(Debug)]
struct JointStatistics {
    spec: EncoderSpec,
    scale: f64,
    /// The joint in the middle.
    centre: i64,
    /// `[6]`, of the features in training.
    mean: Tensor,
    /// `[6]`, above 0.
    deviation: Tensor,
}

impl JointStatistics {
    /// `[B, 6, 1, V]`, before they are brought to the mean and deviation of training.
    fn measure(&self, batch: &SkeletonBatch) -> Result<Tensor> {
        let joints = &batch.joints;
        let wanted = [None, Some(3), None, Some(self.spec.joints), None];
        let [samples, _, frames, _, persons] = shape::sizes("joints", joints, wanted)?;
        let device = joints.device();
        let present: Vec<f32> = batch
            .present
            .iter()
            .map(|there| f32::from(u8::from(*there)))
            .collect();
        let present = Tensor::from_slice(&present)
            .to_device(device)
            .view([samples, 1, 1, 1, persons]);
        // Padding does not count: a frame is there when it comes before the end of its sequence.
        let time = Tensor::arange(frames, (Kind::Int64, device)).view([1, 1, frames, 1, 1]);
        let ends = batch.frames.to_device(device).view([samples, 1, 1, 1, 1]);
        let there = time.lt_tensor(&ends).to_kind(Kind::Float) * present;
        let count = there
            .sum_dim_intlist([2i64, 4].as_slice(), true, Kind::Float)
            .clamp_min(1.0);
        let centred = (joints - joints.narrow(3, self.centre, 1)) * self.scale;
        let over =
            |x: &Tensor| (x * &there).sum_dim_intlist([2i64, 4].as_slice(), true, Kind::Float) / &count;
        let mean = over(&centred);
        let deviation = over(&(&centred - &mean).square()).sqrt();
        Ok(Tensor::cat(&[mean, deviation], 1).squeeze_dim(-1))
    }
}

impl SkeletonEncoder for JointStatistics {
    fn spec(&self) -> EncoderSpec {
        self.spec
    }

    fn encode(&self, batch: &SkeletonBatch) -> Result<Encoding> {
        let _no_grad = tch::no_grad_guard();
        let shape = [1i64, 6, 1, 1];
        let values = (self.measure(batch)? - self.mean.view(shape)) / self.deviation.view(shape);
        Ok(Encoding {
            features: FeatureMap::new(values)?,
            seen_logits: None,
        })
    }

    /// Mean and deviation of each channel over the training samples.
    fn fit(
        &mut self,
        train: &dyn SeenSkeletons,
        _: &dyn SeenSkeletons,
        ctx: &mut FitContext,
    ) -> Result<FitSummary> {
        const BATCH: usize = 64;
        let _no_grad = tch::no_grad_guard();
        let places: Vec<usize> = (0..train.labels().len()).collect();
        let mut parts = Vec::new();
        ctx.progress.begin("statistics", places.len() as u64);
        for part in places.chunks(BATCH) {
            ctx.cancel.check()?;
            parts.push(self.measure(&train.batch(part)?.to_device(ctx.device))?);
            ctx.progress
                .advance((parts.len() * BATCH).min(places.len()) as u64, "");
        }
        ctx.progress.end();
        if !parts.is_empty() {
            let all = Tensor::cat(&parts, 0);
            let axes = [0i64, 2, 3];
            self.mean
                .copy_(&all.mean_dim(axes.as_slice(), false, Kind::Float));
            self.deviation
                .copy_(&all.std_dim(axes.as_slice(), false, false).clamp_min(1e-6));
        }
        Ok(FitSummary::default())
    }

    fn state(&self) -> NamedTensors {
        NamedTensors::from([
            ("mean".to_owned(), self.mean.shallow_clone()),
            ("std".to_owned(), self.deviation.shallow_clone()),
        ])
    }

    fn load_state(&mut self, state: &NamedTensors) -> Result<()> {
        checkpoint::copy_into(&self.state(), state, |_| false)
    }
}
