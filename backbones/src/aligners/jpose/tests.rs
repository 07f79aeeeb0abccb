use szar_core::Problems;

use super::*;
use crate::aligners::pooled::toy::{self, Toy};
use crate::nn::classifier::tests::alone;

#[test]
fn goldens() {
    szar_core::conform::assert_goldens("aligner/jpose");
}

fn small() -> JposeConfig {
    JposeConfig {
        hidden: 32,
        branch: 20,
        joint: 20,
        epochs: Some(60),
        ..JposeConfig::default()
    }
}

#[test]
fn new_pairs_of_known_words_are_recognised() {
    if !alone() {
        return;
    }
    let toy = Toy::new();
    let variants = [
        small(),
        JposeConfig {
            mining: Mining::Official,
            text_form: TextForm::Deep,
            ..small()
        },
    ];
    for config in variants {
        let mut aligner = toy::built(&config);
        let summary = toy::fit(aligner.as_mut(), &toy, None, u64::MAX, None).unwrap();
        assert_eq!(summary.validation_measure, "top1");
        let right = toy.accuracy(aligner.as_ref());
        assert!(right > 0.5, "{config:?}: {right}"); // chance is 0.2
        toy::scores_as_promised(&config, aligner.as_ref(), &toy);
    }
}

#[test]
fn a_stopped_fit_resumes_bit_for_bit() {
    let config = JposeConfig {
        epochs: Some(4),
        ..small()
    };
    toy::resumes_bit_for_bit(&config, None);
}

#[test]
fn a_missing_word_is_named() {
    let spec = szar_core::EncoderSpec {
        channels: 24,
        frames: 1,
        joints: 1,
        classifies: false,
    };
    let there = [Granularity::VERB, Granularity::GLOBAL];
    let built = small().build(&spec, &there, 12, &szar_core::testing::build_context());
    let error = built.err().unwrap().to_string();
    assert!(
        error.starts_with("aligner `jpose`: unknown granularity `noun`"),
        "{error}"
    );
}

#[test]
fn options_out_of_bounds_are_all_named() {
    let config = JposeConfig {
        noun: Granularity::VERB,
        hidden: 0,
        branch: 0,
        joint: -1,
        margin: 0.0,
        triplet_weight: f64::NAN,
        scale: 0.0,
        ..JposeConfig::default()
    };
    let mut problems = Problems::new();
    config.validate(&mut problems);
    assert_eq!(problems.len(), 7, "{problems}");
}

#[test]
fn a_plateau_given_in_part_keeps_the_other_defaults() {
    let config: JposeConfig = serde_json::from_str(r#"{"plateau": {"factor": 0.5}}"#).unwrap();
    let plateau = config.plateau;
    assert_eq!((plateau.factor, plateau.patience, plateau.cooldown), (0.5, 14, 6));
}
