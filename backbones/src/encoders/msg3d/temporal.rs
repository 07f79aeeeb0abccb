//! Convolution over frames in six branches, each of a sixth of the channels.

use szar_core::NamedTensors;
use tch::{Device, Kind, Tensor};

use super::aggregate::for_each_person;
use crate::encoders::gcn::{FoldedResidual, Residual};
use crate::encoders::layers::{Conv, Norm, channels_last};

/// How many branches there are.
pub(super) const BRANCHES: i64 = 6;
/// Frames of a convolution, and of the maximum.
const FRAMES: i64 = 3;
/// Distances between the frames of the convolutions.
const DILATIONS: [i64; 4] = [1, 2, 3, 4];

/// What a branch does after its product over channels.
#[derive(Debug)]
enum Rest {
    /// ReLU, then a convolution over every `dilation`-th frame and a normalisation.
    Convolution { conv: Conv, norm: Norm, dilation: i64 },
    /// ReLU, then a maximum over frames and a normalisation.
    Maximum { norm: Norm },
    /// Every `stride`-th frame, before the product.
    Nothing,
}

#[derive(Debug)]
struct Branch {
    /// `[C_out / 6, C_in, 1, 1]`.
    product: Conv,
    norm: Norm,
    rest: Rest,
}

/// The six branches and a residual.
#[derive(Debug)]
pub(super) struct Temporal {
    branches: Vec<Branch>,
    residual: Residual,
    stride: i64,
}

#[derive(Debug)]
enum FoldedRest {
    Convolution(Tensor, Tensor, i64),
    Maximum(Tensor, Tensor),
    Nothing,
}

/// [`Temporal`] in evaluation mode.
#[derive(Debug)]
pub(super) struct FoldedTemporal {
    /// `[C_out, C_in]` and `[C_out, 1]`: the products of all branches.
    weight: Tensor,
    bias: Tensor,
    rests: Vec<FoldedRest>,
    residual: FoldedResidual,
    stride: i64,
}

impl Temporal {
    /// `output` is a multiple of 6.
    pub(super) fn new(input: i64, output: i64, stride: i64, device: Device) -> Self {
        let width = output / BRANCHES;
        let norm = || Norm::new(width, device);
        let convolution = |dilation| Rest::Convolution {
            conv: Conv::new(width, width, FRAMES, device),
            norm: norm(),
            dilation,
        };
        let rests = DILATIONS.into_iter().map(convolution);
        let branch = |rest| Branch {
            product: Conv::new(input, width, 1, device),
            norm: norm(),
            rest,
        };
        Self {
            branches: rests
                .chain([Rest::Maximum { norm: norm() }, Rest::Nothing])
                .map(branch)
                .collect(),
            residual: Residual::new(input, output, stride, || Conv::new(input, output, 1, device)),
            stride,
        }
    }

    pub(super) fn collect(&self, prefix: &str, into: &mut NamedTensors) {
        for (i, branch) in self.branches.iter().enumerate() {
            let prefix = format!("{prefix}.branches.{i}");
            branch.product.collect(&format!("{prefix}.0"), into);
            branch.norm.collect(&format!("{prefix}.1"), into);
            match &branch.rest {
                Rest::Convolution { conv, norm, .. } => {
                    conv.collect(&format!("{prefix}.3.conv"), into);
                    norm.collect(&format!("{prefix}.3.bn"), into);
                }
                Rest::Maximum { norm } => norm.collect(&format!("{prefix}.4"), into),
                Rest::Nothing => {}
            }
        }
        self.residual.collect(&format!("{prefix}.residual"), into);
    }

    /// `[n, C_in, T, V]` to `[n, C_out, T', V]`, before the last ReLU.
    pub(super) fn train(&self, x: &Tensor, kind: Kind) -> Tensor {
        let weights: Vec<_> = self
            .branches
            .iter()
            .map(|b| b.product.weight.flatten(1, -1))
            .collect();
        let products = product(x, &Tensor::cat(&weights, 0).to_kind(kind)).chunk(BRANCHES, 1);
        let parts = self.branches.iter().zip(&products);
        let parts: Vec<_> = parts
            .map(|(branch, y)| branch.train(y, self.stride, kind))
            .collect();
        self.residual
            .add_in_training(Tensor::cat(&parts, 1), &channels_last(x), kind)
    }

    pub(super) fn fold(&self, kind: Kind) -> FoldedTemporal {
        let products = self
            .branches
            .iter()
            .map(|b| b.product.followed_by(&b.norm.affine()));
        let (weights, biases): (Vec<_>, Vec<_>) = products.unzip();
        let weight = Tensor::cat(&weights, 0).flatten(1, -1);
        let rest = |branch: &Branch| match &branch.rest {
            Rest::Convolution { conv, norm, dilation } => {
                let (weight, bias) = conv.followed_by(&norm.affine());
                FoldedRest::Convolution(weight.to_kind(kind), bias.to_kind(kind), *dilation)
            }
            Rest::Maximum { norm } => {
                let (scale, shift) = norm.affine();
                let part = |t: Tensor| t.view([1, -1, 1, 1]).to_kind(kind);
                FoldedRest::Maximum(part(scale), part(shift))
            }
            Rest::Nothing => FoldedRest::Nothing,
        };
        FoldedTemporal {
            weight: weight.to_kind(kind),
            bias: Tensor::cat(&biases, 0).unsqueeze(1).to_kind(kind),
            rests: self.branches.iter().map(rest).collect(),
            residual: self.residual.fold(kind),
            stride: self.stride,
        }
    }
}

impl Branch {
    /// What becomes of its product `[n, C, T, V]`, `[n, C, T', V]`.
    fn train(&self, y: &Tensor, stride: i64, kind: Kind) -> Tensor {
        let first = |y: &Tensor| self.norm.train_shifted(&y.contiguous(), &self.product.bias);
        match &self.rest {
            Rest::Convolution { conv, norm, dilation } => {
                let weight = conv.weight.to_kind(kind);
                let y = dilated(&first(y).relu_(), &weight, None, stride, *dilation);
                norm.train_shifted(&y, &conv.bias)
            }
            Rest::Maximum { norm } => norm.train(&maximum(&first(y).relu_(), stride), 1.0),
            Rest::Nothing => first(&y.slice(2, None, None, stride)),
        }
    }
}

impl FoldedTemporal {
    /// `[n, C_in, T, V]` to `[n, C_out, T', V]`, before the last ReLU.
    pub(super) fn forward(&self, x: &Tensor) -> Tensor {
        let y = product(x, &self.weight);
        let _ = y.flatten(2, 3).g_add_(&self.bias);
        let width = y.size()[1] / BRANCHES;
        let _ = y.narrow(1, 0, y.size()[1] - width).relu_();
        let rest = |(i, rest): (i64, &FoldedRest)| {
            let y = y.narrow(1, i * width, width);
            match rest {
                FoldedRest::Convolution(weight, bias, dilation) => {
                    dilated(&y, weight, Some(bias), self.stride, *dilation)
                }
                FoldedRest::Maximum(scale, shift) => {
                    positive_maximum(&y, self.stride).g_mul_(scale).g_add_(shift)
                }
                FoldedRest::Nothing => y.slice(2, None, None, self.stride),
            }
        };
        let parts: Vec<_> = (0..).zip(&self.rests).map(rest).collect();
        self.residual.add(Tensor::cat(&parts, 1), &channels_last(x))
    }
}

/// Product over the channels of `x` `[n, C_in, T, V]` with weights `[C_out, C_in]`, `[n, C_out, T, V]`.
fn product(x: &Tensor, weight: &Tensor) -> Tensor {
    let size = x.size();
    let y = for_each_person(weight, size[0]).bmm(&x.flatten(2, 3));
    y.view([size[0], -1, size[2], size[3]])
}

/// Convolution over every `dilation`-th frame of `x` `[n, C, T, V]`, padded so that stride 1 keeps T.
fn dilated(x: &Tensor, weight: &Tensor, bias: Option<&Tensor>, stride: i64, dilation: i64) -> Tensor {
    let padding = dilation * (FRAMES - 1) / 2;
    x.contiguous()
        .conv2d(weight, bias, [stride, 1], [padding, 0], [dilation, 1], 1)
}

/// Largest of three neighbouring frames of `x` `[n, C, T, V]`.
fn maximum(x: &Tensor, stride: i64) -> Tensor {
    x.max_pool2d([FRAMES, 1], [stride, 1], [FRAMES / 2, 0], [1, 1], false)
}

/// [`maximum`] of values that are not negative, without a note of which it was.
fn positive_maximum(x: &Tensor, stride: i64) -> Tensor {
    let frames = x.size()[2];
    let padded = x.constant_pad_nd([0, 0, FRAMES / 2, FRAMES / 2]);
    let from = |first: i64| padded.slice(2, first, first + frames, stride);
    from(0).maximum(&from(1)).maximum(&from(2))
}
