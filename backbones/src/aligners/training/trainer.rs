//! The loop itself.

use rand::seq::SliceRandom;
use serde::{Deserialize, Serialize};
use szar_core::checkpoint::{copies, copy_into};
use szar_core::host::to_f64;
use szar_core::optim::Plateau;
use szar_core::{Error, FitContext, FitSummary, NamedTensors, Result, Seed};
use tch::{Device, Kind, Tensor, no_grad};

use super::plan::warmup;
use super::{At, Lesson, Measure, Plan, Rate, Sampling};

/// What a checkpoint says besides its tensors.
#[derive(Serialize, Deserialize)]
struct Note {
    aligner: String,
    about: String,
    samples: usize,
    round: u32,
    plateau: Option<Plateau>,
    /// Lower is better; `None` before the first.
    best: Option<f64>,
    summary: FitSummary,
}

pub(super) struct Trainer<'a, 'b> {
    lesson: &'a mut dyn Lesson,
    plan: &'a Plan,
    samples: usize,
    ctx: &'a mut FitContext<'b>,
    plateau: Option<Plateau>,
    best: Option<f64>,
    best_weights: NamedTensors,
    summary: FitSummary,
}

impl<'a, 'b> Trainer<'a, 'b> {
    pub fn new(
        lesson: &'a mut dyn Lesson,
        plan: &'a Plan,
        samples: usize,
        ctx: &'a mut FitContext<'b>,
    ) -> Result<Self> {
        if samples < 2 {
            return Err(Error::Input(format!(
                "aligner `{}` needs at least 2 training samples, there are {samples}",
                plan.name
            )));
        }
        let plateau = match plan.rate {
            Rate::Plateau(p) => Some(Plateau::new(plan.lr, p.factor, p.patience, p.cooldown)),
            _ => None,
        };
        Ok(Self {
            lesson,
            plan,
            samples,
            ctx,
            plateau,
            best: None,
            best_weights: NamedTensors::new(),
            summary: FitSummary::default(),
        })
    }

    pub fn run(mut self) -> Result<FitSummary> {
        let first = self.resume()?;
        self.ctx
            .progress
            .begin(self.plan.name, u64::from(self.plan.rounds));
        for round in first..self.plan.rounds {
            if self.has_waited_enough() {
                break;
            }
            self.round(round)?;
            self.save(round)?;
            let note = self.status();
            self.ctx.progress.advance(u64::from(round + 1), &note);
        }
        self.ctx.progress.end();
        copy_into(&self.lesson.weights(), &self.best_weights, |_| false)?;
        Ok(self.summary)
    }

    fn has_waited_enough(&self) -> bool {
        let since = self.summary.epochs - self.summary.best_epoch.min(self.summary.epochs);
        self.plan.patience.is_some_and(|patience| since > patience)
    }

    fn status(&self) -> String {
        let loss = self.summary.train_loss.last().copied().unwrap_or(f64::NAN);
        match (
            self.summary.validation.last(),
            self.summary.validation_measure.as_str(),
        ) {
            (Some(top1), "top1") => format!("loss {loss:.4}, validation {top1:.1} %"),
            (Some(held), _) => format!("loss {loss:.4}, validation {held:.4}"),
            _ => format!("loss {loss:.4}"),
        }
    }

    fn lr(&self, round: u32) -> f64 {
        let full = self.plan.lr;
        match (&self.plan.rate, &self.plateau) {
            (_, Some(plateau)) => plateau.lr,
            (Rate::Rounds(factor), None) => full * factor(round),
            (Rate::Warmup { rounds, total }, None) => full * warmup(round, *rounds, *total),
            (Rate::Milestones { rounds, factor }, None) => {
                let passed = rounds.iter().filter(|r| **r <= round).count();
                full * factor.powi(i32::try_from(passed).unwrap_or(i32::MAX))
            }
            (Rate::Constant | Rate::Plateau(_), None) => full,
        }
    }

    fn round(&mut self, round: u32) -> Result<()> {
        let (name, lr) = (self.plan.name, self.lr(round));
        self.ctx.seed.derive(name, u64::from(round)).apply();
        let order = self.ctx.seed.derive(&format!("{name}-order"), u64::from(round));
        let batches = self.batches(order);
        let steps = batches.len() as u64;
        let (mut terms, mut sizes) = (
            Vec::with_capacity(batches.len()),
            Vec::with_capacity(batches.len()),
        );
        for (step, rows) in (0..).zip(&batches) {
            self.ctx.cancel.check()?;
            terms.push(self.lesson.step(
                rows,
                At {
                    round,
                    step,
                    steps,
                    lr,
                },
            )?);
            sizes.push(rows.numel() as f64);
        }
        let measure = no_grad(|| self.lesson.validate(round))?;
        let (kind, measure) = match measure {
            Measure::Loss(value) => ("loss", Some(value)),
            Measure::Top1(value) => ("top1", Some(value)),
            Measure::Nothing => ("loss", None),
        };
        // The one read of the round: the terms of every step and the measure.
        let count = self.lesson.terms().len();
        let mut all = vec![Tensor::stack(&terms, 0).to_kind(Kind::Double).flatten(0, -1)];
        all.extend(measure.map(|m| m.to_kind(Kind::Double).view([1])));
        let values = to_f64(&Tensor::cat(&all, 0));
        let (terms, measure) = values.split_at(sizes.len() * count);
        self.all_finite(round, terms, count)?;
        let all: f64 = sizes.iter().sum();
        let weighted = terms.iter().step_by(count).zip(&sizes).map(|(loss, n)| loss * n);
        self.judge(round, weighted.sum::<f64>() / all, kind, measure.first().copied())
    }

    fn batches(&self, seed: Seed) -> Vec<Tensor> {
        let device = self.ctx.device;
        match self.plan.sampling {
            Sampling::Epoch { batch, drop_last } => epoch(self.samples, batch, drop_last, seed, device),
            Sampling::Draws { batch, steps } => {
                let size = (batch.max(1) as usize).min(self.samples);
                let mut order: Vec<i64> = (0..self.samples as i64).collect();
                let mut rng = seed.rng();
                let mut draws = Vec::with_capacity(size * steps as usize);
                for _ in 0..steps {
                    draws.extend_from_slice(order.partial_shuffle(&mut rng, size).0);
                }
                let draws = Tensor::from_slice(&draws).to_device(device);
                draws.split(size as i64, 0)
            }
        }
    }

    fn all_finite(&self, round: u32, terms: &[f64], count: usize) -> Result<()> {
        let bad = terms
            .chunks(count)
            .position(|step| step.iter().any(|v| !v.is_finite()));
        let Some(batch) = bad else { return Ok(()) };
        let names = self.lesson.terms();
        let own = &terms[batch * count..][..count];
        // The whole loss is no number because one of its terms is none; that one is named.
        let culprit = (1..count).chain([0]).find(|i| !own[*i].is_finite()).unwrap_or(0);
        let kept = match (&self.ctx.checkpoint, round) {
            (Some(path), 1..) => format!("; the state after epoch {round} is kept in {}", path.display()),
            _ => String::new(),
        };
        Err(Error::Input(format!(
            "training of `{}` diverged in epoch {}, batch {}: the term `{}` of the loss is not a number; lower `lr`, or look for \
             values that are no numbers in the features{kept}",
            self.plan.name,
            round + 1,
            batch + 1,
            names.get(culprit).copied().unwrap_or("loss"),
        )))
    }

    fn judge(&mut self, round: u32, train: f64, kind: &str, validation: Option<f64>) -> Result<()> {
        let lower_is_better = match (kind, validation) {
            ("top1", Some(percent)) => 100.0 - percent,
            (_, value) => value.unwrap_or(train),
        };
        if !lower_is_better.is_finite() {
            return Err(Error::Input(format!(
                "training of `{}` diverged in epoch {}: the validation {kind} is not a number; lower `lr`",
                self.plan.name,
                round + 1
            )));
        }
        if let Some(plateau) = &mut self.plateau {
            plateau.observe(lower_is_better);
        }
        let summary = &mut self.summary;
        summary.validation_measure = kind.into();
        summary.epochs = round + 1;
        summary.train_loss.push(train);
        summary.validation.extend(validation);
        if validation.is_none() || self.best.is_none_or(|best| lower_is_better < best) {
            self.best = Some(lower_is_better);
            summary.best_epoch = round + 1;
            self.best_weights = copies(&self.lesson.weights());
        }
        Ok(())
    }

    fn save(&mut self, round: u32) -> Result<()> {
        if self.ctx.checkpoint.is_none() {
            return Ok(());
        }
        let mut all = NamedTensors::new();
        let mut add = |prefix: &str, tensors: &NamedTensors| {
            let named = tensors
                .iter()
                .map(|(name, t)| (format!("{prefix}/{name}"), t.shallow_clone()));
            all.extend(named);
        };
        add("network", &self.lesson.weights());
        for (name, optimiser) in self.lesson.optimisers() {
            add(&format!("optimiser/{name}"), &optimiser.state());
        }
        if self.summary.best_epoch != round + 1 {
            add("best", &self.best_weights);
        }
        let note = Note {
            aligner: self.plan.name.into(),
            about: self.plan.about.clone(),
            samples: self.samples,
            round: round + 1,
            plateau: self.plateau.clone(),
            best: self.best,
            summary: self.summary.clone(),
        };
        self.ctx.save(&all, &note)
    }

    /// Goes on from a checkpoint; gives the number of finished rounds.
    fn resume(&mut self) -> Result<u32> {
        let Some((tensors, note)) = self.ctx.load::<Note>()? else {
            return Ok(0);
        };
        self.same_training(&note)?;
        let below = |prefix: &str| -> NamedTensors {
            let own = tensors
                .iter()
                .filter_map(|(name, t)| Some((name.strip_prefix(prefix)?, t)));
            own.map(|(name, t)| (name.to_owned(), t.shallow_clone()))
                .collect()
        };
        copy_into(&self.lesson.weights(), &below("network/"), |_| false)?;
        for (name, optimiser) in self.lesson.optimisers() {
            optimiser.load_state(&below(&format!("optimiser/{name}/")))?;
        }
        self.best_weights = below("best/");
        if self.best_weights.is_empty() {
            self.best_weights = copies(&self.lesson.weights());
        }
        (self.plateau, self.best, self.summary) = (note.plateau, note.best, note.summary);
        Ok(note.round)
    }

    fn same_training(&self, note: &Note) -> Result<()> {
        let path = self
            .ctx
            .checkpoint
            .as_ref()
            .map(|p| p.display().to_string())
            .unwrap_or_default();
        let refuse = |what: &str, found: &str, expected: &str| {
            Err(Error::Input(format!(
                "{path}: the unfinished training in it is of another {what} (found {found}, expected {expected}); remove the file, or \
                 go back to what it was made with"
            )))
        };
        if note.aligner != self.plan.name {
            return refuse(
                "aligner",
                &format!("`{}`", note.aligner),
                &format!("`{}`", self.plan.name),
            );
        }
        if note.about != self.plan.about {
            return refuse("configuration", &note.about, &self.plan.about);
        }
        if note.samples != self.samples {
            return refuse(
                "set of samples",
                &note.samples.to_string(),
                &self.samples.to_string(),
            );
        }
        Ok(())
    }
}

/// Numbers `0 .. count` in a random order, cut into batches; a last batch of one joins the one before, because
/// a batch statistic needs two samples.
pub fn epoch(count: usize, size: i64, drop_last: bool, seed: Seed, device: Device) -> Vec<Tensor> {
    let mut order: Vec<i64> = (0..count as i64).collect();
    order.shuffle(&mut seed.rng());
    let order = Tensor::from_slice(&order).to_device(device);
    let mut sizes = vec![size; count / size as usize];
    match (count as i64 % size, sizes.last_mut()) {
        (0, _) => {}
        (rest, Some(_)) if drop_last => {
            return order.narrow(0, 0, count as i64 - rest).split(size, 0);
        }
        (1, Some(last)) => *last += 1,
        (rest, _) => sizes.push(rest),
    }
    order.split_with_sizes(sizes.as_slice(), 0)
}
