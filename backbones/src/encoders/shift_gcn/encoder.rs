//! The encoder of the network.

use szar_core::component::InputSpec;
use szar_core::{EncoderConfig, Result};
use tch::Device;

use super::config::ShiftGcnConfig;
use super::net::{Net, whole_frames};
use crate::encoders::gcn::{Common, GraphEncoder, Network, check_input};

/// A Shift-GCN with its classifier of the seen classes.
pub type ShiftGcn = GraphEncoder<Net>;

impl ShiftGcn {
    /// Builds the network on a device, with random weights from the current seed of libtorch.
    ///
    /// # Errors
    /// When the layout is not a skeleton, the sizes are not positive, or the frames are no multiple of 4.
    pub fn new(config: &ShiftGcnConfig, input: &InputSpec, device: Device) -> Result<Self> {
        check_input(Net::NAME, input)?;
        whole_frames(input.frames)?;
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
