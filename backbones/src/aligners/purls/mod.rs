//! `purls`: part- and phase-wise alignment of motion and text, with attention from the texts to the motion.
//!
//! PURLS (Zhu et al., CVPR 2024). A class has up to eight texts: four body parts, three phases, the whole. For each, a
//! *slot* is drawn from the feature map: a mean weighted by attention that the text asks for (`partition: adaptive`), a
//! fixed mean (`static`), or the mean of all (`global`). One head projects all slots of a sample into the space of the texts.
//!
//! The published evaluation asks with the text of the sample's true class, and so knows the answer in part. Here every
//! candidate is scored with its own text as query (`query: per_class`), unless `oracle_label` is asked for by name.
//!
//! Letters: B samples, C candidates, S seen classes, P nodes, L slots, N channels, d width of the texts.

mod attention;
mod config;
mod fit;
mod golden;
mod head;
mod loss;
mod network;
mod nodes;
mod score;
#[cfg(test)]
mod tests;

use szar_core::checkpoint::copy_into;
use szar_core::descriptors::{TemporalSplit, averaging};
use szar_core::{
    Affine, Aligner, AlignerConfig, AttentionMap, Capabilities, Embedding, EncoderSpec, Error, FeatureMap,
    FitContext, FitSummary, Granularity, Linear, NamedTensors, OracleLabels, Result, Scores, SeenFeatures,
    SemanticAnchors, SkeletonLayout, Tokens, shape,
};
use tch::{Device, Kind, Tensor};

use super::training;
pub use config::{
    Loss, Nodes, Partition, PlateauConfig, Preset, PurlsConfig, Query, Rows, ScoreSlots, Similarity,
    TrainingQuery,
};
use head::Pass;
pub(super) use head::product;
use network::{Network, Shape};

/// Where the head's input comes from.
#[derive(Debug)]
enum Source {
    /// Attention over nodes.
    Nodes(Nodes),
    /// The mean of the whole map.
    Mean,
    /// Fixed averages `[L, T'·V']` over body parts and phases; known once fitted or loaded.
    Averages { table: Tensor, known: bool },
}

/// The `purls` aligner; see the module's text.
#[derive(Debug)]
pub struct Purls {
    config: PurlsConfig,
    features: EncoderSpec,
    slots: Vec<Granularity>,
    width: i64,
    source: Source,
    network: Network,
}

impl Purls {
    /// An aligner with random weights from libtorch's generator.
    ///
    /// # Errors
    /// When a text is missing, or the partition needs a map and the features are pooled.
    pub fn new(
        config: &PurlsConfig,
        features: &EncoderSpec,
        granularities: &[Granularity],
        width: i64,
        device: Device,
    ) -> Result<Self> {
        training::require("purls", &config.capabilities().granularities, granularities)?;
        if features.is_pooled() && config.partition != Partition::Global {
            return Err(Error::Input(
                "aligner `purls` needs a spatio-temporal feature map, the features are pooled; use `partition: global`".into(),
            ));
        }
        let slots = config.slots();
        let count = slots.len() as i64;
        let source = match config.partition {
            Partition::Global => Source::Mean,
            Partition::Adaptive => Source::Nodes(config.nodes),
            Partition::Static => Source::Averages {
                table: Tensor::zeros([count, features.frames * features.joints], (Kind::Float, device)),
                known: false,
            },
        };
        let adaptive = config.partition == Partition::Adaptive;
        let shape = Shape {
            channels: features.channels,
            width,
            slots: count,
            hidden: config.hidden,
            attention: adaptive.then_some((config.heads, config.key_width)),
            weighted: config.learn_weights,
        };
        Ok(Self {
            config: config.clone(),
            features: *features,
            slots,
            width,
            source,
            network: Network::new(shape, device),
        })
    }

    /// What the head or its attention sees of a map: nodes `[B, P, N]` or slots `[B, L, N]`.
    fn view(&self, map: &FeatureMap) -> Result<Tensor> {
        let (_, channels, frames, joints) = map.dims();
        let form = &self.features;
        let fits = channels == form.channels
            && (matches!(self.source, Source::Mean) || (frames, joints) == (form.frames, form.joints));
        if !fits {
            return Err(Error::Shape {
                what: "feature map".into(),
                got: map.values.size(),
                want: format!("[_, {}, {}, {}]", form.channels, form.frames, form.joints),
            });
        }
        let seen = match &self.source {
            Source::Nodes(how) => nodes::nodes(map, *how),
            Source::Mean => map.pooled().unsqueeze(1),
            Source::Averages { table, known: true } => nodes::slots(map, table)?,
            Source::Averages { known: false, .. } => {
                return Err(Error::Missing(
                    "the body parts of `purls` with `partition: static`: fit it or load its weights first"
                        .into(),
                ));
            }
        };
        Ok(if self.config.normalise {
            nodes::unit_rows(&seen)
        } else {
            seen
        })
    }

    fn learn_layout(&mut self, layout: &SkeletonLayout) -> Result<()> {
        if let Source::Averages { table, known } = &mut self.source {
            let (frames, joints) = (self.features.frames, self.features.joints);
            let averages = averaging(frames, joints, layout, &self.slots, TemporalSplit::Floor)?;
            table.copy_(&averages);
            *known = true;
        }
        Ok(())
    }

    /// Checks the anchors and gives the texts of the slots, `[C, L, d]`.
    fn texts(&self, anchors: &SemanticAnchors) -> Result<Tensor> {
        shape::expect(
            "semantic anchors",
            &anchors.values,
            [None, None, Some(self.width)],
        )?;
        let chosen = anchors
            .select(&self.slots)
            .map_err(|e| e.context("aligner `purls`"))?;
        Ok(chosen.values.to_kind(Kind::Float))
    }
}

impl Aligner for Purls {
    fn capabilities(&self) -> Capabilities {
        self.config.capabilities()
    }

    fn fit(
        &mut self,
        seen: &SeenFeatures,
        anchors: &SemanticAnchors,
        ctx: &mut FitContext,
    ) -> Result<FitSummary> {
        self.learn_layout(&seen.layout)?;
        let text = self.texts(anchors)?.detach();
        training::same_classes(seen, anchors)?;
        self.network.train(true);
        let summary = fit::fit(self, seen, &text, ctx);
        self.network.train(false);
        summary
    }

    fn score(&self, features: &FeatureMap, anchors: &SemanticAnchors) -> Result<Scores> {
        self.score_rows(&self.condense(features)?, anchors, None)
    }

    fn score_with_labels(
        &self,
        features: &FeatureMap,
        anchors: &SemanticAnchors,
        labels: &OracleLabels,
    ) -> Result<Scores> {
        if !self.config.wants_labels() {
            return Err(Error::Input(format!(
                "aligner `purls` with `query: {}` has no use for test labels",
                serde_json::to_value(self.config.query)
                    .unwrap_or_default()
                    .as_str()
                    .unwrap_or_default()
            )));
        }
        shape::expect("labels", &labels.0, [Some(features.dims().0)])?;
        self.score_rows(&self.condense(features)?, anchors, Some(&labels.0))
    }

    /// Nodes `[B, P, N]` where texts ask (their keys never change, and the probes meet the nodes directly); the projected
    /// vectors `[B, D]` where they do not.
    fn condense(&self, features: &FeatureMap) -> Result<Tensor> {
        let seen = self.view(features)?;
        if matches!(self.source, Source::Nodes(_)) {
            return Ok(seen);
        }
        let fused = self.network.fuse(&seen, None)?;
        let vectors = match self.config.score {
            ScoreSlots::Global => self.network.head.forward_last(&fused).unsqueeze(1),
            ScoreSlots::Mean => self.network.project(&fused, &Pass::Eval),
        };
        Ok(score::prepare(self.config.similarity, &vectors).flatten(1, 2))
    }

    fn score_condensed(&self, rows: &Tensor, anchors: &SemanticAnchors) -> Result<Scores> {
        self.score_rows(rows, anchors, None)
    }

    fn linear(&self, anchors: &SemanticAnchors) -> Result<Option<Linear>> {
        if matches!(self.source, Source::Nodes(_)) {
            return Ok(None);
        }
        let slots = match self.config.score {
            ScoreSlots::Global => &self.slots[self.slots.len() - 1..],
            ScoreSlots::Mean => &self.slots[..],
        };
        let at = |g: &Granularity| anchors.slot(g).map(|slot| slot as usize);
        let granularities = slots.iter().map(at).collect::<Result<Vec<_>>>()?;
        Ok(Some(Linear {
            scale: self.config.scale / granularities.len() as f64,
            granularities,
        }))
    }

    fn score_asked(
        &self,
        rows: &Tensor,
        anchors: &SemanticAnchors,
        askers: Option<&Tensor>,
        training: bool,
    ) -> Result<Scores> {
        match (&self.source, askers) {
            (Source::Nodes(_), Some(askers)) => self.score_by_askers(rows, anchors, askers, training),
            (_, _) if training => Err(Error::Input(
                "aligner `purls` has a training mode at test time only where a class asks (`partition: adaptive`)".into(),
            )),
            _ => self.score_rows(rows, anchors, None),
        }
    }

    /// With `partition: adaptive` what the mean text of the candidates sees, which is the same for every candidate.
    fn embed(&self, features: &FeatureMap, anchors: &SemanticAnchors) -> Result<Embedding> {
        let judge = self.judge(anchors, false)?;
        let rows = self.condense(features)?;
        let visual = if matches!(self.source, Source::Nodes(_)) {
            let fused = self.network.fuse(&rows, Some(&judge.mean_probes(&rows)?))?;
            judge.vectors(&fused, &Pass::Eval)
        } else {
            rows
        };
        Ok(Embedding {
            visual,
            classes: judge.classes_side(),
        })
    }

    /// Every node through the head as if the whole sequence looked like it.
    fn embed_nodes(&self, features: &FeatureMap, anchors: &SemanticAnchors) -> Result<Tensor> {
        let channels = Some(self.features.channels);
        shape::expect("feature map", &features.values, [None, channels, None, None])?;
        let how = match self.source {
            Source::Nodes(how) => how,
            _ => Nodes::All,
        };
        let nodes = nodes::nodes(features, how);
        let nodes = if self.config.normalise {
            nodes::unit_rows(&nodes)
        } else {
            nodes
        };
        let judge = self.judge(anchors, false)?;
        let (batch, points) = (nodes.size()[0], nodes.size()[1]);
        let hidden = self
            .network
            .head
            .hidden_of_repeated(&nodes.flatten(0, 1), self.network.shape.slots);
        let vectors = self.network.head.project_hidden(&hidden);
        let vectors = match self.config.score {
            ScoreSlots::Global => vectors.narrow(1, self.network.shape.slots - 1, 1),
            ScoreSlots::Mean => vectors,
        };
        Ok(judge.prepare(&vectors).reshape([batch, points, -1]))
    }

    /// What the texts of the class ask for; with `query: mean_text` what all candidates ask for on average.
    fn attention(
        &self,
        features: &FeatureMap,
        anchors: &SemanticAnchors,
        columns: &Tensor,
    ) -> Result<Option<AttentionMap>> {
        let Source::Nodes(how) = self.source else {
            return Ok(None);
        };
        let seen = self.view(features)?;
        shape::expect("columns", columns, [Some(seen.size()[0])])?;
        let judge = self.judge(anchors, false)?;
        let probes = match self.config.query {
            Query::MeanText => judge.mean_probes(&seen)?,
            _ => judge.probes()?.f_index_select(0, columns)?,
        };
        let weights = self.network.attention()?.weights(&probes, &seen);
        Ok(Some(AttentionMap {
            names: self.slots.clone(),
            weights: nodes::spread(&weights, how, self.features.frames, self.features.joints),
        }))
    }

    /// The slots that enter the head; their statistics are those its first normalisation learned.
    fn tokens(&self, features: &FeatureMap, anchors: &SemanticAnchors) -> Result<Tokens> {
        let seen = self.view(features)?;
        let probes = match self.source {
            Source::Nodes(_) => Some(self.judge(anchors, false)?.mean_probes(&seen)?),
            _ => None,
        };
        let (slots, channels) = (self.network.shape.slots, self.features.channels);
        let values = self
            .network
            .fuse(&seen, probes.as_ref())?
            .view([-1, slots, channels]);
        let (mean, variance) = self.network.head.input_statistics();
        Ok(Tokens {
            values,
            mean: mean.view([slots, channels]),
            variance: variance.view([slots, channels]),
        })
    }

    fn normalisation(&self) -> Vec<Affine> {
        self.network.head.affine()
    }

    fn score_normalised(
        &self,
        features: &FeatureMap,
        anchors: &SemanticAnchors,
        affine: &[Affine],
    ) -> Result<Scores> {
        let seen = self.view(features)?;
        let judge = self.judge(anchors, false)?;
        let batch = seen.size()[0];
        let fused = match self.source {
            Source::Nodes(_) => judge.fused_per_class(&seen)?,
            _ => self.network.fuse(&seen, None)?,
        };
        let vectors = self.network.head.forward_with(&fused, affine)?;
        let vectors = match self.config.score {
            ScoreSlots::Global => vectors.narrow(1, self.network.shape.slots - 1, 1),
            ScoreSlots::Mean => vectors,
        };
        let vectors = judge.prepare(&vectors).flatten(1, 2);
        let logits = if vectors.size()[0] == batch {
            judge.compare(&vectors)
        } else {
            judge.compare_own(&vectors.view([batch, -1, vectors.size()[1]]))
        };
        Ok(self.scaled(logits))
    }

    fn state(&self) -> NamedTensors {
        let mut state = self.network.state();
        if let Source::Averages { table, .. } = &self.source {
            state.insert("pool".into(), table.shallow_clone());
        }
        state
    }

    /// Also takes a Lightning checkpoint's names (`model.` in front) and leaves out the text encoder in it (`clip.`).
    fn load_state(&mut self, state: &NamedTensors) -> Result<()> {
        let plain = |name: &String| name.strip_prefix("model.").unwrap_or(name).to_owned();
        let own = state
            .iter()
            .map(|(name, tensor)| (plain(name), tensor.shallow_clone()));
        let own = own.filter(|(name, _)| !name.starts_with("clip.")).collect();
        copy_into(&self.state(), &own, |_| false)?;
        if let Source::Averages { known, .. } = &mut self.source {
            *known = true;
        }
        Ok(())
    }
}
