//! What holds for every gate, and the two that are fitted by a sweep.

use proptest::prelude::*;
use szar_core::testing::{normal, uniform};
use szar_core::{
    Column, GateConfig, GateEvidence, GzslGate, OpenEvidence, OracleLabels, PseudoUnseen, Scores, host,
    testing,
};
use tch::{Kind, Tensor};

use super::*;

/// Everything that evidence is made of; 4 seen and 3 unseen classes.
struct Toy {
    scores: Scores,
    encoder: Tensor,
    truth: OracleLabels,
    seen: Vec<Column>,
    unseen: Vec<Column>,
}

impl Toy {
    /// The model favours seen classes, as models do; its scores tell the classes apart.
    fn new(count: i64, seed: i64) -> Self {
        let name = |of: &str| format!("{of} {seed}");
        let labels = (uniform(&name("labels"), &[count]) * 7.0).to_kind(Kind::Int64);
        let own = labels.one_hot(7).to_kind(Kind::Float);
        let bias = Tensor::from_slice(&[3f32, 3.0, 3.0, 3.0, 0.0, 0.0, 0.0]);
        Self {
            scores: Scores {
                logits: normal(&name("logits"), &[count, 7]) * 0.5 + &own * 6.0 + bias,
            },
            encoder: normal(&name("encoder"), &[count, 4]) * 0.5 + own.narrow(1, 0, 4) * 6.0,
            truth: OracleLabels(labels),
            seen: (0..4).map(Column).collect(),
            unseen: (4..7).map(Column).collect(),
        }
    }

    fn evidence(&self) -> GateEvidence<'_> {
        GateEvidence {
            scores: &self.scores,
            seen: &self.seen,
            unseen: &self.unseen,
            encoder_logits: Some(&self.encoder),
            truth: Some(&self.truth),
        }
    }

    fn open(&self) -> OpenEvidence<'_> {
        OpenEvidence {
            evidence: self.evidence(),
            labels: &self.truth.0,
            classes: [4, 3],
        }
    }

    fn rows(&self, start: i64, len: i64) -> Self {
        Self {
            scores: Scores {
                logits: self.scores.logits.narrow(0, start, len),
            },
            encoder: self.encoder.narrow(0, start, len),
            truth: OracleLabels(self.truth.0.narrow(0, start, len)),
            seen: self.seen.clone(),
            unseen: self.unseen.clone(),
        }
    }

    /// The same samples with the candidates in another order; the seen ones keep theirs among themselves, as the
    /// encoder's logits do.
    fn reordered(&self) -> Self {
        let order = uniform("order", &[7]).argsort(0, false);
        let places = order.argsort(0, false);
        let moved = |side: &[Column]| -> Vec<Column> {
            let place = |c: &Column| usize::try_from(places.int64_value(&[c.0 as i64])).unwrap();
            side.iter().map(|c| Column(place(c))).collect()
        };
        Self {
            scores: Scores {
                logits: self.scores.logits.index_select(1, &order),
            },
            encoder: self.encoder.shallow_clone(),
            truth: OracleLabels(places.index_select(0, &self.truth.0)),
            seen: moved(&self.seen),
            unseen: moved(&self.unseen),
        }
    }
}

fn built(config: &dyn GateConfig) -> Box<dyn GzslGate> {
    config
        .build(&testing::classes(7), &testing::build_context())
        .unwrap()
}

fn entropy_by(choose: Choice, support: Support) -> EntropyGateConfig {
    EntropyGateConfig {
        source: Source::Aligner,
        support,
        choose,
        ..EntropyGateConfig::default()
    }
}

/// Every gate with options that make a difference.
fn gates() -> Vec<Box<dyn GateConfig>> {
    let soft = SeenUnseenClassifierConfig {
        soft: true,
        ..SeenUnseenClassifierConfig::default()
    };
    let stacking = |on| CalibratedStackingConfig {
        on,
        ..CalibratedStackingConfig::default()
    };
    vec![
        Box::new(EntropyGateConfig::default()),
        Box::new(entropy_by(Choice::Keep, Support::All)),
        Box::new(entropy_by(Choice::HarmonicMean, Support::Seen)),
        Box::new(stacking(On::Logits)),
        Box::new(stacking(On::Probabilities)),
        Box::new(SeenUnseenClassifierConfig::default()),
        Box::new(soft),
        Box::new(OracleGateConfig::default()),
    ]
}

fn fitted(config: &dyn GateConfig, on: &Toy) -> Box<dyn GzslGate> {
    let mut gate = built(config);
    match config.needs_pseudo_unseen() {
        Some(_) => gate.fit_open(&on.open()).unwrap(),
        None => gate.fit(&on.evidence()).unwrap(),
    };
    gate
}

/// Samples on whose side the gate decides rightly.
fn accuracy(gate: &dyn GzslGate, on: &Toy) -> f64 {
    let taken = gate.takes_for_seen(&on.evidence()).unwrap();
    let right = taken.eq_tensor(&on.truth.0.lt(4)).to_kind(Kind::Float);
    right.mean(Kind::Float).double_value(&[])
}

#[test]
fn a_calibrated_sum_parts_sides_that_a_plain_one_confuses() {
    let (fit, test) = (Toy::new(300, 1), Toy::new(300, 2));
    for on in [On::Logits, On::Probabilities] {
        let plain = built(&CalibratedStackingConfig {
            on,
            gamma: Some(0.0),
            ..CalibratedStackingConfig::default()
        });
        let chosen = fitted(
            &CalibratedStackingConfig {
                on,
                ..CalibratedStackingConfig::default()
            },
            &fit,
        );
        let (before, after) = (accuracy(plain.as_ref(), &test), accuracy(chosen.as_ref(), &test));
        assert!(after > 0.97 && after >= before, "{on:?}: {before} then {after}");
    }
}

#[test]
fn a_gamma_on_probabilities_shrinks_with_the_number_of_candidates() {
    let toy = Toy::new(200, 3);
    let gamma = |on, classes| {
        let config = CalibratedStackingConfig {
            on,
            ..CalibratedStackingConfig::default()
        };
        let open = OpenEvidence {
            classes,
            ..toy.open()
        };
        built(&config).fit_open(&open).unwrap()["gamma"]
    };
    let (here, later) = (
        gamma(On::Probabilities, [4, 3]),
        gamma(On::Probabilities, [10, 4]),
    );
    assert!((here - 2.0 * later).abs() < 1e-9);
    assert_eq!(gamma(On::Logits, [4, 3]), gamma(On::Logits, [10, 4]));
}

#[test]
fn an_entropy_threshold_grows_with_the_logarithm_of_the_candidates() {
    let toy = Toy::new(200, 4);
    let threshold = |support, classes| {
        let open = OpenEvidence {
            classes,
            ..toy.open()
        };
        built(&entropy_by(Choice::HarmonicMean, support))
            .fit_open(&open)
            .unwrap()["threshold"]
    };
    let here = threshold(Support::All, [4, 3]);
    assert!((threshold(Support::All, [40, 9]) - 2.0 * here).abs() < 1e-9);
    let seen = threshold(Support::Seen, [4, 3]);
    assert!((threshold(Support::Seen, [16, 3]) - 2.0 * seen).abs() < 1e-9);
}

#[test]
fn gates_with_given_constants_need_no_validation() {
    let entropy = EntropyGateConfig {
        threshold: Some(1.0),
        choose: Choice::HarmonicMean,
        ..EntropyGateConfig::default()
    };
    let stacking = CalibratedStackingConfig {
        gamma: Some(0.5),
        ..CalibratedStackingConfig::default()
    };
    let given: [&dyn GateConfig; 3] = [&entropy, &stacking, &OracleGateConfig::default()];
    for config in given {
        assert!(
            !config.needs_validation() && config.needs_pseudo_unseen().is_none(),
            "{config:?}"
        );
    }
    let learned: [&dyn GateConfig; 2] = [
        &SeenUnseenClassifierConfig::default(),
        &CalibratedStackingConfig::default(),
    ];
    for config in learned {
        assert!(
            config.needs_validation() && config.needs_pseudo_unseen().is_some(),
            "{config:?}"
        );
    }
}

#[test]
fn an_encoder_that_knows_the_held_out_classes_is_remarked() {
    let pseudo_unseen = PseudoUnseen {
        retrain_encoder: false,
        ..PseudoUnseen::default()
    };
    let config = SeenUnseenClassifierConfig {
        pseudo_unseen,
        ..SeenUnseenClassifierConfig::default()
    };
    let marks = config.marks();
    assert!(marks.iter().any(|m| m.text.contains("optimistic")), "{marks:?}");
    assert!(SeenUnseenClassifierConfig::default().marks().is_empty());
}

#[test]
fn the_margin_ranks_as_the_calibrated_scores_decide() {
    let toy = Toy::new(100, 5);
    let gate = fitted(&CalibratedStackingConfig::default(), &toy);
    let taken = host::to_i64(&gate.takes_for_seen(&toy.evidence()).unwrap()).unwrap();
    let ranks = host::to_f64(&gate.unseen_score(&toy.evidence()).unwrap());
    let of = |side: i64| taken.iter().zip(&ranks).filter(move |(t, _)| **t == side);
    let largest = of(1).map(|(_, r)| *r).fold(f64::MIN, f64::max);
    let least = of(0).map(|(_, r)| *r).fold(f64::MAX, f64::min);
    assert!(largest <= least, "{largest} {least}");
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(8))]

    #[test]
    fn neither_the_batch_nor_the_order_of_candidates_matters(seed in 0i64..10_000) {
        let (fit, toy) = (Toy::new(120, seed), Toy::new(12, seed + 1));
        let (moved_fit, moved) = (fit.reordered(), toy.reordered());
        for config in gates() {
            let gate = fitted(config.as_ref(), &fit);
            let whole = gate.unseen_score(&toy.evidence()).unwrap();
            let taken = gate.takes_for_seen(&toy.evidence()).unwrap();
            for row in 0..12 {
                let one = toy.rows(row, 1);
                prop_assert!(gate.unseen_score(&one.evidence()).unwrap()
                    .allclose(&whole.narrow(0, row, 1), 1e-5, 1e-6, false), "{config:?}");
                prop_assert!(gate.takes_for_seen(&one.evidence()).unwrap().equal(&taken.narrow(0, row, 1)));
            }
            // Judged in another order, and fitted in another order.
            let judged = gate.unseen_score(&moved.evidence()).unwrap();
            prop_assert!(judged.allclose(&whole, 1e-5, 1e-6, false), "{config:?}");
            let again = fitted(config.as_ref(), &moved_fit).unseen_score(&moved.evidence()).unwrap();
            prop_assert!(again.allclose(&whole, 1e-3, 1e-3, false), "{config:?}: {again:?} {whole:?}");
        }
    }
}
