//! Training on seen classes.

use szar_core::optim::{Optimiser, Rule};
use szar_core::{FitContext, FitSummary, NamedTensors, Result, SeenFeatures, SemanticAnchors};
use tch::{Kind, Tensor};

use super::Smie;
use super::config::{SmieConfig, Temporal};
use super::discriminator::Discriminator;
use super::objective::{Constants, layer_norm, losses};
use super::views::{Views, no_motion};
use crate::aligners::pooled::{Samples, pooled};
use crate::aligners::training::{self, At, Lesson, Measure, Rate, same_classes, set_trainable};

struct Training<'a> {
    net: &'a Discriminator,
    config: &'a SmieConfig,
    /// `[S, d]`.
    text: Tensor,
    train: Samples,
    /// Inputs as test time has them.
    validation: Samples,
    views: Option<Views<'a>>,
    optimiser: Optimiser,
}

/// What a checkpoint must agree in.
#[derive(serde::Serialize)]
struct About<'a> {
    options: &'a SmieConfig,
    temporal: bool,
}

impl SmieConfig {
    fn constants(&self) -> Constants {
        Constants {
            margin: self.margin,
            temporal_weight: self.temporal_weight,
        }
    }
}

pub(super) fn fit(
    model: &mut Smie,
    seen: &SeenFeatures,
    anchors: &SemanticAnchors,
    ctx: &mut FitContext,
) -> Result<FitSummary> {
    same_classes(seen, anchors)?;
    let (config, channels) = (&model.config, model.net.channels());
    let motion = match (config.temporal, ctx.motion) {
        (Temporal::Off, _) | (Temporal::Auto, None) => None,
        (Temporal::On, None) => return Err(no_motion()),
        (Temporal::On | Temporal::Auto, Some(motion)) => Some(motion),
    };
    let text = model.text(anchors)?.detach();
    let features = pooled(&seen.train.features, channels)?;
    let train = Samples::new(layer_norm(&features), &seen.train.labels);
    let validation = model.inputs(&seen.validation.features)?;
    let count = train.len();
    let views = motion.map(|motion| Views::new(config, motion, count, channels, ctx));
    let views = views.transpose()?;
    let about = About {
        options: config,
        temporal: views.is_some(),
    };
    let course = config.course();
    let rate = Rate::Warmup {
        rounds: config.warmup_epochs(),
        total: course.epochs,
    };
    let plan = course.plan("smie", &about, rate)?;
    let state = model.net.state();
    set_trainable(&state, true);
    let mut lesson = Training {
        net: &model.net,
        config,
        text,
        train,
        validation: Samples::new(validation, &seen.validation.labels),
        views,
        optimiser: Optimiser::new(Rule::Adam, config.weight_decay, &state),
    };
    let summary = training::run(&mut lesson, &plan, count, ctx);
    set_trainable(&state, false);
    let mut summary = summary?;
    let used = f64::from(u8::from(about.temporal));
    summary.chosen.insert("temporal".into(), used);
    Ok(summary)
}

impl Lesson for Training<'_> {
    fn terms(&self) -> &'static [&'static str] {
        if self.views.is_some() {
            &["total", "information", "masked information", "temporal"]
        } else {
            &["total", "information"]
        }
    }

    fn step(&mut self, rows: &Tensor, at: At) -> Result<Tensor> {
        let (features, labels) = self.train.batch(rows);
        let masked = self
            .views
            .as_ref()
            .map(|views| views.draw(rows, at))
            .transpose()?;
        let constants = self.config.constants();
        let losses = losses(
            self.net,
            &features,
            masked.as_ref(),
            &self.text,
            &labels,
            &constants,
        );
        self.optimiser.zero_grad();
        losses.total.backward();
        self.optimiser.step(at.lr);
        let mut terms = vec![losses.total, losses.whole];
        terms.extend(
            losses
                .temporal
                .into_iter()
                .flat_map(|(part, failing)| [part, failing]),
        );
        Ok(Tensor::stack(&terms, 0).detach().to_kind(Kind::Float))
    }

    fn validate(&mut self, _: u32) -> Result<Measure> {
        let texts = self.net.of_texts(&self.text);
        self.validation
            .top1(|inputs| Ok(self.net.judge_all(&self.net.of_features(inputs), &texts)))
    }

    fn weights(&self) -> NamedTensors {
        self.net.state()
    }

    fn optimisers(&mut self) -> Vec<(&'static str, &mut Optimiser)> {
        vec![("adam", &mut self.optimiser)]
    }
}
