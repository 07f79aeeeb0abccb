//! Options of `tpt`, and what it shares with its relatives.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use szar_core::{
    AdapterConfig, BuildContext, ComponentInfo, ComponentKind, Problems, Requirements, Result,
    TestTimeAdapter,
};

use super::{Rules, Selection, Tuner};
use crate::augment::SkeletonAugmentConfig;
use crate::views::ViewsConfig;

/// Most steps a sample that the options allow.
const MOST_STEPS: usize = 1000;

/// What is tuned.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Tuned {
    /// The vectors of the prompt's context words, as published. The prompt's texts take the place of the `global` text,
    /// or of all texts that the aligner uses where `global` is not among them. Needs a text encoder that gives prompts.
    Prompt,
    /// A residual on every text that the aligner uses (ours); works with any text encoder.
    #[default]
    TextResidual,
}

/// Options of the `tpt` adapter.
#[derive(Clone, Debug, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct TptConfig {
    /// What is tuned. Default: text_residual (ours), since few pipelines have a text encoder with prompts; published: prompt.
    pub parameter: Tuned,
    /// One residual for all classes, as all classes share a prompt's context, or one for each. Default: true (ours).
    pub shared: bool,
    /// Steps of the optimiser, 1 to 1000. Default: the paper's 1.
    pub steps: usize,
    /// Learning rate, above 0. Default: the paper's 0.005.
    pub lr: f64,
    /// Weight decay of AdamW, `0 ..`, not coupled to the gradient. Default: 0.01, that of the released code.
    pub weight_decay: f64,
    /// κ, share of the views that are kept, those of lowest entropy, rounded down; above 0, at most 1. Default: the paper's 0.1.
    pub selection: f64,
    /// Views that are kept at least, where the share gives fewer. With 0 the published rule holds: a share that gives none
    /// leaves nothing to tune by. Default: 1 (ours).
    pub min_kept: usize,
    /// Multiplies the aligner's logits wherever a posterior is needed, above 0, no unit; the answers keep the aligner's
    /// scale. CLIP's is 100 for cosines. Default: 1.
    pub logit_scale: f64,
    /// How the views are made. Default: 64 views by `skeleton-augment`.
    pub views: ViewsConfig,
}

impl Default for TptConfig {
    fn default() -> Self {
        Self {
            parameter: Tuned::default(),
            shared: true,
            steps: 1,
            lr: 0.005,
            weight_decay: 0.01,
            selection: 0.1,
            min_kept: 1,
            logit_scale: 1.0,
            views: ViewsConfig::default(),
        }
    }
}

impl TptConfig {
    /// The rules that the options stand for.
    pub fn rules(&self) -> Rules {
        Rules {
            parameter: self.parameter,
            shared: self.shared,
            steps: self.steps,
            lr: self.lr,
            weight_decay: self.weight_decay,
            selection: Selection::Confident {
                share: self.selection,
            },
            min_kept: self.min_kept,
            logit_scale: self.logit_scale,
        }
    }
}

inventory::submit! {
    ComponentInfo::new::<TptConfig>(
        ComponentKind::Adapter,
        "tpt",
        "Tunes the texts for each sample alone until its views agree, then forgets.",
        "Test-Time Prompt Tuning for Zero-Shot Generalization in Vision-Language Models (Shu et al., NeurIPS 2022)",
    )
}

/// Judges what all relatives of `tpt` have in common.
pub(crate) fn judge(rules: &Rules, views: &ViewsConfig, problems: &mut Problems) {
    problems.check((1..=MOST_STEPS).contains(&rules.steps), "steps", || {
        format!("must be between 1 and {MOST_STEPS}, got {}", rules.steps)
    });
    for (field, value) in [("lr", rules.lr), ("logit_scale", rules.logit_scale)] {
        problems.check(value > 0.0 && value.is_finite(), field, || {
            format!("must be above 0, got {value}")
        });
    }
    let decay = rules.weight_decay;
    problems.check(decay >= 0.0 && decay.is_finite(), "weight_decay", || {
        format!("must be at least 0, got {decay}")
    });
    for (field, share) in rules.selection.shares() {
        problems.check(share > 0.0 && share <= 1.0, field, || {
            format!("must be above 0 and at most 1, got {share}")
        });
    }
    problems.check(rules.min_kept <= views.count, "min_kept", || {
        format!(
            "must be at most the {} views of `views.count`, got {}",
            views.count, rules.min_kept
        )
    });
    problems.scoped("views", |problems| views.validate(problems));
}

/// What all relatives of `tpt` cannot do without.
pub(crate) fn needs(parameter: Tuned, views: &ViewsConfig) -> Requirements {
    let prompt = parameter == Tuned::Prompt;
    Requirements {
        differentiable_in_anchors: true,
        prompts: prompt
            .then(|| "`parameter: prompt` tunes the words of a prompt; `text_residual` does without".into()),
        ..views.requirements()
    }
}

#[typetag::serde(name = "tpt")]
impl AdapterConfig for TptConfig {
    fn validate(&self, problems: &mut Problems) {
        judge(&self.rules(), &self.views, problems);
    }

    fn requirements(&self) -> Requirements {
        needs(self.parameter, &self.views)
    }

    fn holds_streams(&self) -> bool {
        true
    }

    fn build(&self, _: &BuildContext) -> Result<Box<dyn TestTimeAdapter>> {
        let own = SkeletonAugmentConfig::default();
        Ok(Box::new(Tuner::new(
            "tpt",
            self.rules(),
            &self.views,
            Box::new(own),
        )))
    }
}
