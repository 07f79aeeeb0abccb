//! What the aligners share that bring pooled features and one vector per class into one space: their inputs and how
//! these are checked, their courses of training, and their validation.

mod course;
pub(super) mod replay;
#[cfg(test)]
pub(super) mod toy;

use std::cell::RefCell;

use szar_core::{Embedding, FeatureMap, Granularity, Result, SeenLabels, SemanticAnchors, shape};
use tch::{Kind, Tensor};

pub(super) use super::training::require;
use super::training::{Measure, Seen, unit_rows};

pub use course::Preset;
pub(super) use course::{Bounds, Course};

/// `[C, d]` f32, rows of length 1: one text per class.
pub(super) fn text(
    who: &str,
    anchors: &SemanticAnchors,
    granularity: &Granularity,
    width: i64,
) -> Result<Tensor> {
    shape::expect("semantic anchors", &anchors.values, [None, None, Some(width)])?;
    let text = anchors.granularity(granularity);
    let text = text.map_err(|e| e.context(format!("aligner `{who}`")))?;
    Ok(unit_rows(&text.to_kind(Kind::Float)))
}

/// [`text`] of the anchors that were asked for last, which a stream asks for at every step.
#[derive(Debug, Default)]
pub(super) struct Texts(RefCell<Option<(Seen, i64, Tensor)>>);

impl Texts {
    /// As [`text`]; kept when no gradient goes to the anchors.
    pub fn of(
        &self,
        who: &str,
        anchors: &SemanticAnchors,
        granularity: &Granularity,
        width: i64,
    ) -> Result<Tensor> {
        let mut kept = self.0.borrow_mut();
        let slot = anchors.slot(granularity).ok();
        if let Some((seen, of, text)) = &*kept
            && seen.is(&anchors.values)
            && Some(*of) == slot
        {
            return Ok(text.shallow_clone());
        }
        let text = text(who, anchors, granularity, width)?;
        if let Some(slot) = slot.filter(|_| !anchors.values.requires_grad()) {
            *kept = Some((Seen::new(&anchors.values), slot, text.shallow_clone()));
        }
        Ok(text)
    }
}

/// `[B, N]` f32: the mean over the map.
pub(super) fn pooled(features: &FeatureMap, channels: i64) -> Result<Tensor> {
    expect_channels(features, channels)?;
    Ok(features.pooled())
}

/// `[B·P, N]` f32: every node of the map, frame by frame and joint by joint, and P.
pub(super) fn nodes(features: &FeatureMap, channels: i64) -> Result<(Tensor, i64)> {
    expect_channels(features, channels)?;
    let (_, _, frames, joints) = features.dims();
    let nodes = features.values.to_kind(Kind::Float).permute([0, 2, 3, 1]);
    Ok((nodes.reshape([-1, channels]), frames * joints))
}

fn expect_channels(features: &FeatureMap, channels: i64) -> Result<()> {
    let want = [None, Some(channels), None, None];
    shape::expect("feature map", &features.values, want)
}

/// What an embedding compares: the dot products of its rows, times `scale`.
pub(super) fn compare(embedding: &Embedding, scale: f64) -> Tensor {
    let products = embedding.visual.mm(&embedding.classes.transpose(0, 1));
    if scale == 1.0 { products } else { products * scale }
}

/// Inputs of samples with their labels, made once for the whole training.
#[derive(Debug)]
pub(super) struct Samples {
    /// `[n, N]`.
    pub inputs: Tensor,
    /// `[n]` i64.
    pub labels: Tensor,
}

impl Samples {
    pub fn new(inputs: Tensor, labels: &SeenLabels) -> Self {
        Self {
            inputs,
            labels: labels.columns().shallow_clone(),
        }
    }

    pub fn len(&self) -> usize {
        self.labels.numel()
    }

    /// Inputs and labels of some samples.
    pub fn batch(&self, rows: &Tensor) -> (Tensor, Tensor) {
        (
            self.inputs.index_select(0, rows),
            self.labels.index_select(0, rows),
        )
    }

    /// Share of the samples, in percent, whose own class has the highest of the logits `[n, S]`.
    pub fn top1(&self, logits: impl FnOnce(&Tensor) -> Result<Tensor>) -> Result<Measure> {
        if self.len() == 0 {
            return Ok(Measure::Nothing);
        }
        let right = logits(&self.inputs)?.argmax(-1, false).eq_tensor(&self.labels);
        let share = right.to_kind(Kind::Float).mean(Kind::Float) * 100.0;
        Ok(Measure::Top1(share.view([1])))
    }
}

/// `[B, S]` f32: 1 for each sample's class. A product with it picks rows, and its gradient is the same bits on every device.
pub(super) fn pick(labels: &Tensor, classes: i64) -> Tensor {
    labels.one_hot(classes).to_kind(Kind::Float)
}

/// The multi-class hinge of the SynSE baselines: the sum over all classes c, the true one y included (where it adds
/// `margin`), of `max(0, v·t_c − v·t_y + margin)`, averaged over the batch.
///
/// `visual` `[B, D]`, `own` `[B, D]` the vectors of the samples' classes, `classes` `[S, D]`.
pub(super) fn hinge(visual: &Tensor, own: &Tensor, classes: &Tensor, margin: f64) -> Tensor {
    let right = (visual * own).sum_dim_intlist([-1i64].as_slice(), true, Kind::Float);
    let slack = visual.mm(&classes.transpose(0, 1)) - right + margin;
    slack.relu().sum(Kind::Float) / visual.size()[0] as f64
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_hinge_counts_the_true_class_with_its_margin() {
        // One sample (1, 0) of class (0.5, 0), the other class (0.4, 0): 0.3 and 0.4 - 0.5 + 0.3.
        let visual = Tensor::from_slice(&[1f32, 0.0]).view([1, 2]);
        let classes = Tensor::from_slice(&[0.5f32, 0.0, 0.4, 0.0]).view([2, 2]);
        let loss = hinge(&visual, &classes.narrow(0, 0, 1), &classes, 0.3);
        assert!((loss.double_value(&[]) - 0.5).abs() < 1e-6);
    }
}
