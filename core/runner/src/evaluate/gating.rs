//! Fits a gate on validation samples, and decides what it may see.

use std::collections::BTreeMap;

use szar_core::{
    ClassList, Column, FeatureMap, GateConfig, GateEvidence, GzslGate, OracleLabels, Result, Scores, shape,
};
use tch::{Kind, Tensor, no_grad};

use super::Model;
use crate::data::{Data, Part};
use crate::features::Features;
use crate::report::HeldOut;

/// Samples that are scored at once.
const BATCH: i64 = 512;

/// A gate that was fitted, and what the report says of it.
pub struct Gated<'a> {
    /// The gate.
    pub gate: &'a dyn GzslGate,
    /// Are the true classes part of its evidence?
    pub sees_truth: bool,
    /// Its constants by name.
    pub constants: BTreeMap<String, f64>,
    /// The classes that it was fitted with, if it asked for any.
    pub held_out: Option<HeldOut>,
}

/// True classes reach a gate only where it asks for them and says so in every report.
pub fn sees_truth(gate: &dyn GateConfig) -> bool {
    gate.wants_truth() && gate.marks().iter().any(|mark| mark.uses_test_labels)
}

/// Columns of some classes among the candidates.
pub fn columns(classes: &ClassList, candidates: &ClassList) -> Vec<Column> {
    let ids = classes.ids().iter();
    ids.filter_map(|id| candidates.column(*id)).collect()
}

/// Scores of a trained model without adapters; `labels` (`[B]` i64, columns) reach only aligners that say they use them.
///
/// # Errors
/// When the aligner refuses.
pub fn score(
    model: &Model,
    features: &FeatureMap,
    candidates: &ClassList,
    labels: &Tensor,
) -> Result<Scores> {
    let anchors = model.anchors.for_classes(candidates)?;
    let (aligner, count) = (model.aligner, features.dims().0);
    let device = features.values.device();
    let logits = Tensor::empty([count, candidates.len() as i64], (Kind::Float, device));
    for start in (0..count).step_by(BATCH as usize) {
        let len = BATCH.min(count - start);
        let part = features.narrow(start, len);
        let scores = no_grad(|| {
            if !aligner.capabilities().oracle_labels {
                return aligner.score(&part, &anchors);
            }
            let labels = OracleLabels(labels.narrow(0, start, len));
            aligner.score_with_labels(&part, &anchors, &labels)
        })?;
        let want = [Some(len), Some(candidates.len() as i64)];
        shape::expect("aligner scores", &scores.logits, want)?;
        logits.narrow(0, start, len).copy_(&scores.logits);
    }
    Ok(Scores { logits })
}

/// Fits a gate on the seen validation samples, or, where it needs no `validation`, on none. Returns its constants.
///
/// # Errors
/// When aligner or gate refuses.
pub fn fit_gate(
    model: &Model,
    gate: &mut dyn GzslGate,
    data: &Data,
    features: &Features,
    validation: bool,
) -> Result<BTreeMap<String, f64>> {
    let candidates = data.split.all();
    let mut rows = data.rows(Part::Validation);
    if !validation {
        rows.end = rows.start;
    }
    let column = |row: usize| candidates.column(data.class_of(row)).map_or(-1, |c| c.0 as i64);
    let labels: Vec<i64> = rows.clone().map(column).collect();
    let features = features.rows(&rows);
    let labels = Tensor::from_slice(&labels).to_device(features.map.values.device());
    let scores = score(model, &features.map, &candidates, &labels)?;
    gate.fit(&GateEvidence {
        scores: &scores,
        seen: &columns(data.split.seen(), &candidates),
        unseen: &columns(data.split.unseen(), &candidates),
        encoder_logits: features.seen_logits.as_ref(),
        truth: None,
    })
}
