use proptest::prelude::*;
use szar_core::testing::{NoModel, task};
use szar_core::{AdapterConfig, FeatureMap, Observation, SampleRef, Scores, Task, TestTimeAdapter};
use tch::{Tensor, kind::FLOAT_CPU};

use super::*;

/// What `benches/peer/balanced.py`, written separately, makes of a small random stream.
pub(crate) fn recorded(name: &str) -> Tensor {
    let all: serde_json::Value = serde_json::from_str(include_str!("recorded.json")).unwrap();
    let mut shape = Vec::new();
    let mut values = Vec::new();
    fn walk(value: &serde_json::Value, depth: usize, shape: &mut Vec<i64>, values: &mut Vec<f32>) {
        match value.as_array() {
            Some(list) => {
                if shape.len() == depth {
                    shape.push(list.len() as i64);
                }
                list.iter().for_each(|v| walk(v, depth + 1, shape, values));
            }
            None => values.push(value.as_f64().unwrap() as f32),
        }
    }
    walk(&all[name], 0, &mut shape, &mut values);
    Tensor::from_slice(&values).reshape(shape)
}

#[test]
fn an_independent_version_computes_the_same() {
    let (logits, want) = (recorded("logits"), recorded("balanced"));
    let mut balance = Balance::new(&BalanceConfig::default(), 5);
    for i in 0..logits.size()[0] {
        let mut row = Vec::<f32>::try_from(logits.get(i)).unwrap();
        balance.step(&mut row, None);
        let difference = (Tensor::from_slice(&row) - want.get(i))
            .abs()
            .max()
            .double_value(&[]);
        assert!(difference < 1e-5, "sample {i}: {difference}");
    }
}

/// Logits of a stream whose classes come shuffled (`i * 7 % C`) or one after the other, with a favoured class 0.
fn stream(count: usize, classes: usize, sorted: bool) -> Vec<Vec<f32>> {
    let label = |i: usize| {
        if sorted {
            i * classes / count
        } else {
            i * 7 % classes
        }
    };
    let wobble = |i: usize, c: usize| ((i * 31 + c * 17) as f32).sin() * 0.3;
    let logit = move |i: usize, c: usize| {
        let right = if label(i) == c { 1.0 } else { 0.0 };
        let favoured = if c == 0 { 0.8 } else { 0.0 };
        right + favoured + wobble(i, c)
    };
    (0..count)
        .map(|i| (0..classes).map(|c| logit(i, c)).collect())
        .collect()
}

#[test]
fn the_first_sample_is_rescaled_and_not_corrected() {
    let mut balance = Balance::new(&BalanceConfig::default(), 3);
    let mut row = [1.0f32, 2.0, 3.0];
    balance.step(&mut row, None);
    let unit = 1.5f32.sqrt(); // 1 / deviation of 1, 2, 3
    assert!((row[0] + unit).abs() < 1e-6 && row[1].abs() < 1e-6 && (row[2] - unit).abs() < 1e-6);
}

#[test]
fn a_favoured_class_loses_its_favour_on_a_shuffled_stream() {
    let mut balance = Balance::new(&BalanceConfig::default(), 5);
    stream(200, 5, false)
        .iter_mut()
        .for_each(|row| balance.step(row, None));
    assert!(balance.correction()[0] > 0.3, "{:?}", balance.correction());
    assert!(balance.correction()[1..].iter().all(|c| *c < 0.0));
    assert!(balance.mean_strength() > 0.9);
}

#[test]
fn a_stream_that_comes_class_by_class_is_left_alone() {
    let mut balance = Balance::new(&BalanceConfig::default(), 5);
    stream(200, 5, true)
        .iter_mut()
        .for_each(|row| balance.step(row, None));
    assert!(balance.mean_strength() < 0.3, "{}", balance.mean_strength());
    let unbraked = BalanceConfig {
        brake: 0.0,
        ..BalanceConfig::default()
    };
    let mut balance = Balance::new(&unbraked, 5);
    stream(200, 5, true)
        .iter_mut()
        .for_each(|row| balance.step(row, None));
    assert_eq!(balance.mean_strength(), 1.0);
}

#[test]
fn off_leaves_the_logits_as_they_are() {
    let mut balance = Balance::new(&BalanceConfig::off(), 4);
    for mut row in stream(20, 4, false) {
        let before = row.clone();
        balance.step(&mut row, None);
        assert_eq!(row, before);
    }
    assert!(BalanceConfig::off().is_off() && !BalanceConfig::default().is_off());
}

#[test]
fn options_out_of_range_are_named() {
    let wrong = BalanceConfig {
        strength: 2.0,
        limit: 0.0,
        brake: f64::NAN,
        ..BalanceConfig::default()
    };
    let mut problems = Problems::new();
    wrong.judge("balance", &mut problems);
    let text = problems.to_string();
    for field in ["balance.strength", "balance.limit", "balance.brake"] {
        assert!(text.contains(field), "{text}");
    }
}

#[test]
fn streams_and_snapshots_are_kept_apart() {
    let rows: Vec<f32> = stream(40, 4, false).concat();
    let logits = Tensor::from_slice(&rows).reshape([40, 4]);
    let map = FeatureMap::from_pooled(&Tensor::zeros([40, 4], FLOAT_CPU)).unwrap();
    let run = |adapter: &mut dyn TestTimeAdapter, from: i64, len: i64, streams: usize| {
        let scores = Scores {
            logits: logits.narrow(0, from, len),
        };
        let samples: Vec<_> = (from..from + len)
            .map(|i| SampleRef {
                stream: i as usize % streams,
                position: i as u64,
            })
            .collect();
        adapter
            .step(
                &Observation::new(&map.narrow(from, len), &scores, &samples),
                &NoModel,
            )
            .unwrap()
            .logits
    };
    let begin = |streams: usize| {
        let mut adapter = BalanceConfig::default()
            .build(&szar_core::testing::build_context())
            .unwrap();
        adapter
            .begin(&Task {
                streams,
                ..task(4, 4, 1, 1)
            })
            .unwrap();
        adapter
    };
    let whole = run(begin(2).as_mut(), 0, 40, 2);
    let even = Tensor::arange_start_step(0, 40, 2, (tch::Kind::Int64, tch::Device::Cpu));
    let alone = {
        let scores = Scores {
            logits: logits.index_select(0, &even),
        };
        let samples = SampleRef::run(0, 20);
        let half = map.narrow(0, 20);
        begin(1)
            .step(&Observation::new(&half, &scores, &samples), &NoModel)
            .unwrap()
            .logits
    };
    assert!(whole.index_select(0, &even).equal(&alone));
    let mut first = begin(2);
    let _ = run(first.as_mut(), 0, 25, 2);
    let mut second = begin(2);
    second.restore(first.snapshot().unwrap()).unwrap();
    assert!(run(second.as_mut(), 25, 15, 2).equal(&whole.narrow(0, 25, 15)));
}

proptest! {
    #[test]
    fn the_scale_of_the_logits_does_not_matter(factor in 0.01f32..100.0, offset in -5.0f32..5.0) {
        let mut plain = Balance::new(&BalanceConfig::default(), 4);
        let mut scaled = Balance::new(&BalanceConfig::default(), 4);
        for mut row in stream(30, 4, false) {
            let mut other: Vec<f32> = row.iter().map(|z| (z + offset) * factor).collect();
            plain.step(&mut row, None);
            scaled.step(&mut other, None);
            for (a, b) in row.iter().zip(&other) {
                prop_assert!((a - b).abs() < 1e-3, "{a} {b}");
            }
        }
    }
}
