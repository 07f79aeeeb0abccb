//! What components declare about themselves, so that a composition is judged before any data is read.

use std::path::PathBuf;
use std::sync::Arc;

use serde::{Deserialize, Serialize};
use tch::Device;

use crate::types::{Granularity, SkeletonLayout};
use crate::{Seed, problems::Problems};

/// A remark that every report of the run must carry: something the number cannot be read without.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct Mark {
    /// True when test labels reached anything but the final count: the result is no zero-shot result.
    pub uses_test_labels: bool,
    /// One sentence for the reader.
    pub text: String,
}

impl Mark {
    /// A remark without test labels involved.
    pub fn note(text: impl Into<String>) -> Self {
        Self {
            uses_test_labels: false,
            text: text.into(),
        }
    }

    /// A remark that test labels were used.
    pub fn test_labels(text: impl Into<String>) -> Self {
        Self {
            uses_test_labels: true,
            text: text.into(),
        }
    }
}

/// What `build` may use of its surroundings.
#[derive(Clone, Debug)]
pub struct BuildContext {
    /// Device of the pipeline.
    pub device: Device,
    /// Seed of the run.
    pub seed: Seed,
    /// Folder for results that can be computed again (embeddings, features).
    pub cache: PathBuf,
}

/// What an encoder is given.
#[derive(Clone, Debug)]
pub struct InputSpec {
    /// The skeleton.
    pub layout: Arc<SkeletonLayout>,
    /// T, frames after preprocessing.
    pub frames: i64,
    /// M, persons at most.
    pub persons: i64,
    /// S, seen classes to tell apart while training.
    pub seen_classes: i64,
}

/// What an encoder gives.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct EncoderSpec {
    /// N, feature channels.
    pub channels: i64,
    /// T', feature frames; 1 when pooled.
    pub frames: i64,
    /// V', feature joints; 1 when pooled.
    pub joints: i64,
    /// True when the encoder also classifies the seen classes.
    pub classifies: bool,
}

impl EncoderSpec {
    /// True when only pooled features exist.
    pub fn is_pooled(&self) -> bool {
        self.frames == 1 && self.joints == 1
    }
}

/// What kind of features an aligner scores.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum FeatureNeed {
    /// Pooled features `[B, N]` are enough.
    #[default]
    Pooled,
    /// Needs the spatio-temporal map.
    Map,
}

/// What an aligner offers and needs.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct Capabilities {
    /// Pooled features or the map.
    pub features: FeatureNeed,
    /// Texts it uses, by name.
    pub granularities: Vec<Granularity>,
    /// `score` carries gradients to the anchors.
    pub differentiable_in_anchors: bool,
    /// Has normalisation layers whose affine parameters an adapter may move.
    pub normalisation_layers: bool,
    /// Gives one vector per sample and per candidate in a common space.
    pub visual_embeddings: bool,
    /// Gives one such vector per node of the map.
    pub node_embeddings: bool,
    /// Makes tokens of a sample, and knows their statistics in training.
    pub tokens: bool,
    /// Scores carry gradients to the features.
    pub differentiable_in_features: bool,
    /// Can score in training mode at test time, as published code does.
    pub training_mode: bool,
    /// Wants the true test labels (a published behaviour kept for comparison; every report is marked).
    pub oracle_labels: bool,
    /// Its training looks at the skeletons and the encoder again, through [`crate::FitContext::motion`].
    pub skeletons: bool,
    /// It cannot be trained where there are only features, with the reason (which option asks for skeletons).
    pub needs_skeletons: Option<String>,
}

/// What an adapter cannot do without.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct Requirements {
    /// Needs the spatio-temporal map, with the reason (which option asks for it).
    pub feature_map: Option<String>,
    /// The map's eight descriptors do instead of the map ([`crate::FeatureMap::descriptors`]).
    pub descriptors_do: bool,
    /// Needs body parts of the layout.
    pub parts: bool,
    /// Needs gradients from the scores to the anchors.
    pub differentiable_in_anchors: bool,
    /// Needs normalisation layers in the aligner.
    pub normalisation_layers: bool,
    /// Needs one vector per sample and per candidate in a common space.
    pub visual_embeddings: bool,
    /// Needs one such vector per node of the map.
    pub node_embeddings: bool,
    /// Needs tokens and their statistics in training.
    pub tokens: bool,
    /// Needs gradients from the scores to the features.
    pub differentiable_in_features: bool,
    /// Needs a training mode of the aligner at test time.
    pub training_mode: bool,
    /// Needs the skeletons and the encoder, with the reason.
    pub skeletons: Option<String>,
    /// Needs a text encoder whose prompt can be tuned, with the reason.
    pub prompts: Option<String>,
    /// Samples it needs in a step to do anything; 0 and 1 are any.
    pub batch: usize,
}

/// Adds every reason why an adapter with these requirements cannot follow this encoder and aligner.
pub fn negotiate(
    adapter: &str,
    needs: &Requirements,
    encoder: Option<(&str, &EncoderSpec)>,
    aligner: (&str, &Capabilities),
    problems: &mut Problems,
) {
    if let (Some(reason), Some((name, spec))) = (&needs.feature_map, encoder)
        && spec.is_pooled()
    {
        problems.add(
            "",
            format!("adapter `{adapter}` needs a spatio-temporal feature map ({reason}), encoder `{name}` gives pooled features"),
        );
    }
    let (name, offers) = aligner;
    let mut need = |wanted: bool, offered: bool, what: &str| {
        if wanted && !offered {
            problems.add(
                "",
                format!("adapter `{adapter}` needs {what}, aligner `{name}` has none"),
            );
        }
    };
    need(
        needs.differentiable_in_anchors,
        offers.differentiable_in_anchors,
        "scores differentiable in the anchors",
    );
    need(
        needs.normalisation_layers,
        offers.normalisation_layers,
        "normalisation layers",
    );
    need(
        needs.visual_embeddings,
        offers.visual_embeddings,
        "visual embeddings",
    );
    need(needs.node_embeddings, offers.node_embeddings, "node embeddings");
    need(needs.tokens, offers.tokens, "tokens");
    need(
        needs.differentiable_in_features,
        offers.differentiable_in_features,
        "scores differentiable in the features",
    );
    need(
        needs.training_mode,
        offers.training_mode,
        "a training mode at test time",
    );
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_unmet_need_is_listed() {
        let needs = Requirements {
            feature_map: Some("descriptors".into()),
            differentiable_in_anchors: true,
            ..Default::default()
        };
        let spec = EncoderSpec {
            channels: 256,
            frames: 1,
            joints: 1,
            classifies: true,
        };
        let mut problems = Problems::new();
        negotiate(
            "a",
            &needs,
            Some(("e", &spec)),
            ("z", &Capabilities::default()),
            &mut problems,
        );
        assert_eq!(problems.len(), 2);
    }
}
