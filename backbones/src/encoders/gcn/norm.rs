//! The batch normalisation of a network's input.

use szar_core::NamedTensors;
use tch::{Device, Kind, Tensor, no_grad};

use super::persons::index;
use crate::encoders::layers::Norm;

/// Batch normalisation over joints and coordinates, with statistics that persons share or that each place among the
/// persons of a sample has of its own.
#[derive(Debug)]
pub struct InputNorm {
    /// Over `places * W * C` channels; places, then joints, then coordinates.
    norm: Norm,
    places: i64,
}

/// [`InputNorm`] in evaluation mode: `x * scale + shift`, each `[places, 1, W, C]`.
#[derive(Debug)]
pub struct InputAffine {
    scale: Tensor,
    shift: Tensor,
}

impl InputNorm {
    /// Statistics that all persons share, over `width` = W * C channels (ST-GCN).
    pub fn shared(width: i64, device: Device) -> Self {
        Self::per_person(1, width, device)
    }

    /// Statistics of each of M places (2s-AGCN and what followed it).
    pub fn per_person(persons: i64, width: i64, device: Device) -> Self {
        Self {
            norm: Norm::new(persons * width, device),
            places: persons,
        }
    }

    /// Training mode: `x` `[n, T, W, C]`, normalised by the batch; moves the running statistics.
    pub fn train(&self, x: &Tensor, slots: &[i64]) -> Tensor {
        let size = x.size();
        let (n, t, width) = (size[0], size[1], size[2] * size[3]);
        if self.places == 1 {
            return self
                .norm
                .train(&x.reshape([n * t, width]), 1.0)
                .view(size.as_slice());
        }
        let whole = slots
            .iter()
            .enumerate()
            .all(|(i, slot)| i as i64 % self.places == *slot)
            && n % self.places == 0;
        if whole {
            // [B, M, T, ..] with a channel for every place, joint and coordinate.
            let by_place = x.view([n / self.places, self.places, t, width]).transpose(1, 2);
            let flat = by_place.reshape([n / self.places * t, self.places * width]);
            let flat = self.norm.train(&flat, 1.0);
            let back = flat
                .view([n / self.places, t, self.places, width])
                .transpose(1, 2);
            return back.reshape(size.as_slice());
        }
        self.norm.count();
        let mut parts = Vec::new();
        let mut order = vec![0i64; slots.len()];
        let mut at = 0;
        for place in 0..self.places {
            let rows: Vec<i64> = (0..n).filter(|row| slots[*row as usize] == place).collect();
            if rows.is_empty() {
                continue;
            }
            for row in &rows {
                order[*row as usize] = at;
                at += 1;
            }
            let own = x.index_select(0, &index(&rows, x.device()));
            let own = own.reshape([rows.len() as i64 * t, width]);
            let own = self.norm.train_channels(&own, place * width, width);
            parts.push(own.view([rows.len() as i64, t, size[2], size[3]]));
        }
        Tensor::cat(&parts, 0).index_select(0, &index(&order, x.device()))
    }

    /// Evaluation mode, for inputs `[n, T, W, C]`.
    pub fn affine(&self, coordinates: i64) -> InputAffine {
        let (scale, shift) = no_grad(|| self.norm.affine());
        let places = |x: &Tensor| x.view([self.places, 1, -1, coordinates]);
        InputAffine {
            scale: places(&scale),
            shift: places(&shift),
        }
    }

    /// Adds parameters and statistics under `prefix`.
    pub fn collect(&self, prefix: &str, into: &mut NamedTensors) {
        self.norm.collect(prefix, into);
    }

    /// Of statistics made for more persons than there are here, those of the first persons.
    pub fn fit_persons(&self, prefix: &str, given: &mut NamedTensors) {
        let own = self.norm.weight.size()[0];
        for part in ["weight", "bias", "running_mean", "running_var"] {
            if let Some(tensor) = given.get_mut(&format!("{prefix}.{part}")) {
                let size = tensor.size();
                let width = own / self.places;
                if size.len() == 1 && size[0] > own && size[0] % width == 0 && self.places > 0 {
                    *tensor = tensor.narrow(0, 0, own);
                }
            }
        }
    }
}

impl InputAffine {
    /// `x` `[n, T, W, C]`, row i in place `slots[i]`.
    pub fn apply(&self, x: &Tensor, slots: &[i64]) -> Tensor {
        if self.scale.size()[0] == 1 {
            return x * &self.scale + &self.shift;
        }
        let rows = index(slots, x.device());
        let of = |table: &Tensor| table.index_select(0, &rows);
        (x.to_kind(Kind::Float) * of(&self.scale)).g_add(&of(&self.shift))
    }
}
