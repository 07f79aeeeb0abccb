//! The training steps of golden cases.

use szar_core::optim::Optimiser;
use szar_core::{NamedTensors, Result};
use tch::Tensor;

/// Takes `count` steps, each on what `step` gives: the loss and its terms. Records losses, terms, the first gradients and
/// the parameters after every step, under the names of the golden cases.
pub fn steps(
    count: i64,
    parameters: &NamedTensors,
    optimisers: &mut [Optimiser],
    lr: f64,
    step: impl Fn(i64) -> Result<(Tensor, Tensor)>,
) -> Result<NamedTensors> {
    let mut out = NamedTensors::new();
    let (mut losses, mut terms) = (Vec::new(), Vec::new());
    for at in 0..count {
        let (loss, parts) = step(at)?;
        optimisers.iter_mut().for_each(Optimiser::zero_grad);
        loss.backward();
        if at == 0 {
            let grads = parameters.iter();
            out.extend(grads.map(|(name, p)| (format!("grad0/{name}"), p.grad().copy())));
        }
        optimisers.iter_mut().for_each(|o| o.step(lr));
        losses.push(loss.detach().view([1]));
        terms.push(parts.detach());
        let state = parameters.iter();
        out.extend(state.map(|(name, t)| (format!("after{}/{name}", at + 1), t.detach().copy())));
    }
    out.insert("loss".into(), Tensor::cat(&losses, 0));
    out.insert("loss_terms".into(), Tensor::stack(&terms, 0));
    Ok(out)
}
