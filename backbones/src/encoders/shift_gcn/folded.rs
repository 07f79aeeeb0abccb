//! The network as it is evaluated: normalisations folded into the products, taps and tables beside them.

use tch::{Kind, Tensor, no_grad};

use super::net::{Block, Net};
use super::spatial::Spatial;
use super::temporal::{Temporal, shifted};
use crate::encoders::gcn::{self, COORDINATES, FoldedResidual, InputAffine};
use crate::encoders::layers::{channels_first, channels_last};

/// Weights with the statistics of the normalisations multiplied in. Equal to the network in evaluation mode up to
/// rounding.
#[derive(Debug)]
pub struct Folded {
    kind: Kind,
    input: InputAffine,
    blocks: Vec<FoldedBlock>,
}

#[derive(Debug)]
struct FoldedBlock {
    spatial: FoldedSpatial,
    temporal: FoldedTemporal,
    residual: FoldedResidual,
    stride: i64,
}

#[derive(Debug)]
struct FoldedSpatial {
    shift_in: Tensor,
    /// `[1, V * C_in]`.
    factors: Tensor,
    /// `[C_in, C_out]`.
    weight: Tensor,
    shift_out: Tensor,
    /// `[1, V * C_out]` each: the normalisation, with all that is added.
    scale: Tensor,
    shift: Tensor,
    /// `[C_in, C_out]`.
    down: Option<Tensor>,
}

#[derive(Debug)]
struct FoldedTemporal {
    /// Taps of the first shift, `[C, 1, K, 1]`, times the scale of the normalisation before it.
    first: Tensor,
    /// Taps alone, f32, for what that normalisation adds, `[1, C, 1, 1]` f32: less of it where taps reach outside.
    border: (Tensor, Tensor),
    /// `[C, C]`, inputs first, and f32 with its bias.
    weight: Tensor,
    linear: (Tensor, Tensor),
    /// Taps and bias of the second shift, with the normalisation after it.
    last: (Tensor, Tensor),
}

impl Folded {
    pub(super) fn new(net: &Net, kind: Kind) -> Self {
        no_grad(|| {
            let reaches = net.reaches();
            let blocks = net.blocks.iter().zip(reaches.chunks(2));
            Self {
                kind,
                input: net.input_norm.affine(COORDINATES),
                blocks: blocks
                    .map(|(b, reach)| FoldedBlock::new(b, reach, kind))
                    .collect(),
            }
        })
    }
}

impl gcn::Folded for Folded {
    fn forward(&self, x: &Tensor, slots: &[i64], tap: &mut dyn FnMut(&Tensor)) -> Tensor {
        let x = self.input.apply(x, slots).to_kind(self.kind);
        let last = self.blocks.iter().fold(x, |x, block| {
            let y = block.forward(&x, self.kind);
            tap(&y);
            y
        });
        last.to_kind(Kind::Float)
    }
}

impl FoldedBlock {
    fn new(block: &Block, reach: &[i64], kind: Kind) -> Self {
        Self {
            spatial: FoldedSpatial::new(&block.spatial, kind),
            temporal: FoldedTemporal::new(&block.temporal, reach, kind),
            residual: block.residual.fold(kind),
            stride: block.stride(),
        }
    }

    fn forward(&self, x: &Tensor, kind: Kind) -> Tensor {
        let y = self.spatial.forward(x);
        let y = self.temporal.forward(&y, self.stride, kind);
        let mut y = self.residual.add(y, x);
        channels_last(&y.relu_())
    }
}

impl FoldedSpatial {
    fn new(gcn: &Spatial, kind: Kind) -> Self {
        let output = gcn.weight.size()[1];
        let (scale, shift) = gcn.norm.affine();
        // A channel's bias is the same at every joint: the shift between joints leaves it.
        let mut shift = (scale.view([-1, output]) * gcn.bias.view([-1])).view([-1]) + shift;
        let down = gcn.down.as_ref().map(|(conv, norm)| {
            let (weight, bias) = conv.followed_by(&norm.affine());
            shift = (shift.view([-1, output]) + bias).view([-1]);
            weight.view([output, -1]).tr().contiguous().to_kind(kind)
        });
        Self {
            shift_in: gcn.shift_in.shallow_clone(),
            factors: gcn.factors().to_kind(kind),
            weight: gcn.weight.to_kind(kind),
            shift_out: gcn.shift_out.shallow_clone(),
            scale: scale.unsqueeze(0).to_kind(kind),
            shift: shift.unsqueeze(0).to_kind(kind),
            down,
        }
    }

    /// `[n, T, V, C_in]` to `[n, T, V, C_out]`.
    fn forward(&self, x: &Tensor) -> Tensor {
        let size = x.size();
        let (frames, channels) = (size[0] * size[1], size[3]);
        let x = x.reshape([frames, size[2] * channels]);
        let mut moved = x.index_select(1, &self.shift_in);
        let moved = moved.g_mul_(&self.factors).view([-1, channels]);
        let y = moved.mm(&self.weight).view([frames, -1]);
        let y = y.index_select(1, &self.shift_out);
        let mut y = self.shift.addcmul(&y, &self.scale);
        let y = match &self.down {
            None => y.g_add_(&x),
            Some(weight) => {
                let mut rows = y.view([-1, weight.size()[1]]);
                rows.addmm_(&x.view([-1, channels]), weight)
            }
        };
        let mut y = y.view([size[0], size[1], size[2], -1]);
        y.relu_()
    }
}

impl FoldedTemporal {
    fn new(tcn: &Temporal, reach: &[i64], kind: Kind) -> Self {
        let per_channel = |x: &Tensor| x.view([-1, 1, 1, 1]);
        let (scale, shift) = tcn.norm.affine();
        let (last_scale, last_shift) = tcn.last_norm.affine();
        let taps = tcn.shift_in.taps(reach[0]);
        let last = tcn.shift_out.taps(reach[1]) * per_channel(&last_scale);
        let weight = tcn.linear.weight.view([-1, scale.size()[0]]).tr().contiguous();
        Self {
            first: (&taps * per_channel(&scale)).to_kind(kind),
            border: (taps, shift.view([1, -1, 1, 1])),
            weight: weight.to_kind(kind),
            linear: (weight, tcn.linear.bias.detach()),
            last: (last.to_kind(kind), last_shift.to_kind(kind)),
        }
    }

    /// `[n, T, V, C]` to `[n, C, T / stride, V]`.
    fn forward(&self, x: &Tensor, stride: i64, kind: Kind) -> Tensor {
        let size = x.size();
        let (frames, channels) = (size[1], size[3]);
        // What the first normalisation adds, after shift and product: [T, 1, C].
        let (taps, added) = &self.border;
        let added = added.expand([1, channels, frames, 1], false);
        let added = channels_last(&shifted(&added, taps, None, 1)).reshape([frames, channels]);
        let (weight, bias) = &self.linear;
        let added = bias.addmm(&added, weight).unsqueeze(1).to_kind(kind);

        let x = channels_last(&shifted(&channels_first(x), &self.first, None, 1));
        let y = x.reshape([-1, channels]).mm(&self.weight);
        let mut y = y.view(size.as_slice()).g_add_(&added);
        let (taps, bias) = &self.last;
        shifted(&channels_first(&y.relu_()), taps, Some(bias), stride)
    }
}
