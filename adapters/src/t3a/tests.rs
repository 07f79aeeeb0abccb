//! The stream as a whole, and the options.

use proptest::prelude::*;
use szar_core::{AdapterConfig, Problems, TestTimeAdapter, host};
use tch::Tensor;

use super::*;
use crate::recorded::Recorded;
use crate::trial::{Trial, correct, reference, sum};

fn variants() -> Vec<T3aConfig> {
    let plain = T3aConfig::default();
    vec![
        plain.clone(),
        T3aConfig {
            filter_k: Some(3),
            scale: 5.0,
            ..plain.clone()
        },
        T3aConfig {
            filter: Filter::Official,
            ..plain.clone()
        },
        T3aConfig {
            filter_k: Some(2),
            order: Order::PredictThenUpdate,
            temperature: 3.0,
            ..plain
        },
    ]
}

/// Scores and supports of the reference stream.
fn play(filter_k: Option<usize>, filter: Filter, batch: i64) -> (Recorded, Tensor, usize) {
    let recorded = Recorded { batch, ..reference() };
    let mut adapter = T3a::new(&T3aConfig {
        filter_k,
        filter,
        ..T3aConfig::default()
    });
    adapter.begin(&recorded.task().unwrap()).unwrap();
    let scores = recorded.play(&mut adapter, |_| Ok(())).unwrap();
    let supports = adapter.supports().unwrap().blocks().map(<[_]>::len).sum();
    (recorded, scores, supports)
}

#[test]
fn the_reference_stream_gives_the_reference_numbers() {
    let known = [
        (5, 1, 122, 62.321387, 50),
        (5, 32, 121, 54.098718, 50),
        (20, 1, 142, 71.952538, 193),
        (20, 32, 141, 63.462377, 193),
    ];
    for (k, batch, right, total, supports) in known {
        let (recorded, scores, held) = play(Some(k), Filter::Exact, batch);
        assert_eq!(
            (correct(&recorded, &scores), held),
            (right, supports),
            "k {k}, batch {batch}"
        );
        assert!(
            (sum(&scores) - total).abs() < 2e-4,
            "k {k}, batch {batch}: {}",
            sum(&scores)
        );
    }
    for batch in [1, 32] {
        let (_, scores, _) = play(Some(20), Filter::Exact, batch);
        let last = host::to_f64(&scores.get(199));
        let want = [-0.150099, 0.007397, -0.084677];
        assert!(
            last.iter().zip(want).all(|(got, want)| (got - want).abs() < 2e-6),
            "{last:?}"
        );
    }
}

#[test]
fn the_released_slice_forgets_everything_at_batch_1_and_says_so() {
    let (recorded, scores, held) = play(None, Filter::Official, 1);
    assert_eq!((correct(&recorded, &scores), held), (19, 0));
    let (recorded, scores, held) = play(None, Filter::Official, 32);
    assert_eq!((correct(&recorded, &scores), held), (130, 140));
    let official = T3aConfig {
        filter: Filter::Official,
        ..T3aConfig::default()
    };
    assert_eq!(official.marks().len(), 1);
    assert!(T3aConfig::default().marks().is_empty());
}

#[test]
fn without_a_filter_every_sample_stays() {
    let (_, _, held) = play(None, Filter::Exact, 1);
    assert_eq!(held, 210);
}

#[test]
fn memory_is_bounded_where_a_filter_is_set_and_names_only_otherwise() {
    let trial = Trial::new(3, 4, 2);
    let filtered = T3aConfig {
        filter_k: Some(3),
        ..T3aConfig::default()
    };
    // Two streams of four classes of three vectors and their names, sums and class vectors.
    let bound = 2 * 4 * (3 * (19 * 4 + 24) + 19 * 12);
    assert!(trial.bytes_after(&filtered, 20) <= bound);
    let all = T3aConfig::default();
    let (one, two) = (trial.bytes_after(&all, 1), trial.bytes_after(&all, 2));
    assert_eq!(two - one, 90 * 24);
}

#[test]
fn odd_input_is_refused() {
    Trial::new(0, 3, 1).odd_input_is_refused(&T3aConfig::default());
}

#[test]
fn options_are_judged_all_at_once() {
    let options = T3aConfig {
        filter_k: Some(0),
        temperature: 0.0,
        logit_scale: Some(f64::NAN),
        scale: -1.0,
        ..T3aConfig::default()
    };
    let mut problems = Problems::new();
    options.validate(&mut problems);
    let fields: Vec<_> = problems.iter().map(|p| p.field.as_str()).collect();
    assert_eq!(fields, ["filter_k", "temperature", "logit_scale", "scale"]);
    assert!(!T3aConfig::default().per_sample());
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
            trial.batches_are_singles(&T3aConfig { update, ..options });
        }
    }
}
