//! Decides between seen and unseen in generalised zero-shot recognition.

use std::collections::BTreeMap;
use std::fmt::Debug;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use tch::Tensor;

use super::OracleLabels;
use crate::component::{BuildContext, Mark};
use crate::types::{ClassList, Column, Scores};
use crate::{Error, Problems, Result};

/// What a gate judges by.
#[derive(Debug)]
pub struct GateEvidence<'a> {
    /// `[B, C]` over all candidates, seen and unseen, of the model without adapters when the gate judges, with them when
    /// it is asked for the logits of the seen classes.
    pub scores: &'a Scores,
    /// Columns of the seen classes.
    pub seen: &'a [Column],
    /// Columns of the unseen classes.
    pub unseen: &'a [Column],
    /// `[B, S]` logits of the encoder's own classifier over the seen classes, where it has one.
    pub encoder_logits: Option<&'a Tensor>,
    /// Columns of the true classes; only for gates whose configuration [wants them](GateConfig::wants_truth) and whose
    /// marks say so in every report.
    pub truth: Option<&'a OracleLabels>,
}

/// What a gate is fitted on that needs samples of classes which the model was not trained on.
///
/// Some seen classes are held out of a training of their own and stand for the unseen: the evidence's candidates are the
/// seen classes that remain and those, its samples are validation samples of the former and training samples of the
/// latter. Nothing of the unseen classes or of a test sample is in it.
#[derive(Debug)]
pub struct OpenEvidence<'a> {
    /// `seen` are the columns of the classes that remain, `unseen` those of the classes held out.
    pub evidence: GateEvidence<'a>,
    /// `[B]` i64, the column of each sample's class.
    pub labels: &'a Tensor,
    /// How many seen and how many unseen classes the gate will judge between.
    pub classes: [usize; 2],
}

/// Seen classes that are held out of a training of their own, to stand for unseen classes while a gate is fitted.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct PseudoUnseen {
    /// How many seen classes are held out, drawn by the run's seed; at least 1, and at least 2 must remain. Default: as
    /// many as are unseen, at most a third of the seen (ours).
    pub count: Option<usize>,
    /// Names of the seen classes to hold out, instead of drawing them. Default: drawn.
    pub classes: Vec<String>,
    /// Train the encoder anew without them. `false` takes the run's own encoder, which was trained on them: it costs no
    /// second training, but the gate then meets pseudo-unseen samples that look more familiar than unseen ones will.
    /// Default: true, as SynSE.
    pub retrain_encoder: bool,
}

impl Default for PseudoUnseen {
    fn default() -> Self {
        Self {
            count: None,
            classes: Vec::new(),
            retrain_encoder: true,
        }
    }
}

impl PseudoUnseen {
    /// Judges these options; `problems` is that of the gate.
    pub fn validate(&self, problems: &mut Problems) {
        problems.scoped("pseudo_unseen", |p| {
            p.check(self.count != Some(0), "count", || {
                "must be at least 1, got 0".into()
            });
            p.check(self.count.is_none() || self.classes.is_empty(), "count", || {
                "the classes to hold out are listed, which gives their number; leave one of the two out"
                    .into()
            });
            for (i, name) in self.classes.iter().enumerate() {
                let again = self.classes[..i].contains(name);
                p.check(!again, &format!("classes[{i}]"), || {
                    format!("`{name}` is listed twice")
                });
            }
        });
    }

    /// What a report must say of them, for the gate of this name.
    pub fn marks(&self, gate: &str) -> Vec<Mark> {
        if self.retrain_encoder {
            return Vec::new();
        }
        vec![Mark::note(format!(
            "gate `{gate}` was fitted on held-out classes that its encoder was trained on: its constants are optimistic"
        ))]
    }
}

/// A seen/unseen gate.
pub trait GzslGate: Send {
    /// Chooses its constants on validation samples of seen classes. Returns them by name for the report.
    ///
    /// # Errors
    /// When the evidence lacks what the gate needs.
    fn fit(&mut self, validation: &GateEvidence) -> Result<BTreeMap<String, f64>>;

    /// Chooses its constants on samples of seen and of held-out classes; instead of [`Self::fit`], for gates whose
    /// configuration says [`GateConfig::needs_pseudo_unseen`]. Returns them by name for the report.
    ///
    /// # Errors
    /// When the evidence lacks what the gate needs, or the gate does not learn from held-out classes.
    fn fit_open(&mut self, _: &OpenEvidence) -> Result<BTreeMap<String, f64>> {
        Err(Error::Unavailable(
            "this gate asks for held-out classes and does not learn from them".into(),
        ))
    }

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

    /// True when it looks at those logits while it is fitted, and not only at test samples'.
    fn fits_on_encoder_logits(&self) -> bool {
        self.needs_encoder_logits() && (self.needs_validation() || self.needs_pseudo_unseen().is_some())
    }

    /// True when it chooses constants on seen validation samples.
    fn needs_validation(&self) -> bool {
        true
    }

    /// Set when it is fitted on classes that the model was not trained on: which of the seen are held out for that.
    fn needs_pseudo_unseen(&self) -> Option<PseudoUnseen> {
        None
    }

    /// True when it judges by the true classes. They reach it only where its marks say that it uses test labels.
    fn wants_truth(&self) -> bool {
        false
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
