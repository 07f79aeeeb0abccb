//! How the published code of 2s-AGCN and CTR-GCN starts its weights.

use tch::{Device, Kind, Tensor, no_grad};

use crate::encoders::layers::{Conv, Norm};

/// Convolution from N(0, 2 / fan out), bias 0.
pub fn kaiming(conv: &mut Conv) {
    let size = conv.weight.size();
    let fan_out = size[0] * size.iter().skip(2).product::<i64>();
    normal(conv, (2.0 / fan_out as f64).sqrt());
}

/// Weights from N(0, deviation²), bias 0.
pub fn normal(conv: &mut Conv, deviation: f64) {
    no_grad(|| {
        let _ = conv.weight.normal_(0.0, deviation);
        let _ = conv.bias.zero_();
    });
}

/// Weights of a normalisation all at one value.
pub fn constant(norm: &mut Norm, value: f64) {
    no_grad(|| {
        let _ = norm.weight.fill_(value);
    });
}

/// A parameter of its own with these values.
pub fn parameter(values: &Tensor) -> Tensor {
    no_grad(|| values.copy()).set_requires_grad(true)
}

/// A classifier of `classes` classes, weight `[S, N]` from N(0, 2 / S), bias as PyTorch starts it.
pub fn classifier(features: i64, classes: i64, device: Device) -> Conv {
    let start = Conv::new(features, classes, 1, device);
    let weight = Tensor::empty([classes, features], (Kind::Float, device));
    let mut weight = weight.set_requires_grad(true);
    let _ = no_grad(|| weight.normal_(0.0, (2.0 / classes as f64).sqrt()));
    Conv {
        weight,
        bias: start.bias,
    }
}
