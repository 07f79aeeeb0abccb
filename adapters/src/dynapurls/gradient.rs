//! The gradient of the memory's cross-entropy with respect to the anchors: closed form where scores are dot products,
//! by a graph through the aligner where they are not.

use szar_core::{Aligner, Linear, Result, SemanticAnchors, host};
use tch::{Device, Kind, Tensor, with_grad};

use super::passes::Memory;

/// Rows times candidates that go through an aligner at a time; bounds the graph's memory at some 25 MB.
const PIECE: i64 = 1024;

/// Which of the anchors are refined, and how the aligner compares.
#[derive(Debug)]
pub(super) struct Plan {
    /// `[C, G, d]`, as the texts give them.
    pub anchors: SemanticAnchors,
    /// Positions of the P refined texts among the G.
    pub refined: Vec<i64>,
    pub linear: Option<Linear>,
    /// Position among the refined of each text that the linear aligner compares; `None` where it is not refined.
    picks: Vec<Option<i64>>,
    /// Are these all the refined texts, in their order?
    plain: bool,
    /// Are the refined texts all there are, in their order?
    whole: bool,
}

impl Plan {
    pub fn new(anchors: SemanticAnchors, refined: Vec<i64>, linear: Option<Linear>) -> Self {
        let at = |g: &usize| {
            (0..)
                .zip(&refined)
                .find(|(_, r)| **r == *g as i64)
                .map(|(p, _)| p)
        };
        let picks: Vec<Option<i64>> = linear.iter().flat_map(|l| &l.granularities).map(at).collect();
        Self {
            plain: picks.len() == refined.len() && picks.iter().zip(0..).all(|(p, i)| *p == Some(i)),
            whole: refined.len() == anchors.granularities.len()
                && refined.iter().zip(0..).all(|(g, i)| *g == i),
            picks,
            anchors,
            refined,
            linear,
        }
    }

    /// The whole anchors with the refined texts `[C, P, d]` in place; differentiable in them.
    pub fn anchors_with(&self, text: &Tensor) -> Result<SemanticAnchors> {
        let values = if self.whole {
            text.shallow_clone()
        } else {
            let index = Tensor::from_slice(&self.refined).to_device(text.device());
            self.anchors.values.index_copy(1, &index, text)
        };
        self.anchors.with_values(values)
    }

    /// `[R, C, D]`: the class vectors that a linear aligner compares with, from refined texts `[R, C, P, d]`.
    pub fn classes(&self, linear: &Linear, text: &Tensor) -> Tensor {
        if self.plain {
            return text.flatten(2, 3);
        }
        let streams = text.size()[0];
        let part = |(pick, g): (&Option<i64>, &usize)| match pick {
            Some(p) => text.select(2, *p),
            None => {
                let fixed = self.anchors.values.select(1, *g as i64);
                fixed.unsqueeze(0).expand([streams, -1, -1], false)
            }
        };
        let parts: Vec<Tensor> = self.picks.iter().zip(&linear.granularities).map(part).collect();
        Tensor::cat(&parts, -1)
    }

    /// The other way: `[R, C, P, d]` from a gradient with respect to the class vectors, `[R, C, D]`.
    fn texts(&self, gradient: &Tensor) -> Tensor {
        let size = gradient.size();
        let width = self.anchors.width();
        let parts = gradient.view([size[0], size[1], -1, width]);
        if self.plain {
            return parts;
        }
        let out = Tensor::zeros(
            [size[0], size[1], self.refined.len() as i64, width],
            (Kind::Float, gradient.device()),
        );
        for (part, pick) in self.picks.iter().enumerate() {
            if let Some(p) = pick {
                out.select(2, *p).copy_(&parts.select(2, part as i64));
            }
        }
        out
    }

    /// Logits `[R, C]` of one row per stream, `[R, D]`, under texts `[R, C, P, d]`.
    pub fn score_linear(&self, linear: &Linear, rows: &Tensor, text: &Tensor) -> Tensor {
        let classes = self.classes(linear, text);
        let logits = if classes.size()[0] == 1 {
            rows.mm(&classes.squeeze_dim(0).transpose(0, 1))
        } else {
            classes.bmm(&rows.unsqueeze(-1)).squeeze_dim(-1)
        };
        logits * linear.scale
    }

    /// `[R, C, P, d]`: gradient of `Σ_j w_j CE(rows_j · classesᵀ / τ − o, y_j)` with respect to the texts `[R, C, P, d]`,
    /// and the loss `[R]` when asked.
    pub fn linear_gradient(
        &self,
        linear: &Linear,
        text: &Tensor,
        batch: &Batch,
        loss: bool,
    ) -> (Tensor, Option<Tensor>) {
        let classes = self.classes(linear, text);
        let (gradient, losses) = if batch.rows.device() == Device::Cpu {
            batch.gradient_on_host(&classes, linear.scale)
        } else {
            batch.gradient_by_tensors(&classes, linear.scale, loss)
        };
        (self.texts(&gradient), losses)
    }

    /// `[C, P, d]`: as [`Self::linear_gradient`] for one stream and any aligner, through its graph; and the loss, a scalar
    /// that nobody reads from the device unless it is asked for. `batch` has R = 1 and rows `[1, n, ...]`.
    pub fn graph_gradient(
        &self,
        model: &dyn Aligner,
        text: &Tensor,
        batch: &Batch,
    ) -> Result<(Tensor, Tensor)> {
        let leaf = text.detach().copy().set_requires_grad(true);
        let rows = batch.rows.squeeze_dim(0);
        let targets = if batch.targets.dim() == 3 {
            batch.targets.squeeze_dim(0)
        } else {
            batch.targets.shallow_clone()
        };
        let weights = batch.weights.squeeze_dim(0);
        let (factor, count) = (batch.view.factors.view([1, 1]), rows.size()[0]);
        let piece = (PIECE / text.size()[0].max(1)).max(1);
        let mut total = Tensor::zeros([0i64; 0], (Kind::Float, rows.device()));
        for from in (0..count).step_by(piece as usize) {
            let len = piece.min(count - from);
            let loss = with_grad(|| -> Result<Tensor> {
                let anchors = self.anchors_with(&leaf)?;
                let logits = model
                    .score_condensed(&rows.narrow(0, from, len), &anchors)?
                    .logits
                    * &factor;
                let logits = match &batch.view.offsets {
                    Some(offsets) => logits - offsets.squeeze_dim(0),
                    None => logits,
                };
                let picked = (logits.log_softmax(-1, Kind::Float) * targets.narrow(0, from, len))
                    .sum_dim_intlist([-1i64].as_slice(), false, Kind::Float);
                Ok(-(picked * weights.narrow(0, from, len)).sum(Kind::Float))
            })?;
            loss.f_backward()?;
            total += loss.detach();
        }
        Ok((leaf.grad(), total))
    }
}

/// How logits become a posterior.
#[derive(Debug)]
pub(super) struct View {
    /// `[R, 1, 1]`, what they are multiplied with.
    pub factors: Tensor,
    /// `[R, 1, C]`, what is then taken off.
    pub offsets: Option<Tensor>,
}

/// Remembered samples of several streams that make a step.
#[derive(Debug)]
pub(super) struct Batch {
    /// `[R, n, D]`.
    pub rows: Tensor,
    /// `[n, C]` or `[R, n, C]`, rows that sum to 1.
    pub targets: Tensor,
    /// `[R, n]`.
    pub weights: Tensor,
    pub view: View,
}

impl Batch {
    /// `[R, C, D]`: gradient with respect to class vectors of that shape, and the losses `[R]`, stream by stream.
    pub fn gradient_on_host(&self, classes: &Tensor, scale: f64) -> (Tensor, Option<Tensor>) {
        let size = classes.size();
        let (columns, width) = (size[1].unsigned_abs() as usize, size[2].unsigned_abs() as usize);
        let plain = host::HostF32::new;
        let (rows, vectors, weights) = (plain(&self.rows), plain(classes), plain(&self.weights));
        let (targets, factors) = (plain(&self.targets), plain(&self.view.factors));
        let offsets = self.view.offsets.as_ref().map(plain);
        let count = self.rows.size()[1].unsigned_abs() as usize;
        let shared = self.targets.dim() == 2;
        let mut gradient = Tensor::empty(&size[..], (Kind::Float, Device::Cpu));
        let parts = host::slice_mut(&mut gradient).chunks_exact_mut((columns * width).max(1));
        let arch = pulp::Arch::new();
        let loss = |(r, gradient): (usize, &mut [f32])| {
            let targets = targets.as_slice();
            arch.dispatch(Memory {
                width,
                rows: &rows.as_slice()[r * count * width..][..count * width],
                classes: &vectors.as_slice()[r * columns * width..][..columns * width],
                targets: if shared {
                    targets
                } else {
                    &targets[r * count * columns..][..count * columns]
                },
                weights: &weights.as_slice()[r * count..][..count],
                factor: factors.as_slice()[r] * scale as f32,
                offsets: offsets
                    .as_ref()
                    .map_or(&[], |o| &o.as_slice()[r * columns..][..columns]),
                gradient,
            }) as f32
        };
        let losses: Vec<f32> = parts.enumerate().map(loss).collect();
        (gradient, Some(Tensor::from_slice(&losses)))
    }

    /// The same by tensor operations, as on an accelerator; the losses when asked.
    pub fn gradient_by_tensors(&self, classes: &Tensor, scale: f64, loss: bool) -> (Tensor, Option<Tensor>) {
        let Self {
            rows,
            targets,
            weights,
            view,
        } = self;
        let factor = &view.factors * scale;
        let single = rows.size()[0] == 1;
        let logits = if single {
            rows.squeeze_dim(0)
                .mm(&classes.squeeze_dim(0).transpose(0, 1))
                .unsqueeze(0)
        } else {
            rows.bmm(&classes.transpose(1, 2))
        };
        let logits = match &view.offsets {
            Some(offsets) => logits * &factor - offsets,
            None => logits * &factor,
        };
        let posterior = logits.softmax(-1, Kind::Float);
        let losses = loss.then(|| {
            let picked = (logits.log_softmax(-1, Kind::Float) * targets).sum_dim_intlist(
                [-1i64].as_slice(),
                false,
                Kind::Float,
            );
            -(picked * weights).sum_dim_intlist([-1i64].as_slice(), false, Kind::Float)
        });
        let slope = (posterior - targets) * (weights.unsqueeze(-1) * &factor);
        let gradient = if single {
            slope
                .squeeze_dim(0)
                .transpose(0, 1)
                .mm(&rows.squeeze_dim(0))
                .unsqueeze(0)
        } else {
            slope.transpose(1, 2).bmm(rows)
        };
        (gradient, losses)
    }
}
