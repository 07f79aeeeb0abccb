//! `star`: prompts look for what matters in each body part, and one text per part and class says what it does.
//!
//! STAR (Chen et al., ACM Multimedia 2024, "Fine-Grained Side Information Guided Dual-Prompts for Zero-Shot Skeleton
//! Action Recognition"), after its official code. Per part p, learned prompts P ask the nodes of the part by attention;
//! what they find is mapped to E and read as `eᵢ = Σ (P W)ᵢ Eᵢ`, one number per prompt. The sum over the parts, g, is
//! compared by cosine with the mapped text of the whole class. The texts of the parts, with a learned prompt per class
//! added, are needed in training alone.
//!
//! The official code adds the part texts of *unseen* classes to one term of its loss. Training here is given texts of
//! seen classes alone, so there is no such option. The official encoder reshapes the map of two persons into a scramble
//! of persons and frames instead of averaging it; maps are averages over persons here, so that weights published for
//! the scrambled ones load, but do not see what they were trained on.
//!
//! | symbol | here | shape | meaning |
//! |---|---|---|---|
//! | P | `prompts` | `[n, w]` | what a part is asked |
//! | e | `Part::values` | `[B, n]` | what it answers |
//! | g | rows of `condense` | `[B, n]` | sum over the parts, here of unit length |
//!
//! Letters: B samples, C candidates, S seen classes, N channels, L nodes of a part, d width of the texts.

mod config;
mod golden;
mod loss;
mod network;
mod parts;
#[cfg(test)]
mod tests;

use rand::RngExt;
use szar_core::checkpoint::copy_into;
use szar_core::host::to_i64;
use szar_core::{
    Aligner, AlignerConfig, AttentionMap, Capabilities, Embedding, EncoderSpec, Error, FeatureMap,
    FitContext, FitSummary, Granularity, NamedTensors, Result, Scores, SeenFeatures, SemanticAnchors, shape,
};
use tch::{Device, Kind, Tensor};

use super::maps::{self, Objective};
use super::training::{self, same_classes, unit_rows};
pub use config::{Preset, StarConfig};
use loss::Targets;
use network::Network;
pub use parts::{Joint, NamedParts, Parts};

/// What only the official code's unused heads and its encoder are called.
const UNUSED: [&str; 5] = [
    "pretraining_model.",
    "gcn_part_classifier.",
    "gcn_flobal_classifier.",
    "global_fc1.",
    "global_fc2.",
];
/// Nodes that are embedded at a time; bounds the memory at some tens of MB.
const NODES: i64 = 8192;

/// The `star` aligner; see the module's text.
#[derive(Debug)]
pub struct Star {
    config: StarConfig,
    features: EncoderSpec,
    width: i64,
    parts: Vec<Granularity>,
    /// Per part, `[joints]` i64; empty until fitted or loaded.
    joints: Vec<Tensor>,
    /// Per part, `[classes, d]`: what is added to the texts in training.
    class_prompts: Vec<Tensor>,
    network: Network,
}

impl Star {
    /// An aligner with random weights from libtorch's generator.
    ///
    /// # Errors
    /// When a text is missing, the features are pooled, or the heads do not divide the width.
    pub fn new(
        config: &StarConfig,
        features: &EncoderSpec,
        granularities: &[Granularity],
        width: i64,
        device: Device,
    ) -> Result<Self> {
        maps::refuse_pooled("star", features)?;
        training::require("star", &config.capabilities().granularities, granularities)?;
        let parts = config.parts.granularities();
        let sizes = config.sizes(features.channels, width)?;
        let options = (Kind::Float, device);
        let per_part = |make: &dyn Fn() -> Tensor| parts.iter().map(|_| make()).collect();
        Ok(Self {
            config: config.clone(),
            features: *features,
            width,
            joints: per_part(&|| Tensor::zeros([0], (Kind::Int64, device))),
            class_prompts: per_part(&|| Tensor::zeros([0, width], options)),
            network: Network::new(sizes, device),
            parts,
        })
    }

    fn text(&self, anchors: &SemanticAnchors, granularity: &Granularity) -> Result<Tensor> {
        shape::expect(
            "semantic anchors",
            &anchors.values,
            [None, None, Some(self.width)],
        )?;
        let text = anchors.granularity(granularity);
        Ok(text
            .map_err(|e| e.context("aligner `star`"))?
            .to_kind(Kind::Float))
    }

    /// Checks the map and that the parts are known.
    fn view<'a>(&'a self, map: &'a FeatureMap) -> Result<View<'a>> {
        maps::expect_map(map, &self.features)?;
        if self.joints.iter().any(|joints| joints.numel() == 0) {
            return Err(Error::Missing(
                "the body parts of `star`: fit it or load its weights first".into(),
            ));
        }
        Ok(View {
            map,
            joints: &self.joints,
        })
    }

    /// `[C, n]`, rows of length 1.
    fn classes_side(&self, anchors: &SemanticAnchors) -> Result<Tensor> {
        let text = self.text(anchors, &self.config.label)?;
        Ok(unit_rows(&self.network.label(&text)))
    }
}

/// A map and the joints of the parts.
struct View<'a> {
    map: &'a FeatureMap,
    joints: &'a [Tensor],
}

impl View<'_> {
    /// Per part the nodes `[B, L, N]`.
    fn nodes(&self) -> impl Iterator<Item = Tensor> + '_ {
        let by_joint = self
            .map
            .values
            .to_kind(Kind::Float)
            .permute([0, 3, 2, 1])
            .contiguous();
        self.joints
            .iter()
            .map(move |joints| by_joint.index_select(1, joints).flatten(1, 2))
    }
}

/// What training minimises, on texts of seen classes.
struct Alignment<'a> {
    model: &'a Star,
    label_text: Tensor,
    part_text: Vec<Tensor>,
    temperature: f64,
    shares: loss::Shares,
}

impl Objective for Alignment<'_> {
    fn terms(&self) -> &'static [&'static str] {
        &loss::TERMS
    }

    fn loss(&self, map: &FeatureMap, labels: &Tensor) -> Result<Tensor> {
        let model = self.model;
        let targets = Targets {
            label: model.network.label(&self.label_text),
            parts: model.network.part_texts(&self.part_text, &model.class_prompts),
            labels,
            seen: None,
        };
        let values = model.network.values(model.view(map)?.nodes());
        let whole = model.network.whole(&values);
        Ok(loss::terms(
            &values,
            &whole,
            &targets,
            self.temperature,
            self.shares,
        ))
    }

    fn logits(&self, map: &FeatureMap) -> Result<Tensor> {
        let classes = unit_rows(&self.model.network.label(&self.label_text));
        Ok(self.model.condense(map)?.mm(&classes.transpose(0, 1)))
    }

    fn parameters(&self) -> NamedTensors {
        let mut parameters = self.model.network.parameters();
        for (p, prompts) in self.model.class_prompts.iter().enumerate() {
            parameters.insert(format!("pd_prompt.{p}"), prompts.shallow_clone());
        }
        parameters
    }
}

impl Aligner for Star {
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
        let label_text = self.text(anchors, &self.config.label)?.detach();
        let part_text = self.parts.iter().map(|p| Ok(self.text(anchors, p)?.detach()));
        let part_text = part_text.collect::<Result<Vec<_>>>()?;
        let device = label_text.device();
        let joints = self.config.parts.resolve(&seen.layout, self.features.joints)?;
        self.joints = joints
            .iter()
            .map(|joints| Tensor::from_slice(joints).to_device(device))
            .collect();
        let mut rng = ctx.seed.derive("star-class-prompts", 0).rng();
        self.class_prompts = part_text.iter().map(|text| normal_like(text, &mut rng)).collect();
        let course = self.config.course();
        let plan = course.plan("star", &self.config)?;
        let objective = Alignment {
            model: self,
            label_text,
            part_text,
            temperature: self.config.temperature(),
            shares: self.config.shares(),
        };
        maps::train(objective, seen, &course, &plan, ctx)
    }

    fn score(&self, features: &FeatureMap, anchors: &SemanticAnchors) -> Result<Scores> {
        self.score_condensed(&self.condense(features)?, anchors)
    }

    /// `[B, n]`: g, of length 1.
    fn condense(&self, features: &FeatureMap) -> Result<Tensor> {
        let values = self.network.values(self.view(features)?.nodes());
        Ok(unit_rows(&self.network.whole(&values)))
    }

    fn score_condensed(&self, rows: &Tensor, anchors: &SemanticAnchors) -> Result<Scores> {
        shape::expect(
            "condensed features",
            rows,
            [None, Some(self.network.sizes.prompts)],
        )?;
        let classes = self.classes_side(anchors)?;
        Ok(Scores {
            logits: rows.mm(&classes.transpose(0, 1)) * self.config.scale,
        })
    }

    fn embed(&self, features: &FeatureMap, anchors: &SemanticAnchors) -> Result<Embedding> {
        Ok(Embedding {
            visual: self.condense(features)?,
            classes: self.classes_side(anchors)?,
        })
    }

    /// What every part would answer if all its nodes were this one, summed over the parts; of length 1. Nodes frame by
    /// frame and joint by joint.
    fn embed_nodes(&self, features: &FeatureMap, _: &SemanticAnchors) -> Result<Tensor> {
        maps::expect_map(features, &self.features)?;
        let (batch, channels, ..) = features.dims();
        let nodes = features.values.to_kind(Kind::Float).permute([0, 2, 3, 1]);
        let alone = nodes.reshape([-1, 1, channels]);
        let chunks = alone.split(NODES, 0);
        let vectors: Vec<_> = chunks
            .iter()
            .map(|chunk| {
                unit_rows(
                    &self
                        .network
                        .whole(&self.network.values_of_constant(&chunk.squeeze_dim(1))),
                )
            })
            .collect();
        Ok(Tensor::cat(&vectors, 0).view([batch, -1, self.network.sizes.prompts]))
    }

    /// What the prompts of each part look at, which is the same for every class.
    fn attention(
        &self,
        features: &FeatureMap,
        _: &SemanticAnchors,
        _: &Tensor,
    ) -> Result<Option<AttentionMap>> {
        let view = self.view(features)?;
        let (batch, _, frames, joints) = features.dims();
        let place = |(weights, own): (Tensor, &Tensor)| {
            // Nodes of a part come joint by joint, and a joint may stand in it twice.
            let by_joint = weights.view([batch, -1, frames]);
            let none = Tensor::zeros([batch, joints, frames], (Kind::Float, weights.device()));
            none.index_add(1, own, &by_joint).transpose(1, 2).flatten(1, 2)
        };
        let weights = self.network.attention(view.nodes());
        let placed: Vec<_> = weights.into_iter().zip(view.joints).map(place).collect();
        Ok(Some(AttentionMap {
            names: self.parts.clone(),
            weights: Tensor::stack(&placed, 1),
        }))
    }

    fn state(&self) -> NamedTensors {
        let mut state = self.network.state();
        for (p, (joints, prompts)) in self.joints.iter().zip(&self.class_prompts).enumerate() {
            state.insert(format!("body_part_index_list.{p}"), joints.shallow_clone());
            state.insert(format!("pd_prompt.{p}"), prompts.shallow_clone());
        }
        state
    }

    /// Leaves out what the official state holds of the encoder and of heads that nothing uses.
    fn load_state(&mut self, state: &NamedTensors) -> Result<()> {
        let known = state
            .iter()
            .filter(|(name, _)| !UNUSED.iter().any(|unused| name.starts_with(unused)));
        let mut own: NamedTensors = known
            .map(|(name, tensor)| (name.clone(), tensor.shallow_clone()))
            .collect();
        let mut tables = Vec::new();
        for p in 0..self.parts.len() {
            let mut take = |name: String| own.remove(&name).ok_or(Error::Missing(format!("`{name}`")));
            let joints = take(format!("body_part_index_list.{p}"))?;
            let prompts = take(format!("pd_prompt.{p}"))?;
            self.check_joints(p, &joints)?;
            shape::expect(&format!("pd_prompt.{p}"), &prompts, [None, Some(self.width)])?;
            tables.push((joints, prompts));
        }
        copy_into(&self.network.state(), &own, |_| false)?;
        let device = self.network.device();
        let owned = |t: &Tensor| t.detach().to_device(device).copy();
        self.joints = tables.iter().map(|(joints, _)| owned(joints)).collect();
        self.class_prompts = tables.iter().map(|(_, prompts)| owned(prompts)).collect();
        Ok(())
    }
}

/// Numbers from N(0, 1), the same on every device.
fn normal_like(like: &Tensor, rng: &mut impl rand::Rng) -> Tensor {
    let mut uniform = || {
        let values: Vec<f32> = (0..like.numel()).map(|_| rng.random()).collect();
        Tensor::from_slice(&values).view(like.size().as_slice())
    };
    // Box and Muller's transform; 1 − u is never 0.
    let (length, angle) = (uniform(), uniform());
    let length = ((-length).log1p() * -2.0).sqrt();
    (length * (angle * std::f64::consts::TAU).cos()).to_device(like.device())
}

impl Star {
    fn check_joints(&self, part: usize, joints: &Tensor) -> Result<()> {
        let name = format!("body_part_index_list.{part}");
        shape::expect(&name, joints, [None])?;
        let count = self.features.joints;
        match to_i64(joints)?.iter().find(|j| !(0..count).contains(*j)) {
            None => Ok(()),
            Some(joint) => Err(Error::Input(format!(
                "`{name}` names joint {joint}, the feature map has {count} joints"
            ))),
        }
    }
}
