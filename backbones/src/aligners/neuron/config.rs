//! Options of `neuron`.

use std::path::Path;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use szar_core::{
    Aligner, AlignerConfig, BuildContext, Capabilities, ComponentInfo, ComponentKind, EncoderSpec,
    FeatureNeed, FilePath, Granularity, Mark, Problems, Result,
};

use super::Neuron;
use super::network::ROUNDS;
pub use crate::aligners::maps::Descent;
use crate::aligners::maps::{Course, at_least, positive};

/// How the spatial and the temporal stream make one score.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Fusion {
    /// Mean of both posteriors. Knows no label.
    #[default]
    MeanProb,
    /// The spatial stream alone.
    Spatial,
    /// The temporal stream alone.
    Temporal,
    /// A sample counts as right when either stream is right, as published. Not zero-shot: every report is marked. Where
    /// no label is at hand (inside an adapter) it is as `mean_prob`.
    OracleOr,
}

impl Fusion {
    /// How many streams are needed.
    pub(super) fn streams(self) -> i64 {
        match self {
            Self::Spatial | Self::Temporal => 1,
            Self::MeanProb | Self::OracleOr => 2,
        }
    }
}

/// Where texts, sizes and training constants come from when they are not given.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum Preset {
    /// The eight texts of body parts and phases; 16 prototypes, scale 10; Adam at 1e-3, tenfold less from epoch 10 and
    /// again from 13, batch 64, 15 epochs: for sets of a few thousand samples on a CPU (ours).
    #[default]
    Small,
    /// Ten texts a round, `spatial_cg_1` to `spatial_cg_10`, `spatial_mg_*`, `spatial_fg_*`, and `temporal_fp_*`,
    /// `temporal_fsp_*`, `temporal_fstp_*` for the motion up to that phase (as `szar semantics generate` writes them); 80 prototypes, scale 0.1; SGD at 0.1, milestones 4 and 20, decay 5e-4, batch 64, 30
    /// epochs: official code for NTU RGB+D.
    Paper,
    /// As `paper`, milestones 8 and 20: official code for PKU-MMD.
    PaperPku,
}

/// Options of the `neuron` aligner.
#[derive(Clone, Debug, Default, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct NeuronConfig {
    /// Texts of the three spatial rounds, coarse to fine; a class's score is the mean over the texts of a round.
    /// Default: the preset's; `small`: global, the four parts, all five.
    pub spatial: Option<[Vec<Granularity>; ROUNDS]>,
    /// Texts of the three temporal rounds. Default: the preset's; `small`: start, start and middle, all three phases.
    pub temporal: Option<[Vec<Granularity>; ROUNDS]>,
    /// How the two streams make one score. Default: `mean_prob` (ours), which knows no label.
    pub fusion: Fusion,
    /// Source of texts, sizes and training constants that are not given. Default: `small` (ours).
    pub preset: Preset,
    /// Prototypes of each stream, at least 4. Default: the preset's.
    pub prototypes: Option<i64>,
    /// Hidden units of the maps that move prototypes, at least 1. Default: the features' channels (official code).
    pub hidden: Option<i64>,
    /// Multiplies the cosines, in training too; above 0, no unit. Default: the preset's.
    pub scale: Option<f64>,
    /// Update rule. Default: the preset's.
    pub descent: Option<Descent>,
    /// Learning rate, above 0. Default: the preset's.
    pub lr: Option<f64>,
    /// Epochs (from 0) from which on the rate is a tenth of what it was. Default: the preset's.
    pub milestones: Option<Vec<u32>>,
    /// Samples a step, at least 2. Default: the preset's.
    pub batch: Option<i64>,
    /// Passes over the training set, at least 1. Default: the preset's.
    pub epochs: Option<u32>,
    /// Decay added to the gradient, at least 0. Default: the preset's.
    pub weight_decay: Option<f64>,
    /// Epochs without a better seen validation accuracy after which training ends. Default: none, as official.
    pub patience: Option<u32>,
    /// File with trained weights; without it the aligner is trained. Default: none.
    pub weights: Option<FilePath>,
}

/// `name_1` to `name_10`.
fn ten(name: &str) -> Vec<Granularity> {
    (1..=10)
        .map(|i| Granularity(format!("{name}_{i}").into()))
        .collect()
}

impl NeuronConfig {
    fn small(&self) -> bool {
        self.preset == Preset::Small
    }

    /// Texts of the spatial rounds in force.
    pub fn spatial_texts(&self) -> [Vec<Granularity>; ROUNDS] {
        let all = Granularity::PURLS_ORDER;
        self.spatial.clone().unwrap_or_else(|| {
            if self.small() {
                let whole = [Granularity::GLOBAL];
                [whole.to_vec(), all[..4].to_vec(), [&whole, &all[..4]].concat()]
            } else {
                ["spatial_cg", "spatial_mg", "spatial_fg"].map(ten)
            }
        })
    }

    /// Texts of the temporal rounds in force.
    pub fn temporal_texts(&self) -> [Vec<Granularity>; ROUNDS] {
        let all = Granularity::PURLS_ORDER;
        self.temporal.clone().unwrap_or_else(|| {
            if self.small() {
                [5, 6, 7].map(|end| all[4..end].to_vec())
            } else {
                ["temporal_fp", "temporal_fsp", "temporal_fstp"].map(ten)
            }
        })
    }

    /// K in force.
    pub fn prototype_count(&self) -> i64 {
        self.prototypes.unwrap_or(if self.small() { 16 } else { 80 })
    }

    /// Factor of the cosines in force.
    pub fn logit_scale(&self) -> f64 {
        self.scale.unwrap_or(if self.small() { 10.0 } else { 0.1 })
    }

    pub(super) fn course(&self) -> Course {
        let (descent, lr, decay, epochs) = match self.preset {
            Preset::Small => (Descent::Adam, 1e-3, 0.0, 15),
            Preset::Paper | Preset::PaperPku => (Descent::Sgd, 0.1, 5e-4, 30),
        };
        let milestones = match self.preset {
            Preset::Small => [10, 13],
            Preset::Paper => [4, 20],
            Preset::PaperPku => [8, 20],
        };
        Course {
            descent: self.descent.unwrap_or(descent),
            lr: self.lr.unwrap_or(lr),
            milestones: self.milestones.clone().unwrap_or_else(|| milestones.into()),
            batch: self.batch.unwrap_or(64),
            epochs: self.epochs.unwrap_or(epochs),
            weight_decay: self.weight_decay.unwrap_or(decay),
            patience: self.patience,
        }
    }
}

#[typetag::serde(name = "neuron")]
impl AlignerConfig for NeuronConfig {
    fn validate(&self, problems: &mut Problems) {
        at_least(problems, "prototypes", self.prototype_count(), 4);
        at_least(problems, "hidden", self.hidden.unwrap_or(1), 1);
        positive(problems, "scale", self.logit_scale());
        for (field, rounds) in [
            ("spatial", self.spatial_texts()),
            ("temporal", self.temporal_texts()),
        ] {
            for (round, texts) in rounds.iter().enumerate() {
                problems.check(!texts.is_empty(), &format!("{field}[{round}]"), || {
                    "must name at least one text".into()
                });
            }
        }
        self.course().validate(problems);
    }

    fn capabilities(&self) -> Capabilities {
        let mut granularities: Vec<Granularity> = Vec::new();
        let rounds = [self.spatial_texts(), self.temporal_texts()];
        for text in rounds.into_iter().flatten().flatten() {
            if !granularities.contains(&text) {
                granularities.push(text);
            }
        }
        Capabilities {
            features: FeatureNeed::Map,
            granularities,
            differentiable_in_anchors: true,
            differentiable_in_features: true,
            visual_embeddings: true,
            oracle_labels: self.fusion == Fusion::OracleOr,
            ..Capabilities::default()
        }
    }

    fn weights(&self) -> Option<&Path> {
        self.weights.as_ref().map(AsRef::as_ref)
    }

    fn marks(&self) -> Vec<Mark> {
        if self.fusion != Fusion::OracleOr {
            return Vec::new();
        }
        vec![Mark::test_labels(
            "aligner `neuron` counts a sample as right when either of its streams is right (`fusion: oracle_or`), as the \
             published evaluation does; this is no zero-shot result",
        )]
    }

    fn build(
        &self,
        features: &EncoderSpec,
        granularities: &[Granularity],
        width: i64,
        ctx: &BuildContext,
    ) -> Result<Box<dyn Aligner>> {
        Ok(Box::new(Neuron::new(
            self,
            features,
            granularities,
            width,
            ctx.device,
        )?))
    }
}

inventory::submit! {
    ComponentInfo::new::<NeuronConfig>(
        ComponentKind::Aligner,
        "neuron",
        "Prototypes of joints and of moments evolve in three rounds, each held against finer texts.",
        "Neuron: Learning Context-Aware Evolving Representations for Zero-Shot Skeleton Action Recognition (Chen et al., CVPR 2025)"
    )
}
