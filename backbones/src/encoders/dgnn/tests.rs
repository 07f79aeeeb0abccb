//! Recorded cases, test vectors, the graph, and what any graph encoder must satisfy.

use std::sync::Arc;

use szar_core::component::InputSpec;
use szar_core::host::to_f64;
use szar_core::{EncoderConfig, Precision, Problems, SkeletonEncoder, testing};
use tch::{Device, Kind, Tensor, no_grad};

use super::golden::{named, rows};
use super::*;
use crate::encoders::gcn::checks::{self, Expected, batch, close, input};
use crate::encoders::gcn::{Folded, Network, Stream};
use crate::nn::classifier::{SeenClassifier, TrainConfig};

#[test]
fn goldens() {
    szar_core::conform::assert_goldens("encoder/dgnn");
}

#[test]
fn graph_goldens() {
    szar_core::conform::assert_goldens("graph/dgnn");
}

fn small() -> DgnnConfig {
    DgnnConfig {
        base_channels: 4,
        train: TrainConfig {
            epochs: 10,
            ..checks::training()
        },
        ..DgnnConfig::default()
    }
}

fn build(config: &DgnnConfig, persons: i64) -> Dgnn {
    Dgnn::new(config, &input(persons), Device::Cpu).unwrap()
}

fn ntu(config: &DgnnConfig) -> Dgnn {
    let layout = Arc::new(named("ntu-rgb-d").unwrap());
    let input = InputSpec {
        layout,
        ..checks::ntu()
    };
    Dgnn::new(config, &input, Device::Cpu).unwrap()
}

#[test]
fn the_published_width_gives_the_open_implementations_logits_and_parameters() {
    let config = DgnnConfig {
        base_channels: 64,
        bone_order: BoneOrder::Official,
        ..DgnnConfig::default()
    };
    let net = ntu(&config);
    assert_eq!(checks::parameters(&net.state()), 4_089_320);
    checks::fill(net.state());
    let draw = |name: &str| (testing::uniform(name, &[2, 3, 16, 25, 2]) * 2.0 - 1.0).to_kind(Kind::Float);
    let x = rows(&draw("input_v"), &draw("input_e"));
    let mut norms = Vec::new();
    let mut tap = |x: &Tensor| norms.push(x.to_kind(Kind::Double).norm().double_value(&[]));
    let logits = no_grad(|| {
        let folded = net.network().fold(Kind::Float);
        let map = folded.forward(&x, &[0, 1, 0, 1], &mut tap);
        let persons = map
            .mean_dim([1i64, 2].as_slice(), false, Kind::Float)
            .view([2, 2, -1]);
        let (weight, bias) = net.network().head();
        persons
            .mean_dim([1i64].as_slice(), false, Kind::Float)
            .linear(weight, Some(bias))
    });
    let expected = Expected {
        first: [-0.210633, 0.063252, -0.111181, -0.079593],
        sum: -1.372949,
        norm: 1.328079,
        blocks: [12.1021, 22.3894, 23.8739, 24.3134, 35.4637],
    };
    checks::gave(&logits, &norms, &expected);
}

#[test]
fn bones_stand_where_the_graph_has_their_edges() {
    let joints = testing::normal("joints", &[1, 1, 25, 3]);
    let bones = |bone_order| {
        let config = DgnnConfig {
            bone_order,
            ..small()
        };
        let net = ntu(&config);
        net.network().prepare(joints.shallow_clone()).narrow(2, 25, 25)
    };
    let between = |child: i64, parent: i64| joints.select(2, child) - joints.select(2, parent);
    // The first edge runs from the hip centre (0) to the left hip (12); bone 12 is the same in the other order.
    let (edge, official) = (bones(BoneOrder::Edge), bones(BoneOrder::Official));
    assert!(edge.select(2, 0).equal(&between(12, 0)));
    assert!(official.select(2, 12).equal(&between(12, 0)));
    assert!(official.select(2, 21).equal(&between(21, 7)));
    assert!(to_f64(&official.select(2, 20).abs().max())[0] == 0.0);
    assert!(to_f64(&edge.select(2, 24).abs().max())[0] == 0.0);
}

#[test]
fn a_forest_has_a_loop_at_every_root_and_a_second_parent_is_refused() {
    let mut layout = testing::layout(4);
    layout.bones = vec![(1, 0), (3, 2)];
    let graph = Graph::new(&layout).unwrap();
    assert_eq!(graph.edges, [(0, 0), (0, 1), (2, 2), (2, 3)]);
    assert_eq!(graph.edge_of_joint(), [0, 1, 2, 3]);
    let (source, target) = graph.incidence();
    // Joint 0 touches its loop twice and one bone: degree 3.
    assert!((to_f64(&source.get(0))[0] - 1.0 / 3.0 - 1e-6).abs() < 1e-6);
    assert!((to_f64(&target.get(1))[1] - 1.0 - 1e-6).abs() < 1e-6);
    layout.bones.push((1, 2));
    let error = Graph::new(&layout).unwrap_err().to_string();
    assert!(
        error.contains("`joint1` hangs on `joint0` and `joint2`"),
        "{error}"
    );
}

#[test]
fn joints_alone_are_the_first_half_and_logits_stay() {
    let both = build(&small(), 1);
    let joints = build(
        &DgnnConfig {
            features: Parts::Joints,
            ..small()
        },
        1,
    );
    checks::fill(both.state());
    checks::fill(joints.state());
    let data = batch(2, 1, 5, &[true; 2]);
    let (both, joints) = (both.encode(&data).unwrap(), joints.encode(&data).unwrap());
    assert_eq!(joints.features.values.size(), [2, 16, 2, 4]);
    assert!(close(
        &both.features.values.narrow(1, 0, 16),
        &joints.features.values
    ));
    assert!(close(&both.seen_logits.unwrap(), &joints.seen_logits.unwrap()));
}

#[test]
fn frozen_graphs_have_no_gradient() {
    let net = build(
        &DgnnConfig {
            frozen_epochs: 1,
            ..small()
        },
        1,
    );
    let data = batch(4, 1, 5, &[true; 4]);
    for (epoch, trained) in [(0, false), (1, true)] {
        net.begin_epoch(epoch);
        net.train_logits(&data, Kind::Float)
            .unwrap()
            .square()
            .sum(Kind::Float)
            .backward();
        assert_eq!(net.state()["l2.dgn.source_M"].grad().defined(), trained);
        assert!(net.state()["l2.dgn.H_e.weight"].grad().defined());
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
    checks::the_smallest_input_computes(|input| Dgnn::new(&small(), input, Device::Cpu).unwrap());
}

#[test]
fn training_learns_what_can_be_separated() {
    checks::it_learns(|| build(&small(), 1));
}

#[test]
fn every_parameter_is_reached() {
    checks::gradients_reach_all(&build(&small(), 2), |_| false);
}

#[test]
fn evaluation_in_bf16_is_the_same_up_to_its_rounding() {
    let rough = build(
        &DgnnConfig {
            inference: Precision::Bf16,
            ..small()
        },
        1,
    );
    let fine = build(&small(), 1);
    checks::fill(rough.state());
    checks::fill(fine.state());
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
fn training_and_evaluation_agree_when_statistics_are_the_batchs() {
    // Normalisations that both streams share see joints and bones in turn, so that their statistics are those of
    // either only where the streams are equal: equal inputs and weights, and graphs that are their own transposes.
    let net = build(
        &DgnnConfig {
            bone_order: BoneOrder::Official,
            ..small()
        },
        1,
    );
    let state = net.state();
    no_grad(|| {
        for (name, tensor) in &state {
            let mut tensor = tensor.shallow_clone();
            if name.ends_with("_M") {
                let graph = testing::uniform(name, &[4, 4]).to_kind(Kind::Float);
                tensor.copy_(&(&graph + graph.tr()));
            } else if name.contains(".H_e.") {
                tensor.copy_(&state[&name.replace(".H_e.", ".H_v.")]);
            }
        }
    });
    let x = testing::normal("x", &[128, 8, 4, 3]);
    let (x, slots) = (Tensor::cat(&[&x, &x], 2), vec![0; 128]);
    let network = net.network();
    let mut trained = Tensor::new();
    for _ in 0..100 {
        trained = no_grad(|| network.train(&x, &slots, Kind::Float));
    }
    let evaluated = no_grad(|| network.fold(Kind::Float).forward(&x, &slots, &mut |_| {}));
    let largest = |t: Tensor| to_f64(&t.abs().max())[0];
    let (error, scale) = (largest(&evaluated - &trained), largest(trained));
    assert!(error < 0.02 * scale, "{error} of {scale}");
}

#[test]
fn options_out_of_range_are_all_reported() {
    let mut problems = Problems::new();
    let config = DgnnConfig {
        base_channels: 0,
        stream: Stream::Bone,
        ..small()
    };
    config.validate(&mut problems);
    let fields: Vec<_> = problems.iter().map(|p| p.field.as_str()).collect();
    assert_eq!(fields, ["base_channels", "stream"]);
}
