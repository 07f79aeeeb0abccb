//! Replays recorded cases of the official implementation.

use szar_core::conform::{Case, Driver};
use szar_core::{NamedTensors, Result};
use tch::Device;

use super::{CtrGcn, CtrGcnConfig};
use crate::encoders::gcn::golden::{input, layout, replay};

inventory::submit! { Driver { kind: "encoder", component: "ctr-gcn", run: replay_encoder } }

fn replay_encoder(case: &Case) -> Result<Option<NamedTensors>> {
    let Some(layout) = layout(&case.param::<String>("graph")?) else {
        return Ok(None);
    };
    let skeleton = case.input("skeleton")?;
    let input = input(case, layout, &skeleton);
    let config = CtrGcnConfig {
        base_channels: case.param("base_channels").unwrap_or(64),
        adaptive: case.param("adaptive").unwrap_or(true),
        ..CtrGcnConfig::default()
    };
    replay(CtrGcn::new(&config, &input, Device::Cpu)?, case, &input, skeleton)
}
