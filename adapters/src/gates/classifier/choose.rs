//! Fits the regression, and chooses temperature and threshold on a part that is kept away from it.

use rand::seq::SliceRandom;
use szar_core::{Error, Result, Seed};
use tch::Tensor;

use super::features::features;
use super::logistic::Logistic;

/// What is tried and how much is kept away.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Plan {
    pub temperatures: Vec<f64>,
    pub thresholds: Vec<f64>,
    /// With one weight vector.
    pub c: f64,
    pub balance: bool,
    /// Samples of seen and of held-out classes to choose on, at most.
    pub holdout: [usize; 2],
    /// Share of either side to choose on, at most.
    pub share: f64,
}

/// Samples of both sides.
#[derive(Debug)]
pub(super) struct Samples {
    /// `[n, U]` probabilities.
    pub zero_shot: Tensor,
    /// `[n, S]`.
    pub seen_logits: Tensor,
    /// n flags.
    pub seen: Vec<bool>,
}

impl Samples {
    pub fn select(&self, rows: &[usize]) -> Self {
        let index: Vec<i64> = rows.iter().map(|r| *r as i64).collect();
        let index = Tensor::from_slice(&index).to_device(self.zero_shot.device());
        Self {
            zero_shot: self.zero_shot.index_select(0, &index),
            seen_logits: self.seen_logits.index_select(0, &index),
            seen: rows.iter().map(|r| self.seen[*r]).collect(),
        }
    }

    fn features(&self, temperature: f64, top: usize) -> Result<Tensor> {
        features(&self.zero_shot, &self.seen_logits, temperature, top)
    }

    /// Gives the samples that are not seen the zero-shot posteriors of those that are, in turn, as the released code.
    pub fn with_feature_bug(self) -> Self {
        let rows = |seen: bool| self.seen.iter().enumerate().filter(move |(_, s)| **s == seen);
        let mut source: Vec<i64> = (0..self.seen.len() as i64).collect();
        for ((row, _), (from, _)) in rows(false).zip(rows(true).cycle()) {
            source[row] = from as i64;
        }
        let source = Tensor::from_slice(&source).to_device(self.zero_shot.device());
        Self {
            zero_shot: self.zero_shot.index_select(0, &source),
            ..self
        }
    }
}

/// A regression with its temperature.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Model {
    pub temperature: f64,
    pub top: usize,
    pub logistic: Logistic,
}

impl Model {
    /// Fits the regression for a temperature.
    ///
    /// # Errors
    /// As [`features`] and [`Logistic::fit`].
    pub fn fit(samples: &Samples, temperature: f64, top: usize, c: f64) -> Result<Self> {
        Ok(Self {
            temperature,
            top,
            logistic: Logistic::fit(&samples.features(temperature, top)?, &samples.seen, c)?,
        })
    }

    /// P(seen), `[n]` f64.
    pub fn seen(&self, zero_shot: &Tensor, seen_logits: &Tensor) -> Result<Tensor> {
        let features = features(zero_shot, seen_logits, self.temperature, self.top)?;
        self.logistic.probability(&features)
    }
}

/// Share of samples whose side is right when those with P(unseen) above the threshold are taken for unseen, by threshold.
pub(super) fn accuracies(model: &Model, samples: &Samples, thresholds: &[f64]) -> Result<Vec<f64>> {
    let unseen = 1f64 - model.seen(&samples.zero_shot, &samples.seen_logits)?;
    let unseen = Vec::<f64>::try_from(unseen.contiguous())?;
    let accuracy = |threshold: &f64| {
        let right = unseen
            .iter()
            .zip(&samples.seen)
            .filter(|(p, seen)| (**p > *threshold) != **seen);
        right.count() as f64 / unseen.len().max(1) as f64
    };
    Ok(thresholds.iter().map(accuracy).collect())
}

/// Place of the first largest value.
pub(super) fn first_best(values: &[f64]) -> usize {
    let better = |best: usize, at: usize| if values[at] > values[best] { at } else { best };
    (1..values.len()).fold(0, better)
}

/// What was chosen.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Chosen {
    pub model: Model,
    pub threshold: f64,
    /// Share of the samples kept away whose side is right; `None` when nothing was to be chosen.
    pub accuracy: Option<f64>,
}

/// Fits a regression for every temperature on one part, and keeps the temperature and threshold that are right most
/// often on the other: the first such threshold, of the first such temperature. Where both are given, nothing is kept away.
///
/// # Errors
/// When a side has too few samples, or a fit fails.
pub(super) fn choose(samples: &Samples, plan: &Plan, top: usize, seed: Seed) -> Result<Chosen> {
    let fixed = plan.temperatures.len() == 1 && plan.thresholds.len() == 1;
    let (fit, held) = parts(&samples.seen, plan, fixed, seed)?;
    let (fit, held) = (samples.select(&fit), samples.select(&held));
    if fixed {
        return Ok(Chosen {
            model: Model::fit(&fit, plan.temperatures[0], top, plan.c)?,
            threshold: plan.thresholds[0],
            accuracy: None,
        });
    }
    let mut best: Option<Chosen> = None;
    for temperature in &plan.temperatures {
        let model = Model::fit(&fit, *temperature, top, plan.c)?;
        let accuracies = accuracies(&model, &held, &plan.thresholds)?;
        let at = first_best(&accuracies);
        if best
            .as_ref()
            .is_none_or(|b| b.accuracy.is_none_or(|a| accuracies[at] > a))
        {
            best = Some(Chosen {
                model,
                threshold: plan.thresholds[at],
                accuracy: Some(accuracies[at]),
            });
        }
    }
    best.ok_or_else(|| Error::Missing("a temperature to try".into()))
}

/// Rows to fit on and rows to choose on.
fn parts(seen: &[bool], plan: &Plan, fixed: bool, seed: Seed) -> Result<(Vec<usize>, Vec<usize>)> {
    let mut rng = seed.derive("gate/split", 0).rng();
    let mut sides = [true, false].map(|side| {
        let mut rows: Vec<usize> = (0..seen.len()).filter(|r| seen[*r] == side).collect();
        rows.shuffle(&mut rng);
        rows
    });
    if plan.balance {
        let least = sides.iter().map(Vec::len).min().unwrap_or(0);
        sides.iter_mut().for_each(|rows| rows.truncate(least));
    }
    let least = if fixed { 1 } else { 2 };
    if let Some(few) = sides.iter().map(Vec::len).find(|n| *n < least) {
        return Err(Error::Input(format!(
            "the gate needs at least {least} samples of seen and of held-out classes to be fitted on, a side has {few}"
        )));
    }
    let (mut fit, mut held) = (Vec::new(), Vec::new());
    for (mut rows, most) in sides.into_iter().zip(plan.holdout) {
        if !fixed {
            let share = (rows.len() as f64 * plan.share) as usize;
            let away = most.min(share).clamp(1, rows.len() - 1);
            held.extend(rows.drain(..away));
        }
        fit.extend(rows);
    }
    fit.sort_unstable();
    held.sort_unstable();
    Ok((fit, held))
}
