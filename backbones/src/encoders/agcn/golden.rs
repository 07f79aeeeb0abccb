//! Replays recorded cases of the official implementations and of PYSKL's.

use szar_core::conform::{Case, Driver};
use szar_core::{NamedTensors, Result};
use tch::Device;

use super::{Aagcn, AagcnConfig, Agcn, AgcnConfig, InputStatistics};
use crate::encoders::gcn::golden::{input, layout, mode, replay};

inventory::submit! { Driver { kind: "encoder", component: "2s-agcn", run: replay_agcn } }
inventory::submit! { Driver { kind: "encoder", component: "aagcn", run: replay_aagcn } }

fn replay_agcn(case: &Case) -> Result<Option<NamedTensors>> {
    let Some(layout) = layout(&case.param::<String>("graph")?) else {
        return Ok(None);
    };
    let skeleton = case.input("skeleton")?;
    let input = input(case, layout, &skeleton);
    let config = AgcnConfig {
        base_channels: case.param("base_channels").unwrap_or(64),
        ..AgcnConfig::default()
    };
    replay(Agcn::new(&config, &input, Device::Cpu)?, case, &input, skeleton)
}

/// PYSKL's cases name a `layout` and give `[N, M, T, V, C]`, the official ones a `graph` and `[N, C, T, V, M]`.
fn replay_aagcn(case: &Case) -> Result<Option<NamedTensors>> {
    let pyskl = case.param::<String>("layout").ok();
    let name = match &pyskl {
        Some(name) => name.clone(),
        None => case.param("graph")?,
    };
    let mode = mode(&case.param::<String>("mode").unwrap_or_else(|_| "spatial".into()));
    let (Some(layout), Some(graph)) = (layout(&name), mode) else {
        return Ok(None);
    };
    let statistics = match case.param::<Option<String>>("data_bn_type") {
        Err(_) => InputStatistics::PerPerson,
        Ok(None) => InputStatistics::None,
        Ok(Some(kind)) if kind == "MVC" => InputStatistics::PerPerson,
        Ok(Some(kind)) if kind == "VC" => InputStatistics::Shared,
        Ok(Some(_)) => return Ok(None),
    };
    let mut skeleton = case.input("skeleton")?;
    if pyskl.is_some() {
        skeleton = skeleton.permute([0, 4, 2, 3, 1]);
    }
    let input = input(case, layout, &skeleton);
    let config = AagcnConfig {
        base_channels: case.param("base_channels").unwrap_or(64),
        graph,
        max_hop: case.param("max_hop").unwrap_or(1),
        attention: case.param("attention").unwrap_or(true),
        input_statistics: statistics,
        ..AagcnConfig::default()
    };
    replay(Aagcn::new(&config, &input, Device::Cpu)?, case, &input, skeleton)
}
