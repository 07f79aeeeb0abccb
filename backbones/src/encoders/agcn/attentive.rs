//! Options of `aagcn`.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use szar_core::component::InputSpec;
use szar_core::{
    BuildContext, ComponentInfo, ComponentKind, EncoderConfig, EncoderSpec, FilePath, Precision, Problems,
    Result, SkeletonEncoder,
};
use tch::Device;

use super::config::check_base;
use super::unit::Unit;
use crate::encoders::gcn::{
    COORDINATES, Common, GraphEncoder, GraphMode, InputNorm, Persons, Stack, Stream, check_input,
    ten_block_spec, ten_blocks,
};
use crate::nn::classifier::TrainConfig;

/// An AAGCN of one stream, with its classifier of the seen classes.
pub type Aagcn = GraphEncoder<Stack<Unit<true>>>;

/// Over what the input is normalised.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum InputStatistics {
    /// Every place among the persons, joint and coordinate has statistics of its own (official; PYSKL's `MVC`).
    #[default]
    PerPerson,
    /// Every joint and coordinate, over all persons (PYSKL's `VC`).
    Shared,
    /// The input stays as it is.
    None,
}

/// Options of the `aagcn` encoder.
#[derive(Clone, Debug, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct AagcnConfig {
    /// Channels of the first four blocks, `4 ..`; the next three have twice, the last three four times as many. Default 16, ours: it trains in minutes on a CPU; the paper's is 64.
    pub base_channels: i64,
    /// The graph that every block's own starts from: `spatial` (default, the paper's), `stgcn-spatial` or `binary`.
    pub graph: GraphMode,
    /// Farthest neighbour in bones of a `stgcn-spatial` graph, `1 ..`; the others know bones only. Default 1.
    pub max_hop: usize,
    /// Attention over joints, frames and channels. Default: true, as in the paper.
    pub attention: bool,
    /// Over what the input is normalised: `per-person` (default, official), `shared` or `none`.
    pub input_statistics: InputStatistics,
    /// Epochs at the start of training in which the learned graphs stay as they are, `0 ..`. Default 0, ours; the published training's is 1.
    pub freeze_graph_epochs: u32,
    /// What of the motion is read: `joint` (default), `bone`, `joint-motion` or `bone-motion`; the paper's four streams, each an encoder of its own.
    pub stream: Stream,
    /// Persons that count: `all` (default, as published) or `present`.
    pub persons: Persons,
    /// Arithmetic of the products while features are computed: `f32` (default), `bf16` or `auto`.
    pub inference: Precision,
    /// Fold normalisations into the products before them while features are computed: faster, equal up to rounding. Default: true.
    pub fold: bool,
    /// State dict with the official names or PYSKL's (`.safetensors`, `.pt`, `.pth`, `.pth.tar`, `.ckpt`, or a folder); `null` (default) to train on the seen classes.
    pub weights: Option<FilePath>,
    /// How the sequences were prepared that `weights` were trained on, a type of `preprocess`; needed where the file does not say so, as only szar's do. Default: `null`.
    pub prepared: Option<String>,
    /// How it is trained.
    pub train: TrainConfig,
}

impl Default for AagcnConfig {
    fn default() -> Self {
        Self {
            base_channels: 16,
            graph: GraphMode::Spatial,
            max_hop: 1,
            attention: true,
            input_statistics: InputStatistics::PerPerson,
            freeze_graph_epochs: 0,
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

impl Aagcn {
    /// Builds the network on a device, with random weights from the current seed of libtorch.
    ///
    /// # Errors
    /// When the layout is not a skeleton or the sizes are not positive.
    pub fn new(config: &AagcnConfig, input: &InputSpec, device: Device) -> Result<Self> {
        check_input("aagcn", input)?;
        let graph = config
            .graph
            .adjacency(&input.layout, config.max_hop)
            .to_device(device);
        let plan = ten_blocks(COORDINATES, config.base_channels);
        let width = input.layout.len() as i64 * COORDINATES;
        let input_norm = match config.input_statistics {
            InputStatistics::PerPerson => Some(InputNorm::per_person(input.persons, width, device)),
            InputStatistics::Shared => Some(InputNorm::shared(width, device)),
            InputStatistics::None => None,
        };
        let block = |p| Unit::new(p, &graph, config.attention);
        let net = Stack::new(
            input_norm,
            plan.iter().map(block).collect(),
            4 * config.base_channels,
            input.seen_classes,
            config.freeze_graph_epochs,
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

#[typetag::serde(name = "aagcn")]
impl EncoderConfig for AagcnConfig {
    fn validate(&self, problems: &mut Problems) {
        check_base(self.base_channels, problems);
        let hops = self.max_hop;
        problems.check((1..=64).contains(&hops), "max_hop", || {
            format!("must be between 1 and 64, got {hops}")
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
        Ok(Box::new(Aagcn::new(self, input, ctx.device)?))
    }
}

inventory::submit! {
    ComponentInfo::new::<AagcnConfig>(
        ComponentKind::Encoder,
        "aagcn",
        "Adaptive graph convolutions with attention over joints, frames and channels, a classifier of the seen classes.",
        "Shi, Zhang, Cheng, Lu: Skeleton-Based Action Recognition with Multi-Stream Adaptive Graph Convolutional Networks, IEEE TIP 2020",
    )
}
