//! Training on seen classes.

use rand_chacha::ChaCha8Rng;
use szar_core::optim::{Optimiser, Rule};
use szar_core::{Error, FitContext, FitSummary, NamedTensors, Result};
use tch::{Device, Tensor};

use super::super::training::{self, At, Lesson, Measure};
use super::super::vae::{
    Batch, Draws, Family, Noise, Posterior, Samples, Timetable, Vae, detached, mean_square, term, total,
};
use super::{Coder, Synse};

/// Names of what [`Synse::objective`] gives, the whole loss first.
const TERMS: [&str; 10] = [
    "loss",
    "motion",
    "noun",
    "verb",
    "motion divergence",
    "noun divergence",
    "verb divergence",
    "noun from motion",
    "verb from motion",
    "motion from text",
];

/// The cycle (from 0) from which the divergences of the texts count.
const TEXT_DIVERGENCE_FROM: u32 = 2;

/// What the terms of the loss are multiplied with.
#[derive(Clone, Copy, Debug)]
pub(super) struct Factors {
    /// k₁, divergence of the motion.
    pub motion: f64,
    /// kₙ, divergence of the noun.
    pub noun: f64,
    /// kᵥ, divergence of the verb.
    pub verb: f64,
    /// c, motion from text.
    pub cross: f64,
    /// c, noun from motion.
    pub noun_cross: f64,
    /// c, verb from motion.
    pub verb_cross: f64,
}

impl Factors {
    /// Those of a step of a cycle.
    pub fn at(table: Timetable, cycle: u32, step: u64, steps: u64) -> Self {
        let cross = table.cross(step, steps);
        let text = if cycle >= TEXT_DIVERGENCE_FROM {
            table.late_divergence(step, steps)
        } else {
            0.0
        };
        Self {
            motion: table.divergence(step, steps),
            noun: text,
            verb: text,
            cross,
            noun_cross: cross,
            verb_cross: cross,
        }
    }
}

/// The noise of a step, `[B, 1]` or `[B, Lᵢ]` each.
pub(super) struct StepNoise {
    pub motion: Tensor,
    pub noun: Tensor,
    pub verb: Tensor,
}

impl StepNoise {
    fn new(noise: Noise, rng: &mut ChaCha8Rng, rows: i64, half: i64, device: Device) -> Self {
        Self {
            motion: noise.draw(rng, rows, 2 * half, device),
            noun: noise.draw(rng, rows, half, device),
            verb: noise.draw(rng, rows, half, device),
        }
    }
}

/// What an encoder says of a batch, and a sample of it.
pub(super) struct Coded {
    pub posterior: Posterior,
    /// `[B, Lᵢ]`.
    pub latent: Tensor,
}

/// What the encoders make of a batch.
pub(super) struct Pass {
    pub motion: Coded,
    pub noun: Coded,
    pub verb: Coded,
}

impl Coder {
    fn code(&self, x: &Tensor, noise: &Tensor) -> Coded {
        let posterior = self.encoder.posterior(x);
        Coded {
            latent: posterior.sample(noise),
            posterior,
        }
    }
}

impl Pass {
    /// The halves of the motion's latent that noun and verb share, `[B, L/2]` each.
    pub fn halves(&self) -> [Tensor; 2] {
        let half = self.noun.latent.size()[1];
        [0, half].map(|start| self.motion.latent.narrow(1, start, half))
    }

    /// The latents of noun and verb in the place of the motion's, `[B, L]`.
    pub fn texts(&self) -> Tensor {
        Tensor::cat(&[&self.noun.latent, &self.verb.latent], 1)
    }
}

impl Synse {
    pub(super) fn encode(&self, batch: &Batch, noise: &StepNoise) -> Pass {
        Pass {
            motion: self.motion.code(&batch.motion, &noise.motion),
            noun: self.noun.code(&batch.texts[0], &noise.noun),
            verb: self.verb.code(&batch.texts[1], &noise.verb),
        }
    }

    /// The loss of a batch and, without a graph, the loss and its terms `[10]`; divergences with a minus, as official code
    /// has them.
    pub(super) fn objective(&self, batch: &Batch, pass: &Pass, by: Factors) -> (Tensor, Tensor) {
        let motion_from = |latent: &Tensor| mean_square(&self.motion.decoder.forward(latent), &batch.motion);
        let noun_from = |latent: &Tensor| mean_square(&self.noun.decoder.forward(latent), &batch.texts[0]);
        let verb_from = |latent: &Tensor| mean_square(&self.verb.decoder.forward(latent), &batch.texts[1]);
        let divergence = |coded: &Coded, factor| term(factor, || coded.posterior.minus_divergence());
        let terms = [
            (motion_from(&pass.motion.latent), 1.0),
            (noun_from(&pass.noun.latent), 1.0),
            (verb_from(&pass.verb.latent), 1.0),
            (divergence(&pass.motion, by.motion), -by.motion),
            (divergence(&pass.noun, by.noun), -by.noun),
            (divergence(&pass.verb, by.verb), -by.verb),
            (
                term(by.noun_cross, || noun_from(&pass.halves()[0])),
                by.noun_cross,
            ),
            (
                term(by.verb_cross, || verb_from(&pass.halves()[1])),
                by.verb_cross,
            ),
            (term(by.cross, || motion_from(&pass.texts())), by.cross),
        ];
        let whole = total(&terms.each_ref().map(|(term, factor)| (term, *factor)));
        let reported = detached(&whole, &terms.each_ref().map(|(term, _)| term));
        (whole, reported)
    }
}

/// One update; gives the terms of the loss before it.
pub(super) fn update(
    family: &Synse,
    optimiser: &mut Optimiser,
    batch: &Batch,
    noise: &StepNoise,
    by: Factors,
    lr: f64,
) -> Tensor {
    let (whole, terms) = family.objective(batch, &family.encode(batch, noise), by);
    optimiser.zero_grad();
    whole.backward();
    optimiser.step(lr);
    terms
}

struct Training<'a> {
    model: &'a Vae<Synse>,
    samples: &'a Samples,
    draws: Draws,
    table: Timetable,
    optimiser: Optimiser,
}

impl Lesson for Training<'_> {
    fn terms(&self) -> &'static [&'static str] {
        &TERMS
    }

    fn step(&mut self, rows: &Tensor, at: At) -> Result<Tensor> {
        let family = &self.model.family;
        let batch = self.samples.batch(rows);
        let (half, device) = (family.config.half(), batch.motion.device());
        let rng = self.draws.at(at);
        let noise = StepNoise::new(family.config.noise, rng, rows.size()[0], half, device);
        let by = Factors::at(self.table, at.round, at.step, at.steps);
        Ok(update(family, &mut self.optimiser, &batch, &noise, by, at.lr))
    }

    fn validate(&mut self, _: u32) -> Result<Measure> {
        Ok(self.model.recognised(self.samples))
    }

    fn weights(&self) -> NamedTensors {
        self.model.family.state()
    }

    fn optimisers(&mut self) -> Vec<(&'static str, &mut Optimiser)> {
        vec![("adam", &mut self.optimiser)]
    }
}

pub(super) fn fit(model: &Vae<Synse>, samples: &Samples, ctx: &mut FitContext) -> Result<FitSummary> {
    let config = &model.family.config;
    let about = serde_json::to_string(config).map_err(|e| Error::Input(e.to_string()))?;
    let plan = config.schedule().plan(Synse::NAME, about);
    let count = samples.train.labels.numel();
    let mut lesson = Training {
        model,
        samples,
        draws: Draws::new(ctx.seed, Synse::NAME),
        table: config.schedule().timetable(),
        optimiser: Optimiser::new(Rule::Adam, 0.0, &model.family.parameters()),
    };
    training::run(&mut lesson, &plan, count, ctx)
}
