//! Trained parts that runs share: where they are kept, under a hash of all that determines them.

use std::path::PathBuf;

use szar_core::{SemanticAnchors, SkeletonEncoder};
use tch::Kind;

use super::Session;
use crate::data::TrainingData;
use crate::extract::Features;
use crate::train::content_hash;

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
    pub(super) fn shared_encoder(&self, data: &TrainingData) -> Option<PathBuf> {
        if self.options.fresh {
            return None;
        }
        Some(self.shared("encoder", &self.encoder_hash(data)))
    }

    /// Where an aligner is kept that was trained on the features of the same encoder, data and anchors, with the same
    /// options. Runs that differ in nothing but their adapters share it, unless some need the feature map and some do not.
    pub(super) fn shared_aligner(
        &self,
        data: &TrainingData,
        features: &Features,
        anchors: &SemanticAnchors,
        encoder: &dyn SkeletonEncoder,
    ) -> Option<PathBuf> {
        if self.options.fresh {
            return None;
        }
        let options = self.resolved.hash_of(&["aligner"]);
        let texts: Vec<&str> = anchors.granularities.iter().map(|g| g.as_str()).collect();
        let (texts, names) = (texts.join(" "), anchors.classes.names().join("\n"));
        let shape = format!("{:?} {:?}", anchors.values.size(), features.map.dims());
        // The weights themselves: an encoder may also come from a file.
        let mut weights = Vec::new();
        let mut names_of_weights = String::new();
        for (name, tensor) in encoder.state() {
            names_of_weights.push_str(&format!("{name} {:?} ", tensor.size()));
            let values = szar_core::host::HostF32::new(&tensor.to_kind(Kind::Float));
            weights.extend_from_slice(values.as_slice());
        }
        let anchors = szar_core::host::HostF32::new(&anchors.values);
        weights.extend_from_slice(anchors.as_slice());
        let parts = [
            &options,
            &self.encoder_hash(data),
            &texts,
            &names,
            &shape,
            &names_of_weights,
        ];
        let hash = content_hash(parts.map(String::as_str), [weights.as_slice()]);
        Some(self.shared("aligner", &hash))
    }

    fn shared(&self, part: &str, hash: &str) -> PathBuf {
        let folder = self.pipeline.output.0.join(".trained");
        folder.join(format!("{part}-{}.safetensors", &hash[..16]))
    }

    fn encoder_hash(&self, data: &TrainingData) -> String {
        let options = self.resolved.hash_of(&ENCODER);
        let device = format!("{:?}/{}", self.ctx.device, tch::get_num_threads());
        let rows = || data.train().iter().chain(data.validation()).copied();
        let labels: String = rows()
            .map(|row| format!("{} ", data.data().class_of(row)))
            .collect();
        let classes = data.classes().names().join("\n");
        let counts = format!("{} {}", data.train().len(), data.validation().len());
        let texts = [
            options.as_str(),
            &device,
            &labels,
            &classes,
            &counts,
            env!("CARGO_PKG_VERSION"),
        ];
        let store = &data.data().store;
        content_hash(texts, rows().map(|row| store.values(row..row + 1)))
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
