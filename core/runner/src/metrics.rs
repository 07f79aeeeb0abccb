//! Accuracy: by class and by sample, seen, unseen and their harmonic mean. All in percent, all in `f64`.

use serde::{Deserialize, Serialize};
use szar_core::{Error, Result};

/// Counts of (true class, predicted class) over C classes.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Confusion {
    /// Row: true class; column: prediction.
    pub counts: Vec<Vec<u64>>,
}

impl Confusion {
    /// Counts predictions against labels, both columns below `classes`.
    ///
    /// # Errors
    /// [`Error::Input`] when lengths differ or a column is out of range.
    pub fn new(classes: usize, labels: &[i64], predictions: &[i64]) -> Result<Self> {
        if labels.len() != predictions.len() {
            return Err(Error::Input(format!(
                "{} labels, {} predictions",
                labels.len(),
                predictions.len()
            )));
        }
        let mut counts = vec![vec![0u64; classes]; classes];
        for (label, prediction) in labels.iter().zip(predictions) {
            let index = |column: &i64| usize::try_from(*column).ok().filter(|c| *c < classes);
            let (Some(row), Some(column)) = (index(label), index(prediction)) else {
                return Err(Error::Input(format!(
                    "label {label} or prediction {prediction} outside 0 ..< {classes}"
                )));
            };
            counts[row][column] += 1;
        }
        Ok(Self { counts })
    }

    /// Samples per true class.
    pub fn class_counts(&self) -> Vec<u64> {
        self.counts.iter().map(|row| row.iter().sum()).collect()
    }

    /// Number of samples.
    pub fn total(&self) -> u64 {
        self.class_counts().iter().sum()
    }

    /// Share of right answers among all samples, percent; 0 without samples.
    pub fn top1(&self) -> f64 {
        let right: u64 = (0..self.counts.len()).map(|c| self.counts[c][c]).sum();
        percent(right as f64, self.total() as f64)
    }

    /// Recall per class, percent; `None` for classes without samples.
    pub fn per_class(&self) -> Vec<Option<f64>> {
        let recall = |(c, row): (usize, &Vec<u64>)| {
            let total: u64 = row.iter().sum();
            (total > 0).then(|| percent(row[c] as f64, total as f64))
        };
        self.counts.iter().enumerate().map(recall).collect()
    }

    /// Mean recall over the classes that have samples, percent; 0 without samples.
    pub fn class_mean(&self) -> f64 {
        let present: Vec<f64> = self.per_class().into_iter().flatten().collect();
        if present.is_empty() {
            0.0
        } else {
            present.iter().sum::<f64>() / present.len() as f64
        }
    }

    /// What always answering the largest class would reach by sample, percent.
    pub fn largest_class(&self) -> f64 {
        percent(
            self.class_counts().into_iter().max().unwrap_or(0) as f64,
            self.total() as f64,
        )
    }

    /// Share of each class among the predictions, percent.
    pub fn prediction_share(&self) -> Vec<f64> {
        let total = self.total() as f64;
        (0..self.counts.len())
            .map(|c| percent(self.counts.iter().map(|row| row[c]).sum::<u64>() as f64, total))
            .collect()
    }
}

fn percent(part: f64, whole: f64) -> f64 {
    if whole > 0.0 { 100.0 * part / whole } else { 0.0 }
}

/// Share of samples whose label is among the `k` largest logits, percent. `logits` is row-major `[n, classes]`.
pub fn top_k(logits: &[f32], classes: usize, labels: &[i64], k: usize) -> f64 {
    let hit = |(row, label): &(&[f32], &i64)| {
        let Some(own) = usize::try_from(**label).ok().and_then(|l| row.get(l)) else {
            return false;
        };
        row.iter().filter(|v| *v > own).count() < k
    };
    let rows = logits.chunks(classes.max(1)).zip(labels);
    percent(rows.filter(hit).count() as f64, labels.len() as f64)
}

/// 2SU / (S + U); 0 when both are 0.
pub fn harmonic_mean(seen: f64, unseen: f64) -> f64 {
    if seen + unseen > 0.0 {
        2.0 * seen * unseen / (seen + unseen)
    } else {
        0.0
    }
}

/// Seen, unseen and their harmonic mean.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct SeenUnseen {
    /// Accuracy on samples of seen classes, percent.
    pub seen: f64,
    /// Accuracy on samples of unseen classes, percent.
    pub unseen: f64,
    /// Harmonic mean of the two.
    pub harmonic_mean: f64,
}

impl SeenUnseen {
    /// With the harmonic mean computed.
    pub fn new(seen: f64, unseen: f64) -> Self {
        Self {
            seen,
            unseen,
            harmonic_mean: harmonic_mean(seen, unseen),
        }
    }
}

/// Accuracy over samples, and over classes, of generalised zero-shot predictions. `is_seen[c]` tells the sides apart.
///
/// # Errors
/// As [`Confusion::new`].
pub fn generalised(
    labels: &[i64],
    predictions: &[i64],
    is_seen: &[bool],
) -> Result<(SeenUnseen, SeenUnseen)> {
    let side = |seen: bool| {
        let of_side = |label: &i64| usize::try_from(*label).ok().and_then(|l| is_seen.get(l)) == Some(&seen);
        let (labels, predictions): (Vec<i64>, Vec<i64>) = labels
            .iter()
            .copied()
            .zip(predictions.iter().copied())
            .filter(|(l, _)| of_side(l))
            .unzip();
        Confusion::new(is_seen.len(), &labels, &predictions)
    };
    let (seen, unseen) = (side(true)?, side(false)?);
    let by_sample = SeenUnseen::new(seen.top1(), unseen.top1());
    Ok((by_sample, SeenUnseen::new(seen.class_mean(), unseen.class_mean())))
}

/// Area under the ROC curve of a score that should be larger for `positive` samples, percent; ties count half.
pub fn auc(scores: &[f64], positive: &[bool]) -> f64 {
    let mut order: Vec<usize> = (0..scores.len()).collect();
    order.sort_by(|a, b| scores[*a].total_cmp(&scores[*b]));
    let mut rank_sum = 0.0;
    let mut start = 0;
    while start < order.len() {
        let mut end = start;
        while end < order.len() && scores[order[end]] == scores[order[start]] {
            end += 1;
        }
        let mean_rank = (start + end + 1) as f64 / 2.0;
        rank_sum += mean_rank * order[start..end].iter().filter(|i| positive[**i]).count() as f64;
        start = end;
    }
    let positives = positive.iter().filter(|p| **p).count() as f64;
    let negatives = positive.len() as f64 - positives;
    percent(
        rank_sum - positives * (positives + 1.0) / 2.0,
        positives * negatives,
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn class_mean_counts_every_class_alike_and_skips_empty_ones() {
        // Class 0: 3 of 4 right; class 1: 0 of 1; class 2: no sample.
        let confusion = Confusion::new(3, &[0, 0, 0, 0, 1], &[0, 0, 0, 2, 0]).unwrap();
        assert_eq!(confusion.top1(), 60.0);
        assert_eq!(confusion.class_mean(), 37.5);
        assert_eq!(confusion.largest_class(), 80.0);
        assert_eq!(confusion.per_class(), [Some(75.0), Some(0.0), None]);
    }

    #[test]
    fn a_prediction_outside_the_classes_is_refused() {
        assert!(Confusion::new(2, &[0], &[2]).is_err());
        assert!(Confusion::new(2, &[0], &[-1]).is_err());
    }

    #[test]
    fn the_harmonic_mean_of_nothing_is_nothing() {
        assert_eq!(harmonic_mean(0.0, 0.0), 0.0);
        assert_eq!(harmonic_mean(60.0, 30.0), 40.0);
    }

    #[test]
    fn auc_is_half_for_ties_and_whole_for_a_perfect_order() {
        assert_eq!(auc(&[1.0, 1.0, 1.0, 1.0], &[true, false, true, false]), 50.0);
        assert_eq!(auc(&[0.1, 0.9, 0.2, 0.8], &[false, true, false, true]), 100.0);
    }
}
