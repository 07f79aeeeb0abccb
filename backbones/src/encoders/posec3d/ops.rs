//! Convolutions over `[n, T, H, W, C]`, channels innermost.
//!
//! No kernel of this network spans time and space at once. Those over the picture are 2-D convolutions of all frames,
//! those over time are 2-D convolutions over frames and cells, those of size 1 are matrix products: all of them take the
//! same memory, and nothing is copied between them.

use tch::Tensor;

use super::plan::Stride;

/// `[n, T, H, W, C]` as `[n * T, C, H, W]`, same memory.
pub(super) fn pictures(x: &Tensor) -> Tensor {
    let s = x.size();
    x.reshape([s[0] * s[1], s[2], s[3], s[4]]).permute([0, 3, 1, 2])
}

/// `[n * T, C, H, W]` as `[n, T, H, W, C]`, same memory.
fn volume(pictures: &Tensor, samples: i64) -> Tensor {
    pictures.permute([0, 2, 3, 1]).unflatten(0, [samples, -1])
}

/// Every so many frames and cells.
pub(super) fn strided(x: &Tensor, stride: Stride) -> Tensor {
    let mut x = x.shallow_clone();
    for (axis, step) in [(1, stride.time), (2, stride.space), (3, stride.space)] {
        if step > 1 {
            x = x.slice(axis, None, None, step);
        }
    }
    x
}

/// Rows `[n * T * H * W, C]`.
pub(super) fn rows(x: &Tensor) -> Tensor {
    x.reshape([-1, x.size()[4]])
}

/// `[.., C]` of rows, in the form of `like` `[n, T, H, W, _]`.
pub(super) fn unrows(rows: &Tensor, like: &Tensor) -> Tensor {
    let s = like.size();
    rows.view([s[0], s[1], s[2], s[3], -1])
}

/// Convolution over the picture, `weight` `[C', C, k, k]`, padded; the frames that the stride keeps.
pub(super) fn over_space(x: &Tensor, weight: &Tensor, bias: Option<&Tensor>, stride: Stride) -> Tensor {
    let frames = Stride { space: 1, ..stride };
    let padding = weight.size()[2] / 2;
    let out = pictures(&strided(x, frames)).conv2d(weight, bias, [stride.space; 2], [padding; 2], [1, 1], 1);
    volume(&out, x.size()[0])
}

/// Convolution over time, `weight` `[C', C, k, 1]`, padded.
pub(super) fn over_time(x: &Tensor, weight: &Tensor, bias: Option<&Tensor>, stride: i64) -> Tensor {
    let s = x.size();
    let flat = x.reshape([s[0], s[1], s[2] * s[3], s[4]]).permute([0, 3, 1, 2]);
    let padding = weight.size()[2] / 2;
    let out = flat.conv2d(weight, bias, [stride, 1], [padding, 0], [1, 1], 1);
    out.permute([0, 2, 3, 1]).unflatten(2, [s[2], s[3]])
}

/// Maximum over 3 x 3 cells of every frame.
pub(super) fn max_pool(x: &Tensor, stride: Stride) -> Tensor {
    let frames = Stride { space: 1, ..stride };
    let x = strided(x, frames);
    let out = pictures(&x).max_pool2d([3, 3], [stride.space; 2], [1, 1], [1, 1], false);
    volume(&out, x.size()[0])
}

/// Mean over frames and cells, `[n, C]`.
pub(super) fn mean(x: &Tensor) -> Tensor {
    x.mean_dim([1i64, 2, 3].as_slice(), false, tch::Kind::Float)
}
