//! A published vector, streams, snapshots, options.

use szar_core::testing::{build_context, normal, uniform};
use szar_core::{
    AdapterConfig, Aligner, FeatureMap, NamedTensors, Observation, Problems, SampleRef, Task,
    TestTimeAdapter, host,
};
use tch::{Kind, Tensor, kind::FLOAT_CPU};

use super::golden::{Head, Small, task};
use super::*;

/// A normalisation that starts at scale 1 and shift 0, then `scale` times the dot product with the texts.
fn fresh(width: i64, scale: f64) -> Small {
    let state = NamedTensors::from([
        ("bn.weight".to_owned(), Tensor::ones([width], FLOAT_CPU)),
        ("bn.bias".to_owned(), Tensor::zeros([width], FLOAT_CPU)),
    ]);
    Small {
        state,
        head: Head::Texts(scale),
    }
}

fn begun(options: &TentConfig, task: &Task) -> Box<dyn TestTimeAdapter> {
    let mut adapter = options.build(&build_context()).unwrap();
    adapter.begin(task).unwrap();
    adapter
}

fn step(
    adapter: &mut dyn TestTimeAdapter,
    model: &Small,
    task: &Task,
    rows: &Tensor,
    samples: &[SampleRef],
) -> Tensor {
    let map = FeatureMap::from_pooled(rows).unwrap();
    let scores = model.score(&map, &task.anchors).unwrap();
    let seen = Observation::new(&map, &scores, samples);
    tch::no_grad(|| adapter.step(&seen, model)).unwrap().logits
}

/// All of a single stream in batches.
fn feed(adapter: &mut dyn TestTimeAdapter, model: &Small, task: &Task, rows: &Tensor, batch: i64) -> Tensor {
    let parts = rows.split(batch, 0);
    let each = parts.iter().enumerate().map(|(i, part)| {
        let samples = SampleRef::run(i as u64 * batch as u64, part.size()[0] as usize);
        step(adapter, model, task, part, &samples)
    });
    Tensor::cat(&each.collect::<Vec<_>>(), 0)
}

fn small_task() -> (Task, Small, Tensor) {
    let texts = normal("texts", &[5, 12]);
    (
        task(&texts, 12).unwrap(),
        fresh(12, 2.0),
        normal("rows", &[60, 12]),
    )
}

/// In `[-1, 1)`, from the stream of recorded test vectors.
fn drawn(name: &str, shape: &[i64]) -> Tensor {
    uniform(name, shape) * 2.0 - 1.0
}

fn unit(x: &Tensor) -> Tensor {
    x / x
        .square()
        .sum_dim_intlist([-1i64].as_slice(), true, Kind::Double)
        .sqrt()
}

#[test]
fn the_published_code_gives_the_same_on_drawn_numbers() {
    let texts = unit(&drawn("tta_t", &[10, 64]));
    let labels = ((drawn("tta_lab", &[200]) + 1.0) / 2.0 * 10.0)
        .floor()
        .to_kind(Kind::Int64);
    let mixed = texts.index_select(0, &labels) * 0.25 + unit(&drawn("tta_v", &[200, 64]));
    let rows = unit(&mixed).to_kind(Kind::Float);
    let task = task(&texts.to_kind(Kind::Float), 64).unwrap();
    let mut adapter = begun(&TentConfig::default(), &task);
    let got = feed(adapter.as_mut(), &fresh(64, 30.0 / 8.0), &task, &rows, 50);
    let right = got
        .argmax(1, false)
        .eq_tensor(&labels)
        .sum(Kind::Int64)
        .int64_value(&[]);
    assert_eq!(right, 131);
    assert!((got.sum(Kind::Double).double_value(&[]) + 4.366_915).abs() < 2e-3);
    let last = host::to_f64(&got.get(199));
    for (got, want) in last.iter().zip([-4.656_393, 1.943_799, -4.270_197]) {
        assert!((got - want).abs() < 2e-4, "{last:?}");
    }
    let weight = host::to_f64(&adapter.snapshot().unwrap()["0/0000/bn/weight"]);
    for (got, want) in weight.iter().zip([1.001_721, 1.002_660, 1.003_559]) {
        assert!((got - want).abs() < 1e-5, "{weight:?}");
    }
}

/// A single channel, two rows x = -1, 1, texts +-t: everything by hand.
#[test]
fn one_step_of_gradient_descent_by_hand() {
    // Normalised rows are -n, n with n = 1/sqrt(1 + 1e-5). Logits of row 2 are (w n t, -w n t), so with a = w n t its
    // entropy has dH/da = -2a sech^2(a) (row 1 the same): dH/dw = -2 a n t sech^2(a); dH/db = 0 by symmetry.
    let texts = Tensor::from_slice(&[0.7f32, -0.7]).view([2, 1]);
    let task = task(&texts, 1).unwrap();
    let options = TentConfig {
        optimiser: Optimiser::Sgd,
        momentum: 0.0,
        lr: 0.5,
        ..TentConfig::default()
    };
    let mut adapter = begun(&options, &task);
    let rows = Tensor::from_slice(&[-1.0f32, 1.0]).view([2, 1]);
    let _ = feed(adapter.as_mut(), &fresh(1, 1.0), &task, &rows, 2);
    let n = 1.0 / (1.0f64 + 1e-5).sqrt();
    let a = n * 0.7;
    let want = 1.0 + 0.5 * a * n * 0.7 / a.cosh().powi(2);
    let state = adapter.snapshot().unwrap();
    let got = state["0/0000/bn/weight"].double_value(&[0]);
    assert!((got - want).abs() < 1e-6, "{got} {want}");
    assert!(state["0/0000/bn/bias"].double_value(&[0]).abs() < 1e-6);
}

#[test]
fn the_answer_after_the_update_is_that_of_the_next_step_before_it() {
    let (task, model, rows) = small_task();
    let part = rows.narrow(0, 0, 20);
    let after = TentConfig {
        answer: Answer::AfterUpdate,
        lr: 0.05,
        ..TentConfig::default()
    };
    let before = TentConfig {
        answer: Answer::BeforeUpdate,
        ..after.clone()
    };
    let got = feed(begun(&after, &task).as_mut(), &model, &task, &part, 20);
    let mut adapter = begun(&before, &task);
    let first = feed(adapter.as_mut(), &model, &task, &part, 20);
    let second = feed(adapter.as_mut(), &model, &task, &part, 20);
    assert!(got.equal(&second) && !got.equal(&first));
}

#[test]
fn entropy_falls_and_episodes_forget() {
    let (task, model, rows) = small_task();
    let options = TentConfig {
        lr: 0.05,
        ..TentConfig::default()
    };
    let twice = Tensor::cat(&[&rows, &rows], 0);
    let mean_entropy = |z: &Tensor| {
        let p = z.softmax(1, Kind::Float);
        -(&p * p.log()).sum(Kind::Float).double_value(&[])
    };
    let got = feed(begun(&options, &task).as_mut(), &model, &task, &twice, 60);
    assert!(mean_entropy(&got.narrow(0, 60, 60)) < mean_entropy(&got.narrow(0, 0, 60)));
    let episodic = TentConfig {
        episodic: true,
        ..options
    };
    let got = feed(begun(&episodic, &task).as_mut(), &model, &task, &twice, 60);
    assert!(got.narrow(0, 60, 60).equal(&got.narrow(0, 0, 60)));
}

#[test]
fn mixed_streams_are_separate_adapters() {
    let (mut task, model, rows) = small_task();
    let options = TentConfig {
        lr: 0.02,
        steps: 2,
        ..TentConfig::default()
    };
    let mut alone = Vec::new();
    for stream in 0..3i64 {
        let own = rows.slice(0, stream, None, 3).contiguous();
        alone.push(feed(begun(&options, &task).as_mut(), &model, &task, &own, 5));
    }
    task.streams = 3;
    let mut together = begun(&options, &task);
    let samples: Vec<SampleRef> = (0..60)
        .map(|i| SampleRef {
            stream: i % 3,
            position: i as u64,
        })
        .collect();
    let mut got = Vec::new();
    for (i, part) in rows.split(15, 0).iter().enumerate() {
        got.push(step(
            together.as_mut(),
            &model,
            &task,
            part,
            &samples[i * 15..][..15],
        ));
    }
    let got = Tensor::cat(&got, 0);
    for (stream, alone) in alone.iter().enumerate() {
        assert!(got.slice(0, stream as i64, None, 3).equal(alone));
    }
    assert_eq!(together.diagnostics()["updates"], [24.0]);
}

#[test]
fn another_order_of_classes_only_moves_the_columns() {
    let (task, model, rows) = small_task();
    let order = Tensor::from_slice(&[3i64, 0, 4, 1, 2]);
    let other = super::golden::task(&task.anchors.values.squeeze_dim(1).index_select(0, &order), 12).unwrap();
    let options = TentConfig {
        lr: 0.02,
        ..TentConfig::default()
    };
    let want = feed(begun(&options, &task).as_mut(), &model, &task, &rows, 20).index_select(1, &order);
    let got = feed(begun(&options, &other).as_mut(), &model, &other, &rows, 20);
    assert!(got.allclose(&want, 1e-4, 1e-5, false));
}

#[test]
fn too_few_samples_keep_their_scores() {
    let (task, model, rows) = small_task();
    let mut adapter = begun(&TentConfig::default(), &task);
    let single = rows.narrow(0, 0, 1);
    let map = FeatureMap::from_pooled(&single).unwrap();
    let want = model.score(&map, &task.anchors).unwrap().logits;
    assert!(step(adapter.as_mut(), &model, &task, &single, &SampleRef::run(0, 1)).equal(&want));
    assert_eq!(adapter.diagnostics()["samples_not_adapted"], [1.0]);
    assert_eq!(adapter.state_bytes(), 0);
}

#[test]
fn a_restored_stream_goes_on_bit_for_bit() {
    let (mut task, model, rows) = small_task();
    task.streams = 2;
    for options in [
        TentConfig::default(),
        TentConfig {
            optimiser: Optimiser::Sgd,
            ..TentConfig::default()
        },
    ] {
        let mut adapter = begun(&options, &task);
        let run = |adapter: &mut dyn TestTimeAdapter, range: std::ops::Range<i64>| {
            let each = range.map(|i| {
                let mut samples = SampleRef::run(i as u64 * 10, 10);
                samples.iter_mut().for_each(|s| s.stream = (i % 2) as usize);
                step(adapter, &model, &task, &rows.narrow(0, i * 10, 10), &samples)
            });
            Tensor::cat(&each.collect::<Vec<_>>(), 0)
        };
        let _ = run(adapter.as_mut(), 0..3);
        let state = adapter.snapshot().unwrap();
        let bytes = adapter.state_bytes();
        let want = run(adapter.as_mut(), 3..6);
        let mut other = begun(&options, &task);
        other.restore(state).unwrap();
        assert!(run(other.as_mut(), 3..6).equal(&want));
        assert_eq!(other.diagnostics(), adapter.diagnostics());
        assert_eq!((adapter.state_bytes(), other.state_bytes()), (bytes, bytes));
    }
}

#[test]
fn a_damaged_snapshot_is_refused_by_name() {
    let (task, model, rows) = small_task();
    let mut adapter = begun(&TentConfig::default(), &task);
    let _ = feed(adapter.as_mut(), &model, &task, &rows, 30);
    let without = |name: &str| {
        let mut state = adapter.snapshot().unwrap();
        assert!(state.remove(name).is_some());
        begun(&TentConfig::default(), &task)
            .restore(state)
            .unwrap_err()
            .to_string()
    };
    for name in [
        "counts",
        "0/0000/bn/bias",
        "0/0000/bn/weight",
        "0/optimiser/steps",
    ] {
        let last = name.rsplit('/').next().unwrap();
        assert!(without(name).contains(last), "{name}: {}", without(name));
    }
    let mut state = adapter.snapshot().unwrap();
    state.insert("0/0000/bn/bias".into(), Tensor::zeros([3], FLOAT_CPU));
    let error = begun(&TentConfig::default(), &task)
        .restore(state)
        .unwrap_err()
        .to_string();
    assert!(error.contains("bn/bias") && error.contains("[3]"), "{error}");
}

#[test]
fn layers_that_are_not_named_stay_and_unknown_ones_are_refused() {
    let (task, model, rows) = small_task();
    let options = TentConfig {
        layers: vec!["bm".into()],
        ..TentConfig::default()
    };
    let map = FeatureMap::from_pooled(&rows).unwrap();
    let scores = model.score(&map, &task.anchors).unwrap();
    let samples = SampleRef::run(0, 60);
    let seen = Observation::new(&map, &scores, &samples);
    let error = begun(&options, &task)
        .step(&seen, &model)
        .unwrap_err()
        .to_string();
    assert!(error.contains("`bm`") && error.contains("`bn`"), "{error}");
}

#[test]
fn an_aligner_without_layers_is_refused() {
    let (task, _, rows) = small_task();
    let map = FeatureMap::from_pooled(&rows).unwrap();
    let model = szar_core::testing::NoModel;
    let scores = model.score(&map, &task.anchors).unwrap();
    let samples = SampleRef::run(0, 60);
    let seen = Observation::new(&map, &scores, &samples);
    let error = begun(&TentConfig::default(), &task)
        .step(&seen, &model)
        .unwrap_err()
        .to_string();
    assert!(error.contains("normalisation layers"), "{error}");
}

#[test]
fn the_state_does_not_grow_with_the_stream() {
    let (task, model, rows) = small_task();
    let mut adapter = begun(&TentConfig::default(), &task);
    let _ = feed(adapter.as_mut(), &model, &task, &rows, 20);
    let bytes = adapter.state_bytes();
    assert_eq!(bytes, 3 * 2 * 12 * 4 + 8); // scale and shift with two moments each, and a counter
    for _ in 0..20 {
        let _ = feed(adapter.as_mut(), &model, &task, &rows, 20);
    }
    assert_eq!(adapter.state_bytes(), bytes);
}

#[test]
fn options_out_of_range_are_refused_by_name() {
    let wrong = TentConfig {
        lr: f64::NAN,
        steps: 0,
        weight_decay: -1.0,
        momentum: 1.0,
        logit_scale: 0.0,
        min_batch: 0,
        layers: vec!["a".into(), "a".into()],
        ..TentConfig::default()
    };
    let mut problems = Problems::new();
    wrong.validate(&mut problems);
    let fields: Vec<_> = problems.iter().map(|p| p.field.as_str()).collect();
    assert_eq!(
        fields,
        [
            "lr",
            "logit_scale",
            "steps",
            "weight_decay",
            "momentum",
            "min_batch",
            "layers[1]"
        ]
    );
    let mut none = Problems::new();
    TentConfig::default().validate(&mut none);
    assert!(none.is_empty());
    assert_eq!(TentConfig::default().requirements().batch, 2);
}
