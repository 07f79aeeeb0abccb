//! The encoder of the network.

use szar_core::component::InputSpec;
use szar_core::{EncoderConfig, Result};
use tch::Device;

use super::config::StGcnConfig;
use super::graph::Graph;
use super::net::Net;
use crate::encoders::gcn::{Common, GraphEncoder, Network, check_input};

/// An ST-GCN with its classifier of the seen classes.
pub type StGcn = GraphEncoder<Net>;

impl StGcn {
    /// Builds the network on a device, with random weights from the current seed of libtorch.
    ///
    /// # Errors
    /// When the layout is not a skeleton or the sizes are not positive.
    pub fn new(config: &StGcnConfig, input: &InputSpec, device: Device) -> Result<Self> {
        check_input(Net::NAME, input)?;
        let graph = Graph::new(&input.layout, config.strategy, config.max_hop, config.dilation);
        let net = Net::new(config, &graph.adjacency(), input.seen_classes, device);
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
