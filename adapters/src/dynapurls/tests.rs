use proptest::prelude::*;
use szar_core::testing::{DotModel, anchors, classes, play, task};
use szar_core::{
    AdapterConfig, Aligner, Capabilities, Error, FeatureMap, FitContext, FitSummary, NamedTensors,
    Observation, Problems, Result, SampleRef, Scores, SeenFeatures, SemanticAnchors, Task, TestTimeAdapter,
};
use tch::{Kind, Tensor, kind::FLOAT_CPU};

use super::fused::Rule;
use super::gradient::{Batch, Plan, View};
use super::moving::Moving;
use super::*;
use crate::balance::tests::recorded;

const WIDTH: i64 = 8;

/// Numbers within ±1, the same for a seed on every run.
fn noise(shape: &[i64], seed: u64) -> Tensor {
    let count: i64 = shape.iter().product();
    let mut state = seed.wrapping_mul(0x9E37_79B9_7F4A_7C15) | 1;
    let mut next = || {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        (state >> 40) as f32 / (1u64 << 23) as f32 - 1.0
    };
    let values: Vec<f32> = (0..count).map(|_| next()).collect();
    Tensor::from_slice(&values).reshape(shape)
}

/// The same aligner without its short cut, so that gradients go through a graph.
struct Opaque(DotModel);

impl Aligner for Opaque {
    fn capabilities(&self) -> Capabilities {
        self.0.capabilities()
    }

    fn fit(&mut self, _: &SeenFeatures, _: &SemanticAnchors, _: &mut FitContext) -> Result<FitSummary> {
        Ok(FitSummary::default())
    }

    fn score(&self, features: &FeatureMap, anchors: &SemanticAnchors) -> Result<Scores> {
        self.0.score(features, anchors)
    }

    fn condense(&self, features: &FeatureMap) -> Result<Tensor> {
        self.0.condense(features)
    }

    fn score_condensed(&self, rows: &Tensor, anchors: &SemanticAnchors) -> Result<Scores> {
        self.0.score_condensed(rows, anchors)
    }

    /// In training mode it does not know what to do without askers, as `purls`.
    fn score_asked(
        &self,
        rows: &Tensor,
        anchors: &SemanticAnchors,
        askers: Option<&Tensor>,
        training: bool,
    ) -> Result<Scores> {
        match (askers, training) {
            (None, true) => Err(Error::Input("nobody asks".into())),
            (Some(askers), _) if askers.size() != [rows.size()[0]] => {
                Err(Error::Input("not one each".into()))
            }
            _ => self.score_condensed(rows, anchors),
        }
    }

    fn state(&self) -> NamedTensors {
        NamedTensors::new()
    }

    fn load_state(&mut self, _: &NamedTensors) -> Result<()> {
        Ok(())
    }
}

fn setting(count: usize, expected: u64, streams: usize) -> Task {
    Task {
        expected,
        streams,
        ..task(count, WIDTH, 1, 1)
    }
}

/// A task with the same anchors for another number of streams.
fn with_streams(task: &Task, streams: usize) -> Task {
    let other = setting(task.candidates.len(), task.expected, streams);
    Task {
        anchors: task.anchors.with_values(task.anchors.values.copy()).unwrap(),
        ..other
    }
}

fn stream(count: i64, seed: u64) -> FeatureMap {
    FeatureMap::from_pooled(&(noise(&[count, WIDTH], seed) * 2.0)).unwrap()
}

fn begun(options: &DynaPurlsConfig, task: &Task) -> DynaPurls {
    let mut adapter = DynaPurls::new(options);
    adapter.begin(task).unwrap();
    adapter
}

fn options() -> DynaPurlsConfig {
    DynaPurlsConfig {
        preset: Preset::None,
        capacity: 4,
        lr: Some(0.05),
        ..DynaPurlsConfig::default()
    }
}

/// For sums that ran in another order: Adam divides a gradient by its size, so that the last bits of a gradient that
/// vanishes become a whole step of one number.
fn near(a: &Tensor, b: &Tensor) -> bool {
    a.allclose(b, 2e-2, 2e-2, false)
}

fn close(a: &Tensor, b: &Tensor) -> bool {
    a.allclose(b, 1e-4, 1e-5, false)
}

const MODEL: DotModel = DotModel { scale: 4.0 };

#[test]
fn the_closed_form_is_the_gradient_of_the_graph() {
    let anchors = anchors(5, WIDTH);
    let linear = MODEL.linear(&anchors).unwrap().unwrap();
    // Of the eight texts, the global one (7) counts and the first (0) is refined in vain.
    let plan = Plan::new(anchors, vec![0, 7], Some(linear.clone()));
    let index = Tensor::from_slice(&[0i64, 7]);
    let text = plan.anchors.values.index_select(1, &index);
    let rows = noise(&[6, WIDTH], 3);
    let labels = Tensor::from_slice(&[0i64, 1, 4, 2, 1, 3]);
    let weights = Tensor::from_slice(&[0.1f32, 0.3, 0.2, 0.0, 0.25, 0.15]);
    let batch = Batch {
        rows: rows.unsqueeze(0),
        targets: labels.one_hot(5).to_kind(Kind::Float),
        weights: weights.unsqueeze(0),
        view: View {
            factors: Tensor::full([1, 1, 1], 1.0 / 0.7, FLOAT_CPU),
            offsets: Some(noise(&[1, 1, 5], 8)),
        },
    };
    let (by_hand, loss) = plan.linear_gradient(&linear, &text.unsqueeze(0), &batch, true);
    let (by_graph, want) = plan.graph_gradient(&MODEL, &text, &batch).unwrap();
    assert!(close(&by_hand.get(0), &by_graph));
    assert!((loss.unwrap().double_value(&[0]) - want.double_value(&[])).abs() < 1e-5);
    assert!(by_hand.get(0).select(1, 1).abs().max().double_value(&[]) > 0.01);
    assert_eq!(by_hand.get(0).select(1, 0).abs().max().double_value(&[]), 0.0);
}

#[test]
fn the_gradient_on_the_host_is_that_of_tensors() {
    // Sizes that leave rests everywhere: of rows, classes (12, 8, 4 and 1 at a time) and numbers.
    for (streams, count, classes, width) in [(1, 9, 27, 300), (3, 6, 5, 21), (2, 4, 1, 600)] {
        let weights = (noise(&[streams, count], 4)).clamp_min(0.0);
        let batch = Batch {
            rows: noise(&[streams, count, width], 1),
            targets: noise(&[streams, count, classes], 2).softmax(-1, Kind::Float),
            weights,
            view: View {
                factors: noise(&[streams, 1, 1], 3).abs() + 0.5,
                offsets: (streams > 1).then(|| noise(&[streams, 1, classes], 5)),
            },
        };
        let vectors = noise(&[streams, classes, width], 6) * 0.3;
        let (got, got_loss) = batch.gradient_on_host(&vectors, 0.7);
        let (want, want_loss) = batch.gradient_by_tensors(&vectors, 0.7, true);
        // Sums over 600 products of order 1 in two orders.
        assert!(got.allclose(&want, 1e-4, 1e-4, false));
        assert!(got_loss.unwrap().allclose(&want_loss.unwrap(), 1e-4, 1e-4, false));
    }
}

#[test]
fn one_pass_over_memory_is_adam_on_scale_and_shift() {
    let base = noise(&[3, 2, 21], 1);
    let moves = [true, false, true];
    for length in [Length::Unit, Length::Kept] {
        let rule = Rule {
            decay: 1e-3,
            epsilon: 1e-8,
            pull: 0.1,
            shift: 0.5,
        };
        one_pass(&base, &moves, (length, rule));
    }
}

fn one_pass(base: &Tensor, moves: &[bool], how: (Length, Rule)) {
    let begin = |streams| Moving::new(base, streams, moves, how, tch::Device::Cpu);
    let (mut fused, mut plain) = (begin(2), begin(2));
    plain.use_tensors();
    for step in 0..5 {
        let gradient = noise(&[3, 2, 21], 10 + step);
        for moving in [&mut fused, &mut plain] {
            moving.step(1, &gradient, 0.02);
        }
    }
    assert!(fused.text.allclose(&plain.text, 1e-5, 1e-6, false));
    assert!(fused.values().allclose(plain.values(), 1e-5, 1e-6, false));
    let lengths = fused.text.norm_scalaropt_dim(2, [-1i64].as_slice(), false);
    let own = base.norm_scalaropt_dim(2, [-1i64].as_slice(), false);
    let want = if how.0 == Length::Unit {
        own.ones_like()
    } else {
        own
    };
    assert!(close(&lengths.get(1), &want));
    let fresh = begin(1);
    assert!(
        fused.text.get(0).equal(&fresh.text.get(0)),
        "the other stream stays"
    );
    assert!(
        fused.text.get(1).get(1).equal(&fresh.text.get(0).get(1)),
        "and the class that is not to move"
    );
}

#[test]
fn aligners_with_and_without_the_short_cut_give_the_same() {
    let (task, features) = (setting(5, 60, 1), stream(60, 2));
    let short = play(
        &mut begun(&options(), &task),
        &MODEL,
        &task.anchors,
        &features,
        16,
    )
    .unwrap();
    let long = play(
        &mut begun(&options(), &task),
        &Opaque(MODEL),
        &task.anchors,
        &features,
        16,
    )
    .unwrap();
    assert!(close(&short, &long));
    let fixed = MODEL.score(&features, &task.anchors).unwrap().logits;
    assert!(
        (short - fixed).abs().max().double_value(&[]) > 0.1,
        "the anchors moved"
    );
}

#[test]
fn the_first_samples_meet_the_anchors_as_the_texts_give_them() {
    let (task, features) = (setting(5, 60, 1), stream(60, 4));
    let fixed = MODEL.score(&features, &task.anchors).unwrap().logits;
    let options = DynaPurlsConfig {
        min_samples: 10,
        ..options()
    };
    let got = play(&mut begun(&options, &task), &MODEL, &task.anchors, &features, 1).unwrap();
    assert!(close(&got.narrow(0, 0, 10), &fixed.narrow(0, 0, 10)));
}

#[test]
fn nothing_moves_where_no_candidate_is_to_move() {
    let (task, features) = (setting(4, 40, 1), stream(40, 5));
    let options = DynaPurlsConfig {
        classes: Adapted::Seen,
        ..options()
    };
    let got = play(&mut begun(&options, &task), &MODEL, &task.anchors, &features, 8).unwrap();
    assert!(close(
        &got,
        &MODEL.score(&features, &task.anchors).unwrap().logits
    ));
}

#[test]
fn the_change_can_be_added_to_the_scores_before() {
    let (task, features) = (setting(4, 40, 1), stream(40, 6));
    let run = |combine, offset: f64| {
        let mut adapter = begun(&DynaPurlsConfig { combine, ..options() }, &task);
        let scores = Scores {
            logits: MODEL.score(&features, &task.anchors).unwrap().logits + offset,
        };
        let samples = SampleRef::run(0, 40);
        adapter
            .step(&Observation::new(&features, &scores, &samples), &MODEL)
            .unwrap()
            .logits
    };
    assert!(close(
        &(run(Combine::Replace, 0.0) + 3.0),
        &run(Combine::AddChange, 3.0)
    ));
    assert!(close(&run(Combine::Replace, 0.0), &run(Combine::Replace, 3.0)));
}

#[test]
fn without_a_memory_only_the_present_counts() {
    let (task, features) = (setting(4, 40, 1), stream(40, 7));
    let options = DynaPurlsConfig {
        memory_bank: false,
        confidence: Some(0.0),
        ..options()
    };
    let mut adapter = begun(&options, &task);
    adapter.record();
    let _ = play(&mut adapter, &MODEL, &task.anchors, &features, 8).unwrap();
    assert_eq!(adapter.updates().len(), 40);
    assert!(adapter.held().is_empty());
}

#[test]
fn a_stream_of_unknown_length_needs_a_horizon() {
    let mut adapter = DynaPurls::new(&options());
    let error = adapter.begin(&setting(3, 0, 1)).unwrap_err().to_string();
    assert!(error.contains("horizon"), "{error}");
    let options = DynaPurlsConfig {
        horizon: Some(100),
        ..options()
    };
    assert!(DynaPurls::new(&options).begin(&setting(3, 0, 1)).is_ok());
}

#[test]
fn the_learning_rate_alternates_as_the_released_code_has_it() {
    let options = DynaPurlsConfig {
        preset: Preset::Official,
        ..DynaPurlsConfig::default()
    };
    let adapter = begun(&options, &setting(3, 10, 1));
    let rates: Vec<f64> = (0..4).map(|k| adapter.learning_rate(k)).collect();
    for (got, want) in rates.iter().zip([0.01, 0.001, 0.01, 0.001]) {
        assert!((got - want).abs() < 1e-12, "{rates:?}");
    }
}

#[test]
fn without_true_classes_the_winners_ask_in_training_mode() {
    let official = |train_mode| {
        let options = DynaPurlsConfig {
            preset: Preset::Official,
            train_mode: Some(train_mode),
            ..DynaPurlsConfig::default()
        };
        let task = setting(3, 30, 1);
        let mut adapter = begun(&options, &task);
        play(&mut adapter, &Opaque(MODEL), &task.anchors, &stream(30, 5), 10).unwrap()
    };
    let anchors = setting(3, 30, 1).anchors;
    let still = MODEL.score(&stream(30, 5), &anchors).unwrap().logits;
    let trained = official(true);
    // This model's training mode is its evaluation mode.
    assert!(close(&trained, &official(false)) && !close(&trained, &still));
}

#[test]
fn options_out_of_range_are_named() {
    let wrong = DynaPurlsConfig {
        capacity: 0,
        temperature: f64::NAN,
        lr: Some(0.0),
        lr_floor: 1.5,
        confidence: Some(1.2),
        confidence_scale: Some(ThresholdScale::Absolute),
        stale: Some(true),
        ..DynaPurlsConfig::default()
    };
    let mut problems = Problems::new();
    wrong.validate(&mut problems);
    let text = problems.to_string();
    for field in ["capacity", "temperature", "lr", "lr_floor", "confidence", "stale"] {
        assert!(text.contains(field), "{field} in\n{text}");
    }
    for preset in [Preset::Balanced, Preset::None, Preset::Paper, Preset::Official] {
        let mut problems = Problems::new();
        DynaPurlsConfig {
            preset,
            ..DynaPurlsConfig::default()
        }
        .validate(&mut problems);
        assert!(problems.is_empty(), "{problems}");
    }
}

#[test]
fn a_snapshot_goes_on_bit_for_bit() {
    let (task, features) = (setting(4, 50, 1), stream(50, 8));
    let (head, tail) = (features.narrow(0, 30), features.narrow(30, 20));
    let by_batch = DynaPurlsConfig {
        update: Some(Granule::Batch),
        ..options()
    };
    for options in [options(), by_batch, DynaPurlsConfig::default()] {
        let mut one = begun(&options, &task);
        let _ = play(&mut one, &MODEL, &task.anchors, &head, 10).unwrap();
        let mut other = begun(&options, &task);
        other.restore(one.snapshot().unwrap()).unwrap();
        let on = |a: &mut DynaPurls| play(a, &MODEL, &task.anchors, &tail, 10).unwrap();
        assert!(on(&mut one).equal(&on(&mut other)));
        assert_eq!(one.held(), other.held());
        let mut early = begun(&options, &task);
        early.restore(begun(&options, &task).snapshot().unwrap()).unwrap();
        let foreign = NamedTensors::from([("x".to_owned(), Tensor::zeros([1], FLOAT_CPU))]);
        assert!(
            early
                .restore(foreign)
                .unwrap_err()
                .to_string()
                .contains("moving/values")
        );
    }
}

#[test]
fn the_default_is_what_an_independent_version_computes() {
    let (vectors, anchors) = (recorded("vectors"), recorded("anchors"));
    let own = task(5, 8, 1, 1);
    let values = own.anchors.values.copy();
    values.select(1, 7).copy_(&anchors);
    let task = Task {
        anchors: own.anchors.with_values(values).unwrap(),
        expected: 60,
        ..own
    };
    let options = DynaPurlsConfig {
        capacity: 4,
        ..DynaPurlsConfig::default()
    };
    let model = DotModel { scale: 3.0 };
    let features = FeatureMap::from_pooled(&vectors).unwrap();
    for opaque in [false, true] {
        let mut adapter = begun(&options, &task);
        let got = if opaque {
            play(&mut adapter, &Opaque(model), &task.anchors, &features, 7).unwrap()
        } else {
            play(&mut adapter, &model, &task.anchors, &features, 7).unwrap()
        };
        let worst = (got - recorded("refined")).abs().max().double_value(&[]);
        assert!(worst < 2e-3, "{worst}");
        let values = adapter.scale_and_shift().unwrap().get(0);
        for (part, name) in [(0, "scale"), (1, "shift")] {
            let got = values.get(part).squeeze_dim(1);
            let worst = (got - recorded(name)).abs().max().double_value(&[]);
            assert!(worst < 1e-3, "{name}: {worst}");
        }
    }
}

#[test]
fn the_memory_is_what_was_computed_on_paper() {
    let (classes, capacity, streams) = (4u64, 4u64, 2usize);
    let task = setting(4, 400, streams);
    let mut adapter = begun(&options(), &task);
    let features = stream(400, 9);
    let scores = MODEL.score(&features, &task.anchors).unwrap();
    let samples: Vec<_> = (0..400)
        .map(|i| SampleRef {
            stream: (i % 2) as usize,
            position: i,
        })
        .collect();
    adapter
        .step(&Observation::new(&features, &scores, &samples), &MODEL)
        .unwrap();
    let width = WIDTH as u64;
    let texts = classes * width; // one text of the aligner
    let parameters = 4 * (texts + streams as u64 * (texts + 2 * texts + 4 * texts));
    let entry = size_of::<Option<super::bank::Entry>>() as u64;
    let bank = streams as u64 * classes * capacity * (4 * width + entry);
    assert_eq!(
        adapter.state_bytes(),
        parameters + bank + 4 * classes * capacity * classes
    );
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(12))]

    #[test]
    fn batches_do_not_matter(seed in 0u64..1000, batch in 2i64..20, count in 2usize..7) {
        let (task, features) = (setting(count, 40, 1), stream(40, seed));
        let single = play(&mut begun(&options(), &task), &MODEL, &task.anchors, &features, 1).unwrap();
        let batched = play(&mut begun(&options(), &task), &MODEL, &task.anchors, &features, batch).unwrap();
        prop_assert!(close(&single, &batched));
    }

    #[test]
    fn the_order_of_the_classes_only_moves_the_columns(seed in 0u64..1000, shift in 1i64..5) {
        let (task, features) = (setting(5, 40, 1), stream(40, seed));
        let plain = play(&mut begun(&options(), &task), &MODEL, &task.anchors, &features, 8).unwrap();
        let order = (Tensor::arange(5, (Kind::Int64, tch::Device::Cpu)) + shift).remainder(5);
        let values = task.anchors.values.index_select(0, &order);
        let moved = Task {
            anchors: SemanticAnchors::new(values, task.anchors.granularities.clone(), classes(5)).unwrap(),
            ..setting(5, 40, 1)
        };
        let permuted = play(&mut begun(&options(), &moved), &MODEL, &moved.anchors, &features, 8).unwrap();
        prop_assert!(near(&plain.index_select(1, &order), &permuted));
    }

    #[test]
    fn mixed_streams_equal_separate_adapters(seed in 0u64..1000, batch in 1usize..9) {
        let (streams, count) = (3usize, 36usize);
        let task = setting(4, count as u64, streams);
        let alone = Task { expected: (count / streams) as u64, ..with_streams(&task, 1) };
        let features = stream(count as i64, seed);
        let scores = MODEL.score(&features, &task.anchors).unwrap();
        // Streams come unevenly within a batch, evenly over all.
        let samples: Vec<_> = (0..count as u64)
            .map(|i| SampleRef { stream: (i / 2) as usize % streams, position: i })
            .collect();
        let mut mixed = begun(&options(), &task);
        let mut separate: Vec<_> = (0..streams).map(|_| begun(&options(), &alone)).collect();
        for from in (0..count).step_by(batch) {
            let len = batch.min(count - from);
            let part = features.narrow(from as i64, len as i64);
            let logits = Scores { logits: scores.logits.narrow(0, from as i64, len as i64) };
            let refs = &samples[from..from + len];
            let got = mixed.step(&Observation::new(&part, &logits, refs), &MODEL).unwrap().logits;
            for (i, sample) in refs.iter().enumerate() {
                let one = part.narrow(i as i64, 1);
                let own = Scores { logits: logits.logits.narrow(0, i as i64, 1) };
                let refs = [SampleRef { stream: 0, ..*sample }];
                let seen = Observation::new(&one, &own, &refs);
                let want = separate[sample.stream].step(&seen, &MODEL).unwrap().logits;
                prop_assert!(near(&got.narrow(0, i as i64, 1), &want));
            }
        }
    }
}
