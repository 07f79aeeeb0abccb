//! Training on seen classes.

use rand_chacha::ChaCha8Rng;
use szar_core::optim::{Optimiser, Rule};
use szar_core::{Error, FitContext, FitSummary, NamedTensors, Result};
use tch::{Device, Tensor};

use super::super::training::{self, At, Lesson, Measure};
use super::super::vae::{
    Batch, Draws, Family, Noise, Posterior, Samples, Timetable, Triplet, Vae, detached, mean_square, term,
    total, wasserstein,
};
use super::CadaVae;

/// Names of what [`Objective::of`] gives, the whole loss first.
const TERMS: [&str; 9] = [
    "loss",
    "motion",
    "text",
    "motion divergence",
    "text divergence",
    "motion from text",
    "text from motion",
    "alignment",
    "triplet",
];

/// What the terms of the loss are multiplied with.
#[derive(Clone, Copy, Debug)]
pub(super) struct Factors {
    /// k₁, divergence of the motion.
    pub motion: f64,
    /// k₂, divergence of the text.
    pub text: f64,
    /// c, cross terms.
    pub cross: f64,
    /// w, distance of the normals.
    pub alignment: f64,
    /// The triplet loss.
    pub triplet: f64,
}

impl Factors {
    /// Those of a step of a cycle.
    pub fn at(table: Timetable, step: u64, steps: u64) -> Self {
        let (cross, motion) = (table.cross(step, steps), table.divergence(step, steps));
        Self {
            motion,
            text: motion * cross,
            cross,
            alignment: 0.0,
            triplet: 0.0,
        }
    }
}

/// The noise of a step, `[B, 1]` or `[B, L]` each.
pub(super) struct StepNoise {
    pub motion: Tensor,
    pub text: Tensor,
}

impl StepNoise {
    fn new(noise: Noise, rng: &mut ChaCha8Rng, rows: i64, latent: i64, device: Device) -> Self {
        let [motion, text] = [(), ()].map(|()| noise.draw(rng, rows, latent, device));
        Self { motion, text }
    }
}

/// What the networks make of a batch.
pub(super) struct Pass {
    pub motion: Posterior,
    pub text: Posterior,
    /// `[B, L]`.
    pub motion_latent: Tensor,
    /// `[B, L]`.
    pub text_latent: Tensor,
}

impl CadaVae {
    pub(super) fn encode(&self, batch: &Batch, noise: &StepNoise) -> Pass {
        let motion = self.motion.posterior(&batch.motion);
        let text = self.text.posterior(&batch.texts[0]);
        Pass {
            motion_latent: motion.sample(&noise.motion),
            text_latent: text.sample(&noise.text),
            motion,
            text,
        }
    }

    /// The loss of a batch and, without a graph, the loss and its terms `[9]`; divergences with a minus, as official code
    /// has them.
    pub(super) fn objective(
        &self,
        batch: &Batch,
        pass: &Pass,
        by: Factors,
        triplet: Triplet,
    ) -> (Tensor, Tensor) {
        let motion_from = |latent: &Tensor| mean_square(&self.motion_decoder.forward(latent), &batch.motion);
        let text_from = |latent: &Tensor| mean_square(&self.text_decoder.forward(latent), &batch.texts[0]);
        let terms = [
            (motion_from(&pass.motion_latent), 1.0),
            (text_from(&pass.text_latent), 1.0),
            (term(by.motion, || pass.motion.minus_divergence()), -by.motion),
            (term(by.text, || pass.text.minus_divergence()), -by.text),
            (term(by.cross, || motion_from(&pass.text_latent)), by.cross),
            (term(by.cross, || text_from(&pass.motion_latent)), by.cross),
            (
                term(by.alignment, || wasserstein(&pass.motion, &pass.text)),
                by.alignment,
            ),
            (
                term(by.triplet, || triplet.loss(&pass.motion.mean, &batch.labels)),
                by.triplet,
            ),
        ];
        let whole = total(&terms.each_ref().map(|(term, factor)| (term, *factor)));
        let reported = detached(&whole, &terms.each_ref().map(|(term, _)| term));
        (whole, reported)
    }
}

/// One update; gives the terms of the loss before it.
pub(super) fn update(
    family: &CadaVae,
    optimiser: &mut Optimiser,
    batch: &Batch,
    noise: &StepNoise,
    by: Factors,
    lr: f64,
) -> Tensor {
    let triplet = Triplet::from(family.config.triplet);
    let (whole, terms) = family.objective(batch, &family.encode(batch, noise), by, triplet);
    optimiser.zero_grad();
    whole.backward();
    optimiser.step(lr);
    terms
}

struct Training<'a> {
    model: &'a Vae<CadaVae>,
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
        let config = &family.config;
        let batch = self.samples.batch(rows);
        let (rng, latent) = (self.draws.at(at), self.model.latent());
        let noise = StepNoise::new(config.noise, rng, rows.size()[0], latent, batch.motion.device());
        let by = Factors {
            alignment: config.alignment,
            triplet: config.triplet.weight,
            ..Factors::at(self.table, at.step, at.steps)
        };
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

pub(super) fn fit(model: &Vae<CadaVae>, samples: &Samples, ctx: &mut FitContext) -> Result<FitSummary> {
    let config = &model.family.config;
    let about = serde_json::to_string(config).map_err(|e| Error::Input(e.to_string()))?;
    let plan = config.schedule().plan(CadaVae::NAME, about);
    let count = samples.train.labels.numel();
    let mut lesson = Training {
        model,
        samples,
        draws: Draws::new(ctx.seed, CadaVae::NAME),
        table: config.schedule().timetable(),
        optimiser: Optimiser::new(Rule::Adam, 0.0, &model.family.parameters()),
    };
    training::run(&mut lesson, &plan, count, ctx)
}
