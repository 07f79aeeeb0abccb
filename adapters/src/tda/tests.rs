//! The stream as a whole, and the options.

use proptest::prelude::*;
use szar_core::{AdapterConfig, Problems, TestTimeAdapter, host};

use super::*;
use crate::recorded::Recorded;
use crate::trial::{Trial, correct, reference, sum};

fn variants() -> Vec<TdaConfig> {
    let plain = TdaConfig::default();
    let wide = NegativeConfig {
        entropy_lower: 0.05,
        entropy_upper: 0.69,
        alpha: 1.0,
        ..NegativeConfig::default()
    };
    vec![
        TdaConfig {
            negative: wide.clone(),
            ..plain.clone()
        },
        TdaConfig {
            keys: Keys::Pooled,
            order: Order::PredictThenUpdate,
            negative: NegativeConfig {
                keep: Keep::Highest,
                ..wide
            },
            entropy_unit: EntropyUnit::Ln,
            temperature: 2.0,
            ..plain.clone()
        },
        TdaConfig {
            negative: NegativeConfig {
                enabled: false,
                ..NegativeConfig::default()
            },
            ..plain
        },
    ]
}

#[test]
fn the_reference_stream_gives_the_reference_numbers() {
    let recorded = Recorded {
        scale: 30.0,
        ..reference()
    };
    assert_eq!(correct(&recorded, &recorded.base().unwrap()), 140);
    let mut adapter = Tda::new(&TdaConfig::default());
    adapter.begin(&recorded.task().unwrap()).unwrap();
    let logits = recorded.play(&mut adapter, |_| Ok(())).unwrap();
    assert_eq!(correct(&recorded, &logits), 141);
    assert!((sum(&logits) - 1096.175321).abs() < 2e-3, "{}", sum(&logits));
    let want = [
        -4.197990, 1.887143, -2.970124, -3.197078, -1.731907, -1.183686, -0.822909, 8.684214, 1.288729,
        -3.398905,
    ];
    let last = host::to_f64(&logits.get(199));
    assert!(
        last.iter().zip(want).all(|(got, want)| (got - want).abs() < 2e-5),
        "{last:?}"
    );
    let report = adapter.diagnostics();
    assert_eq!(report["positive_occupancy"], [3.0; 10]);
    assert_eq!(report["negative_occupancy"], [2.0; 10]);
}

#[test]
fn memory_does_not_grow_with_the_stream() {
    let trial = Trial::new(3, 4, 2);
    for options in variants() {
        assert_eq!(trial.bytes_after(&options, 1), trial.bytes_after(&options, 20));
    }
}

#[test]
fn odd_input_is_refused() {
    Trial::new(0, 3, 1).odd_input_is_refused(&TdaConfig::default());
}

#[test]
fn options_are_judged_all_at_once() {
    let options = TdaConfig {
        temperature: f64::NAN,
        positive: PositiveConfig {
            enabled: false,
            capacity: 0,
            beta: Some(-1.0),
            alpha: None,
        },
        negative: NegativeConfig {
            enabled: false,
            alpha: f64::INFINITY,
            entropy_lower: 0.6,
            mask_upper: 1.5,
            ..NegativeConfig::default()
        },
        ..TdaConfig::default()
    };
    let mut problems = Problems::new();
    options.validate(&mut problems);
    let fields: Vec<_> = problems.iter().map(|p| p.field.as_str()).collect();
    let want = [
        "temperature",
        "positive.enabled",
        "positive.capacity",
        "positive.beta",
        "negative.alpha",
        "negative.entropy_lower",
        "negative.mask_upper",
    ];
    assert_eq!(fields, want);
}

#[test]
fn a_preset_fills_what_is_not_given() {
    let options: TdaConfig =
        serde_json::from_str(r#"{"preset": "imagenet_s", "positive": {"beta": 3.0}}"#).unwrap();
    assert_eq!(options.positive_constants(), (2.363, 3.0));
    assert!(
        !TdaConfig {
            keys: Keys::Pooled,
            ..options
        }
        .requirements()
        .visual_embeddings
    );
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(6))]

    #[test]
    fn promises_hold(seed in 0u64..1_000_000, classes in 2usize..7, streams in 1usize..4) {
        let trial = Trial::new(seed, classes, streams);
        for options in variants() {
            trial.batches_are_singles(&options);
            trial.streams_stay_apart(&options, 12);
            trial.snapshots_go_on(&options, 9);
            trial.columns_follow_their_classes(&options, 8);
        }
    }
}
