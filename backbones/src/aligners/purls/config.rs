//! Options of `purls`.

use std::path::Path;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use szar_core::{
    Aligner, AlignerConfig, BuildContext, Capabilities, ComponentInfo, ComponentKind, EncoderSpec,
    FeatureNeed, FilePath, Granularity, Mark, Problems, Result,
};

use super::Purls;
pub use crate::aligners::training::PlateauConfig;

/// What the head sees of a sample.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum Partition {
    /// The mean over the whole map, with the global text alone.
    Global,
    /// Means over fixed body parts and phases, one per text.
    Static,
    /// Per text, a mean weighted by attention from that text to the nodes of the map.
    #[default]
    Adaptive,
}

/// Which of the eight texts are used, in this order; the last one is the slot that `score: global` reads.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum Rows {
    /// head, hands, torso, legs, start, middle, end, global (the paper).
    #[default]
    Full,
    /// head, hands, torso, legs, global: the body parts as meant.
    Bp,
    /// head, hands, torso, legs, start: what the official code slices for `bp`. Its last slot is compared with its
    /// own text, under `oracle_label` with the global one, as published.
    BpOfficial,
    /// start, middle, end, global: the phases as meant.
    Tp,
    /// head, hands, torso, legs: what the official code slices for `tp`. Its last slot is compared with its own
    /// text, under `oracle_label` with the global one, as published.
    TpOfficial,
    /// global alone.
    G,
}

impl Rows {
    /// Names of the texts, in order.
    pub fn granularities(self) -> Vec<Granularity> {
        let all = Granularity::PURLS_ORDER;
        let pick = |range: std::ops::Range<usize>| all[range].to_vec();
        match self {
            Self::Full => pick(0..8),
            Self::Bp => [pick(0..4), pick(7..8)].concat(),
            Self::BpOfficial => pick(0..5),
            Self::Tp => pick(4..8),
            Self::TpOfficial => pick(0..4),
            Self::G => pick(7..8),
        }
    }
}

/// How the frames of the map become the nodes that attention weighs.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum Nodes {
    /// Means over the three thirds of the time: 3 nodes a joint (75 for NTU's 25 joints, as in the paper).
    #[default]
    Thirds,
    /// Every frame: T' nodes a joint.
    All,
    /// Means of two frames each: T'/2 nodes a joint, the last of an odd number alone.
    Pairs,
}

/// Whose text asks the map when candidates are scored.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Query {
    /// Every candidate is scored with its own text as query. Knows no label.
    #[default]
    PerClass,
    /// The text of the candidate that wins under `mean_text`. Knows no label; two forwards.
    Pseudo,
    /// The mean text of the candidates. Knows no label; one forward.
    MeanText,
    /// The text of the TRUE class of the test sample, as the published evaluation code does. Not zero-shot:
    /// every report is marked. Where no label is at hand (inside an adapter) it is as `per_class`.
    OracleLabel,
}

/// Whose text asks the map in training.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum TrainingQuery {
    /// The text of the sample's class (as published). The loss can then fall without a look at the motion.
    #[default]
    Label,
    /// The text of a seen class drawn anew for every sample; in validation the classes take turns.
    RandomSeen,
    /// The mean text of the seen classes.
    MeanText,
}

/// How a projected vector and a text are compared when candidates are scored.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum Similarity {
    /// Dot product (official code; what the official loss trains).
    #[default]
    Dot,
    /// Cosine (the paper; what the class-aware loss trains).
    Cosine,
}

/// Which slots make the score.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum ScoreSlots {
    /// The last slot, which is the global one, against its text (as published).
    #[default]
    Global,
    /// The mean over all slots, each against its own text; often better with the static partition.
    Mean,
}

/// What is minimised.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum Loss {
    /// Official code: per slot, cross entropy over the samples of the batch in both directions; dot products times
    /// `tmps` itself; samples of the same class count as negatives of each other.
    #[default]
    Official,
    /// As the paper describes it: per slot, cosine times `exp(tmps)`; one direction over all seen classes, the other
    /// over the batch with every sample of the class as a positive; half of each.
    ClassAware,
}

/// Where learning rate, batch and epochs come from when they are not given.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum Preset {
    /// 5e-4, 128, 30: for sets of a few thousand samples (ours).
    #[default]
    Small,
    /// 1e-4, 256, 100: official code, for NTU.
    Official,
}

/// Options of the `purls` aligner.
#[derive(Clone, Debug, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct PurlsConfig {
    /// What the head sees of a sample. Default: the paper's `adaptive`.
    pub partition: Partition,
    /// Which of the eight texts are used; `partition: global` uses the global one alone. Default: the paper's `full`.
    pub rows: Rows,
    /// How frames become nodes; for `adaptive` only. Default: `thirds`, which gives the paper's 75 nodes on NTU.
    pub nodes: Nodes,
    /// Brings every node (or pooled slot) to unit length. Default: true (official code).
    pub normalise: bool,
    /// Units of the hidden layer, at least 1. Default: official code's 1024.
    pub hidden: i64,
    /// Attention heads, whose scores are averaged before the softmax; at least 1. Default: official code's 2.
    pub heads: i64,
    /// Width of the keys of one head, at least 1. Default: official code's 150.
    pub key_width: i64,
    /// Share of units dropped before each of the two layers in training; `0 ..< 1`. Default: official code's 0.5.
    pub dropout: f64,
    /// Whose text asks the map when candidates are scored. Default: `per_class`, which knows no label (ours).
    pub query: Query,
    /// Whose text asks the map in training. Default: `label` (official code).
    pub training_query: TrainingQuery,
    /// How vectors are compared when candidates are scored. Default: `dot` (official code).
    pub similarity: Similarity,
    /// Which slots make the score. Default: `global` (official code).
    pub score: ScoreSlots,
    /// Multiplies the logits, above 0, no unit: cosines want about 10 to 20 before a softmax means anything.
    /// Default: 1 (official code).
    pub scale: f64,
    /// What is minimised. Default: `official`.
    pub loss: Loss,
    /// Learns a weight per slot in the loss (`d` of the official state). Default: false (every official configuration).
    pub learn_weights: bool,
    /// Source of `lr`, `batch` and `epochs` where they are not given. Default: `small` (ours).
    pub preset: Preset,
    /// Learning rate of Adam, above 0. Default: the preset's.
    pub lr: Option<f64>,
    /// Samples a step, at least 2. Default: the preset's.
    pub batch: Option<i64>,
    /// Passes over the training set, at least 1. Default: the preset's.
    pub epochs: Option<u32>,
    /// Decay added to the gradient, at least 0. Default: 0 (official code).
    pub weight_decay: f64,
    /// When the learning rate falls.
    pub plateau: PlateauConfig,
    /// File with trained weights; without it the aligner is trained. Default: none.
    pub weights: Option<FilePath>,
}

impl Default for PurlsConfig {
    fn default() -> Self {
        Self {
            partition: Partition::default(),
            rows: Rows::default(),
            nodes: Nodes::default(),
            normalise: true,
            hidden: 1024,
            heads: 2,
            key_width: 150,
            dropout: 0.5,
            query: Query::default(),
            training_query: TrainingQuery::default(),
            similarity: Similarity::default(),
            score: ScoreSlots::default(),
            scale: 1.0,
            loss: Loss::default(),
            learn_weights: false,
            preset: Preset::default(),
            lr: None,
            batch: None,
            epochs: None,
            weight_decay: 0.0,
            plateau: PlateauConfig::default(),
            weights: None,
        }
    }
}

impl PurlsConfig {
    /// Names of the slots, in order.
    pub fn slots(&self) -> Vec<Granularity> {
        match self.partition {
            Partition::Global => Rows::G.granularities(),
            Partition::Static | Partition::Adaptive => self.rows.granularities(),
        }
    }

    /// Learning rate in force.
    pub fn learning_rate(&self) -> f64 {
        self.lr.unwrap_or(match self.preset {
            Preset::Small => 5e-4,
            Preset::Official => 1e-4,
        })
    }

    /// Batch size in force.
    pub fn batch_size(&self) -> i64 {
        self.batch.unwrap_or(match self.preset {
            Preset::Small => 128,
            Preset::Official => 256,
        })
    }

    /// Number of epochs in force.
    pub fn epoch_count(&self) -> u32 {
        self.epochs.unwrap_or(match self.preset {
            Preset::Small => 30,
            Preset::Official => 100,
        })
    }

    /// Does scoring ask for test labels?
    pub fn wants_labels(&self) -> bool {
        self.query == Query::OracleLabel && self.partition == Partition::Adaptive
    }
}

#[typetag::serde(name = "purls")]
impl AlignerConfig for PurlsConfig {
    fn validate(&self, problems: &mut Problems) {
        let mut at_least = |field: &str, value: i64, least: i64| {
            problems.check(value >= least, field, || {
                format!("must be at least {least}, got {value}")
            });
        };
        at_least("hidden", self.hidden, 1);
        at_least("heads", self.heads, 1);
        at_least("key_width", self.key_width, 1);
        at_least("batch", self.batch_size(), 2);
        at_least("epochs", i64::from(self.epoch_count()), 1);
        let mut inside = |field: &str, value: f64, ok: bool, range: &str| {
            problems.check(ok, field, || format!("must be {range}, got {value}"));
        };
        let positive = |x: f64| x > 0.0 && x.is_finite();
        inside(
            "dropout",
            self.dropout,
            (0.0..1.0).contains(&self.dropout),
            "at least 0 and below 1",
        );
        inside(
            "lr",
            self.learning_rate(),
            positive(self.learning_rate()),
            "above 0",
        );
        inside("scale", self.scale, positive(self.scale), "above 0");
        let decay = self.weight_decay;
        inside(
            "weight_decay",
            decay,
            decay >= 0.0 && decay.is_finite(),
            "at least 0",
        );
        self.plateau.validate(problems);
        self.validate_partition(problems);
    }

    fn capabilities(&self) -> Capabilities {
        let mut granularities = self.slots();
        if self.wants_labels() && !granularities.contains(&Granularity::GLOBAL) {
            granularities.push(Granularity::GLOBAL);
        }
        Capabilities {
            features: match self.partition {
                Partition::Global => FeatureNeed::Pooled,
                Partition::Static | Partition::Adaptive => FeatureNeed::Map,
            },
            granularities,
            differentiable_in_anchors: true,
            normalisation_layers: true,
            visual_embeddings: true,
            node_embeddings: true,
            tokens: true,
            differentiable_in_features: true,
            training_mode: self.partition == Partition::Adaptive,
            oracle_labels: self.wants_labels(),
            skeletons: false,
            needs_skeletons: None,
        }
    }

    fn weights(&self) -> Option<&Path> {
        self.weights.as_ref().map(AsRef::as_ref)
    }

    fn marks(&self) -> Vec<Mark> {
        let mut marks = Vec::new();
        if self.wants_labels() {
            marks.push(Mark::test_labels(
                "aligner `purls` asks with the text of the true class (`query: oracle_label`), as the published evaluation does; \
                 this is no zero-shot result",
            ));
        }
        marks
    }

    fn build(
        &self,
        features: &EncoderSpec,
        granularities: &[Granularity],
        width: i64,
        ctx: &BuildContext,
    ) -> Result<Box<dyn Aligner>> {
        Ok(Box::new(Purls::new(
            self,
            features,
            granularities,
            width,
            ctx.device,
        )?))
    }
}

impl PurlsConfig {
    fn validate_partition(&self, problems: &mut Problems) {
        let adaptive = self.partition == Partition::Adaptive;
        if self.partition == Partition::Global && !matches!(self.rows, Rows::Full | Rows::G) {
            problems.add_with_hint(
                "rows",
                "`partition: global` has the global row alone",
                "leave `rows` out, or choose `partition: static`",
            );
        }
        let asks = self.query != Query::PerClass || self.training_query != TrainingQuery::Label;
        if asks && !adaptive {
            problems.add_with_hint(
                if self.query == Query::PerClass {
                    "training_query"
                } else {
                    "query"
                },
                "only `partition: adaptive` asks the map with a text",
                "leave the query out, or choose `partition: adaptive`",
            );
        }
        if self.nodes != Nodes::Thirds && !adaptive {
            problems.add("nodes", "only `partition: adaptive` has nodes");
        }
    }
}

inventory::submit! {
    ComponentInfo::new::<PurlsConfig>(
        ComponentKind::Aligner,
        "purls",
        "Aligns body parts and phases of the motion, found by attention from the texts, with one text each.",
        "PURLS: Part-aware Unified Representation between Language and Skeleton (Zhu et al., CVPR 2024)"
    )
}
