//! Where skeleton sequences come from.

use std::fmt::Debug;
use std::sync::Arc;

use serde::{Deserialize, Serialize};

use super::{FeatureForm, RecordedFeatures};
use crate::component::{BuildContext, Mark};
use crate::types::{ClassId, ClassList, ClassSplit, SkeletonLayout};
use crate::{Problems, Result};

/// What a sample may be used for under the dataset's protocol (cross-subject, say).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum SampleRole {
    /// Training part: of seen classes, may be learned from.
    Train,
    /// Test part of the seen classes.
    Test,
    /// Belongs to neither part of the published protocol.
    Outside,
}

/// What is known of a sample without reading it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct SampleInfo {
    /// Name in the source.
    pub name: String,
    /// Its class.
    pub class: ClassId,
    /// Subject number, where known.
    pub subject: Option<i64>,
    /// Part of the protocol.
    pub role: SampleRole,
    /// False when the source flags it as unusable; such samples are never trained or tested on.
    pub usable: bool,
}

/// One raw sequence.
#[derive(Clone, Debug, PartialEq)]
pub struct Sequence {
    /// `[T, M, V, 3]` row-major, metres, +y up, right-handed; a joint that was not tracked is (0, 0, 0).
    pub joints: Vec<f32>,
    /// T.
    pub frames: usize,
    /// M.
    pub persons: usize,
    /// Frames per second, nominal.
    pub fps: f32,
}

/// What is known of a dataset once it is opened.
#[derive(Clone, Debug)]
pub struct DatasetInfo {
    /// Short name for reports.
    pub name: String,
    /// The skeleton.
    pub layout: Arc<SkeletonLayout>,
    /// All classes, also those outside the split.
    pub classes: ClassList,
    /// M, persons at most.
    pub persons: usize,
    /// A sentence that every report shows when the data is not recorded from people.
    pub synthetic: Option<String>,
}

/// An opened dataset. [`Sync`], so that sequences are read on all cores.
pub trait Dataset: Send + Sync {
    /// Name, layout, classes.
    fn info(&self) -> &DatasetInfo;

    /// All samples, in the order of the source.
    fn samples(&self) -> &[SampleInfo];

    /// Reads one sequence.
    ///
    /// # Errors
    /// When the file is missing, truncated or not as the format says; the error names file and place.
    fn load(&self, sample: usize) -> Result<Sequence>;

    /// The seen/unseen split that the configuration asks for.
    ///
    /// # Errors
    /// When the split file is missing, the name unknown or a class absent.
    fn split(&self) -> Result<ClassSplit>;

    /// The features that this dataset holds in place of sequences, which [`Self::load`] then refuses. Default: none.
    fn features(&self) -> Option<&dyn RecordedFeatures> {
        None
    }
}

/// Options of a dataset.
#[typetag::serde(tag = "type")]
pub trait DatasetConfig: Debug + Send + Sync {
    /// Judges the options alone; touches nothing.
    fn validate(&self, problems: &mut Problems);

    /// Layout and persons, when the options alone tell them.
    fn layout(&self) -> Option<(Arc<SkeletonLayout>, i64)> {
        None
    }

    /// Form of the features that the dataset brings in place of sequences; `None` for one of skeletons.
    fn features(&self) -> Option<FeatureForm> {
        None
    }

    /// Remarks for the report.
    fn marks(&self) -> Vec<Mark> {
        Vec::new()
    }

    /// Opens the dataset.
    ///
    /// # Errors
    /// When files are missing or wrong.
    fn build(&self, ctx: &BuildContext) -> Result<Box<dyn Dataset>>;
}
