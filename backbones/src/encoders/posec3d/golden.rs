//! Replays recorded cases of the official implementation.

use std::sync::Arc;

use szar_core::component::InputSpec;
use szar_core::conform::{Case, Driver};
use szar_core::{NamedTensors, Result, SkeletonEncoder};
use tch::{Device, Kind, Tensor};

use super::config::PoseC3dConfig;
use super::encoder::PoseC3d;
use super::ops;
use super::plan::{Plan, Stage, Stride};

inventory::submit! { Driver { kind: "encoder", component: "posec3d", run: replay } }

/// The sizes of a case; `None` for what the network has no form for.
fn plan(case: &Case) -> Result<Option<Plan>> {
    let joints = case.param("in_channels")?;
    let mut plan = Plan::slow_only(joints, case.param("base_channels").unwrap_or(32));
    let list = |name: &str, published: &[i64]| case.param(name).unwrap_or_else(|_| published.to_vec());
    let kernel = list("conv1_kernel", &[1, 7, 7]);
    let count = case.param("num_stages").unwrap_or(3usize);
    if kernel[0] != 1 || kernel[1] != kernel[2] || kernel[1] % 2 == 0 {
        return Ok(None);
    }
    if list("out_indices", &[count as i64 - 1]) != [count as i64 - 1] {
        return Ok(None);
    }
    plan.kernel = kernel[1];
    let pair = |name: &str| {
        let both = list(name, &[1, 1]);
        Stride {
            time: both[0],
            space: both[1],
        }
    };
    (plan.stem, plan.pool) = (pair("conv1_stride"), pair("pool1_stride"));
    let blocks = list("stage_blocks", &[4, 6, 3]);
    let inflated = list("inflate", &[0, 1, 1]);
    let space = list("spatial_strides", &[2, 2, 2]);
    let time = list("temporal_strides", &[1, 1, 2]);
    let lengths = [blocks.len(), inflated.len(), space.len(), time.len()];
    if lengths.iter().any(|n| *n < count) {
        return Ok(None);
    }
    let stage = |i: usize| Stage {
        blocks: blocks[i].unsigned_abs() as usize,
        inflated: inflated[i] != 0,
        stride: Stride {
            time: time[i],
            space: space[i],
        },
    };
    plan.stages = (0..count).map(stage).collect();
    Ok(Some(plan))
}

fn replay(case: &Case) -> Result<Option<NamedTensors>> {
    let Some(plan) = plan(case)? else {
        return Ok(None);
    };
    let heat = case.input("heatmaps")?;
    let input = InputSpec {
        layout: Arc::new(szar_core::testing::layout(plan.joints.unsigned_abs() as usize)),
        frames: heat.size()[2],
        persons: 1,
        seen_classes: case.param("num_class").unwrap_or(1),
    };
    let config = PoseC3dConfig {
        base_channels: plan.base,
        ..PoseC3dConfig::default()
    };
    let mut encoder = PoseC3d::of_plan(plan, &config, &input, Device::Cpu)?;
    encoder.load_state(&case.weights())?;
    let (mut means, mut deviations) = (Vec::new(), Vec::new());
    let cells = encoder.map(&heat.permute([0, 2, 3, 4, 1]).contiguous(), &mut |block| {
        means.push(block.mean(Kind::Float));
        deviations.push(block.std(true));
    });
    let pooled = ops::mean(&cells);
    let mut outputs = NamedTensors::from([
        ("feature_map".into(), cells.permute([0, 4, 1, 2, 3]).contiguous()),
        ("block_mean".into(), Tensor::stack(&means, 0)),
        ("block_std".into(), Tensor::stack(&deviations, 0)),
    ]);
    if encoder.spec().classifies {
        outputs.insert("logits".into(), encoder.classify(&pooled));
    }
    outputs.insert("pooled".into(), pooled);
    Ok(Some(outputs))
}
