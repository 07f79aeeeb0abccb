//! From projected vectors and texts to logits, with or without knowledge of whose text asked.

use szar_core::{Granularity, Result, Scores, SemanticAnchors, shape};
use tch::{Kind, Tensor};

use super::config::{Query, ScoreSlots, Similarity};
use super::head::{Dropout, Pass};
use super::network::Network;
use super::{Purls, Source};

/// Rows that go through the head at a time, so that they stay in the caches; bounds the memory at some 25 MB.
const ROWS: i64 = 1024;

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
        let vectors = self.vectors(&self.fused_per_class(seen)?, &Pass::Eval);
        let width = vectors.size()[1];
        Ok(self.compare_own(&vectors.view([seen.size()[0], self.classes(), width])))
    }

    /// `[B·C, L·N]`: the slots that every candidate's own texts draw from the nodes `[B, P, N]`.
    pub fn fused_per_class(&self, seen: &Tensor) -> Result<Tensor> {
        let attention = self.network.attention()?;
        let weights = attention.weights_for_all(&self.text.flatten(0, 1), seen);
        Ok(weights.bmm(seen).view([seen.size()[0] * self.classes(), -1]))
    }

    /// `[B, C]`: every candidate compared with its own vectors `[B, C, D]`.
    pub fn compare_own(&self, vectors: &Tensor) -> Tensor {
        let products =
            (vectors * self.classes_side()).sum_dim_intlist([-1i64].as_slice(), false, Kind::Float);
        match self.slots {
            ScoreSlots::Global => products,
            ScoreSlots::Mean => products / self.network.shape.slots as f64,
        }
    }

    /// `[n, D]`: what is compared with a class, from the slots `[n, L·N]`; the slots that count side by side.
    pub fn vectors(&self, fused: &Tensor, pass: &Pass) -> Tensor {
        let vectors = match (self.slots, pass) {
            (ScoreSlots::Global, Pass::Eval) => self.network.head.forward_last(fused).unsqueeze(1),
            (ScoreSlots::Global, Pass::Train(_)) => {
                let all = self.network.project(fused, pass);
                all.narrow(1, self.network.shape.slots - 1, 1)
            }
            (ScoreSlots::Mean, _) => self.network.project(fused, pass),
        };
        self.prepare(&vectors).flatten(1, 2)
    }

    /// `[C, D]`, the classes' side of the same.
    pub fn classes_side(&self) -> Tensor {
        match self.slots {
            ScoreSlots::Global => self.prepare(&self.last),
            ScoreSlots::Mean => self.prepare(&self.text).flatten(1, 2),
        }
    }

    /// `[n, C]` from vectors `[n, D]`.
    pub fn compare(&self, vectors: &Tensor) -> Tensor {
        let products = vectors.mm(&self.classes_side().transpose(0, 1));
        match self.slots {
            ScoreSlots::Global => products,
            ScoreSlots::Mean => products / self.network.shape.slots as f64,
        }
    }

    /// `[B, C]`: all candidates scored on the same vectors, from nodes and the sample's own probes `[B, L, N]`.
    fn shared(&self, nodes: &Tensor, probes: &Tensor) -> Result<Tensor> {
        let fused = self.network.fuse(nodes, Some(probes))?;
        Ok(self.compare(&self.vectors(&fused, &Pass::Eval)))
    }

    /// `[C, L, N]`: what each class looks for.
    pub fn probes(&self) -> Result<Tensor> {
        Ok(self.network.attention()?.probe(&self.text))
    }

    /// `[B, C]`: as [`Self::shared`] with the probes of the candidates in `columns` `[B]`.
    pub fn asked_by(&self, seen: &Tensor, columns: &Tensor) -> Result<Tensor> {
        self.shared(seen, &self.probes()?.f_index_select(0, columns)?)
    }

    /// `[B, C]`: as [`Self::shared`] with the mean text of the candidates as query.
    pub fn asked_by_mean(&self, seen: &Tensor) -> Result<Tensor> {
        self.shared(seen, &self.mean_probes(seen)?)
    }

    /// `[B, L, N]`: what the mean text of the candidates looks for, the same for every sample.
    pub fn mean_probes(&self, seen: &Tensor) -> Result<Tensor> {
        let mean = self.text.mean_dim([0i64].as_slice(), true, Kind::Float);
        let probes = self.network.attention()?.probe(&mean);
        Ok(probes.expand([seen.size()[0], -1, -1], false))
    }

    /// As the free function.
    pub fn prepare(&self, x: &Tensor) -> Tensor {
        prepare(self.similarity, x)
    }
}

/// Ready for a dot product along the last axis.
pub(super) fn prepare(similarity: Similarity, x: &Tensor) -> Tensor {
    match similarity {
        Similarity::Dot => x.shallow_clone(),
        Similarity::Cosine => x / x.norm_scalaropt_dim(2, [-1i64].as_slice(), true).clamp_min(1e-8),
    }
}

impl Purls {
    /// What the labels' columns, or the candidates themselves, make of rows of [`szar_core::Aligner::condense`].
    pub(super) fn score_rows(
        &self,
        rows: &Tensor,
        anchors: &SemanticAnchors,
        labels: Option<&Tensor>,
    ) -> Result<Scores> {
        self.expect_rows(rows)?;
        let judge = self.judge(anchors, labels.is_some())?;
        let logits = match (&self.source, self.config.query, labels) {
            (Source::Nodes(_), Query::OracleLabel, Some(labels)) => judge.asked_by(rows, labels)?,
            (Source::Nodes(_), Query::PerClass | Query::OracleLabel, _) => judge.per_class(rows)?,
            (Source::Nodes(_), Query::MeanText, _) => judge.asked_by_mean(rows)?,
            (Source::Nodes(_), Query::Pseudo, _) => {
                let first = judge.asked_by_mean(rows)?.argmax(-1, false);
                judge.asked_by(rows, &first)?
            }
            _ => judge.compare(rows),
        };
        Ok(self.scaled(logits))
    }

    /// As published at test time: every candidate judged on what `askers` ask for, perhaps in training mode.
    pub(super) fn score_by_askers(
        &self,
        rows: &Tensor,
        anchors: &SemanticAnchors,
        askers: &Tensor,
        training: bool,
    ) -> Result<Scores> {
        self.expect_rows(rows)?;
        shape::expect("askers", askers, [Some(rows.size()[0])])?;
        let judge = self.judge(anchors, true)?;
        let probes = judge.probes()?.f_index_select(0, askers)?;
        let fused = self.network.fuse(rows, Some(&probes))?;
        let pass = if training {
            Pass::Train(Dropout::Share(self.config.dropout))
        } else {
            Pass::Eval
        };
        Ok(self.scaled(judge.compare(&judge.vectors(&fused, &pass))))
    }

    pub(super) fn judge(&self, anchors: &SemanticAnchors, published: bool) -> Result<Judge<'_>> {
        let text = self.texts(anchors)?;
        // The published evaluation takes the global text, whatever its last slot is.
        let last = if published {
            anchors.granularity(&Granularity::GLOBAL)?.to_kind(Kind::Float)
        } else {
            text.select(1, -1)
        };
        Ok(Judge {
            network: &self.network,
            text,
            last,
            slots: self.config.score,
            similarity: self.config.similarity,
        })
    }

    pub(super) fn scaled(&self, logits: Tensor) -> Scores {
        let scale = self.config.scale;
        Scores {
            logits: if scale == 1.0 { logits } else { logits * scale },
        }
    }

    fn expect_rows(&self, rows: &Tensor) -> Result<()> {
        match &self.source {
            Source::Nodes(_) => shape::expect("nodes", rows, [None, None, Some(self.features.channels)]),
            _ => shape::expect("visual vectors", rows, [None, Some(self.vector_width())]),
        }
    }

    /// D: width of what is compared with a class.
    fn vector_width(&self) -> i64 {
        match self.config.score {
            ScoreSlots::Global => self.width,
            ScoreSlots::Mean => self.width * self.network.shape.slots,
        }
    }
}
