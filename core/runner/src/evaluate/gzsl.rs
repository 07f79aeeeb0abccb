//! Generalised zero-shot: the candidates are all classes, and a gate decides between seen and unseen.

use szar_adapters::gates::entropy;
use szar_core::host::{to_f64, to_i64};
use szar_core::{ClassList, Column, GateEvidence, GzslGate, OracleLabels, PromptTower, Result, Scores};
use tch::{Kind, Tensor};

use super::{Gated, Played, Setting, Streaming, argmax, columns};
use crate::data::{Data, Part};
use crate::features::Features;
use crate::metrics::{auc, generalised};
use crate::report::{Generalised, GzslReport, Prediction};

/// Plays the mixed test stream and counts what the fitted gate makes of it.
///
/// `features` holds all rows of the store.
///
/// # Errors
/// When a component refuses, or the user stops.
pub fn gzsl(
    streaming: &Streaming,
    gated: Gated,
    data: &Data,
    features: &Features,
    prompts: Option<&dyn PromptTower>,
) -> Result<(GzslReport, Vec<Prediction>, Played)> {
    let played = play(streaming, data, features, prompts)?;
    let (report, predictions) = judge(gated, data, features, &played)?;
    Ok((report, predictions, played))
}

/// The test samples of seen and unseen classes, in the order of the store.
fn samples(data: &Data) -> Vec<usize> {
    [data.samples(Part::SeenTest), data.samples(Part::UnseenTest)].concat()
}

/// The column of the true class of each test sample.
fn labels(data: &Data, candidates: &ClassList) -> Vec<i64> {
    let column = |s: &usize| candidates.column(data.class(*s)).map_or(-1, |c| c.0 as i64);
    samples(data).iter().map(column).collect()
}

/// Plays the mixed test stream, which no gate has a part in.
///
/// # Errors
/// When a component refuses, or the user stops.
pub fn play(
    streaming: &Streaming,
    data: &Data,
    features: &Features,
    prompts: Option<&dyn PromptTower>,
) -> Result<Played> {
    let candidates = data.split.all();
    let mut seen = vec![false; candidates.len()];
    for column in columns(data.split.seen(), &candidates) {
        seen[column.0] = true;
    }
    let rows = data.rows(Part::SeenTest).start..data.rows(Part::UnseenTest).end;
    streaming.play(&Setting {
        name: "gzsl",
        features: features.rows(&rows),
        first: rows.start,
        names: data.names(&samples(data)),
        candidates: &candidates,
        seen,
        labels: labels(data, &candidates),
        prompts,
    })
}

/// Counts what a fitted gate makes of a mixed stream that was played.
///
/// # Errors
/// When the gate refuses.
pub fn judge(
    gated: Gated,
    data: &Data,
    features: &Features,
    played: &Played,
) -> Result<(GzslReport, Vec<Prediction>)> {
    let candidates = data.split.all();
    let gate = gated.gate;
    let seen = columns(data.split.seen(), &candidates);
    let unseen = columns(data.split.unseen(), &candidates);
    let mut is_seen = vec![false; candidates.len()];
    seen.iter().for_each(|c| is_seen[c.0] = true);
    let (samples, labels) = (samples(data), labels(data, &candidates));
    let rows = data.rows(Part::SeenTest).start..data.rows(Part::UnseenTest).end;
    let test = features.rows(&rows);
    let index: Vec<i64> = played.order.iter().map(|r| *r as i64).collect();
    let index = Tensor::from_slice(&index).to_device(played.before.device());
    let encoder_logits = test.seen_logits.as_ref().map(|l| l.index_select(0, &index));
    let before = Scores {
        logits: played.before.shallow_clone(),
    };
    let after = Scores {
        logits: played.last().shallow_clone(),
    };
    let ordered: Vec<i64> = played.order.iter().map(|r| labels[*r]).collect();
    let truth = gated.sees_truth.then(|| {
        let columns = Tensor::from_slice(&ordered);
        OracleLabels(columns.to_device(played.before.device()))
    });
    let sides = Sides {
        seen: &seen,
        unseen: &unseen,
        encoder_logits: encoder_logits.as_ref(),
        truth: truth.as_ref(),
    };
    // The gate judges the base model, before and after alike: adapters move logits, not its calibration.
    let taken = gate.takes_for_seen(&sides.evidence(&before))?;
    let truly_unseen: Vec<bool> = ordered.iter().map(|l| !is_seen[*l as usize]).collect();
    let count = |scores: &Scores| -> Result<(Generalised, Vec<i64>)> {
        let predictions = decide(gate, &sides.evidence(scores), &taken)?;
        let (top1, class_mean) = generalised(&ordered, &predictions, &is_seen)?;
        Ok((Generalised { class_mean, top1 }, predictions))
    };
    let (before_counts, before_predictions) = count(&before)?;
    let adapted = played.after.is_some().then(|| count(&after)).transpose()?;
    let (top1, class_mean) = generalised(&ordered, &argmax(&played.before), &is_seen)?;
    let taken = to_i64(&taken)?;
    let share = |unseen: bool| {
        let of_side = || {
            truly_unseen
                .iter()
                .zip(&taken)
                .filter(move |(u, _)| **u == unseen)
        };
        100.0 * of_side().filter(|(_, t)| **t == 1).count() as f64 / of_side().count().max(1) as f64
    };
    let report = GzslReport {
        gate: gated.constants,
        held_out: gated.held_out,
        gate_auc: auc(
            &to_f64(&gate.unseen_score(&sides.evidence(&before))?),
            &truly_unseen,
        ),
        taken_for_seen: [share(false), share(true)],
        ungated: Generalised { class_mean, top1 },
        before: before_counts,
        after: adapted.as_ref().map(|(counts, _)| counts.clone()),
        adapters: played.adapters.clone(),
    };
    let after_predictions = adapted.map_or_else(|| before_predictions.clone(), |(_, p)| p);
    let (h_before, h_after) = (to_f64(&entropy(&played.before)), to_f64(&entropy(played.last())));
    let one = |(position, row): (usize, &usize)| {
        let sample = &data.dataset.samples()[samples[*row]];
        Prediction {
            setting: "gzsl",
            position,
            sample: sample.name.clone(),
            class: sample.class.0,
            class_name: candidates.name(sample.class).unwrap_or_default().to_owned(),
            before: candidates.ids()[before_predictions[position] as usize].0,
            after: candidates.ids()[after_predictions[position] as usize].0,
            entropy_before: h_before[position],
            entropy_after: h_after[position],
            taken_for_seen: Some(taken[position] == 1),
        }
    };
    let predictions = played.order.iter().enumerate().map(one).collect();
    Ok((report, predictions))
}

/// What a gate judges by, besides the scores.
struct Sides<'a> {
    seen: &'a [Column],
    unseen: &'a [Column],
    encoder_logits: Option<&'a Tensor>,
    truth: Option<&'a OracleLabels>,
}

impl Sides<'_> {
    fn evidence<'b>(&'b self, scores: &'b Scores) -> GateEvidence<'b> {
        GateEvidence {
            scores,
            seen: self.seen,
            unseen: self.unseen,
            encoder_logits: self.encoder_logits,
            truth: self.truth,
        }
    }
}

/// Argmax inside the side that the gate chose.
fn decide(gate: &dyn GzslGate, evidence: &GateEvidence, taken: &Tensor) -> Result<Vec<i64>> {
    let side = |columns: &[Column], logits: Tensor| -> Vec<i64> {
        argmax(&logits.to_kind(Kind::Float))
            .iter()
            .map(|at| columns[*at as usize].0 as i64)
            .collect()
    };
    let logits = &evidence.scores.logits;
    let columns: Vec<i64> = evidence.unseen.iter().map(|c| c.0 as i64).collect();
    let unseen = side(
        evidence.unseen,
        logits.index_select(1, &Tensor::from_slice(&columns).to_device(logits.device())),
    );
    let seen = side(evidence.seen, gate.seen_logits(evidence)?);
    let taken = to_i64(taken)?;
    Ok(taken
        .iter()
        .zip(seen.iter().zip(unseen))
        .map(|(t, (s, u))| if *t == 1 { *s } else { u })
        .collect())
}
