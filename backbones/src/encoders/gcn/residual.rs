//! How a block's input `[n, T, V, C]` reaches its output past the block.

use szar_core::NamedTensors;
use tch::{Kind, Tensor};

use crate::encoders::layers::{Conv, Norm, channels_first, temporal};

/// Past a block: nothing, the input itself, or a convolution over frames with a normalisation.
#[derive(Debug)]
pub enum Residual {
    /// Nothing is added.
    None,
    /// The input.
    Identity,
    /// Where channels or frames change.
    Conv {
        /// `[C_out, C_in, kernel, 1]`.
        conv: Conv,
        /// Over `C_out` channels.
        norm: Norm,
        /// Every how many frames it keeps one.
        stride: i64,
    },
}

/// A [`Residual`] in evaluation mode.
#[derive(Debug)]
pub enum FoldedResidual {
    /// Nothing is added.
    None,
    /// The input.
    Identity,
    /// The normalisation is in the convolution.
    Conv {
        /// `[C_out, C_in, kernel, 1]`.
        weight: Tensor,
        /// `[C_out]`.
        bias: Tensor,
        /// Every how many frames it keeps one.
        stride: i64,
    },
}

impl Residual {
    /// The input where sizes allow, else `conv` with a fresh normalisation.
    pub fn new(input: i64, output: i64, stride: i64, conv: impl FnOnce() -> Conv) -> Self {
        if input == output && stride == 1 {
            return Self::Identity;
        }
        let conv = conv();
        let norm = Norm::new(output, conv.weight.device());
        Self::Conv { conv, norm, stride }
    }

    /// Adds parameters and statistics under `prefix.conv` and `prefix.bn`.
    pub fn collect(&self, prefix: &str, into: &mut NamedTensors) {
        if let Self::Conv { conv, norm, .. } = self {
            conv.collect(&format!("{prefix}.conv"), into);
            norm.collect(&format!("{prefix}.bn"), into);
        }
    }

    /// Training mode: adds what becomes of `x` `[n, T, V, C_in]` to `y` `[n, C_out, T', V]`, which nothing else needs.
    pub fn add_in_training(&self, mut y: Tensor, x: &Tensor, kind: Kind) -> Tensor {
        match self {
            Self::None => y,
            Self::Identity => y.g_add_(&channels_first(x)),
            Self::Conv { conv, norm, stride } => {
                let (weight, bias) = (conv.weight.to_kind(kind), conv.bias.to_kind(kind));
                let short = temporal(&channels_first(x), &weight, &bias, *stride);
                y.g_add_(&norm.train(&short, 1.0))
            }
        }
    }

    /// As it is evaluated.
    pub fn fold(&self, kind: Kind) -> FoldedResidual {
        match self {
            Self::None => FoldedResidual::None,
            Self::Identity => FoldedResidual::Identity,
            Self::Conv { conv, norm, stride } => {
                let (weight, bias) = conv.followed_by(&norm.affine());
                FoldedResidual::Conv {
                    weight: weight.to_kind(kind),
                    bias: bias.to_kind(kind),
                    stride: *stride,
                }
            }
        }
    }
}

impl FoldedResidual {
    /// Adds what becomes of `x` `[n, T, V, C_in]` to `y` `[n, C_out, T', V]`.
    pub fn add(&self, mut y: Tensor, x: &Tensor) -> Tensor {
        match self {
            Self::None => y,
            Self::Identity => y.g_add_(&channels_first(x)),
            Self::Conv { weight, bias, stride } => {
                y.g_add_(&temporal(&channels_first(x), weight, bias, *stride))
            }
        }
    }
}
