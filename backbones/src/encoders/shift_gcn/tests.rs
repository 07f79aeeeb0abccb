//! Recorded cases, test vectors, the shifts by hand, and what any graph encoder must satisfy.

use std::sync::Arc;

use szar_core::component::InputSpec;
use szar_core::host::to_f64;
use szar_core::{EncoderConfig, NamedTensors, Precision, Problems, SkeletonEncoder, testing};
use tch::kind::FLOAT_CPU;
use tch::{Device, Kind, Tensor};

use super::spatial::shift;
use super::temporal::{Shift, reaches, shifted};
use super::*;
use crate::encoders::gcn::checks::{self, Expected, batch, close, input, ntu};
use crate::nn::classifier::{SeenClassifier, TrainConfig};

#[test]
fn goldens() {
    szar_core::conform::assert_goldens("encoder/shift-gcn");
}

fn small() -> ShiftGcnConfig {
    ShiftGcnConfig {
        base_channels: 5,
        train: TrainConfig {
            epochs: 12,
            ..checks::training()
        },
        ..ShiftGcnConfig::default()
    }
}

fn build(config: &ShiftGcnConfig, persons: i64) -> ShiftGcn {
    ShiftGcn::new(config, &input(persons), Device::Cpu).unwrap()
}

#[test]
fn the_official_logits_come_out_of_as_many_parameters() {
    let config = ShiftGcnConfig {
        base_channels: 64,
        ..ShiftGcnConfig::default()
    };
    let net = ShiftGcn::new(&config, &ntu(), Device::Cpu).unwrap();
    let state = net.state();
    let count = |of: &dyn Fn(&str, &Tensor) -> bool| {
        let some = state.iter().filter(|(name, t)| of(name, t));
        some.map(|(_, t)| t.numel()).sum::<usize>()
    };
    // Published code counts displacements along the joints, whose gradient is always 0.
    assert_eq!(
        count(&|name, t| t.requires_grad() || name.ends_with("xpos")),
        693_107
    );
    assert_eq!(count(&|name, _| name.contains("gcn1.shift")), 64_075);
    checks::gives(
        &net,
        &Expected {
            first: [-0.137822, -0.133292, 0.020481, -0.102664],
            sum: -0.523952,
            norm: 1.907871,
            blocks: [15.0422, 23.2124, 25.4660, 26.2061, 42.4852],
        },
    );
}

#[test]
fn shifts_between_joints_are_those_of_the_definition() {
    assert_eq!(to_f64(&shift(3, 2, 1)), [0.0, 3.0, 2.0, 5.0, 4.0, 1.0]);
    assert_eq!(to_f64(&shift(3, 2, -1)), [0.0, 5.0, 2.0, 1.0, 4.0, 3.0]);
}

/// The shift of one channel in plain numbers.
fn by_hand(x: &[f64], at: f64, stride: usize) -> Vec<f64> {
    let read = |i: f64| {
        if (0.0..x.len() as f64).contains(&i) {
            x[i as usize]
        } else {
            0.0
        }
    };
    let frame = |h: usize| {
        let y = (h * stride) as f64 + at + if stride == 2 { 0.5 } else { 0.0 };
        let share = y - y.floor();
        (1.0 - share) * read(y.floor()) + share * read(y.floor() + 1.0)
    };
    (0..x.len() / stride).map(frame).collect()
}

#[test]
fn shifts_in_time_read_between_two_frames_and_nothing_outside() {
    let displacements = [0.0f32, 1.0, -1.0, 0.25, -0.75, 2.5, -6.0, 90.0];
    for (stride, frames) in [(1, 7), (2, 7), (2, 8), (1, 1)] {
        let x = testing::normal("x", &[1, 8, frames, 1]);
        let shift = Shift {
            xpos: Tensor::zeros([8], FLOAT_CPU),
            ypos: Tensor::from_slice(&displacements),
            stride,
        };
        let y = shifted(&x, &shift.taps(reaches(&[&shift])[0]), None, stride);
        for (channel, at) in displacements.iter().enumerate() {
            let of = |t: &Tensor| to_f64(&t.select(1, channel as i64).flatten(0, -1));
            let want = by_hand(&of(&x), f64::from(*at), stride as usize);
            let got = of(&y);
            assert_eq!(got.len(), want.len());
            assert!(
                got.iter().zip(&want).all(|(g, w)| (g - w).abs() < 1e-6),
                "{at}: {got:?} {want:?}"
            );
        }
    }
}

#[test]
fn the_published_rule_keeps_the_sign_of_a_displacements_gradient() {
    let data = batch(4, 1, 5, &[true; 4]);
    let gradients = |shift_grad| {
        let net = build(
            &ShiftGcnConfig {
                shift_grad,
                ..small()
            },
            1,
        );
        checks::fill(net.weights());
        net.train_logits(&data, Kind::Float)
            .unwrap()
            .square()
            .sum(Kind::Float)
            .backward();
        net.after_backward();
        net.state()["l3.tcn1.shift_in.ypos"].grad()
    };
    let (sign, own) = (gradients(ShiftGrad::Sign), gradients(ShiftGrad::True));
    assert!(to_f64(&own.abs().min())[0] > 0.0);
    assert!(sign.equal(&(own.sign() * 0.01)) && !sign.allclose(&own, 1e-3, 1e-6, false));
    let zero = super::temporal::constrained(&Tensor::zeros([1], FLOAT_CPU));
    assert!((to_f64(&zero)[0] - 1e-4).abs() < 1e-9);
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
fn weights_that_shift_otherwise_are_refused() {
    let mut net = build(&small(), 1);
    let refused = |net: &mut ShiftGcn, name: &str, value: Tensor| {
        let mut state: NamedTensors = net.state().iter().map(|(n, t)| (n.clone(), t.copy())).collect();
        state.insert(name.into(), value);
        net.load_state(&state).unwrap_err().to_string()
    };
    let error = refused(&mut net, "l1.gcn1.shift_in", shift(5, 3, 1));
    assert!(
        error.contains("`l1.gcn1.shift_in` has shape [15], expected [12]"),
        "{error}"
    );
    let error = refused(&mut net, "l1.gcn1.shift_in", shift(4, 3, -1));
    assert!(error.contains("other values"), "{error}");
    let error = refused(
        &mut net,
        "l2.tcn1.shift_out.xpos",
        Tensor::full([5], 0.1, FLOAT_CPU),
    );
    assert!(error.contains("shifted along the joints"), "{error}");
    let error = refused(
        &mut net,
        "l2.tcn1.shift_out.ypos",
        Tensor::full([5], f64::NAN, FLOAT_CPU),
    );
    assert!(error.contains("out of every motion"), "{error}");
}

#[test]
fn frames_that_two_strides_cannot_halve_are_refused() {
    let mut input = input(1);
    input.frames = 50;
    let error = ShiftGcn::new(&small(), &input, Device::Cpu)
        .unwrap_err()
        .to_string();
    assert!(
        error.contains("multiple of 4, got 50") && error.contains("48 or 52"),
        "{error}"
    );
    let mut data = batch(1, 1, 5, &[true]);
    data.joints = data.joints.narrow(2, 0, 7);
    assert!(build(&small(), 1).encode(&data).is_err());
}

#[test]
fn training_learns_what_can_be_separated() {
    checks::it_learns(|| build(&small(), 1));
}

#[test]
fn four_frames_of_one_joint_are_enough() {
    let input = InputSpec {
        layout: Arc::new(testing::layout(1)),
        frames: 4,
        ..input(1)
    };
    let net = ShiftGcn::new(&small(), &input, Device::Cpu).unwrap();
    let mut data = batch(2, 1, 5, &[true; 2]);
    data.joints = data.joints.narrow(2, 0, 4).narrow(3, 0, 1);
    assert_eq!(net.encode(&data).unwrap().features.values.size(), [2, 20, 1, 1]);
    let logits = net.train_logits(&data, Kind::Float).unwrap();
    logits.sum(Kind::Float).backward();
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
    let rough = build(
        &ShiftGcnConfig {
            inference: Precision::Bf16,
            ..small()
        },
        1,
    );
    let fine = build(&small(), 1);
    checks::fill(rough.weights());
    checks::fill(fine.weights());
    let data = batch(4, 1, 5, &[true; 4]);
    let (rough, fine) = (
        rough.eval_logits(&data).unwrap(),
        fine.eval_logits(&data).unwrap(),
    );
    let room = 0.05 * to_f64(&fine.abs().max())[0];
    assert!(
        rough.allclose(&fine, 0.0, room, false) && !close(&rough, &fine),
        "{rough} {fine}"
    );
}

#[test]
fn options_out_of_range_are_all_reported() {
    let mut problems = Problems::new();
    let config = ShiftGcnConfig {
        base_channels: 0,
        train: TrainConfig {
            lr: f64::NAN,
            ..TrainConfig::default()
        },
        ..small()
    };
    config.validate(&mut problems);
    let fields: Vec<_> = problems.iter().map(|p| p.field.as_str()).collect();
    assert_eq!(fields, ["base_channels", "train.lr"]);
}
