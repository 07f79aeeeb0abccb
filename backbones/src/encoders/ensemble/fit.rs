//! Trains members one after the other; an interrupted training goes on with the member it had reached.

use std::fs;
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};
use szar_core::{Error, FitContext, FitSummary, NamedTensors, Progress, Result, SeenSkeletons};

use super::encoder::{Ensemble, checkpoint, place, prefix, split};

/// What the checkpoint holds besides the tensors of the members: trained ones of those that are done, first ones of
/// the others.
#[derive(Serialize, Deserialize)]
struct Note {
    /// Options, sizes, seed and arithmetic: a checkpoint of another training is refused.
    training: String,
    /// Of every member that is done, in their order; empty for one that is not trained.
    summaries: Vec<FitSummary>,
}

/// Trains the members of an ensemble that have no weights.
///
/// # Errors
/// As the members' trainings; [`Error::Format`] when the checkpoint is of another training.
pub(super) fn fit(
    whole: &mut Ensemble,
    train: &dyn SeenSkeletons,
    validation: &dyn SeenSkeletons,
    ctx: &FitContext,
) -> Result<FitSummary> {
    let count = whole.members.len();
    let mut note = start(whole, train, validation, ctx)?;
    for i in note.summaries.len()..count {
        ctx.cancel.check()?;
        let own = ctx.checkpoint.as_deref().map(|path| checkpoint(path, i));
        let member = &mut whole.members[i];
        let mut summary = FitSummary::default();
        if member.trains {
            let progress = Named {
                inner: ctx.progress,
                member: format!("{} of {count}, {}", i + 1, member.name),
            };
            let mut part = FitContext {
                device: ctx.device,
                precision: ctx.precision,
                seed: ctx.seed.derive("ensemble/member", i as u64),
                progress: &progress,
                cancel: ctx.cancel,
                checkpoint: own.clone(),
                motion: ctx.motion,
            };
            summary = member
                .encoder
                .fit(train, validation, &mut part)
                .map_err(|e| e.context(place(i, member.name)))?;
        }
        note.summaries.push(summary);
        ctx.save(&trained(whole), &note)?;
        own.as_deref().map_or(Ok(()), remove)?;
    }
    Ok(summed(&note.summaries))
}

/// Goes on where an earlier training stopped, or begins.
fn start(
    whole: &mut Ensemble,
    train: &dyn SeenSkeletons,
    validation: &dyn SeenSkeletons,
    ctx: &FitContext,
) -> Result<Note> {
    let training = about(whole, train, validation, ctx)?;
    let Some((tensors, note)) = ctx.load::<Note>()? else {
        let note = Note {
            training,
            summaries: Vec::new(),
        };
        // What an earlier training left is not of this one, whose own checkpoint would be there.
        for path in paths(ctx.checkpoint.as_deref(), whole.members.len()) {
            remove(&path)?;
        }
        ctx.save(&trained(whole), &note)?;
        return Ok(note);
    };
    if note.training != training || note.summaries.len() > whole.members.len() {
        let path = ctx.checkpoint.clone().unwrap_or_default();
        let why = "is of a training with other options, data, seed or precision; remove it to start anew";
        return Err(Error::format(path, None, why));
    }
    let parts = split(&tensors, whole.members.len())?;
    for (member, part) in whole.members.iter_mut().zip(&parts).filter(|(m, _)| m.trains) {
        member.encoder.load_state(part)?;
    }
    Ok(note)
}

/// Checkpoints of all members.
fn paths(whole: Option<&Path>, count: usize) -> Vec<PathBuf> {
    let of = |path: &Path| (0..count).map(|i| checkpoint(path, i)).collect();
    whole.map(of).unwrap_or_default()
}

/// Tensors of the members that are trained.
fn trained(whole: &Ensemble) -> NamedTensors {
    let members = whole.members.iter().enumerate().filter(|(_, m)| m.trains);
    let named = members.flat_map(|(i, member)| {
        let front = prefix(i);
        let state = member.encoder.state().into_iter();
        state.map(move |(name, tensor)| (format!("{front}{name}"), tensor))
    });
    named.collect()
}

fn remove(path: &Path) -> Result<()> {
    match fs::remove_file(path) {
        Err(e) if e.kind() != std::io::ErrorKind::NotFound => Err(Error::write(path, e)),
        _ => Ok(()),
    }
}

/// Names a training, so that a checkpoint is only taken up by the training that wrote it.
fn about(
    whole: &Ensemble,
    train: &dyn SeenSkeletons,
    validation: &dyn SeenSkeletons,
    ctx: &FitContext,
) -> Result<String> {
    let options = serde_json::to_string(&whole.config)
        .map_err(|e| Error::Input(format!("options of the ensemble: {e}")))?;
    let (train, validation) = (train.labels().len(), validation.labels().len());
    let kind = ctx.precision.resolve(ctx.device);
    Ok(format!(
        "{options} {train}+{validation} samples, seed {}, {kind:?}",
        ctx.seed.0
    ))
}

/// One report of all: epochs, losses and accuracies of the members one after the other; `best_epoch` in that count, of
/// the member that was trained last. What a member chose stands under `members.{i}.`, with its own epochs.
fn summed(summaries: &[FitSummary]) -> FitSummary {
    let mut all = FitSummary::default();
    for (i, one) in summaries.iter().enumerate().filter(|(_, one)| one.epochs > 0) {
        let front = prefix(i);
        all.best_epoch = all.epochs + one.best_epoch;
        all.epochs += one.epochs;
        all.train_loss.extend(&one.train_loss);
        all.validation.extend(&one.validation);
        all.validation_measure.clone_from(&one.validation_measure);
        let own = [("epochs", one.epochs), ("best_epoch", one.best_epoch)];
        let own = own.map(|(name, value)| (name.to_owned(), f64::from(value)));
        let chosen = one.chosen.iter().map(|(name, value)| (name.clone(), *value));
        let named = own.into_iter().chain(chosen);
        all.chosen
            .extend(named.map(|(name, value)| (format!("{front}{name}"), value)));
    }
    all
}

/// Progress whose stages say which member they are of.
struct Named<'a> {
    inner: &'a dyn Progress,
    member: String,
}

impl Progress for Named<'_> {
    fn begin(&self, stage: &str, total: u64) {
        self.inner.begin(&format!("{stage} {}", self.member), total);
    }

    fn advance(&self, done: u64, note: &str) {
        self.inner.advance(done, note);
    }

    fn end(&self) {
        self.inner.end();
    }
}
