//! Replays recorded cases of the official implementation.

use std::sync::Arc;

use szar_core::component::InputSpec;
use szar_core::conform::{Case, Driver};
use szar_core::{Error, NamedTensors, Result, SkeletonBatch, SkeletonEncoder, shape};
use tch::{Device, Kind, Tensor};

use super::config::ShiftGcnConfig;
use super::encoder::ShiftGcn;
use super::temporal::{Shift, constrained, reaches, shifted};

inventory::submit! { Driver { kind: "encoder", component: "shift-gcn", run: replay } }

fn replay(case: &Case) -> Result<Option<NamedTensors>> {
    match case.param::<String>("op").as_deref() {
        Ok("temporal-shift") => replay_shift(case).map(Some),
        Ok(_) => Ok(None),
        Err(_) => replay_network(case).map(Some),
    }
}

fn replay_network(case: &Case) -> Result<NamedTensors> {
    let joints = case.input("skeleton")?;
    shape::expect("skeleton", &joints, [None; 5])?;
    let size = joints.size();
    let input = InputSpec {
        layout: Arc::new(szar_core::testing::layout(size[3] as usize)),
        frames: size[2],
        persons: size[4],
        seen_classes: case.param("num_class")?,
    };
    let config = ShiftGcnConfig {
        base_channels: case.param("base_channels").unwrap_or(64),
        ..ShiftGcnConfig::default()
    };
    let mut encoder = ShiftGcn::new(&config, &input, Device::Cpu)?;
    encoder.load_state(&case.weights())?;
    let batch = SkeletonBatch {
        frames: Tensor::full([size[0]], size[2], (Kind::Int64, Device::Cpu)),
        // The official network computes everyone.
        present: vec![true; (size[0] * size[4]) as usize],
        layout: Arc::clone(&input.layout),
        joints,
    };
    let (mut means, mut deviations) = (Vec::new(), Vec::new());
    let encoding = encoder.encode_with_taps(&batch, &mut |block| {
        means.push(block.mean(Kind::Float));
        deviations.push(block.std(true));
    })?;
    let mut outputs = NamedTensors::from([
        ("pooled".into(), encoding.features.pooled()),
        ("feature_map".into(), encoding.features.values),
        ("block_mean".into(), Tensor::stack(&means, 0)),
        ("block_std".into(), Tensor::stack(&deviations, 0)),
    ]);
    outputs.extend(encoding.seen_logits.map(|l| ("logits".to_owned(), l)));
    Ok(outputs)
}

fn replay_shift(case: &Case) -> Result<NamedTensors> {
    let (x, ypos, arriving) = (case.input("x")?, case.input("ypos")?, case.input("grad_out")?);
    let size = shape::sizes("x", &x, [None; 4])?;
    shape::expect("ypos", &ypos, [Some(size[1])])?;
    let stride: i64 = case.param("stride")?;
    if stride < 1 {
        return Err(Error::Input(format!(
            "parameter `stride` is {stride}, expected at least 1"
        )));
    }
    let shift = Shift {
        xpos: case.input("xpos")?,
        ypos: ypos.copy().set_requires_grad(true),
        stride,
    };
    let x = x.set_requires_grad(true);
    let y = shifted(&x, &shift.taps(reaches(&[&shift])[0]), None, shift.stride);
    shape::expect(
        "grad_out",
        &arriving,
        [size[0], size[1], size[2] / stride, size[3]].map(Some),
    )?;
    (&y * arriving).sum(Kind::Float).backward();
    let raw = shift.ypos.grad() / size[0] as f64;
    let along_joints = shift.xpos.grad();
    Ok(NamedTensors::from([
        ("y".into(), y.detach()),
        ("grad_x".into(), x.grad()),
        ("grad_ypos".into(), constrained(&shift.ypos.grad())),
        ("grad_ypos_raw".into(), raw),
        (
            "grad_xpos".into(),
            // Never trained: no gradient is a gradient of 0.
            if along_joints.defined() {
                along_joints
            } else {
                shift.xpos.zeros_like()
            },
        ),
    ]))
}
