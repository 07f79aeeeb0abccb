//! `scople`: prompts learned inside CLIP's text transformer and beside the joints, with the text asking the motion.
//!
//! SCoPLe (Zhu et al., CVPR 2025, "Semantic-guided Cross-Modal Prompt Learning for Skeleton-based Zero-shot Action
//! Recognition"), from the paper; there is no official code.
//!
//! - The class's name behind a preamble runs through a frozen CLIP text transformer in two streams ([`text`]); learned
//!   prompts take the place of the first words, and the prompted stream leans on the attention of the plain one.
//! - The text f asks the joints, with learned joints beside them, for what belongs to it ([`sampler`]); a small network
//!   brings the answer into the space of the texts, V. Each candidate is scored with its own f as query: V·f / τ.
//!
//! Texts come from the names of the candidate classes through the aligner's own `text_encoder`. The values of the
//! anchors are not used: no granularity is asked for, and scores have no gradient in the anchors.
//!
//! What the paper leaves open, and what is done here: the prompts P₀ in front of the first layer begin as the words they
//! replace; position 0 is the start token and prompts stand behind it; they get positions in front of the first layer
//! and none in the others; the residual of the prompted stream is taken behind the mixing (eq. 7); V and f are compared
//! by cosine, with CLIP's τ of 0.07; samples of one class in a batch share one text and count as negatives of each
//! other, as in the printed loss, which differs from telling classes apart by a weight per class alone.
//!
//! | symbol | here | shape | meaning |
//! |---|---|---|---|
//! | G | rows of `condense` | `[B, V, N]` | joints, mean over frames |
//! | P^V | `skeleton_prompts` | `[p, N]` | learned joints |
//! | f | `texts` | `[C, d]` | prompted texts |
//! | A, R | in `sampler` | `[B, C, p+V]`, `[B, C, r]` | attention, what it draws |
//! | V | `vectors` | `[B, C, d]` | R in the space of the texts |
//!
//! Letters: B samples, C candidates, N channels, V joints, d width of CLIP's shared space.

mod config;
pub mod sampler;
#[cfg(test)]
mod tests;
pub mod text;

use std::cell::RefCell;

use szar_core::checkpoint::copy_into;
use szar_core::{
    Aligner, AlignerConfig, Capabilities, ClassList, Embedding, EncoderSpec, FeatureMap, FitContext,
    FitSummary, NamedTensors, Result, Scores, SeenFeatures, SemanticAnchors, shape,
};
use tch::{Device, Kind, Tensor, no_grad};

use super::maps::{self, Objective};
use super::training::{Sampling, same_classes, unit_rows};
pub use config::{Preset, ScopleConfig, Similarity};
use sampler::{Sampler, Sizes};
use text::{Prompts, TextBranch};

/// Vectors that are made at a time, one per sample and candidate; bounds the memory at some tens of MB.
const ROWS: i64 = 4096;
/// Class lists whose texts are kept: seen, unseen, both, and one more.
const KEPT: usize = 4;

/// The `scople` aligner; see the module's text.
#[derive(Debug)]
pub struct Scople {
    config: ScopleConfig,
    features: EncoderSpec,
    text: TextBranch,
    sampler: Sampler,
    /// Texts `[C, d]` of class lists scored before, newest last; empty after every change of the weights.
    known: RefCell<Vec<(ClassList, Tensor)>>,
}

impl Scople {
    /// An aligner with random weights from libtorch's generator.
    ///
    /// # Errors
    /// When the features are pooled, or CLIP's folder is missing, wrong or has fewer layers than are to be prompted.
    pub fn new(config: &ScopleConfig, features: &EncoderSpec, device: Device) -> Result<Self> {
        maps::refuse_pooled("scople", features)?;
        let text = TextBranch::new(config, device)?;
        let sizes = Sizes {
            channels: features.channels,
            text: text.width(),
            prompts: config.skeleton_prompts,
            key: config.key_width,
            value: config.value_width,
            hidden: config.hidden,
        };
        Ok(Self {
            config: config.clone(),
            features: *features,
            text,
            sampler: Sampler::new(sizes, device),
            known: RefCell::default(),
        })
    }

    /// `[C, d]`, without gradients: the prompted texts of these classes.
    fn texts(&self, classes: &ClassList) -> Result<Tensor> {
        if let Some((_, texts)) = self.known.borrow().iter().find(|(list, _)| list == classes) {
            return Ok(texts.shallow_clone());
        }
        let prompts = self.text.prompts(classes.names())?;
        let texts = no_grad(|| self.text.encode_in_parts(&prompts))?;
        let mut known = self.known.borrow_mut();
        if known.len() == KEPT {
            drop(known.remove(0));
        }
        known.push((classes.clone(), texts.shallow_clone()));
        Ok(texts)
    }

    fn forget(&self) {
        self.known.borrow_mut().clear();
    }

    /// Ready for a dot product along the last axis.
    fn prepare(&self, x: &Tensor) -> Tensor {
        match self.config.similarity {
            Similarity::Cosine => unit_rows(x),
            Similarity::Dot => x.shallow_clone(),
        }
    }

    fn expect_rows(&self, rows: &Tensor) -> Result<()> {
        let form = [None, Some(self.features.joints), Some(self.features.channels)];
        shape::expect("condensed features", rows, form)
    }

    /// `[B, C]`: every candidate scored with its own text as query.
    fn per_class(&self, rows: &Tensor, texts: &Tensor) -> Tensor {
        let classes = texts.size()[0].max(1);
        let probes = self.sampler.probes(texts);
        let prepared = self.prepare(texts);
        let parts = rows.split((ROWS / classes).max(1), 0);
        let score = |part: &Tensor| {
            let vectors = self.prepare(&self.sampler.vectors_of_all(part, &probes));
            (vectors * &prepared).sum_dim_intlist([-1i64].as_slice(), false, Kind::Float)
        };
        Tensor::cat(&parts.iter().map(score).collect::<Vec<_>>(), 0) / self.config.tau
    }

    /// All of the weights but CLIP's.
    fn parameters(&self) -> NamedTensors {
        let mut parameters = self.text.parameters();
        parameters.extend(self.sampler.parameters());
        parameters
    }
}

/// What training minimises.
struct Alignment<'a> {
    model: &'a Scople,
    classes: &'a ClassList,
    prompts: Prompts,
}

impl Objective for Alignment<'_> {
    fn terms(&self) -> &'static [&'static str] {
        &["loss", "motion-to-text", "text-to-motion"]
    }

    /// Symmetric cross entropy over the batch, eqs. 15 and 16. Every distinct class of the batch is encoded once.
    fn loss(&self, map: &FeatureMap, labels: &Tensor) -> Result<Tensor> {
        let model = self.model;
        let (present, column, _) = labels.internal_unique2(true, true, false);
        // Rows are picked by a product with 0 and 1, whose gradient is the same bits on every device.
        let pick = column.one_hot(present.size()[0]).to_kind(Kind::Float);
        let texts = model.text.encode(&self.prompts.select(&present))?;
        let rows = model.condense(map)?;
        let vectors = model
            .sampler
            .vectors(&rows, &pick.mm(&model.sampler.probes(&texts)));
        let by_class = model.prepare(&vectors).mm(&model.prepare(&texts).transpose(0, 1));
        let logits = by_class.mm(&pick.transpose(0, 1)) / model.config.tau;
        let own = Tensor::arange(labels.size()[0], (Kind::Int64, labels.device()));
        let forth = logits.cross_entropy_for_logits(&own);
        let back = logits.transpose(0, 1).cross_entropy_for_logits(&own);
        Ok(Tensor::stack(&[(&forth + &back) * 0.5, forth, back], 0))
    }

    fn logits(&self, map: &FeatureMap) -> Result<Tensor> {
        let rows = self.model.condense(map)?;
        Ok(self.model.per_class(&rows, &self.model.texts(self.classes)?))
    }

    fn parameters(&self) -> NamedTensors {
        self.model.parameters()
    }

    fn moved(&self) {
        self.model.forget();
    }
}

impl Aligner for Scople {
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
        let course = self.config.course();
        let mut plan = course.plan("scople", &self.config)?;
        plan.sampling = Sampling::Epoch {
            batch: course.batch,
            drop_last: false,
        };
        let objective = Alignment {
            model: self,
            classes: &anchors.classes,
            prompts: self.text.prompts(anchors.classes.names())?,
        };
        maps::train(objective, seen, &course, &plan, ctx)
    }

    fn score(&self, features: &FeatureMap, anchors: &SemanticAnchors) -> Result<Scores> {
        self.score_condensed(&self.condense(features)?, anchors)
    }

    /// `[B, V, N]`: the joints, mean over the frames.
    fn condense(&self, features: &FeatureMap) -> Result<Tensor> {
        maps::expect_map(features, &self.features)?;
        let joints = features.values.mean_dim([2i64].as_slice(), false, Kind::Float);
        Ok(joints.transpose(1, 2).contiguous())
    }

    fn score_condensed(&self, rows: &Tensor, anchors: &SemanticAnchors) -> Result<Scores> {
        self.expect_rows(rows)?;
        Ok(Scores {
            logits: self.per_class(rows, &self.texts(&anchors.classes)?),
        })
    }

    fn score_asked(
        &self,
        rows: &Tensor,
        anchors: &SemanticAnchors,
        askers: Option<&Tensor>,
        training: bool,
    ) -> Result<Scores> {
        if training {
            return Err(szar_core::Error::Input(
                "aligner `scople` has no training mode at test time".into(),
            ));
        }
        let Some(askers) = askers else {
            return self.score_condensed(rows, anchors);
        };
        self.expect_rows(rows)?;
        shape::expect("askers", askers, [Some(rows.size()[0])])?;
        let texts = self.texts(&anchors.classes)?;
        let probes = self.sampler.probes(&texts).f_index_select(0, askers)?;
        let vectors = self.prepare(&self.sampler.vectors(rows, &probes));
        Ok(Scores {
            logits: vectors.mm(&self.prepare(&texts).transpose(0, 1)) / self.config.tau,
        })
    }

    /// What the mean text of the candidates draws from each sample, which is the same for every candidate.
    fn embed(&self, features: &FeatureMap, anchors: &SemanticAnchors) -> Result<Embedding> {
        let rows = self.condense(features)?;
        let texts = self.texts(&anchors.classes)?;
        let mean = texts.mean_dim([0i64].as_slice(), true, Kind::Float);
        let probes = self.sampler.probes(&mean).expand([rows.size()[0], -1], false);
        Ok(Embedding {
            visual: self.prepare(&self.sampler.vectors(&rows, &probes)),
            classes: self.prepare(&texts),
        })
    }

    /// What is learned; CLIP's weights stay in their folder. Texts are remembered between calls, so weights are to be
    /// changed through [`Aligner::load_state`].
    fn state(&self) -> NamedTensors {
        self.parameters()
    }

    fn load_state(&mut self, state: &NamedTensors) -> Result<()> {
        copy_into(&self.state(), state, |_| false)?;
        self.forget();
        Ok(())
    }
}
