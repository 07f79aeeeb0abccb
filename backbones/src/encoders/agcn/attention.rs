//! AAGCN's attention over joints, then frames, then channels: each multiplies by `1 + g`, g in 0 .. 1.

use szar_core::NamedTensors;
use tch::{Device, Kind, Tensor, no_grad};

use crate::encoders::gcn::{mean_over_time, start};
use crate::encoders::layers::Conv;

/// Frames that the attention over frames sees at once.
const FRAMES: i64 = 9;
/// By how much the attention over channels narrows.
const REDUCTION: i64 = 2;

/// The three gates of a block.
#[derive(Debug)]
pub(super) struct Attention {
    /// `[1, C, k]`, k = V or, of even V, one less.
    joints: Conv,
    /// `[1, C, 9]`.
    frames: Conv,
    /// `[C / 2, C]`.
    narrow: Conv,
    /// `[C, C / 2]`.
    widen: Conv,
}

impl Attention {
    pub(super) fn new(channels: i64, joints: i64, device: Device) -> Self {
        let kernel = if joints % 2 == 1 { joints } else { joints - 1 };
        let hidden = (channels / REDUCTION).max(1);
        let layer = |shape: &[i64], deviation: f64| {
            let empty = |shape: &[i64]| {
                let zeros = Tensor::zeros(shape, (Kind::Float, device));
                zeros.set_requires_grad(true)
            };
            let mut conv = Conv {
                weight: empty(shape),
                bias: empty(&shape[..1]),
            };
            start::normal(&mut conv, deviation);
            conv
        };
        let xavier = (2.0 / ((channels + 1) * kernel) as f64).sqrt();
        Self {
            joints: layer(&[1, channels, kernel], xavier),
            frames: layer(&[1, channels, FRAMES], 0.0),
            narrow: layer(&[hidden, channels], (2.0 / channels as f64).sqrt()),
            widen: layer(&[channels, hidden], 0.0),
        }
    }

    pub(super) fn collect(&self, prefix: &str, into: &mut NamedTensors) {
        let named = [
            ("conv_sa", &self.joints),
            ("conv_ta", &self.frames),
            ("fc1c", &self.narrow),
            ("fc2c", &self.widen),
        ];
        for (name, layer) in named {
            layer.collect(&format!("{prefix}.{name}"), into);
        }
    }

    /// The same weights without gradients.
    pub(super) fn detached(&self) -> Self {
        let detached = |layer: &Conv| Conv {
            weight: layer.weight.detach(),
            bias: layer.bias.detach(),
        };
        no_grad(|| Self {
            joints: detached(&self.joints),
            frames: detached(&self.frames),
            narrow: detached(&self.narrow),
            widen: detached(&self.widen),
        })
    }

    /// What `y` `[n, V, T, C]` is multiplied by: over joints and frames `[n, V, T, 1]`, over channels `[n, 1, 1, C]`.
    ///
    /// The means over what is already weighted are taken as weighted means, so that `y` is read twice and written once.
    pub(super) fn factors(&self, y: &Tensor) -> (Tensor, Tensor) {
        let size = y.size();
        let (n, v, t, c) = (size[0], size[1], size[2], size[3]);
        let over_frames = mean_over_time(y);
        let joints = gate(&over_frames, &self.joints); // [n, 1, V]
        let flat = y.view([n, v, t * c]);
        let over_joints = joints.to_kind(y.kind()).bmm(&flat).to_kind(Kind::Float) / v as f64;
        let over_joints = over_joints.view([n, t, c]);
        let frames = gate(&over_joints, &self.frames); // [n, 1, T]
        let pooled = frames.bmm(&over_joints) / t as f64;
        let hidden = pooled.linear(&self.narrow.weight, Some(&self.narrow.bias)).relu();
        let channels = hidden
            .linear(&self.widen.weight, Some(&self.widen.bias))
            .sigmoid()
            + 1.0;
        let places = joints.view([n, v, 1, 1]) * frames.view([n, 1, t, 1]);
        let kind = y.kind();
        (places.to_kind(kind), channels.view([n, 1, 1, c]).to_kind(kind))
    }
}

/// `1 + sigmoid(conv(x))` along the places of `x` `[n, places, C]`: `[n, 1, places]`.
fn gate(x: &Tensor, conv: &Conv) -> Tensor {
    let padding = (conv.weight.size()[2] - 1) / 2;
    let x = x.transpose(1, 2);
    x.conv1d(&conv.weight, Some(&conv.bias), [1], [padding], [1], 1)
        .sigmoid()
        + 1.0
}
