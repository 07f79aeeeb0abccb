//! One sample out of many views of it, as the released code does for augmented images.

use szar_core::{Error, Result, shape};
use tch::{Kind, Tensor};

/// What the most certain views of a sample say together.
#[derive(Debug)]
pub struct Selected {
    /// `[D]`, mean of their vectors, not scaled to length 1 again.
    pub key: Tensor,
    /// `[C]`, mean of their logits.
    pub logits: Tensor,
    /// `[C]`, mean of their posteriors.
    pub posterior: Tensor,
}

/// Keeps the `share` of the views with the lowest entropy, rounded down, and averages them.
///
/// # Shapes
/// - `keys`: `[V, D]`; `logits`: `[V, C]`
///
/// # Errors
/// [`Error::Shape`] when the two do not fit; [`Error::Input`] when `share` is not in `0 ..= 1` or leaves no view.
pub fn select_views(keys: &Tensor, logits: &Tensor, share: f64) -> Result<Selected> {
    shape::expect("logits", logits, [None, None])?;
    let views = logits.size()[0];
    shape::expect("keys", keys, [Some(views), None])?;
    let chosen = (views as f64 * share) as i64;
    if !(0.0..=1.0).contains(&share) || chosen < 1 {
        return Err(Error::Input(format!(
            "a share of {share} of {views} views leaves none to average"
        )));
    }
    let log = logits.to_kind(Kind::Float).log_softmax(1, Kind::Float);
    let entropy = -(log.exp() * log).sum_dim_intlist([1i64].as_slice(), false, Kind::Float);
    let best = entropy.argsort_stable(true, 0, false).narrow(0, 0, chosen);
    let mean = |t: &Tensor| {
        t.index_select(0, &best)
            .mean_dim([0i64].as_slice(), false, Kind::Float)
    };
    Ok(Selected {
        key: mean(keys),
        logits: mean(logits),
        posterior: mean(&logits.softmax(1, Kind::Float)),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_most_certain_views_are_averaged() {
        let logits = Tensor::from_slice(&[0.0f32, 0.1, 9.0, 0.0, 0.0, 5.0]).view([3, 2]);
        let keys = Tensor::from_slice(&[1.0f32, 2.0, 4.0]).view([3, 1]);
        let two = select_views(&keys, &logits, 0.67).unwrap();
        assert_eq!(two.key.double_value(&[0]), 3.0);
        assert_eq!(two.logits.double_value(&[0]), 4.5);
        let error = select_views(&keys, &logits, 0.1).unwrap_err().to_string();
        assert_eq!(error, "a share of 0.1 of 3 views leaves none to average");
    }
}
