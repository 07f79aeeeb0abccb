//! The gate at work.

use std::collections::BTreeMap;

use szar_core::{Error, GateEvidence, GzslGate, OpenEvidence, Result, Seed};
use tch::{Kind, Tensor};

use super::super::evidence::{columns, sides};
use super::choose::{Chosen, Samples, choose};
use super::config::{NAME, SeenUnseenClassifierConfig};
use super::features::seen_posterior;

/// The gate; knows nothing before it is fitted.
#[derive(Debug)]
pub(super) struct Gate {
    options: SeenUnseenClassifierConfig,
    seed: Seed,
    chosen: Option<Chosen>,
}

impl Gate {
    pub(super) fn new(options: SeenUnseenClassifierConfig, seed: Seed) -> Self {
        Self {
            options,
            seed,
            chosen: None,
        }
    }

    fn chosen(&self) -> Result<&Chosen> {
        let chosen = self.chosen.as_ref();
        chosen.ok_or_else(|| Error::Missing(format!("a fit: the gate `{NAME}` was not fitted")))
    }

    /// Posterior over the unseen candidates and logits over the seen ones.
    fn inputs(&self, evidence: &GateEvidence) -> Result<(Tensor, Tensor)> {
        let zero_shot = columns(&evidence.scores.logits, evidence.unseen).softmax(-1, Kind::Float);
        Ok((zero_shot, self.seen_logits(evidence)?))
    }

    /// K: no more than either side has candidates, now and later.
    fn top(&self, open: &OpenEvidence) -> usize {
        let [seen, unseen] = open.classes;
        let counts = [seen, unseen, open.evidence.seen.len(), open.evidence.unseen.len()];
        let most = counts.into_iter().min().unwrap_or(1);
        self.options.top.unwrap_or(unseen).min(most)
    }

    /// P(seen), `[B]` f64.
    fn probability(&self, evidence: &GateEvidence) -> Result<Tensor> {
        let (zero_shot, seen_logits) = self.inputs(evidence)?;
        self.chosen()?.model.seen(&zero_shot, &seen_logits)
    }

    /// The soft rule: the best class of either side, each side's posterior flattened as far as the side is doubted.
    fn softly(&self, evidence: &GateEvidence) -> Result<Tensor> {
        let (zero_shot, seen_logits) = self.inputs(evidence)?;
        let model = &self.chosen()?.model;
        let seen = model.seen(&zero_shot, &seen_logits)?;
        let unseen = 1f64 - &seen;
        let classes = (evidence.seen.len() + evidence.unseen.len()) as f64;
        let weighed = |posterior: Tensor, side: &Tensor, other: &Tensor, classes: f64| {
            let best = posterior.amax([1i64].as_slice(), false).to_kind(Kind::Double);
            side * (best + other / classes)
        };
        let own = weighed(
            seen_posterior(&seen_logits, model.temperature),
            &seen,
            &unseen,
            classes,
        );
        let other = weighed(zero_shot, &unseen, &seen, evidence.unseen.len() as f64);
        Ok(own.gt_tensor(&other))
    }
}

impl GzslGate for Gate {
    fn fit(&mut self, _: &GateEvidence) -> Result<BTreeMap<String, f64>> {
        Err(Error::Missing(format!(
            "held-out classes: the gate `{NAME}` cannot be fitted on seen classes alone"
        )))
    }

    fn fit_open(&mut self, open: &OpenEvidence) -> Result<BTreeMap<String, f64>> {
        let (zero_shot, seen_logits) = self.inputs(&open.evidence)?;
        let mut samples = Samples {
            zero_shot,
            seen_logits,
            seen: sides(open, NAME)?.iter().map(|unseen| !unseen).collect(),
        };
        if self.options.unseen_feature_bug {
            samples = samples.with_feature_bug();
        }
        let top = self.top(open);
        let chosen = choose(&samples, &self.options.plan(), top, self.seed)?;
        let mut constants = BTreeMap::from([
            ("temperature".to_owned(), chosen.model.temperature),
            ("threshold".to_owned(), chosen.threshold),
            ("top".to_owned(), top as f64),
        ]);
        if let Some(accuracy) = chosen.accuracy {
            constants.insert("validation_accuracy".to_owned(), 100.0 * accuracy);
        }
        self.chosen = Some(chosen);
        Ok(constants)
    }

    fn takes_for_seen(&self, evidence: &GateEvidence) -> Result<Tensor> {
        if self.options.soft {
            return self.softly(evidence);
        }
        let threshold = self.chosen()?.threshold;
        let unseen = 1f64 - self.probability(evidence)?;
        Ok(taken(&unseen, threshold, self.options.legacy_threshold))
    }

    fn unseen_score(&self, evidence: &GateEvidence) -> Result<Tensor> {
        Ok((1f64 - self.probability(evidence)?).to_kind(Kind::Float))
    }

    fn seen_logits(&self, evidence: &GateEvidence) -> Result<Tensor> {
        self.options.seen_side.logits(evidence, NAME)
    }
}

/// Which samples are taken for seen by their P(unseen), `[B]`; `legacy` applies the threshold to P(seen), as published.
pub(super) fn taken(unseen: &Tensor, threshold: f64, legacy: bool) -> Tensor {
    if legacy {
        return (1f64 - unseen).gt(threshold);
    }
    unseen.gt(threshold).logical_not()
}
