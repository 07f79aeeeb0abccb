//! What several gates take out of their evidence.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use szar_core::{Column, Error, GateEvidence, OpenEvidence, Result, host, shape};
use tch::{Device, Tensor};

/// Who names the class of a sample that was taken for seen.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum Classifier {
    /// The encoder's own classifier.
    #[default]
    Encoder,
    /// The scores after the adapters.
    Aligner,
}

impl Classifier {
    /// `[B, S]` logits over the seen classes, for the gate of this name.
    pub(super) fn logits(self, evidence: &GateEvidence, gate: &str) -> Result<Tensor> {
        match self {
            Self::Encoder => of_encoder(evidence, gate),
            Self::Aligner => Ok(columns(&evidence.scores.logits, evidence.seen)),
        }
    }
}

/// Some columns of `[B, C]` logits.
pub(super) fn columns(logits: &Tensor, wanted: &[Column]) -> Tensor {
    logits.index_select(1, &index(wanted, logits.device()))
}

/// Columns as an index, `[n]` i64.
pub(super) fn index(wanted: &[Column], device: Device) -> Tensor {
    let index: Vec<i64> = wanted.iter().map(|c| c.0 as i64).collect();
    Tensor::from_slice(&index).to_device(device)
}

/// The logits of the encoder's classifier, `[B, S]`, for the gate of this name.
pub(super) fn of_encoder(evidence: &GateEvidence, gate: &str) -> Result<Tensor> {
    let logits = evidence.encoder_logits.ok_or_else(|| {
        Error::Missing(format!(
            "logits of an encoder that classifies the seen classes, for the gate `{gate}`"
        ))
    })?;
    let rows = evidence.scores.logits.size()[0];
    shape::expect(
        "encoder logits",
        logits,
        [Some(rows), Some(evidence.seen.len() as i64)],
    )?;
    Ok(logits.shallow_clone())
}

/// A sample of the validation with held-out classes.
#[derive(Clone, Copy, Debug)]
pub(super) struct Judged {
    /// Larger for samples that look unseen.
    pub score: f64,
    /// Is it of a held-out class?
    pub unseen: bool,
    /// Is it named rightly once its own side is chosen?
    pub right: bool,
}

/// Which samples are of the held-out classes. Both sides must be there.
pub(super) fn sides(open: &OpenEvidence, gate: &str) -> Result<Vec<bool>> {
    let rows = open.evidence.scores.logits.size()[0];
    shape::expect("labels", open.labels, [Some(rows)])?;
    let unseen = |label: i64| {
        let column = usize::try_from(label).map(Column);
        column.is_ok_and(|c| open.evidence.unseen.contains(&c))
    };
    let sides: Vec<bool> = host::to_i64(open.labels)?.into_iter().map(unseen).collect();
    for (side, what) in [
        (false, "validation sample of a seen class"),
        (true, "sample of a held-out class"),
    ] {
        if !sides.contains(&side) {
            return Err(Error::Input(format!(
                "the gate `{gate}` has no {what} to be fitted on"
            )));
        }
    }
    Ok(sides)
}

/// The samples with their scores (`[B]`), where those taken for seen are named by `seen_logits` (`[B, S]`).
pub(super) fn judged(
    open: &OpenEvidence,
    scores: &Tensor,
    seen_logits: &Tensor,
    gate: &str,
) -> Result<Vec<Judged>> {
    let evidence = &open.evidence;
    let device = seen_logits.device();
    let named = |side: &[Column], logits: Tensor| -> Result<Vec<i64>> {
        host::to_i64(&index(side, device).index_select(0, &logits.argmax(1, false)))
    };
    let seen = named(evidence.seen, seen_logits.shallow_clone())?;
    let unseen = named(evidence.unseen, columns(&evidence.scores.logits, evidence.unseen))?;
    let labels = host::to_i64(open.labels)?;
    let sides = sides(open, gate)?;
    let scores = host::to_f64(scores);
    let one = |(row, score): (usize, f64)| Judged {
        score,
        unseen: sides[row],
        right: labels[row] == if sides[row] { unseen[row] } else { seen[row] },
    };
    Ok(scores.into_iter().enumerate().map(one).collect())
}
