//! The temporal shift: every channel is read at a displacement in time of its own, between two frames.
//!
//! Channel c of frame h is `(1 - f) x[h s + k] + f x[h s + k + 1]` with `k = floor(p_c)`, `f = p_c - k`, 0 outside the
//! motion, and `p_c` the learned displacement, plus half a frame where the stride s is 2. As a function of `x` this is a
//! convolution of each channel with two neighbouring taps, so it is computed as one over as many taps as the largest
//! displacement needs (three for displacements below a frame).

use szar_core::host::to_f64;
use szar_core::{Error, NamedTensors, Result};
use tch::{Device, Kind, Tensor, no_grad};

use super::spatial::pointwise;
use crate::encoders::layers::{Conv, Norm, channels_first, channels_last};

/// Frames beyond which a displacement reads nothing.
const MAX_REACH: i64 = 4096;
/// Displacements along the joints below this are none; the published initialisation draws them within 1e-8.
const NEGLIGIBLE: f64 = 1e-6;
/// Size of a displacement's gradient in published training, and of one that is exactly 0.
const STEP: f64 = 0.01;
const REST: f64 = 1e-4;

/// Displacement of every channel.
#[derive(Debug)]
pub(super) struct Shift {
    /// `[C]`, along the joints; about 0, and never trained.
    pub(super) xpos: Tensor,
    /// `[C]`, in time, frames.
    pub(super) ypos: Tensor,
    pub(super) stride: i64,
}

impl Shift {
    pub(super) fn new(channels: i64, stride: i64, device: Device) -> Self {
        let draw = |bound: f64| Tensor::empty([channels], (Kind::Float, device)).uniform_(-bound, bound);
        Self {
            xpos: draw(1e-8),
            ypos: draw(1.0).set_requires_grad(true),
            stride,
        }
    }

    fn collect(&self, prefix: &str, into: &mut NamedTensors) {
        into.insert(format!("{prefix}.xpos"), self.xpos.shallow_clone());
        into.insert(format!("{prefix}.ypos"), self.ypos.shallow_clone());
    }

    /// `[C]`, where each channel is read, frames after the output's.
    fn position(&self) -> Tensor {
        if self.stride == 1 {
            self.ypos.shallow_clone()
        } else {
            &self.ypos + 0.5
        }
    }

    /// Taps of each channel at -reach ..= reach frames, `[C, 1, 2 reach + 1, 1]` f32, differentiable in `ypos`.
    pub(super) fn taps(&self, reach: i64) -> Tensor {
        let position = self.position().unsqueeze(1);
        let before = no_grad(|| position.floor());
        let share = position - &before;
        let frames = Tensor::arange_start(-reach, reach + 1, (Kind::Float, before.device()));
        let at = |offset: f64| (&frames - offset).eq_tensor(&before).to_kind(Kind::Float);
        let taps: Tensor = at(0.0) * (1.0 - &share) + at(1.0) * share;
        taps.view([-1, 1, 2 * reach + 1, 1])
    }
}

/// Frames before and after that each shift reads at most, `1 ..`; asks the device once for all of them.
pub(super) fn reaches(shifts: &[&Shift]) -> Vec<i64> {
    let farthest = no_grad(|| {
        let each: Vec<_> = shifts.iter().map(|s| s.position().abs().max()).collect();
        Tensor::stack(&each, 0)
    });
    let reach = |p: &f64| (p.floor() as i64).clamp(0, MAX_REACH - 1) + 1;
    to_f64(&farthest).iter().map(reach).collect()
}

/// `x` `[n, C, T, V]` through taps `[C, 1, K, 1]`, K odd, plus `bias` `[C]`: `[n, C, T / stride, V]`, rounded down.
pub(super) fn shifted(x: &Tensor, taps: &Tensor, bias: Option<&Tensor>, stride: i64) -> Tensor {
    let (channels, frames) = (taps.size()[0], x.size()[2]);
    let reach = (taps.size()[2] - 1) / 2;
    // What lies farther off than the motion is long is never read.
    let kept = reach.min(frames);
    let taps = taps.narrow(2, reach - kept, 2 * kept + 1);
    let y = x.conv2d(&taps, bias, [stride, 1], [kept, 0], [1, 1], channels);
    if frames % stride == 0 {
        y
    } else {
        y.narrow(2, 0, frames / stride)
    }
}

/// The gradient that published training uses in place of a displacement's: its sign.
pub(super) fn constrained(gradient: &Tensor) -> Tensor {
    let zero = gradient.eq(0.0).to_kind(gradient.kind());
    gradient.sign() * STEP + zero * REST
}

/// Shift, product over channels, shift, with the normalisations around them (`tcn1` of the official names).
#[derive(Debug)]
pub(super) struct Temporal {
    pub(super) norm: Norm,
    pub(super) shift_in: Shift,
    pub(super) linear: Conv,
    pub(super) shift_out: Shift,
    pub(super) last_norm: Norm,
}

impl Temporal {
    pub(super) fn new(channels: i64, stride: i64, device: Device) -> Self {
        let linear = Conv {
            // The published code leaves the bias as PyTorch draws it.
            bias: Conv::new(channels, channels, 1, device).bias,
            ..pointwise(channels, channels, device)
        };
        Self {
            norm: Norm::new(channels, device),
            shift_in: Shift::new(channels, 1, device),
            linear,
            shift_out: Shift::new(channels, stride, device),
            last_norm: Norm::new(channels, device),
        }
    }

    pub(super) fn shifts(&self) -> [&Shift; 2] {
        [&self.shift_in, &self.shift_out]
    }

    pub(super) fn collect(&self, prefix: &str, into: &mut NamedTensors) {
        self.norm.collect(&format!("{prefix}.bn"), into);
        self.shift_in.collect(&format!("{prefix}.shift_in"), into);
        self.linear.collect(&format!("{prefix}.temporal_linear"), into);
        self.shift_out.collect(&format!("{prefix}.shift_out"), into);
        self.last_norm.collect(&format!("{prefix}.bn2"), into);
    }

    /// `[n, T, V, C]` to `[n, T / stride, V, C]`, with the reach of both shifts.
    pub(super) fn train(&self, x: &Tensor, reach: &[i64], kind: Kind) -> Tensor {
        let x = self.norm.train(&channels_first(x), 1.0);
        let taps = |shift: &Shift, reach: i64| shift.taps(reach).to_kind(kind);
        let x = channels_last(&shifted(&x, &taps(&self.shift_in, reach[0]), None, 1));
        let size = x.size();
        let weight = self.linear.weight.view([-1, size[3]]).to_kind(kind);
        let bias = self.linear.bias.to_kind(kind);
        let mut y = bias.addmm(&x.reshape([-1, size[3]]), &weight.tr());
        let y = channels_first(&y.relu_().view(size.as_slice()));
        let (taps, stride) = (taps(&self.shift_out, reach[1]), self.shift_out.stride);
        channels_last(&self.last_norm.train(&shifted(&y, &taps, None, stride), 1.0))
    }
}

/// Refuses displacements that are not finite, or that are not in time alone.
///
/// # Errors
/// [`Error::Input`] with the tensor's name and the value.
pub(super) fn check(prefix: &str, given: &NamedTensors) -> Result<()> {
    for (part, limit, why) in [
        ("xpos", NEGLIGIBLE, "channels are shifted along the joints"),
        (
            "ypos",
            MAX_REACH as f64,
            "channels are shifted out of every motion",
        ),
    ] {
        let name = format!("{prefix}.{part}");
        let Some(tensor) = given.get(&name).filter(|t| t.numel() > 0) else {
            continue;
        };
        let farthest = to_f64(&no_grad(|| tensor.to_kind(Kind::Float).abs().max()))[0];
        if farthest.is_nan() || farthest > limit {
            return Err(Error::Input(format!(
                "the weights cannot be used: {why} (`{name}` reaches {farthest}, expected at most {limit})"
            )));
        }
    }
    Ok(())
}
