//! The loss: two reconstructions, the distance of the codes' distributions, and the hinge.

use tch::{Kind, Tensor};

use super::Networks;
use super::config::{Contractive, HingeGradient};
use crate::aligners::pooled::{hinge, pick};

/// Constants of the loss.
#[derive(Clone, Copy, Debug)]
pub(super) struct Constants {
    pub margin: f64,
    pub kernel: f64,
    pub contractive: Contractive,
    pub contractive_weight: f64,
    pub gradient: HingeGradient,
}

/// The loss and its terms, all scalars.
pub(super) struct Losses {
    pub total: Tensor,
    /// Visual reconstruction (with the contractive term), text reconstruction, distributions, hinge.
    pub terms: [Tensor; 4],
}

/// For inputs `[B, N]`, labels `[B]` and texts `[S, d]`. The text side sees each class once: what the batch's texts add up to
/// follows from how often each class occurs.
pub(super) fn losses(
    networks: &Networks,
    inputs: &Tensor,
    text: &Tensor,
    labels: &Tensor,
    constants: &Constants,
) -> Losses {
    let own = pick(labels, text.size()[0]);
    let shares = own.mean_dim([0i64].as_slice(), false, Kind::Float);
    let visual = networks.visual.encode(inputs);
    let codes = networks.text.encode(text);
    let classes = networks.text.transform(&codes);
    let square_error =
        |x: &Tensor, y: Tensor| (x - y).square().mean_dim([-1i64].as_slice(), false, Kind::Float);
    let visual_error = square_error(inputs, networks.visual.decode(&visual)).mean(Kind::Float);
    let text_error = square_error(text, networks.text.decode(&codes)).dot(&shares);
    let compared = match constants.gradient {
        HingeGradient::Own => classes.detach(),
        HingeGradient::All => classes.shallow_clone(),
    };
    let ranked = hinge(
        &networks.visual.transform(&visual),
        &own.mm(&classes),
        &compared,
        constants.margin,
    );
    let terms = [
        visual_error + contractive(networks, inputs, constants),
        text_error,
        discrepancy(&visual, &codes, &shares, constants.kernel),
        ranked,
    ];
    Losses {
        total: terms.iter().sum(),
        terms,
    }
}

fn contractive(networks: &Networks, inputs: &Tensor, constants: &Constants) -> Tensor {
    let value = match constants.contractive {
        Contractive::Drop => return Tensor::zeros([0i64; 0], (Kind::Float, inputs.device())),
        Contractive::Constant => networks.visual.slope_of_sum(inputs).norm().detach(),
        Contractive::Jacobian => networks.visual.jacobian(inputs),
    };
    value * constants.contractive_weight
}

/// Maximum mean discrepancy between codes `[B, k]` of samples and codes `[S, k]` of classes that have these shares of the
/// samples, with the kernel `exp(−κ d²)`.
fn discrepancy(visual: &Tensor, text: &Tensor, shares: &Tensor, kernel: f64) -> Tensor {
    // Distances don't depend on the origin; about their mean the codes' squares are small, and so is their rounding.
    let origin = visual.detach().mean_dim([0i64].as_slice(), true, Kind::Float);
    let (visual, text) = (visual - &origin, text - &origin);
    let alike = |a: &Tensor, b: &Tensor| (squared_distances(a, b) * -kernel).exp();
    let between = alike(&visual, &text).mv(shares).mean(Kind::Float);
    alike(&visual, &visual).mean(Kind::Float) + alike(&text, &text).mv(shares).dot(shares) - between * 2.0
}

/// `[n, m]`.
fn squared_distances(a: &Tensor, b: &Tensor) -> Tensor {
    let squares = |x: &Tensor| x.square().sum_dim_intlist([-1i64].as_slice(), true, Kind::Float);
    let distances = squares(a) + squares(b).transpose(0, 1) - a.mm(&b.transpose(0, 1)) * 2.0;
    distances.clamp_min(0.0)
}

#[cfg(test)]
mod tests {
    use super::*;
    use tch::kind::FLOAT_CPU;

    #[test]
    fn the_discrepancy_is_that_of_the_texts_of_the_batch() {
        let (visual, codes) = (Tensor::randn([9, 3], FLOAT_CPU), Tensor::randn([4, 3], FLOAT_CPU));
        let labels = Tensor::from_slice(&[0i64, 1, 1, 3, 3, 3, 0, 0, 0]);
        let shares = pick(&labels, 4).mean_dim([0i64].as_slice(), false, Kind::Float);
        let got = discrepancy(&visual, &codes, &shares, 0.5).double_value(&[]);
        let text = codes.index_select(0, &labels);
        let kernel = |a: &Tensor, b: &Tensor| {
            let d = (a.unsqueeze(1) - b.unsqueeze(0)).square();
            (d.sum_dim_intlist([-1i64].as_slice(), false, Kind::Float) * -0.5).exp()
        };
        let blocks =
            kernel(&visual, &visual) + kernel(&text, &text) - kernel(&visual, &text) - kernel(&text, &visual);
        assert!((got - blocks.mean(Kind::Float).double_value(&[])).abs() < 1e-6);
    }
}
