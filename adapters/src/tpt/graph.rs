//! Tuning through autograd: a prompt's context, or a residual on texts that are compared in any other way.

use szar_core::{Aligner, Error, Granularity, PromptTower, Result, SemanticAnchors, host, shape};
use tch::{Kind, Tensor};

use super::config::Tuned;
use super::objective::marginal_entropy;
use super::tuner::{BETA1, BETA2, EPSILON, Record, Rules};

/// What is tuned, and how it makes anchors.
pub(super) enum Parameter<'a> {
    /// A residual `[1 or C, G, d]` on the anchors.
    Residual {
        anchors: &'a SemanticAnchors,
        shared: bool,
    },
    /// The context `[n, H]` of a prompt whose texts stand in for the texts of these granularities.
    Prompt {
        anchors: &'a SemanticAnchors,
        tower: &'a dyn PromptTower,
        slots: Vec<usize>,
    },
}

impl<'a> Parameter<'a> {
    /// # Errors
    /// [`Error::Missing`] when a prompt is to be tuned and there is none.
    pub fn of(
        rules: &Rules,
        anchors: &'a SemanticAnchors,
        model: &dyn Aligner,
        prompts: Option<&'a dyn PromptTower>,
    ) -> Result<Self> {
        if rules.parameter == Tuned::TextResidual {
            return Ok(Self::Residual {
                anchors,
                shared: rules.shared,
            });
        }
        let missing = "a text encoder with prompts to tune (`parameter: text_residual` does without)";
        let tower = prompts.ok_or_else(|| Error::Missing(missing.into()))?;
        let used = model.capabilities().granularities;
        let replaced = |g: &Granularity| match used.contains(&Granularity::GLOBAL) {
            true => *g == Granularity::GLOBAL,
            false => used.is_empty() || used.contains(g),
        };
        let names = anchors.granularities.iter().enumerate();
        let slots = names.filter(|(_, g)| replaced(g)).map(|(slot, _)| slot).collect();
        Ok(Self::Prompt {
            anchors,
            tower,
            slots,
        })
    }

    /// The value before anything is tuned.
    pub fn start(&self) -> Tensor {
        match self {
            Self::Residual { anchors, shared } => {
                let mut size = anchors.values.size();
                size[0] = if *shared { 1 } else { size[0] };
                Tensor::zeros(size, (Kind::Float, anchors.values.device()))
            }
            Self::Prompt { tower, .. } => tower.context().detach().to_kind(Kind::Float).copy(),
        }
    }

    /// The anchors that a value makes, differentiable in it.
    pub fn anchors(&self, value: &Tensor) -> Result<SemanticAnchors> {
        match self {
            Self::Residual { anchors, .. } => {
                let length = |x: &Tensor| x.norm_scalaropt_dim(2, [-1i64].as_slice(), true);
                let texts = anchors.values.to_kind(Kind::Float);
                let moved = &texts + value;
                anchors.with_values(&moved * (length(&texts) / length(&moved).clamp_min(1e-12)))
            }
            Self::Prompt {
                anchors,
                tower,
                slots,
            } => {
                let texts = tower.texts(value)?;
                let (classes, width) = (anchors.classes.len() as i64, anchors.width());
                shape::expect("texts of the prompt", &texts, [Some(classes), Some(width)])?;
                let texts = texts.to_kind(Kind::Float).unsqueeze(1);
                let parts: Vec<Tensor> = (0..anchors.granularities.len())
                    .map(|slot| match slots.contains(&slot) {
                        true => texts.shallow_clone(),
                        false => anchors.values.narrow(1, slot as i64, 1).to_kind(Kind::Float),
                    })
                    .collect();
                anchors.with_values(Tensor::cat(&parts, 1))
            }
        }
    }
}

/// Tunes the samples of a group one after the other, by rows `[n·V, ..]`; answers `[n, C]`.
pub(super) fn tune(
    parameter: &Parameter,
    rules: &Rules,
    model: &dyn Aligner,
    rows: &Tensor,
    views: usize,
    mut record: Option<&mut Vec<Record>>,
) -> Result<Tensor> {
    let start = parameter.start();
    let logits = tch::no_grad(|| model.score_condensed(rows, &parameter.anchors(&start)?))?.logits;
    shape::expect("logits of views", &logits, [Some(rows.size()[0]), None])?;
    let (classes, fetched) = (logits.size()[1] as usize, host::HostF32::new(&logits));
    let mut answers = Vec::new();
    for (sample, own) in fetched.as_slice().chunks_exact(views * classes).enumerate() {
        let kept = rules
            .selection
            .kept(own, classes, rules.logit_scale, rules.min_kept);
        let own = rows.narrow(0, (sample * views) as i64, views as i64);
        let index: Vec<i64> = kept.iter().map(|view| *view as i64).collect();
        let chosen = own.index_select(0, &Tensor::from_slice(&index).to_device(rows.device()));
        let (value, loss) = descend(parameter, rules, model, &chosen, start.copy())?;
        let answer =
            tch::no_grad(|| model.score_condensed(&own.narrow(0, 0, 1), &parameter.anchors(&value)?))?;
        answers.push(answer.logits);
        if let Some(record) = record.as_deref_mut() {
            record.push(Record {
                kept,
                loss,
                parameter: value,
            });
        }
    }
    Ok(Tensor::cat(&answers, 0))
}

/// The tuned value and the loss before the last step.
fn descend(
    parameter: &Parameter,
    rules: &Rules,
    model: &dyn Aligner,
    chosen: &Tensor,
    start: Tensor,
) -> Result<(Tensor, f64)> {
    let mut value = start;
    let (mut first, mut second) = (value.zeros_like(), value.zeros_like());
    let mut last = Tensor::from(0.0f32);
    for step in 1..=rules.steps {
        let leaf = value.detach().set_requires_grad(true);
        let gradient = if chosen.size()[0] == 0 {
            value.zeros_like() // nothing to tune by; the decay of the weights goes on
        } else {
            tch::with_grad(|| {
                let scores = model.score_condensed(chosen, &parameter.anchors(&leaf)?)?;
                let loss = marginal_entropy(&scores.logits, rules.logit_scale);
                let gradient = Tensor::f_run_backward(&[&loss], &[&leaf], false, false);
                last = loss.detach();
                let mut gradient = gradient
                    .map_err(|e| Error::from(e).context("gradient of the views' entropy by the texts"))?;
                Ok::<_, Error>(gradient.swap_remove(0))
            })?
        };
        tch::no_grad(|| {
            let correction = |beta: f64| 1.0 - beta.powi(step as i32);
            first = &first + (&gradient - &first) * (1.0 - BETA1);
            second = &second * BETA2 + gradient.square() * (1.0 - BETA2);
            let size = second.sqrt() / correction(BETA2).sqrt() + EPSILON;
            let kept = &value * (1.0 - rules.lr * rules.weight_decay);
            value = kept - &first / size * (rules.lr / correction(BETA1));
        });
    }
    Ok((value, last.double_value(&[])))
}
