//! `entropy`: takes a sample for a seen class when a posterior is certain of it.
//!
//! Source: DynaPURLS (arXiv 2512.11941), `H(p) < δ` is seen, with p over all candidates; SCoPLe takes p over the seen
//! candidates alone. The papers choose δ "on a validation set": here as a quantile of the entropies of seen validation
//! samples (`choose: keep`), or by the best harmonic mean with seen classes held out (`choose: harmonic_mean`); both ours.
//!
//! | symbol | here        | shape    | meaning                                  |
//! |--------|-------------|----------|------------------------------------------|
//! | `p`    |             | `[B, S]` | posterior of the encoder or the aligner  |
//! | `H`    | [`entropy`] | `[B]`    | `−Σ p log p`, nats                       |
//! | `δ`    | `threshold` | scalar   | strictly below it, the sample is seen    |

use std::collections::BTreeMap;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use szar_core::{
    BuildContext, ClassList, ComponentInfo, ComponentKind, Error, GateConfig, GateEvidence, GzslGate, Mark,
    OpenEvidence, Problems, PseudoUnseen, Result, host,
};
use tch::{Kind, Tensor};

use super::evidence::{Classifier, columns, judged, of_encoder};
use super::sweep;

const NAME: &str = "entropy";

/// Probabilities below this count as this inside the logarithm.
const MIN_PROBABILITY: f64 = 1e-12;

/// Whose posterior is judged.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum Source {
    /// That of the encoder's own classifier, over the seen classes.
    #[default]
    Encoder,
    /// That of the scores after the adapters.
    Aligner,
}

/// Which columns of the aligner's scores the posterior runs over.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum Support {
    /// Seen and unseen (DynaPURLS).
    #[default]
    All,
    /// The seen alone (SCoPLe).
    Seen,
}

/// How the threshold is chosen.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Choice {
    /// So that a share of the seen validation samples is taken for seen.
    #[default]
    Keep,
    /// By the best harmonic mean on seen validation samples and samples of held-out classes; takes a second training.
    HarmonicMean,
}

/// Options of the `entropy` gate.
#[derive(Clone, Debug, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct EntropyGateConfig {
    /// Whose posterior is judged. Default: encoder (ours); the paper judges the aligner's.
    pub source: Source,
    /// Columns that the aligner's posterior runs over. Default: the paper's all.
    pub support: Support,
    /// How the threshold is chosen. Default: keep (ours).
    pub choose: Choice,
    /// With `choose: keep`, share of seen validation samples to be taken for seen; above 0, up to 1. Default: 0.8 (ours).
    pub keep: f64,
    /// The threshold itself, in nats, instead of one from validation; above 0. Default: none.
    pub threshold: Option<f64>,
    /// Who names the class of samples taken for seen. Default: encoder (ours).
    pub classify: Classifier,
    /// Which seen classes are held out, with `choose: harmonic_mean`.
    pub pseudo_unseen: PseudoUnseen,
}

impl Default for EntropyGateConfig {
    fn default() -> Self {
        Self {
            source: Source::Encoder,
            support: Support::All,
            choose: Choice::Keep,
            keep: 0.8,
            threshold: None,
            classify: Classifier::Encoder,
            pseudo_unseen: PseudoUnseen::default(),
        }
    }
}

#[typetag::serde(name = "entropy")]
impl GateConfig for EntropyGateConfig {
    fn validate(&self, problems: &mut Problems) {
        let keep = self.keep;
        let why = || format!("must be above 0 and at most 1, got {keep}");
        problems.check(keep > 0.0 && keep <= 1.0, "keep", why);
        self.pseudo_unseen.validate(problems);
        if let Some(threshold) = self.threshold {
            let why = || format!("must be above 0, got {threshold}");
            problems.check(threshold > 0.0 && threshold.is_finite(), "threshold", why);
        }
    }

    fn needs_encoder_logits(&self) -> bool {
        self.source == Source::Encoder || self.classify == Classifier::Encoder
    }

    fn fits_on_encoder_logits(&self) -> bool {
        let counted = self.choose == Choice::HarmonicMean && self.classify == Classifier::Encoder;
        self.threshold.is_none() && (self.source == Source::Encoder || counted)
    }

    fn needs_validation(&self) -> bool {
        self.threshold.is_none()
    }

    fn needs_pseudo_unseen(&self) -> Option<PseudoUnseen> {
        let swept = self.choose == Choice::HarmonicMean && self.threshold.is_none();
        swept.then(|| self.pseudo_unseen.clone())
    }

    fn marks(&self) -> Vec<Mark> {
        let held_out = self.needs_pseudo_unseen();
        let given = |threshold| {
            Mark::note(format!(
                "entropy gate: threshold {threshold} was given, not chosen on validation data"
            ))
        };
        let given = self.threshold.map(given).into_iter();
        given.chain(held_out.iter().flat_map(|h| h.marks(NAME))).collect()
    }

    fn build(&self, _: &ClassList, _: &BuildContext) -> Result<Box<dyn GzslGate>> {
        Ok(Box::new(EntropyGate {
            options: self.clone(),
            threshold: self.threshold,
        }))
    }
}

inventory::submit! {
    ComponentInfo::new::<EntropyGateConfig>(
        ComponentKind::Gate,
        NAME,
        "Takes a sample for seen when the posterior over the classes has little entropy.",
        "DynaPURLS, arXiv 2512.11941",
    )
}

/// Entropy of the softmax of each row, in nats.
///
/// # Shapes
/// - `logits`: `[B, S]`, any scale
/// - result: `[B]` f32, `0 ..= ln S`
pub fn entropy(logits: &Tensor) -> Tensor {
    let posterior = logits.softmax(-1, Kind::Float);
    let terms = &posterior * posterior.clamp_min(MIN_PROBABILITY).log();
    -terms.sum_dim_intlist([-1i64].as_slice(), false, Kind::Float)
}

#[derive(Debug)]
struct EntropyGate {
    options: EntropyGateConfig,
    threshold: Option<f64>,
}

impl EntropyGate {
    /// Entropy grows with the number of classes: a threshold chosen over some of them as one over those of the task.
    fn rescaled(&self, threshold: f64, open: &OpenEvidence) -> f64 {
        let (seen, unseen) = (open.evidence.seen.len(), open.evidence.unseen.len());
        let [seen_later, unseen_later] = open.classes;
        let (now, later) = match (self.options.source, self.options.support) {
            (Source::Aligner, Support::All) => (seen + unseen, seen_later + unseen_later),
            _ => (seen, seen_later),
        };
        if now < 2 || later < 2 {
            return threshold;
        }
        threshold * (later as f64).ln() / (now as f64).ln()
    }
}

impl GzslGate for EntropyGate {
    fn fit(&mut self, validation: &GateEvidence) -> Result<BTreeMap<String, f64>> {
        let threshold = match self.options.threshold {
            Some(threshold) => threshold,
            None => quantile(host::to_f64(&self.unseen_score(validation)?), self.options.keep)?,
        };
        self.threshold = Some(threshold);
        Ok([("threshold".to_owned(), threshold)].into())
    }

    fn fit_open(&mut self, open: &OpenEvidence) -> Result<BTreeMap<String, f64>> {
        let evidence = &open.evidence;
        let samples = judged(
            open,
            &self.unseen_score(evidence)?,
            &self.seen_logits(evidence)?,
            NAME,
        )?;
        let swept = sweep::best(&samples)?;
        let threshold = self.rescaled(swept.threshold, open);
        self.threshold = Some(threshold);
        Ok(BTreeMap::from([
            ("threshold".to_owned(), threshold),
            ("validation_harmonic_mean".to_owned(), swept.reached[2]),
        ]))
    }

    fn takes_for_seen(&self, evidence: &GateEvidence) -> Result<Tensor> {
        let threshold = self
            .threshold
            .ok_or_else(|| Error::Missing("a threshold: the entropy gate was not fitted".into()))?;
        Ok(self.unseen_score(evidence)?.to_kind(Kind::Double).lt(threshold))
    }

    fn unseen_score(&self, evidence: &GateEvidence) -> Result<Tensor> {
        let scores = &evidence.scores.logits;
        Ok(match (self.options.source, self.options.support) {
            (Source::Encoder, _) => entropy(&of_encoder(evidence, NAME)?),
            (Source::Aligner, Support::All) => entropy(scores),
            (Source::Aligner, Support::Seen) => entropy(&columns(scores, evidence.seen)),
        })
    }

    fn seen_logits(&self, evidence: &GateEvidence) -> Result<Tensor> {
        self.options.classify.logits(evidence, NAME)
    }
}

/// The value below which the share `keep` lies, linear between neighbours; just above the largest for all of them.
fn quantile(mut values: Vec<f64>, keep: f64) -> Result<f64> {
    values.retain(|v| v.is_finite());
    values.sort_by(f64::total_cmp);
    let Some(largest) = values.last() else {
        return Err(Error::Input(
            "the entropy gate has no validation sample of a seen class to be fitted on".into(),
        ));
    };
    let at = keep * (values.len() - 1) as f64;
    let (low, part) = (at.floor() as usize, at.fract());
    let Some(next) = values.get(low + 1) else {
        return Ok(largest.next_up());
    };
    Ok(values[low] + part * (next - values[low]))
}

#[cfg(test)]
mod tests {
    use super::*;
    use szar_core::{Column, Scores, testing};
    use tch::kind::FLOAT_CPU;

    const SEEN: [Column; 2] = [Column(0), Column(2)];
    const UNSEEN: [Column; 2] = [Column(1), Column(3)];

    fn gate(options: EntropyGateConfig) -> Box<dyn GzslGate> {
        options
            .build(&testing::classes(4), &testing::build_context())
            .unwrap()
    }

    fn with<T>(scores: Tensor, encoder: Option<&Tensor>, use_it: impl FnOnce(&GateEvidence) -> T) -> T {
        let scores = Scores { logits: scores };
        use_it(&GateEvidence {
            scores: &scores,
            seen: &SEEN,
            unseen: &UNSEEN,
            encoder_logits: encoder,
            truth: None,
        })
    }

    #[test]
    fn the_entropy_of_known_posteriors() {
        let even = entropy(&Tensor::zeros([1, 4], FLOAT_CPU)).double_value(&[0]);
        assert!((even - 4f64.ln()).abs() < 1e-6);
        let sure = entropy(&Tensor::from_slice(&[1000f32, 0.0, -1000.0]).reshape([1, 3])).double_value(&[0]);
        assert!(sure.abs() < 1e-9);
    }

    #[test]
    fn the_share_to_keep_is_taken_for_seen() {
        let encoder =
            Tensor::linspace(0.0, 4.0, 101, FLOAT_CPU).unsqueeze(1) * Tensor::from_slice(&[1f32, 0.0]);
        for keep in [0.3, 0.8, 1.0] {
            let mut gate = gate(EntropyGateConfig {
                keep,
                ..Default::default()
            });
            let (constants, seen) = with(Tensor::zeros([101, 4], FLOAT_CPU), Some(&encoder), |e| {
                (gate.fit(e).unwrap(), gate.takes_for_seen(e).unwrap())
            });
            let share = seen.sum(Kind::Int64).int64_value(&[]) as f64 / 101.0;
            assert!((share - keep).abs() < 0.011, "{keep}: {share}");
            assert!(constants["threshold"] > 0.0);
        }
    }

    #[test]
    fn support_seen_ignores_the_unseen_columns() {
        let scores = Tensor::from_slice(&[9f32, 9.0, 0.0, 0.0]).reshape([1, 4]);
        let judged = |support| {
            let gate = gate(EntropyGateConfig {
                source: Source::Aligner,
                support,
                ..Default::default()
            });
            with(scores.copy(), None, |e| {
                gate.unseen_score(e).unwrap().double_value(&[0])
            })
        };
        assert!(judged(Support::All) > 0.69 && judged(Support::Seen) < 0.01);
    }

    #[test]
    fn seen_samples_are_named_by_whom_the_options_say() {
        let (scores, encoder) = (Tensor::randn([3, 4], FLOAT_CPU), Tensor::randn([3, 2], FLOAT_CPU));
        let own = gate(EntropyGateConfig {
            classify: Classifier::Aligner,
            ..Default::default()
        });
        let by_aligner = with(scores.copy(), None, |e| own.seen_logits(e).unwrap());
        assert!(by_aligner.equal(&scores.index_select(1, &Tensor::from_slice(&[0i64, 2]))));
        let other = gate(EntropyGateConfig::default());
        assert!(with(scores, Some(&encoder), |e| other.seen_logits(e).unwrap()).equal(&encoder));
    }

    #[test]
    fn what_is_missing_is_an_error() {
        let mut gate = gate(EntropyGateConfig::default());
        let scores = || Tensor::zeros([2, 4], FLOAT_CPU);
        let unfitted = with(scores(), None, |e| {
            gate.takes_for_seen(e).unwrap_err().to_string()
        });
        assert!(unfitted.contains("was not fitted"), "{unfitted}");
        let alone = with(scores(), None, |e| gate.fit(e).unwrap_err().to_string());
        assert!(alone.contains("encoder that classifies"), "{alone}");
        let none = with(
            Tensor::zeros([0, 4], FLOAT_CPU),
            Some(&Tensor::zeros([0, 2], FLOAT_CPU)),
            |e| gate.fit(e).unwrap_err().to_string(),
        );
        assert!(none.contains("no validation sample"), "{none}");
    }

    #[test]
    fn options_are_judged() {
        let mut problems = Problems::new();
        let options = EntropyGateConfig {
            keep: 0.0,
            threshold: Some(f64::NAN),
            ..Default::default()
        };
        options.validate(&mut problems);
        assert_eq!(problems.len(), 2);
        let only_aligner = EntropyGateConfig {
            source: Source::Aligner,
            classify: Classifier::Aligner,
            ..Default::default()
        };
        assert!(!only_aligner.needs_encoder_logits());
        let fits = |source, threshold| {
            EntropyGateConfig {
                source,
                threshold,
                ..Default::default()
            }
            .fits_on_encoder_logits()
        };
        // Who names the class is asked for test samples alone.
        assert!(
            fits(Source::Encoder, None) && !fits(Source::Encoder, Some(1.0)) && !fits(Source::Aligner, None)
        );
        assert!(
            EntropyGateConfig {
                source: Source::Aligner,
                ..Default::default()
            }
            .needs_encoder_logits()
        );
    }
}
