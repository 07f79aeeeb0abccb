//! Which views a sample is tuned by.

use super::objective::entropy;

/// Which views are kept.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Selection {
    /// The share of all views with the lowest entropy (TPT).
    Confident {
        /// Above 0, at most 1; rounded down to whole views.
        share: f64,
    },
    /// Of the views other than the sample, first the share whose logits point most in the direction of the sample's; of
    /// the sample and these, the share with the lowest entropy (DiffTPT).
    SimilarThenConfident {
        /// Above 0, at most 1; rounded down to whole views.
        similar: f64,
        /// Above 0, at most 1; rounded down to whole views.
        share: f64,
    },
}

impl Selection {
    /// The shares by the names of their options.
    pub(super) fn shares(&self) -> Vec<(&'static str, f64)> {
        match *self {
            Self::Confident { share } => vec![("selection", share)],
            Self::SimilarThenConfident { similar, share } => vec![("similar", similar), ("selection", share)],
        }
    }

    /// Numbers of the kept views, ascending, from logits `[V, C]` that are multiplied by `scale`; at least `least` of
    /// the candidates for it. Equal views go by their numbers.
    pub(super) fn kept(&self, logits: &[f32], classes: usize, scale: f64, least: usize) -> Vec<usize> {
        let row = |view: usize| &logits[view * classes..][..classes];
        let views = logits.len() / classes.max(1);
        let (mut candidates, share): (Vec<usize>, f64) = match *self {
            Self::Confident { share } => ((0..views).collect(), share),
            Self::SimilarThenConfident { similar, share } => {
                let mut others: Vec<usize> = (1..views).collect();
                // The direction alone counts, so that the scale does not matter here.
                best(&mut others, part(similar, views.saturating_sub(1)), |view| {
                    -cosine(row(view), row(0))
                });
                others.insert(0, 0);
                (others, share)
            }
        };
        let count = part(share, candidates.len()).max(least).min(candidates.len());
        best(&mut candidates, count, |view| entropy(row(view), scale));
        candidates.sort_unstable();
        candidates
    }
}

/// `int(share · count)`.
fn part(share: f64, count: usize) -> usize {
    (share * count as f64) as usize
}

/// Leaves the `count` views of lowest cost.
fn best(views: &mut Vec<usize>, count: usize, cost: impl Fn(usize) -> f64) {
    let mut costs: Vec<(f64, usize)> = views.iter().map(|view| (cost(*view), *view)).collect();
    costs.sort_by(|a, b| a.0.total_cmp(&b.0).then(a.1.cmp(&b.1)));
    views.clear();
    views.extend(costs.iter().take(count).map(|(_, view)| *view));
}

/// Cosine of two rows; 0 where one of them has no length.
fn cosine(a: &[f32], b: &[f32]) -> f64 {
    let dot =
        |a: &[f32], b: &[f32]| -> f64 { a.iter().zip(b).map(|(a, b)| f64::from(*a) * f64::from(*b)).sum() };
    let lengths = dot(a, a).sqrt() * dot(b, b).sqrt();
    if lengths > 0.0 { dot(a, b) / lengths } else { 0.0 }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Logits of views over two classes: the larger the first value, the surer.
    fn views(first: &[f32]) -> Vec<f32> {
        first.iter().flat_map(|z| [*z, 0.0]).collect()
    }

    #[test]
    fn the_share_is_rounded_down_and_the_surest_are_kept() {
        let logits = views(&[0.1, 3.0, 0.2, 5.0, 0.3, 0.4, 4.0, 0.0, 0.6, 0.7]);
        let kept = |share: f64, least: usize| Selection::Confident { share }.kept(&logits, 2, 1.0, least);
        assert_eq!(kept(0.39, 1), [1, 3, 6]);
        assert_eq!(kept(0.05, 1), [3]);
        assert_eq!(kept(0.05, 0), [0usize; 0]);
        assert_eq!(kept(1.0, 1).len(), 10);
    }

    #[test]
    fn equal_views_go_by_their_numbers() {
        assert_eq!(
            Selection::Confident { share: 0.5 }.kept(&views(&[1.0; 6]), 2, 1.0, 1),
            [0, 1, 2]
        );
    }

    #[test]
    fn the_similar_are_chosen_before_the_sure() {
        // Directions: view 0 along the first class; 1 and 2 near it, 3 and 4 (the surest) opposite.
        let logits = [1.0, 0.0, 2.0, 0.1, 3.0, 0.2, 0.0, 9.0, -9.0, 0.0];
        let both = Selection::SimilarThenConfident {
            similar: 0.5,
            share: 0.67,
        };
        assert_eq!(both.kept(&logits, 2, 1.0, 1), [1, 2]); // of 0, 1, 2: int(0.67 · 3) = 2
    }
}
