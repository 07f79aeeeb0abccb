//! `neuron`: prototypes of joints and of moments that evolve in three rounds, each held against finer texts.
//!
//! Neuron (Chen et al., CVPR 2025, "Learning Context-Aware Evolving Representations for Zero-Shot Skeleton Action
//! Recognition"), after its official code. Spatial prototypes gather joints: each round weighs them by attention over the
//! joints and keeps, per joint, fewer prototypes (3/4, 1/2, 1/4 of them). Temporal prototypes gather frames: the rounds
//! see the first 5/16, the first 10/16 and all of them, and gates decide what is remembered. Both streams are projected
//! into the space of the texts after every round; candidates are scored on the last.
//!
//! The published accuracy counts a sample as right when *either* stream is right, which takes its label to know. Here
//! the posteriors of both are averaged (`fusion: mean_prob`), unless `oracle_or` is asked for by name.
//!
//! | symbol | here | shape | meaning |
//! |---|---|---|---|
//! | P | `prototype` | `[K, N]`, then `[B, K, N]` | prototypes before and after a round |
//! | A | `weights` | `[B, V, K]`, `[B, t, K]` | what a prototype makes of each joint or frame |
//! | o | outputs of a stream | `[B, N]` | mean over the prototypes |
//!
//! Letters: B samples, C candidates, K prototypes, N channels, t frames of a round, d width of the texts.

mod config;
mod golden;
mod network;
mod score;
#[cfg(test)]
mod tests;

use szar_core::checkpoint::copy_into;
use szar_core::{
    Aligner, AlignerConfig, Capabilities, Embedding, EncoderSpec, Error, FeatureMap, FitContext, FitSummary,
    Granularity, NamedTensors, OracleLabels, Result, Scores, SeenFeatures, SemanticAnchors, shape,
};
use tch::{Device, Kind, Tensor};

use super::maps::{self, Objective};
use super::training::{self, same_classes, unit_rows};
pub use config::{Fusion, NeuronConfig, Preset};
use network::{Network, ROUNDS, Sizes};

/// The `neuron` aligner; see the module's text.
#[derive(Debug)]
pub struct Neuron {
    config: NeuronConfig,
    features: EncoderSpec,
    width: i64,
    spatial: [Vec<Granularity>; ROUNDS],
    temporal: [Vec<Granularity>; ROUNDS],
    network: Network,
}

impl Neuron {
    /// An aligner with random weights from libtorch's generator.
    ///
    /// # Errors
    /// When a text is missing or the features are pooled.
    pub fn new(
        config: &NeuronConfig,
        features: &EncoderSpec,
        granularities: &[Granularity],
        width: i64,
        device: Device,
    ) -> Result<Self> {
        maps::refuse_pooled("neuron", features)?;
        training::require("neuron", &config.capabilities().granularities, granularities)?;
        let sizes = Sizes {
            channels: features.channels,
            text: width,
            prototypes: config.prototype_count(),
            hidden: config.hidden.unwrap_or(features.channels),
        };
        Ok(Self {
            config: config.clone(),
            features: *features,
            width,
            spatial: config.spatial_texts(),
            temporal: config.temporal_texts(),
            network: Network::new(sizes, device),
        })
    }

    /// `[C, d]`: the mean of a class's texts, each brought to length 1 first. Its product with a vector is the mean of
    /// their cosines.
    fn texts(&self, anchors: &SemanticAnchors, of: &[Granularity]) -> Result<Tensor> {
        shape::expect(
            "semantic anchors",
            &anchors.values,
            [None, None, Some(self.width)],
        )?;
        let chosen = anchors.select(of).map_err(|e| e.context("aligner `neuron`"))?;
        Ok(network::mean_text(&chosen.values.to_kind(Kind::Float)))
    }

    fn expect_rows(&self, rows: &Tensor) -> Result<()> {
        let streams = self.config.fusion.streams();
        shape::expect(
            "condensed features",
            rows,
            [None, Some(streams), Some(self.width)],
        )
    }
}

/// What training minimises, on texts of seen classes.
pub(super) struct Alignment<'a> {
    network: &'a Network,
    /// Per round, `[S, d]`.
    spatial: Vec<Tensor>,
    temporal: Vec<Tensor>,
    scale: f64,
    fusion: Fusion,
}

impl Alignment<'_> {
    /// Logits `[B, S]` of the three rounds of both streams.
    pub(super) fn rounds(&self, map: &FeatureMap) -> [Vec<Tensor>; 2] {
        let logits = |outputs: Vec<Tensor>, texts: &[Tensor]| {
            let pairs = outputs.iter().zip(texts);
            pairs
                .map(|(o, text)| o.mm(&text.transpose(0, 1)) * self.scale)
                .collect()
        };
        let values = map.values.to_kind(Kind::Float);
        [
            logits(self.network.spatial(&values), &self.spatial),
            logits(self.network.temporal(&values), &self.temporal),
        ]
    }

    /// `[3]`: the whole loss, the spatial and the temporal one.
    pub(super) fn of_rounds(rounds: &[Vec<Tensor>; 2], labels: &Tensor) -> Tensor {
        let mean = |logits: &Vec<Tensor>| {
            let entropies: Vec<_> = logits
                .iter()
                .map(|l| l.cross_entropy_for_logits(labels))
                .collect();
            Tensor::stack(&entropies, 0).mean(Kind::Float)
        };
        let [spatial, temporal] = [&rounds[0], &rounds[1]].map(mean);
        Tensor::stack(&[(&spatial + &temporal) / 2.0, spatial, temporal], 0)
    }
}

impl Objective for Alignment<'_> {
    fn terms(&self) -> &'static [&'static str] {
        &["loss", "spatial", "temporal"]
    }

    fn loss(&self, map: &FeatureMap, labels: &Tensor) -> Result<Tensor> {
        Ok(Self::of_rounds(&self.rounds(map), labels))
    }

    fn logits(&self, map: &FeatureMap) -> Result<Tensor> {
        let [spatial, temporal] = self.rounds(map).map(|mut rounds| rounds.pop());
        let streams = [spatial, temporal].into_iter().flatten().collect::<Vec<_>>();
        Ok(match self.fusion {
            Fusion::Spatial => streams[0].shallow_clone(),
            Fusion::Temporal => streams[1].shallow_clone(),
            Fusion::MeanProb | Fusion::OracleOr => score::mean_posterior(&streams[0], &streams[1]),
        })
    }

    fn parameters(&self) -> NamedTensors {
        self.network.parameters()
    }
}

impl Aligner for Neuron {
    fn capabilities(&self) -> Capabilities {
        self.config.capabilities()
    }

    fn fit(
        &mut self,
        seen: &SeenFeatures,
        anchors: &SemanticAnchors,
        ctx: &mut FitContext,
    ) -> Result<FitSummary> {
        same_classes(seen, anchors)?;
        maps::expect_map(&seen.train.features, &self.features)?;
        let rounds = |texts: &[Vec<Granularity>; ROUNDS]| {
            let one = |of: &Vec<Granularity>| Ok(self.texts(anchors, of)?.detach());
            texts.iter().map(one).collect::<Result<Vec<_>>>()
        };
        let objective = Alignment {
            network: &self.network,
            spatial: rounds(&self.spatial)?,
            temporal: rounds(&self.temporal)?,
            scale: self.config.logit_scale(),
            fusion: self.config.fusion,
        };
        let course = self.config.course();
        let plan = course.plan("neuron", &self.config)?;
        maps::train(objective, seen, &course, &plan, ctx)
    }

    fn score(&self, features: &FeatureMap, anchors: &SemanticAnchors) -> Result<Scores> {
        self.score_condensed(&self.condense(features)?, anchors)
    }

    fn score_with_labels(
        &self,
        features: &FeatureMap,
        anchors: &SemanticAnchors,
        labels: &OracleLabels,
    ) -> Result<Scores> {
        if self.config.fusion != Fusion::OracleOr {
            return Err(Error::Input(
                "aligner `neuron` has no use for test labels without `fusion: oracle_or`".into(),
            ));
        }
        shape::expect("labels", &labels.0, [Some(features.dims().0)])?;
        let [spatial, temporal] = self.streams(&self.condense(features)?, anchors)?;
        Ok(Scores {
            logits: score::either(&spatial, &temporal, &labels.0),
        })
    }

    /// `[B, 2, d]`: what the last rounds of the spatial and the temporal stream say, of length 1; `[B, 1, d]` where one
    /// of them is scored alone.
    fn condense(&self, features: &FeatureMap) -> Result<Tensor> {
        maps::expect_map(features, &self.features)?;
        let values = features.values.to_kind(Kind::Float);
        let mut streams = Vec::new();
        if self.config.fusion != Fusion::Temporal {
            streams.extend(self.network.spatial(&values).pop());
        }
        if self.config.fusion != Fusion::Spatial {
            streams.extend(self.network.temporal(&values).pop());
        }
        Ok(Tensor::stack(&streams, 1))
    }

    fn score_condensed(&self, rows: &Tensor, anchors: &SemanticAnchors) -> Result<Scores> {
        let logits = match self.config.fusion {
            Fusion::Spatial => self.against(rows, 0, anchors, &self.spatial)?,
            Fusion::Temporal => self.against(rows, 0, anchors, &self.temporal)?,
            Fusion::MeanProb | Fusion::OracleOr => {
                let [spatial, temporal] = self.streams(rows, anchors)?;
                score::mean_posterior(&spatial, &temporal)
            }
        };
        Ok(Scores { logits })
    }

    /// Both streams side by side, and the classes' mean texts likewise: their product is the mean of both logits.
    fn embed(&self, features: &FeatureMap, anchors: &SemanticAnchors) -> Result<Embedding> {
        let rows = self.condense(features)?;
        let last = match self.config.fusion {
            Fusion::Spatial => vec![&self.spatial],
            Fusion::Temporal => vec![&self.temporal],
            Fusion::MeanProb | Fusion::OracleOr => vec![&self.spatial, &self.temporal],
        };
        let classes = last.iter().map(|rounds| self.texts(anchors, &rounds[ROUNDS - 1]));
        let classes = Tensor::cat(&classes.collect::<Result<Vec<_>>>()?, 1);
        Ok(Embedding {
            visual: unit_rows(&rows.flatten(1, 2)),
            classes,
        })
    }

    fn state(&self) -> NamedTensors {
        self.network.state()
    }

    /// Leaves out the encoder in the official state.
    fn load_state(&mut self, state: &NamedTensors) -> Result<()> {
        let own = state
            .iter()
            .filter(|(name, _)| !name.starts_with("feature_extractor."));
        let own = own.map(|(name, t)| (name.clone(), t.shallow_clone())).collect();
        copy_into(&self.state(), &own, |_| false)
    }
}

impl Neuron {
    /// `[B, C]` of one stream of condensed rows.
    fn against(
        &self,
        rows: &Tensor,
        stream: i64,
        anchors: &SemanticAnchors,
        texts: &[Vec<Granularity>; ROUNDS],
    ) -> Result<Tensor> {
        self.expect_rows(rows)?;
        let text = self.texts(anchors, &texts[ROUNDS - 1])?;
        Ok(rows.select(1, stream).mm(&text.transpose(0, 1)) * self.config.logit_scale())
    }

    /// `[B, C]` of the spatial and the temporal stream.
    fn streams(&self, rows: &Tensor, anchors: &SemanticAnchors) -> Result<[Tensor; 2]> {
        Ok([
            self.against(rows, 0, anchors, &self.spatial)?,
            self.against(rows, 1, anchors, &self.temporal)?,
        ])
    }
}
