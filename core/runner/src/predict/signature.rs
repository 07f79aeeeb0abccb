//! What a trained model takes and was made for, in `model.json` beside its weights, so that it can be asked about other
//! sequences without the data it was trained on.

use std::path::Path;
use std::sync::Arc;

use serde::{Deserialize, Serialize};
use szar_core::checkpoint::write_atomically;
use szar_core::descriptors::{self, TemporalSplit};
use szar_core::{
    ClassId, ClassList, EncoderSpec, Error, FeatureMap, Granularity, InputSpec, Result, SkeletonLayout,
};

/// Its name in a run's folder.
pub(crate) const FILE: &str = "model.json";

/// What `model.json` says.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Signature {
    /// The skeleton of the sequences.
    pub layout: SkeletonLayout,
    /// T, frames after preprocessing.
    pub frames: i64,
    /// M, persons at most.
    pub persons: i64,
    /// Number and name of the classes that it learned from.
    pub seen: Vec<(ClassId, String)>,
    /// Those that it did not.
    pub unseen: Vec<(ClassId, String)>,
    /// The features that the aligner scores.
    pub features: EncoderSpec,
    /// Do the eight descriptors stand beside pooled features?
    pub descriptors: bool,
    /// The anchors.
    pub texts: Texts,
}

/// The anchors that the aligner was trained on.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Texts {
    /// G, by name.
    pub granularities: Vec<Granularity>,
    /// d.
    pub width: i64,
    /// Fingerprint of the text encoder, where there is one.
    pub encoder: Option<String>,
}

impl Signature {
    /// Writes the file.
    ///
    /// # Errors
    /// When the folder cannot be written.
    pub fn save(&self, path: &Path) -> Result<()> {
        let text =
            serde_json::to_string_pretty(self).map_err(|e| Error::format(path, None, e.to_string()))?;
        write_atomically(path, text.as_bytes())
    }

    /// Reads the file.
    ///
    /// # Errors
    /// When it is missing, or not as it was written.
    pub fn load(path: &Path) -> Result<Self> {
        let text = match std::fs::read_to_string(path) {
            Err(e) if e.kind() == std::io::ErrorKind::NotFound => {
                let why = "is missing: an older szar made this run\n\nhint: run its `config.yaml` again with `--fresh`";
                return Err(Error::format(path, None, why));
            }
            other => other.map_err(|e| Error::read(path, e))?,
        };
        let damaged = |why: String| Error::format(path, None, why);
        let this: Self = serde_json::from_str(&text).map_err(|e| damaged(e.to_string()))?;
        this.layout.validate().map_err(|e| damaged(e.to_string()))?;
        this.classes().map_err(|e| damaged(e.to_string()))?;
        if this.persons < 1 || this.frames < 1 || this.layout.is_empty() {
            let (persons, frames, joints) = (this.persons, this.frames, this.layout.len());
            return Err(damaged(format!(
                "names {persons} persons, {frames} frames and {joints} joints, expected at least 1 of each"
            )));
        }
        Ok(this)
    }

    /// Seen and unseen classes.
    pub fn classes(&self) -> Result<ClassList> {
        ClassList::new(self.seen.iter().chain(&self.unseen).cloned())
    }

    /// What the encoder is built for.
    pub fn input(&self) -> InputSpec {
        InputSpec {
            layout: Arc::new(self.layout.clone()),
            frames: self.frames,
            persons: self.persons,
            seen_classes: self.seen.len() as i64,
        }
    }

    /// The features of the encoder in the form that the aligner was trained on.
    ///
    /// # Errors
    /// When the map has not the joints that descriptors need.
    pub fn form(&self, map: FeatureMap) -> Result<FeatureMap> {
        if !self.features.is_pooled() || map.is_pooled() {
            return Ok(map);
        }
        let pooled = FeatureMap::from_pooled(&map.pooled())?;
        if !self.descriptors {
            return Ok(pooled);
        }
        let wanted = &Granularity::PURLS_ORDER;
        pooled.with_descriptors(descriptors::pool(
            &map,
            &self.layout,
            wanted,
            TemporalSplit::Floor,
        )?)
    }
}
