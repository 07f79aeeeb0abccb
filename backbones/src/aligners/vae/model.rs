//! The aligner around a family of networks.

use std::cell::RefCell;
use std::fmt::Debug;

use szar_core::checkpoint::copy_into;
use szar_core::{
    Aligner, Capabilities, Embedding, EncoderSpec, Error, FeatureMap, FitContext, FitSummary, Granularity,
    Linear, NamedTensors, Result, Scores, Seed, SeenFeatures, SemanticAnchors, shape,
};
use tch::{Kind, Tensor, no_grad};

use super::super::training::{self, Measure, same_classes, set_trainable, unit_rows};
use super::judge::{Judge, Memory};
use super::{ClassifierConfig, Common, Encoder, Posterior, Samples, Scoring, Similarity, classifier, names};

/// The encoders of a family.
#[derive(Debug)]
pub struct Parts<'a> {
    /// Encodes the motion; the first dimensions are those the texts share.
    pub motion: &'a Encoder,
    /// Encode texts; their latents stand side by side.
    pub texts: Vec<&'a Encoder>,
}

/// Networks, and how they are trained.
pub trait Family: Debug + Send + Sized {
    /// Name of the aligner.
    const NAME: &'static str;

    /// The encoders.
    fn parts(&self) -> Parts<'_>;

    /// Everything that is learned, under official names, sharing memory.
    fn state(&self) -> NamedTensors;

    /// The tensors that gradients reach, under names of our own.
    fn parameters(&self) -> NamedTensors;

    /// The gradients of the parameters, under official names.
    fn gradients(&self) -> NamedTensors;

    /// May a state lack this entry?
    fn optional(_name: &str) -> bool {
        false
    }

    /// Trains `model` on these samples.
    ///
    /// # Errors
    /// As [`Aligner::fit`].
    fn fit(model: &Vae<Self>, samples: &Samples, ctx: &mut FitContext) -> Result<FitSummary>;
}

/// An aligner with one latent space for motion and text.
#[derive(Debug)]
pub struct Vae<F> {
    /// The networks.
    pub family: F,
    /// Options that scoring depends on.
    pub common: Common,
    seed: Seed,
    memory: RefCell<Memory>,
}

impl<F: Family> Vae<F> {
    /// An aligner of these networks; `make` is given the widths of features and of the texts of each encoder.
    ///
    /// # Errors
    /// [`Error::Unknown`] when a text is missing.
    pub fn new(
        common: Common,
        features: &EncoderSpec,
        granularities: &[Granularity],
        width: i64,
        seed: Seed,
        make: impl FnOnce(i64, &[i64]) -> F,
    ) -> Result<Self> {
        training::require(F::NAME, &common.granularities(), granularities)?;
        let widths: Vec<i64> = common
            .texts
            .iter()
            .map(|texts| texts.len() as i64 * width)
            .collect();
        Ok(Self {
            family: make(features.channels, &widths),
            common,
            seed: seed.derive(F::NAME, 0),
            memory: RefCell::default(),
        })
    }

    /// L, the latent dimensions that motion and text share.
    pub fn latent(&self) -> i64 {
        self.family.parts().texts.iter().map(|e| e.latent()).sum()
    }

    /// `[B, N]`, checked.
    ///
    /// # Errors
    /// [`Error::Shape`] for other channels.
    pub fn pooled(&self, features: &FeatureMap) -> Result<Tensor> {
        self.check_features(features)?;
        Ok(features.pooled())
    }

    fn check_features(&self, features: &FeatureMap) -> Result<()> {
        let channels = self.family.parts().motion.inputs();
        shape::expect(
            "feature map",
            &features.values,
            [None, Some(channels), None, None],
        )
    }

    /// The unit texts of each encoder, `[C, ·]`.
    ///
    /// # Errors
    /// [`Error::Shape`] for another width; [`Error::Unknown`] when a text is missing; [`Error::Input`] without classes.
    pub fn texts(&self, anchors: &SemanticAnchors) -> Result<Vec<Tensor>> {
        if anchors.classes.is_empty() {
            return Err(Error::Input(format!(
                "aligner `{}` was given no class to score",
                F::NAME
            )));
        }
        let encoders = self.family.parts().texts;
        let of = |(encoder, wanted): (&&Encoder, &Vec<Granularity>)| {
            let width = encoder.inputs() / wanted.len() as i64;
            shape::expect("semantic anchors", &anchors.values, [None, None, Some(width)])?;
            let texts: Result<Vec<_>> = wanted.iter().map(|g| anchors.granularity(g)).collect();
            let texts = texts.map_err(|e| e.context(format!("aligner `{}`", F::NAME)))?;
            Ok(unit_rows(&Tensor::cat(&texts, 1).to_kind(Kind::Float)))
        };
        encoders.iter().zip(&self.common.texts).map(of).collect()
    }

    /// Latent means `[.., L]` of features `[.., N]`.
    pub fn means(&self, features: &Tensor) -> Tensor {
        self.family.parts().motion.means(features, self.latent())
    }

    /// Latent means `[C, L]` of texts.
    fn text_means(&self, texts: &[Tensor]) -> Tensor {
        let encoders = self.family.parts().texts;
        let means = encoders.iter().zip(texts).map(|(e, t)| e.means(t, e.latent()));
        Tensor::cat(&means.collect::<Vec<_>>(), 1)
    }

    /// What the encoders say of texts.
    pub fn posteriors(&self, texts: &[Tensor]) -> Vec<Posterior> {
        let encoders = self.family.parts().texts;
        encoders.iter().zip(texts).map(|(e, t)| e.posterior(t)).collect()
    }

    /// What candidates with these texts are scored with.
    fn judge(&self, texts: &[Tensor], classifier: &ClassifierConfig) -> Judge {
        let Common {
            similarity, scale, ..
        } = self.common;
        match self.common.scoring {
            Scoring::Classifier => {
                let posteriors = no_grad(|| self.posteriors(texts));
                let noise = self.common.noise;
                Judge::Classifier(classifier::train(
                    &posteriors,
                    texts,
                    noise,
                    classifier,
                    self.seed,
                ))
            }
            Scoring::Latent => Judge::Latent {
                classes: match similarity {
                    Similarity::Dot => Tensor::cat(texts, 1),
                    Similarity::Cosine | Similarity::Distance => self.text_means(texts),
                },
                similarity,
                scale,
            },
        }
    }

    /// Rows as [`Aligner::condense`] gives them, from latent means.
    fn condensed(&self, means: Tensor) -> Tensor {
        if !self.common.is_linear() {
            return means;
        }
        let mut start = 0;
        let parts = self.family.parts().texts.into_iter().map(|encoder| {
            let own = means.narrow(-1, start, encoder.latent());
            start += encoder.latent();
            own.matmul(&encoder.mean_weight())
        });
        Tensor::cat(&parts.collect::<Vec<_>>(), -1)
    }

    /// Share of seen validation samples that are recognised among the seen classes, in percent.
    pub fn recognised(&self, samples: &Samples) -> Measure {
        if samples.validation.labels.numel() == 0 {
            return Measure::Nothing;
        }
        let judge = self.judge(&samples.texts, &self.common.classifier.for_validation());
        let logits = judge.logits(&self.condensed(self.means(&samples.validation.features)));
        let right = logits.argmax(-1, false).eq_tensor(&samples.validation.labels);
        Measure::Top1(right.to_kind(Kind::Float).mean(Kind::Float).view([1]) * 100.0)
    }

    fn score_rows(&self, rows: &Tensor, anchors: &SemanticAnchors) -> Result<Scores> {
        let width = if self.common.is_linear() {
            self.family.parts().texts.iter().map(|e| e.inputs()).sum()
        } else {
            self.latent()
        };
        shape::expect("condensed features", rows, [None, Some(width)])?;
        if wants_gradient(&anchors.values) {
            return self.score_differentiably(rows, anchors);
        }
        let mut memory = self.memory.borrow_mut();
        if let Some(judge) = memory.of_tensor(anchors) {
            return Ok(Scores {
                logits: judge.logits(rows),
            });
        }
        let texts = self.texts(anchors)?;
        if let Some(judge) = memory.of_texts(&texts, anchors) {
            return Ok(Scores {
                logits: judge.logits(rows),
            });
        }
        let judge = self.judge(&texts, &self.common.classifier);
        let logits = judge.logits(rows);
        memory.keep(judge, texts, anchors);
        Ok(Scores { logits })
    }

    fn score_differentiably(&self, rows: &Tensor, anchors: &SemanticAnchors) -> Result<Scores> {
        if self.common.scoring == Scoring::Classifier {
            return Err(Error::Input(format!(
                "the scores of aligner `{}` have no gradient in the anchors: a classifier trained on samples of their latents lies \
                 between; use `scoring: latent`",
                F::NAME
            )));
        }
        let judge = self.judge(&self.texts(anchors)?, &self.common.classifier);
        Ok(Scores {
            logits: judge.logits(rows),
        })
    }
}

/// Would a result made of `x` here and now carry a gradient back to it?
fn wants_gradient(x: &Tensor) -> bool {
    x.requires_grad() && (x.narrow(0, 0, 0) * 1.0).requires_grad()
}

impl<F: Family> Aligner for Vae<F> {
    fn capabilities(&self) -> Capabilities {
        self.common.capabilities()
    }

    fn fit(
        &mut self,
        seen: &SeenFeatures,
        anchors: &SemanticAnchors,
        ctx: &mut FitContext,
    ) -> Result<FitSummary> {
        same_classes(seen, anchors)?;
        let texts = self.texts(anchors)?.iter().map(Tensor::detach).collect();
        let samples = Samples::new(self, seen, texts)?;
        self.memory.borrow_mut().clear();
        set_trainable(&self.family.parameters(), true);
        let summary = F::fit(self, &samples, ctx);
        set_trainable(&self.family.parameters(), false);
        summary
    }

    /// With `scoring: classifier` the first call for a list of candidates trains their classifier; it is kept for the calls
    /// after, until the weights change.
    fn score(&self, features: &FeatureMap, anchors: &SemanticAnchors) -> Result<Scores> {
        self.score_rows(&self.condense(features)?, anchors)
    }

    /// Latent means `[B, L]`; what they ask of the texts, `[B, d]`, where scores are dot products with the anchors.
    fn condense(&self, features: &FeatureMap) -> Result<Tensor> {
        Ok(self.condensed(self.means(&self.pooled(features)?)))
    }

    fn score_condensed(&self, rows: &Tensor, anchors: &SemanticAnchors) -> Result<Scores> {
        self.score_rows(rows, anchors)
    }

    fn linear(&self, anchors: &SemanticAnchors) -> Result<Option<Linear>> {
        if !self.common.is_linear() {
            return Ok(None);
        }
        let wanted = self.common.granularities();
        let slots: Result<Vec<_>> = wanted
            .iter()
            .map(|g| anchors.slot(g).map(|s| s as usize))
            .collect();
        // Several unit texts of one encoder are brought to length 1 together.
        let together = self.common.texts.iter().map(Vec::len).max().unwrap_or(1);
        Ok(Some(Linear {
            granularities: slots?,
            scale: self.common.scale / (together as f64).sqrt(),
        }))
    }

    fn embed(&self, features: &FeatureMap, anchors: &SemanticAnchors) -> Result<Embedding> {
        Ok(Embedding {
            visual: self.means(&self.pooled(features)?),
            classes: self.text_means(&self.texts(anchors)?),
        })
    }

    fn embed_nodes(&self, features: &FeatureMap, _: &SemanticAnchors) -> Result<Tensor> {
        self.check_features(features)?;
        let nodes = features.values.to_kind(Kind::Float).flatten(2, 3).transpose(1, 2);
        Ok(self.means(&nodes))
    }

    fn state(&self) -> NamedTensors {
        self.family.state()
    }

    /// Also takes official checkpoints, one file a network, under the initials of the files.
    fn load_state(&mut self, state: &NamedTensors) -> Result<()> {
        copy_into(&self.family.state(), &names::canonical(state)?, F::optional)?;
        self.memory.borrow_mut().clear();
        Ok(())
    }
}
