use szar_core::testing::layout;

use super::*;
use crate::aligners::maps::toy::{self, SPEC, Toy, WIDTH, begins_with, close, fill, input};
use crate::nn::classifier::tests::alone;

#[test]
fn goldens() {
    szar_core::conform::assert_goldens("aligner/star");
}

/// Made with the official modules in f64 from the weights and inputs of a generator.
#[test]
fn recorded_values_of_the_full_width_network() {
    let features = EncoderSpec {
        channels: 256,
        frames: 16,
        joints: 25,
        classifies: false,
    };
    let config = StarConfig {
        parts: Parts::Named(NamedParts::Star6),
        preset: Preset::Paper,
        label: Granularity::LABEL,
        ..StarConfig::default()
    };
    let mut texts = config.parts.granularities();
    texts.push(Granularity::LABEL);
    let mut star = Star::new(&config, &features, &texts, 768, Device::Cpu).unwrap();
    fill(&star.state());
    let joints = config.parts.resolve(&layout(25), 25).unwrap();
    star.joints = joints.iter().map(|j| Tensor::from_slice(j)).collect();
    let map = FeatureMap::new(input("X", &[2, 256, 16, 25])).unwrap();
    let values = star.network.values(star.view(&map).unwrap().nodes());
    assert!(begins_with(&values, &[-0.090096, 0.018335, -0.216876, -0.085486]));
    assert!(begins_with(&values.norm(), &[3.542262]));
    let whole = star.network.whole(&values);
    assert!(begins_with(&whole, &[-0.060142, -0.030362, -0.641124, -0.224546]));
    assert!(begins_with(&whole.sum(Kind::Double), &[-2.862275]));
    assert!(begins_with(&whole.norm(), &[3.703648]));
    let classes = unit_rows(&star.network.label(&input("label_text", &[5, 768])));
    let cosines = star.condense(&map).unwrap().mm(&classes.transpose(0, 1));
    assert!(begins_with(
        &cosines,
        &[-0.123641, -0.114804, 0.078802, -0.038612]
    ));
    assert!(begins_with(&cosines.sum(Kind::Double), &[-0.156173]));
    let trained = star
        .network
        .parameters()
        .values()
        .map(Tensor::numel)
        .sum::<usize>();
    // With the prompts of 60 classes and the heads that nothing uses, as published.
    let unused = 6 * (256 * 100 + 100) + (600 * 256 + 256) + (256 * 100 + 100) + (256 * 60 + 60);
    assert_eq!(trained + 6 * 60 * 768 + unused, 22_726_068);
}

fn tiny() -> StarConfig {
    StarConfig {
        prompts: Some(6),
        width: Some(8),
        text_hidden: Some(16),
        batch: Some(16),
        lr: Some(1e-2),
        epochs: Some(20),
        milestones: Some(vec![16]),
        ..StarConfig::default()
    }
}

#[test]
fn unseen_classes_are_recognised_through_their_texts() {
    if !alone() {
        return;
    }
    let toy = Toy::new();
    let aligner = toy.fitted(&tiny(), 192);
    let share = toy.unseen_share(aligner.as_ref());
    assert!(share > 0.7, "{share}");
    toy::batches_are_singles(&toy, aligner.as_ref());
    toy::columns_follow_classes(&toy, aligner.as_ref());
    toy::states_survive(&toy, &tiny(), aligner.as_ref());
    toy::gradients_flow(&toy, aligner.as_ref());
    attention_stays_inside_its_part(&toy, aligner.as_ref());
    nodes_of_a_constant_map_are_the_map(&toy, aligner.as_ref());
}

fn attention_stays_inside_its_part(toy: &Toy, aligner: &dyn Aligner) {
    let columns = Tensor::zeros([2], (Kind::Int64, Device::Cpu));
    let map = toy.maps("attention", &[3, 17]);
    let attention = aligner.attention(&map, &toy.anchors, &columns).unwrap().unwrap();
    let by_joint = attention.weights.view([2, -1, SPEC.frames, SPEC.joints]);
    let by_joint = by_joint.sum_dim_intlist([2i64].as_slice(), false, Kind::Float);
    let skeleton = layout(SPEC.joints as usize);
    for (p, name) in attention.names.iter().enumerate() {
        let own = skeleton.part(name.as_str()).unwrap();
        let own: Vec<i64> = own.iter().map(|j| *j as i64).collect();
        let inside = by_joint
            .select(1, p as i64)
            .index_select(1, &Tensor::from_slice(&own));
        let sum = inside.sum_dim_intlist([-1i64].as_slice(), false, Kind::Float);
        assert!(close(&sum, &sum.ones_like()), "{name}");
    }
}

fn nodes_of_a_constant_map_are_the_map(toy: &Toy, aligner: &dyn Aligner) {
    let map = toy
        .maps("constant", &[2, 18])
        .values
        .narrow(2, 0, 1)
        .narrow(3, 0, 1);
    let map = FeatureMap::new(map.expand([-1, -1, SPEC.frames, SPEC.joints], false)).unwrap();
    let nodes = aligner.embed_nodes(&map, &toy.anchors).unwrap();
    assert_eq!(nodes.size()[..2], [2, SPEC.frames * SPEC.joints]);
    let visual = aligner.embed(&map, &toy.anchors).unwrap().visual;
    assert!(close(&nodes, &visual.unsqueeze(1).expand_as(&nodes).contiguous()));
}

#[test]
fn a_stopped_fit_resumes_bit_for_bit() {
    let config = StarConfig {
        epochs: Some(3),
        ..tiny()
    };
    toy::stopped_fits_resume(&Toy::new(), &config);
}

#[test]
fn mistakes_are_refused() {
    let toy = Toy::new();
    toy::mistakes_are_refused(&toy, &tiny());
    let untrained = toy.build(&tiny()).score(&toy.maps("none", &[1]), &toy.anchors);
    assert!(
        untrained
            .unwrap_err()
            .to_string()
            .contains("missing the body parts of `star`")
    );
    let lacking = Star::new(&tiny(), &SPEC, &[Granularity::GLOBAL], WIDTH, Device::Cpu);
    let error = lacking.err().unwrap().to_string();
    assert!(error.contains("unknown granularity `head`"), "{error}");
    let odd = StarConfig {
        heads: Some(3),
        ..tiny()
    };
    let mut problems = szar_core::Problems::new();
    odd.validate(&mut problems);
    assert!(problems.to_string().contains("must divide the width 8, got 3"));
    let six = Parts::Named(NamedParts::Star6)
        .resolve(&layout(5), 5)
        .unwrap_err();
    assert!(six.to_string().contains("Kinect v2's 25 joints"), "{six}");
}

#[test]
fn parts_are_joints_by_number_or_name() {
    let text = r#"{"legs": [3, "joint4"], "arms": ["joint1"]}"#;
    let parts: Parts = serde_json::from_str(text).unwrap();
    let names: Vec<_> = parts.granularities().iter().map(ToString::to_string).collect();
    assert_eq!(names, ["arms", "legs"]);
    assert_eq!(parts.resolve(&layout(5), 5).unwrap(), [vec![1], vec![3, 4]]);
    let wrong: Parts = serde_json::from_str(r#"{"legs": ["joint9"]}"#).unwrap();
    let error = wrong.resolve(&layout(5), 5).unwrap_err().to_string();
    assert!(error.contains("unknown joint `joint9`"), "{error}");
    assert_eq!(
        serde_json::from_str::<Parts>("\"star6\"").unwrap(),
        Parts::Named(NamedParts::Star6)
    );
}

#[test]
fn official_states_load_without_their_encoder_and_unused_heads() {
    let toy = Toy::new();
    let aligner = toy.fitted(
        &StarConfig {
            epochs: Some(1),
            ..tiny()
        },
        64,
    );
    let mut state = aligner.state();
    for name in ["pretraining_model.fc.weight", "global_fc1.bias"] {
        state.insert(name.into(), Tensor::zeros([2], (Kind::Float, Device::Cpu)));
    }
    let mut other = toy.build(&tiny());
    other.load_state(&state).unwrap();
    assert!(other.state().keys().eq(aligner.state().keys()));
    state.insert("body_part_index_list.2".into(), Tensor::from_slice(&[1i64, 5]));
    let error = other.load_state(&state).unwrap_err().to_string();
    assert!(
        error.contains("`body_part_index_list.2` names joint 5, the feature map has 5 joints"),
        "{error}"
    );
}
