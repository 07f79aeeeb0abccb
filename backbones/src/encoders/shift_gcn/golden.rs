//! Replays recorded cases of the official implementation.

use szar_core::conform::{Case, Driver};
use szar_core::{Error, NamedTensors, Result, shape};
use tch::{Device, Kind};

use super::config::ShiftGcnConfig;
use super::encoder::ShiftGcn;
use super::temporal::{Shift, constrained, reaches, shifted};
use crate::encoders::gcn::golden::{input, replay as replay_encoder};

inventory::submit! { Driver { kind: "encoder", component: "shift-gcn", run: replay } }

fn replay(case: &Case) -> Result<Option<NamedTensors>> {
    match case.param::<String>("op").as_deref() {
        Ok("temporal-shift") => replay_shift(case).map(Some),
        Ok(_) => Ok(None),
        Err(_) => replay_network(case),
    }
}

fn replay_network(case: &Case) -> Result<Option<NamedTensors>> {
    let skeleton = case.input("skeleton")?;
    let [_, _, _, joints, _] = shape::sizes("skeleton", &skeleton, [None; 5])?;
    // Of the skeleton, only the number of joints matters.
    let input = input(case, szar_core::testing::layout(joints as usize), &skeleton);
    let config = ShiftGcnConfig {
        base_channels: case.param("base_channels").unwrap_or(64),
        ..ShiftGcnConfig::default()
    };
    let encoder = ShiftGcn::new(&config, &input, Device::Cpu)?;
    replay_encoder(encoder, case, &input, skeleton)
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
