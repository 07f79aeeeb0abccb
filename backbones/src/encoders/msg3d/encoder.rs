//! The encoder of the network.

use szar_core::component::InputSpec;
use szar_core::{EncoderConfig, Result};
use tch::Device;

use super::config::MsG3dConfig;
use super::net::Net;
use crate::encoders::gcn::{Common, GraphEncoder, Network, check_input};

/// An MS-G3D with its classifier of the seen classes.
pub type MsG3d = GraphEncoder<Net>;

impl MsG3d {
    /// Builds the network on a device, with random weights from the current seed of libtorch.
    ///
    /// # Errors
    /// When the layout is not a skeleton or the sizes are not positive.
    pub fn new(config: &MsG3dConfig, input: &InputSpec, device: Device) -> Result<Self> {
        check_input(Net::NAME, input)?;
        let net = Net::new(config, input, device);
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
