use szar_core::{EncoderConfig, Problems};
use tch::Device;

use super::*;
use crate::encoders::gcn::checks::{self, Expected, Trained, input, ntu};
use crate::nn::classifier::{SeenClassifier, TrainConfig};

#[test]
fn goldens() {
    szar_core::conform::assert_goldens("encoder/ctr-gcn");
}

fn config() -> CtrGcnConfig {
    CtrGcnConfig {
        base_channels: 8,
        train: TrainConfig {
            epochs: 14,
            ..checks::training()
        },
        ..CtrGcnConfig::default()
    }
}

fn small(persons: i64) -> CtrGcn {
    CtrGcn::new(&config(), &input(persons), Device::Cpu).unwrap()
}

fn full() -> CtrGcn {
    let config = CtrGcnConfig {
        base_channels: 64,
        ..CtrGcnConfig::default()
    };
    CtrGcn::new(&config, &ntu(), Device::Cpu).unwrap()
}

#[test]
fn the_official_logits_come_out_of_as_many_parameters() {
    let net = full();
    assert_eq!(checks::parameters(&net.weights()), 1_446_672);
    checks::gives(
        &net,
        &Expected {
            first: [0.144941, -0.098862, -0.012003, -0.174900],
            sum: 1.155111,
            norm: 2.054838,
            blocks: [15.5688, 29.6483, 33.6750, 38.4461, 52.0064],
        },
    );
}

#[test]
fn a_batch_equals_its_samples_one_by_one() {
    checks::a_batch_equals_its_samples(&small(2));
}

#[test]
fn an_absent_person_costs_nothing_and_changes_nothing() {
    checks::an_absent_person_changes_nothing(&small(2));
}

#[test]
fn one_frame_of_one_joint_computes() {
    checks::the_smallest_input_computes(|i| CtrGcn::new(&config(), i, Device::Cpu).unwrap());
}

#[test]
fn a_state_survives() {
    checks::a_state_survives(&small(2), &mut small(2));
}

#[test]
fn training_learns_what_can_be_separated() {
    checks::it_learns(|| small(1));
}

#[test]
fn a_training_pass_is_pytorchs() {
    checks::trains_as(
        &small(2),
        &Trained {
            logits: [-0.605422, -0.107524, -0.572943, -0.283498],
            gradient: 155.616,
            graph_gradient: 32.6022,
            statistics: 24.1439,
        },
    );
}

#[test]
fn training_and_evaluation_agree() {
    checks::training_and_evaluation_agree(&small(1));
}

#[test]
fn every_parameter_is_reached_and_a_fixed_graph_is_none() {
    checks::gradients_reach_all(&small(2), |_| false);
    let config = CtrGcnConfig {
        adaptive: false,
        ..config()
    };
    let net = CtrGcn::new(&config, &input(2), Device::Cpu).unwrap();
    assert!(!net.weights().contains_key("l1.gcn1.PA"));
    checks::gradients_reach_all(&net, |_| false);
    checks::a_batch_equals_its_samples(&net);
}

#[test]
fn weights_start_as_published() {
    let state = full().weights();
    for (name, mean, deviation) in [
        ("l10.gcn1.convs.1.conv3.weight", 0.0, (2.0f64 / 256.0).sqrt()),
        (
            "l10.tcn1.branches.0.3.conv.weight",
            0.0,
            (2.0f64 / (64.0 * 5.0)).sqrt(),
        ),
        ("l10.tcn1.branches.3.1.weight", 1.0, 0.02),
        ("fc.weight", 0.0, (2.0f64 / 60.0).sqrt()),
    ] {
        let got = state[name].std(true).double_value(&[]);
        assert!((got / deviation - 1.0).abs() < 0.25, "{name} {got}");
        let got = state[name].mean(tch::Kind::Float).double_value(&[]);
        assert!((got - mean).abs() < 0.02, "{name} {got}");
    }
    for (name, value) in [("l2.gcn1.bn.weight", 1e-6), ("l2.gcn1.alpha", 0.0)] {
        let difference = (&state[name] - value).abs().max().double_value(&[]);
        assert!(difference < 1e-9, "{name}");
    }
}

#[test]
fn options_out_of_range_are_all_reported() {
    let mut problems = Problems::new();
    let config = CtrGcnConfig {
        base_channels: 10,
        train: TrainConfig {
            lr: f64::NAN,
            ..TrainConfig::default()
        },
        ..config()
    };
    config.validate(&mut problems);
    let fields: Vec<_> = problems.iter().map(|p| p.field.as_str()).collect();
    assert_eq!(fields, ["base_channels", "train.lr"]);
}
