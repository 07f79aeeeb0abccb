//! Attention, head and the scalars of the loss: everything that is learned.

use std::f64::consts::LN_10;

use szar_core::checkpoint::copy_into;
use szar_core::{Error, NamedTensors, Result};
use tch::{Device, Kind, Tensor};

use super::attention::Attention;
use super::head::{Head, Pass};

/// Sizes of the network.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Shape {
    /// N.
    pub channels: i64,
    /// d.
    pub width: i64,
    /// L, number of slots.
    pub slots: i64,
    pub hidden: i64,
    /// Heads and key width; `None` where slots are pooled without attention.
    pub attention: Option<(i64, i64)>,
    /// A learned weight per slot in the loss.
    pub weighted: bool,
}

/// The learned part.
#[derive(Debug)]
pub(super) struct Network {
    pub shape: Shape,
    /// `[L]`, multiplies the similarities in the loss.
    pub tmps: Tensor,
    /// `[L]`, weighs the losses of the slots.
    pub d: Option<Tensor>,
    attention: Option<Attention>,
    pub head: Head,
}

impl Network {
    /// Random weights from libtorch's generator.
    pub fn new(shape: Shape, device: Device) -> Self {
        let Shape {
            channels,
            width,
            slots,
            hidden,
            attention,
            weighted,
        } = shape;
        let options = (Kind::Float, device);
        let ln_inverse_temperature = 2.0 * LN_10 - 7f64.ln(); // ln(1 / 0.07)
        Self {
            shape,
            tmps: Tensor::full([slots], ln_inverse_temperature, options),
            d: weighted.then(|| Tensor::ones([slots], options)),
            attention: attention.map(|(heads, key)| Attention::new(channels, width, heads, key, device)),
            head: Head::new(slots, channels, hidden, width, device),
        }
    }

    /// Parameters and buffers under their official names.
    pub fn state(&self) -> NamedTensors {
        let mut state = NamedTensors::new();
        state.insert("tmps".into(), self.tmps.shallow_clone());
        if let Some(d) = &self.d {
            state.insert("d".into(), d.shallow_clone());
        }
        if let Some(attention) = &self.attention {
            attention.state(&mut state);
        }
        self.head.state(&mut state);
        state
    }

    /// The learned ones among [`Self::state`].
    pub fn parameters(&self) -> NamedTensors {
        let buffer = |name: &str| name.contains(".running_") || name.ends_with(".num_batches_tracked");
        self.state()
            .into_iter()
            .filter(|(name, _)| !buffer(name))
            .collect()
    }

    /// Takes over weights.
    ///
    /// # Errors
    /// When names or shapes differ.
    pub fn load(&self, state: &NamedTensors) -> Result<()> {
        copy_into(&self.state(), state, |_| false)
    }

    /// Turns gradients of the parameters on or off.
    pub fn train(&self, on: bool) {
        for parameter in self.parameters().values() {
            let _ = parameter.set_requires_grad(on);
        }
    }

    /// The attention, which only the adaptive partition has.
    ///
    /// # Errors
    /// [`Error::Missing`].
    pub fn attention(&self) -> Result<&Attention> {
        self.attention
            .as_ref()
            .ok_or_else(|| Error::Missing("the attention of `purls`".into()))
    }

    /// `[B, L·N]`: the slots of each sample, each seen by its own queries.
    ///
    /// `seen` is nodes `[B, P, N]` with attention, and slots `[B, L, N]` without, where the probes have no part.
    pub fn fuse(&self, seen: &Tensor, probes: Option<&Tensor>) -> Result<Tensor> {
        let fused = match probes {
            Some(probes) => self.attention()?.weights(probes, seen).bmm(seen),
            None => seen.shallow_clone(),
        };
        Ok(fused.reshape([-1, self.shape.slots * self.shape.channels]))
    }

    /// `[n, L, d]` from the slots `[n, L·N]`.
    pub fn project(&self, fused: &Tensor, pass: &Pass) -> Tensor {
        self.head.forward(fused, pass)
    }
}
