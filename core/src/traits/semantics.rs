//! From class names to semantic anchors.

use std::fmt::Debug;

use tch::Tensor;

use crate::component::{BuildContext, Mark};
use crate::types::{ClassList, Granularity, SemanticAnchors};
use crate::{Problems, Result};

/// Gives the text side of every class.
pub trait SemanticProvider: Send {
    /// Anchors of the given classes, rows in their order, on the pipeline's device.
    ///
    /// # Errors
    /// When a class has no description, naming it.
    fn anchors(&mut self, classes: &ClassList) -> Result<SemanticAnchors>;

    /// [`TextEncoder::fingerprint`] of what turns its texts into vectors, from providers that can encode new texts.
    fn text_encoder(&self) -> Option<String> {
        None
    }

    /// The text encoder with a prompt whose context can be tuned, for providers whose options say `prompts`.
    ///
    /// # Errors
    /// When the prompt cannot be made for these classes.
    fn prompt_tower(&mut self, classes: &ClassList) -> Result<Option<Box<dyn PromptTower>>> {
        let _ = classes;
        Ok(None)
    }
}

/// A text encoder reading one prompt per class, whose first words are vectors that can be tuned (CoOp, TPT).
pub trait PromptTower: Debug + Send {
    /// `[n, H]`: the context's vectors as the words give them.
    fn context(&self) -> Tensor;

    /// `[C, d]`, rows of length 1: the classes' texts with this context; differentiable in it.
    ///
    /// # Errors
    /// [`crate::Error::Shape`] when the context has another shape.
    fn texts(&self, context: &Tensor) -> Result<Tensor>;
}

/// Options of a semantic provider.
#[typetag::serde(tag = "type")]
pub trait SemanticsConfig: Debug + Send + Sync {
    /// Judges the options alone; touches nothing.
    fn validate(&self, problems: &mut Problems);

    /// Names of the texts it gives per class.
    fn granularities(&self) -> Vec<Granularity>;

    /// Width d of the anchors, when the options alone tell it.
    fn width(&self) -> Option<i64> {
        None
    }

    /// Does it give a [`PromptTower`]?
    fn prompts(&self) -> bool {
        false
    }

    /// Remarks for the report.
    fn marks(&self) -> Vec<Mark> {
        Vec::new()
    }

    /// Opens files and models.
    ///
    /// # Errors
    /// When files are missing or wrong.
    fn build(&self, ctx: &BuildContext) -> Result<Box<dyn SemanticProvider>>;
}

/// Turns texts into vectors.
pub trait TextEncoder: Send {
    /// Width d of the vectors.
    fn width(&self) -> i64;

    /// `[n, d]` f32 on the CPU, one row per text.
    ///
    /// # Errors
    /// When a text cannot be encoded.
    fn encode(&mut self, texts: &[String]) -> Result<Tensor>;

    /// One prompt per name, the words of `context` and the name, with the context's vectors open to tuning; `None`
    /// from encoders that cannot.
    ///
    /// # Errors
    /// When the prompts cannot be made.
    fn prompt_tower(&mut self, names: &[String], context: &str) -> Result<Option<Box<dyn PromptTower>>> {
        let _ = (names, context);
        Ok(None)
    }

    /// Names the model and its weights, so that cached vectors are never mixed up between models.
    fn fingerprint(&self) -> String;
}

/// Options of a text encoder.
#[typetag::serde(tag = "type")]
pub trait TextEncoderConfig: Debug + Send + Sync {
    /// Judges the options alone; touches nothing.
    fn validate(&self, problems: &mut Problems);

    /// Width d, when the options alone tell it.
    fn width(&self) -> Option<i64> {
        None
    }

    /// Does its encoder give a [`PromptTower`]?
    fn prompts(&self) -> bool {
        false
    }

    /// Loads the model.
    ///
    /// # Errors
    /// When files are missing or wrong.
    fn build(&self, ctx: &BuildContext) -> Result<Box<dyn TextEncoder>>;
}
