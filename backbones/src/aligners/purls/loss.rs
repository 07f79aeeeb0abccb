//! The contrastive losses.

use tch::{Kind, Tensor};

use super::config::Loss;

/// Texts and labels of a batch.
pub(super) struct Targets<'a> {
    /// `[S, L, d]`, texts of all seen classes.
    pub text: &'a Tensor,
    /// `[B]` i64.
    pub labels: &'a Tensor,
}

/// `[L]`: the loss of every slot for projected vectors `[B, L, d]`, before any weighting.
pub(super) fn terms(loss: Loss, projected: &Tensor, targets: &Targets, tmps: &Tensor) -> Tensor {
    match loss {
        Loss::Official => official(projected, targets, tmps),
        Loss::ClassAware => class_aware(projected, targets, tmps),
    }
}

/// Cross entropy over the batch in both directions; the i-th text belongs to the i-th vector, every other one is a
/// negative. Official code of PURLS.
fn official(projected: &Tensor, targets: &Targets, tmps: &Tensor) -> Tensor {
    let text = targets.text.index_select(0, targets.labels); // [B, L, d]
    let logits = by_slot(projected).bmm(&by_slot(&text).transpose(1, 2)) * tmps.view([-1, 1, 1]);
    let own = |dim: i64| {
        let right = logits.log_softmax(dim, Kind::Float).diagonal(0, 1, 2);
        -right.mean_dim([-1i64].as_slice(), false, Kind::Float)
    };
    own(-1) + own(-2)
}

/// Cosines times `exp(tmps)`: half the cross entropy over the seen classes, half that of each sample's text over the batch
/// with all samples of the class as equal positives. PURLS, eq. 5, with the classes told apart.
fn class_aware(projected: &Tensor, targets: &Targets, tmps: &Tensor) -> Tensor {
    let (vectors, text) = (by_slot(&unit(projected)), by_slot(&unit(targets.text)));
    let logits = vectors.bmm(&text.transpose(1, 2)) * tmps.exp().view([-1, 1, 1]); // [L, B, S]
    let mean = |x: Tensor| x.mean_dim([-1i64].as_slice(), false, Kind::Float);
    let classes = targets.text.size()[0];
    let is_class = targets.labels.one_hot(classes).to_kind(Kind::Float); // [B, S]
    let among_classes = -(logits.log_softmax(-1, Kind::Float) * &is_class);
    let among_classes = mean(among_classes.sum_dim_intlist([-1i64].as_slice(), false, Kind::Float));
    // Over the samples: a class that occurs k times has k positives of weight 1/k and counts k times.
    let among_samples = -(logits.log_softmax(-2, Kind::Float) * &is_class);
    let among_samples = mean(among_samples.sum_dim_intlist([-1i64].as_slice(), false, Kind::Float));
    (among_classes + among_samples) * 0.5
}

fn unit(x: &Tensor) -> Tensor {
    x / x.norm_scalaropt_dim(2, [-1i64].as_slice(), true).clamp_min(1e-8)
}

/// `[n, L, d]` to `[L, n, d]`.
fn by_slot(x: &Tensor) -> Tensor {
    x.transpose(0, 1)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn by_hand(loss: Loss, vectors: &[f32], labels: &[i64], tmps: f32) -> f64 {
        let text = Tensor::from_slice(&[1f32, 0.0, 0.0, 1.0]).view([2, 1, 2]);
        let labels = Tensor::from_slice(labels);
        let projected = Tensor::from_slice(vectors).view([-1, 1, 2]);
        let targets = Targets {
            text: &text,
            labels: &labels,
        };
        terms(loss, &projected, &targets, &Tensor::from_slice(&[tmps])).double_value(&[0])
    }

    #[test]
    fn two_samples_of_one_class_are_negatives_of_each_other_officially() {
        // Both texts are (1, 0): every row and column of the 2 x 2 logits is even, ln 2 in each direction.
        let loss = by_hand(Loss::Official, &[0.5, 0.3, 0.5, -0.8], &[0, 0], 2.0);
        assert!((loss - 2.0 * 2f64.ln()).abs() < 1e-6, "{loss}");
    }

    #[test]
    fn two_samples_of_one_class_are_both_right_when_class_aware() {
        // Cosines (1, 0) with scale 2: over the classes ln(1 + e^-2), over the batch ln 2 with two positives.
        let loss = by_hand(Loss::ClassAware, &[0.5, 0.0, 0.9, 0.0], &[0, 0], 2f32.ln());
        let want = 0.5 * ((1.0 + (-2f64).exp()).ln() + 2f64.ln());
        assert!((loss - want).abs() < 1e-6, "{loss} {want}");
    }
}
