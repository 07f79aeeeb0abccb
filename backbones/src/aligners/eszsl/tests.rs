use std::sync::Arc;

use szar_core::testing::{anchors, build_context, classes, fit_context, layout, normal};
use szar_core::{Cancel, ClassId, ClassSplit, SeenLabels, SeenSet};
use tch::kind::FLOAT_CPU;

use super::*;

const SEEN: usize = 12;

/// Samples whose features are a fixed linear image of their class's text, with noise.
fn samples(map: &Tensor, anchors: &SemanticAnchors, labels: &[i64], noise: f64) -> FeatureMap {
    let text = anchors.granularity(&Granularity::GLOBAL).unwrap();
    let clean = text.index_select(0, &Tensor::from_slice(labels)).mm(map);
    let noisy = &clean + normal("noise", &clean.size()) * noise;
    FeatureMap::from_pooled(&noisy).unwrap()
}

fn seen_set(features: FeatureMap, labels: &[i64]) -> SeenSet {
    let all = classes(SEEN + 4);
    let ids = |range: std::ops::Range<usize>| range.map(|i| ClassId(i as i64)).collect::<Vec<_>>();
    let split = ClassSplit::new("s", &all, &ids(0..SEEN), &ids(SEEN..SEEN + 4)).unwrap();
    let labels: Vec<_> = labels.iter().map(|l| ClassId(*l)).collect();
    SeenSet {
        features,
        labels: SeenLabels::new(&split, &labels, Device::Cpu).unwrap(),
    }
}

fn fitted(config: &EszslConfig) -> (Box<dyn Aligner>, FitSummary, SemanticAnchors, Tensor) {
    let all = anchors(SEEN + 4, 8);
    let map = normal("map", &[8, 20]);
    let labels: Vec<i64> = (0..240).map(|i| i % SEEN as i64).collect();
    let train = seen_set(samples(&map, &all, &labels, 0.2), &labels);
    let validation = seen_set(
        FeatureMap::from_pooled(&Tensor::zeros([0, 20], FLOAT_CPU)).unwrap(),
        &[],
    );
    let seen = SeenFeatures {
        train,
        validation,
        layout: Arc::new(layout(5)),
    };
    let spec = EncoderSpec {
        channels: 20,
        frames: 1,
        joints: 1,
        classifies: false,
    };
    let mut aligner = config
        .build(&spec, &all.granularities, 8, &build_context())
        .unwrap();
    let cancel = Cancel::default();
    let seen_anchors = all.for_classes(seen.train.labels.classes()).unwrap();
    let summary = aligner
        .fit(&seen, &seen_anchors, &mut fit_context(&cancel))
        .unwrap();
    (aligner, summary, all, map)
}

#[test]
fn unseen_classes_are_recognised_through_their_texts() {
    let (aligner, summary, all, map) = fitted(&EszslConfig::default());
    let labels: Vec<i64> = (0..80).map(|i| SEEN as i64 + i % 4).collect();
    let features = samples(&map, &all, &labels, 0.2);
    let unseen = classes(SEEN + 4).subset(&[12, 13, 14, 15].map(ClassId)).unwrap();
    let scores = aligner
        .score(&features, &all.for_classes(&unseen).unwrap())
        .unwrap();
    let right = scores
        .logits
        .argmax(-1, false)
        .eq_tensor(&(Tensor::from_slice(&labels) - SEEN as i64));
    let share = right.to_kind(Kind::Float).mean(Kind::Float).double_value(&[]);
    assert!(share > 0.9, "{share}");
    assert!(
        summary.chosen["held_out_class_mean"] > 80.0,
        "{:?}",
        summary.chosen
    );
}

#[test]
fn gradients_reach_the_anchors() {
    let (aligner, _, all, map) = fitted(&EszslConfig::default());
    let leaf = all.values.set_requires_grad(true);
    let anchors = all.with_values(leaf.shallow_clone()).unwrap();
    let features = samples(&map, &all, &[0, 1], 0.0).values.detach();
    let scores = aligner
        .score(&FeatureMap::new(features).unwrap(), &anchors)
        .unwrap();
    scores.logits.sum(Kind::Float).backward();
    assert!(leaf.grad().abs().sum(Kind::Float).double_value(&[]) > 0.0);
}

#[test]
fn too_few_classes_to_hold_out_take_the_middle_constants() {
    let config = EszslConfig {
        folds: 7,
        ..EszslConfig::default()
    };
    let (_, summary, ..) = fitted(&config);
    assert_eq!(summary.chosen["gamma"], 100.0);
    assert_eq!(summary.chosen["lambda"], 1.0);
}

#[test]
fn a_state_taken_over_scores_the_same() {
    let config = EszslConfig::default();
    let (aligner, _, all, map) = fitted(&config);
    let spec = EncoderSpec {
        channels: 20,
        frames: 1,
        joints: 1,
        classifies: false,
    };
    let mut other = config
        .build(&spec, &all.granularities, 8, &build_context())
        .unwrap();
    other.load_state(&aligner.state()).unwrap();
    let features = samples(&map, &all, &[0, 5, 7], 0.1);
    let scores = [&aligner, &other].map(|a| a.score(&features, &all).unwrap().logits);
    assert!(scores[0].equal(&scores[1]));
}

#[test]
fn two_thousand_samples_take_under_two_seconds() {
    let features = normal("features", &[2000, 256]);
    let ids: Vec<_> = (0..58).map(ClassId).collect();
    let all = classes(60);
    let split = ClassSplit::new("s", &all, &ids, &[ClassId(58)]).unwrap();
    let labels: Vec<_> = (0..2000).map(|i| ClassId(i % 58)).collect();
    let labels = SeenLabels::new(&split, &labels, Device::Cpu).unwrap();
    let text = normal("text", &[58, 384]);
    let config = EszslConfig::default();
    let start = std::time::Instant::now();
    let training = Training::new(&features, &labels, &text, &config).unwrap();
    let cancel = Cancel::default();
    let choice = training.choose(&config, &fit_context(&cancel)).unwrap();
    training.solve(choice.gamma, choice.lambda).unwrap();
    // Far above what an idle machine needs; a search that decomposes once a pair takes much longer still.
    assert!(start.elapsed().as_secs_f64() < 10.0, "{:?}", start.elapsed());
    eprintln!("eszsl 2000 x 256: {:?}", start.elapsed());
}
