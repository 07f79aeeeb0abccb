//! Recorded answers of an independent version, batches, options.

use serde::Deserialize;
use szar_core::testing::{build_context, normal, task};
use szar_core::{
    AdapterConfig, Aligner, Capabilities, ClassList, FeatureMap, FitContext, FitSummary, Granularity,
    NamedTensors, Observation, Problems, Result, SampleRef, Scores, SeenFeatures, SemanticAnchors, Task,
    TestTimeAdapter, Tokens,
};
use tch::{Kind, Tensor, kind::FLOAT_CPU};

use super::*;
use crate::views::{ViewSource, ViewsConfig};

/// Tokens are the joints' means over time; their mean is projected and compared with the texts by angle.
struct ByJoints {
    projection: Tensor,
    scale: f64,
    mean: Tensor,
    variance: Tensor,
}

fn unit(x: &Tensor) -> Tensor {
    x / x
        .square()
        .sum_dim_intlist([-1i64].as_slice(), true, Kind::Float)
        .sqrt()
}

impl Aligner for ByJoints {
    fn capabilities(&self) -> Capabilities {
        Capabilities {
            differentiable_in_anchors: true,
            differentiable_in_features: true,
            tokens: true,
            ..Capabilities::default()
        }
    }

    fn fit(&mut self, _: &SeenFeatures, _: &SemanticAnchors, _: &mut FitContext) -> Result<FitSummary> {
        Ok(FitSummary::default())
    }

    fn score(&self, features: &FeatureMap, anchors: &SemanticAnchors) -> Result<Scores> {
        let tokens = self.tokens(features, anchors)?.values;
        let visual = tokens
            .mean_dim([1i64].as_slice(), false, Kind::Float)
            .matmul(&self.projection.transpose(0, 1));
        let texts = unit(&anchors.granularity(&Granularity::GLOBAL)?);
        Ok(Scores {
            logits: unit(&visual).matmul(&texts.transpose(0, 1)) * self.scale,
        })
    }

    fn tokens(&self, features: &FeatureMap, _: &SemanticAnchors) -> Result<Tokens> {
        Ok(Tokens {
            values: features
                .values
                .mean_dim([2i64].as_slice(), false, Kind::Float)
                .transpose(1, 2),
            mean: self.mean.shallow_clone(),
            variance: self.variance.shallow_clone(),
        })
    }

    fn state(&self) -> NamedTensors {
        NamedTensors::new()
    }

    fn load_state(&mut self, _: &NamedTensors) -> Result<()> {
        Ok(())
    }
}

/// What `benches/peer/promptalign.py` wrote.
#[derive(Deserialize)]
struct Recording {
    scale: f64,
    views: Array,
    anchors: Array,
    projection: Array,
    mean: Array,
    variance: Array,
    cases: Vec<Recorded>,
}

#[derive(Deserialize)]
struct Recorded {
    options: PromptAlignConfig,
    logits: Vec<f64>,
}

#[derive(Deserialize)]
struct Array {
    shape: Vec<i64>,
    values: Vec<f32>,
}

impl Array {
    fn tensor(&self) -> Tensor {
        Tensor::from_slice(&self.values).view(self.shape.as_slice())
    }
}

#[test]
fn the_answers_are_those_of_an_independent_version() {
    let recording: Recording = serde_json::from_str(include_str!("recorded.json")).unwrap();
    let model = ByJoints {
        projection: recording.projection.tensor(),
        scale: recording.scale,
        mean: recording.mean.tensor(),
        variance: recording.variance.tensor(),
    };
    let values = recording.anchors.tensor();
    let classes = ClassList::numbered((0..values.size()[0]).map(|i| format!("class {i}"))).unwrap();
    let anchors = SemanticAnchors::new(values, vec![Granularity::GLOBAL], classes).unwrap();
    let views = FeatureMap::new(recording.views.tensor()).unwrap();
    let plain = model.score(&views.narrow(0, 1), &anchors).unwrap().logits;
    assert!(recording.cases.len() >= 6);
    for case in &recording.cases {
        let got = adapt(&case.options, &views, &anchors, &model).unwrap();
        let want = Tensor::from_slice(&case.logits)
            .to_kind(Kind::Float)
            .view([1, -1]);
        assert!(
            got.allclose(&want, 1e-4, 1e-4, false),
            "{:?}\n{got}\n{want}",
            case.options
        );
        assert!(
            !got.allclose(&plain, 1e-3, 1e-3, false),
            "nothing was tuned: {:?}",
            case.options
        );
    }
}

fn model() -> ByJoints {
    ByJoints {
        projection: normal("projection", &[8, 6]),
        scale: 5.0,
        mean: Tensor::zeros([4, 6], FLOAT_CPU),
        variance: Tensor::ones([4, 6], FLOAT_CPU) * 0.1,
    }
}

fn options() -> PromptAlignConfig {
    PromptAlignConfig {
        views: ViewsConfig {
            source: ViewSource::Features,
            count: 20,
            ..ViewsConfig::default()
        },
        lr: 0.02,
        steps: 2,
        ..PromptAlignConfig::default()
    }
}

/// Seven samples, with what judges them.
struct Stream {
    model: ByJoints,
    task: Task,
    maps: Tensor,
}

fn stream() -> Stream {
    Stream {
        model: model(),
        task: task(5, 6, 2, 4),
        maps: normal("maps", &[7, 6, 2, 4]),
    }
}

fn answers(options: &PromptAlignConfig, stream: &mut Stream, streams: usize, batch: usize) -> Tensor {
    stream.task.streams = streams;
    let Stream { model, task, maps } = stream;
    let mut adapter = options.build(&build_context()).unwrap();
    adapter.begin(task).unwrap();
    let rows: Vec<usize> = (0..7).collect();
    let each = rows.chunks(batch).map(|rows| {
        let features = FeatureMap::new(maps.narrow(0, rows[0] as i64, rows.len() as i64)).unwrap();
        let scores = model.score(&features, &task.anchors).unwrap();
        let mut samples = SampleRef::run(rows[0] as u64, rows.len());
        samples
            .iter_mut()
            .for_each(|s| s.stream = s.position as usize % streams);
        let seen = Observation::new(&features, &scores, &samples);
        tch::no_grad(|| adapter.step(&seen, model)).unwrap().logits
    });
    Tensor::cat(&each.collect::<Vec<_>>(), 0)
}

#[test]
fn a_batch_is_its_samples_one_by_one_bit_for_bit() {
    let options = options();
    let mut stream = stream();
    let whole = answers(&options, &mut stream, 1, 7);
    assert!(whole.equal(&answers(&options, &mut stream, 1, 1)));
    assert!(whole.equal(&answers(&options, &mut stream, 3, 2)));
    assert_eq!(whole.size(), [7, 5]);
}

#[test]
fn another_order_of_classes_only_moves_the_columns() {
    let model = model();
    let task = task(5, 6, 2, 4);
    let views = FeatureMap::new(normal("views", &[12, 6, 2, 4])).unwrap();
    let order = Tensor::from_slice(&[3i64, 0, 4, 1, 2]);
    let other = task
        .anchors
        .with_values(task.anchors.values.index_select(0, &order))
        .unwrap();
    let options = PromptAlignConfig {
        shared: false,
        ..options()
    };
    let want = adapt(&options, &views, &task.anchors, &model)
        .unwrap()
        .index_select(1, &order);
    let got = adapt(&options, &views, &other, &model).unwrap();
    assert!(got.allclose(&want, 1e-4, 1e-4, false));
}

#[test]
fn the_distance_from_training_falls() {
    let model = model();
    let task = task(5, 6, 2, 4);
    let views = FeatureMap::new(normal("views", &[12, 6, 2, 4])).unwrap();
    let aligned = PromptAlignConfig {
        parameters: Parameters::Visual,
        align_share: 1.0,
        entropy: false,
        ..options()
    };
    let apart = |steps: u32| {
        let options = PromptAlignConfig {
            steps,
            ..aligned.clone()
        };
        let prompts = adapter::tune(&options, &views, &task.anchors, &model).unwrap();
        let tokens =
            tch::no_grad(|| model.tokens(&prompts.features(&views).unwrap(), &task.anchors)).unwrap();
        objective::misalignment(&tokens, 12, Distance::Mean)
            .unwrap()
            .double_value(&[])
    };
    assert!(apart(10) < apart(1));
}

#[test]
fn one_view_and_no_alignment_still_answers() {
    let options = PromptAlignConfig {
        views: ViewsConfig {
            source: ViewSource::Features,
            count: 1,
            ..ViewsConfig::default()
        },
        beta: 0.0,
        ..options()
    };
    assert!(
        answers(&options, &mut stream(), 1, 7)
            .isfinite()
            .all()
            .int64_value(&[])
            == 1
    );
    assert!(!options.requirements().tokens);
}

#[test]
fn what_does_not_depend_on_the_prompt_is_an_error() {
    let model = model();
    let task = task(5, 6, 2, 4);
    let views = FeatureMap::new(normal("views", &[12, 6, 2, 4])).unwrap();
    // The tokens of this aligner know no text.
    let options = PromptAlignConfig {
        parameters: Parameters::Text,
        entropy: false,
        ..options()
    };
    let error = adapt(&options, &views, &task.anchors, &model)
        .unwrap_err()
        .to_string();
    assert!(error.contains("does not depend"), "{error}");
}

#[test]
fn moved_anchors_keep_their_length() {
    let anchors = Tensor::from_slice(&[3.0f32, 4.0, 0.0, 2.0]).view([2, 1, 2]);
    let residual = Tensor::from_slice(&[1.0f32, 0.0]).view([1, 1, 2]);
    // (4, 4) to length 5; (1, 2) to length 2.
    let want = [
        5.0 / 2f32.sqrt(),
        5.0 / 2f32.sqrt(),
        2.0 / 5f32.sqrt(),
        4.0 / 5f32.sqrt(),
    ];
    let got = super::objective::moved(&anchors, &residual);
    assert!(
        got.view([4])
            .allclose(&Tensor::from_slice(&want), 1e-6, 1e-6, false)
    );
}

#[test]
fn confident_views_are_those_of_least_entropy() {
    let logits = Tensor::from_slice(&[0.0f32, 0.1, 0.0, 9.0, 5.0, 0.0]).view([3, 2]);
    let list = |count| Vec::<i64>::try_from(super::objective::confident(&logits, count)).unwrap();
    assert_eq!(list(3), [1, 2, 0]);
    assert_eq!(list(2), [1, 2]);
    assert_eq!(list(1), [1]);
}

#[test]
fn options_out_of_range_are_refused_by_name() {
    let wrong = PromptAlignConfig {
        views: ViewsConfig {
            count: 0,
            ..ViewsConfig::default()
        },
        steps: 0,
        lr: f64::NAN,
        weight_decay: -1.0,
        select_share: 0.0,
        align_share: 1.5,
        beta: 0.0,
        entropy: false,
        logit_scale: 0.0,
        ..PromptAlignConfig::default()
    };
    let mut problems = Problems::new();
    wrong.validate(&mut problems);
    let fields: Vec<_> = problems.iter().map(|p| p.field.as_str()).collect();
    let want = [
        "views.count",
        "steps",
        "lr",
        "logit_scale",
        "weight_decay",
        "select_share",
        "align_share",
        "entropy",
    ];
    assert_eq!(fields, want);
    let mut none = Problems::new();
    PromptAlignConfig::default().validate(&mut none);
    assert!(none.is_empty());
}

#[test]
fn steps_before_begin_and_foreign_states_are_errors() {
    let mut adapter = PromptAlign::new(&options());
    assert!(adapter.snapshot().is_err());
    adapter.begin(&task(5, 6, 2, 4)).unwrap();
    assert!(adapter.snapshot().unwrap().is_empty() && adapter.state_bytes() == 0);
    let foreign = NamedTensors::from([("x".to_owned(), Tensor::zeros([1], FLOAT_CPU))]);
    assert!(adapter.restore(foreign).is_err());
}
