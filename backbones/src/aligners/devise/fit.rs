//! The hinge rank loss and its minimisation.

use rand::RngExt;
use szar_core::optim::{Optimiser, Rule};
use szar_core::{FitContext, FitSummary, NamedTensors, Result, Seed, SeenFeatures, SemanticAnchors};
use tch::{Kind, Tensor};

use super::Devise;
use super::config::Violations;
use crate::aligners::pooled::{Samples, pooled};
use crate::aligners::training::{self, At, Dense, Lesson, Measure, Rate, same_classes, set_trainable};

/// The mean over the batch of the violations for scores `[B, S]`. With `order` (`[B, S]`, ranks of the classes in
/// `(0, 1]`) only the violation of the highest rank counts.
pub(super) fn ranking_loss(scores: &Tensor, labels: &Tensor, margin: f64, order: Option<&Tensor>) -> Tensor {
    let (batch, classes) = (scores.size()[0], scores.size()[1]);
    let own = scores.gather(1, &labels.unsqueeze(-1), false);
    let truth = labels.one_hot(classes).to_kind(Kind::Bool);
    let slack = (scores - own + margin).relu().masked_fill(&truth, 0.0);
    let counted = match order {
        None => slack,
        Some(order) => {
            let ranks = order * slack.gt(0.0).to_kind(Kind::Float);
            slack.gather(1, &ranks.argmax(-1, true), false)
        }
    };
    counted.sum(Kind::Float) / batch as f64
}

/// `[B, S]`: a random order of the classes for every sample.
fn random_order(batch: i64, classes: i64, seed: Seed, like: &Tensor) -> Tensor {
    let mut rng = seed.rng();
    let ranks: Vec<f32> = (0..batch * classes).map(|_| 1.0 - rng.random::<f32>()).collect();
    Tensor::from_slice(&ranks)
        .view([batch, classes])
        .to_device(like.device())
}

struct Ranking<'a> {
    model: &'a Devise,
    /// `[S, d]`.
    text: Tensor,
    train: Samples,
    validation: Samples,
    seed: Seed,
    optimiser: Optimiser,
}

/// Scores `[B, S]` before `scale`.
pub(super) fn scores(projection: &Dense, inputs: &Tensor, text: &Tensor) -> Tensor {
    projection.forward(inputs).mm(&text.transpose(0, 1))
}

pub(super) fn fit(
    model: &mut Devise,
    seen: &SeenFeatures,
    anchors: &SemanticAnchors,
    ctx: &mut FitContext,
) -> Result<FitSummary> {
    same_classes(seen, anchors)?;
    let (channels, config) = (model.channels(), &model.config);
    let plan = config
        .course()
        .plan("devise", config, Rate::Plateau(config.plateau))?;
    let train = Samples::new(pooled(&seen.train.features, channels)?, &seen.train.labels);
    let count = train.len();
    let text = model.text(anchors)?.detach();
    let validation = pooled(&seen.validation.features, channels)?;
    let state = szar_core::Aligner::state(model);
    set_trainable(&state, true);
    let mut lesson = Ranking {
        model,
        text,
        train,
        validation: Samples::new(validation, &seen.validation.labels),
        seed: ctx.seed,
        optimiser: Optimiser::new(Rule::Adam, config.weight_decay, &state),
    };
    let summary = training::run(&mut lesson, &plan, count, ctx);
    set_trainable(&state, false);
    summary
}

impl Lesson for Ranking<'_> {
    fn terms(&self) -> &'static [&'static str] {
        &["ranking"]
    }

    fn step(&mut self, rows: &Tensor, at: At) -> Result<Tensor> {
        let (inputs, labels) = self.train.batch(rows);
        let scores = scores(&self.model.projection, &inputs, &self.text);
        let order = (self.model.config.violations == Violations::First).then(|| {
            let seed = self.seed.derive("devise-violations", u64::from(at.round));
            let seed = seed.derive("step", at.step);
            random_order(scores.size()[0], scores.size()[1], seed, &scores)
        });
        let loss = ranking_loss(&scores, &labels, self.model.config.margin, order.as_ref());
        self.optimiser.zero_grad();
        loss.backward();
        self.optimiser.step(at.lr);
        Ok(loss.detach().view([1]))
    }

    fn validate(&mut self, _: u32) -> Result<Measure> {
        self.validation
            .top1(|inputs| Ok(scores(&self.model.projection, inputs, &self.text)))
    }

    fn weights(&self) -> NamedTensors {
        szar_core::Aligner::state(self.model)
    }

    fn optimisers(&mut self) -> Vec<(&'static str, &mut Optimiser)> {
        vec![("adam", &mut self.optimiser)]
    }
}
