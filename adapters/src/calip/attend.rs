//! What samples and texts say after they have looked at each other.

use szar_core::host::{HostF32, tensor};
use szar_core::{Embedding, Result, shape};
use tch::{Device, Kind, Tensor};

use super::host::{self, Texts};
use crate::rows::Rows;

/// Vectors shorter than this count as this long, so that a zero vector is no division by zero.
pub(super) const MIN_LENGTH: f32 = 1e-8;

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
    attend_with(&mut Texts::default(), embedding, nodes, scale, normalise)
}

/// As [`attend`]; `texts` keeps what depends on the class embeddings alone, as long as those are the same.
///
/// # Errors
/// As [`attend`].
pub(super) fn attend_with(
    texts: &mut Texts,
    embedding: &Embedding,
    nodes: &Tensor,
    scale: f64,
    normalise: bool,
) -> Result<Attended> {
    let (visual, classes) = (&embedding.visual, &embedding.classes);
    shape::expect("class embeddings", classes, [None, None])?;
    let width = Some(classes.size()[1]);
    shape::expect("visual embeddings", visual, [None, width])?;
    shape::expect("node embeddings", nodes, [Some(visual.size()[0]), None, width])?;
    if nodes.size()[1] == 0 || classes.numel() == 0 {
        return Err(szar_core::Error::Input(format!(
            "calip needs nodes and texts, got {:?} and {:?}",
            nodes.size(),
            classes.size()
        )));
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
        texts.hold(HostF32::new(classes).as_slice(), classes.size()[1], normalise);
        Ok(on_host(visual, texts, nodes, scale as f32, normalise))
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

/// One pass over each sample.
fn on_host(visual: &Tensor, texts: &Texts, nodes: &Tensor, scale: f32, normalise: bool) -> Attended {
    let (batch, points, width) = (nodes.size()[0], nodes.size()[1], nodes.size()[2]);
    let (classes, count) = (&texts.rows, texts.rows.len() as i64 / width);
    let visual = host::rows(HostF32::new(visual).as_slice(), width as usize, normalise);
    let by_channel = nodes.transpose(1, 2);
    let turned = by_channel.is_contiguous() && !nodes.is_contiguous();
    let values = HostF32::new(if turned { &by_channel } else { nodes });
    let (answers, vectors) = ((batch * count) as usize, (batch * width) as usize);
    let (mut base, mut text) = (vec![0.0f32; answers], vec![0.0f32; answers]);
    let (mut seen, mut pooled) = (vec![0.0f32; answers], vec![0.0f32; vectors]);
    host::attend(host::Batch {
        points: points as usize,
        width: width as usize,
        scale,
        normalise,
        nodes: if turned {
            host::Nodes::ByChannel(values.as_slice())
        } else {
            host::Nodes::ByNode(values.as_slice())
        },
        visual: &visual,
        texts,
        text: &mut text,
        pooled: &mut pooled,
    });
    let rows = Rows::new(width as usize);
    rows.products(&visual, classes, &mut base);
    rows.products(&pooled, classes, &mut seen);
    let table = |values: &[f32]| tensor(values, &[batch, count]);
    Attended {
        base: table(&base),
        text: table(&text),
        visual: table(&seen),
    }
}
