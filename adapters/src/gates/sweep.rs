//! The threshold with the best harmonic mean, found exactly: between two neighbouring scores nothing changes.

use szar_core::{Error, Result};

use super::evidence::Judged;

/// A threshold and what it reaches.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct Swept {
    /// Samples with a smaller score are taken for seen.
    pub threshold: f64,
    /// Share of right samples of seen and of held-out classes, and their harmonic mean; percent.
    pub reached: [f64; 3],
}

/// Tries every cut between the scores. Where a stretch of thresholds is equally good, its middle is taken; of several
/// stretches the widest, then the lowest.
///
/// # Errors
/// [`Error::Input`] when a side has no sample or a score is no number.
pub(super) fn best(samples: &[Judged]) -> Result<Swept> {
    let mut sorted = samples.to_vec();
    sorted.sort_by(|a, b| a.score.total_cmp(&b.score));
    let unseen = sorted.iter().filter(|s| s.unseen).count();
    let seen = sorted.len() - unseen;
    if seen == 0 || unseen == 0 || sorted.iter().any(|s| !s.score.is_finite()) {
        return Err(Error::Input(format!(
            "a gate is fitted on finite scores of both sides: got {seen} samples of seen and {unseen} of held-out classes"
        )));
    }
    let cuts = cuts(&sorted, seen as f64, unseen as f64);
    let top = cuts
        .iter()
        .map(|c| c.reached[2])
        .fold(f64::NEG_INFINITY, f64::max);
    let mut best: Option<(f64, Swept)> = None;
    for stretch in cuts.chunk_by(|a, b| (a.reached[2] == top) == (b.reached[2] == top)) {
        let (first, last) = (&stretch[0], &stretch[stretch.len() - 1]);
        if first.reached[2] < top {
            continue;
        }
        let width = last.high - first.low;
        if best.is_none_or(|(widest, _)| width > widest) {
            let middle = first.low + width / 2.0;
            let threshold = if middle > first.low { middle } else { last.high };
            let cut = stretch.iter().find(|c| threshold <= c.high).unwrap_or(last);
            best = Some((
                width,
                Swept {
                    threshold,
                    reached: cut.reached,
                },
            ));
        }
    }
    best.map(|(_, swept)| swept)
        .ok_or_else(|| Error::Missing("a threshold".into()))
}

/// Thresholds above `low`, up to `high`, and what they reach.
struct Cut {
    low: f64,
    high: f64,
    reached: [f64; 3],
}

fn cuts(sorted: &[Judged], seen: f64, unseen: f64) -> Vec<Cut> {
    let mut right_seen = 0.0;
    let mut right_unseen = sorted.iter().filter(|s| s.unseen && s.right).count() as f64;
    let reached = |s: f64, u: f64| {
        let (s, u) = (100.0 * s / seen, 100.0 * u / unseen);
        let mean = if s + u > 0.0 { 2.0 * s * u / (s + u) } else { 0.0 };
        [s, u, mean]
    };
    let first = sorted[0].score;
    let mut cuts = vec![Cut {
        low: first,
        high: first,
        reached: reached(right_seen, right_unseen),
    }];
    let mut at = 0;
    while at < sorted.len() {
        let low = sorted[at].score;
        while at < sorted.len() && sorted[at].score == low {
            let sample = sorted[at];
            match (sample.unseen, sample.right) {
                (false, true) => right_seen += 1.0,
                (true, true) => right_unseen -= 1.0,
                _ => {}
            }
            at += 1;
        }
        let high = sorted.get(at).map_or_else(|| low.next_up(), |next| next.score);
        cuts.push(Cut {
            low,
            high,
            reached: reached(right_seen, right_unseen),
        });
    }
    cuts
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn sample(score: f64, unseen: bool, right: bool) -> Judged {
        Judged { score, unseen, right }
    }

    /// The definition: count anew for one threshold.
    fn count(samples: &[Judged], threshold: f64) -> f64 {
        let share = |unseen: bool| {
            let of: Vec<_> = samples.iter().filter(|s| s.unseen == unseen).collect();
            let right = of.iter().filter(|s| s.right && (s.score < threshold) != unseen);
            right.count() as f64 / of.len() as f64
        };
        let (s, u) = (share(false), share(true));
        if s + u > 0.0 { 200.0 * s * u / (s + u) } else { 0.0 }
    }

    #[test]
    fn two_sides_that_lie_apart_are_parted_in_the_middle() {
        let samples = [
            sample(0.0, false, true),
            sample(1.0, false, true),
            sample(3.0, true, true),
            sample(4.0, true, true),
        ];
        let swept = best(&samples).unwrap();
        assert_eq!(swept.threshold, 2.0);
        assert_eq!(swept.reached, [100.0, 100.0, 100.0]);
    }

    #[test]
    fn one_side_alone_is_refused() {
        assert!(best(&[sample(0.0, false, true)]).is_err());
        assert!(best(&[sample(f64::NAN, false, true), sample(1.0, true, true)]).is_err());
    }

    proptest! {
        #[test]
        fn no_threshold_is_better(
            raw in prop::collection::vec((0u8..12, any::<bool>(), any::<bool>()), 2..40)
        ) {
            let mut samples: Vec<Judged> =
                raw.into_iter().map(|(s, u, r)| sample(f64::from(s), u, r)).collect();
            samples.push(sample(5.0, true, true));
            samples.push(sample(6.0, false, true));
            let swept = best(&samples).unwrap();
            let own = count(&samples, swept.threshold);
            prop_assert!((own - swept.reached[2]).abs() < 1e-9);
            for half in 0..26 {
                prop_assert!(count(&samples, f64::from(half) / 2.0) <= own + 1e-9);
            }
        }
    }
}
