//! Two answers for each of the same samples: is one better, and by how much?
//!
//! McNemar's test asks of the samples that only one of the two has right whether they are on both sides alike; exact, and
//! as mid-p, which is less conservative (Fagerland et al., "The McNemar test for binary matched-pairs data", 2013). The
//! interval of the difference of class means is a bootstrap over the pairs within each class. Both speak of these samples
//! and these trained models, not of other training seeds.

use std::collections::BTreeMap;

use rand_distr::{Binomial, Distribution};
use serde::Serialize;
use statrs::distribution::{Binomial as Coins, Discrete, DiscreteCDF};
use szar_core::Seed;

use crate::answers::Answers;

/// Draws of the bootstrap.
const DRAWS: usize = 4000;

/// What the pairs say.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Paired {
    /// Samples that both have.
    pub samples: u64,
    /// Right in the first alone, right in the second alone.
    pub only: [u64; 2],
    /// Two-sided p of McNemar's exact test.
    pub exact: f64,
    /// Its mid-p.
    pub mid: f64,
    /// Second minus first, points of the share of right samples.
    pub top1: f64,
    /// Second minus first, points of the class mean.
    pub class_mean: f64,
    /// 95% of the draws of the same.
    pub interval: [f64; 2],
}

/// By class: samples, right in the first alone, right in the second alone.
type Counts = BTreeMap<i64, [u64; 3]>;

/// Before against after adaptation.
pub fn adaptation(answers: &Answers) -> Option<Paired> {
    let right = |a: &crate::answers::Answer| (a.class, a.before == a.class, a.after == a.class);
    judge(answers.all.iter().map(right))
}

/// The last answers of two runs, on the samples that both have; samples whose names occur twice are left out.
pub fn runs(first: &Answers, second: &Answers) -> Option<Paired> {
    let mut known: BTreeMap<(&str, i64), Option<bool>> = BTreeMap::new();
    for answer in &first.all {
        let once = known.entry((&answer.sample, answer.class));
        once.and_modify(|right| *right = None)
            .or_insert(Some(answer.after == answer.class));
    }
    let mut pairs: BTreeMap<(&str, i64), Option<(bool, bool)>> = BTreeMap::new();
    for answer in &second.all {
        let key = (&*answer.sample, answer.class);
        if let Some(Some(right)) = known.get(&key) {
            let pair = Some((*right, answer.after == answer.class));
            pairs.entry(key).and_modify(|p| *p = None).or_insert(pair);
        }
    }
    judge(
        pairs
            .into_iter()
            .filter_map(|((_, class), pair)| pair.map(|(a, b)| (class, a, b))),
    )
}

/// Of (class, right in the first, right in the second); nothing without samples.
fn judge(pairs: impl Iterator<Item = (i64, bool, bool)>) -> Option<Paired> {
    let mut counts = Counts::new();
    for (class, first, second) in pairs {
        let [all, b, c] = counts.entry(class).or_default();
        *all += 1;
        *b += u64::from(first && !second);
        *c += u64::from(second && !first);
    }
    let sum = |k: usize| counts.values().map(|c| c[k]).sum::<u64>();
    let (samples, only) = (sum(0), [sum(1), sum(2)]);
    let [exact, mid] = mcnemar(only);
    (samples > 0).then(|| Paired {
        samples,
        only,
        exact,
        mid,
        top1: 100.0 * (only[1] as f64 - only[0] as f64) / samples as f64,
        class_mean: class_mean(counts.values().copied()),
        interval: bootstrap(&counts),
    })
}

/// Exact two-sided p and mid-p for b and c samples that one of the two has right.
fn mcnemar([b, c]: [u64; 2]) -> [f64; 2] {
    let Some(coins) = Coins::new(0.5, b + c).ok().filter(|_| b + c > 0) else {
        return [1.0, 1.0];
    };
    let least = b.min(c);
    let point = coins.pmf(least);
    let exact = (2.0 * coins.cdf(least)).min(1.0);
    let mid = if b == c { 1.0 - point / 2.0 } else { exact - point };
    [exact, mid.clamp(0.0, 1.0)]
}

fn class_mean(counts: impl ExactSizeIterator<Item = [u64; 3]>) -> f64 {
    let classes = counts.len().max(1) as f64;
    let of = |[all, b, c]: [u64; 3]| 100.0 * (c as f64 - b as f64) / all.max(1) as f64;
    counts.map(of).sum::<f64>() / classes
}

/// Draws as many pairs of each class as it has, with replacement: a multinomial over its three kinds of pairs.
fn bootstrap(counts: &Counts) -> [f64; 2] {
    let mut rng = Seed(0).derive("bootstrap", 0).rng();
    let mut draw = |trials: u64, part: f64| match Binomial::new(trials, part.clamp(0.0, 1.0)) {
        Ok(coins) => coins.sample(&mut rng),
        Err(_) => 0,
    };
    let mut one = |[all, b, c]: [u64; 3]| {
        let first = draw(all, b as f64 / all as f64);
        let rest = (all - b).max(1) as f64;
        [all, first, draw(all - first, c as f64 / rest)]
    };
    let mut again = || {
        let drawn: Vec<[u64; 3]> = counts.values().map(|c| one(*c)).collect();
        class_mean(drawn.into_iter())
    };
    let mut draws: Vec<f64> = (0..DRAWS).map(|_| again()).collect();
    draws.sort_by(f64::total_cmp);
    [draws[DRAWS / 40 - 1], draws[DRAWS - DRAWS / 40]]
}

/// Holm's correction of the p of several tests, in their order.
pub fn holm(p: &[f64]) -> Vec<f64> {
    let mut order: Vec<usize> = (0..p.len()).collect();
    order.sort_by(|a, b| p[*a].total_cmp(&p[*b]));
    let mut corrected = vec![1.0; p.len()];
    let mut largest = 0f64;
    for (rank, i) in order.iter().enumerate() {
        largest = largest.max((p.len() - rank) as f64 * p[*i]).min(1.0);
        corrected[*i] = largest;
    }
    corrected
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn mcnemar_by_hand() {
        // Ten coins, at most one head: (1 + 10) / 1024 on each side; mid-p takes off 10 / 1024.
        let [exact, mid] = mcnemar([1, 9]);
        assert!((exact - 22.0 / 1024.0).abs() < 1e-12 && (mid - 12.0 / 1024.0).abs() < 1e-12);
        assert_eq!(mcnemar([0, 0]), [1.0, 1.0]);
        // Two coins, one head each: all outcomes are as extreme; the point has 1/2.
        let [exact, mid] = mcnemar([1, 1]);
        assert!((exact - 1.0).abs() < 1e-12 && (mid - 0.75).abs() < 1e-12);
        let [exact, mid] = mcnemar([40_000, 42_000]);
        assert!(exact < 1e-10 && mid <= exact);
    }

    #[test]
    fn classes_count_alike_and_the_interval_holds_the_difference() {
        // Class 0: 100 pairs, 20 won and 10 lost; class 1: 10 pairs, 5 won.
        let of = |class: i64, n: usize, first, second| std::iter::repeat_n((class, first, second), n);
        let pairs = of(0, 70, true, true)
            .chain(of(0, 20, false, true))
            .chain(of(0, 10, true, false));
        let paired = judge(pairs.chain(of(1, 5, false, true)).chain(of(1, 5, false, false))).unwrap();
        assert_eq!((paired.samples, paired.only), (110, [10, 25]));
        assert!((paired.class_mean - 30.0).abs() < 1e-9, "{}", paired.class_mean);
        let [low, high] = paired.interval;
        // Deviation of the mean of two independent shares: sqrt(0.29 / 100 + 0.25 / 10) / 2 = 8.35 points.
        assert!(
            (13.6 - (30.0 - low)).abs() < 6.0 && low < 16.5 && low > 8.0,
            "{low}"
        );
        assert!(high > 43.0 && high < 52.0, "{high}");
        assert!(judge(std::iter::empty()).is_none());
    }

    #[test]
    fn a_difference_that_never_varies_has_no_width() {
        let paired = judge(std::iter::repeat_n((0, false, true), 9)).unwrap();
        assert_eq!((paired.class_mean, paired.interval), (100.0, [100.0, 100.0]));
    }

    #[test]
    fn holm_by_hand() {
        let corrected = holm(&[0.04, 0.01, 0.03]);
        for (got, want) in corrected.iter().zip([0.06, 0.03, 0.06]) {
            assert!((got - want).abs() < 1e-12, "{corrected:?}");
        }
    }
}
