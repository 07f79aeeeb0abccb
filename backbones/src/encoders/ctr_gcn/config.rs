//! Options of `ctr-gcn`.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use szar_core::component::InputSpec;
use szar_core::{
    BuildContext, ComponentInfo, ComponentKind, EncoderConfig, EncoderSpec, FilePath, Precision, Problems,
    Result, SkeletonEncoder,
};
use tch::Device;

use super::temporal::BRANCHES;
use super::unit::Unit;
use crate::encoders::gcn::{
    COORDINATES, Common, GraphEncoder, InputNorm, Persons, Stack, Stream, check_input, spatial,
    ten_block_spec, ten_blocks,
};
use crate::nn::classifier::TrainConfig;

/// A CTR-GCN of one stream, with its classifier of the seen classes.
pub type CtrGcn = GraphEncoder<Stack<Unit>>;

/// Options of the `ctr-gcn` encoder.
#[derive(Clone, Debug, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct CtrGcnConfig {
    /// Channels of the first four blocks, a multiple of 4 from 8; the next three have twice, the last three four times as many. Default 16, ours: it trains in minutes on a CPU; the paper's is 64.
    pub base_channels: i64,
    /// Learn the graph that every block refines. Default: true, as in the paper; false keeps the layout's.
    pub adaptive: bool,
    /// What of the motion is read: `joint` (default), `bone`, `joint-motion` or `bone-motion`; the paper's four streams, each an encoder of its own.
    pub stream: Stream,
    /// Persons that count: `all` (default, as published) or `present`.
    pub persons: Persons,
    /// Arithmetic of the products while features are computed: `f32` (default), `bf16` or `auto`.
    pub inference: Precision,
    /// Fold normalisations into the products before them while features are computed: faster, equal up to rounding. Default: true.
    pub fold: bool,
    /// State dict with the official names (`.safetensors`, `.pt`, `.pth`, `.pth.tar`, `.ckpt`, or a folder); `null` (default) to train on the seen classes.
    pub weights: Option<FilePath>,
    /// How the sequences were prepared that `weights` were trained on, a type of `preprocess`; needed where the file does not say so, as only szar's do. Default: `null`.
    pub prepared: Option<String>,
    /// How it is trained.
    pub train: TrainConfig,
}

impl Default for CtrGcnConfig {
    fn default() -> Self {
        Self {
            base_channels: 16,
            adaptive: true,
            stream: Stream::Joint,
            persons: Persons::All,
            inference: Precision::F32,
            fold: true,
            weights: None,
            prepared: None,
            train: TrainConfig::default(),
        }
    }
}

impl CtrGcn {
    /// Builds the network on a device, with random weights from the current seed of libtorch.
    ///
    /// # Errors
    /// When the layout is not a skeleton or the sizes are not positive.
    pub fn new(config: &CtrGcnConfig, input: &InputSpec, device: Device) -> Result<Self> {
        check_input("ctr-gcn", input)?;
        let graph = spatial(&input.layout).to_device(device);
        let plan = ten_blocks(COORDINATES, config.base_channels);
        let width = input.layout.len() as i64 * COORDINATES;
        let net = Stack::new(
            Some(InputNorm::per_person(input.persons, width, device)),
            plan.iter()
                .map(|p| Unit::new(p, &graph, config.adaptive))
                .collect(),
            4 * config.base_channels,
            input.seen_classes,
            0,
            device,
        );
        let common = Common {
            stream: config.stream,
            persons: config.persons,
            kind: config.inference.resolve(device),
            fold: config.fold,
            train: config.train.clone(),
        };
        Ok(Self::wrap(net, common, config.spec(input), input))
    }
}

#[typetag::serde(name = "ctr-gcn")]
impl EncoderConfig for CtrGcnConfig {
    fn validate(&self, problems: &mut Problems) {
        let base = self.base_channels;
        let sound = (8..=16384).contains(&base) && base % BRANCHES == 0;
        problems.check(sound, "base_channels", || {
            format!("must be a multiple of 4 between 8 and 16384, got {base}")
        });
        problems.scoped("train", |p| self.train.validate(p));
    }

    fn spec(&self, input: &InputSpec) -> EncoderSpec {
        ten_block_spec(self.base_channels, input)
    }

    fn weights(&self) -> Option<&std::path::Path> {
        self.weights.as_ref().map(AsRef::as_ref)
    }

    fn prepared(&self) -> Option<&str> {
        self.prepared.as_deref()
    }

    fn build(&self, input: &InputSpec, ctx: &BuildContext) -> Result<Box<dyn SkeletonEncoder>> {
        Ok(Box::new(CtrGcn::new(self, input, ctx.device)?))
    }
}

inventory::submit! {
    ComponentInfo::new::<CtrGcnConfig>(
        ComponentKind::Encoder,
        "ctr-gcn",
        "Graph convolutions with a graph refined for every channel of a sequence, a classifier of the seen classes.",
        "Chen, Zhang, Yuan, Li, Deng, Hu: Channel-wise Topology Refinement Graph Convolution for Skeleton-Based Action Recognition, ICCV 2021",
    )
}
