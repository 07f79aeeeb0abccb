//! `calip`: lets the nodes of a sample and the texts of the classes look at each other, without anything to learn,
//! and adds what both then say to the scores.
//!
//! Source: Guo et al., "CALIP: Zero-Shot Enhancement of CLIP with Parameter-free Attention", AAAI 2023, eq. 3 to 7;
//! released code ZiyuGuo99/CALIP.
//!
//! | symbol | here              | shape       | meaning                                              |
//! |--------|-------------------|-------------|------------------------------------------------------|
//! | `g`    | `visual`          | `[B, D]`    | the sample in the space of the texts                 |
//! | `F_s`  | `nodes`           | `[B, P, D]` | each of its nodes in that space                      |
//! | `F_t`  | `classes`         | `[C, D]`    | the texts                                            |
//! | `A`    |                   | `[B, P, C]` | `attention_scale · F_s F_tᵀ`                         |
//! | `F_ta` |                   | `[B, C, D]` | `softmax_P(A)ᵀ F_s`, what each text sees of the sample |
//! | `F_va` |                   | `[B, D]`    | mean plus maximum over the nodes of `softmax_C(A) F_t` |
//!
//! The answer is `β₁ z + β₂ s g·F_ta + β₃ s F_va·F_t` with the scores `z` and the logit scale `s`. `F_ta` is never
//! formed: `g·F_ta` is the attention's mean of `g·F_s`. Neither `F_ta` nor `F_va` is brought back to length 1, as published.
//!
//! Nothing is remembered: a sample's answer depends on that sample alone. On the CPU one pass over each sample does all of it
//! without writing out what the nodes see, and a batch gives bit for bit what its samples give one by one; on an
//! accelerator everything stays there.
//!
//! The published weights `β₂`, `β₃` are the best of a grid on the test labels (`protocol: test_tuned`); the defaults
//! here are fixed, and ours.

mod attend;
mod golden;
mod host;
#[cfg(test)]
mod tests;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use szar_core::{
    AdapterConfig, Aligner, BuildContext, ComponentInfo, ComponentKind, Error, Mark, NamedTensors,
    Observation, Problems, Requirements, Result, Scores, SemanticAnchors, Task, TestTimeAdapter, shape,
};

use attend::attend_with;
pub use attend::{Attended, attend};
use host::Texts;

/// What the attended scores are added to.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Base {
    /// The scores of the aligner, or of the adapter before.
    #[default]
    Scores,
    /// The logit scale times the dot product of sample and text, as published.
    Embeddings,
}

/// How `beta2` and `beta3` are chosen.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Protocol {
    /// As given.
    #[default]
    Fixed,
    /// The best of the two grids on the test labels, as published; the report is marked.
    TestTuned,
}

/// Options of the `calip` adapter.
#[derive(Clone, Debug, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct CalipConfig {
    /// Multiplies the affinities before their softmax; above 0, no unit. Default: the released code's 2.
    pub attention_scale: f64,
    /// s, multiplies the attended dot products; above 0, logits per cosine. Default: the published 100, for aligners
    /// whose own logits are about 100 times a cosine; take the aligner's scale otherwise.
    pub logit_scale: f64,
    /// beta1, weight of the base; 0 or more. Default: the published 1.
    pub beta1: f64,
    /// beta2, weight of the texts' view; 0 or more. Default: ours, 1, the middle of the published search range 0.001 to 2.
    pub beta2: f64,
    /// beta3, weight of the nodes' view; 0 or more. Default: ours, 0.05, the middle of the published search range 0.001 to 0.1.
    pub beta3: f64,
    /// What the attended scores are added to. Default: scores.
    pub base: Base,
    /// Bring samples, nodes and texts to length 1 first. Default: true, as published.
    pub normalise: bool,
    /// Fixed weights, or the best on the test labels as published. Default: fixed.
    pub protocol: Protocol,
    /// Values of beta2 that `protocol: test_tuned` tries. Default: five over the published range (which had 200).
    pub beta2_grid: Vec<f64>,
    /// Values of beta3 that `protocol: test_tuned` tries. Default: five over the published range (which had 200).
    pub beta3_grid: Vec<f64>,
}

impl Default for CalipConfig {
    fn default() -> Self {
        Self {
            attention_scale: 2.0,
            logit_scale: 100.0,
            beta1: 1.0,
            beta2: 1.0,
            beta3: 0.05,
            base: Base::Scores,
            normalise: true,
            protocol: Protocol::Fixed,
            beta2_grid: vec![0.001, 0.5, 1.0, 1.5, 2.0],
            beta3_grid: vec![0.001, 0.025, 0.05, 0.075, 0.1],
        }
    }
}

impl CalipConfig {
    /// The grid of `protocol: test_tuned`, beta2 in the outer loop; empty for fixed weights.
    fn variants(&self) -> Vec<Self> {
        if self.protocol == Protocol::Fixed {
            return Vec::new();
        }
        let with = |beta2: f64, beta3: f64| Self {
            beta2,
            beta3,
            protocol: Protocol::Fixed,
            ..self.clone()
        };
        let row = |beta2: &f64| {
            self.beta3_grid
                .iter()
                .map(|beta3| with(*beta2, *beta3))
                .collect::<Vec<_>>()
        };
        self.beta2_grid.iter().flat_map(row).collect()
    }

    /// The answer from the base scores and what attention adds.
    fn fuse(&self, scores: &Scores, attended: &Attended) -> tch::Tensor {
        let base = match self.base {
            Base::Scores => scores.logits.to_kind(tch::Kind::Float),
            Base::Embeddings => &attended.base * self.logit_scale,
        };
        let text = &attended.text * (self.beta2 * self.logit_scale);
        let visual = &attended.visual * (self.beta3 * self.logit_scale);
        match self.beta1 {
            1.0 => base + text + visual,
            beta1 => base * beta1 + text + visual,
        }
    }
}

#[typetag::serde(name = "calip")]
impl AdapterConfig for CalipConfig {
    fn validate(&self, problems: &mut Problems) {
        for (field, value) in [
            ("attention_scale", self.attention_scale),
            ("logit_scale", self.logit_scale),
        ] {
            problems.check(value.is_finite() && value > 0.0, field, || {
                format!("must be above 0, got {value}")
            });
        }
        let mut not_negative = |field: &str, value: f64| {
            problems.check(value.is_finite() && value >= 0.0, field, || {
                format!("must be 0 or more, got {value}")
            });
        };
        not_negative("beta1", self.beta1);
        not_negative("beta2", self.beta2);
        not_negative("beta3", self.beta3);
        if self.protocol == Protocol::TestTuned {
            for (field, grid) in [("beta2_grid", &self.beta2_grid), ("beta3_grid", &self.beta3_grid)] {
                for (i, value) in grid.iter().enumerate() {
                    not_negative(&format!("{field}[{i}]"), *value);
                }
            }
            for (field, grid) in [("beta2_grid", &self.beta2_grid), ("beta3_grid", &self.beta3_grid)] {
                problems.check(!grid.is_empty(), field, || "must hold at least one value".into());
            }
        }
    }

    fn requirements(&self) -> Requirements {
        Requirements {
            visual_embeddings: true,
            node_embeddings: true,
            ..Requirements::default()
        }
    }

    fn marks(&self) -> Vec<Mark> {
        let tuned = Mark::test_labels(
            "calip: beta2 and beta3 are the best of a grid on the test labels (protocol: test_tuned)",
        );
        (self.protocol == Protocol::TestTuned)
            .then_some(tuned)
            .into_iter()
            .collect()
    }

    fn holds_streams(&self) -> bool {
        true
    }

    fn test_tuned_variants(&self) -> Vec<Box<dyn AdapterConfig>> {
        let boxed = |variant| Box::new(variant) as Box<dyn AdapterConfig>;
        self.variants().into_iter().map(boxed).collect()
    }

    fn build(&self, _: &BuildContext) -> Result<Box<dyn TestTimeAdapter>> {
        Ok(Box::new(Calip {
            options: self.clone(),
            anchors: None,
            texts: Texts::default(),
        }))
    }
}

inventory::submit! {
    ComponentInfo::new::<CalipConfig>(
        ComponentKind::Adapter,
        "calip",
        "Lets nodes and texts attend to each other without parameters and adds what both then say.",
        "CALIP, AAAI 2023, arXiv 2209.14169",
    )
}

/// The runtime part of `calip`.
#[derive(Debug)]
struct Calip {
    options: CalipConfig,
    anchors: Option<SemanticAnchors>,
    texts: Texts,
}

fn not_begun() -> Error {
    Error::Missing("a stream: calip was not begun".into())
}

impl TestTimeAdapter for Calip {
    fn begin(&mut self, task: &Task) -> Result<()> {
        self.anchors = Some(task.anchors.to_device(task.device));
        Ok(())
    }

    fn step(&mut self, seen: &Observation, model: &dyn Aligner) -> Result<Scores> {
        let anchors = self.anchors.as_ref().ok_or_else(not_begun)?;
        let (batch, classes) = (seen.features.dims().0, anchors.classes.len() as i64);
        shape::expect("scores", &seen.scores.logits, [Some(batch), Some(classes)])?;
        let _no_grad = tch::no_grad_guard();
        let embedding = model.embed(seen.features, anchors)?;
        let nodes = model.embed_nodes(seen.features, anchors)?;
        let attended = attend_with(
            &mut self.texts,
            &embedding,
            &nodes,
            self.options.attention_scale,
            self.options.normalise,
        )?;
        Ok(Scores {
            logits: self.options.fuse(seen.scores, &attended),
        })
    }

    fn snapshot(&self) -> Result<NamedTensors> {
        self.anchors
            .as_ref()
            .map(|_| NamedTensors::new())
            .ok_or_else(not_begun)
    }

    fn restore(&mut self, state: NamedTensors) -> Result<()> {
        crate::none::nothing_in(&state)
    }
}
