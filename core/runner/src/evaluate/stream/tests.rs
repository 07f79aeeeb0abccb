use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use szar_core::progress::Silent;
use szar_core::testing::{DotModel, anchors, build_context, classes, layout};
use szar_core::{
    Aligner, EncoderSpec, Error, Held, Mark, NamedTensors, Observation, Problems, Scores, Task,
    TestTimeAdapter,
};
use tch::kind::FLOAT_CPU;

use super::*;

/// Adds to each logit the number of samples of its stream that came before; remembers every sample for class 0.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
struct ProbeConfig {
    /// Claims to look at test labels, and refuses to step without them.
    labels: bool,
}

#[typetag::serde(name = "probe-for-tests")]
impl AdapterConfig for ProbeConfig {
    fn validate(&self, _: &mut Problems) {}

    fn marks(&self) -> Vec<Mark> {
        self.labels
            .then(|| Mark::test_labels("Looks."))
            .into_iter()
            .collect()
    }

    fn build(&self, _: &BuildContext) -> Result<Box<dyn TestTimeAdapter>> {
        Ok(Box::new(Probe {
            labels: self.labels,
            ..Probe::default()
        }))
    }
}

#[derive(Debug, Default)]
struct Probe {
    labels: bool,
    held: Vec<Held>,
    anchors: Option<Tensor>,
    expected: u64,
}

impl TestTimeAdapter for Probe {
    fn begin(&mut self, task: &Task) -> Result<()> {
        self.expected = task.expected;
        self.anchors = Some(task.anchors.values.unsqueeze(0));
        Ok(())
    }

    fn step(&mut self, seen: &Observation, _: &dyn Aligner) -> Result<Scores> {
        if self.labels != seen.oracle.is_some() {
            return Err(Error::Input(
                "labels where none belong, or none where they do".into(),
            ));
        }
        let before: Vec<f32> = (0..seen.samples.len())
            .map(|i| (self.held.len() + i) as f32)
            .collect();
        self.held.extend(seen.samples.iter().map(|sample| Held {
            sample: *sample,
            class: 0,
        }));
        Ok(Scores {
            logits: &seen.scores.logits + Tensor::from_slice(&before).unsqueeze(1),
        })
    }

    fn snapshot(&self) -> Result<NamedTensors> {
        Ok(NamedTensors::new())
    }

    fn restore(&mut self, _: NamedTensors) -> Result<()> {
        Ok(())
    }

    fn held(&self) -> Vec<Held> {
        self.held.clone()
    }

    fn moved_anchors(&self) -> Option<Tensor> {
        self.anchors.as_ref().map(|a| -a)
    }

    fn diagnostics(&self) -> BTreeMap<String, Vec<f64>> {
        BTreeMap::from([
            ("writes".to_owned(), vec![self.held.len() as f64]),
            ("expected".to_owned(), vec![self.expected as f64]),
            ("by class".to_owned(), vec![0.0; 3]),
        ])
    }
}

/// A dot model that says it wants labels.
struct Published(DotModel);

impl Aligner for Published {
    fn capabilities(&self) -> szar_core::Capabilities {
        szar_core::Capabilities {
            oracle_labels: true,
            ..self.0.capabilities()
        }
    }

    fn fit(
        &mut self,
        seen: &szar_core::SeenFeatures,
        anchors: &SemanticAnchors,
        ctx: &mut szar_core::FitContext,
    ) -> Result<szar_core::FitSummary> {
        self.0.fit(seen, anchors, ctx)
    }

    fn score(&self, features: &FeatureMap, anchors: &SemanticAnchors) -> Result<Scores> {
        self.0.score(features, anchors)
    }

    fn score_with_labels(
        &self,
        features: &FeatureMap,
        anchors: &SemanticAnchors,
        _: &OracleLabels,
    ) -> Result<Scores> {
        self.0.score(features, anchors)
    }

    fn state(&self) -> NamedTensors {
        self.0.state()
    }

    fn load_state(&mut self, state: &NamedTensors) -> Result<()> {
        self.0.load_state(state)
    }
}

const COUNT: usize = 10;

/// Ten samples of three classes in the order of the dataset, batches of four.
fn play(aligner: &dyn Aligner, labels: bool, streams: usize, features: Tensor) -> Result<Played> {
    let folder = tempfile::tempdir().unwrap();
    let (anchors, candidates, ctx) = (anchors(3, 8), classes(3), build_context());
    let adapters: Vec<Box<dyn AdapterConfig>> = vec![Box::new(ProbeConfig { labels })];
    let options = Stream {
        order: Order::Dataset,
        batch: 4,
        streams,
    };
    let streaming = Streaming {
        model: Model {
            aligner,
            anchors: &anchors,
        },
        adapters: &adapters,
        options: &options,
        ctx: &ctx,
        layout: std::sync::Arc::new(layout(1)),
        spec: EncoderSpec {
            channels: 8,
            frames: 1,
            joints: 1,
            classifies: false,
        },
        skeletons: None,
        saves: Saves {
            folder: folder.path().to_owned(),
            run: "run".into(),
            every: Duration::from_secs(30),
        },
        progress: &Silent,
        cancel: &Cancel::default(),
    };
    let setting = Setting {
        name: "zsl",
        features: Features {
            map: FeatureMap::from_pooled(&features)?,
            seen_logits: None,
        },
        first: 0,
        names: vec!["a", "b", "c", "d", "e", "f", "g", "h", "i", "j"],
        candidates: &candidates,
        seen: vec![false; 3],
        labels: vec![0, 1, 2, 0, 0, 0, 1, 1, 2, 0],
        prompts: None,
    };
    streaming.play(&setting)
}

fn added(played: &Played) -> Vec<f64> {
    szar_core::host::to_f64(&(played.last() - &played.before).select(1, 0).round())
}

#[test]
fn samples_are_dealt_to_the_streams_in_turn() {
    let features = Tensor::randn([COUNT as i64, 8], FLOAT_CPU);
    let model = DotModel { scale: 1.0 };
    let one = play(&model, false, 1, features.copy()).unwrap();
    assert_eq!(added(&one), [0., 1., 2., 3., 4., 5., 6., 7., 8., 9.]);
    let three = play(&model, false, 3, features).unwrap();
    assert_eq!(added(&three), [0., 0., 0., 1., 1., 1., 2., 2., 2., 3.]);
}

#[test]
fn a_sample_that_is_not_finite_is_named_and_the_stream_goes_on() {
    let features = Tensor::randn([COUNT as i64, 8], FLOAT_CPU);
    let _ = features.get(5).get(2).fill_(f64::NAN);
    let played = play(&DotModel { scale: 1.0 }, false, 1, features).unwrap();
    let report = &played.adapters[0];
    assert_eq!(report.skipped.len(), 1);
    assert_eq!(
        (report.skipped[0].position, report.skipped[0].sample.as_str()),
        (5, "f")
    );
    assert_eq!(
        added(&played),
        [0., 1., 2., 3., 4., 0., 5., 6., 7., 8.],
        "it answers nothing"
    );
    assert_eq!(report.diagnostics["writes"], [9.0]);
    assert!(
        report
            .course
            .iter()
            .all(|s| s.entropy.iter().all(|h| h.is_finite()))
    );
}

#[test]
fn the_course_is_told_segment_by_segment() {
    let features = Tensor::randn([COUNT as i64, 8], FLOAT_CPU);
    let played = play(&DotModel { scale: 1.0 }, false, 1, features).unwrap();
    let course = &played.adapters[0].course;
    let ends: Vec<usize> = course.iter().map(|s| s.end).collect();
    assert_eq!(ends, [4, 8, 10]);
    assert_eq!(course[1].occupancy, [8, 0, 0]);
    // Of the first eight labels (0 1 2 0 0 0 1 1) four are 0.
    assert_eq!(course[1].purity, [Some(50.0), None, None]);
    assert_eq!(
        (course[1].counters["writes"], course[1].counters["expected"]),
        (8.0, 10.0)
    );
    assert!(!course[1].counters.contains_key("by class"));
    let drift = course[0].drift.unwrap();
    assert!(
        (drift.mean - 2.0).abs() < 1e-6 && (drift.max - 2.0).abs() < 1e-6,
        "turned round"
    );
    assert!(
        (course[0].entropy[0] - course[0].entropy[1]).abs() < 1e-5,
        "all logits moved alike"
    );
}

#[test]
fn labels_reach_an_adapter_only_where_it_and_the_aligner_ask_for_them() {
    let features = || Tensor::randn([COUNT as i64, 8], FLOAT_CPU);
    let model = DotModel { scale: 1.0 };
    let published = Published(model);
    assert!(play(&model, false, 1, features()).is_ok());
    assert!(
        play(&model, true, 1, features()).is_err(),
        "the aligner is honest"
    );
    assert!(
        play(&published, false, 1, features()).is_ok(),
        "the adapter is honest"
    );
    assert!(play(&published, true, 1, features()).is_ok());
}
