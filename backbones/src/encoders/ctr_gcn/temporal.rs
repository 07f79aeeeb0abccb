//! Convolution over frames in four branches, each of a fourth of the channels.

use szar_core::NamedTensors;
use tch::{Device, Kind, Tensor, no_grad};

use crate::encoders::gcn::{convolve, normalise, start};
use crate::encoders::layers::{Conv, Norm, channels_first, channels_last};

/// Frames of the convolutions.
const FRAMES: i64 = 5;
/// Frames of the maximum.
const WINDOW: i64 = 3;
/// How many branches there are.
pub(super) const BRANCHES: i64 = 4;

/// What a branch does after its product over channels.
#[derive(Debug)]
enum Rest {
    /// ReLU, then a convolution over every `dilation`-th frame and a normalisation.
    Convolution { conv: Conv, norm: Norm, dilation: i64 },
    /// ReLU, then a maximum over frames and a normalisation.
    Maximum { norm: Norm },
    /// It computes every `stride`-th frame only.
    Nothing,
}

#[derive(Debug)]
struct Branch {
    /// `[C / 4, C, 1, 1]`.
    product: Conv,
    norm: Norm,
    rest: Rest,
}

/// The four branches.
#[derive(Debug)]
pub(super) struct Temporal {
    branches: Vec<Branch>,
    stride: i64,
}

#[derive(Debug)]
enum FoldedRest {
    Convolution {
        weight: Tensor,
        bias: Tensor,
        dilation: i64,
    },
    Maximum {
        scale: Tensor,
        shift: Tensor,
    },
    Nothing,
}

#[derive(Debug)]
struct FoldedBranch {
    /// `[1, C, C / 4]`.
    weight: Tensor,
    /// `[1, 1, C / 4]`.
    bias: Tensor,
    rest: FoldedRest,
}

/// [`Temporal`] in evaluation mode.
#[derive(Debug)]
pub(super) struct FoldedTemporal {
    branches: Vec<FoldedBranch>,
    stride: i64,
}

impl Temporal {
    /// Over `channels`, a multiple of 4.
    pub(super) fn new(channels: i64, stride: i64, device: Device) -> Self {
        let width = channels / BRANCHES;
        let convolution = |dilation| {
            let mut conv = Conv::new(width, width, FRAMES, device);
            start::kaiming(&mut conv);
            Rest::Convolution {
                conv,
                norm: norm(width, device),
                dilation,
            }
        };
        let maximum = Rest::Maximum {
            norm: norm(width, device),
        };
        let branch = |rest| {
            let mut product = Conv::new(channels, width, 1, device);
            start::kaiming(&mut product);
            Branch {
                product,
                norm: norm(width, device),
                rest,
            }
        };
        let rests = [convolution(1), convolution(2), maximum, Rest::Nothing];
        Self {
            branches: rests.into_iter().map(branch).collect(),
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
    }

    /// `[n, C, V, T]` to `[n, V, T', C]`.
    pub(super) fn train(&self, y: &Tensor, kind: Kind) -> Tensor {
        let branch = |branch: &Branch| {
            let (weight, bias) = product(&branch.product.weight, &branch.product.bias, kind);
            let stride = match branch.rest {
                Rest::Nothing => self.stride,
                _ => 1,
            };
            let out = normalise(&apply(y, &weight, &bias, stride), &branch.norm);
            match &branch.rest {
                Rest::Convolution { conv, norm, dilation } => {
                    let (weight, bias) = (conv.weight.to_kind(kind), conv.bias.to_kind(kind));
                    let out = convolve(&out.relu(), &weight, &bias, self.stride, *dilation);
                    normalise(&out, norm)
                }
                Rest::Maximum { norm } => normalise(&maximum(&out.relu(), self.stride), norm),
                Rest::Nothing => out,
            }
        };
        let parts: Vec<_> = self.branches.iter().map(branch).collect();
        Tensor::cat(&parts, 3)
    }

    pub(super) fn fold(&self, kind: Kind) -> FoldedTemporal {
        FoldedTemporal {
            branches: self.branches.iter().map(|b| b.fold(kind)).collect(),
            stride: self.stride,
        }
    }
}

/// As the published code starts them: weights from N(1, 0.02²).
fn norm(channels: i64, device: Device) -> Norm {
    let mut norm = Norm::new(channels, device);
    let _ = no_grad(|| norm.weight.normal_(1.0, 0.02));
    norm
}

impl Branch {
    fn fold(&self, kind: Kind) -> FoldedBranch {
        let (weight, bias) = self.product.followed_by(&self.norm.affine());
        let (weight, bias) = product(&weight, &bias, kind);
        let rest = match &self.rest {
            Rest::Convolution { conv, norm, dilation } => {
                let (weight, bias) = conv.followed_by(&norm.affine());
                FoldedRest::Convolution {
                    weight: weight.to_kind(kind),
                    bias: bias.to_kind(kind),
                    dilation: *dilation,
                }
            }
            Rest::Maximum { norm } => {
                let (scale, shift) = norm.affine();
                FoldedRest::Maximum {
                    scale: scale.to_kind(kind),
                    shift: shift.to_kind(kind),
                }
            }
            Rest::Nothing => FoldedRest::Nothing,
        };
        FoldedBranch { weight, bias, rest }
    }
}

impl FoldedTemporal {
    pub(super) fn forward(&self, y: &Tensor) -> Tensor {
        let product = |branch: &FoldedBranch, stride| apply(y, &branch.weight, &branch.bias, stride);
        let branch = |branch: &FoldedBranch| match &branch.rest {
            FoldedRest::Convolution {
                weight,
                bias,
                dilation,
            } => convolve(&product(branch, 1).relu_(), weight, bias, self.stride, *dilation),
            FoldedRest::Maximum { scale, shift } => {
                let mut out = maximum(&product(branch, 1).relu_(), self.stride);
                out.g_mul_(scale).g_add_(shift)
            }
            FoldedRest::Nothing => product(branch, self.stride),
        };
        let parts: Vec<_> = self.branches.iter().map(branch).collect();
        Tensor::cat(&parts, 3)
    }
}

/// Weight `[1, C, C / 4]` and bias `[1, 1, C / 4]` of a product.
fn product(weight: &Tensor, bias: &Tensor, kind: Kind) -> (Tensor, Tensor) {
    let weight = weight.flatten(1, -1).tr().unsqueeze(0);
    (weight.to_kind(kind), bias.view([1, 1, -1]).to_kind(kind))
}

/// A product over the channels of every `stride`-th frame of `y` `[n, C, V, T]`: `[n, V, T', C / 4]`.
fn apply(y: &Tensor, weight: &Tensor, bias: &Tensor, stride: i64) -> Tensor {
    let kept = y.slice(3, None, None, stride).contiguous();
    let size = kept.size();
    let (n, c, v, t) = (size[0], size[1], size[2], size[3]);
    let rows = kept.view([n, c, v * t]).transpose(1, 2);
    let weight = weight.expand([n, -1, -1], false);
    bias.baddbmm(&rows, &weight, 1.0, 1.0).view([n, v, t, -1])
}

/// Largest of three neighbouring frames of `x` `[n, V, T, C]`.
fn maximum(x: &Tensor, stride: i64) -> Tensor {
    let y = channels_first(x).max_pool2d([1, WINDOW], [1, stride], [0, WINDOW / 2], [1, 1], false);
    channels_last(&y).contiguous()
}

#[cfg(test)]
mod tests {
    use super::*;
    use tch::kind::FLOAT_CPU;

    #[test]
    fn the_branch_without_neighbours_does_not_see_the_frames_between() {
        let temporal = Temporal::new(8, 2, Device::Cpu);
        let y = Tensor::randn([3, 8, 2, 6], FLOAT_CPU);
        let other = y.copy();
        let _ = other.slice(3, 1, None, 2).fill_(5.0);
        let last = |y: &Tensor| temporal.train(y, Kind::Float).narrow(3, 6, 2);
        assert!(last(&y).equal(&last(&other)));
    }
}
