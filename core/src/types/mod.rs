//! The values that flow through a pipeline.

mod batch;
mod class;
mod layout;
mod path;
mod seen;

pub use batch::{FeatureMap, Granularity, Scores, SemanticAnchors, SkeletonBatch};
pub use class::{ClassId, ClassList, ClassSplit, Column};
pub use layout::{Part, SkeletonLayout};
pub use path::FilePath;
pub use seen::{SeenFeatures, SeenLabels, SeenSet};
