//! Layers over activations `[n, V, T, C]`, joints before frames: products over joints whose graph differs from person
//! to person are then one matrix product a person, over all frames and channels at once.

use tch::{Kind, Tensor};

use crate::encoders::layers::{Norm, channels_first, channels_last};

/// `[n, T, V, C]` as `[n, V, T, C]`, in memory too.
pub fn joints_first(x: &Tensor) -> Tensor {
    x.transpose(1, 2).contiguous()
}

/// `[n, V, T, C]` as `[n, T, V, C]`, same memory.
pub fn frames_first(x: &Tensor) -> Tensor {
    x.transpose(1, 2)
}

/// Convolution over the frames of `x` `[n, V, T, C_in]` with `weight` `[C_out, C_in, kernel, 1]`, padded so that stride
/// 1 keeps T.
pub fn convolve(x: &Tensor, weight: &Tensor, bias: &Tensor, stride: i64, dilation: i64) -> Tensor {
    let kernel = weight.size()[2];
    if kernel == 1 {
        let kept = if stride == 1 {
            x.shallow_clone()
        } else {
            x.slice(2, None, None, stride).contiguous()
        };
        return kept.linear(&weight.flatten(1, -1), Some(bias));
    }
    let padding = dilation * (kernel - 1) / 2;
    let y = channels_first(x).conv2d(
        &weight.transpose(2, 3),
        Some(bias),
        [1, stride],
        [0, padding],
        [1, dilation],
        1,
    );
    channels_last(&y).contiguous()
}

/// Training mode of a normalisation over the channels of `x` `[n, V, T, C]`.
pub fn normalise(x: &Tensor, norm: &Norm) -> Tensor {
    channels_last(&norm.train(&channels_first(x), 1.0)).contiguous()
}

/// Mean over frames, `[n, V, C]` f32.
pub fn mean_over_time(x: &Tensor) -> Tensor {
    x.mean_dim([2i64].as_slice(), false, Kind::Float)
}
