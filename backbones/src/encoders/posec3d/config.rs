//! Options of `posec3d`.

use schemars::JsonSchema;
use serde::de::Error as _;
use serde::{Deserialize, Deserializer, Serialize};
use szar_core::component::InputSpec;
use szar_core::{
    BuildContext, ComponentInfo, ComponentKind, EncoderConfig, EncoderSpec, FilePath, Precision, Problems,
    Result, SkeletonEncoder,
};

use super::encoder::PoseC3d;
use super::plan::Plan;
use crate::nn::classifier::TrainConfig;

/// From where the joints are looked at.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum View {
    /// From the front: x to the side, y up.
    #[default]
    Xy,
    /// From the side: z to the side, y up.
    Zy,
    /// From above: x to the side, z up.
    Xz,
}

impl View {
    /// Coordinates that run across the picture and up in it.
    pub(super) fn axes(self) -> (i64, i64) {
        match self {
            Self::Xy => (0, 1),
            Self::Zy => (2, 1),
            Self::Xz => (0, 2),
        }
    }
}

/// Over what the map of cells is averaged.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum Pool {
    /// Over the cells where a joint is: V' = V nodes a frame, moved together so that their mean is the mean of all cells.
    #[default]
    Joints,
    /// Over nothing: V' = H' W' nodes a frame, which are no joints.
    Cells,
    /// Over the cells of a frame: V' = 1.
    Image,
    /// Over everything: pooled features.
    Clip,
}

/// Options of the `posec3d` encoder.
#[derive(Clone, Debug, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct PoseC3dConfig {
    /// Channels of the first convolution, `1 ..= 4096`; the features have sixteen times as many. Default 8, ours: it trains in minutes on a CPU; the paper's is 32.
    pub base_channels: i64,
    /// L, frames of a clip, `1 ..= 1024`: one from each of as many equal parts of the sequence; a shorter sequence starts over. Default 16, ours; the paper's is 48.
    pub clip_frames: i64,
    /// S, width and height of the heat maps in pixels, `8 ..= 512`. Default 24, ours; the paper's is 64.
    pub size: i64,
    /// Width and height while it is trained, `8 ..= 512`; `null` (default) for `size`. The paper's is 56.
    pub train_size: Option<i64>,
    /// Smallest share of the picture's area that is kept while it is trained, `0 <.. 1`; drawn uniformly up to 1, at a random place. Default 1, which keeps all; the paper's is 0.56.
    pub crop: f64,
    /// σ, width of a joint's heat in pixels, `> 0`; cut at 3σ. Default: the paper's 0.6.
    pub sigma: f64,
    /// From where the joints are looked at: `xy` from the front (default), `zy` from the side, `xz` from above.
    pub view: View,
    /// What the features' V' are: `joints` (default), `cells`, `image` or `clip`.
    pub pool: Pool,
    /// Dropout before the classifier, `0 ..< 1`. Default 0.2, ours (small datasets, few epochs); the paper's is 0.5.
    pub dropout: f64,
    /// Arithmetic of the products while features are computed: `f32` (default), `bf16` or `auto`.
    pub inference: Precision,
    /// Fold normalisations into the products before them while features are computed: faster, equal up to rounding. Default: true.
    pub fold: bool,
    /// State dict with the official names (`.safetensors`, `.pt`, `.pth`, `.pth.tar`, `.ckpt`, or a folder); `null` (default) to train on the seen classes.
    pub weights: Option<FilePath>,
    /// How the sequences were prepared that `weights` were trained on, a type of `preprocess`; needed where the file does not say so, as only szar's do. Default: `null`.
    pub prepared: Option<String>,
    /// How it is trained. Where it says nothing, 24 epochs of batches of 32, ours: thirteen bottlenecks need more steps than a graph network.
    #[serde(deserialize_with = "own_train")]
    pub train: TrainConfig,
}

/// The encoder's own defaults of training.
fn train() -> TrainConfig {
    TrainConfig {
        epochs: 24,
        batch: 32,
        ..TrainConfig::default()
    }
}

/// Options of training given in part keep the encoder's own defaults.
fn own_train<'de, D: Deserializer<'de>>(given: D) -> Result<TrainConfig, D::Error> {
    let given = serde_json::Map::deserialize(given)?;
    let mut all = serde_json::to_value(train()).map_err(D::Error::custom)?;
    if let serde_json::Value::Object(fields) = &mut all {
        fields.extend(given);
    }
    serde_json::from_value(all).map_err(D::Error::custom)
}

impl Default for PoseC3dConfig {
    fn default() -> Self {
        Self {
            base_channels: 8,
            clip_frames: 16,
            size: 24,
            train_size: None,
            crop: 1.0,
            sigma: 0.6,
            view: View::Xy,
            pool: Pool::Joints,
            dropout: 0.2,
            inference: Precision::F32,
            fold: true,
            weights: None,
            prepared: None,
            train: train(),
        }
    }
}

#[typetag::serde(name = "posec3d")]
impl EncoderConfig for PoseC3dConfig {
    fn validate(&self, problems: &mut Problems) {
        for (field, value, range) in [
            ("base_channels", self.base_channels, 1..=4096),
            ("clip_frames", self.clip_frames, 1..=1024),
            ("size", self.size, 8..=512),
            ("train_size", self.train_size.unwrap_or(8), 8..=512),
        ] {
            problems.check(range.contains(&value), field, || {
                format!(
                    "must be between {} and {}, got {value}",
                    range.start(),
                    range.end()
                )
            });
        }
        let (crop, sigma, rate) = (self.crop, self.sigma, self.dropout);
        problems.check(crop > 0.0 && crop <= 1.0, "crop", || {
            format!("must be above 0 and at most 1, got {crop}")
        });
        problems.check(sigma > 0.0 && sigma.is_finite(), "sigma", || {
            format!("must be above 0, got {sigma}")
        });
        problems.check((0.0..1.0).contains(&rate), "dropout", || {
            format!("must be at least 0 and below 1, got {rate}")
        });
        problems.scoped("train", |p| self.train.validate(p));
    }

    fn spec(&self, input: &InputSpec) -> EncoderSpec {
        let joints = input.layout.len() as i64;
        let plan = Plan::slow_only(joints, self.base_channels);
        let [frames, height, width] = plan.output([self.clip_frames, self.size, self.size]);
        let (frames, joints) = match self.pool {
            Pool::Joints => (frames, joints),
            Pool::Cells => (frames, height * width),
            Pool::Image => (frames, 1),
            Pool::Clip => (1, 1),
        };
        EncoderSpec {
            channels: plan.features(),
            frames,
            joints,
            classifies: input.seen_classes > 0,
        }
    }

    fn weights(&self) -> Option<&std::path::Path> {
        self.weights.as_ref().map(AsRef::as_ref)
    }

    fn prepared(&self) -> Option<&str> {
        self.prepared.as_deref()
    }

    fn build(&self, input: &InputSpec, ctx: &BuildContext) -> Result<Box<dyn SkeletonEncoder>> {
        Ok(Box::new(PoseC3d::new(self, input, ctx.device)?))
    }
}

inventory::submit! {
    ComponentInfo::new::<PoseC3dConfig>(
        ComponentKind::Encoder,
        "posec3d",
        "3-D convolutions (SlowOnly) over heat maps of the joints, trained as a classifier of the seen classes.",
        "Duan, Zhao, Chen, Lin, Dai: Revisiting Skeleton-based Action Recognition, CVPR 2022",
    )
}
