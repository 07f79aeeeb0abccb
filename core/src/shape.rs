//! Shape checks for where data enters a component.

use tch::Tensor;

use crate::{Error, Result};

/// Refuses a tensor whose shape differs from `want`; `None` allows any size.
///
/// # Errors
/// [`Error::Shape`] with the name, the shape found and the shape expected.
pub fn expect<const D: usize>(what: &str, tensor: &Tensor, want: [Option<i64>; D]) -> Result<()> {
    sizes(what, tensor, want).map(|_| ())
}

/// The shape of a tensor that fits `want`, as [`expect`] sees it.
///
/// # Errors
/// As [`expect`].
pub fn sizes<const D: usize>(what: &str, tensor: &Tensor, want: [Option<i64>; D]) -> Result<[i64; D]> {
    let got = tensor.size();
    if let Ok(found) = <[i64; D]>::try_from(got.as_slice())
        && found.iter().zip(want).all(|(g, w)| w.is_none_or(|w| w == *g))
    {
        return Ok(found);
    }
    let want: Vec<String> = want
        .iter()
        .map(|w| w.map_or("_".into(), |w| w.to_string()))
        .collect();
    Err(Error::Shape {
        what: what.into(),
        got,
        want: format!("[{}]", want.join(", ")),
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use tch::kind::FLOAT_CPU;

    #[test]
    fn a_wrong_size_is_named() {
        let error = expect("logits", &Tensor::zeros([2, 5], FLOAT_CPU), [None, Some(12)]).unwrap_err();
        assert_eq!(error.to_string(), "`logits` has shape [2, 5], expected [_, 12]");
    }

    #[test]
    fn a_wrong_rank_is_refused() {
        assert!(expect("x", &Tensor::zeros([2], FLOAT_CPU), [None, None]).is_err());
    }
}
