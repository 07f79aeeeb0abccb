//! How the input of a layer reaches its output past what the layer computes.

use szar_core::NamedTensors;
use tch::{Device, Kind, Tensor};

use super::joints::{convolve, normalise};
use crate::encoders::layers::{Conv, Norm};

/// Past a layer: nothing, the input itself, or a product over channels with a normalisation.
#[derive(Debug)]
pub enum Shortcut {
    /// Nothing is added.
    None,
    /// The input.
    Identity,
    /// Of every `stride`-th frame, where channels or frames change.
    Conv {
        /// `[C_out, C_in, 1, 1]`.
        conv: Conv,
        /// Over `C_out` channels.
        norm: Norm,
        /// Every how many frames it keeps one.
        stride: i64,
    },
}

/// A [`Shortcut`] in evaluation mode.
#[derive(Debug)]
pub enum FoldedShortcut {
    /// Nothing is added.
    None,
    /// The input.
    Identity,
    /// The normalisation is in the product.
    Conv {
        /// `[C_out, C_in, 1, 1]`.
        weight: Tensor,
        /// `[C_out]`.
        bias: Tensor,
        /// Every how many frames it keeps one.
        stride: i64,
    },
}

impl Shortcut {
    /// The input where sizes allow, else a product. Started as published: from N(0, 2 / C_out), bias 0.
    pub fn new(input: i64, output: i64, stride: i64, device: Device) -> Self {
        if input == output && stride == 1 {
            return Self::Identity;
        }
        let mut conv = Conv::new(input, output, 1, device);
        super::start::kaiming(&mut conv);
        Self::Conv {
            conv,
            norm: Norm::new(output, device),
            stride,
        }
    }

    /// Adds convolution and normalisation under these names.
    pub fn collect(&self, conv_name: &str, norm_name: &str, into: &mut NamedTensors) {
        if let Self::Conv { conv, norm, .. } = self {
            conv.collect(conv_name, into);
            norm.collect(norm_name, into);
        }
    }

    /// Training mode: the shortcut of `x` `[n, V, T, C_in]`, `[n, V, T', C_out]`.
    pub fn train(&self, x: &Tensor, kind: Kind) -> Option<Tensor> {
        match self {
            Self::None => None,
            Self::Identity => Some(x.shallow_clone()),
            Self::Conv { conv, norm, stride } => {
                let (weight, bias) = (conv.weight.to_kind(kind), conv.bias.to_kind(kind));
                Some(normalise(&convolve(x, &weight, &bias, *stride, 1), norm))
            }
        }
    }

    /// Training mode: adds the shortcut of `x` `[n, V, T, C_in]` to `y` `[n, V, T', C_out]`, which nothing else needs.
    pub fn add_in_training(&self, mut y: Tensor, x: &Tensor, kind: Kind) -> Tensor {
        match self.train(x, kind) {
            None => y,
            Some(short) => y.g_add_(&short),
        }
    }

    /// As it is evaluated.
    pub fn fold(&self, kind: Kind) -> FoldedShortcut {
        match self {
            Self::None => FoldedShortcut::None,
            Self::Identity => FoldedShortcut::Identity,
            Self::Conv { conv, norm, stride } => {
                let (weight, bias) = conv.followed_by(&norm.affine());
                FoldedShortcut::Conv {
                    weight: weight.to_kind(kind),
                    bias: bias.to_kind(kind),
                    stride: *stride,
                }
            }
        }
    }
}

impl FoldedShortcut {
    /// The shortcut of `x` `[n, V, T, C_in]`, `[n, V, T', C_out]`.
    pub fn of(&self, x: &Tensor) -> Option<Tensor> {
        match self {
            Self::None => None,
            Self::Identity => Some(x.shallow_clone()),
            Self::Conv { weight, bias, stride } => Some(convolve(x, weight, bias, *stride, 1)),
        }
    }

    /// Adds the shortcut of `x` `[n, V, T, C_in]` to `y` `[n, V, T', C_out]`.
    pub fn add(&self, mut y: Tensor, x: &Tensor) -> Tensor {
        match self.of(x) {
            None => y,
            Some(short) => y.g_add_(&short),
        }
    }
}
