//! What samples and texts say after they have looked at each other.

use szar_core::{Embedding, Result, host::HostF32, shape};
use tch::{Device, Kind, Tensor};

use super::host;

/// Vectors shorter than this count as this long, so that a zero vector is no division by zero.
pub(super) const MIN_LENGTH: f32 = 1e-8;

/// Values of attended nodes that the CPU holds at once; a larger batch is taken in pieces.
const PIECE: i64 = 1 << 20;

/// Dot products before any logit scale.
#[derive(Debug)]
pub struct Attended {
    /// `[B, C]`, `g·F_t`: without attention.
    pub base: Tensor,
    /// `[B, C]`, `g·F_ta`: the sample against what each text sees of it.
    pub text: Tensor,
    /// `[B, C]`, `F_va·F_t`: what the nodes see of the texts, against the texts.
    pub visual: Tensor,
}

/// CALIP, eq. 3 to 7: the attention between nodes and texts, and the dot products after it.
///
/// # Shapes
/// - `embedding`: `[B, D]` and `[C, D]`; `nodes`: `[B, P, D]`, P at least 1
/// - with `normalise`, all vectors are brought to length 1 first
///
/// # Errors
/// [`szar_core::Error::Shape`] when they do not fit together.
pub fn attend(embedding: &Embedding, nodes: &Tensor, scale: f64, normalise: bool) -> Result<Attended> {
    let (visual, classes) = (&embedding.visual, &embedding.classes);
    shape::expect("class embeddings", classes, [None, None])?;
    let width = Some(classes.size()[1]);
    shape::expect("visual embeddings", visual, [None, width])?;
    shape::expect("node embeddings", nodes, [Some(visual.size()[0]), None, width])?;
    if nodes.size()[1] == 0 {
        return Err(szar_core::Error::Input("calip needs at least one node".into()));
    }
    if visual.size()[0] == 0 {
        let none = Tensor::zeros([0, classes.size()[0]], (Kind::Float, visual.device()));
        return Ok(Attended {
            base: none.shallow_clone(),
            text: none.shallow_clone(),
            visual: none,
        });
    }
    if visual.device() == Device::Cpu {
        on_host(visual, classes, nodes, scale as f32, normalise)
    } else {
        Ok(by_tensors(visual, classes, nodes, scale, normalise))
    }
}

/// In tensor operations, on any device.
pub(super) fn by_tensors(
    visual: &Tensor,
    classes: &Tensor,
    nodes: &Tensor,
    scale: f64,
    normalise: bool,
) -> Attended {
    let unit = |x: &Tensor| {
        let x = x.to_kind(Kind::Float);
        if !normalise {
            return x;
        }
        let squares = x.square().sum_dim_intlist([-1i64].as_slice(), true, Kind::Float);
        x / squares.sqrt().clamp_min(f64::from(MIN_LENGTH))
    };
    let (visual, classes, nodes) = (unit(visual), unit(classes), unit(nodes));
    let texts = classes.transpose(0, 1);
    let affinity = nodes.matmul(&texts) * scale;
    let seen = nodes.bmm(&visual.unsqueeze(-1));
    let text =
        (affinity.softmax(1, Kind::Float) * seen).sum_dim_intlist([1i64].as_slice(), false, Kind::Float);
    let looked = affinity.softmax(2, Kind::Float).matmul(&classes);
    let pooled =
        looked.mean_dim([1i64].as_slice(), false, Kind::Float) + looked.amax([1i64].as_slice(), false);
    Attended {
        base: visual.matmul(&texts),
        text,
        visual: pooled.matmul(&texts),
    }
}

/// Three matrix products, and one pass over each sample between them.
fn on_host(
    visual: &Tensor,
    classes: &Tensor,
    nodes: &Tensor,
    scale: f32,
    normalise: bool,
) -> Result<Attended> {
    let (batch, points, width) = (nodes.size()[0], nodes.size()[1], nodes.size()[2]);
    let count = classes.size()[0];
    let visual = host::rows(&HostF32::new(visual), width, normalise);
    let classes = host::rows(&HostF32::new(classes), width, normalise);
    let texts = classes.transpose(0, 1);
    let cpu = (Kind::Float, Device::Cpu);
    let (mut text, mut pooled) = (
        Tensor::zeros([batch, count], cpu),
        Tensor::zeros([batch, width], cpu),
    );
    let step = (PIECE / (points * width).max(1)).clamp(1, batch);
    let nodes = nodes.to_kind(Kind::Float);
    for from in (0..batch).step_by(step as usize) {
        let len = step.min(batch - from);
        let part = nodes
            .narrow(0, from, len)
            .contiguous()
            .view([len * points, width]);
        let mut affinity = part.f_matmul(&texts)?;
        host::Look {
            points: points as usize,
            width: width as usize,
            classes: count as usize,
            scale,
            normalise,
            nodes: szar_core::host::slice(&part),
            visual: szar_core::host::slice(&visual.narrow(0, from, len)),
            affinity: szar_core::host::slice_mut(&mut affinity),
            text: host::rows_of(&mut text, from, len),
        }
        .run();
        let looked = affinity.f_matmul(&classes)?;
        host::Pool {
            points: points as usize,
            width: width as usize,
            looked: szar_core::host::slice(&looked),
            pooled: host::rows_of(&mut pooled, from, len),
        }
        .run();
    }
    Ok(Attended {
        base: visual.f_matmul(&texts)?,
        text,
        visual: pooled.f_matmul(&texts)?,
    })
}
