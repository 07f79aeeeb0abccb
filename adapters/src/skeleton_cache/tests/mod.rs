//! The stream as a whole; `equations` holds it against the definition, `options` judges configurations and priors.

mod equations;
mod options;

use std::path::Path;

use szar_core::testing::{self, NoModel, task};
use szar_core::{
    AdapterConfig, FeatureMap, Granularity, Observation, SampleRef, Scores, Task, TestTimeAdapter,
};
use tch::{Kind, Tensor, kind::FLOAT_CPU};

use super::config::EIGHT;
use super::*;
use crate::balance::tests::recorded;

/// Numbers that look normal (mean 0, deviation 1), the same for a seed on every run.
fn noise(shape: &[i64], seed: i64) -> Tensor {
    let mut state = (seed as u64).wrapping_mul(0x9E37_79B9_7F4A_7C15) | 1;
    let mut uniform = || {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        (state >> 40) as f32 / (1u64 << 24) as f32
    };
    let count = shape.iter().product::<i64>();
    let values: Vec<f32> = (0..count)
        .map(|_| (uniform() + uniform() + uniform() + uniform() - 2.0) * 1.732)
        .collect();
    Tensor::from_slice(&values).reshape(shape)
}

/// The paper's constants.
fn published() -> SkeletonCacheConfig {
    SkeletonCacheConfig {
        preset: Preset::None,
        ..SkeletonCacheConfig::default()
    }
}

/// A random stream: descriptors that share a direction with their class, logits that often agree with it.
fn stream(
    samples: i64,
    options: &SkeletonCacheConfig,
    count: i64,
    width: i64,
    seed: i64,
) -> (Tensor, Tensor) {
    let labels = (noise(&[samples], seed).abs() * 1e4)
        .to_kind(Kind::Int64)
        .remainder(count);
    let slots = options.descriptors.len() as i64;
    let centres = noise(&[count, slots, width], seed + 1).index_select(0, &labels);
    let descriptors = centres + noise(&[samples, slots, width], seed + 2);
    let right = labels.one_hot(count).to_kind(Kind::Float);
    (descriptors, noise(&[samples, count], seed + 3) * 1.5 + right)
}

/// A prior with other weights for each class.
fn prior(count: usize) -> Prior {
    let row = |c: usize| {
        let (a, b) = (0.1 + 0.02 * c as f64 % 0.3, 0.2);
        format!(
            r#""{c}": {{"spatial": [{a}, {b}, 0.3, {}], "temporal": [0.2, {a}, {}], "gamma": 0.3}}"#,
            0.5 - a,
            0.8 - a
        )
    };
    let rows: Vec<_> = (0..count).map(row).collect();
    Prior::parse(
        &format!(r#"{{"weights": {{{}}}}}"#, rows.join(",")),
        Path::new("prior.json"),
        None,
    )
    .unwrap()
}

fn begun(options: &SkeletonCacheConfig, count: i64, width: i64) -> SkeletonCache {
    let mut cache = SkeletonCache::with_prior(options, Some(prior(count as usize)));
    cache.begin(&task(count as usize, width, 3, 8)).unwrap();
    cache
}

fn feed(cache: &mut SkeletonCache, descriptors: &Tensor, logits: &Tensor, batch: i64) -> Tensor {
    let steps = descriptors
        .split(batch, 0)
        .into_iter()
        .zip(logits.split(batch, 0));
    let steps: Vec<_> = steps
        .map(|(d, z)| cache.step_descriptors(&d, &z).unwrap())
        .collect();
    Tensor::cat(&steps, 0)
}

fn same_state(a: &SkeletonCache, b: &SkeletonCache) -> bool {
    let (a, b) = (a.snapshot().unwrap(), b.snapshot().unwrap());
    a.len() == b.len() && a.iter().all(|(name, tensor)| tensor.equal(&b[name]))
}

#[test]
fn a_batch_longer_than_a_piece_is_the_same_stream() {
    let options = published();
    let (descriptors, logits) = stream(700, &options, 6, 16, 3);
    let (mut a, mut b) = (begun(&options, 6, 16), begun(&options, 6, 16));
    assert!(feed(&mut a, &descriptors, &logits, 700).equal(&feed(&mut b, &descriptors, &logits, 1)));
    assert!(same_state(&a, &b));
}

#[test]
fn a_snapshot_goes_on_bit_for_bit() {
    let options = SkeletonCacheConfig {
        centre: Centre::StreamMean,
        ..published()
    };
    let (descriptors, logits) = stream(80, &options, 5, 12, 1);
    let mut whole = begun(&options, 5, 12);
    let all = feed(&mut whole, &descriptors, &logits, 7);
    let mut first = begun(&options, 5, 12);
    let _ = feed(
        &mut first,
        &descriptors.narrow(0, 0, 42),
        &logits.narrow(0, 0, 42),
        7,
    );
    let mut second = begun(&options, 5, 12);
    second.restore(first.snapshot().unwrap()).unwrap();
    let rest = feed(
        &mut second,
        &descriptors.narrow(0, 42, 38),
        &logits.narrow(0, 42, 38),
        7,
    );
    assert!(rest.equal(&all.narrow(0, 42, 38)) && same_state(&whole, &second));
    let error = begun(&options, 4, 12)
        .restore(first.snapshot().unwrap())
        .unwrap_err()
        .to_string();
    assert!(error.contains("state `counts`"), "{error}");
}

#[test]
fn samples_that_are_not_finite_keep_their_logits_and_are_never_stored() {
    let options = published();
    for tensors in [false, true] {
        let (descriptors, logits) = stream(40, &options, 4, 8, 2);
        let _ = descriptors.get(7).get(2).fill_(f64::NAN);
        let _ = descriptors.get(9).fill_(f64::INFINITY);
        let mut cache = begun(&options, 4, 8);
        if tensors {
            cache.use_tensors();
        }
        let out = feed(&mut cache, &descriptors, &logits, 10);
        assert!(out.get(7).equal(&logits.get(7)) && out.get(9).equal(&logits.get(9)));
        let state = cache.snapshot().unwrap();
        let held: Vec<i64> = state["0/samples"].shallow_clone().try_into().unwrap();
        assert!(!held.contains(&7) && !held.contains(&9) && out.isfinite().all().int64_value(&[]) == 1);
    }
}

#[test]
fn memory_does_not_grow_with_the_stream() {
    let options = published();
    let (descriptors, logits) = stream(500, &options, 5, 16, 4);
    let mut cache = begun(&options, 5, 16);
    let before = cache.state_bytes();
    for _ in 0..10 {
        let _ = feed(&mut cache, &descriptors, &logits, 100);
    }
    assert_eq!(cache.state_bytes(), before);
    let report = cache.diagnostics();
    assert_eq!(report["occupancy"], [8.0; 5]);
    assert_eq!((report["samples"][0], report["insertions"][0]), (5000.0, 40.0));
    assert!((report["predicted_share"].iter().sum::<f64>() - 1.0).abs() < 1e-12);
}

#[test]
fn pooled_features_do_with_the_global_descriptor() {
    let options = SkeletonCacheConfig {
        descriptors: vec![Granularity::GLOBAL],
        ..published()
    };
    assert!(options.requirements().feature_map.is_none());
    let mut cache = SkeletonCache::new(&options).unwrap();
    cache.begin(&task(3, 6, 1, 1)).unwrap();
    let features = FeatureMap::from_pooled(&testing::normal("features", &[2, 6])).unwrap();
    let scores = Scores {
        logits: testing::normal("logits", &[2, 3]),
    };
    let samples = SampleRef::run(0, 2);
    let seen = Observation::new(&features, &scores, &samples);
    assert_eq!(cache.step(&seen, &NoModel).unwrap().logits.size(), [2, 3]);
    let mut eight = SkeletonCache::new(&published()).unwrap();
    eight.begin(&task(3, 6, 1, 1)).unwrap();
    let error = eight.step(&seen, &NoModel).unwrap_err().to_string();
    assert!(error.contains("needs a spatio-temporal feature map"), "{error}");
}

#[test]
fn shapes_that_do_not_fit_are_refused() {
    let options = published();
    let mut cache = begun(&options, 4, 8);
    let wrong = |cache: &mut SkeletonCache, d: &[i64], z: &[i64]| {
        let (d, z) = (Tensor::zeros(d, FLOAT_CPU), Tensor::zeros(z, FLOAT_CPU));
        cache.step_descriptors(&d, &z).unwrap_err().to_string()
    };
    assert!(wrong(&mut cache, &[2, 8, 8], &[2, 5]).contains("`logits` has shape [2, 5], expected [_, 4]"));
    assert!(wrong(&mut cache, &[3, 8, 8], &[2, 4]).contains("`descriptors` has shape [3, 8, 8]"));
    assert!(wrong(&mut cache, &[2, 8, 7], &[2, 4]).contains("expected [2, 8, 8]"));
    let mut fresh = SkeletonCache::new(&options).unwrap();
    assert!(wrong(&mut fresh, &[2, 8, 8], &[2, 4]).contains("not begun"));
}

#[test]
fn the_default_is_what_an_independent_version_computes() {
    let (logits, descriptors) = (recorded("logits"), recorded("descriptors"));
    for capacity in [4, 32] {
        let options = SkeletonCacheConfig {
            capacity: Some(capacity),
            descriptors: EIGHT[..3].to_vec(),
            ..SkeletonCacheConfig::default()
        };
        let mut cache = SkeletonCache::with_prior(&options, None);
        cache.begin(&task(5, 6, 3, 8)).unwrap();
        let got = feed(&mut cache, &descriptors, &logits, 9);
        let worst = (got - recorded(&format!("cache_{capacity}")))
            .abs()
            .max()
            .double_value(&[]);
        assert!(worst < 1e-4, "capacity {capacity}: {worst}");
    }
}

#[test]
fn mixed_streams_equal_separate_caches() {
    for options in [published(), SkeletonCacheConfig::default()] {
        let (descriptors, logits) = stream(90, &options, 4, 8, 6);
        let begin = |streams: usize| {
            let mut cache = SkeletonCache::with_prior(&options, Some(prior(4)));
            cache
                .begin(&Task {
                    streams,
                    ..task(4, 8, 3, 8)
                })
                .unwrap();
            cache
        };
        let samples: Vec<_> = (0..90u64)
            .map(|i| SampleRef {
                stream: (i * i % 7) as usize % 3,
                position: i,
            })
            .collect();
        let mut mixed = begin(3);
        let mut got = Vec::new();
        for from in (0..90).step_by(30) {
            let (d, z) = (descriptors.narrow(0, from, 30), logits.narrow(0, from, 30));
            got.push(
                mixed
                    .run(&d, &z, &samples[from as usize..from as usize + 30], false)
                    .unwrap(),
            );
        }
        let got = Tensor::cat(&got, 0);
        for number in 0..3 {
            let own: Vec<i64> = (0..90)
                .filter(|i| samples[*i as usize].stream == number)
                .collect();
            let index = Tensor::from_slice(&own);
            let (d, z) = (
                descriptors.index_select(0, &index),
                logits.index_select(0, &index),
            );
            let want = feed(&mut begin(1), &d, &z, 5);
            assert!(got.index_select(0, &index).equal(&want), "stream {number}");
            let held = mixed.held();
            let of_stream = held.iter().filter(|h| h.sample.stream == number);
            assert!(of_stream.clone().count() > 0);
            assert!(
                of_stream
                    .clone()
                    .all(|h| own.contains(&h.sample.position.cast_signed()))
            );
        }
        let mut other = begin(3);
        other.restore(mixed.snapshot().unwrap()).unwrap();
        assert_eq!(other.held(), mixed.held());
    }
}
