//! The shift graph convolution: channels change joints, are multiplied, and change joints again.

use szar_core::{Error, NamedTensors, Result};
use tch::{Device, Kind, Tensor};

use crate::encoders::gcn::start;
use crate::encoders::layers::{Conv, Norm, channels_first, channels_last, temporal};

/// One shift graph convolution with its parameters (`gcn1` of the official names).
#[derive(Debug)]
pub(super) struct Spatial {
    /// `[C_in, C_out]`.
    pub(super) weight: Tensor,
    /// `[1, 1, C_out]`.
    pub(super) bias: Tensor,
    /// `[1, V, C_in]`.
    pub(super) mask: Tensor,
    /// `[V * C_in]`, where each channel of each joint is read before the product.
    pub(super) shift_in: Tensor,
    /// `[V * C_out]`, the same after it.
    pub(super) shift_out: Tensor,
    /// Over V * C_out channels, joint-major.
    pub(super) norm: Norm,
    /// How the input reaches the output where its channels are not as many.
    pub(super) down: Option<(Conv, Norm)>,
}

/// For channel j of joint i, in the order of `[V, C]`: channel j of joint `i + direction * j`, modulo V.
pub(super) fn shift(joints: i64, channels: i64, direction: i64) -> Tensor {
    let source = |at: i64| {
        let (joint, channel) = (at / channels, at % channels);
        (joint + direction * channel).rem_euclid(joints) * channels + channel
    };
    Tensor::from_slice(&(0..joints * channels).map(source).collect::<Vec<_>>())
}

impl Spatial {
    pub(super) fn new(joints: i64, input: i64, output: i64, device: Device) -> Self {
        let f32 = (Kind::Float, device);
        let deviation = (output as f64).sqrt().recip();
        Self {
            weight: Tensor::empty([input, output], f32)
                .normal_(0.0, deviation)
                .set_requires_grad(true),
            bias: Tensor::zeros([1, 1, output], f32).set_requires_grad(true),
            mask: Tensor::zeros([1, joints, input], f32).set_requires_grad(true),
            shift_in: shift(joints, input, 1).to_device(device),
            shift_out: shift(joints, output, -1).to_device(device),
            norm: Norm::new(joints * output, device),
            down: (input != output).then(|| (pointwise(input, output, device), Norm::new(output, device))),
        }
    }

    pub(super) fn collect(&self, prefix: &str, into: &mut NamedTensors) {
        let named = [
            ("Linear_weight", &self.weight),
            ("Linear_bias", &self.bias),
            ("Feature_Mask", &self.mask),
            ("shift_in", &self.shift_in),
            ("shift_out", &self.shift_out),
        ];
        for (name, tensor) in named {
            into.insert(format!("{prefix}.{name}"), tensor.shallow_clone());
        }
        self.norm.collect(&format!("{prefix}.bn"), into);
        if let Some((conv, norm)) = &self.down {
            conv.collect(&format!("{prefix}.down.0"), into);
            norm.collect(&format!("{prefix}.down.1"), into);
        }
    }

    /// Takes out the shifts, which are fixed.
    ///
    /// # Errors
    /// [`Error::Input`] when they differ from this network's.
    pub(super) fn accept(&self, prefix: &str, given: &mut NamedTensors) -> Result<()> {
        for (part, own) in [("shift_in", &self.shift_in), ("shift_out", &self.shift_out)] {
            let name = format!("{prefix}.{part}");
            let Some(other) = given.remove(&name) else {
                continue;
            };
            let (got, want) = (other.size(), own.size());
            let same = got == want && other.to_device(own.device()).to_kind(Kind::Int64).equal(own);
            if !same {
                return Err(Error::Input(format!(
                    "the weights shift channels between other joints: `{name}` has shape {got:?}, expected {want:?}{}",
                    if got == want { " with other values" } else { "" }
                )));
            }
        }
        Ok(())
    }

    /// `[1, V * C_in]`, what the shifted input is multiplied by.
    pub(super) fn factors(&self) -> Tensor {
        (self.mask.tanh() + 1.0).view([1, -1])
    }

    /// `[n, T, V, C_in]` to `[n, T, V, C_out]`.
    pub(super) fn train(&self, x: &Tensor, kind: Kind) -> Tensor {
        let size = x.size();
        let (frames, width) = (size[0] * size[1], size[2] * size[3]);
        let moved = x.reshape([frames, width]).index_select(1, &self.shift_in);
        let moved = (moved * self.factors().to_kind(kind)).view([-1, size[3]]);
        let bias = self.bias.view([-1]).to_kind(kind);
        let y = bias.addmm(&moved, &self.weight.to_kind(kind));
        let y = y.view([frames, -1]).index_select(1, &self.shift_out);
        let mut y = self.norm.train(&y, 1.0).view([size[0], size[1], size[2], -1]);
        let mut y = match &self.down {
            None => y.g_add_(x),
            Some((conv, norm)) => {
                let (weight, bias) = (conv.weight.to_kind(kind), conv.bias.to_kind(kind));
                let short = temporal(&channels_first(x), &weight, &bias, 1);
                y.g_add_(&channels_last(&norm.train(&short, 1.0)))
            }
        };
        y.relu_()
    }
}

/// A 1 x 1 convolution as published: from N(0, 2 / C_out), bias 0.
pub(super) fn pointwise(input: i64, output: i64, device: Device) -> Conv {
    let mut conv = Conv::new(input, output, 1, device);
    start::kaiming(&mut conv);
    conv
}
