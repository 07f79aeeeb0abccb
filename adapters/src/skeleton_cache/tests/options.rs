//! Options and prior files.

use std::path::Path;

use szar_core::testing::{build_context, classes};
use szar_core::{AdapterConfig, ClassId, Granularity, Problems, Result};

use super::super::config::EIGHT;
use super::super::*;

#[test]
fn an_explicit_option_wins_over_its_preset() {
    let options: SkeletonCacheConfig =
        serde_json::from_str(r#"{"preset": "official", "signal": "zero_shot", "hedge_margin": 0.0}"#)
            .unwrap();
    let rules = options.behaviour();
    assert_eq!((rules.signal, rules.hedge_margin), (Signal::ZeroShot, 0.0));
    assert_eq!(rules.second_pass, SecondPass::Official);
    assert!(options.marks().iter().all(|mark| !mark.uses_test_labels));
}

#[test]
fn tuning_on_test_labels_is_marked_and_its_variants_are_fixed() {
    let options = SkeletonCacheConfig {
        protocol: Protocol::TestTuned,
        ..Default::default()
    };
    assert!(options.marks().iter().any(|mark| mark.uses_test_labels));
    let variants = options.test_tuned_variants();
    assert_eq!(variants.len(), 20);
    assert!(
        variants
            .iter()
            .all(|v| v.test_tuned_variants().is_empty() && v.build(&build_context()).is_ok())
    );
}

#[test]
fn options_are_judged_all_at_once() {
    let options = SkeletonCacheConfig {
        capacity: Some(0),
        alpha: Some(-1.0),
        beta: Some(f64::NAN),
        hedge_margin: Some(2.0),
        descriptors: vec![Granularity::HEAD, Granularity("haed".into()), Granularity::HEAD],
        prior_split: Some("x".into()),
        ..Default::default()
    };
    let mut problems = Problems::new();
    options.validate(&mut problems);
    let fields: Vec<_> = problems.iter().map(|p| p.field.as_str()).collect();
    let want = [
        "capacity",
        "alpha",
        "beta",
        "hedge_margin",
        "prior_split",
        "descriptors[1]",
        "descriptors[2]",
    ];
    assert_eq!(fields, want);
    assert!(
        problems
            .iter()
            .any(|p| p.hint.as_deref() == Some("did you mean `head`?"))
    );
}

fn parsed(text: &str, split: Option<&str>) -> Result<Prior> {
    Prior::parse(text, Path::new("p.json"), split)
}

#[test]
fn a_prior_that_is_wrong_is_refused_with_its_class() {
    let row = |row: &str| {
        parsed(
            &format!(r#"{{"class_names": ["wave"], "weights": {{"0": {row}}}}}"#),
            None,
        )
    };
    for (text, why) in [
        (
            r#"{"spatial": [0.5, 0.5, 0.5, 0.5], "gamma": 0.5}"#,
            "`spatial` must sum to 1, sums to 2.0000",
        ),
        (
            r#"{"spatial": [0, 0, 0, 0], "gamma": 0.5}"#,
            "`spatial` must sum to 1, sums to 0.0000",
        ),
        (
            r#"{"temporal": [1.5, -0.5, 0], "gamma": 0.5}"#,
            "`temporal` must hold numbers from 0, found -0.5",
        ),
        (
            r#"{"temporal": [0.5, 0.5], "gamma": 0.5}"#,
            "`temporal` must have 3 weights, found 2",
        ),
        (r#"{"gamma": 1.5}"#, "`gamma` must be between 0 and 1, found 1.5"),
        (r#"{"spatial": [1, 0, 0, 0]}"#, "missing field `gamma`"),
    ] {
        let error = row(text).unwrap_err().to_string();
        assert!(
            error.starts_with("p.json, class 0 `wave`: ") && error.contains(why),
            "{error}"
        );
    }
    let broken = row(r#"{"gamma": NaN}"#).unwrap_err().to_string();
    assert!(
        broken.starts_with("p.json, class 0: ") && broken.contains("line 1"),
        "{broken}"
    );
}

#[test]
fn a_prior_for_other_classes_is_refused() {
    let text = r#"{"split": "a", "num_classes": 2, "weights": {"0": {"gamma": 0.5}, "1": {"gamma": 0.2}}}"#;
    let error = parsed(text, Some("b")).unwrap_err().to_string();
    assert_eq!(error, "p.json, `split`: expected `b`, found `a`");
    let short = text.replace("\"num_classes\": 2", "\"num_classes\": 3");
    let error = parsed(&short, None).unwrap_err().to_string();
    assert!(
        error.contains("`num_classes` is 3, `weights` has 2 classes; class 2 is missing"),
        "{error}"
    );
    let prior = parsed(text, Some("a")).unwrap();
    let error = prior
        .weights(&classes(3), &EIGHT, MissingPrior::Error)
        .unwrap_err()
        .to_string();
    assert!(
        error.contains("holds 2 classes keyed by position, there are 3 candidates"),
        "{error}"
    );
    let read = Prior::read(Path::new("/nowhere/p.json"), None)
        .unwrap_err()
        .to_string();
    assert!(read.contains("cannot read /nowhere/p.json"), "{read}");
    let swapped = text.replace("\"split\"", r#""class_names": ["class 1", "class 0"], "split""#);
    let error = parsed(&swapped, None)
        .unwrap()
        .weights(&classes(2), &EIGHT, MissingPrior::Error);
    assert!(
        error
            .unwrap_err()
            .to_string()
            .contains("`class 1` is at position 0")
    );
}

#[test]
fn a_prior_keyed_by_label_follows_the_class_number() {
    let text = r#"{"indexing": "label", "weights": {"7": {"spatial": [1, 0, 0, 0], "gamma": 0.5}, "2": {"gamma": 1}}}"#;
    let prior = parsed(text, None).unwrap();
    let list = classes(9).subset(&[ClassId(2), ClassId(7)]).unwrap();
    let slots = [Granularity::HEAD, Granularity::GLOBAL];
    assert_eq!(
        prior.weights(&list, &slots, MissingPrior::Error).unwrap(),
        [0.0, 1.0, 0.5, 0.5]
    );
    let wider = classes(9).subset(&[ClassId(2), ClassId(4)]).unwrap();
    let error = prior
        .weights(&wider, &slots, MissingPrior::Error)
        .unwrap_err()
        .to_string();
    assert!(error.contains("no weights for class 4 `class 4`"), "{error}");
    assert_eq!(
        prior.weights(&wider, &slots, MissingPrior::Uniform).unwrap(),
        [0.0, 1.0, 0.5, 0.5]
    );
    let none = prior
        .weights(&list, &[Granularity::LEGS], MissingPrior::Error)
        .unwrap_err()
        .to_string();
    assert!(none.contains("class 2 `class 2`: gives no weight"), "{none}");
}
