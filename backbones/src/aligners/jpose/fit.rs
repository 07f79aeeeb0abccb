//! Training on seen classes.

use szar_core::optim::{Optimiser, Rule};
use szar_core::{FitContext, FitSummary, NamedTensors, Result, SeenFeatures, SemanticAnchors};
use tch::Tensor;

use super::Jpose;
use super::config::JposeConfig;
use super::network::Network;
use super::objective::{Constants, Words, objective};
use crate::aligners::pooled::Samples;
use crate::aligners::training::{self, At, Lesson, Measure, Rate, same_classes, set_trainable};

impl JposeConfig {
    fn constants(&self) -> Constants {
        Constants {
            margin: self.margin,
            mining: self.mining,
            triplet_weight: self.triplet_weight,
        }
    }
}

struct Training<'a> {
    network: &'a Network,
    constants: Constants,
    words: Words,
    train: Samples,
    validation: Samples,
    optimisers: [Optimiser; 3],
}

const NAMES: [&str; 3] = ["verb", "noun", "joint"];

/// The optimisers of verbs, nouns and the joint part.
pub(super) fn optimisers(network: &Network, decay: f64, joint_decay: f64) -> [Optimiser; 3] {
    let parts = [
        (&network.verb, decay),
        (&network.noun, decay),
        (&network.joint, joint_decay),
    ];
    parts.map(|(part, decay)| {
        let mut state = NamedTensors::new();
        part.state("", &mut state);
        Optimiser::new(Rule::Adam, decay, &state)
    })
}

pub(super) fn fit(
    model: &mut Jpose,
    seen: &SeenFeatures,
    anchors: &SemanticAnchors,
    ctx: &mut FitContext,
) -> Result<FitSummary> {
    same_classes(seen, anchors)?;
    let config = &model.config;
    let plan = config
        .course()
        .plan("jpose", config, Rate::Plateau(config.plateau))?;
    let train = Samples::new(model.inputs(&seen.train.features)?, &seen.train.labels);
    let count = train.len();
    let validation = model.inputs(&seen.validation.features)?;
    let words = Words::new(
        model.text(anchors, &config.verb)?.detach(),
        model.text(anchors, &config.noun)?.detach(),
    );
    let state = model.network.state();
    set_trainable(&state, true);
    let mut lesson = Training {
        network: &model.network,
        constants: config.constants(),
        words,
        train,
        validation: Samples::new(validation, &seen.validation.labels),
        optimisers: optimisers(&model.network, config.weight_decay, config.joint_weight_decay),
    };
    let summary = training::run(&mut lesson, &plan, count, ctx);
    set_trainable(&state, false);
    summary
}

impl Lesson for Training<'_> {
    fn terms(&self) -> &'static [&'static str] {
        &["total", "verb", "noun", "verb triplets", "noun triplets", "joint"]
    }

    fn step(&mut self, rows: &Tensor, at: At) -> Result<Tensor> {
        let (inputs, labels) = self.train.batch(rows);
        let losses = objective(self.network, &inputs, &self.words, &labels, &self.constants);
        self.optimisers.iter_mut().for_each(Optimiser::zero_grad);
        losses.total.backward();
        self.optimisers.iter_mut().for_each(|o| o.step(at.lr));
        let [verb, noun, verbs, nouns, joint] = losses.terms;
        Ok(Tensor::stack(&[losses.total, verb, noun, verbs, nouns, joint], 0).detach())
    }

    fn validate(&mut self, _: u32) -> Result<Measure> {
        let classes = self.network.text(&self.words.verb, &self.words.noun).joint;
        let score = |inputs: &Tensor| Ok(self.network.visual(inputs).joint.mm(&classes.transpose(0, 1)));
        self.validation.top1(score)
    }

    fn weights(&self) -> NamedTensors {
        self.network.state()
    }

    fn optimisers(&mut self) -> Vec<(&'static str, &mut Optimiser)> {
        NAMES.into_iter().zip(&mut self.optimisers).collect()
    }
}
