use szar_core::{EncoderConfig, Problems};
use tch::{Device, Kind};

use super::*;
use crate::encoders::gcn::GraphMode;
use crate::encoders::gcn::checks::{self, Expected, Trained, input, ntu};
use crate::nn::classifier::{SeenClassifier, TrainConfig};

#[test]
fn goldens() {
    szar_core::conform::assert_goldens("encoder/2s-agcn");
    szar_core::conform::assert_goldens("encoder/aagcn");
}

fn agcn(persons: i64) -> Agcn {
    let config = AgcnConfig {
        base_channels: 4,
        train: checks::training(),
        ..AgcnConfig::default()
    };
    Agcn::new(&config, &input(persons), Device::Cpu).unwrap()
}

fn aagcn(persons: i64) -> Aagcn {
    let config = AagcnConfig {
        base_channels: 4,
        train: checks::training(),
        ..AagcnConfig::default()
    };
    Aagcn::new(&config, &input(persons), Device::Cpu).unwrap()
}

fn full() -> (Agcn, Aagcn) {
    let (agcn, aagcn) = (
        AgcnConfig {
            base_channels: 64,
            ..AgcnConfig::default()
        },
        AagcnConfig {
            base_channels: 64,
            ..AagcnConfig::default()
        },
    );
    let input = ntu();
    (
        Agcn::new(&agcn, &input, Device::Cpu).unwrap(),
        Aagcn::new(&aagcn, &input, Device::Cpu).unwrap(),
    )
}

#[test]
fn the_official_logits_come_out_of_as_many_parameters() {
    let (agcn, aagcn) = full();
    assert_eq!(checks::parameters(&agcn.weights()), 3_469_510);
    assert_eq!(checks::parameters(&aagcn.weights()), 3_781_668);
    checks::gives(
        &agcn,
        &Expected {
            first: [-0.002184, 0.012870, -0.054144, -0.012402],
            sum: 0.542584,
            norm: 1.514701,
            blocks: [19.4471, 28.9776, 28.9646, 29.2636, 39.8291],
        },
    );
    checks::gives(
        &aagcn,
        &Expected {
            first: [0.085533, -0.241556, 0.045706, -0.340998],
            sum: 4.761102,
            norm: 4.617258,
            blocks: [40.6037, 60.7036, 73.1100, 100.056, 156.694],
        },
    );
}

#[test]
fn a_batch_equals_its_samples_one_by_one() {
    checks::a_batch_equals_its_samples(&agcn(2));
    checks::a_batch_equals_its_samples(&aagcn(2));
}

#[test]
fn an_absent_person_costs_nothing_and_changes_nothing() {
    checks::an_absent_person_changes_nothing(&agcn(2));
    checks::an_absent_person_changes_nothing(&aagcn(2));
}

#[test]
fn one_frame_of_one_joint_computes() {
    checks::the_smallest_input_computes(|i| Agcn::new(&AgcnConfig::default(), i, Device::Cpu).unwrap());
    checks::the_smallest_input_computes(|i| Aagcn::new(&AagcnConfig::default(), i, Device::Cpu).unwrap());
}

#[test]
fn states_survive() {
    checks::a_state_survives(&agcn(2), &mut agcn(2));
    checks::a_state_survives(&aagcn(2), &mut aagcn(2));
}

#[test]
fn agcn_learns_what_can_be_separated() {
    checks::it_learns(|| agcn(1));
}

#[test]
fn aagcn_learns_what_can_be_separated() {
    checks::it_learns(|| aagcn(1));
}

#[test]
fn a_training_pass_is_pytorchs() {
    let agcn = AgcnConfig {
        base_channels: 8,
        ..AgcnConfig::default()
    };
    checks::trains_as(
        &Agcn::new(&agcn, &input(2), Device::Cpu).unwrap(),
        &Trained {
            logits: [-0.25586, -0.404145, -0.036278, -0.347475],
            gradient: 136.462,
            graph_gradient: 11.6261,
            statistics: 21.1911,
        },
    );
    let aagcn = AagcnConfig {
        base_channels: 8,
        ..AagcnConfig::default()
    };
    checks::trains_as(
        &Aagcn::new(&aagcn, &input(2), Device::Cpu).unwrap(),
        &Trained {
            logits: [-0.355559, -0.274979, -0.075298, -0.389855],
            gradient: 128.105,
            graph_gradient: 15.0785,
            statistics: 21.4047,
        },
    );
}

#[test]
fn training_and_evaluation_agree() {
    checks::training_and_evaluation_agree(&agcn(1));
    checks::training_and_evaluation_agree(&aagcn(1));
}

#[test]
fn learned_graphs_stay_in_the_first_epochs() {
    let config = AgcnConfig {
        base_channels: 4,
        freeze_graph_epochs: 1,
        ..AgcnConfig::default()
    };
    let net = || Agcn::new(&config, &input(2), Device::Cpu).unwrap();
    let (first, second) = (net(), net());
    first.begin_epoch(0);
    checks::gradients_reach_all(&first, |name| name.ends_with("PA"));
    second.begin_epoch(1);
    checks::gradients_reach_all(&second, |_| false);
    let net = aagcn(2);
    net.begin_epoch(0);
    checks::gradients_reach_all(&net, |_| false);
}

#[test]
fn a_block_of_published_init_begins_as_its_shortcut() {
    let state = agcn(1).weights();
    let all = |name: &str, value: f64| {
        let difference = (&state[name] - value).abs().max();
        assert!(difference.double_value(&[]) < 1e-9, "{name}");
    };
    all("l2.gcn1.bn.weight", 1e-6);
    all("l2.gcn1.PA", 1e-6);
    all("l2.tcn1.bn.weight", 1.0);
    all("l2.tcn1.conv.bias", 0.0);
    let wide = full().0.weights();
    for (name, deviation) in [
        ("l10.tcn1.conv.weight", 2.0f64 / (256.0 * 9.0)),
        ("l10.gcn1.conv_d.1.weight", 2.0 / (256.0 * 256.0 * 3.0)),
        ("l10.gcn1.conv_a.0.weight", 2.0 / 64.0),
        ("fc.weight", 2.0 / 60.0),
    ] {
        let got = wide[name].std(true).double_value(&[]);
        assert!((got / deviation.sqrt() - 1.0).abs() < 0.05, "{name} {got}");
    }
}

#[test]
fn weights_for_other_joints_are_refused() {
    let mut given = aagcn(1).weights();
    given.insert(
        "backbone.A".into(),
        tch::Tensor::zeros([3, 25, 25], (Kind::Float, Device::Cpu)),
    );
    let net = Aagcn::new(&AagcnConfig::default(), &input(1), Device::Cpu).unwrap();
    let mut encoder = net;
    let error = szar_core::SkeletonEncoder::load_state(&mut encoder, &given).unwrap_err();
    assert_eq!(
        error.to_string(),
        "the weights were trained on 25 joints, layout `chain4` has 4"
    );
}

#[test]
fn every_graph_and_input_norm_computes() {
    for (graph, statistics, attention) in [
        (GraphMode::StgcnSpatial, InputStatistics::Shared, true),
        (GraphMode::Binary, InputStatistics::None, false),
    ] {
        let config = AagcnConfig {
            base_channels: 4,
            graph,
            max_hop: 2,
            input_statistics: statistics,
            attention,
            ..AagcnConfig::default()
        };
        let net = Aagcn::new(&config, &input(2), Device::Cpu).unwrap();
        checks::a_batch_equals_its_samples(&net);
    }
}

#[test]
fn options_out_of_range_are_all_reported() {
    let mut problems = Problems::new();
    let config = AagcnConfig {
        base_channels: 3,
        max_hop: 0,
        train: TrainConfig {
            lr: f64::NAN,
            ..TrainConfig::default()
        },
        ..AagcnConfig::default()
    };
    config.validate(&mut problems);
    let fields: Vec<_> = problems.iter().map(|p| p.field.as_str()).collect();
    assert_eq!(fields, ["base_channels", "max_hop", "train.lr"]);
}
