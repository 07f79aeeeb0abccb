//! Semantic providers, text encoders and gates of the other side.

use std::collections::BTreeMap;

use szar_core::{
    ClassList, GateEvidence, GzslGate, OpenEvidence, Result, SemanticAnchors, SemanticProvider, TextEncoder,
};
use tch::{Device, Kind, Tensor};

use super::{Asked, Handle, json};
use crate::collect::Collected;
use crate::wire;

/// A semantic provider that answers by name.
#[derive(Debug)]
pub struct ForeignSemantics {
    handle: Handle,
    device: Device,
}

impl ForeignSemantics {
    /// Wraps an object; its anchors belong on `device`.
    pub fn new(handle: Handle, device: Device) -> Self {
        Self { handle, device }
    }
}

impl SemanticProvider for ForeignSemantics {
    fn anchors(&mut self, classes: &ClassList) -> Result<SemanticAnchors> {
        let text = json(classes)?;
        let asked = Asked {
            json: &text,
            ..Asked::default()
        };
        let mut answer = self.handle.must("anchors", &asked)?;
        let granularities: Vec<_> = self.handle.json("anchors", &answer)?;
        let want = [Some(classes.len() as i64), Some(granularities.len() as i64), None];
        let who = &self.handle.who;
        let values = who
            .sound("anchors", answer.tensor("anchors"))?
            .to_device(self.device);
        let values = who.checked("anchors", Ok(values), want, self.device)?;
        SemanticAnchors::new(values, granularities, classes.clone())
    }
}

/// A text encoder that answers by name.
#[derive(Debug)]
pub struct ForeignTexts {
    handle: Handle,
    width: i64,
    fingerprint: String,
}

impl ForeignTexts {
    /// Wraps an object.
    ///
    /// # Errors
    /// When it does not say how wide its vectors are, and what they depend on.
    pub fn new(handle: Handle) -> Result<Self> {
        let width = handle.must("width", &Asked::default())?;
        let fingerprint = handle.must("fingerprint", &Asked::default())?;
        Ok(Self {
            width: handle.json("width", &width)?,
            fingerprint: handle.json("fingerprint", &fingerprint)?,
            handle,
        })
    }
}

impl TextEncoder for ForeignTexts {
    fn width(&self) -> i64 {
        self.width
    }

    fn encode(&mut self, texts: &[String]) -> Result<Tensor> {
        let text = json(&texts)?;
        let asked = Asked {
            json: &text,
            ..Asked::default()
        };
        let vectors = self.handle.must("encode", &asked)?.tensor("vectors");
        let vectors = self.handle.who.sound("encode", vectors)?;
        let (device, want) = (vectors.device(), [Some(texts.len() as i64), Some(self.width)]);
        self.handle.who.checked("encode", Ok(vectors), want, device)
    }

    fn fingerprint(&self) -> String {
        self.fingerprint.clone()
    }
}

/// A gate that answers by name.
#[derive(Debug)]
pub struct ForeignGate {
    handle: Handle,
}

impl ForeignGate {
    /// Wraps an object.
    pub fn new(handle: Handle) -> Self {
        Self { handle }
    }

    fn ask(&self, method: &str, evidence: &GateEvidence) -> Result<Option<Collected>> {
        let text = json(&(evidence.seen, evidence.unseen))?;
        self.call(method, &text, evidence, None)
    }

    fn call(
        &self,
        method: &str,
        text: &str,
        evidence: &GateEvidence,
        labels: Option<&Tensor>,
    ) -> Result<Option<Collected>> {
        let mut tensors = vec![("logits", &evidence.scores.logits)];
        tensors.extend(evidence.encoder_logits.map(|logits| ("encoder_logits", logits)));
        tensors.extend(evidence.truth.map(|truth| ("truth", &truth.0)));
        tensors.extend(labels.map(|labels| ("labels", labels)));
        let asked = Asked {
            json: text,
            tensors: &tensors,
            ..Asked::default()
        };
        self.handle.call(method, &asked)
    }

    fn must(&self, method: &str, evidence: &GateEvidence) -> Result<Collected> {
        let answer = self.ask(method, evidence)?;
        answer.ok_or_else(|| self.handle.who.error(method, "has no such method"))
    }

    /// One value per sample.
    fn each(&self, method: &str, name: &str, evidence: &GateEvidence) -> Result<Tensor> {
        let values = self.must(method, evidence)?.tensor(name);
        let who = &self.handle.who;
        let mut values = who.dense(method, values)?;
        if matches!(values.f_kind(), Ok(Kind::Bool)) {
            values = values.to_kind(Kind::Float);
        }
        let logits = &evidence.scores.logits;
        let want = [logits.size().first().copied()];
        who.checked(method, Ok(values), want, logits.device())
    }
}

impl GzslGate for ForeignGate {
    fn fit(&mut self, validation: &GateEvidence) -> Result<BTreeMap<String, f64>> {
        let answer = self.must("fit", validation)?;
        self.handle.json("fit", &answer)
    }

    fn fit_open(&mut self, open: &OpenEvidence) -> Result<BTreeMap<String, f64>> {
        let evidence = &open.evidence;
        let text = json(&wire::Open {
            seen: evidence.seen.to_vec(),
            unseen: evidence.unseen.to_vec(),
            classes: open.classes,
        })?;
        let answer = self.call("fit_open", &text, evidence, Some(open.labels))?;
        let answer = answer.ok_or_else(|| self.handle.who.error("fit_open", "has no such method"))?;
        self.handle.json("fit_open", &answer)
    }

    fn takes_for_seen(&self, evidence: &GateEvidence) -> Result<Tensor> {
        Ok(self.each("takes_for_seen", "seen", evidence)?.to_kind(Kind::Bool))
    }

    fn unseen_score(&self, evidence: &GateEvidence) -> Result<Tensor> {
        self.each("unseen_score", "score", evidence)
    }

    fn seen_logits(&self, evidence: &GateEvidence) -> Result<Tensor> {
        let logits = &evidence.scores.logits;
        let Some(mut answer) = self.ask("seen_logits", evidence)? else {
            let columns: Vec<i64> = evidence.seen.iter().map(|c| c.0 as i64).collect();
            return Ok(logits.index_select(1, &Tensor::from_slice(&columns).to_device(logits.device())));
        };
        let want = [logits.size().first().copied(), Some(evidence.seen.len() as i64)];
        self.handle
            .who
            .checked("seen_logits", answer.tensor("logits"), want, logits.device())
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use szar_core::{Column, OracleLabels, Scores};

    use super::*;
    use crate::export::{OBJECT, Simple, boxed};
    use crate::import::Who;

    /// Says what reached it.
    struct Echo;

    impl GzslGate for Echo {
        fn fit(&mut self, _: &GateEvidence) -> Result<BTreeMap<String, f64>> {
            Ok(BTreeMap::new())
        }

        fn fit_open(&mut self, open: &OpenEvidence) -> Result<BTreeMap<String, f64>> {
            let sum = open.labels.sum(Kind::Double).double_value(&[]);
            let [seen, unseen] = open.classes.map(|n| n as f64);
            let held = open.evidence.unseen[0].0 as f64;
            let pairs = [
                ("labels", sum),
                ("seen", seen),
                ("unseen", unseen),
                ("held", held),
            ];
            Ok(pairs.map(|(name, value)| (name.to_owned(), value)).into())
        }

        fn takes_for_seen(&self, evidence: &GateEvidence) -> Result<Tensor> {
            let truth = evidence
                .truth
                .ok_or_else(|| szar_core::Error::Missing("the truth".into()))?;
            Ok(truth.0.eq(evidence.seen[0].0 as i64))
        }

        fn unseen_score(&self, evidence: &GateEvidence) -> Result<Tensor> {
            Ok(evidence.scores.logits.select(1, 0))
        }
    }

    #[test]
    fn held_out_classes_and_true_ones_cross_the_boundary() {
        let who = Arc::new(Who {
            plugin: "toy".into(),
            component: "gate `echo`".into(),
        });
        let object = boxed(Simple::Gate(Box::new(Echo)));
        // SAFETY: the object is of the table's type and ours alone.
        let handle = unsafe { Handle::new(object, &OBJECT, who) }.unwrap();
        let mut gate = ForeignGate::new(handle);
        let scores = Scores {
            logits: Tensor::zeros([3, 4], (Kind::Float, Device::Cpu)),
        };
        let labels = Tensor::from_slice(&[0i64, 3, 3]);
        let truth = OracleLabels(labels.shallow_clone());
        let evidence = |truth| GateEvidence {
            scores: &scores,
            seen: &[Column(0), Column(1)],
            unseen: &[Column(3)],
            encoder_logits: None,
            truth,
        };
        let constants = gate
            .fit_open(&OpenEvidence {
                evidence: evidence(None),
                labels: &labels,
                classes: [7, 2],
            })
            .unwrap();
        let said: Vec<_> = constants.iter().map(|(n, v)| (n.as_str(), *v)).collect();
        assert_eq!(
            said,
            [("held", 3.0), ("labels", 6.0), ("seen", 7.0), ("unseen", 2.0)]
        );
        let taken = gate.takes_for_seen(&evidence(Some(&truth))).unwrap();
        assert_eq!(szar_core::host::to_i64(&taken).unwrap(), [1, 0, 0]);
        let error = gate.takes_for_seen(&evidence(None)).unwrap_err().to_string();
        assert!(error.contains("the truth") && error.contains("toy"), "{error}");
    }
}
