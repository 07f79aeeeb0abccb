//! `calibrated-stacking`: lessens the scores of the seen classes by a constant, and takes the largest score of all.
//!
//! Source: Chao et al., "An Empirical Study and Analysis of Generalized Zero-Shot Learning", ECCV 2016; STAR and Neuron
//! lessen softmax probabilities, and choose the constant on the test set. Here it is chosen with seen classes held out.
//!
//! | symbol | here    | shape    | meaning                                        |
//! |--------|---------|----------|------------------------------------------------|
//! | `f`    |         | `[B, C]` | logits, or the softmax over all candidates     |
//! | `γ`    | `gamma` | scalar   | subtracted from `f` in the columns of the seen |

use std::collections::BTreeMap;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use szar_core::{
    BuildContext, ClassList, Column, ComponentInfo, ComponentKind, Error, GateConfig, GateEvidence, GzslGate,
    Mark, OpenEvidence, Problems, PseudoUnseen, Result,
};
use tch::{Kind, Tensor};

use super::evidence::{columns, index, judged};
use super::sweep;

const NAME: &str = "calibrated-stacking";

/// What the constant is subtracted from.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum On {
    /// The logits: the margin does not depend on the number of candidates.
    #[default]
    Logits,
    /// The softmax over all candidates (STAR, Neuron).
    Probabilities,
}

/// Options of the `calibrated-stacking` gate.
#[derive(Clone, Debug, Default, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct CalibratedStackingConfig {
    /// What the constant is subtracted from. Default: logits, as Chao et al.; STAR and Neuron take probabilities.
    pub on: On,
    /// γ itself, any finite number in the unit of `on`. Default: the one with the best harmonic mean on seen validation
    /// samples and samples of held-out classes.
    pub gamma: Option<f64>,
    /// Which seen classes are held out to choose γ.
    pub pseudo_unseen: PseudoUnseen,
}

#[typetag::serde(name = "calibrated-stacking")]
impl GateConfig for CalibratedStackingConfig {
    fn validate(&self, problems: &mut Problems) {
        self.pseudo_unseen.validate(problems);
        let finite = self.gamma.is_none_or(f64::is_finite);
        problems.check(finite, "gamma", || "must be a finite number".into());
    }

    fn needs_validation(&self) -> bool {
        self.gamma.is_none()
    }

    fn needs_pseudo_unseen(&self) -> Option<PseudoUnseen> {
        self.gamma.is_none().then(|| self.pseudo_unseen.clone())
    }

    fn marks(&self) -> Vec<Mark> {
        match self.gamma {
            None => self.pseudo_unseen.marks(NAME),
            Some(gamma) => vec![Mark::note(format!(
                "gate `{NAME}`: gamma {gamma} was given, not chosen on validation data"
            ))],
        }
    }

    fn build(&self, _: &ClassList, _: &BuildContext) -> Result<Box<dyn GzslGate>> {
        Ok(Box::new(Stacking {
            on: self.on,
            gamma: self.gamma,
        }))
    }
}

inventory::submit! {
    ComponentInfo::new::<CalibratedStackingConfig>(
        ComponentKind::Gate,
        NAME,
        "Subtracts a constant from the scores of seen classes and takes the largest score.",
        "Chao et al., ECCV 2016",
    )
}

/// Scores with `gamma` subtracted in the columns of the seen classes.
///
/// # Shapes
/// - `logits`: `[B, C]`; `seen`: columns of it
/// - result: `[B, C]` f32; logits, or probabilities
pub fn calibrated(logits: &Tensor, seen: &[Column], gamma: f64, on: On) -> Tensor {
    let scores = scores(logits, on);
    let penalty = Tensor::full([seen.len() as i64], -gamma, (Kind::Float, logits.device()));
    let penalty = penalty.expand([logits.size()[0], -1], false);
    scores.index_add(1, &index(seen, logits.device()), &penalty)
}

fn scores(logits: &Tensor, on: On) -> Tensor {
    match on {
        On::Logits => logits.to_kind(Kind::Float),
        On::Probabilities => logits.softmax(-1, Kind::Float),
    }
}

/// How far the best unseen candidate lies above the best seen one, `[B]`.
fn margin(evidence: &GateEvidence, on: On) -> Tensor {
    let scores = scores(&evidence.scores.logits, on);
    let best = |side: &[Column]| columns(&scores, side).amax([1i64].as_slice(), false);
    best(evidence.unseen) - best(evidence.seen)
}

#[derive(Debug)]
struct Stacking {
    on: On,
    gamma: Option<f64>,
}

impl Stacking {
    fn gamma(&self) -> Result<f64> {
        let gamma = self.gamma;
        gamma.ok_or_else(|| Error::Missing(format!("a gamma: the gate `{NAME}` was not fitted")))
    }
}

impl GzslGate for Stacking {
    fn fit(&mut self, _: &GateEvidence) -> Result<BTreeMap<String, f64>> {
        Ok(BTreeMap::from([("gamma".to_owned(), self.gamma()?)]))
    }

    fn fit_open(&mut self, open: &OpenEvidence) -> Result<BTreeMap<String, f64>> {
        let evidence = &open.evidence;
        let seen_logits = columns(&evidence.scores.logits, evidence.seen);
        let swept = sweep::best(&judged(open, &margin(evidence, self.on), &seen_logits, NAME)?)?;
        // A sample is taken for seen when its margin is below -gamma. Probabilities shrink as candidates come in.
        let candidates = |counts: [usize; 2]| (counts[0] + counts[1]).max(1) as f64;
        let scale = match self.on {
            On::Logits => 1.0,
            On::Probabilities => {
                candidates([evidence.seen.len(), evidence.unseen.len()]) / candidates(open.classes)
            }
        };
        let gamma = -swept.threshold * scale;
        self.gamma = Some(gamma);
        Ok(BTreeMap::from([
            ("gamma".to_owned(), gamma),
            ("validation_harmonic_mean".to_owned(), swept.reached[2]),
        ]))
    }

    fn takes_for_seen(&self, evidence: &GateEvidence) -> Result<Tensor> {
        let logits = &evidence.scores.logits;
        let winner = calibrated(logits, evidence.seen, self.gamma()?, self.on).argmax(1, false);
        let seen = index(evidence.seen, logits.device());
        Ok(winner
            .unsqueeze(1)
            .eq_tensor(&seen.unsqueeze(0))
            .any_dim(1, false))
    }

    fn unseen_score(&self, evidence: &GateEvidence) -> Result<Tensor> {
        Ok(margin(evidence, self.on))
    }
}
