use szar_core::Problems;
use tch::Kind;

use super::*;
use crate::aligners::pooled::toy::{self, Toy};
use crate::nn::classifier::tests::alone;

#[test]
fn goldens() {
    szar_core::conform::assert_goldens("aligner/devise");
}

#[test]
fn new_classes_are_recognised_through_their_texts() {
    if !alone() {
        return;
    }
    let toy = Toy::new();
    for violations in [Violations::All, Violations::First] {
        let config = DeviseConfig {
            violations,
            lr: Some(0.01),
            epochs: Some(40),
            ..DeviseConfig::default()
        };
        let mut aligner = toy::built(&config);
        let summary = toy::fit(aligner.as_mut(), &toy, None, u64::MAX, None).unwrap();
        assert_eq!(summary.validation_measure, "top1");
        let right = toy.accuracy(aligner.as_ref());
        assert!(right > 0.5, "{violations:?}: {right}"); // chance is 0.2
        toy::scores_as_promised(&config, aligner.as_ref(), &toy);
    }
}

#[test]
fn a_stopped_fit_resumes_bit_for_bit() {
    let config = DeviseConfig {
        violations: Violations::First,
        epochs: Some(4),
        ..DeviseConfig::default()
    };
    toy::resumes_bit_for_bit(&config, None);
}

#[test]
fn the_first_violation_alone_counts_when_asked_for() {
    // Margins 0.1: class 1 violates by 0.2, class 2 by 0.05, class 3 not at all.
    let scores = Tensor::from_slice(&[0.5f32, 0.6, 0.45, 0.1]).view([1, 4]);
    let label = Tensor::zeros([1], (Kind::Int64, Device::Cpu));
    let loss = |order: Option<[f32; 4]>| {
        let order = order.map(|o| Tensor::from_slice(&o).view([1, 4]));
        fit::ranking_loss(&scores, &label, 0.1, order.as_ref()).double_value(&[])
    };
    assert!((loss(None) - 0.25).abs() < 1e-6);
    assert!((loss(Some([0.9, 0.2, 0.3, 0.8])) - 0.05).abs() < 1e-6);
    assert!((loss(Some([0.9, 0.4, 0.3, 0.8])) - 0.2).abs() < 1e-6);
}

#[test]
fn options_out_of_bounds_are_all_named() {
    let config = DeviseConfig {
        margin: 0.0,
        scale: f64::NAN,
        batch: Some(1),
        epochs: Some(0),
        lr: Some(-1.0),
        weight_decay: -0.1,
        ..DeviseConfig::default()
    };
    let mut problems = Problems::new();
    config.validate(&mut problems);
    assert_eq!(problems.len(), 6, "{problems}");
}

#[test]
fn what_does_not_fit_is_refused() {
    let toy = Toy::new();
    let config = DeviseConfig {
        granularity: szar_core::Granularity::HEAD,
        ..DeviseConfig::default()
    };
    let spec = szar_core::EncoderSpec {
        channels: 24,
        frames: 1,
        joints: 1,
        classifies: false,
    };
    let there = &toy.texts.granularities;
    let error = config.build(&spec, there, 12, &szar_core::testing::build_context());
    let error = error.err().unwrap().to_string();
    assert!(
        error.starts_with("aligner `devise`: unknown granularity `head`"),
        "{error}"
    );
    let mut aligner = toy::built(&DeviseConfig::default());
    let cancel = szar_core::Cancel::default();
    let mut ctx = szar_core::testing::fit_context(&cancel);
    let error = aligner.fit(&toy.seen, &toy.texts, &mut ctx).unwrap_err();
    assert_eq!(error.to_string(), "the anchors are not those of the seen classes");
    let narrow = FeatureMap::new(toy.test.values.narrow(1, 0, 5)).unwrap();
    let error = aligner.score(&narrow, &toy.texts).unwrap_err().to_string();
    assert_eq!(
        error,
        "`feature map` has shape [100, 5, 2, 3], expected [_, 24, _, _]"
    );
}
