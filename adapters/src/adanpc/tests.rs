//! The stream as a whole, and the options.

use proptest::prelude::*;
use szar_core::{AdapterConfig, Problems, TestTimeAdapter};

use super::*;
use crate::recorded::Recorded;
use crate::trial::{Trial, correct, reference, sum};

fn variants() -> Vec<AdaNpcConfig> {
    let plain = AdaNpcConfig::default();
    let unbounded = Capacity::Word(Unbounded::None);
    vec![
        AdaNpcConfig {
            capacity: Capacity::Samples(4),
            k: 5,
            ..plain.clone()
        },
        AdaNpcConfig {
            capacity: unbounded,
            k: 3,
            beta: 0.4,
            answer: Answer::Votes,
            ..plain.clone()
        },
        AdaNpcConfig {
            eps_ball: Some(0.3),
            confidence: Confidence::Official,
            ..plain
        },
    ]
}

fn adapting() -> AdaNpcConfig {
    AdaNpcConfig {
        bn: true,
        steps: 2,
        capacity: Capacity::Samples(5),
        k: 4,
        ..AdaNpcConfig::default()
    }
}

#[test]
fn the_reference_stream_gives_the_reference_numbers() {
    let recorded = Recorded {
        batch: 32,
        ..reference()
    };
    let options = AdaNpcConfig {
        k: 10,
        beta: 0.25,
        capacity: Capacity::Word(Unbounded::None),
        answer: Answer::Votes,
        ..AdaNpcConfig::default()
    };
    let mut adapter = AdaNpc::new(&options);
    adapter.begin(&recorded.task().unwrap()).unwrap();
    let votes = recorded.play(&mut adapter, |_| Ok(())).unwrap();
    assert_eq!(correct(&recorded, &votes), 87);
    assert_eq!(adapter.memories()[0].len(), 199);
    assert!((sum(&votes) - 200.02).abs() < 1e-4, "{}", sum(&votes));
    assert_eq!(adapter.held().len(), 189);
}

#[test]
fn logarithms_of_the_votes_are_the_default_answer() {
    let recorded = reference();
    let play = |answer| {
        let mut adapter = AdaNpc::new(&AdaNpcConfig {
            answer,
            ..AdaNpcConfig::default()
        });
        adapter.begin(&recorded.task().unwrap()).unwrap();
        recorded.play(&mut adapter, |_| Ok(())).unwrap()
    };
    assert!(
        play(Answer::LogVotes)
            .exp()
            .allclose(&play(Answer::Votes), 1e-5, 1e-6, false)
    );
}

#[test]
fn memory_is_bounded_unless_asked_otherwise() {
    let trial = Trial::new(3, 4, 2);
    let options = AdaNpcConfig {
        capacity: Capacity::Samples(5),
        ..AdaNpcConfig::default()
    };
    // Two streams of four classes: a class vector and five samples, their names, the rings.
    let bound = 2 * (4 * 6 * (19 * 4 + 16) + 4 * (5 + 1) * 8);
    assert_eq!(trial.bytes_after(&options, 20), bound);
    assert_eq!(trial.bytes_after(&options, 40), bound);
    let all = AdaNpcConfig {
        capacity: Capacity::Word(Unbounded::None),
        ..options
    };
    let (one, two) = (trial.bytes_after(&all, 1), trial.bytes_after(&all, 2));
    assert_eq!((two - one) % (19 * 4 + 16), 0);
    assert!(two > one && all.marks().len() == 1);
}

#[test]
fn a_random_vector_of_the_first_class_can_be_put_in() {
    let recorded = reference();
    let mut adapter = AdaNpc::new(&AdaNpcConfig {
        noise_row: true,
        beta: 1.1,
        ..AdaNpcConfig::default()
    });
    adapter.begin(&recorded.task().unwrap()).unwrap();
    let _ = recorded.play(&mut adapter, |_| Ok(())).unwrap();
    let memory = &adapter.memories()[0];
    assert_eq!((memory.len(), &memory.labels[..2]), (11, &[0, 0][..]));
    let length: f32 = memory.values[..64].iter().map(|v| v * v).sum();
    assert!((length - 1.0).abs() < 1e-5);
    assert!(adapter.held().is_empty());
}

#[test]
fn normalisation_keeps_streams_apart_and_goes_on_from_snapshots() {
    let trial = Trial::new(5, 4, 2);
    // Batches large enough for two samples of each stream, and single ones left over.
    trial.streams_stay_apart(&adapting(), 12);
    trial.streams_stay_apart(&adapting(), 2);
    trial.snapshots_go_on(&adapting(), 9);
    assert!(!adapting().per_sample() && adapting().requirements().batch == 2);
}

#[test]
fn odd_input_is_refused() {
    Trial::new(0, 3, 1).odd_input_is_refused(&AdaNpcConfig::default());
    let recorded = reference();
    let mut adapter = AdaNpc::new(&AdaNpcConfig::default()).with_memory(&recorded.classes, &[10; 10]);
    adapter.begin(&recorded.task().unwrap()).unwrap();
    let error = recorded.play(&mut adapter, |_| Ok(())).unwrap_err().to_string();
    assert_eq!(
        error,
        "the memory to start from has a vector of class 10, there are 10 candidates"
    );
}

#[test]
fn options_are_judged_all_at_once() {
    let options = AdaNpcConfig {
        k: 0,
        capacity: Capacity::Samples(0),
        temperature: -1.0,
        lr: f64::NAN,
        beta: 1.2,
        eps_ball: Some(2.0),
        steps: 0,
        bn: true,
        update: Update::Sample,
        ..AdaNpcConfig::default()
    };
    let mut problems = Problems::new();
    options.validate(&mut problems);
    let fields: Vec<_> = problems.iter().map(|p| p.field.as_str()).collect();
    let want = [
        "k",
        "capacity",
        "temperature",
        "lr",
        "beta",
        "eps_ball",
        "steps",
        "update",
    ];
    assert_eq!(fields, want);
}

#[test]
fn a_capacity_is_a_number_or_none() {
    let parse = |text: &str| serde_json::from_str::<AdaNpcConfig>(text).map(|c| c.capacity.limit());
    assert_eq!(parse(r#"{"capacity": 7}"#).unwrap(), Some(7));
    assert_eq!(parse(r#"{"capacity": "none"}"#).unwrap(), None);
    assert!(parse(r#"{"capacity": "all"}"#).is_err());
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(6))]

    #[test]
    fn promises_hold(seed in 0u64..1_000_000, classes in 2usize..7, streams in 1usize..4) {
        let trial = Trial::new(seed, classes, streams);
        for options in variants() {
            trial.streams_stay_apart(&options, 12);
            trial.snapshots_go_on(&options, 9);
            trial.columns_follow_their_classes(&options, 8);
            let update = Update::Sample;
            trial.batches_are_singles(&AdaNpcConfig { update, ..options });
        }
    }
}
