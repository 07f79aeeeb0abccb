//! Trained parts that runs share: where they are kept, under a hash of all that determines them.

use std::collections::BTreeMap;
use std::path::PathBuf;

use serde_json::Value;
use szar_core::{Result, SemanticAnchors, SkeletonEncoder};
use tch::Kind;

use super::Session;
use super::training::Course;
use crate::data::TrainingData;
use crate::features::{Extraction, Features, Form};
use crate::train::{ContentHash, content_hash};

/// What an encoder is made of, besides its data.
const ENCODER: [&str; 6] = [
    "seed",
    "threads",
    "precision",
    "preprocess",
    "encoder",
    "validation",
];

impl Session<'_> {
    /// Where an encoder trained on the same data with the same options, seed, device and threads is kept.
    pub(super) fn shared_encoder(&self, data: &TrainingData) -> Result<Option<PathBuf>> {
        if self.options.fresh {
            return Ok(None);
        }
        let hash = self.encoder_hash(data)?;
        Ok(hash.map(|hash| self.shared("encoder", &hash)))
    }

    /// Where an aligner is kept that was trained on the features of the same encoder, data and anchors, with the same
    /// options. Runs that differ in nothing but their adapters share it, unless some need the feature map and some do not.
    pub(super) fn shared_aligner(
        &self,
        data: &TrainingData,
        features: &Features,
        anchors: &SemanticAnchors,
        encoder: &dyn SkeletonEncoder,
    ) -> Result<Option<PathBuf>> {
        if self.options.fresh {
            return Ok(None);
        }
        let options = self.resolved.hash_of(&["aligner"]);
        let texts: Vec<&str> = anchors.granularities.iter().map(|g| g.as_str()).collect();
        let (texts, names) = (texts.join(" "), anchors.classes.names().join("\n"));
        let shape = format!("{:?} {:?}", anchors.values.size(), features.map.dims());
        // The weights themselves: an encoder may also come from a file.
        let weights = weights_hash(encoder);
        let anchors = szar_core::host::HostF32::new(&anchors.values);
        let parts = [
            &options,
            &self.data_hash(data, features)?,
            &texts,
            &names,
            &shape,
            &weights,
        ];
        let hash = content_hash(parts.map(String::as_str), [anchors.as_slice()]);
        Ok(Some(self.shared("aligner", &hash)))
    }

    /// Where features are kept.
    pub(super) fn feature_folder(&self) -> PathBuf {
        let chosen = self.pipeline.features.store.as_ref();
        chosen.map_or_else(
            || self.pipeline.output.0.join(".features"),
            |store| store.0.clone(),
        )
    }

    /// Name and form of the features of a course, the map not asked for: a hash of the preprocessed sequences, the encoder's weights
    /// and options, and all else that determines the bits.
    ///
    /// # Errors
    /// When the sequences lie in a file that cannot be read.
    pub(super) fn feature_entry(&self, extraction: &Extraction, course: &Course) -> Result<(String, Form)> {
        let store = extraction.store;
        let rows = 0..extraction.count;
        let precision = self.resolved.hash_of(&["precision", "threads"]);
        let texts = [
            self.inference_options(),
            weights_hash(extraction.encoder),
            format!("{:?} {:?}", extraction.encoder.spec(), store.layout()),
            format!(
                "{:?} {} {}",
                store.lengths(&rows),
                store.frames(),
                store.persons()
            ),
            format!("{precision} {:?}/{}", self.ctx.device, tch::get_num_threads()),
            format!(
                "{:?} {}",
                self.pipeline.features.precision,
                env!("CARGO_PKG_VERSION")
            ),
        ];
        let mut hash = ContentHash::new(texts.iter().map(String::as_str));
        store.show(rows, |values| hash.add(values))?;
        let key = hash.finish();
        let info = course.data.data().dataset.info();
        let mut about: BTreeMap<String, String> = self
            .about("encoder", self.pipeline.encoder.typetag_name())
            .into_iter()
            .collect();
        about.insert("dataset".into(), info.name.clone());
        about.insert("split".into(), course.data.data().split.name().into());
        let form = Form::new(
            extraction.count,
            extraction.encoder.spec(),
            None,
            store.layout(),
            about,
        );
        Ok((key[..32].to_owned(), form))
    }

    /// The encoder's options without those that say where its weights came from.
    fn inference_options(&self) -> String {
        let mut block = self.resolved.value.get("encoder").cloned().unwrap_or_default();
        if let Value::Object(fields) = &mut block {
            fields.retain(|name, _| !["weights", "prepared", "train"].contains(&name.as_str()));
        }
        let origin = self.resolved.hash_of(&["plugins"]);
        format!("{block} {origin}")
    }

    fn shared(&self, part: &str, hash: &str) -> PathBuf {
        let folder = self.pipeline.output.0.join(".trained");
        folder.join(format!("{part}-{}.safetensors", &hash[..16]))
    }

    /// Of what an aligner's features were made of; where they came with the dataset, of themselves.
    fn data_hash(&self, data: &TrainingData, features: &Features) -> Result<String> {
        if let Some(hash) = self.encoder_hash(data)? {
            return Ok(hash);
        }
        let learned = [data.train(), data.validation()].map(|rows| features.at(rows).map.values);
        let values = learned.each_ref().map(szar_core::host::HostF32::new);
        let texts = self.data_texts(data);
        let texts = texts.iter().map(String::as_str);
        Ok(content_hash(texts, values.iter().map(|v| v.as_slice())))
    }

    /// `None` where there are only features.
    fn encoder_hash(&self, data: &TrainingData) -> Result<Option<String>> {
        let Some(store) = data.data().store.as_ref() else {
            return Ok(None);
        };
        let mut hash = ContentHash::new(self.data_texts(data).iter().map(String::as_str));
        for row in data.train().iter().chain(data.validation()) {
            hash.add(&store.values(*row..row + 1)?);
        }
        Ok(Some(hash.finish()))
    }

    /// Options, device, labels, classes and sizes that determine an encoder besides its sequences.
    fn data_texts(&self, data: &TrainingData) -> [String; 6] {
        let options = self.resolved.hash_of(&ENCODER);
        let device = format!("{:?}/{}", self.ctx.device, tch::get_num_threads());
        let rows = || data.train().iter().chain(data.validation()).copied();
        let labels: String = rows()
            .map(|row| format!("{} ", data.data().class_of(row)))
            .collect();
        let classes = data.classes().names().join("\n");
        let counts = format!("{} {}", data.train().len(), data.validation().len());
        let version = env!("CARGO_PKG_VERSION").to_owned();
        [options, device, labels, classes, counts, version]
    }

    /// What the files of a trained part say about it.
    pub(super) fn about(&self, role: &str, component: &str) -> Vec<(String, String)> {
        let block = |name: &str| {
            let value = self.resolved.value.get(name);
            value.map(ToString::to_string).unwrap_or_default()
        };
        vec![
            ("szar".into(), env!("CARGO_PKG_VERSION").into()),
            ("component".into(), component.into()),
            ("options".into(), block(role)),
            ("preprocess".into(), block("preprocess")),
            ("seed".into(), self.pipeline.seed.to_string()),
        ]
    }
}

/// Hash of an encoder's weights, by name.
fn weights_hash(encoder: &dyn SkeletonEncoder) -> String {
    let state = encoder.state();
    let names: Vec<String> = state.iter().map(|(n, t)| format!("{n} {:?}", t.size())).collect();
    let values: Vec<_> = state
        .values()
        .map(|t| szar_core::host::HostF32::new(&t.to_kind(Kind::Float)))
        .collect();
    content_hash(
        names.iter().map(String::as_str),
        values.iter().map(|v| v.as_slice()),
    )
}
