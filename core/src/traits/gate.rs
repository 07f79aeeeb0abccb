//! Decides between seen and unseen in generalised zero-shot recognition.

use std::collections::BTreeMap;
use std::fmt::Debug;

use tch::Tensor;

use crate::component::{BuildContext, Mark};
use crate::types::{ClassList, Column, Scores};
use crate::{Problems, Result};

/// What a gate judges by.
#[derive(Debug)]
pub struct GateEvidence<'a> {
    /// `[B, C]` over all candidates, seen and unseen, after the adapters.
    pub scores: &'a Scores,
    /// Columns of the seen classes.
    pub seen: &'a [Column],
    /// Columns of the unseen classes.
    pub unseen: &'a [Column],
    /// `[B, S]` logits of the encoder's own classifier over the seen classes, where it has one.
    pub encoder_logits: Option<&'a Tensor>,
}

/// A seen/unseen gate.
pub trait GzslGate: Send {
    /// Chooses its constants on validation samples of seen classes. Returns them by name for the report.
    ///
    /// # Errors
    /// When the evidence lacks what the gate needs.
    fn fit(&mut self, validation: &GateEvidence) -> Result<BTreeMap<String, f64>>;

    /// `[B]` bool: true where the sample is taken for a seen class.
    ///
    /// # Errors
    /// When the gate was not fitted or the evidence lacks what it needs.
    fn takes_for_seen(&self, evidence: &GateEvidence) -> Result<Tensor>;

    /// `[B]` f32, larger for samples that look unseen; what the threshold is applied to.
    ///
    /// # Errors
    /// When the evidence lacks what the gate needs.
    fn unseen_score(&self, evidence: &GateEvidence) -> Result<Tensor>;

    /// `[B, S]` logits by which a sample that was taken for seen is classified among the seen classes.
    ///
    /// # Errors
    /// When the evidence lacks what the gate needs.
    fn seen_logits(&self, evidence: &GateEvidence) -> Result<Tensor> {
        let columns: Vec<i64> = evidence.seen.iter().map(|c| c.0 as i64).collect();
        let logits = &evidence.scores.logits;
        Ok(logits.index_select(1, &Tensor::from_slice(&columns).to_device(logits.device())))
    }
}

/// Options of a gate.
#[typetag::serde(tag = "type")]
pub trait GateConfig: Debug + Send + Sync {
    /// Judges the options alone; touches nothing.
    fn validate(&self, problems: &mut Problems);

    /// True when it needs an encoder that classifies the seen classes.
    fn needs_encoder_logits(&self) -> bool {
        false
    }

    /// True when it chooses constants on seen validation samples.
    fn needs_validation(&self) -> bool {
        true
    }

    /// Remarks for the report.
    fn marks(&self) -> Vec<Mark> {
        Vec::new()
    }

    /// Builds the runtime part for these classes.
    ///
    /// # Errors
    /// When the options do not fit the classes.
    fn build(&self, candidates: &ClassList, ctx: &BuildContext) -> Result<Box<dyn GzslGate>>;
}
