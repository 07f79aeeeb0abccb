//! The network against its plain form, its size, and what any graph encoder must satisfy.

use szar_core::{EncoderConfig, Precision, Problems, SkeletonEncoder};
use tch::{Device, Kind};

use super::plain::Plain;
use super::*;
use crate::encoders::gcn::checks::{self, batch, close, input, ntu};
use crate::nn::classifier::{SeenClassifier, TrainConfig};

fn small() -> MsG3dConfig {
    MsG3dConfig {
        base_channels: 6,
        gcn_scales: 3,
        g3d_scales: 2,
        train: TrainConfig {
            epochs: 8,
            ..checks::training()
        },
        ..MsG3dConfig::default()
    }
}

fn build(config: &MsG3dConfig, persons: i64) -> MsG3d {
    MsG3d::new(config, &input(persons), Device::Cpu).unwrap()
}

#[test]
fn it_is_as_large_as_the_papers() {
    let config = MsG3dConfig {
        base_channels: 96,
        ..MsG3dConfig::default()
    };
    let state = MsG3d::new(&config, &ntu(), Device::Cpu).unwrap().state();
    // The paper's table gives 3.2 million.
    assert_eq!(checks::parameters(&state), 3_194_595);
    for (name, shape) in [
        ("sgcn1.0.A_res", vec![13 * 25, 25]),
        ("sgcn2.0.mlp.layers.0.weight", vec![96, 13 * 96, 1, 1]),
        ("gcn3d1.gcn3d.1.gcn3d.1.A_res", vec![6 * 125, 125]),
        (
            "gcn3d2.gcn3d.0.gcn3d.1.mlp.layers.0.weight",
            vec![96, 6 * 96, 1, 1],
        ),
        ("gcn3d2.gcn3d.0.out_conv.weight", vec![192, 96, 1, 3, 1]),
        ("sgcn3.1.residual.conv.weight", vec![384, 192, 1, 1]),
        ("tcn3.branches.3.3.conv.weight", vec![64, 64, 3, 1]),
        ("tcn3.branches.4.4.weight", vec![64]),
        ("fc.weight", vec![60, 384]),
    ] {
        assert_eq!(state[name].size(), shape, "{name}");
    }
}

#[test]
fn it_gives_what_its_definition_gives_for_even_and_odd_frames() {
    let config = small();
    for frames in [8i64, 7] {
        let net = build(&config, 2);
        checks::fill(net.state());
        let mut data = batch(2, 2, 5, &[true; 4]);
        data.joints = data.joints.narrow(2, 0, frames);
        let state = net.state();
        let plain = Plain {
            state: &state,
            layout: &data.layout,
            gcn_scales: config.gcn_scales,
            g3d_scales: config.g3d_scales,
        };
        let map = tch::no_grad(|| plain.run(&data.joints));
        let want = map
            .unflatten(0, [-1, 2])
            .mean_dim([1i64].as_slice(), false, Kind::Float);
        let got = net.encode(&data).unwrap();
        assert!(close(&got.features.values, &want));
    }
}

#[test]
fn a_batch_equals_its_samples() {
    checks::a_batch_equals_its_samples(&build(&small(), 2));
}

#[test]
fn an_absent_person_changes_nothing() {
    checks::an_absent_person_changes_nothing(&build(&small(), 2));
}

#[test]
fn a_state_survives() {
    checks::a_state_survives(&build(&small(), 2), &mut build(&small(), 2));
}

#[test]
fn the_smallest_input_computes() {
    checks::the_smallest_input_computes(|input| MsG3d::new(&small(), input, Device::Cpu).unwrap());
}

#[test]
fn training_learns_what_can_be_separated() {
    checks::it_learns(|| build(&small(), 1));
}

#[test]
fn training_and_evaluation_agree() {
    checks::training_and_evaluation_agree(&build(&small(), 1));
}

#[test]
fn every_parameter_is_reached() {
    checks::gradients_reach_all(&build(&small(), 2), |_| false);
}

#[test]
fn evaluation_in_bf16_is_the_same_up_to_its_rounding() {
    let rough = MsG3dConfig {
        inference: Precision::Bf16,
        ..small()
    };
    let (rough, fine) = (build(&rough, 1), build(&small(), 1));
    checks::fill(rough.state());
    checks::fill(fine.state());
    let data = batch(4, 1, 5, &[true; 4]);
    let (rough, fine) = (
        rough.eval_logits(&data).unwrap(),
        fine.eval_logits(&data).unwrap(),
    );
    let room = 0.05 * fine.abs().max().double_value(&[]);
    assert!(
        rough.allclose(&fine, 0.0, room, false) && !close(&rough, &fine),
        "{rough} {fine}"
    );
}

#[test]
fn options_out_of_range_are_all_reported() {
    let mut problems = Problems::new();
    let config = MsG3dConfig {
        base_channels: 16,
        g3d_scales: 0,
        train: TrainConfig {
            lr: f64::NAN,
            ..TrainConfig::default()
        },
        ..small()
    };
    config.validate(&mut problems);
    let fields: Vec<_> = problems.iter().map(|p| p.field.as_str()).collect();
    assert_eq!(fields, ["base_channels", "g3d_scales", "train.lr"]);
}
