//! The gate on toy posteriors; recorded cases.

use proptest::prelude::*;
use szar_core::testing::{normal, uniform};
use szar_core::{
    Column, GateConfig, GateEvidence, GzslGate, OpenEvidence, Problems, Scores, Seed, host, testing,
};
use tch::{Kind, Tensor};

use super::super::evidence::Classifier;
use super::choose::{Samples, choose};
use super::*;

#[test]
fn goldens() {
    szar_core::conform::assert_goldens("aligner/logistic-gate");
}

/// Seen samples have one large logit among the seen, unseen ones among the unseen; `[n, 5 + 4]` scores, labels.
fn toy(count: i64, seed: i64) -> (Tensor, Tensor, Tensor) {
    let name = |of: &str| format!("{of} {seed}");
    let labels = (uniform(&name("labels"), &[count]) * 9.0).to_kind(Kind::Int64);
    let scores = normal(&name("scores"), &[count, 9]) + labels.one_hot(9).to_kind(Kind::Float) * 5.0;
    let encoder = normal(&name("encoder"), &[count, 5]) + labels.one_hot(9).narrow(1, 0, 5) * 5.0;
    (scores, encoder, labels)
}

const SEEN: [Column; 5] = [Column(0), Column(1), Column(2), Column(3), Column(4)];
const UNSEEN: [Column; 4] = [Column(5), Column(6), Column(7), Column(8)];

fn evidence<'a>(scores: &'a Scores, encoder: Option<&'a Tensor>) -> GateEvidence<'a> {
    GateEvidence {
        scores,
        seen: &SEEN,
        unseen: &UNSEEN,
        encoder_logits: encoder,
        truth: None,
    }
}

fn fitted(options: SeenUnseenClassifierConfig) -> Box<dyn GzslGate> {
    let mut gate = options
        .build(&testing::classes(9), &testing::build_context())
        .unwrap();
    let (logits, encoder, labels) = toy(400, 1);
    let scores = Scores { logits };
    gate.fit_open(&OpenEvidence {
        evidence: evidence(&scores, Some(&encoder)),
        labels: &labels,
        classes: [5, 4],
    })
    .unwrap();
    gate
}

#[test]
fn sides_that_differ_are_told_apart_under_every_option() {
    let (logits, encoder, labels) = toy(300, 2);
    let scores = Scores { logits };
    let truth = labels.lt(5);
    let accuracy = |options: SeenUnseenClassifierConfig| {
        let gate = fitted(options);
        let given = evidence(&scores, Some(&encoder));
        let taken = gate.takes_for_seen(&given).unwrap();
        let ranks = gate.unseen_score(&given).unwrap();
        assert!(ranks.size() == [300] && ranks.kind() == Kind::Float);
        taken
            .eq_tensor(&truth)
            .to_kind(Kind::Float)
            .mean(Kind::Float)
            .double_value(&[])
    };
    let plain = SeenUnseenClassifierConfig::default;
    for preset in [Preset::Small, Preset::Synse, Preset::Revise, Preset::SaDvae] {
        let reached = accuracy(SeenUnseenClassifierConfig { preset, ..plain() });
        assert!(reached > 0.95, "{preset:?}: {reached}");
    }
    let soft = accuracy(SeenUnseenClassifierConfig {
        soft: true,
        ..plain()
    });
    assert!(soft > 0.95, "soft: {soft}");
    let aligner = accuracy(SeenUnseenClassifierConfig {
        seen_side: Classifier::Aligner,
        ..plain()
    });
    assert!(aligner > 0.9, "by the aligner alone: {aligner}");
    let fixed = accuracy(SeenUnseenClassifierConfig {
        temperature: Some(2.0),
        threshold: Some(0.5),
        top: Some(2),
        ..plain()
    });
    assert!(fixed > 0.95, "fixed: {fixed}");
}

#[test]
fn the_published_bug_leaves_the_zero_shot_half_without_a_signal() {
    let (logits, encoder, labels) = toy(400, 3);
    let samples = Samples {
        zero_shot: logits.narrow(1, 5, 4).softmax(-1, Kind::Float),
        seen_logits: encoder,
        seen: host::to_i64(&labels.lt(5))
            .unwrap()
            .iter()
            .map(|s| *s == 1)
            .collect(),
    };
    let before = samples.zero_shot.copy();
    let seen = samples.seen.clone();
    let bugged = samples.with_feature_bug();
    let first = |flag: bool| seen.iter().position(|s| *s == flag).unwrap() as i64;
    assert!(bugged.zero_shot.get(first(false)).equal(&before.get(first(true))));
    assert!(bugged.zero_shot.get(first(true)).equal(&before.get(first(true))));
    let plan = SeenUnseenClassifierConfig::default().plan();
    let chosen = choose(&bugged, &plan, 4, Seed(1)).unwrap();
    assert!(chosen.accuracy.unwrap() > 0.8, "the other half still tells");
}

#[test]
fn the_threshold_is_applied_to_the_side_that_the_options_say() {
    let unseen = Tensor::from_slice(&[0.1f64, 0.45, 0.55, 0.9]);
    let rule = |legacy| host::to_i64(&super::gate::taken(&unseen, 0.6, legacy)).unwrap();
    assert_eq!(rule(false), [1, 1, 1, 0]);
    assert_eq!(rule(true), [1, 0, 0, 0]);
}

#[test]
fn given_constants_are_kept_and_the_seed_decides_the_rest() {
    let fit = |options: SeenUnseenClassifierConfig| {
        let mut gate = options
            .build(&testing::classes(9), &testing::build_context())
            .unwrap();
        let (logits, encoder, labels) = toy(200, 4);
        let scores = Scores { logits };
        gate.fit_open(&OpenEvidence {
            evidence: evidence(&scores, Some(&encoder)),
            labels: &labels,
            classes: [5, 3],
        })
        .unwrap()
    };
    let fixed = fit(SeenUnseenClassifierConfig {
        temperature: Some(3.0),
        threshold: Some(0.54),
        ..SeenUnseenClassifierConfig::default()
    });
    assert_eq!(
        (fixed["temperature"], fixed["threshold"], fixed["top"]),
        (3.0, 0.54, 3.0)
    );
    assert!(!fixed.contains_key("validation_accuracy"));
    let chosen = fit(SeenUnseenClassifierConfig::default());
    assert!(chosen["validation_accuracy"] > 90.0);
    assert_eq!(chosen, fit(SeenUnseenClassifierConfig::default()));
}

#[test]
fn what_is_missing_is_an_error() {
    let options = SeenUnseenClassifierConfig::default();
    let mut gate = options
        .build(&testing::classes(9), &testing::build_context())
        .unwrap();
    let (logits, encoder, labels) = toy(20, 5);
    let scores = Scores { logits };
    let given = evidence(&scores, Some(&encoder));
    assert!(
        gate.takes_for_seen(&given)
            .unwrap_err()
            .to_string()
            .contains("not fitted")
    );
    assert!(gate.fit(&given).is_err());
    let mut open = |encoder, labels: &Tensor| {
        gate.fit_open(&OpenEvidence {
            evidence: evidence(&scores, encoder),
            labels,
            classes: [5, 4],
        })
        .unwrap_err()
        .to_string()
    };
    assert!(open(None, &labels).contains("encoder that classifies"));
    let one_side = open(Some(&encoder), &labels.zeros_like());
    assert!(one_side.contains("no sample of a held-out class"), "{one_side}");
}

#[test]
fn options_are_judged() {
    let mut problems = Problems::new();
    SeenUnseenClassifierConfig {
        temperature: Some(0.0),
        threshold: Some(1.0),
        temperatures: Some(vec![]),
        top: Some(0),
        c: Some(f64::NAN),
        holdout_share: Some(0.0),
        ..SeenUnseenClassifierConfig::default()
    }
    .validate(&mut problems);
    assert_eq!(problems.len(), 7, "{problems}");
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(16))]

    #[test]
    fn a_batch_equals_its_samples_and_the_order_of_candidates_does_not_matter(seed in 0i64..1000) {
        let gate = fitted(SeenUnseenClassifierConfig::default());
        let (logits, encoder, _) = toy(7, seed);
        let order = uniform(&format!("order {seed}"), &[9]).argsort(0, false);
        let places = order.argsort(0, false);
        let moved = |side: &[Column]| -> Vec<Column> {
            side.iter().map(|c| Column(places.int64_value(&[c.0 as i64]) as usize)).collect()
        };
        let scores = Scores { logits: logits.shallow_clone() };
        let whole = gate.unseen_score(&evidence(&scores, Some(&encoder))).unwrap();
        let shuffled = Scores { logits: logits.index_select(1, &order) };
        let other = gate.unseen_score(&GateEvidence {
            scores: &shuffled,
            seen: &moved(&SEEN),
            unseen: &moved(&UNSEEN),
            encoder_logits: Some(&encoder),
            truth: None,
        }).unwrap();
        prop_assert!(whole.allclose(&other, 1e-5, 1e-6, false));
        for row in 0..7 {
            let one = Scores { logits: logits.narrow(0, row, 1) };
            let own = encoder.narrow(0, row, 1);
            let alone = gate.unseen_score(&evidence(&one, Some(&own))).unwrap();
            prop_assert!(alone.allclose(&whole.narrow(0, row, 1), 1e-5, 1e-6, false));
        }
    }
}
