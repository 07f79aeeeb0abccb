//! Options of `t3a`.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use szar_core::{
    AdapterConfig, BuildContext, ComponentInfo, ComponentKind, Mark, Problems, Requirements, Result,
    TestTimeAdapter,
};

use super::{Order, T3a};

/// How supports are thrown out.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Filter {
    /// As the paper says: beyond `filter_k` the most uncertain go; without `filter_k` all stay.
    #[default]
    Exact,
    /// As the released code does: without `filter_k`, the most uncertain support of every class goes at every step.
    Official,
}

/// How much of a batch a sample's answer may know.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Update {
    /// The whole batch is stored at once, as published: answers depend on the size of the batch.
    #[default]
    Batch,
    /// Sample after sample, as if they came one at a time.
    Sample,
}

/// Options of the `t3a` adapter.
#[derive(Clone, Debug, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct T3aConfig {
    /// Supports of lowest entropy that a class keeps, 1 to 4096. Default: null, all of them; published grid: 1, 5, 20, 50, 100, all.
    pub filter_k: Option<usize>,
    /// How supports are thrown out. Default: exact.
    pub filter: Filter,
    /// Store the samples first or answer them first. Default: update_then_predict, as published.
    pub order: Order,
    /// Whole batches or sample after sample. Default: batch, as published.
    pub update: Update,
    /// Divides the logits before the softmax that entropies come from; above 0. Default: 1, as published.
    pub temperature: f64,
    /// Factor of the class vectors in the classifier that judges the class vectors themselves (its logits are
    /// `logit_scale² w·w`); above 0. Default: null, the aligner's own factor, 1 where it has none.
    pub logit_scale: Option<f64>,
    /// Factor of the answer; above 0, no unit. Default: 1, as published: dot products with vectors of length 1.
    pub scale: f64,
}

impl Default for T3aConfig {
    fn default() -> Self {
        Self {
            filter_k: None,
            filter: Filter::default(),
            order: Order::UpdateThenPredict,
            update: Update::default(),
            temperature: 1.0,
            logit_scale: None,
            scale: 1.0,
        }
    }
}

impl T3aConfig {
    /// Does the published slice throw out one support of each class at every step?
    pub(super) fn drops_at_every_step(&self) -> bool {
        self.filter == Filter::Official && self.filter_k.is_none()
    }
}

#[typetag::serde(name = "t3a")]
impl AdapterConfig for T3aConfig {
    fn validate(&self, problems: &mut Problems) {
        let fits = self.filter_k.is_none_or(|k| (1..=4096).contains(&k));
        problems.check(fits, "filter_k", || {
            format!("must be between 1 and 4096, got {}", self.filter_k.unwrap_or(0))
        });
        let scales = [
            ("temperature", self.temperature),
            ("logit_scale", self.logit_scale.unwrap_or(1.0)),
            ("scale", self.scale),
        ];
        for (field, value) in scales {
            let ok = value.is_finite() && value > 0.0;
            problems.check(ok, field, || format!("must be above 0, got {value}"));
        }
    }

    fn requirements(&self) -> Requirements {
        Requirements {
            visual_embeddings: true,
            ..Requirements::default()
        }
    }

    fn marks(&self) -> Vec<Mark> {
        let text = "t3a: every step throws the most uncertain support of every class out (filter: official); with small \
                    batches a class may lose all of them, and its logit is then 0";
        self.drops_at_every_step()
            .then(|| Mark::note(text))
            .into_iter()
            .collect()
    }

    fn per_sample(&self) -> bool {
        self.update == Update::Sample
    }

    fn holds_streams(&self) -> bool {
        true
    }

    fn build(&self, _: &BuildContext) -> Result<Box<dyn TestTimeAdapter>> {
        Ok(Box::new(T3a::new(self)))
    }
}

inventory::submit! {
    ComponentInfo::new::<T3aConfig>(
        ComponentKind::Adapter,
        "t3a",
        "Replaces each class vector by the mean direction of the surest samples taken for that class.",
        "T3A, NeurIPS 2021",
    )
}
