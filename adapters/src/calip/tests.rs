//! Host against tensors, batch against samples, order of classes, options.

use proptest::prelude::*;
use proptest::test_runner::RngSeed;
use szar_core::testing::{DotModel, build_context, normal, task, uniform};
use szar_core::{
    AdapterConfig, Aligner, Embedding, FeatureMap, Granularity, Observation, Problems, SampleRef,
    SemanticAnchors, Task, TestTimeAdapter,
};
use tch::{Kind, Tensor, kind::FLOAT_CPU};

use super::attend::by_tensors;
use super::*;

const MODEL: DotModel = DotModel { scale: 10.0 };

fn begun(options: &CalipConfig, task: &Task) -> Box<dyn TestTimeAdapter> {
    let mut adapter = options.build(&build_context()).unwrap();
    adapter.begin(task).unwrap();
    adapter
}

fn answer(options: &CalipConfig, task: &Task, map: &Tensor) -> Tensor {
    let features = FeatureMap::new(map.shallow_clone()).unwrap();
    let scores = MODEL.score(&features, &task.anchors).unwrap();
    let samples = SampleRef::run(0, map.size()[0] as usize);
    let seen = Observation::new(&features, &scores, &samples);
    begun(options, task).step(&seen, &MODEL).unwrap().logits
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 32, rng_seed: RngSeed::Fixed(5), failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn the_host_gives_what_tensor_operations_give(
        batch in 1i64..6, points in 1i64..40, count in 1i64..9, width in 1i64..70,
        normalise: bool, turned: bool, scale in 0.1f64..20.0, seed in 0i64..1000,
    ) {
        let visual = normal(&format!("visual {seed}"), &[batch, width]);
        let classes = normal(&format!("classes {seed}"), &[count, width]);
        // As rows, and as a view of a feature map.
        let nodes = match turned {
            true => normal(&format!("nodes {seed}"), &[batch, width, points]).transpose(1, 2),
            false => normal(&format!("nodes {seed}"), &[batch, points, width]),
        };
        let want = by_tensors(&visual, &classes, &nodes, scale, normalise);
        let got = attend(&Embedding { visual, classes }, &nodes, scale, normalise).unwrap();
        for (got, want) in [(got.base, want.base), (got.text, want.text), (got.visual, want.visual)] {
            prop_assert!(got.allclose(&want, 1e-4, 1e-3, false), "{got} {want}");
        }
    }

    #[test]
    fn another_order_of_classes_only_moves_the_columns(count in 2i64..7, batch in 1i64..5, seed in 0i64..1000) {
        let task = task(count as usize, 8, 3, 4);
        let map = normal(&format!("map {seed}"), &[batch, 8, 3, 4]);
        let order = uniform(&format!("order {seed}"), &[count]).argsort(0, false);
        let other = Task {
            anchors: SemanticAnchors {
                values: task.anchors.values.index_select(0, &order),
                granularities: task.anchors.granularities.clone(),
                classes: task.anchors.classes.clone(),
            },
            ..szar_core::testing::task(count as usize, 8, 3, 4)
        };
        let options = CalipConfig::default();
        let want = answer(&options, &task, &map).index_select(1, &order);
        prop_assert!(answer(&options, &other, &map).allclose(&want, 1e-4, 1e-3, false));
    }
}

/// One node, one class direction: everything by hand.
#[test]
fn attention_of_a_single_node_by_hand() {
    // A single node is all that each text sees: g·F_ta = g·v = 0.6. Its attention over the two texts
    // with A = 2 (0.6, 0.8) is softmax(1.2, 1.6) = (0.401312, 0.598688); mean and maximum are that mixture itself.
    let embedding = Embedding {
        visual: Tensor::from_slice(&[1.0f32, 0.0]).view([1, 2]),
        classes: Tensor::eye(2, FLOAT_CPU),
    };
    let nodes = Tensor::from_slice(&[0.6f32, 0.8]).view([1, 1, 2]);
    let got = attend(&embedding, &nodes, 2.0, true).unwrap();
    let close =
        |t: &Tensor, want: [f32; 2]| t.allclose(&Tensor::from_slice(&want).view([1, 2]), 1e-5, 1e-6, false);
    assert!(close(&got.base, [1.0, 0.0]));
    assert!(close(&got.text, [0.6, 0.6]));
    assert!(close(&got.visual, [0.802_624, 1.197_376]), "{}", got.visual);
}

#[test]
fn a_batch_equals_its_samples_one_by_one() {
    let task = task(6, 8, 4, 5);
    let map = normal("map", &[9, 8, 4, 5]);
    let options = CalipConfig::default();
    let whole = answer(&options, &task, &map);
    let singles: Vec<Tensor> = (0..9)
        .map(|i| answer(&options, &task, &map.narrow(0, i, 1)))
        .collect();
    let singles = Tensor::cat(&singles, 0);
    // The scores that they are added to come from one matrix product for all, or one for each.
    assert!(whole.allclose(&singles, 1e-6, 1e-5, false));
    assert!(whole.argmax(1, false).equal(&singles.argmax(1, false)));
    let (visual, classes) = (
        map.mean_dim([2i64, 3].as_slice(), false, Kind::Float),
        normal("classes", &[6, 8]),
    );
    let nodes = map.flatten(2, 3).transpose(1, 2);
    let of = |from: i64, len: i64| {
        let embedding = Embedding {
            visual: visual.narrow(0, from, len),
            classes: classes.shallow_clone(),
        };
        attend(&embedding, &nodes.narrow(0, from, len), 2.0, true).unwrap()
    };
    let all = of(0, 9);
    for i in 0..9 {
        let one = of(i, 1);
        assert!(all.text.narrow(0, i, 1).equal(&one.text) && all.visual.narrow(0, i, 1).equal(&one.visual));
        assert!(all.base.narrow(0, i, 1).equal(&one.base));
    }
}

#[test]
fn without_weights_the_scores_stay() {
    let task = task(4, 8, 2, 3);
    let map = normal("map", &[3, 8, 2, 3]);
    let options = CalipConfig {
        beta2: 0.0,
        beta3: 0.0,
        ..CalipConfig::default()
    };
    let features = FeatureMap::new(map.shallow_clone()).unwrap();
    let text = task.anchors.granularity(&Granularity::GLOBAL).unwrap();
    let want = features.pooled().matmul(&text.transpose(0, 1)) * 10.0;
    assert!(answer(&options, &task, &map).allclose(&want, 0.0, 1e-5, false));
}

#[test]
fn options_out_of_range_are_refused_by_name() {
    let wrong = CalipConfig {
        attention_scale: 0.0,
        logit_scale: f64::NAN,
        beta2: -1.0,
        beta3: f64::INFINITY,
        protocol: Protocol::TestTuned,
        beta2_grid: Vec::new(),
        beta3_grid: vec![0.1, -0.1],
        ..CalipConfig::default()
    };
    let mut problems = Problems::new();
    wrong.validate(&mut problems);
    let fields: Vec<_> = problems.iter().map(|p| p.field.as_str()).collect();
    for field in [
        "attention_scale",
        "logit_scale",
        "beta2",
        "beta3",
        "beta2_grid",
        "beta3_grid[1]",
    ] {
        assert!(fields.contains(&field), "{field} of {fields:?}");
    }
    let mut none = Problems::new();
    CalipConfig::default().validate(&mut none);
    assert!(none.is_empty());
}

#[test]
fn tuning_on_the_test_set_is_marked_and_tries_the_whole_grid() {
    let options = CalipConfig {
        protocol: Protocol::TestTuned,
        ..CalipConfig::default()
    };
    assert!(options.marks().iter().any(|m| m.uses_test_labels));
    assert_eq!(options.test_tuned_variants().len(), 25);
    assert!(
        CalipConfig::default().test_tuned_variants().is_empty() && CalipConfig::default().marks().is_empty()
    );
}

#[test]
fn a_step_before_begin_and_wrong_shapes_are_errors() {
    let mut adapter = CalipConfig::default().build(&build_context()).unwrap();
    assert!(
        adapter
            .snapshot()
            .unwrap_err()
            .to_string()
            .contains("calip was not begun")
    );
    let task = task(4, 8, 2, 3);
    let features = FeatureMap::new(Tensor::zeros([2, 8, 2, 3], FLOAT_CPU)).unwrap();
    let scores = Scores {
        logits: Tensor::zeros([2, 5], FLOAT_CPU),
    };
    let samples = SampleRef::run(0, 2);
    let seen = Observation::new(&features, &scores, &samples);
    assert!(adapter.step(&seen, &MODEL).is_err());
    adapter.begin(&task).unwrap();
    let error = adapter.step(&seen, &MODEL).unwrap_err().to_string();
    assert_eq!(error, "`scores` has shape [2, 5], expected [2, 4]");
}
