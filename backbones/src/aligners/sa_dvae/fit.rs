//! Training on seen classes.

use rand::seq::SliceRandom;
use rand_chacha::ChaCha8Rng;
use szar_core::optim::{Optimiser, Rule};
use szar_core::{Error, FitContext, FitSummary, NamedTensors, Result};
use tch::{Device, Kind, Tensor, no_grad};

use super::super::training::{self, At, Lesson, Measure, Plan, Rate, Sampling};
use super::super::vae::{
    Batch, Draws, Family, Noise, Posterior, Samples, Timetable, Vae, detached, mean_square, term, total,
};
use super::discriminator::{Pairs, cross_entropy};
use super::{SaDvae, SaDvaeConfig};

/// Names of what [`SaDvae::objective`] gives, the whole loss first; then the discriminator's, −1 in steps without it.
const TERMS: [&str; 11] = [
    "loss",
    "motion",
    "text",
    "meaning divergence",
    "style divergence",
    "text divergence",
    "motion from text",
    "text from motion",
    "total correlation",
    "discriminator on motion",
    "discriminator on text",
];

/// The cycle (from 0) from which the second factor counts.
const SECOND_FROM: u32 = 2;

/// What the terms of the loss are multiplied with.
#[derive(Clone, Copy, Debug)]
pub(super) struct Factors {
    /// k, divergences of meaning and style.
    pub motion: f64,
    /// k₂, divergence of the text, total correlation, and the discriminator's own loss.
    pub second: f64,
    /// c, cross terms.
    pub cross: f64,
}

impl Factors {
    /// Those of step `step` (from 0) of `steps` in a cycle.
    pub fn at(config: &SaDvaeConfig, cycle: u32, step: u64, steps: u64) -> Self {
        let table = Timetable::sa_dvae(steps);
        let late = if cycle >= SECOND_FROM {
            table.late_divergence(step, steps)
        } else {
            0.0
        };
        let ramp = |beta: f64| {
            let past = step as f64 / steps as f64 - 1.0 / 3.0;
            if step <= steps / 3 { 0.0 } else { 1.5 * past * beta }
        };
        Self {
            motion: config.beta_x.map_or_else(|| table.divergence(step, steps), ramp),
            second: config.beta_y.map_or(late, ramp),
            cross: table.cross(step, steps),
        }
    }
}

/// The noise of a step, `[B, 1]` or `[B, ·]` each.
pub(super) struct StepNoise {
    pub meaning: Tensor,
    pub style: Tensor,
    pub text: Tensor,
}

/// The random numbers of a discriminator's update.
pub(super) struct Mixing {
    pub meaning: Tensor,
    /// Style beside the motion's meaning.
    pub style: Tensor,
    pub text: Tensor,
    /// Style beside the text's meaning.
    pub text_style: Tensor,
    /// `[4, B]` i64: how the motion's meaning and style, and the text's meaning and style are mixed.
    pub orders: Tensor,
}

impl StepNoise {
    fn new(config: &SaDvaeConfig, rng: &mut ChaCha8Rng, rows: i64, device: Device) -> Self {
        let (noise, meaning): (Noise, i64) = (config.noise, config.latent_size());
        Self {
            meaning: noise.draw(rng, rows, meaning, device),
            style: noise.draw(rng, rows, config.style_size(), device),
            text: noise.draw(rng, rows, meaning, device),
        }
    }
}

impl Mixing {
    fn new(config: &SaDvaeConfig, rng: &mut ChaCha8Rng, rows: i64, device: Device) -> Self {
        let StepNoise { meaning, style, text } = StepNoise::new(config, rng, rows, device);
        let text_style = config.noise.draw(rng, rows, config.style_size(), device);
        let mut orders: Vec<i64> = (0..4).flat_map(|_| 0..rows).collect();
        for order in orders.chunks_mut(rows as usize) {
            order.shuffle(rng);
        }
        Self {
            meaning,
            style,
            text,
            text_style,
            orders: Tensor::from_slice(&orders).view([4, rows]).to_device(device),
        }
    }
}

/// What the encoders make of a batch.
pub(super) struct Pass {
    pub meaning: Posterior,
    pub style: Posterior,
    pub text: Posterior,
    /// `[B, L]`.
    pub meaning_latent: Tensor,
    /// `[B, S]`.
    pub style_latent: Tensor,
    /// `[B, L]`.
    pub text_latent: Tensor,
}

impl Pass {
    /// `[B, L + S]`: meaning and style of the motion.
    pub fn own(&self) -> Tensor {
        Tensor::cat(&[&self.meaning_latent, &self.style_latent], 1)
    }

    /// `[B, L + S]`: meaning of the text, style of the motion.
    pub fn crossed(&self) -> Tensor {
        Tensor::cat(&[&self.text_latent, &self.style_latent], 1)
    }

    /// Fresh pairs for the discriminator, of motion and of text, without a graph.
    pub fn pairs(&self, by: &Mixing) -> [Pairs; 2] {
        no_grad(|| {
            let (motion, text) = (by.orders.narrow(0, 0, 2), by.orders.narrow(0, 2, 2));
            let style = |noise| self.style.sample(noise);
            [
                Pairs::new(&self.meaning.sample(&by.meaning), &style(&by.style), &motion),
                Pairs::new(&self.text.sample(&by.text), &style(&by.text_style), &text),
            ]
        })
    }
}

impl SaDvae {
    pub(super) fn encode(&self, batch: &Batch, noise: &StepNoise) -> Pass {
        let motion = self.motion.posterior(&batch.motion);
        let text = self.text.posterior(&batch.texts[0]);
        let latent = self.text.latent();
        let meaning = motion.narrow(0, latent);
        let style = motion.narrow(latent, self.motion.latent() - latent);
        Pass {
            meaning_latent: meaning.sample(&noise.meaning),
            style_latent: style.sample(&noise.style),
            text_latent: text.sample(&noise.text),
            meaning,
            style,
            text,
        }
    }

    /// The discriminator's losses on motion and text, a scalar each.
    pub(super) fn discriminate(&self, pairs: &[Pairs; 2]) -> [Tensor; 2] {
        pairs
            .each_ref()
            .map(|p| cross_entropy(&p.logits(&self.discriminator)))
    }

    /// The loss of a batch and, without a graph, the loss and its terms `[9]`; divergences with a minus, as official code
    /// has them.
    pub(super) fn objective(&self, batch: &Batch, pass: &Pass, by: Factors) -> (Tensor, Tensor) {
        let motion_from = |latent: &Tensor| mean_square(&self.motion_decoder.forward(latent), &batch.motion);
        let text_from = |latent: &Tensor| mean_square(&self.text_decoder.forward(latent), &batch.texts[0]);
        let own = pass.own();
        let together = || self.discriminator.judge(&own).mean(Kind::Float);
        let terms = [
            (motion_from(&own), 1.0),
            (text_from(&pass.text_latent), 1.0),
            (term(by.motion, || pass.meaning.minus_divergence()), -by.motion),
            (term(by.motion, || pass.style.minus_divergence()), -by.motion),
            (term(by.second, || pass.text.minus_divergence()), -by.second),
            (term(by.cross, || motion_from(&pass.crossed())), by.cross),
            (term(by.cross, || text_from(&pass.meaning_latent)), by.cross),
            (term(by.second, together), by.second),
        ];
        let whole = total(&terms.each_ref().map(|(term, factor)| (term, *factor)));
        let reported = detached(&whole, &terms.each_ref().map(|(term, _)| term));
        (whole, reported)
    }
}

/// The two optimisers: Adam over the coders, Adam over the discriminator.
pub(super) struct Optimisers {
    pub coders: Optimiser,
    pub discriminator: Optimiser,
}

impl Optimisers {
    pub fn new(family: &SaDvae) -> Self {
        let adam = |parameters| Optimiser::new(Rule::Adam, 0.0, &parameters);
        Self {
            coders: adam(family.coders()),
            discriminator: adam(family.discriminator.parameters()),
        }
    }
}

/// One update of the coders, after one of the discriminator where there is something to mix; gives the terms of both
/// losses before them.
pub(super) fn update(
    family: &SaDvae,
    optimisers: &mut Optimisers,
    batch: &Batch,
    noise: &StepNoise,
    mixing: Option<&Mixing>,
    by: Factors,
    lr: f64,
) -> Tensor {
    let pass = family.encode(batch, noise);
    let discriminated = match mixing {
        Some(mixing) => {
            let losses = family.discriminate(&pass.pairs(mixing));
            let scaled = (&losses[0] + &losses[1]) * (by.second / 2.0);
            optimisers.discriminator.zero_grad();
            scaled.backward();
            optimisers.discriminator.step(lr);
            Tensor::stack(&losses.map(|l| l.detach()), 0)
        }
        None => Tensor::full([2], -1.0, (Kind::Float, batch.motion.device())),
    };
    let (whole, terms) = family.objective(batch, &pass, by);
    optimisers.coders.zero_grad();
    whole.backward();
    optimisers.coders.step(lr);
    Tensor::cat(&[terms, discriminated], 0)
}

/// Does the discriminator learn in this step (from 0) of a cycle?
pub(super) fn discriminates(step: u64, every: u64) -> bool {
    (step + 1).is_multiple_of(every)
}

struct Training<'a> {
    model: &'a Vae<SaDvae>,
    samples: &'a Samples,
    draws: Draws,
    optimisers: Optimisers,
}

impl Lesson for Training<'_> {
    fn terms(&self) -> &'static [&'static str] {
        &TERMS
    }

    fn step(&mut self, rows: &Tensor, at: At) -> Result<Tensor> {
        let family = &self.model.family;
        let config = &family.config;
        let batch = self.samples.batch(rows);
        let (count, device) = (rows.size()[0], batch.motion.device());
        let rng = self.draws.at(at);
        let noise = StepNoise::new(config, rng, count, device);
        let now = discriminates(at.step, config.every());
        let mixing = now.then(|| Mixing::new(config, rng, count, device));
        let by = Factors::at(config, at.round, at.step, at.steps);
        Ok(update(
            family,
            &mut self.optimisers,
            &batch,
            &noise,
            mixing.as_ref(),
            by,
            at.lr,
        ))
    }

    fn validate(&mut self, _: u32) -> Result<Measure> {
        Ok(self.model.recognised(self.samples))
    }

    fn weights(&self) -> NamedTensors {
        self.model.family.state()
    }

    fn optimisers(&mut self) -> Vec<(&'static str, &mut Optimiser)> {
        let Optimisers {
            coders,
            discriminator,
        } = &mut self.optimisers;
        vec![("adam", coders), ("discriminator", discriminator)]
    }
}

pub(super) fn fit(model: &Vae<SaDvae>, samples: &Samples, ctx: &mut FitContext) -> Result<FitSummary> {
    let config = &model.family.config;
    let batch = config.batch_size();
    let plan = Plan {
        name: SaDvae::NAME,
        about: serde_json::to_string(config).map_err(|e| Error::Input(e.to_string()))?,
        rounds: config.cycles,
        sampling: config.steps_in_force().map_or(
            Sampling::Epoch {
                batch,
                drop_last: false,
            },
            |steps| Sampling::Draws { batch, steps },
        ),
        lr: config.learning_rate(),
        rate: Rate::Constant,
        patience: config.patience,
    };
    let count = samples.train.labels.numel();
    let mut lesson = Training {
        model,
        samples,
        draws: Draws::new(ctx.seed, SaDvae::NAME),
        optimisers: Optimisers::new(&model.family),
    };
    training::run(&mut lesson, &plan, count, ctx)
}
