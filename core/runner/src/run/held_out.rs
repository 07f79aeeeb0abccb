//! Validation with seen classes held out: some seen classes are kept from a training of their own and stand for the unseen
//! while a gate is fitted. Neither a text nor a sample of an unseen class enters it, nor any test sample.

use std::collections::BTreeMap;

use rand::seq::SliceRandom;
use szar_core::{
    ClassId, Dataset, Error, GateConfig, GateEvidence, GzslGate, OpenEvidence, PseudoUnseen, Result, Seed,
};
use tch::Tensor;

use super::Session;
use super::evaluate::Trained;
use super::training::Course;
use crate::data::{Data, Part, TrainingData};
use crate::evaluate::{Model, columns, score};
use crate::features::Features;
use crate::report::HeldOut;

/// Classes that must remain to be trained on.
const LEFT: usize = 2;

impl Session<'_> {
    /// The classes that the gate wants to be held out; `None` when nothing asks for any.
    ///
    /// # Errors
    /// When the split has not that many, or not these.
    pub(super) fn held_out(
        &self,
        gate: &dyn GateConfig,
        data: &Data,
    ) -> Result<Option<(PseudoUnseen, Vec<ClassId>)>> {
        let Some(need) = gate.needs_pseudo_unseen() else {
            return Ok(None);
        };
        let name = || format!("gate `{}`", gate.typetag_name());
        if let Some(recorded) = recorded(&need, data).map_err(|e| e.context(name()))? {
            let held = recorded.split()?.unseen().ids().to_vec();
            return Ok(Some((need, held)));
        }
        let held = choose(&need, data, self.ctx.seed).map_err(|e| e.context(name()))?;
        if TrainingData::without(data, &held)?.validation().is_empty() {
            return Err(Error::Input(format!(
                "{}: no validation sample of the classes that are not held out is left; take a larger `validation.fraction`",
                name()
            )));
        }
        Ok(Some((need, held)))
    }

    /// Trains without the held-out classes and fits the gate.
    pub(super) fn fit_open(
        &mut self,
        gate: &mut dyn GzslGate,
        need: &PseudoUnseen,
        held: &[ClassId],
        trained: &Trained,
    ) -> Result<(BTreeMap<String, f64>, HeldOut)> {
        let data = trained.data;
        let encoder = &self.pipeline.encoder;
        let read = |dataset| Data::read(self.pipeline, dataset, self.options.progress, self.options.cancel);
        let recorded = recorded(need, data)?.map(read).transpose()?;
        if need.retrain_encoder && recorded.is_none() && !encoder.retrains() {
            return Err(Error::Input(format!(
                "the gate is fitted on classes that are held out of a training of the encoder, and encoder `{}` is not trained",
                encoder.typetag_name()
            )));
        }
        let course = match &recorded {
            Some(recorded) => Course::of_recorded_gate(recorded),
            None => Course::of_gate(data, held)?,
        };
        let (features, own, encoder_fit) = if need.retrain_encoder {
            let mut encoder = self.build_encoder(&course)?;
            let fit = self.train_encoder(encoder.as_mut(), &course)?.summary;
            (self.extract(encoder.as_ref(), &course)?, Some(encoder), fit)
        } else {
            (known(trained, &course)?, None, None)
        };
        let encoder = own.as_deref().unwrap_or(trained.encoder);
        let (aligner, aligner_fit) = self.train_aligner(&course, &features, trained.anchors, encoder)?;
        let (seen_rows, held_rows): (Vec<usize>, Vec<usize>) = match &recorded {
            Some(own) => (
                own.rows(Part::SeenTest).collect(),
                own.rows(Part::UnseenTest).collect(),
            ),
            None => (course.data.validation().to_vec(), course.data.held_out()),
        };
        let rows = [seen_rows.as_slice(), &held_rows].concat();
        let candidates = course.data.split().all();
        let of = course.data.data();
        let column = |row: &usize| candidates.column(of.class_of(*row)).map_or(-1, |c| c.0 as i64);
        let labels: Vec<i64> = rows.iter().map(column).collect();
        let labels = Tensor::from_slice(&labels).to_device(self.ctx.device);
        let model = Model {
            aligner: aligner.as_ref(),
            anchors: trained.anchors,
        };
        let judged = features.at(&rows);
        let scores = score(&model, &judged.map, &candidates, &labels)?;
        let seen = columns(course.data.classes(), &candidates);
        let unseen = columns(course.data.split().unseen(), &candidates);
        let constants = gate.fit_open(&OpenEvidence {
            evidence: GateEvidence {
                scores: &scores,
                seen: &seen,
                unseen: &unseen,
                encoder_logits: judged.seen_logits.as_ref(),
                truth: None,
            },
            labels: &labels,
            classes: [data.split.seen().len(), data.split.unseen().len()],
        })?;
        let report = HeldOut {
            classes: course.data.split().unseen().names().to_vec(),
            encoder_retrained: need.retrain_encoder,
            samples: [seen_rows.len(), held_rows.len()],
            encoder: encoder_fit,
            aligner: aligner_fit,
        };
        Ok((constants, report))
    }
}

/// The dataset of held-out classes that came with the run's features, where the gate wants its encoder not to know them.
fn recorded(need: &PseudoUnseen, data: &Data) -> Result<Option<Box<dyn Dataset>>> {
    let features = data.dataset.features().filter(|_| need.retrain_encoder);
    let Some(held) = features
        .map(|features| features.held_out())
        .transpose()?
        .flatten()
    else {
        return Ok(None);
    };
    let split = held.split()?;
    let names = split.unseen().names();
    let count = need.count.unwrap_or(names.len());
    let listed = need.classes.iter().all(|name| names.contains(name)) && need.classes.len() == names.len();
    if !need.classes.is_empty() && !listed {
        return Err(Error::Input(format!(
            "the features for the gate were made without the classes {}; `pseudo_unseen.classes` names others",
            names.join(", ")
        )));
    }
    if count != names.len() {
        return Err(Error::Input(format!(
            "the features for the gate were made without {} classes, `pseudo_unseen.count` is {count}",
            names.len()
        )));
    }
    Ok(Some(held))
}

/// Features of the run's own encoder, its logits cut down to the classes that remain.
fn known(trained: &Trained, course: &Course) -> Result<Features> {
    let features = trained.features.rows(&(0..course.learned()));
    let seen = trained.data.split.seen();
    let left: Vec<i64> = columns(course.data.classes(), seen)
        .iter()
        .map(|c| c.0 as i64)
        .collect();
    let cut = |logits: &Tensor| -> Result<Tensor> {
        Ok(logits.f_index_select(1, &Tensor::from_slice(&left).to_device(logits.device()))?)
    };
    Ok(Features {
        seen_logits: features.seen_logits.as_ref().map(cut).transpose()?,
        map: features.map,
    })
}

/// Which seen classes are held out, ascending.
fn choose(need: &PseudoUnseen, data: &Data, seed: Seed) -> Result<Vec<ClassId>> {
    let mut learned: Vec<ClassId> = data
        .samples(Part::Train)
        .iter()
        .map(|sample| data.class(*sample))
        .collect();
    learned.sort_unstable();
    learned.dedup();
    if !need.classes.is_empty() {
        return named(need, data, &learned);
    }
    let count = need
        .count
        .unwrap_or_else(|| data.split.unseen().len().min(learned.len() / 3));
    if count == 0 || count + LEFT > learned.len() {
        let asked = need
            .count
            .map_or_else(String::new, |n| format!(", {n} are to be held out"));
        return Err(Error::Input(format!(
            "it is fitted with seen classes held out; split `{}` has {} with training samples{asked}, and at least {LEFT} must remain\n\n\
             hint: choose a split with more seen classes, a smaller `gate.pseudo_unseen.count`, or a gate with given constants",
            data.split.name(),
            learned.len()
        )));
    }
    learned.shuffle(&mut seed.derive("pseudo-unseen", 0).rng());
    learned.truncate(count);
    learned.sort_unstable();
    Ok(learned)
}

/// The classes that the options name.
fn named(need: &PseudoUnseen, data: &Data, learned: &[ClassId]) -> Result<Vec<ClassId>> {
    let seen = data.split.seen();
    let mut held = Vec::with_capacity(need.classes.len());
    for name in &need.classes {
        let id = seen
            .by_name(name)
            .map_err(|e| e.context("seen classes to hold out"))?;
        if !learned.contains(&id) {
            return Err(Error::Input(format!(
                "class `{name}` is to be held out and has no training sample"
            )));
        }
        held.push(id);
    }
    held.sort_unstable();
    if learned.len() < held.len() + LEFT {
        return Err(Error::Input(format!(
            "{} of {} seen classes are to be held out, and at least {LEFT} must remain",
            held.len(),
            learned.len()
        )));
    }
    Ok(held)
}
