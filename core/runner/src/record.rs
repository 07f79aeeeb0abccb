//! What a run keeps of its test stream for the pictures of a report, so that a report needs neither dataset nor model:
//! some samples as encoder and aligner see them, anchors, and the skeletons of the samples that adaptation changed most.
//!
//! | tensor | shape | |
//! |---|---|---|
//! | `positions` | `[n]` i64 | places in the stream, ascending |
//! | `features` | `[n, N]` | pooled features |
//! | `visual`, `visual_after` | `[n, D]` f16 | in the aligner's space; the second where moved anchors change it |
//! | `classes`, `classes_after` | `[C, D]` | anchors in the same space; the second where an adapter moved them |
//! | `anchors`, `anchors_after` | `[C, G, d]` | as the texts gave them, as an adapter left them |
//! | `changed` | `[k]` i64 | rows of `positions`: the samples below, the most changed first |
//! | `change` | `[k]` | half the sum of `|after - before|` over the posterior |
//! | `joints`, `frames` | `[k, 3, T, V, M]`, `[k]` i64 | their skeletons, as the encoder saw them |
//! | `attention` | `[k, G, T'·V']` | where the class that was predicted last looks |
//! | `weights` | `[C, D]` | of the parts of a sample, from adapters that weigh them |

use std::collections::BTreeSet;
use std::path::Path;

use serde::{Deserialize, Serialize};
use szar_core::checkpoint::{self, NamedTensors};
use szar_core::{
    AttentionMap, ClassList, Embedding, Error, FeatureMap, Granularity, Result, SemanticAnchors,
    SkeletonLayout,
};
use szar_data::store::SkeletonStore;
use tch::{Device, Kind, Tensor, no_grad};

use crate::evaluate::{Played, Streaming, argmax};
use crate::features::Features;

/// Name of the file in a run's folder.
pub const FILE: &str = "record.safetensors";
/// Form of the file.
const VERSION: u32 = 1;
/// Samples that are spread evenly over the stream.
const SPREAD: usize = 1000;
/// Samples whose skeletons are kept.
const CHANGED: usize = 8;
/// Samples that the aligner sees at once; bounds the memory.
const BATCH: i64 = 128;

/// What the tensors are of.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct About {
    /// Form of the file.
    pub version: u32,
    /// `zsl` or `gzsl`.
    pub setting: String,
    /// Samples of the whole stream.
    pub samples: usize,
    /// Names of the C candidates.
    pub classes: Vec<String>,
    /// Names of the anchors' G texts.
    pub granularities: Vec<Granularity>,
    /// T' and V'.
    pub grid: [i64; 2],
    /// The skeleton.
    pub layout: SkeletonLayout,
    /// Names of what attends; empty without attention.
    pub attention: Vec<Granularity>,
    /// Names of the parts that are weighed; empty where none are.
    pub slots: Vec<Granularity>,
}

/// A record that was read.
#[derive(Debug)]
pub struct Record {
    /// What the tensors are of.
    pub about: About,
    /// See the module's text.
    pub tensors: NamedTensors,
}

impl Record {
    /// Reads the record of a run's folder; `None` where it has none.
    ///
    /// # Errors
    /// When the file is damaged, or of a version that this szar does not know.
    pub fn read(folder: &Path) -> Result<Option<Self>> {
        let path = folder.join(FILE);
        if !path.exists() {
            return Ok(None);
        }
        let bad = |why: String| Error::format(&path, "metadata `record`".to_owned(), why);
        let (tensors, about) = checkpoint::load(&path, Device::Cpu)?;
        let about = about.get("record").ok_or_else(|| bad("is missing".into()))?;
        let version = serde_json::from_str::<serde_json::Value>(about).map_err(|e| bad(e.to_string()))?;
        if version["version"] != VERSION {
            let found = &version["version"];
            return Err(bad(format!("is of version {found}, this szar reads {VERSION}")));
        }
        let about = serde_json::from_str(about).map_err(|e| bad(e.to_string()))?;
        Ok(Some(Self { about, tensors }))
    }

    /// Writes it into a run's folder.
    ///
    /// # Errors
    /// When the folder cannot be written.
    pub fn write(&self, folder: &Path) -> Result<()> {
        let path = folder.join(FILE);
        let about = serde_json::to_string(&self.about);
        let about = about.map_err(|e| Error::format(&path, None, e.to_string()))?;
        checkpoint::save(&path, &self.tensors, &[("record".to_owned(), about)])
    }
}

/// A stream that was played, and where its samples lie.
pub(crate) struct Source<'a> {
    /// `zsl` or `gzsl`.
    pub setting: &'static str,
    pub streaming: &'a Streaming<'a>,
    pub candidates: &'a ClassList,
    /// Features of all rows of the store.
    pub features: &'a Features,
    pub store: &'a SkeletonStore,
    /// Row of the store that holds the first sample of the stream.
    pub first: usize,
}

impl Source<'_> {
    /// Takes the record of a stream.
    ///
    /// # Errors
    /// When the aligner refuses features that it scored before.
    pub fn take(&self, played: &Played) -> Result<Record> {
        no_grad(|| self.take_without_gradients(played))
    }

    fn take_without_gradients(&self, played: &Played) -> Result<Record> {
        let (aligner, count) = (self.streaming.model.aligner, played.order.len());
        let change = change(played);
        let most = most_changed(&change, played.after.is_some());
        let positions = positions(count, &most);
        let features = self.features_at(played, &positions);
        let anchors = self.streaming.model.anchors.for_classes(self.candidates)?;
        let mut tensors = NamedTensors::new();
        let at = |p: &usize| positions.binary_search(p).unwrap_or_default() as i64;
        let mut put = |name: &str, value: Tensor| tensors.insert(name.to_owned(), value);
        put("positions", integers(positions.iter().map(|p| *p as i64)));
        put("features", features.pooled().to_kind(Kind::Float));
        put("changed", integers(most.iter().map(at)));
        put(
            "change",
            Tensor::from_slice(&most.iter().map(|p| change[*p]).collect::<Vec<f32>>()),
        );
        let rows: Vec<usize> = most.iter().map(|p| played.order[*p] + self.first).collect();
        let batch = self.store.batch(&rows, Device::Cpu)?;
        put("joints", batch.joints);
        put("frames", batch.frames);
        let mut moved = None;
        if let Some(values) = &played.trace.anchors {
            let values = values.select(0, 0);
            put("anchors_after", values.shallow_clone());
            moved = Some(anchors.with_values(values)?);
        }
        put("anchors", anchors.values.shallow_clone());
        if aligner.capabilities().visual_embeddings && count > 0 {
            let before = self.embed(&features, &anchors)?;
            if let Some(moved) = &moved {
                let after = self.embed(&features, moved)?;
                if !after.visual.equal(&before.visual) {
                    put("visual_after", after.visual.to_kind(Kind::Half));
                }
                put("classes_after", after.classes);
            }
            put("visual", before.visual.to_kind(Kind::Half));
            put("classes", before.classes);
        }
        let mut attention = Vec::new();
        if let Some(map) = self.attention(played, &most, moved.as_ref().unwrap_or(&anchors))? {
            put("attention", map.weights);
            attention = map.names;
        }
        let mut slots = Vec::new();
        if let Some(weights) = &played.trace.weights {
            put("weights", weights.values.shallow_clone());
            slots.clone_from(&weights.slots);
        }
        Ok(Record {
            about: About {
                version: VERSION,
                setting: self.setting.to_owned(),
                samples: count,
                classes: self.candidates.names().to_vec(),
                granularities: anchors.granularities.clone(),
                grid: [self.streaming.spec.frames, self.streaming.spec.joints],
                layout: (*self.streaming.layout).clone(),
                attention,
                slots,
            },
            tensors,
        })
    }

    fn features_at(&self, played: &Played, positions: &[usize]) -> FeatureMap {
        let rows: Vec<usize> = positions.iter().map(|p| played.order[*p] + self.first).collect();
        self.features.at(&rows).map
    }

    fn embed(&self, features: &FeatureMap, anchors: &SemanticAnchors) -> Result<Embedding> {
        let count = features.dims().0;
        let mut visual = Vec::new();
        let mut classes = Tensor::new();
        for start in (0..count).step_by(BATCH as usize) {
            let part = features.narrow(start, BATCH.min(count - start));
            let embedding = self.streaming.model.aligner.embed(&part, anchors)?;
            visual.push(embedding.visual);
            classes = embedding.classes;
        }
        Ok(Embedding {
            visual: Tensor::cat(&visual, 0),
            classes,
        })
    }

    fn attention(
        &self,
        played: &Played,
        positions: &[usize],
        anchors: &SemanticAnchors,
    ) -> Result<Option<AttentionMap>> {
        if positions.is_empty() {
            return Ok(None);
        }
        let last = played.last();
        let index = integers(positions.iter().map(|p| *p as i64)).to_device(last.device());
        let columns = integers(argmax(&last.index_select(0, &index)).into_iter()).to_device(last.device());
        let features = self.features_at(played, positions);
        self.streaming
            .model
            .aligner
            .attention(&features, anchors, &columns)
    }
}

fn integers(values: impl Iterator<Item = i64>) -> Tensor {
    Tensor::from_slice(&values.collect::<Vec<_>>())
}

/// By position: half the sum of `|after - before|` over the posterior, which is 1 for a sure answer that became another.
fn change(played: &Played) -> Vec<f32> {
    let posterior = |logits: &Tensor| logits.softmax(-1, Kind::Float);
    let away = posterior(played.last()) - posterior(&played.before);
    let total = away.abs().sum_dim_intlist([-1i64].as_slice(), false, Kind::Float) / 2.0;
    let values = szar_core::host::HostF32::new(&total);
    values.as_slice().to_vec()
}

/// The most changed samples first; without adapters some that are spread evenly.
fn most_changed(change: &[f32], adapted: bool) -> Vec<usize> {
    if !adapted {
        return spread(change.len(), CHANGED);
    }
    let mut order: Vec<usize> = (0..change.len()).collect();
    order.sort_by(|a, b| change[*b].total_cmp(&change[*a]).then(a.cmp(b)));
    order.truncate(CHANGED);
    order
}

/// At most `wanted` of `count`, evenly spread.
fn spread(count: usize, wanted: usize) -> Vec<usize> {
    let wanted = wanted.min(count);
    (0..wanted).map(|k| k * count / wanted).collect()
}

fn positions(count: usize, most: &[usize]) -> Vec<usize> {
    let spread = spread(count, SPREAD).into_iter();
    let all: BTreeSet<usize> = spread.chain(most.iter().copied()).collect();
    all.into_iter().collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_long_stream_is_spread_evenly_and_keeps_the_most_changed() {
        let kept = positions(100_000, &[17, 99_999]);
        assert_eq!(kept.len(), 1002);
        assert!(kept.contains(&17) && kept.contains(&99_999) && kept.contains(&50_000));
        assert_eq!(positions(3, &[1]), [0, 1, 2]);
        assert!(positions(0, &[]).is_empty());
    }

    #[test]
    fn the_most_changed_come_first_and_ties_in_order() {
        assert_eq!(most_changed(&[0.1, 0.9, 0.1], true), [1, 0, 2]);
        assert_eq!(most_changed(&[0.0; 16], false), [0, 2, 4, 6, 8, 10, 12, 14]);
    }

    #[test]
    fn a_record_of_another_version_is_refused() {
        let folder = tempfile::tempdir().unwrap();
        assert!(Record::read(folder.path()).unwrap().is_none());
        let about = [("record".to_owned(), r#"{"version": 7}"#.to_owned())];
        checkpoint::save(&folder.path().join(FILE), &NamedTensors::new(), &about).unwrap();
        let error = Record::read(folder.path()).unwrap_err().to_string();
        assert!(error.contains("is of version 7, this szar reads 1"), "{error}");
    }
}
