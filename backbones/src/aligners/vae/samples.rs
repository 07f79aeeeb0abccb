//! Training and validation samples, ready for steps.

use rand_chacha::ChaCha8Rng;
use szar_core::{Result, Seed, SeenFeatures, SeenSet};
use tch::Tensor;

use super::super::training::At;
use super::{Family, Vae};

/// Pooled features and labels of a set.
#[derive(Debug)]
pub struct Part {
    /// `[n, N]`.
    pub features: Tensor,
    /// `[n]` i64, columns of the seen classes.
    pub labels: Tensor,
}

/// What an aligner is trained on.
#[derive(Debug)]
pub struct Samples {
    /// To learn from.
    pub train: Part,
    /// To choose on.
    pub validation: Part,
    /// Unit texts of the seen classes, `[S, ·]` per text encoder.
    pub texts: Vec<Tensor>,
}

/// The random numbers of a training, begun anew from the seed in every round, so that one that was interrupted goes on with
/// the same.
pub struct Draws {
    seed: Seed,
    name: &'static str,
    rng: ChaCha8Rng,
}

impl Draws {
    /// Those of a training of `name`.
    pub fn new(seed: Seed, name: &'static str) -> Self {
        Self {
            seed,
            name,
            rng: seed.rng(),
        }
    }

    /// The generator for a step.
    pub fn at(&mut self, at: At) -> &mut ChaCha8Rng {
        if at.step == 0 {
            let purpose = format!("{}-noise", self.name);
            self.rng = self.seed.derive(&purpose, u64::from(at.round)).rng();
        }
        &mut self.rng
    }
}

/// The samples of a step.
#[derive(Debug)]
pub struct Batch {
    /// `[B, N]`.
    pub motion: Tensor,
    /// `[B, ·]` per text encoder, each sample's class.
    pub texts: Vec<Tensor>,
    /// `[B]` i64.
    pub labels: Tensor,
}

impl Samples {
    /// Pools the features and checks them.
    ///
    /// # Errors
    /// [`szar_core::Error::Shape`] for other channels.
    pub fn new<F: Family>(model: &Vae<F>, seen: &SeenFeatures, texts: Vec<Tensor>) -> Result<Self> {
        let part = |set: &SeenSet| -> Result<Part> {
            Ok(Part {
                features: model.pooled(&set.features)?.detach(),
                labels: set.labels.columns().shallow_clone(),
            })
        };
        Ok(Self {
            train: part(&seen.train)?,
            validation: part(&seen.validation)?,
            texts,
        })
    }

    /// Training samples by their rows.
    pub fn batch(&self, rows: &Tensor) -> Batch {
        let labels = self.train.labels.index_select(0, rows);
        Batch {
            motion: self.train.features.index_select(0, rows),
            texts: self.texts.iter().map(|t| t.index_select(0, &labels)).collect(),
            labels,
        }
    }
}
