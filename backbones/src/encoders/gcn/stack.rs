//! A network that is a stack of blocks between the norm of its input and its classifier.
//!
//! Parameters stand under `data_bn`, `l1`, `l2`, .. and `fc`. Inside, activations are `[n, V, T, C]`.

use std::fmt::Debug;

use szar_core::{NamedTensors, Result, SkeletonLayout};
use tch::{Device, Kind, Tensor, no_grad};

use super::joints::{frames_first, joints_first};
use super::{COORDINATES, Folded, InputAffine, InputNorm, Network, start};
use crate::encoders::layers::Conv;

/// A block of a [`Stack`], with its parameters.
pub trait Block: Debug + Send {
    /// Name of the encoder.
    const NAME: &'static str;

    /// The block as it is evaluated.
    type Folded: FoldedBlock;

    /// Adds parameters and statistics under `prefix`.
    fn collect(&self, prefix: &str, into: &mut NamedTensors);

    /// Training mode, `[n, V, T, C_in]` of `kind` to `[n, V, T', C_out]`.
    fn train(&self, x: &Tensor, kind: Kind) -> Tensor;

    /// With normalisations in the products before them.
    fn fold(&self, kind: Kind) -> Self::Folded;

    /// Whether the learned graph is left as it is by what is trained next.
    fn freeze_graph(&self, frozen: bool) {
        let _ = frozen;
    }

    /// Gives the weights of other published code the names that are used here.
    ///
    /// # Errors
    /// When they were made for another skeleton.
    fn translate(given: &mut NamedTensors, layout: &SkeletonLayout) -> Result<()> {
        let _ = (given, layout);
        Ok(())
    }
}

/// A [`Block`] as it is evaluated, without gradients.
pub trait FoldedBlock: Debug + Send {
    /// `[n, V, T, C_in]` to `[n, V, T', C_out]`.
    fn forward(&self, x: &Tensor) -> Tensor;
}

/// Norm of the input, blocks, classifier.
#[derive(Debug)]
pub struct Stack<B> {
    input_norm: Option<InputNorm>,
    blocks: Vec<B>,
    /// Weight `[S, N]`.
    classifier: Conv,
    frozen_epochs: u32,
}

impl<B> Stack<B> {
    /// Blocks that give `features` channels, with a classifier of `classes` classes; their graphs stay as they are in
    /// the first `frozen_epochs` epochs.
    pub fn new(
        input_norm: Option<InputNorm>,
        blocks: Vec<B>,
        features: i64,
        classes: i64,
        frozen_epochs: u32,
        device: Device,
    ) -> Self {
        Self {
            input_norm,
            blocks,
            classifier: start::classifier(features, classes.max(1), device),
            frozen_epochs,
        }
    }
}

impl<B: Block> Network for Stack<B> {
    const NAME: &'static str = B::NAME;
    type Folded = FoldedStack<B::Folded>;

    fn state(&self) -> NamedTensors {
        let mut state = NamedTensors::new();
        if let Some(norm) = &self.input_norm {
            norm.collect("data_bn", &mut state);
        }
        for (i, block) in self.blocks.iter().enumerate() {
            block.collect(&format!("l{}", i + 1), &mut state);
        }
        self.classifier.collect("fc", &mut state);
        state
    }

    fn head(&self) -> (&Tensor, &Tensor) {
        (&self.classifier.weight, &self.classifier.bias)
    }

    fn accept(&self, given: &mut NamedTensors, layout: &SkeletonLayout) -> Result<()> {
        B::translate(given, layout)?;
        if let Some(norm) = &self.input_norm {
            norm.fit_persons("data_bn", given);
        }
        Ok(())
    }

    fn train(&self, x: &Tensor, slots: &[i64], kind: Kind) -> Tensor {
        let normed = self.input_norm.as_ref().map(|norm| norm.train(x, slots));
        let x = joints_first(normed.as_ref().unwrap_or(x)).to_kind(kind);
        let last = self.blocks.iter().fold(x, |x, block| block.train(&x, kind));
        frames_first(&last)
    }

    fn fold(&self, kind: Kind) -> Self::Folded {
        no_grad(|| FoldedStack {
            kind,
            input: self.input_norm.as_ref().map(|norm| norm.affine(COORDINATES)),
            blocks: self.blocks.iter().map(|block| block.fold(kind)).collect(),
        })
    }

    fn begin_epoch(&self, epoch: u32) {
        for block in &self.blocks {
            block.freeze_graph(epoch < self.frozen_epochs);
        }
    }
}

/// A [`Stack`] as it is evaluated.
#[derive(Debug)]
pub struct FoldedStack<F> {
    kind: Kind,
    input: Option<InputAffine>,
    blocks: Vec<F>,
}

impl<F: FoldedBlock> Folded for FoldedStack<F> {
    fn forward(&self, x: &Tensor, slots: &[i64], tap: &mut dyn FnMut(&Tensor)) -> Tensor {
        let normed = self.input.as_ref().map(|input| input.apply(x, slots));
        let x = joints_first(normed.as_ref().unwrap_or(x)).to_kind(self.kind);
        let last = self.blocks.iter().fold(x, |x, block| {
            let y = block.forward(&x);
            tap(&frames_first(&y));
            y
        });
        frames_first(&last.to_kind(Kind::Float))
    }
}
