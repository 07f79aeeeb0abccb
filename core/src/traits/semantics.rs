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

    /// Loads the model.
    ///
    /// # Errors
    /// When files are missing or wrong.
    fn build(&self, ctx: &BuildContext) -> Result<Box<dyn TextEncoder>>;
}
