//! The adapter: views of each sample, the steps, the answer.

use szar_core::optim::{Optimiser, Rule};
use szar_core::{
    Aligner, Error, FeatureMap, NamedTensors, Observation, Result, Scores, SemanticAnchors, Task,
    TestTimeAdapter, shape,
};
use tch::{Kind, Tensor};

use super::objective::{confident, marginal_entropy, misalignment, moved};
use super::{Parameters, PromptAlignConfig};
use crate::augment::SkeletonAugmentConfig;
use crate::views::Views;

/// The runtime part of `promptalign`.
#[derive(Debug)]
pub struct PromptAlign {
    options: PromptAlignConfig,
    run: Option<Run>,
}

/// What lives from `begin` to `begin`; no sample changes it.
#[derive(Debug)]
struct Run {
    anchors: SemanticAnchors,
    views: Views,
}

fn not_begun() -> Error {
    Error::Missing("a stream: promptalign was not begun".into())
}

impl PromptAlign {
    /// With these options.
    pub fn new(options: &PromptAlignConfig) -> Self {
        Self {
            options: options.clone(),
            run: None,
        }
    }
}

/// The residuals of one sample.
pub(super) struct Prompts {
    /// `[1 or C, G, d]`.
    text: Tensor,
    /// `[1, N, 1, 1]`.
    visual: Tensor,
    optimiser: Optimiser,
}

impl Prompts {
    fn new(options: &PromptAlignConfig, views: &FeatureMap, anchors: &SemanticAnchors) -> Self {
        let size = anchors.values.size();
        let rows = if options.shared { 1 } else { size[0] };
        let zeros = |shape: &[i64], tuned: bool| {
            Tensor::zeros(shape, (Kind::Float, views.values.device())).set_requires_grad(tuned)
        };
        let text = zeros(
            &[rows, size[1], size[2]],
            options.parameters != Parameters::Visual,
        );
        let visual = zeros(&[1, views.dims().1, 1, 1], options.parameters != Parameters::Text);
        let named = NamedTensors::from([
            ("text".to_owned(), text.shallow_clone()),
            ("visual".to_owned(), visual.shallow_clone()),
        ]);
        Self {
            optimiser: Optimiser::new(Rule::AdamW, options.weight_decay, &named),
            text,
            visual,
        }
    }

    pub(super) fn features(&self, views: &FeatureMap) -> Result<FeatureMap> {
        FeatureMap::new(views.values.to_kind(Kind::Float) + &self.visual)
    }

    fn anchors(&self, anchors: &SemanticAnchors) -> Result<SemanticAnchors> {
        anchors.with_values(moved(&anchors.values.to_kind(Kind::Float), &self.text))
    }
}

/// Tunes on the views of one sample and scores the first of them, which is the sample itself.
///
/// # Shapes
/// - `views`: `[V, N, T', V']`, V at least 1; result: `[1, C]`
///
/// # Errors
/// Whatever the aligner refuses; [`Error::Input`] when the objective does not depend on what is tuned.
pub fn adapt(
    options: &PromptAlignConfig,
    views: &FeatureMap,
    anchors: &SemanticAnchors,
    model: &dyn Aligner,
) -> Result<Tensor> {
    let prompts = tune(options, views, anchors, model)?;
    tch::no_grad(|| {
        let own = prompts.features(&views.narrow(0, 1))?;
        Ok(model.score(&own, &prompts.anchors(anchors)?)?.logits)
    })
}

/// The residuals after the last step.
///
/// What is minimised depends on the confident views alone, and those are chosen before the first step: only they are
/// scored again, and only through them do gradients flow.
pub(super) fn tune(
    options: &PromptAlignConfig,
    views: &FeatureMap,
    anchors: &SemanticAnchors,
    model: &dyn Aligner,
) -> Result<Prompts> {
    let count = views.dims().0;
    if count == 0 {
        return Err(Error::Input("promptalign needs at least one view".into()));
    }
    let mut prompts = Prompts::new(options, views, anchors);
    if options.steps == 0 {
        return Ok(prompts);
    }
    let logits = tch::no_grad(|| model.score(views, anchors))?.logits;
    let classes = Some(anchors.classes.len() as i64);
    shape::expect("scores", &logits, [Some(count), classes])?;
    let kept = |share: f64| ((share * count as f64) as i64).max(1);
    let parts = Parts {
        sharpened: kept(options.select_share),
        aligned: kept(options.align_share),
    };
    let most = parts.sharpened.max(parts.aligned);
    let chosen = views.select(&confident(&(logits * options.logit_scale), most));
    for _ in 0..options.steps {
        tch::with_grad(|| {
            let features = prompts.features(&chosen)?;
            let texts = prompts.anchors(anchors)?;
            let logits = model.score(&features, &texts)?.logits * options.logit_scale;
            shape::expect("scores", &logits, [Some(most), classes])?;
            let loss = objective(options, &logits, &parts, &features, &texts, model)?;
            if !loss.requires_grad() {
                return Err(Error::Input(
                    "what promptalign minimises does not depend on what it tunes".into(),
                ));
            }
            prompts.optimiser.zero_grad();
            loss.f_backward()?;
            Ok(())
        })?;
        prompts.optimiser.step(options.lr);
    }
    Ok(prompts)
}

/// How many of the chosen views, most confident first, each term is about.
struct Parts {
    sharpened: i64,
    aligned: i64,
}

fn objective(
    options: &PromptAlignConfig,
    logits: &Tensor,
    parts: &Parts,
    features: &FeatureMap,
    texts: &SemanticAnchors,
    model: &dyn Aligner,
) -> Result<Tensor> {
    let mut terms = Vec::new();
    if options.entropy {
        terms.push(marginal_entropy(&logits.narrow(0, 0, parts.sharpened)));
    }
    if options.beta > 0.0 {
        let tokens = model.tokens(&features.narrow(0, parts.aligned), texts)?;
        terms.push(misalignment(&tokens, parts.aligned, options.distance)? * options.beta);
    }
    let sum = terms.into_iter().reduce(|a, b| a + b);
    sum.ok_or_else(|| Error::Input("promptalign has nothing to tune for".into()))
}

impl TestTimeAdapter for PromptAlign {
    fn begin(&mut self, task: &Task) -> Result<()> {
        self.run = Some(Run {
            anchors: task.anchors.to_device(task.device),
            views: Views::begin(&self.options.views, &SkeletonAugmentConfig::default(), task)?,
        });
        Ok(())
    }

    fn step(&mut self, seen: &Observation, model: &dyn Aligner) -> Result<Scores> {
        let Run { anchors, views } = self.run.as_mut().ok_or_else(not_begun)?;
        let (batch, classes) = (seen.samples.len() as i64, anchors.classes.len() as i64);
        shape::expect("scores", &seen.scores.logits, [Some(batch), Some(classes)])?;
        let options = &self.options;
        let count = views.count() as i64;
        let mut answers = Vec::with_capacity(seen.samples.len());
        views.each(seen, |samples, maps| {
            for sample in 0..samples.len() as i64 {
                let own = maps.narrow(sample * count, count);
                answers.push(adapt(options, &own, anchors, model)?);
            }
            Ok(())
        })?;
        let logits = match answers.is_empty() {
            true => seen.scores.logits.shallow_clone(),
            false => Tensor::f_cat(&answers, 0)?,
        };
        Ok(Scores { logits })
    }

    fn snapshot(&self) -> Result<NamedTensors> {
        self.run
            .as_ref()
            .map(|_| NamedTensors::new())
            .ok_or_else(not_begun)
    }

    fn restore(&mut self, state: NamedTensors) -> Result<()> {
        crate::none::nothing_in(&state)
    }
}
