//! What candidates are scored with, made once for a list of anchors and kept.

use szar_core::{Granularity, SemanticAnchors};
use tch::Tensor;

use super::super::training::{Seen, unit_rows};
use super::Similarity;
use super::classifier::Head;

/// Lists of candidates that are kept: unseen, seen, both, and what an adapter tries.
const KEPT: usize = 8;

/// The text side of scoring.
#[derive(Debug)]
pub enum Judge {
    /// A classifier trained for the candidates.
    Classifier(Head),
    /// The candidates' side of a comparison, `[C, L]` (or `[C, d]`, the texts, for dot products).
    Latent {
        /// One row per candidate.
        classes: Tensor,
        /// How rows are compared.
        similarity: Similarity,
        /// Multiplies the logits.
        scale: f64,
    },
}

impl Judge {
    /// Logits `[B, C]` of condensed rows.
    pub fn logits(&self, rows: &Tensor) -> Tensor {
        match self {
            Self::Classifier(head) => head.logits(rows),
            Self::Latent {
                classes,
                similarity,
                scale,
            } => {
                let products = |rows: &Tensor, classes: &Tensor| rows.mm(&classes.transpose(0, 1));
                let logits = match similarity {
                    Similarity::Dot => products(rows, classes),
                    Similarity::Cosine => products(&unit_rows(rows), &unit_rows(classes)),
                    Similarity::Distance => {
                        let square =
                            |x: &Tensor| x.square().sum_dim_intlist([-1i64].as_slice(), false, x.kind());
                        products(rows, classes) * 2.0 - square(rows).unsqueeze(1) - square(classes)
                    }
                };
                logits * *scale
            }
        }
    }
}

#[derive(Debug)]
struct Kept {
    /// The anchors as given.
    anchors: Seen,
    granularities: Vec<Granularity>,
    /// The texts made of them, copies.
    texts: Vec<Tensor>,
    judge: Judge,
}

/// Judges by the anchors they were made for, the latest last.
#[derive(Debug, Default)]
pub struct Memory {
    kept: Vec<Kept>,
}

impl Memory {
    /// Forgets all.
    pub fn clear(&mut self) {
        self.kept.clear();
    }

    /// The judge made for this very tensor, not written to since.
    pub fn of_tensor(&mut self, anchors: &SemanticAnchors) -> Option<&Judge> {
        let same = |k: &Kept| k.anchors.is(&anchors.values) && k.granularities == anchors.granularities;
        self.latest(same)
    }

    /// The judge made for texts of these values; the tensor they come from is remembered.
    pub fn of_texts(&mut self, texts: &[Tensor], anchors: &SemanticAnchors) -> Option<&Judge> {
        let equal =
            |(a, b): (&Tensor, &Tensor)| a.size() == b.size() && a.device() == b.device() && a.equal(b);
        let same = |k: &Kept| k.texts.len() == texts.len() && k.texts.iter().zip(texts).all(equal);
        self.latest(same)?;
        let kept = self.kept.last_mut()?;
        kept.anchors = Seen::new(&anchors.values);
        kept.granularities.clone_from(&anchors.granularities);
        Some(&kept.judge)
    }

    /// Keeps a judge, in the place of the one that was not used for longest where there are many.
    pub fn keep(&mut self, judge: Judge, texts: Vec<Tensor>, anchors: &SemanticAnchors) {
        if self.kept.len() == KEPT {
            self.kept.remove(0);
        }
        self.kept.push(Kept {
            anchors: Seen::new(&anchors.values),
            granularities: anchors.granularities.clone(),
            texts,
            judge,
        });
    }

    fn latest(&mut self, wanted: impl Fn(&Kept) -> bool) -> Option<&Judge> {
        let at = self.kept.iter().rposition(wanted)?;
        let found = self.kept.remove(at);
        self.kept.push(found);
        self.kept.last().map(|k| &k.judge)
    }
}
