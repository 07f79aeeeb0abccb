//! The loop that trains aligners: rounds of steps, a learning rate that falls, the best weights by what seen validation
//! samples say, early stopping, checkpoints, and a loss that is no number found by its batch and term.
//!
//! An aligner writes a [`Lesson`]; [`run`] does the rest. A round is an epoch, or a cycle of VAE schedules.

mod dense;
mod plan;
mod trainer;

use szar_core::optim::Optimiser;
use szar_core::{
    Error, FitContext, FitSummary, Granularity, NamedTensors, Result, SeenFeatures, SemanticAnchors,
};
use tch::Tensor;

pub use dense::{Dense, Init, set_trainable};
pub use plan::{Plan, PlateauConfig, Rate, Sampling};
pub(super) use trainer::epoch;

/// Where in the training a step is.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct At {
    /// Round, from 0.
    pub round: u32,
    /// Step of the round, from 0.
    pub step: u64,
    /// Steps of the round.
    pub steps: u64,
    /// Learning rate in force.
    pub lr: f64,
}

/// What the validation samples say of the weights.
#[derive(Debug)]
pub enum Measure {
    /// `[1]`, a loss; the lower the better.
    Loss(Tensor),
    /// `[1]`, share of right answers in percent; the higher the better.
    Top1(Tensor),
    /// There are no validation samples: the last weights are kept.
    Nothing,
}

/// What is trained, and how one step goes.
pub trait Lesson {
    /// Names of the values that [`Self::step`] gives, for messages; the first is the whole loss.
    fn terms(&self) -> &'static [&'static str];

    /// One update on the training samples `rows` (`[b]` i64): forward, backward, optimisers. Gives the terms `[terms]`
    /// of the loss before it, detached and still on the device.
    ///
    /// # Errors
    /// When a component refuses.
    fn step(&mut self, rows: &Tensor, at: At) -> Result<Tensor>;

    /// Judges the weights on seen validation samples, in evaluation mode; called without gradients.
    ///
    /// # Errors
    /// When a component refuses.
    fn validate(&mut self, round: u32) -> Result<Measure>;

    /// Everything that is learned, buffers included, sharing memory.
    fn weights(&self) -> NamedTensors;

    /// The optimisers by name.
    fn optimisers(&mut self) -> Vec<(&'static str, &mut Optimiser)>;
}

/// Trains from the start, or from the checkpoint of `ctx`, and leaves the weights of the best round in place.
///
/// # Errors
/// [`Error::Cancelled`] when asked to stop; [`Error::Input`] when the loss is no number, naming round, batch and term.
pub fn run(lesson: &mut dyn Lesson, plan: &Plan, samples: usize, ctx: &mut FitContext) -> Result<FitSummary> {
    trainer::Trainer::new(lesson, plan, samples, ctx)?.run()
}

/// Refuses a list of texts that lacks one the aligner wants.
///
/// # Errors
/// [`Error::Unknown`] with the names there are.
pub fn require<'a>(
    aligner: &str,
    wanted: impl IntoIterator<Item = &'a Granularity>,
    there: &[Granularity],
) -> Result<()> {
    match wanted.into_iter().find(|g| !there.contains(g)) {
        None => Ok(()),
        Some(lacking) => {
            let known = there.iter().map(ToString::to_string);
            let error = Error::unknown("granularity", lacking.as_str(), known);
            Err(error.context(format!("aligner `{aligner}`")))
        }
    }
}

/// Refuses anchors of other classes than the labels'.
///
/// # Errors
/// [`Error::Input`].
pub fn same_classes(seen: &SeenFeatures, anchors: &SemanticAnchors) -> Result<()> {
    if anchors.classes == *seen.train.labels.classes() {
        Ok(())
    } else {
        Err(Error::Input(
            "the anchors are not those of the seen classes".into(),
        ))
    }
}

/// A tensor that was seen, to tell whether another is the very same, not written to since. It is held, so that no other
/// takes its place in memory.
#[derive(Debug)]
pub struct Seen {
    tensor: Tensor,
    version: i64,
}

impl Seen {
    /// Remembers a tensor.
    pub fn new(tensor: &Tensor) -> Self {
        Self {
            tensor: tensor.shallow_clone(),
            version: tensor.internal_version(),
        }
    }

    /// Is it this one, with the values it had?
    pub fn is(&self, other: &Tensor) -> bool {
        self.tensor.data_ptr() == other.data_ptr()
            && self.tensor.size() == other.size()
            && self.tensor.stride() == other.stride()
            && self.tensor.kind() == other.kind()
            && self.version == other.internal_version()
    }
}

/// Rows brought to length 1 (those shorter than 1e-12 divided by that).
pub fn unit_rows(x: &Tensor) -> Tensor {
    x / x.norm_scalaropt_dim(2, [-1i64].as_slice(), true).clamp_min(1e-12)
}

#[cfg(test)]
mod tests;
