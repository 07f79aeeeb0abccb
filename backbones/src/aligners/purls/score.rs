//! From projected vectors and texts to logits, with or without knowledge of whose text asked.

use szar_core::{FeatureMap, Granularity, Result, Scores, SemanticAnchors};
use tch::{Kind, Tensor};

use super::config::{Query, ScoreSlots, Similarity};
use super::head::Pass;
use super::network::Network;
use super::{Purls, Source};

/// Rows that go through the head at a time; bounds the memory at some 100 MB.
const ROWS: i64 = 4096;

/// What candidates are compared with.
#[derive(Debug)]
pub(super) struct Judge<'a> {
    pub network: &'a Network,
    /// `[C, L, d]`, the queries and what the slots are compared with.
    pub text: Tensor,
    /// `[C, d]`, what the last slot is compared with under `score: global`.
    pub last: Tensor,
    pub slots: ScoreSlots,
    pub similarity: Similarity,
}

impl Judge<'_> {
    /// `[B, C]`: each candidate scored with its own text as query on the nodes `[B, P, N]`.
    pub fn per_class(&self, seen: &Tensor) -> Result<Tensor> {
        let size = (ROWS / self.classes()).max(1);
        let parts = seen.split(size, 0);
        let scores = parts
            .iter()
            .map(|part| self.per_class_part(part))
            .collect::<Result<Vec<_>>>()?;
        Ok(Tensor::cat(&scores, 0))
    }

    fn classes(&self) -> i64 {
        self.text.size()[0].max(1)
    }

    fn per_class_part(&self, seen: &Tensor) -> Result<Tensor> {
        let (batch, classes) = (seen.size()[0], self.classes());
        let weights = self
            .network
            .attention()?
            .weights_for_all(&self.text.flatten(0, 1), seen);
        let fused = weights.bmm(seen).view([batch * classes, -1]);
        let products = match self.slots {
            ScoreSlots::Global => {
                let vectors = self
                    .network
                    .head
                    .forward_last(&fused)
                    .view([batch, classes, 1, -1]);
                self.prepare(&vectors) * self.prepare(&self.last.unsqueeze(1))
            }
            ScoreSlots::Mean => {
                let shape = self.network.shape;
                let vectors = self.network.project(&fused, &Pass::Eval);
                let vectors = vectors.view([batch, classes, shape.slots, shape.width]);
                self.prepare(&vectors) * self.prepare(&self.text)
            }
        };
        let per_slot = products.sum_dim_intlist([-1i64].as_slice(), false, Kind::Float);
        Ok(per_slot.mean_dim([-1i64].as_slice(), false, Kind::Float))
    }

    /// `[B, C]`: all candidates scored on the same vectors, from nodes and the sample's own probes `[B, L, N]`, or from
    /// slots when there are none.
    pub fn shared(&self, seen: &Tensor, probes: Option<&Tensor>) -> Result<Tensor> {
        let fused = self.network.fuse(seen, probes)?;
        Ok(match self.slots {
            ScoreSlots::Global => {
                let vectors = self.prepare(&self.network.head.forward_last(&fused));
                vectors.mm(&self.prepare(&self.last).transpose(0, 1))
            }
            ScoreSlots::Mean => {
                let vectors = self
                    .prepare(&self.network.project(&fused, &Pass::Eval))
                    .flatten(1, 2);
                vectors.mm(&self.prepare(&self.text).flatten(1, 2).transpose(0, 1))
                    / self.network.shape.slots as f64
            }
        })
    }

    /// `[C, L, N]`: what each class looks for.
    pub fn probes(&self) -> Result<Tensor> {
        Ok(self.network.attention()?.probe(&self.text))
    }

    /// `[B, C]`: as [`Self::shared`] with the probes of the candidates in `columns` `[B]`.
    pub fn asked_by(&self, seen: &Tensor, columns: &Tensor) -> Result<Tensor> {
        self.shared(seen, Some(&self.probes()?.f_index_select(0, columns)?))
    }

    /// `[B, C]`: as [`Self::shared`] with the mean text of the candidates as query.
    pub fn asked_by_mean(&self, seen: &Tensor) -> Result<Tensor> {
        let mean = self.text.mean_dim([0i64].as_slice(), true, Kind::Float);
        let probes = self.network.attention()?.probe(&mean);
        self.shared(seen, Some(&probes.expand([seen.size()[0], -1, -1], false)))
    }

    /// Ready for a dot product along the last axis.
    fn prepare(&self, x: &Tensor) -> Tensor {
        match self.similarity {
            Similarity::Dot => x.shallow_clone(),
            Similarity::Cosine => x / x.norm_scalaropt_dim(2, [-1i64].as_slice(), true).clamp_min(1e-8),
        }
    }
}

impl Purls {
    pub(super) fn score_by(
        &self,
        features: &FeatureMap,
        anchors: &SemanticAnchors,
        labels: Option<&Tensor>,
    ) -> Result<Scores> {
        let seen = self.view(features)?;
        let text = self.texts(anchors)?;
        // The published evaluation takes the global text, whatever its last slot is.
        let last = match labels {
            Some(_) => anchors.granularity(&Granularity::GLOBAL)?.to_kind(Kind::Float),
            None => text.select(1, -1),
        };
        let judge = Judge {
            network: &self.network,
            text,
            last,
            slots: self.config.score,
            similarity: self.config.similarity,
        };
        let logits = match (&self.source, self.config.query, labels) {
            (Source::Nodes(_), Query::OracleLabel, Some(labels)) => judge.asked_by(&seen, labels)?,
            (Source::Nodes(_), Query::PerClass | Query::OracleLabel, _) => judge.per_class(&seen)?,
            (Source::Nodes(_), Query::MeanText, _) => judge.asked_by_mean(&seen)?,
            (Source::Nodes(_), Query::Pseudo, _) => {
                let first = judge.asked_by_mean(&seen)?.argmax(-1, false);
                judge.asked_by(&seen, &first)?
            }
            _ => judge.shared(&seen, None)?,
        };
        Ok(Scores {
            logits: if self.config.scale == 1.0 {
                logits
            } else {
                logits * self.config.scale
            },
        })
    }
}
