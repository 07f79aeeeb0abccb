//! Views from features, and from skeletons with an encoder that says what it was given.

use szar_core::checkpoint::NamedTensors;
use szar_core::{
    EncoderSpec, Encoding, FitContext, FitSummary, SeenSkeletons, SkeletonBatch, SkeletonEncoder, testing,
};

use super::*;
use crate::augment::SkeletonAugmentConfig;

/// Gives the joints of the first person as they are.
struct Mirror;

impl SkeletonEncoder for Mirror {
    fn spec(&self) -> EncoderSpec {
        testing::task(2, 3, 6, 4).features
    }

    fn encode(&self, batch: &SkeletonBatch) -> Result<Encoding> {
        Ok(Encoding {
            features: FeatureMap::new(batch.joints.select(4, 0))?,
            seen_logits: None,
        })
    }

    fn fit(
        &mut self,
        _: &dyn SeenSkeletons,
        _: &dyn SeenSkeletons,
        _: &mut FitContext,
    ) -> Result<FitSummary> {
        Ok(FitSummary::default())
    }

    fn state(&self) -> NamedTensors {
        NamedTensors::new()
    }

    fn load_state(&mut self, _: &NamedTensors) -> Result<()> {
        Ok(())
    }
}

fn skeletons(samples: i64) -> SkeletonBatch {
    SkeletonBatch {
        joints: Tensor::rand([samples, 3, 6, 4, 1], tch::kind::FLOAT_CPU) + 0.5,
        frames: Tensor::full([samples], 6, (Kind::Int64, Device::Cpu)),
        present: vec![true; samples as usize],
        layout: Arc::new(testing::layout(4)),
    }
}

fn views(config: &ViewsConfig) -> Views {
    Views::begin(
        config,
        &SkeletonAugmentConfig::default(),
        &testing::task(2, 3, 6, 4),
    )
    .unwrap()
}

/// The maps of all samples, `batch` at a time.
fn in_batches(config: &ViewsConfig, bodies: &SkeletonBatch, batch: usize) -> Tensor {
    let mut views = views(config);
    let rows: Vec<usize> = (0..bodies.len()).collect();
    let parts = rows.chunks(batch).map(|rows| {
        let part = bodies.select(rows);
        let features = Mirror.encode(&part).unwrap().features;
        let logits = Tensor::zeros([rows.len() as i64, 2], tch::kind::FLOAT_CPU);
        let scores = szar_core::Scores { logits };
        let samples = SampleRef::run(rows[0] as u64, rows.len());
        let seen = Observation {
            skeletons: Some(Skeletons {
                batch: &part,
                encoder: &Mirror,
            }),
            ..Observation::new(&features, &scores, &samples)
        };
        views.maps(&seen).unwrap().values
    });
    Tensor::cat(&parts.collect::<Vec<_>>(), 0)
}

fn config(source: ViewSource) -> ViewsConfig {
    ViewsConfig {
        source,
        count: 5,
        ..ViewsConfig::default()
    }
}

#[test]
fn views_do_not_depend_on_batches_and_view_0_is_the_sample() {
    let bodies = skeletons(7);
    let own = Mirror.encode(&bodies).unwrap().features.values;
    for source in [ViewSource::Skeletons, ViewSource::Features] {
        let whole = in_batches(&config(source), &bodies, 7);
        assert!(whole.equal(&in_batches(&config(source), &bodies, 1)));
        let by_sample = whole.reshape([7, 5, 3, 6, 4]);
        assert!(by_sample.select(1, 0).equal(&own));
        assert!(
            !by_sample
                .select(1, 1)
                .allclose(&by_sample.select(1, 2), 1e-3, 1e-3, false)
        );
    }
}

#[test]
fn fewer_views_are_the_first_of_more() {
    let bodies = skeletons(2);
    for source in [ViewSource::Skeletons, ViewSource::Features] {
        let five = in_batches(&config(source), &bodies, 2).reshape([2, 5, 3, 6, 4]);
        let three = in_batches(
            &ViewsConfig {
                count: 3,
                ..config(source)
            },
            &bodies,
            2,
        );
        assert!(five.narrow(1, 0, 3).equal(&three.reshape([2, 3, 3, 6, 4])));
    }
}

#[test]
fn more_views_than_are_held_at_once_come_in_groups() {
    let bodies = skeletons(3);
    let many = ViewsConfig {
        count: 200,
        ..config(ViewSource::Skeletons)
    };
    assert_eq!(in_batches(&many, &bodies, 3).size(), [600, 3, 6, 4]);
}

#[test]
fn dropped_nodes_are_made_up_for_in_the_mean() {
    let (mut mask, mut draws) = (Vec::new(), Seed(3).rng());
    keep_nodes(100, 0.5, &mut mask, || draws.random::<f64>());
    let kept = mask.iter().filter(|m| **m > 0.0).count();
    assert!((30..70).contains(&kept));
    assert!((mask.iter().sum::<f32>() - 100.0).abs() < 1e-3);
    mask.clear();
    keep_nodes(3, 0.999_999, &mut mask, || draws.random::<f64>());
    assert_eq!(mask.iter().sum::<f32>(), 3.0);
}

#[test]
fn skeletons_that_are_not_there_are_missed_by_name() {
    let features = FeatureMap::new(Tensor::zeros([1, 3, 6, 4], tch::kind::FLOAT_CPU)).unwrap();
    let scores = szar_core::Scores {
        logits: Tensor::zeros([1, 2], tch::kind::FLOAT_CPU),
    };
    let samples = SampleRef::run(0, 1);
    let seen = Observation::new(&features, &scores, &samples);
    let error = views(&config(ViewSource::Skeletons)).maps(&seen).unwrap_err();
    assert!(error.to_string().starts_with("missing skeletons"), "{error}");
}

#[test]
fn options_out_of_range_are_all_reported() {
    let mut problems = Problems::new();
    let wrong = ViewsConfig {
        count: 0,
        node_dropout: 1.0,
        channel_dropout: f64::NAN,
        ..ViewsConfig::default()
    };
    wrong.validate(&mut problems);
    assert_eq!(problems.len(), 3);
}
