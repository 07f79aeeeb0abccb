//! The estimate of mutual information, and the demand that a masked motion tells less.

use tch::{Kind, Tensor};

use super::discriminator::Discriminator;
use crate::aligners::pooled::pick;

/// Constants of the temporal demand.
#[derive(Clone, Copy, Debug)]
pub(super) struct Constants {
    pub margin: f64,
    pub temporal_weight: f64,
}

/// The loss and its terms, all scalars.
pub(super) struct Losses {
    pub total: Tensor,
    /// Information of the whole motions.
    pub whole: Tensor,
    /// Information of the masked motions, and by how much the demand fails; with masked motions only.
    pub temporal: Option<(Tensor, Tensor)>,
}

/// Features normalised over their channels, without scale and shift.
pub(super) fn layer_norm(features: &Tensor) -> Tensor {
    let none: Option<&Tensor> = None;
    let channels = features.size().last().copied().unwrap_or(0);
    features.layer_norm([channels], none, none, 1e-5, false)
}

/// `I = mean(−softplus(−T(v_i, t_i))) − mean(softplus(T(v_{i+1}, t_i)))`, the Jensen-Shannon estimate on a batch whose
/// mismatched pairs are those of the next sample's feature; `I'` the same with masked features in the matching pairs alone. The
/// loss is `−I + w max(0, margin − (I − I'))`.
///
/// `features`, `masked` `[B, N]` normalised, `text` `[S, d]` rows of length 1, `labels` `[B]`.
pub(super) fn losses(
    net: &Discriminator,
    features: &Tensor,
    masked: Option<&Tensor>,
    text: &Tensor,
    labels: &Tensor,
    constants: &Constants,
) -> Losses {
    let batch = features.size()[0];
    let texts = pick(labels, text.size()[0]).mm(&net.of_texts(text));
    // One product for all features, since the gradient of each is a weight's size.
    let parts = match masked {
        None => net.of_features(features),
        Some(masked) => net.of_features(&Tensor::cat(&[features, masked], 0)),
    };
    let parts = parts.split(batch, 0);
    let next = parts[0].roll([-1i64].as_slice(), [0i64].as_slice());
    let pairs = [&parts[0], &next].into_iter().chain(&parts[1..]);
    let sums: Vec<Tensor> = pairs.map(|part| part + &texts).collect();
    let judged = net.judge(Tensor::cat(&sums, 0)).split(batch, 0);
    let matching = |t: &Tensor| t.log_sigmoid().mean(Kind::Float);
    let mismatched = judged[1].softplus().mean(Kind::Float);
    let whole = matching(&judged[0]) - &mismatched;
    let Some(judged) = judged.get(2) else {
        return Losses {
            total: -&whole,
            whole,
            temporal: None,
        };
    };
    let part = matching(judged) - &mismatched;
    let failing = (constants.margin - (&whole - &part)).relu();
    Losses {
        total: &failing * constants.temporal_weight - &whole,
        whole,
        temporal: Some((part, failing)),
    }
}
