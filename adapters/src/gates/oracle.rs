//! `oracle`: takes the true side of every sample. No method: an upper bound of what any gate can reach with the same
//! classifiers on both sides, for analysis. Every report that it is in says so.

use std::collections::BTreeMap;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use szar_core::{
    BuildContext, ClassList, ComponentInfo, ComponentKind, Error, GateConfig, GateEvidence, GzslGate, Mark,
    Problems, Result, shape,
};
use tch::{Kind, Tensor};

use super::evidence::{Classifier, index};

const NAME: &str = "oracle";

/// Options of the `oracle` gate.
#[derive(Clone, Debug, Default, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct OracleGateConfig {
    /// Who names the class of samples of seen classes: `encoder` or `aligner`. Default: encoder, as the other gates.
    pub classify: Classifier,
}

#[typetag::serde(name = "oracle")]
impl GateConfig for OracleGateConfig {
    fn validate(&self, _: &mut Problems) {}

    fn needs_encoder_logits(&self) -> bool {
        self.classify == Classifier::Encoder
    }

    fn needs_validation(&self) -> bool {
        false
    }

    fn wants_truth(&self) -> bool {
        true
    }

    fn marks(&self) -> Vec<Mark> {
        vec![Mark::test_labels(
            "gate `oracle` decides between seen and unseen by the true class of each test sample: an upper bound, no result",
        )]
    }

    fn build(&self, _: &ClassList, _: &BuildContext) -> Result<Box<dyn GzslGate>> {
        Ok(Box::new(Oracle(self.clone())))
    }
}

inventory::submit! {
    ComponentInfo::new::<OracleGateConfig>(
        ComponentKind::Gate,
        NAME,
        "Takes the true side of every sample: an upper bound for analysis.",
        "",
    )
}

#[derive(Debug)]
struct Oracle(OracleGateConfig);

impl GzslGate for Oracle {
    fn fit(&mut self, _: &GateEvidence) -> Result<BTreeMap<String, f64>> {
        Ok(BTreeMap::new())
    }

    fn takes_for_seen(&self, evidence: &GateEvidence) -> Result<Tensor> {
        let truth = evidence
            .truth
            .ok_or_else(|| Error::Missing("the true classes, for the gate `oracle`".into()))?;
        let rows = evidence.scores.logits.size()[0];
        shape::expect("true classes", &truth.0, [Some(rows)])?;
        let seen = index(evidence.seen, truth.0.device());
        let same = truth.0.unsqueeze(1).eq_tensor(&seen.unsqueeze(0));
        Ok(same.any_dim(1, false))
    }

    fn unseen_score(&self, evidence: &GateEvidence) -> Result<Tensor> {
        Ok(self.takes_for_seen(evidence)?.logical_not().to_kind(Kind::Float))
    }

    fn seen_logits(&self, evidence: &GateEvidence) -> Result<Tensor> {
        self.0.classify.logits(evidence, NAME)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use szar_core::{Column, OracleLabels, Scores, testing};
    use tch::kind::FLOAT_CPU;

    fn evidence<'a>(scores: &'a Scores, truth: Option<&'a OracleLabels>) -> GateEvidence<'a> {
        GateEvidence {
            scores,
            seen: &[Column(1), Column(3)],
            unseen: &[Column(0), Column(2)],
            encoder_logits: None,
            truth,
        }
    }

    #[test]
    fn every_sample_is_on_its_true_side() {
        let gate = OracleGateConfig::default()
            .build(&testing::classes(4), &testing::build_context())
            .unwrap();
        let scores = Scores {
            logits: Tensor::randn([4, 4], FLOAT_CPU),
        };
        let truth = OracleLabels(Tensor::from_slice(&[3i64, 0, 1, 2]));
        let given = evidence(&scores, Some(&truth));
        let seen = gate.takes_for_seen(&given).unwrap();
        assert_eq!(szar_core::host::to_i64(&seen).unwrap(), [1, 0, 1, 0]);
        let error = gate.takes_for_seen(&evidence(&scores, None)).unwrap_err();
        assert!(error.to_string().contains("true classes"), "{error}");
    }

    #[test]
    fn it_says_that_test_labels_are_used() {
        let config = OracleGateConfig::default();
        assert!(config.wants_truth() && !config.needs_validation());
        assert!(config.marks().iter().all(|m| m.uses_test_labels) && !config.marks().is_empty());
    }
}
