//! Layers that graph-convolutional encoders are made of, with their parameters under PyTorch's names.
//!
//! Activations are `[n, T, V, C]` with the channels innermost ("channels last"): products over channels are then plain
//! matrix products, and convolutions take the same memory as `[n, C, T, V]` by a permutation that copies nothing.

use std::cell::Cell;

use szar_core::{Error, NamedTensors, Result};
use tch::{Device, Kind, Tensor, no_grad};

/// Weight of the newest batch in the running statistics (PyTorch's default).
const MOMENTUM: f64 = 0.1;
const EPSILON: f64 = 1e-5;

/// Batch normalisation over axis 1, statistics in f32 whatever the kind of the input.
#[derive(Debug)]
pub struct Norm {
    /// `[C]`.
    pub weight: Tensor,
    /// `[C]`.
    pub bias: Tensor,
    mean: Tensor,
    var: Tensor,
    batches: Tensor,
}

impl Norm {
    /// Weight 1, bias 0, statistics 0 and 1.
    pub fn new(channels: i64, device: Device) -> Self {
        let f32 = (Kind::Float, device);
        Self {
            weight: Tensor::ones([channels], f32).set_requires_grad(true),
            bias: Tensor::zeros([channels], f32).set_requires_grad(true),
            mean: Tensor::zeros([channels], f32),
            var: Tensor::ones([channels], f32),
            batches: Tensor::zeros([0i64; 0], (Kind::Int64, device)),
        }
    }

    /// Training mode: `x` is `[n, C]` or `[n, C, ..]`; normalises by the batch and moves the running statistics. The
    /// result is multiplied by `gain`, what makes good for values that are dropped (through weight and bias, so it costs
    /// nothing).
    pub fn train(&self, x: &Tensor, gain: f64) -> Tensor {
        self.count();
        if gain == 1.0 || is_evaluating() {
            return self.normalise(x, &self.weight, &self.bias);
        }
        self.normalise(x, &(&self.weight * gain), &(&self.bias * gain))
    }

    /// Training mode of `x + bias`, without the sum: what is added to a channel, the normalisation takes out again, and only
    /// the running mean hears of it. The gradient of `bias` is 0.
    pub fn train_shifted(&self, x: &Tensor, bias: &Tensor) -> Tensor {
        self.count();
        if is_evaluating() {
            let (scale, _) = self.affine();
            return self.normalise(x, &self.weight, &(&self.bias + bias * scale));
        }
        // Before the batch is: what its gradient remembers must not be written afterwards. The mean is about to shrink.
        let share = MOMENTUM / (1.0 - MOMENTUM);
        let _ = no_grad(|| self.mean.shallow_clone().g_add_(&(bias * share)));
        self.normalise(x, &self.weight, &(&self.bias + bias * 0.0))
    }

    /// Counts a batch whose channels are normalised part by part, by [`Self::train_channels`].
    pub fn count(&self) {
        if !is_evaluating() {
            let _ = no_grad(|| self.batches.shallow_clone().g_add_scalar_(1));
        }
    }

    /// Training mode over some of the channels, `start .. start + count`: `x` is `[n, count]`.
    pub fn train_channels(&self, x: &Tensor, start: i64, count: i64) -> Tensor {
        let part = |t: &Tensor| t.narrow(0, start, count);
        let statistics = (part(&self.mean), part(&self.var));
        normalise(
            x,
            (&part(&self.weight), &part(&self.bias)),
            (&statistics.0, &statistics.1),
        )
    }

    fn normalise(&self, x: &Tensor, weight: &Tensor, bias: &Tensor) -> Tensor {
        normalise(x, (weight, bias), (&self.mean, &self.var))
    }

    /// Evaluation mode as `x * scale + shift`: `(scale, shift)`, each `[C]`.
    pub fn affine(&self) -> (Tensor, Tensor) {
        let scale = &self.weight / (&self.var + EPSILON).sqrt();
        let shift = &self.bias - &self.mean * &scale;
        (scale, shift)
    }

    /// Adds parameters and statistics under `prefix`.
    pub fn collect(&self, prefix: &str, into: &mut NamedTensors) {
        let named = [
            ("weight", &self.weight),
            ("bias", &self.bias),
            ("running_mean", &self.mean),
            ("running_var", &self.var),
            ("num_batches_tracked", &self.batches),
        ];
        for (name, tensor) in named {
            into.insert(format!("{prefix}.{name}"), tensor.shallow_clone());
        }
    }
}

/// By the batch, or by the statistics while [`evaluating`].
fn normalise(x: &Tensor, (weight, bias): (&Tensor, &Tensor), (mean, var): (&Tensor, &Tensor)) -> Tensor {
    let training = !is_evaluating();
    x.batch_norm(
        Some(weight),
        Some(bias),
        Some(mean),
        Some(var),
        training,
        MOMENTUM,
        EPSILON,
        false,
    )
}

thread_local! {
    static EVALUATING: Cell<bool> = const { Cell::new(false) };
}

/// Runs the training form of a network in evaluation mode, as [`no_grad`] for what this thread does meanwhile:
/// normalisations go by their running statistics and leave them as they are, and nothing is dropped.
pub fn evaluating<T>(run: impl FnOnce() -> T) -> T {
    /// Sets it back, also past a panic.
    struct Before(bool);
    impl Drop for Before {
        fn drop(&mut self) {
            EVALUATING.set(self.0);
        }
    }
    let _before = Before(EVALUATING.replace(true));
    no_grad(run)
}

/// Is this thread [`evaluating`]?
pub fn is_evaluating() -> bool {
    EVALUATING.get()
}

/// Weight and bias of a convolution.
#[derive(Debug)]
pub struct Conv {
    /// `[C_out, C_in, kernel, 1]`.
    pub weight: Tensor,
    /// `[C_out]`.
    pub bias: Tensor,
}

impl Conv {
    /// PyTorch's initialisation: uniform within ± 1 / sqrt(fan in), weight and bias alike.
    pub fn new(input: i64, output: i64, kernel: i64, device: Device) -> Self {
        let f32 = (Kind::Float, device);
        let bound = ((input * kernel) as f64).sqrt().recip();
        Self {
            weight: Tensor::empty([output, input, kernel, 1], f32)
                .uniform_(-bound, bound)
                .set_requires_grad(true),
            bias: Tensor::empty([output], f32)
                .uniform_(-bound, bound)
                .set_requires_grad(true),
        }
    }

    /// Adds weight and bias under `prefix`.
    pub fn collect(&self, prefix: &str, into: &mut NamedTensors) {
        into.insert(format!("{prefix}.weight"), self.weight.shallow_clone());
        into.insert(format!("{prefix}.bias"), self.bias.shallow_clone());
    }

    /// The same map followed by `* scale + shift` per output channel: `(weight, bias)`.
    pub fn followed_by(&self, (scale, shift): &(Tensor, Tensor)) -> (Tensor, Tensor) {
        (
            &self.weight * scale.view([-1, 1, 1, 1]),
            &self.bias * scale + shift,
        )
    }
}

/// Convolution over time of `x` `[n, C, T, V]`, padded so that stride 1 keeps T.
///
/// A kernel of one frame is applied to the frames it keeps: oneDNN's strided 1x1 weight gradient writes past its
/// buffer when the channels are no multiple of 16 (seen with libtorch 2.11.0 on AVX-512).
pub fn temporal(x: &Tensor, weight: &Tensor, bias: &Tensor, stride: i64) -> Tensor {
    let kernel = weight.size()[2];
    if kernel == 1 && stride > 1 {
        let kept = x.slice(2, None, None, stride);
        let kept = if x.is_contiguous() {
            kept.contiguous()
        } else {
            channels_first(&channels_last(&kept).contiguous())
        };
        return temporal(&kept, weight, bias, 1);
    }
    let padding = (kernel - 1) / 2;
    x.conv2d(weight, Some(bias), [stride, 1], [padding, 0], [1, 1], 1)
}

/// `[n, T, V, C]` as `[n, C, T, V]`, same memory.
pub fn channels_first(x: &Tensor) -> Tensor {
    x.permute([0, 3, 1, 2])
}

/// `[n, C, T, V]` as `[n, T, V, C]`, same memory.
pub fn channels_last(x: &Tensor) -> Tensor {
    x.permute([0, 2, 3, 1])
}

/// Sets each value to 0 with probability `rate`; what is kept is not scaled up (give [`Norm::train`] the gain
/// `1 / (1 - rate)` instead).
///
/// On the CPU the coins are 16-bit integers cut from 64-bit draws, a fourth of the draws that libtorch's Bernoulli
/// makes, one after another, on one core. The rate is met to within 2⁻¹⁷.
pub fn drop(x: Tensor, rate: f64) -> Tensor {
    if rate == 0.0 || is_evaluating() {
        return x;
    }
    let size = x.size();
    let keep = if x.device() == Device::Cpu {
        let count = x.numel() as i64;
        let mut draws = Tensor::empty([(count + 3) / 4], (Kind::Int64, Device::Cpu));
        let coins = draws.random_from_(i64::MIN, None).view_dtype(Kind::Int16);
        let threshold = (rate * 65536.0).round() as i64 - 32768;
        coins.narrow(0, 0, count).ge(threshold)
    } else {
        Tensor::empty(&size, (Kind::Float, x.device()))
            .uniform_(0.0, 1.0)
            .view([-1])
            .ge(rate)
    };
    // The coins lie as the values do in memory: channels last.
    let keep = channels_first(&keep.view([size[0], size[2], size[3], size[1]]));
    x * keep
}

/// The output length of a temporal convolution over `frames` frames.
pub fn strided(frames: i64, stride: i64) -> i64 {
    (frames - 1) / stride + 1
}

/// Weights as saved by others: without the `module.` that a data-parallel wrapper puts in front.
pub fn without_wrapper(state: &NamedTensors) -> NamedTensors {
    let name = |n: &String| n.strip_prefix("module.").unwrap_or(n).to_owned();
    state.iter().map(|(n, t)| (name(n), t.shallow_clone())).collect()
}

/// Refuses a graph that is not the one the network was built with.
///
/// # Errors
/// [`Error::Input`] when shape or values differ.
pub fn same_graph(got: &Tensor, want: &Tensor, layout: &str) -> Result<()> {
    let got = got.to_kind(Kind::Float).to_device(want.device());
    if got.size() == want.size() && got.allclose(want, 1e-4, 1e-5, false) {
        return Ok(());
    }
    Err(Error::Input(format!(
        "the weights were trained on another graph: `A` has shape {:?}, layout `{layout}` with this strategy gives {:?}{}",
        got.size(),
        want.size(),
        if got.size() == want.size() {
            " with other values"
        } else {
            ""
        },
    )))
}

#[cfg(test)]
mod tests {
    use super::*;
    use tch::kind::FLOAT_CPU;

    #[test]
    fn values_are_dropped_at_the_rate_and_not_scaled() {
        tch::manual_seed(3);
        let x = channels_first(&Tensor::ones([10, 20, 5, 201], FLOAT_CPU));
        let kept = drop(x, 0.2).mean(Kind::Double).double_value(&[]);
        // 201 000 coins: the standard deviation of the mean is 0.0009.
        assert!((kept - 0.8).abs() < 0.005, "{kept}");
        let neighbours = drop(channels_first(&Tensor::ones([1, 1, 1, 40_000], FLOAT_CPU)), 0.5).view([-1, 4]);
        for lane in 0..4 {
            let share = neighbours.select(1, lane).mean(Kind::Double).double_value(&[]);
            assert!((share - 0.5).abs() < 0.03, "lane {lane}: {share}");
        }
    }

    #[test]
    fn a_norm_in_training_moves_its_statistics_as_pytorch_does() {
        let norm = Norm::new(1, Device::Cpu);
        let _ = norm.train(&Tensor::from_slice(&[1.0f32, 3.0]).view([2, 1]), 1.0);
        // mean 0.9 * 0 + 0.1 * 2, unbiased variance 0.9 * 1 + 0.1 * 2
        assert!((norm.mean.double_value(&[0]) - 0.2).abs() < 1e-6);
        assert!((norm.var.double_value(&[0]) - 1.1).abs() < 1e-6);
        assert_eq!(norm.batches.int64_value(&[]), 1);
    }

    #[test]
    fn a_shift_before_a_norm_is_told_to_its_mean_alone() {
        let x = szar_core::testing::normal("x", &[6, 2, 5]);
        let bias = Tensor::from_slice(&[0.5f32, -2.0]).set_requires_grad(true);
        let (plain, shifted) = (Norm::new(2, Device::Cpu), Norm::new(2, Device::Cpu));
        let want = plain.train(&(&x + bias.view([-1, 1])), 1.0);
        let got = shifted.train_shifted(&x, &bias);
        assert!(got.allclose(&want, 1e-5, 1e-6, false));
        assert!(shifted.mean.allclose(&plain.mean, 1e-5, 1e-6, false));
        assert!(shifted.var.allclose(&plain.var, 1e-5, 1e-6, false));
        got.square().sum(Kind::Float).backward();
        assert!(bias.grad().equal(&Tensor::zeros([2], FLOAT_CPU)));
        // In evaluation it counts.
        let want = evaluating(|| plain.train(&(&x + bias.view([-1, 1])), 1.0));
        assert!(evaluating(|| shifted.train_shifted(&x, &bias)).allclose(&want, 1e-5, 1e-6, false));
        assert_eq!(plain.batches.int64_value(&[]), 1);
    }
}
