//! The network as it is evaluated: normalisation folded into the convolutions before it.

use tch::{Kind, Tensor, no_grad};

use super::net::{Bottleneck, Net, Unit};
use super::ops::{max_pool, over_space, over_time, rows, strided, unrows};
use super::plan::{Plan, Stride};

/// Weights with the statistics of the normalisations multiplied in.
#[derive(Debug)]
pub(super) struct Folded {
    kind: Kind,
    plan: Plan,
    stem: (Tensor, Tensor),
    stages: Vec<Vec<Block>>,
}

#[derive(Debug)]
struct Block {
    /// Weight `[C, width]`, or `[width, C, 3, 1]` when inflated; bias.
    reduce: (Tensor, Tensor),
    space: (Tensor, Tensor),
    /// `[width, C']`.
    expand: Tensor,
    /// Bias of `expand`, with that of `past` where there is one.
    bias: Tensor,
    /// `[C, C']`.
    past: Option<Tensor>,
    stride: Stride,
    inflated: bool,
}

/// Weight and bias of a unit, with the weight in another form.
fn folded(unit: &Unit, weight: &Tensor, kind: Kind) -> (Tensor, Tensor) {
    let (scale, shift) = unit.norm.affine();
    let mut form = vec![1; weight.dim()];
    form[0] = -1;
    ((weight * scale.view(form.as_slice())).to_kind(kind), shift)
}

/// As `folded`, with the matrix `[C, C']`.
fn matrix(unit: &Unit, kind: Kind) -> (Tensor, Tensor) {
    let (weight, bias) = folded(unit, &unit.matrix(), kind);
    (weight.tr().contiguous(), bias)
}

impl Folded {
    pub(super) fn new(net: &Net, kind: Kind) -> Self {
        no_grad(|| {
            let (weight, bias) = folded(&net.stem, &net.stem.over_space(), kind);
            let stage = |blocks: &Vec<Bottleneck>| blocks.iter().map(|b| Block::new(b, kind)).collect();
            Self {
                kind,
                plan: net.plan.clone(),
                stem: (weight, bias.to_kind(kind)),
                stages: net.stages.iter().map(stage).collect(),
            }
        })
    }

    /// Heat maps `[n, T, H, W, K]` to `[n, T', H', W', N]` f32; `tap` is shown what leaves the stem and every stage.
    pub(super) fn forward(&self, heat: &Tensor, tap: &mut dyn FnMut(&Tensor)) -> Tensor {
        let heat = heat.to_kind(self.kind);
        let mut x = over_space(&heat, &self.stem.0, Some(&self.stem.1), self.plan.stem);
        let x = x.relu_();
        tap(&x);
        let mut x = max_pool(&x, self.plan.pool);
        for stage in &self.stages {
            x = stage.iter().fold(x, |x, block| block.forward(&x));
            tap(&x);
        }
        x.to_kind(Kind::Float)
    }
}

impl Block {
    fn new(block: &Bottleneck, kind: Kind) -> Self {
        let pair = |(weight, bias): (Tensor, Tensor)| (weight, bias.to_kind(kind));
        let (expand, mut bias) = matrix(&block.expand, kind);
        let past = block.downsample.as_ref().map(|unit| {
            let (weight, more) = matrix(unit, kind);
            bias += more;
            weight
        });
        Self {
            reduce: pair(match block.inflated {
                true => folded(&block.reduce, &block.reduce.over_time(), kind),
                false => matrix(&block.reduce, kind),
            }),
            space: pair(folded(&block.space, &block.space.over_space(), kind)),
            expand,
            bias: bias.to_kind(kind),
            past,
            stride: block.stride,
            inflated: block.inflated,
        }
    }

    fn forward(&self, x: &Tensor) -> Tensor {
        // The second convolution looks at every `time`-th frame alone: the first makes no others.
        let Stride { time, space } = self.stride;
        let (weight, bias) = &self.reduce;
        let mut y = match self.inflated {
            true => over_time(x, weight, Some(bias), time),
            false => {
                let kept = strided(x, Stride { time, space: 1 });
                unrows(&bias.addmm(&rows(&kept), weight), &kept)
            }
        };
        let (weight, bias) = &self.space;
        let mut y = over_space(&y.relu_(), weight, Some(bias), Stride { time: 1, space });
        let y = y.relu_();
        let mut out = match &self.past {
            Some(past) => {
                let mut out = self.bias.addmm(&rows(&strided(x, self.stride)), past);
                out.addmm_(&rows(&y), &self.expand)
            }
            None => {
                let mut out = self.bias.addmm(&rows(&y), &self.expand);
                out.g_add_(&rows(x))
            }
        };
        unrows(&out.relu_(), &y)
    }
}
