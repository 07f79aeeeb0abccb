//! Training on seen classes.

use szar_core::optim::{Optimiser, Rule};
use szar_core::{FitContext, FitSummary, NamedTensors, Result, SeenFeatures, SeenSet, SemanticAnchors};
use tch::Tensor;

use super::config::ReviseConfig;
use super::objective::{Constants, losses};
use super::{Networks, Revise};
use crate::aligners::pooled::{Samples, pooled};
use crate::aligners::training::{self, At, Lesson, Measure, Rate, same_classes, set_trainable};

impl ReviseConfig {
    pub(super) fn constants(&self) -> Constants {
        Constants {
            margin: self.margin,
            kernel: self.kernel,
            contractive: self.contractive,
            contractive_weight: self.contractive_weight,
            gradient: self.hinge_gradient,
        }
    }
}

struct Training<'a> {
    networks: &'a Networks,
    constants: Constants,
    /// `[S, d]`.
    text: Tensor,
    train: Samples,
    validation: Samples,
    visual: Optimiser,
    textual: Optimiser,
}

/// The two optimisers, of the visual side and of the text side.
pub(super) fn optimisers(networks: &Networks, decay: f64, text_decay: f64) -> [Optimiser; 2] {
    let (mut visual, mut text) = (NamedTensors::new(), NamedTensors::new());
    networks.visual.state("visae", &mut visual);
    networks.text.state("attae", &mut text);
    [
        Optimiser::new(Rule::Adam, decay, &visual),
        Optimiser::new(Rule::Adam, text_decay, &text),
    ]
}

pub(super) fn fit(
    model: &mut Revise,
    seen: &SeenFeatures,
    anchors: &SemanticAnchors,
    ctx: &mut FitContext,
) -> Result<FitSummary> {
    same_classes(seen, anchors)?;
    let config = &model.config;
    let plan = config
        .course()
        .plan("revise", config, Rate::Plateau(config.plateau))?;
    let samples = |set: &SeenSet| -> Result<Samples> {
        let features = pooled(&set.features, model.channels())?;
        Ok(Samples::new(model.inputs(&features)?, &set.labels))
    };
    let (train, validation) = (samples(&seen.train)?, samples(&seen.validation)?);
    let count = train.len();
    let text = model.text(anchors)?.detach();
    let state = model.networks.state();
    set_trainable(&state, true);
    let [visual, textual] = optimisers(&model.networks, config.weight_decay, config.text_weight_decay);
    let mut lesson = Training {
        networks: &model.networks,
        constants: config.constants(),
        text,
        train,
        validation,
        visual,
        textual,
    };
    let summary = training::run(&mut lesson, &plan, count, ctx);
    set_trainable(&state, false);
    summary
}

impl Lesson for Training<'_> {
    fn terms(&self) -> &'static [&'static str] {
        &[
            "total",
            "visual reconstruction",
            "text reconstruction",
            "discrepancy",
            "hinge",
        ]
    }

    fn step(&mut self, rows: &Tensor, at: At) -> Result<Tensor> {
        let (inputs, labels) = self.train.batch(rows);
        let losses = losses(self.networks, &inputs, &self.text, &labels, &self.constants);
        for optimiser in [&mut self.visual, &mut self.textual] {
            optimiser.zero_grad();
        }
        losses.total.backward();
        for optimiser in [&mut self.visual, &mut self.textual] {
            optimiser.step(at.lr);
        }
        let [visual, text, codes, hinge] = losses.terms;
        Ok(Tensor::stack(&[losses.total, visual, text, codes, hinge], 0).detach())
    }

    fn validate(&mut self, _: u32) -> Result<Measure> {
        let classes = self.networks.text.embed(&self.text);
        let score = |inputs: &Tensor| Ok(self.networks.visual.embed(inputs).mm(&classes.transpose(0, 1)));
        self.validation.top1(score)
    }

    fn weights(&self) -> NamedTensors {
        self.networks.state()
    }

    fn optimisers(&mut self) -> Vec<(&'static str, &mut Optimiser)> {
        vec![("visual", &mut self.visual), ("text", &mut self.textual)]
    }
}
