//! The adapter as a whole: both ways of tuning, batches, streams, class order, prompts.

use proptest::prelude::*;
use szar_core::host::to_f64;
use szar_core::online::Online;
use szar_core::testing::{DotModel, anchors, build_context, normal, task};
use szar_core::{
    AdapterConfig, Aligner, Error, FeatureMap, Granularity, Observation, Problems, PromptTower, Result,
    SampleRef, SemanticAnchors, Task, TestTimeAdapter,
};
use tch::{Kind, Tensor, kind::FLOAT_CPU};

use super::*;
use crate::augment::SkeletonAugmentConfig;
use crate::views::{ViewSource, ViewsConfig};

const WIDTH: i64 = 8;

/// Views from features, so that no encoder is needed.
fn config() -> TptConfig {
    TptConfig {
        steps: 2,
        lr: 0.02,
        selection: 0.3,
        logit_scale: 3.0,
        views: ViewsConfig {
            source: ViewSource::Features,
            count: 12,
            ..ViewsConfig::default()
        },
        ..TptConfig::default()
    }
}

fn begun(config: &TptConfig, task: &Task) -> Tuner {
    let own = SkeletonAugmentConfig::default();
    let mut tuner = Tuner::new("tpt", config.rules(), &config.views, Box::new(own));
    tuner.begin(task).unwrap();
    tuner
}

fn maps(samples: i64, seed: i64) -> FeatureMap {
    FeatureMap::new(normal(&format!("maps {seed}"), &[samples, WIDTH, 3, 4])).unwrap()
}

const MODEL: DotModel = DotModel { scale: 4.0 };

fn play(
    tuner: &mut Tuner,
    task: &Task,
    features: &FeatureMap,
    samples: &[SampleRef],
    batch: usize,
) -> Tensor {
    let parts = samples.chunks(batch).enumerate().map(|(number, samples)| {
        let part = features.narrow((number * batch) as i64, samples.len() as i64);
        let scores = MODEL.score(&part, &task.anchors).unwrap();
        tuner
            .step(&Observation::new(&part, &scores, samples), &MODEL)
            .unwrap()
            .logits
    });
    Tensor::cat(&parts.collect::<Vec<_>>(), 0)
}

/// The same aligner for all that it does, without saying that it is a product; texts by angle if asked to.
struct Opaque {
    by_angle: bool,
    claims: bool,
}

impl Opaque {
    fn angle(&self, anchors: &SemanticAnchors) -> Result<SemanticAnchors> {
        let lengths = anchors.values.norm_scalaropt_dim(2, [-1i64].as_slice(), true);
        let values = if self.by_angle {
            &anchors.values / lengths
        } else {
            anchors.values.shallow_clone()
        };
        anchors.with_values(values)
    }
}

impl Aligner for Opaque {
    fn capabilities(&self) -> szar_core::Capabilities {
        MODEL.capabilities()
    }

    fn fit(
        &mut self,
        _: &szar_core::SeenFeatures,
        _: &SemanticAnchors,
        _: &mut szar_core::FitContext,
    ) -> Result<szar_core::FitSummary> {
        Ok(szar_core::FitSummary::default())
    }

    fn score(&self, features: &FeatureMap, anchors: &SemanticAnchors) -> Result<szar_core::Scores> {
        MODEL.score(features, &self.angle(anchors)?)
    }

    fn condense(&self, features: &FeatureMap) -> Result<Tensor> {
        MODEL.condense(features)
    }

    fn score_condensed(&self, rows: &Tensor, anchors: &SemanticAnchors) -> Result<szar_core::Scores> {
        MODEL.score_condensed(rows, &self.angle(anchors)?)
    }

    fn linear(&self, anchors: &SemanticAnchors) -> Result<Option<szar_core::Linear>> {
        if self.claims {
            MODEL.linear(anchors)
        } else {
            Ok(None)
        }
    }

    fn state(&self) -> szar_core::NamedTensors {
        szar_core::NamedTensors::new()
    }

    fn load_state(&mut self, _: &szar_core::NamedTensors) -> Result<()> {
        Ok(())
    }
}

/// A "text encoder" that reads a prompt as a shift of class names.
#[derive(Debug)]
struct Words {
    names: Tensor,
}

impl PromptTower for Words {
    fn context(&self) -> Tensor {
        Tensor::ones([2, WIDTH], FLOAT_CPU) * 0.1
    }

    fn texts(&self, context: &Tensor) -> Result<Tensor> {
        let raw = &self.names + context.sum_dim_intlist([0i64].as_slice(), true, Kind::Float);
        let length = raw.norm_scalaropt_dim(2, [-1i64].as_slice(), true);
        Ok(raw / length)
    }
}

#[test]
fn both_ways_of_tuning_agree() {
    let task = task(5, WIDTH, 3, 4);
    // Not too sure: where a gradient is all but 0, the optimiser enlarges the rounding of single precision.
    let rows = normal("rows", &[4 * 12, WIDTH]) * 0.2;
    for shared in [true, false] {
        let config = TptConfig {
            shared,
            steps: 3,
            ..config()
        };
        let (mut short, mut long) = (begun(&config, &task), begun(&config, &task));
        long.use_graph();
        let (a, first) = short.tune_recorded(&rows, &MODEL, None).unwrap();
        let (b, second) = long.tune_recorded(&rows, &MODEL, None).unwrap();
        assert!(short.is_linear() && !long.is_linear());
        assert!(a.allclose(&b, 1e-4, 1e-3, false), "{a} {b}");
        for (a, b) in first.iter().zip(&second) {
            assert_eq!(a.kept, b.kept);
            assert!((a.loss - b.loss).abs() < 1e-5);
            let slot = task.anchors.slot(&Granularity::GLOBAL).unwrap();
            assert!(
                a.parameter
                    .allclose(&b.parameter.narrow(1, slot, 1), 1e-3, 1e-4, false)
            );
        }
    }
}

#[test]
fn texts_of_any_length_keep_it() {
    let mut task = task(4, WIDTH, 3, 4);
    task.anchors = task.anchors.with_values(&task.anchors.values * 2.5).unwrap();
    let rows = normal("rows", &[12, WIDTH]);
    let still = TptConfig {
        lr: 1e-12,
        ..config()
    };
    let base = MODEL
        .score_condensed(&rows.narrow(0, 0, 1), &task.anchors)
        .unwrap()
        .logits;
    let mut short = begun(&still, &task);
    assert!(
        short
            .tune(&rows, &MODEL, None)
            .unwrap()
            .allclose(&base, 1e-5, 1e-5, false)
    );
    let mut long = begun(&still, &task);
    long.use_graph();
    assert!(
        long.tune(&rows, &MODEL, None)
            .unwrap()
            .allclose(&base, 1e-5, 1e-5, false)
    );
}

#[test]
fn an_aligner_that_is_no_product_after_all_is_tuned_through_its_graph() {
    let mut task = task(4, WIDTH, 3, 4);
    task.anchors = task.anchors.with_values(&task.anchors.values * 3.0).unwrap();
    let rows = normal("rows", &[12, WIDTH]);
    for (model, linear) in [
        (
            Opaque {
                by_angle: true,
                claims: true,
            },
            false,
        ),
        (
            Opaque {
                by_angle: false,
                claims: true,
            },
            true,
        ),
        (
            Opaque {
                by_angle: false,
                claims: false,
            },
            false,
        ),
    ] {
        let mut tuner = begun(&config(), &task);
        let _ = tuner.tune(&rows, &model, None).unwrap();
        assert_eq!(tuner.is_linear(), linear);
    }
}

#[test]
fn tuning_lowers_the_entropy_of_the_kept_views() {
    let task = task(6, WIDTH, 3, 4);
    let rows = normal("rows", &[12, WIDTH]);
    let loss = |steps: usize| {
        let mut tuner = begun(&TptConfig { steps, ..config() }, &task);
        tuner.tune_recorded(&rows, &MODEL, None).unwrap().1[0].loss
    };
    assert!(loss(6) < loss(1));
}

#[test]
fn nothing_kept_by_the_published_rule_leaves_the_answer_as_it_was() {
    let task = task(4, WIDTH, 3, 4);
    let rows = normal("rows", &[12, WIDTH]);
    let config = TptConfig {
        selection: 0.05,
        min_kept: 0,
        ..config()
    };
    let base = MODEL
        .score_condensed(&rows.narrow(0, 0, 1), &task.anchors)
        .unwrap()
        .logits;
    for graph in [false, true] {
        let mut tuner = begun(&config, &task);
        if graph {
            tuner.use_graph();
        }
        let (answer, records) = tuner.tune_recorded(&rows, &MODEL, None).unwrap();
        assert!(records[0].kept.is_empty());
        assert!(answer.allclose(&base, 1e-5, 1e-5, false));
    }
}

#[test]
fn a_prompt_is_tuned_where_there_is_one_and_missed_by_name_where_not() {
    let task = task(5, WIDTH, 3, 4);
    let rows = normal("rows", &[2 * 12, WIDTH]);
    let config = TptConfig {
        parameter: Tuned::Prompt,
        ..config()
    };
    let mut tuner = begun(&config, &task);
    let error = tuner.tune(&rows, &MODEL, None).unwrap_err();
    assert!(error.to_string().starts_with("missing a text encoder"), "{error}");
    let tower = Words {
        names: task.anchors.granularity(&Granularity::GLOBAL).unwrap(),
    };
    let (answers, records) = tuner.tune_recorded(&rows, &MODEL, Some(&tower)).unwrap();
    assert_eq!(answers.size(), [2, 5]);
    let moved = (&records[0].parameter - tower.context()).abs().max();
    let moved = to_f64(&moved)[0];
    assert!(moved > 1e-3 && moved < 0.1, "{moved}");
    assert!(config.requirements().prompts.is_some() && TptConfig::default().requirements().prompts.is_none());
}

#[test]
fn a_prompt_of_another_width_is_refused() {
    let task = task(5, WIDTH, 3, 4);
    let config = TptConfig {
        parameter: Tuned::Prompt,
        ..config()
    };
    let tower = Words {
        names: Tensor::ones([3, WIDTH], FLOAT_CPU),
    };
    let rows = normal("rows", &[12, WIDTH]);
    let error = begun(&config, &task)
        .tune(&rows, &MODEL, Some(&tower))
        .unwrap_err();
    assert!(matches!(error, Error::Shape { .. }), "{error}");
}

#[test]
fn a_snapshot_is_empty_and_fits_half_way() {
    let task = task(5, WIDTH, 3, 4);
    let config = config();
    let (features, samples) = (maps(8, 1), SampleRef::run(0, 8));
    let whole = play(&mut begun(&config, &task), &task, &features, &samples, 4);
    let mut online = Online::begin(&config, &build_context(), &task).unwrap();
    let mut answers = Vec::new();
    for half in 0..2 {
        if half == 1 {
            let saved = online.snapshot().unwrap();
            assert!(saved.tensors.is_empty());
            let folder = tempfile::tempdir().unwrap();
            let path = folder.path().join("state.safetensors");
            saved.save(&path).unwrap();
            let read = szar_core::online::Snapshot::load(&path, tch::Device::Cpu).unwrap();
            online = Online::begin(&config, &build_context(), &task).unwrap();
            online.restore(&read).unwrap();
        }
        let part = features.narrow(half * 4, 4);
        let scores = MODEL.score(&part, &task.anchors).unwrap();
        let seen = Observation::new(&part, &scores, &samples[half as usize * 4..][..4]);
        answers.push(online.step(&seen, &MODEL).unwrap().scores.logits);
    }
    assert!(Tensor::cat(&answers, 0).equal(&whole));
    let mut tuner = begun(&config, &task);
    let strange = [("keys".to_owned(), Tensor::from(1.0f32))].into();
    assert!(tuner.restore(strange).unwrap_err().to_string().contains("`keys`"));
}

#[test]
fn before_begin_everything_is_refused() {
    let config = config();
    let mut tuner = Tuner::new(
        "tpt",
        config.rules(),
        &config.views,
        Box::new(SkeletonAugmentConfig::default()),
    );
    assert!(tuner.snapshot().is_err());
    assert!(
        tuner
            .tune(&Tensor::zeros([12, WIDTH], FLOAT_CPU), &MODEL, None)
            .is_err()
    );
}

#[test]
fn rows_that_are_no_whole_samples_are_refused() {
    let mut tuner = begun(&config(), &task(5, WIDTH, 3, 4));
    let error = tuner
        .tune(&Tensor::zeros([13, WIDTH], FLOAT_CPU), &MODEL, None)
        .unwrap_err();
    assert!(error.to_string().contains("a multiple of 12 rows"), "{error}");
    let none = tuner
        .tune(&Tensor::zeros([0, WIDTH], FLOAT_CPU), &MODEL, None)
        .unwrap();
    assert_eq!(none.size(), [0, 5]);
}

#[test]
fn options_out_of_range_are_all_reported() {
    let count = |config: TptConfig| {
        let mut problems = Problems::new();
        config.validate(&mut problems);
        problems.len()
    };
    assert_eq!(count(TptConfig::default()), 0);
    let wrong = TptConfig {
        steps: 0,
        lr: f64::NAN,
        weight_decay: -1.0,
        selection: 0.0,
        min_kept: 65,
        logit_scale: f64::INFINITY,
        ..TptConfig::default()
    };
    assert_eq!(count(wrong), 6);
    let views = ViewsConfig {
        count: 0,
        ..ViewsConfig::default()
    };
    assert_eq!(
        count(TptConfig {
            views,
            ..TptConfig::default()
        }),
        2
    ); // and one view kept of none
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(12))]

    #[test]
    fn a_batch_equals_its_samples_one_by_one(seed in 0i64..1000, shared: bool, steps in 1usize..4) {
        let task = task(5, WIDTH, 3, 4);
        let config = TptConfig { shared, steps, ..config() };
        let (features, samples) = (maps(6, seed), SampleRef::run(0, 6));
        let whole = play(&mut begun(&config, &task), &task, &features, &samples, 6);
        let single = play(&mut begun(&config, &task), &task, &features, &samples, 1);
        prop_assert!(whole.equal(&single));
    }

    #[test]
    fn mixed_streams_equal_adapters_of_their_own(seed in 0i64..1000) {
        let own = task(4, WIDTH, 3, 4);
        let both = Task { streams: 2, ..task(4, WIDTH, 3, 4) };
        let both = Task { anchors: own.anchors.with_values(own.anchors.values.copy()).unwrap(), ..both };
        let features = maps(6, seed);
        let mixed: Vec<_> = (0..6).map(|i| SampleRef { stream: i % 2, position: i as u64 }).collect();
        let together = play(&mut begun(&config(), &both), &both, &features, &mixed, 3);
        for stream in 0..2usize {
            let rows = Tensor::from_slice(&(0..6i64).filter(|i| *i as usize % 2 == stream).collect::<Vec<_>>());
            let samples: Vec<_> = mixed.iter().filter(|s| s.stream == stream).map(|s| SampleRef { stream: 0, ..*s }).collect();
            let alone = play(&mut begun(&config(), &own), &own, &features.select(&rows), &samples, 2);
            prop_assert!(together.index_select(0, &rows).equal(&alone));
        }
    }

    #[test]
    fn another_order_of_classes_only_reorders_the_columns(seed in 0i64..1000, shared: bool) {
        let task = task(5, WIDTH, 3, 4);
        let order = Tensor::from_slice(&[3i64, 0, 4, 1, 2]);
        let other = Task {
            anchors: SemanticAnchors {
                values: task.anchors.values.index_select(0, &order),
                ..anchors(5, WIDTH)
            },
            ..szar_core::testing::task(5, WIDTH, 3, 4)
        };
        let rows = normal(&format!("rows {seed}"), &[3 * 12, WIDTH]);
        let config = TptConfig { shared, ..config() };
        let a = begun(&config, &task).tune(&rows, &MODEL, None).unwrap();
        let b = begun(&config, &other).tune(&rows, &MODEL, None).unwrap();
        prop_assert!(a.index_select(1, &order).allclose(&b, 1e-4, 1e-3, false));
    }

    #[test]
    fn a_long_stream_leaves_nothing_behind(seed in 0i64..1000) {
        let task = task(4, WIDTH, 3, 4);
        let mut tuner = begun(&config(), &task);
        let (features, samples) = (maps(5, seed), SampleRef::run(0, 5));
        let first = play(&mut tuner, &task, &features, &samples, 5);
        for round in 0..3 {
            let later = maps(5, seed + 7 + round);
            let _ = play(&mut tuner, &task, &later, &SampleRef::run(10, 5), 5);
        }
        prop_assert_eq!(tuner.state_bytes(), 0);
        prop_assert!(play(&mut tuner, &task, &features, &samples, 5).equal(&first));
    }
}
