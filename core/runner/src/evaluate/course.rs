//! How an adapter fares along its stream: entropy, accuracy, memory and anchors, segment by segment.

use szar_adapters::gates::entropy;
use szar_core::host::to_f64;
use szar_core::online::Online;
use szar_core::{Held, Result};
use tch::{Kind, Tensor};

use super::argmax;
use super::stream::Track;
use crate::report::{Drift, Segment};

/// Segments of a stream, at most.
const SEGMENTS: usize = 20;

/// Takes notes at the ends of the segments. The only place that holds the labels beside the memory; nothing of it
/// reaches the adapter.
pub(super) struct Course<'a> {
    labels: &'a [i64],
    /// `[C, G, d]`, the anchors that the adapter started from.
    anchors: &'a Tensor,
    classes: usize,
    ends: Vec<usize>,
    /// Those that are over.
    pub(super) segments: Vec<Segment>,
}

impl<'a> Course<'a> {
    pub(super) fn new(track: &'a Track) -> Self {
        Self {
            labels: &track.labels,
            anchors: &track.anchors.values,
            classes: track.setting.candidates.len(),
            ends: ends(&track.batches().map(|at| at.end).collect::<Vec<_>>()),
            segments: Vec::new(),
        }
    }

    /// After `position` samples.
    pub(super) fn note(&mut self, position: usize, online: &Online) -> Result<()> {
        if self.ends.get(self.segments.len()) != Some(&position) {
            return Ok(());
        }
        let (occupancy, purity) = memory(&online.held(), self.labels, self.classes);
        let scalar = |(name, values): (String, Vec<f64>)| match values.as_slice() {
            [value] if value.is_finite() => Some((name, *value)),
            _ => None,
        };
        let drift = online.moved_anchors().map(|moved| drift(&moved, self.anchors));
        self.segments.push(Segment {
            end: position,
            occupancy,
            purity,
            drift: drift.transpose()?,
            counters: online.diagnostics().into_iter().filter_map(scalar).collect(),
            ..Segment::default()
        });
        Ok(())
    }

    /// The segments, with what the scores `[n, C]` before and after say of each.
    pub(super) fn finish(&mut self, before: &Tensor, after: &Tensor) -> Vec<Segment> {
        let mut segments = std::mem::take(&mut self.segments);
        for (k, logits) in [before, after].into_iter().enumerate() {
            let (uncertainty, answers) = (to_f64(&entropy(logits)), argmax(logits));
            let mut start = 0;
            for segment in &mut segments {
                let at = start..segment.end;
                start = segment.end;
                let right = answers[at.clone()].iter().zip(&self.labels[at.clone()]);
                let right = right.filter(|(a, b)| a == b).count();
                segment.top1[k] = 100.0 * right as f64 / at.len().max(1) as f64;
                let finite: Vec<f64> = uncertainty[at]
                    .iter()
                    .copied()
                    .filter(|h| h.is_finite())
                    .collect();
                segment.entropy[k] = finite.iter().sum::<f64>() / finite.len().max(1) as f64;
            }
        }
        segments
    }
}

/// At most [`SEGMENTS`] of these ends, evenly spread, the last included.
fn ends(batches: &[usize]) -> Vec<usize> {
    let count = SEGMENTS.min(batches.len());
    (1..=count)
        .map(|k| batches[k * batches.len() / count - 1])
        .collect()
}

/// Entries per class, and the percentage of them that truly are of that class; both empty without a memory.
fn memory(held: &[Held], labels: &[i64], classes: usize) -> (Vec<usize>, Vec<Option<f64>>) {
    if held.is_empty() {
        return (Vec::new(), Vec::new());
    }
    let (mut all, mut right) = (vec![0usize; classes], vec![0usize; classes]);
    for entry in held.iter().filter(|entry| entry.class < classes) {
        all[entry.class] += 1;
        let label = usize::try_from(entry.sample.position)
            .ok()
            .and_then(|p| labels.get(p));
        right[entry.class] += usize::from(label.is_some_and(|label| *label == entry.class as i64));
    }
    let share = |(right, all): (usize, &usize)| (*all > 0).then(|| 100.0 * right as f64 / *all as f64);
    let purity = right.into_iter().zip(&all).map(share).collect();
    (all, purity)
}

/// `1 - cos` between anchors as they are, `[S, C, G, d]`, and as they were, `[C, G, d]`.
fn drift(moved: &Tensor, start: &Tensor) -> Result<Drift> {
    let want: Vec<Option<i64>> = start.size().iter().copied().map(Some).collect();
    szar_core::shape::expect("moved anchors", moved, [None, want[0], want[1], want[2]])?;
    let (moved, start) = (
        moved.to_kind(Kind::Double),
        start.to_kind(Kind::Double).unsqueeze(0),
    );
    let away = Tensor::cosine_similarity(&moved, &start, -1, 1e-12)
        .rsub_scalar(1)
        .clamp_min(0.0);
    Ok(Drift {
        mean: away.mean(Kind::Double).double_value(&[]),
        max: away.max().double_value(&[]),
    })
}

#[cfg(test)]
mod tests {
    use szar_core::SampleRef;

    use super::*;

    #[test]
    fn segments_are_whole_batches_and_end_with_the_stream() {
        let batches: Vec<usize> = (1..=45).map(|k| 4 * k).collect();
        let ends = ends(&batches);
        assert_eq!((ends.len(), ends[0], ends[19]), (20, 8, 180));
        assert_eq!(super::ends(&[64, 128, 148]), [64, 128, 148]);
        assert!(super::ends(&[]).is_empty());
    }

    #[test]
    fn purity_is_the_share_of_entries_of_the_right_class() {
        let entry = |position, class| Held {
            sample: SampleRef { stream: 0, position },
            class,
        };
        let held = [entry(0, 1), entry(1, 1), entry(2, 0), entry(9, 0)];
        let (occupancy, purity) = memory(&held, &[1, 0, 0], 3);
        assert_eq!(occupancy, [2, 2, 0]);
        // Class 0 holds sample 2, which is of class 0, and one that never was; class 1 holds samples 0 (right) and 1 (wrong).
        assert_eq!(purity, [Some(50.0), Some(50.0), None]);
    }

    #[test]
    fn a_right_angle_is_a_drift_of_one() {
        let start = Tensor::from_slice(&[1.0f32, 0.0, 0.0, 2.0]).reshape([1, 2, 2]);
        let moved = Tensor::from_slice(&[0.0f32, 3.0, 0.0, 1.0]).reshape([1, 1, 2, 2]);
        let drift = drift(&moved, &start).unwrap();
        assert!((drift.max - 1.0).abs() < 1e-12 && (drift.mean - 0.5).abs() < 1e-12);
        assert!(super::drift(&moved.squeeze(), &start).is_err());
    }
}
