//! YAML files that are no pipelines (a grid of runs, a search): read, merged and checked in the same way, and pieces of them
//! laid over pipelines.

use std::path::{Path, PathBuf};

use schemars::JsonSchema;
use serde::de::DeserializeOwned;
use serde_json::Value;

use super::base::Reader;
use super::blocks::{Checker, Part};
use super::paths::{self, Texts};
use super::tree::{Node, describe, parts};
use super::{overrides, resolve};
use crate::problems::{Problem, Problems};
use crate::{Error, Result};

/// A YAML file of another form than a pipeline's, every value of which knows its place.
#[derive(Clone, Debug)]
pub struct Document {
    tree: Node,
    schema: Value,
    files: Vec<PathBuf>,
    overrides: Vec<String>,
}

/// A value that is laid over a pipeline, with the place where it was written.
#[derive(Clone, Debug)]
pub struct Layer {
    /// The field of the pipeline, `adapters.0.alpha`.
    pub field: String,
    node: Node,
}

impl Layer {
    /// A value that stands in no file; `told` is shown as where it comes from.
    pub fn new(field: &str, value: Value, told: &str) -> Self {
        let origin = crate::problems::Origin::Override(told.to_owned());
        Self {
            field: field.to_owned(),
            node: Node::from_value(value, &origin),
        }
    }

    /// What is laid there.
    pub fn value(&self) -> Value {
        self.node.to_value()
    }
}

impl Document {
    /// Reads a file, with `base:` files below and overrides over it, and checks it against the schema of `T`. Paths become
    /// absolute, `${..}` stays where it stands below a field of free form.
    ///
    /// # Errors
    /// [`Error::Io`] when the file cannot be read, [`Error::Format`] when it is not YAML, [`Error::Config`] with every
    /// mistake in it.
    pub fn read<T: DeserializeOwned + JsonSchema>(path: &Path, overrides: &[String]) -> Result<(Self, T)> {
        let text = resolve::read(path)?;
        Self::of_text(&text, path, overrides)
    }

    /// As [`Self::read`], of a text that stands in `path`; the file itself need not exist.
    ///
    /// # Errors
    /// As [`Self::read`].
    pub fn of_text<T: DeserializeOwned + JsonSchema>(
        text: &str,
        path: &Path,
        overrides: &[String],
    ) -> Result<(Self, T)> {
        let mut reader = Reader::default();
        let mut tree = reader.read(text, path)?;
        if tree.map().is_none() {
            let mut problems = Problems::new();
            problems.push(Problem {
                field: String::new(),
                message: format!("expected a block of fields, found {}", describe(&tree.to_value())),
                hint: None,
                origin: Some(tree.origin),
            });
            return Err(Error::Config(problems));
        }
        for text in overrides {
            overrides::apply(&mut tree, text, &mut reader.problems);
        }
        if let Some(fields) = tree.map_mut() {
            fields.retain(|_, entry| !entry.node.is_null());
        }
        let schema = schemars::schema_for!(T).to_value();
        paths::absolutise(&schema, &mut tree, Texts::All);
        let this = Self {
            tree,
            schema,
            files: reader.files,
            overrides: overrides.to_vec(),
        };
        let options = this.options::<T>(reader.problems)?;
        Ok((this, options))
    }

    fn options<T: DeserializeOwned>(&self, found: Vec<Problem>) -> Result<T> {
        let mut checker = Checker::new(&self.tree);
        let mut sound = checker.fields(&self.schema, &self.tree, "", "");
        sound &= checker.nested(&self.schema, &mut self.tree.clone(), "");
        let part: Option<Part<T>> = checker.options(sound, "", &self.tree);
        let mut problems = found;
        problems.append(&mut checker.problems);
        match part.and_then(Part::whole) {
            Some(options) if problems.is_empty() => Ok(options),
            _ => Err(self.sorted(problems)),
        }
    }

    /// The files that it was read from, the main one first.
    pub fn files(&self) -> &[PathBuf] {
        &self.files
    }

    /// The value at a path as it was written, free of places; `None` where there is nothing.
    pub fn value(&self, path: &[&str]) -> Option<Value> {
        self.find(path).map(Node::to_value)
    }

    /// The value at a path, to be laid over the field `field` of a pipeline.
    pub fn layer(&self, path: &[&str], field: &str) -> Option<Layer> {
        Some(Layer {
            field: field.to_owned(),
            node: self.find(path)?.clone(),
        })
    }

    fn find(&self, path: &[&str]) -> Option<&Node> {
        path.iter().try_fold(&self.tree, |node, step| node.child(step))
    }

    /// Mistakes as an error, each with the place of its field in this document.
    pub fn refuse(&self, problems: Problems) -> Error {
        self.sorted(resolve::placed(problems, &self.tree))
    }

    fn sorted(&self, problems: Vec<Problem>) -> Error {
        let problems = resolve::dedup(problems);
        Error::Config(resolve::sorted(problems, &self.files, &self.overrides))
    }
}

/// Lays values over a tree; what does not fit goes to `problems`.
pub(crate) fn lay(tree: &mut Node, layers: &[Layer], problems: &mut Vec<Problem>) {
    for layer in layers {
        let steps = parts(&layer.field);
        if let Err(why) = overrides::put(tree, &steps, layer.node.clone(), &layer.node.origin) {
            problems.push(Problem {
                field: layer.field.clone(),
                message: why,
                hint: None,
                origin: Some(layer.node.origin.clone()),
            });
        }
    }
}
