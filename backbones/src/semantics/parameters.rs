//! What the text networks share: parameters taken from a state dict by name, the two layers they are made of, and
//! rows of length 1.

use szar_core::NamedTensors;
use tch::{Device, Kind, Tensor};

/// `x Wᵀ + b`.
#[derive(Debug)]
pub(super) struct Linear {
    pub(super) weight: Tensor,
    pub(super) bias: Tensor,
}

impl Linear {
    pub(super) fn forward(&self, x: &Tensor) -> Tensor {
        x.linear(&self.weight, Some(&self.bias))
    }

    /// Layers of one input as one product, outputs side by side.
    pub(super) fn joined<const N: usize>(layers: &[Linear; N]) -> Self {
        let join = |pick: fn(&Linear) -> &Tensor| Tensor::cat(&layers.each_ref().map(pick), 0);
        Self {
            weight: join(|l| &l.weight),
            bias: join(|l| &l.bias),
        }
    }
}

/// Layer normalisation over the last dimension.
#[derive(Debug)]
pub(super) struct Norm {
    weight: Tensor,
    bias: Tensor,
    eps: f64,
}

impl Norm {
    pub(super) fn forward(&self, x: &Tensor) -> Tensor {
        let width = self.weight.size();
        x.layer_norm(width, Some(&self.weight), Some(&self.bias), self.eps, true)
    }
}

/// Takes weights by name, frozen, and gathers what is missing or of another shape.
pub(super) struct Taker<'a> {
    from: &'a NamedTensors,
    device: Device,
    wrong: Vec<String>,
}

impl<'a> Taker<'a> {
    pub(super) fn new(from: &'a NamedTensors, device: Device) -> Self {
        Self {
            from,
            device,
            wrong: Vec::new(),
        }
    }

    pub(super) fn take(&mut self, name: &str, want: &[i64]) -> Tensor {
        match self.from.get(name) {
            None => self.wrong.push(format!("`{name}` is missing")),
            Some(t) if t.size() != want => {
                self.wrong
                    .push(format!("`{name}` has shape {:?}, expected {want:?}", t.size()));
            }
            Some(t) => return t.detach().to_device(self.device).to_kind(Kind::Float),
        }
        Tensor::zeros([0], (Kind::Float, self.device))
    }

    pub(super) fn linear(&mut self, name: &str, rows: i64, columns: i64) -> Linear {
        Linear {
            weight: self.take(&format!("{name}.weight"), &[rows, columns]),
            bias: self.take(&format!("{name}.bias"), &[rows]),
        }
    }

    pub(super) fn norm(&mut self, name: &str, width: i64, eps: f64) -> Norm {
        Norm {
            weight: self.take(&format!("{name}.weight"), &[width]),
            bias: self.take(&format!("{name}.bias"), &[width]),
            eps,
        }
    }

    /// What is missing or of another shape, as a sentence.
    pub(super) fn finish(self) -> Result<(), String> {
        let mut wrong = self.wrong;
        if wrong.is_empty() {
            return Ok(());
        }
        let more = wrong.len().saturating_sub(8);
        wrong.truncate(8);
        let rest = if more > 0 {
            format!("; and {more} more")
        } else {
            String::new()
        };
        Err(format!(
            "weights do not fit `config.json`: {}{rest}",
            wrong.join("; ")
        ))
    }
}

/// Rows of length 1.
pub(super) fn unit(x: &Tensor) -> Tensor {
    let length = x
        .square()
        .sum_dim_intlist([-1i64].as_slice(), true, Kind::Float)
        .sqrt();
    x / length.clamp_min(1e-12)
}

/// Random parameters for tests, from a generator of their own: libtorch's is shared by all tests of the process.
#[cfg(test)]
pub(super) fn random(rng: &mut impl rand::Rng, shape: &[i64]) -> Tensor {
    use rand::RngExt;
    // Uniform with standard deviation 0.3.
    let numbers: Vec<f32> = (0..shape.iter().product())
        .map(|_| 1.04 * (rng.random::<f32>() - 0.5))
        .collect();
    Tensor::from_slice(&numbers).reshape(shape)
}
