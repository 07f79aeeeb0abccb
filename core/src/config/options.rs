//! From checked blocks to the options of every part.

use serde::de::DeserializeOwned;
use serde_json::{Value, json};

use super::blocks::{self, Checker, Part};
use super::check::{Parts, Read};
use super::pipeline::{BLOCKS, Pipeline, Plain};
use super::tree::{Kind, Node};
use crate::problems::Problem;
use crate::registry::ComponentKind;

/// The options of every part, as far as they are sound.
pub(crate) struct Options {
    plain: Option<Part<Plain>>,
    dataset: Option<Part<Box<dyn crate::DatasetConfig>>>,
    preprocess: Option<Part<Box<dyn crate::PreprocessorConfig>>>,
    encoder: Option<Part<Box<dyn crate::EncoderConfig>>>,
    semantics: Option<Part<Box<dyn crate::SemanticsConfig>>>,
    aligner: Option<Part<Box<dyn crate::AlignerConfig>>>,
    adapters: Vec<Option<Part<Box<dyn crate::AdapterConfig>>>>,
    gate: Option<Part<Box<dyn crate::GateConfig>>>,
}

impl Options {
    /// Reads every part; what is wrong goes to the checker.
    pub fn of(schema: &Value, tree: &Node, checker: &mut Checker<'_>) -> Self {
        let sound = checker.fields(schema, tree, "", "");
        let mut plain = tree.clone();
        if let Some(fields) = plain.map_mut() {
            fields.retain(|key, _| !is_block(key));
        }
        // Blocks are judged on their own: a mistake in one does not hide those around it.
        let plain_sound = sound || checker.fields(&plain_schema(schema), &plain, "", "");
        Self {
            plain: checker.options(plain_sound, "", &plain),
            dataset: block(tree, "dataset", checker),
            preprocess: block(tree, "preprocess", checker),
            encoder: block(tree, "encoder", checker),
            semantics: block(tree, "semantics", checker),
            aligner: block(tree, "aligner", checker),
            gate: block(tree, "gate", checker),
            adapters: adapters(tree, checker),
        }
    }

    pub fn parts(&self, tree: &Node) -> Parts<'_> {
        Parts {
            plain: self.plain.as_ref().map(|p| (p.options.clone(), p.whole)),
            dataset: borrowed(&self.dataset),
            preprocess: borrowed(&self.preprocess),
            encoder: borrowed(&self.encoder),
            semantics: borrowed(&self.semantics),
            aligner: borrowed(&self.aligner),
            adapters: self.adapters.iter().map(borrowed).collect(),
            gate: borrowed(&self.gate),
            has_gate: tree.field("gate").is_some(),
        }
    }

    /// What an incomplete part says of itself counts only where the user wrote something, and nothing was said of
    /// it before: the rest of it is defaults that stand in for what was refused.
    pub fn may_say(&self, problem: &Problem, tree: &Node, said: &[Problem]) -> bool {
        let first = super::tree::parts(&problem.field)
            .first()
            .copied()
            .unwrap_or_default();
        let incomplete = match first {
            "dataset" => is_incomplete(&self.dataset),
            "preprocess" => is_incomplete(&self.preprocess),
            "encoder" => is_incomplete(&self.encoder),
            "semantics" => is_incomplete(&self.semantics),
            "aligner" => is_incomplete(&self.aligner),
            "gate" => is_incomplete(&self.gate),
            "adapters" => self.adapters.iter().any(is_incomplete),
            _ => is_incomplete(&self.plain),
        };
        let again = || said.iter().any(|p| blocks::is_within(&p.field, &problem.field));
        let inside = || said.iter().any(|p| blocks::is_within(&problem.field, &p.field));
        !incomplete || (tree.has(&problem.field) && !again() && !inside())
    }

    /// The pipeline, when every part is whole.
    pub fn pipeline(self) -> Option<Pipeline> {
        let plain = self.plain?.whole()?;
        let gate = match self.gate {
            Some(part) => Some(part.whole()?),
            None => None,
        };
        let adapters = self.adapters.into_iter().map(|part| part?.whole());
        Some(Pipeline {
            name: plain.name,
            seed: plain.seed,
            device: plain.device,
            threads: plain.threads,
            precision: plain.precision,
            plugins: plain.plugins,
            dataset: self.dataset?.whole()?,
            preprocess: self.preprocess?.whole()?,
            encoder: self.encoder?.whole()?,
            semantics: self.semantics?.whole()?,
            aligner: self.aligner?.whole()?,
            adapters: adapters.collect::<Option<_>>()?,
            gate,
            evaluate: plain.evaluate,
            stream: plain.stream,
            validation: plain.validation,
            features: plain.features,
            output: plain.output,
        })
    }
}

fn borrowed<T: ?Sized>(part: &Option<Part<Box<T>>>) -> Read<&T> {
    part.as_ref().map(|p| (&*p.options, p.whole))
}

fn is_incomplete<T>(part: &Option<Part<T>>) -> bool {
    part.as_ref().is_some_and(|p| !p.whole)
}

fn is_block(key: &str) -> bool {
    key == "adapters" || BLOCKS.iter().any(|(block, _)| *block == key)
}

/// The schema of the fields that are no components.
fn plain_schema(schema: &Value) -> Value {
    let mut schema = schema.clone();
    schema["required"] = json!([]);
    schema
}

pub(super) fn block<T: DeserializeOwned>(
    tree: &Node,
    key: &str,
    checker: &mut Checker<'_>,
) -> Option<Part<T>> {
    let node = tree.field(key)?;
    let (_, kind) = BLOCKS.iter().find(|(name, _)| *name == key)?;
    let sound = checker.block(*kind, key, node);
    checker.options(sound, key, node)
}

fn adapters<T: DeserializeOwned>(tree: &Node, checker: &mut Checker<'_>) -> Vec<Option<Part<T>>> {
    let Some(Node {
        kind: Kind::List(items),
        ..
    }) = tree.field("adapters")
    else {
        return Vec::new();
    };
    let each = items.iter().enumerate().map(|(i, node)| {
        let path = format!("adapters[{i}]");
        let sound = checker.block(ComponentKind::Adapter, &path, node);
        checker.options(sound, &path, node)
    });
    each.collect()
}
