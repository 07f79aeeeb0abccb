//! A checked pipeline, with its whole text.

use std::path::PathBuf;

use serde_json::{Map, Value};
use sha2::{Digest, Sha256};

use super::pipeline::Pipeline;
use super::tree::parts;
use super::{emit, interpolate};
use crate::{Result, registry};

/// Top-level fields that change no result.
const WITHOUT_EFFECT: [&str; 1] = ["output"];

/// A pipeline that passed every check, and the whole configuration it was made from.
#[derive(Debug)]
pub struct Resolved {
    /// The options of every part.
    pub pipeline: Pipeline,
    /// The whole configuration: every default filled in, `type` first in each block, paths absolute.
    pub value: Value,
    /// The YAML files it was read from, the main one first.
    pub files: Vec<PathBuf>,
}

impl Resolved {
    /// The whole configuration as YAML; loading it again gives the same pipeline and the same hash.
    ///
    /// # Errors
    /// None today; the result leaves room for values that YAML cannot hold.
    pub fn to_yaml(&self) -> Result<String> {
        let mut value = self.value.clone();
        interpolate::escape(&mut value);
        Ok(emit::emit(&value))
    }

    /// SHA-256, in hex, of everything that changes results: all fields but `output`.
    pub fn hash(&self) -> String {
        self.digest(|key| !WITHOUT_EFFECT.contains(&key))
    }

    /// SHA-256, in hex, of some top-level fields: two runs that agree in them can share what depends on them
    /// alone. A name that is no field counts as nothing.
    pub fn hash_of(&self, keys: &[&str]) -> String {
        self.digest(|key| keys.contains(&key))
    }

    fn digest(&self, wanted: impl Fn(&str) -> bool) -> String {
        let fields = self.value.as_object().into_iter().flatten();
        let kept: Map<String, Value> = fields
            .filter(|(key, _)| wanted(key))
            .map(|(key, value)| (key.clone(), value.clone()))
            .collect();
        let kept = Value::Object(kept);
        let mut hash = Sha256::new();
        hash.update(kept.to_string());
        // Another build of a plugin is another component under the same name.
        registry::origins(&kept)
            .iter()
            .for_each(|origin| hash.update(origin));
        let digest = hash.finalize();
        digest.iter().map(|byte| format!("{byte:02x}")).collect()
    }

    /// The `type` of the block at a path: `encoder`, `adapters.0` or `adapters[0]`.
    pub fn type_name(&self, path: &str) -> Option<&str> {
        let found = parts(path)
            .into_iter()
            .try_fold(&self.value, |value, step| match value {
                Value::Array(items) => items.get(step.parse::<usize>().ok()?),
                other => other.get(step),
            });
        found?.get("type")?.as_str()
    }
}
