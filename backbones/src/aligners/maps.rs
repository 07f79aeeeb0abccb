//! What aligners on feature maps share: checks where data enters, and a lesson over maps of seen samples.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use szar_core::optim::{Optimiser, Rule};
use szar_core::{
    EncoderSpec, Error, FeatureMap, FitContext, FitSummary, NamedTensors, Problems, Result, SeenFeatures,
};
use tch::{Kind, Tensor};

#[cfg(test)]
pub(super) mod toy;

use super::training::{self, At, Lesson, Measure, Plan, Rate, Sampling, set_trainable};

/// Samples that are judged at a time in validation.
const CHUNK: i64 = 256;

/// Which rule moves the weights in training.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum Descent {
    /// Stochastic gradient descent with Nesterov's momentum 0.9.
    Sgd,
    /// Adam.
    Adam,
}

impl Descent {
    /// The rule with its constants.
    pub fn rule(self) -> Rule {
        match self {
            Self::Sgd => Rule::Sgd {
                momentum: 0.9,
                nesterov: true,
            },
            Self::Adam => Rule::Adam,
        }
    }
}

/// How a training goes, all choices made.
#[derive(Clone, Debug)]
pub(super) struct Course {
    pub descent: Descent,
    pub lr: f64,
    /// Rounds (from 0) from which on the rate is a tenth of what it was.
    pub milestones: Vec<u32>,
    pub batch: i64,
    pub epochs: u32,
    pub weight_decay: f64,
    pub patience: Option<u32>,
}

impl Course {
    /// Adds what is wrong with it, under the names of the options.
    pub fn validate(&self, problems: &mut Problems) {
        at_least(problems, "batch", self.batch, 2);
        at_least(problems, "epochs", i64::from(self.epochs), 1);
        positive(problems, "lr", self.lr);
        not_negative(problems, "weight_decay", self.weight_decay);
    }

    /// The plan of the training loop for the aligner `name` with these options.
    pub fn plan(&self, name: &'static str, options: &impl Serialize) -> Result<Plan> {
        Ok(Plan {
            name,
            about: serde_json::to_string(options).map_err(|e| Error::Input(e.to_string()))?,
            rounds: self.epochs,
            sampling: Sampling::Epoch {
                batch: self.batch,
                drop_last: true,
            },
            lr: self.lr,
            rate: Rate::Milestones {
                rounds: self.milestones.clone(),
                factor: 0.1,
            },
            patience: self.patience,
        })
    }
}

/// Refuses an option below its least value.
pub(super) fn at_least(problems: &mut Problems, field: &str, value: i64, least: i64) {
    problems.check(value >= least, field, || {
        format!("must be at least {least}, got {value}")
    });
}

/// Refuses an option that is not above 0.
pub(super) fn positive(problems: &mut Problems, field: &str, value: f64) {
    let ok = value > 0.0 && value.is_finite();
    problems.check(ok, field, || format!("must be above 0, got {value}"));
}

/// Refuses an option below 0.
pub(super) fn not_negative(problems: &mut Problems, field: &str, value: f64) {
    let ok = value >= 0.0 && value.is_finite();
    problems.check(ok, field, || format!("must be at least 0, got {value}"));
}

/// Refuses pooled features.
///
/// # Errors
/// [`Error::Input`].
pub(super) fn refuse_pooled(aligner: &str, features: &EncoderSpec) -> Result<()> {
    if features.is_pooled() {
        return Err(Error::Input(format!(
            "aligner `{aligner}` needs a spatio-temporal feature map, the features are pooled"
        )));
    }
    Ok(())
}

/// Refuses a map of another form than the features the aligner was built for.
///
/// # Errors
/// [`Error::Shape`].
pub(super) fn expect_map(map: &FeatureMap, form: &EncoderSpec) -> Result<()> {
    let (_, channels, frames, joints) = map.dims();
    if (channels, frames, joints) == (form.channels, form.frames, form.joints) {
        return Ok(());
    }
    Err(Error::Shape {
        what: "feature map".into(),
        got: map.values.size(),
        want: format!("[_, {}, {}, {}]", form.channels, form.frames, form.joints),
    })
}

/// What is learned from maps and labels.
pub(super) trait Objective {
    /// Names of the values of [`Self::loss`]; the first is the whole loss.
    fn terms(&self) -> &'static [&'static str];

    /// `[terms]` with its graph, for maps with the labels `[b]`.
    ///
    /// # Errors
    /// When shapes do not fit.
    fn loss(&self, map: &FeatureMap, labels: &Tensor) -> Result<Tensor>;

    /// `[b, S]`: how the seen classes are scored.
    ///
    /// # Errors
    /// When shapes do not fit.
    fn logits(&self, map: &FeatureMap) -> Result<Tensor>;

    /// What is moved.
    fn parameters(&self) -> NamedTensors;

    /// Told after every change of the parameters.
    fn moved(&self) {}
}

/// One update; gives the terms `[terms]` of the loss before it, detached.
///
/// # Errors
/// When shapes do not fit.
pub(super) fn update(
    objective: &impl Objective,
    optimiser: &mut Optimiser,
    map: &FeatureMap,
    labels: &Tensor,
    lr: f64,
) -> Result<Tensor> {
    let terms = objective.loss(map, labels)?;
    optimiser.zero_grad();
    terms.get(0).backward();
    optimiser.step(lr);
    objective.moved();
    Ok(terms.detach())
}

struct MapLesson<'a, O> {
    objective: O,
    seen: &'a SeenFeatures,
    optimiser: Optimiser,
}

impl<O: Objective> Lesson for MapLesson<'_, O> {
    fn terms(&self) -> &'static [&'static str] {
        self.objective.terms()
    }

    fn step(&mut self, rows: &Tensor, at: At) -> Result<Tensor> {
        let set = &self.seen.train;
        let labels = set.labels.columns().index_select(0, rows);
        let map = set.features.select(rows);
        update(&self.objective, &mut self.optimiser, &map, &labels, at.lr)
    }

    fn validate(&mut self, _: u32) -> Result<Measure> {
        let set = &self.seen.validation;
        let count = set.labels.len() as i64;
        if count == 0 {
            return Ok(Measure::Nothing);
        }
        self.objective.moved(); // a checkpoint may have been taken over since the last step
        let mut right = Vec::new();
        for start in (0..count).step_by(CHUNK as usize) {
            let size = CHUNK.min(count - start);
            let chosen = self
                .objective
                .logits(&set.features.narrow(start, size))?
                .argmax(-1, false);
            right.push(chosen.eq_tensor(&set.labels.columns().narrow(0, start, size)));
        }
        let share = Tensor::cat(&right, 0).to_kind(Kind::Float).mean(Kind::Float);
        Ok(Measure::Top1(share * 100.0))
    }

    fn weights(&self) -> NamedTensors {
        self.objective.parameters()
    }

    fn optimisers(&mut self) -> Vec<(&'static str, &mut Optimiser)> {
        vec![("optimiser", &mut self.optimiser)]
    }
}

/// Trains until the last epoch, or until patience ends, and leaves the weights in place that recognise the most seen
/// validation samples; without such samples, the last.
///
/// # Errors
/// As [`training::run`].
pub(super) fn train(
    objective: impl Objective,
    seen: &SeenFeatures,
    course: &Course,
    plan: &Plan,
    ctx: &mut FitContext,
) -> Result<FitSummary> {
    let parameters = objective.parameters();
    set_trainable(&parameters, true);
    let mut lesson = MapLesson {
        optimiser: Optimiser::new(course.descent.rule(), course.weight_decay, &parameters),
        objective,
        seen,
    };
    let summary = training::run(&mut lesson, plan, seen.train.labels.len(), ctx);
    set_trainable(&parameters, false);
    lesson.objective.moved();
    summary
}
