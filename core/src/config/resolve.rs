//! The steps from text to a checked pipeline.

use std::path::{Path, PathBuf};

use serde_json::{Value, json};

use super::base::Reader;
use super::blocks::{self, Checker, Part};
use super::document::{self, Layer};
use super::options::{self, Options};
use super::paths::{self, Texts};
use super::pipeline::{BLOCKS, Pipeline, Plain};
use super::resolved::Resolved;
use super::tree::{Entry, Node};
use super::{interpolate, overrides, schema};
use crate::problems::{Origin, Problem, Problems};
use crate::registry::ComponentKind;
use crate::{DatasetConfig, Error, Result};

/// Resolves the configuration in a file, with overrides of the form `a.b.0.c=value`.
///
/// # Errors
/// [`Error::Io`] when the file cannot be read, [`Error::Format`] when it is not YAML (with line and column),
/// [`Error::Config`] with every mistake in it.
pub fn load(path: &Path, overrides: &[String]) -> Result<Resolved> {
    load_str(&read(path)?, path, overrides)
}

/// As [`load`], of a text that stands in `path`; the file itself need not exist.
///
/// # Errors
/// As [`load`].
pub fn load_str(text: &str, path: &Path, overrides: &[String]) -> Result<Resolved> {
    resolve(text, path, &[], overrides)
}

/// As [`load`], with values from elsewhere laid over the file before the overrides, in order.
///
/// # Errors
/// As [`load`].
pub fn load_over(path: &Path, layers: &[Layer], overrides: &[String]) -> Result<Resolved> {
    resolve(&read(path)?, path, layers, overrides)
}

fn resolve(text: &str, path: &Path, layers: &[Layer], overrides: &[String]) -> Result<Resolved> {
    let mut draft = Draft::new(text, path, layers, overrides)?;
    let (mut tree, schema) = (draft.tree, schema::pipeline_schema());
    fill_in(&mut tree, path);
    let before = tree.clone();
    let broken = interpolate::interpolate(
        &mut tree,
        &|steps| default_of(&before, steps),
        &mut draft.problems,
    );
    paths::absolutise(&schema, &mut tree, Texts::All);

    let mut checker = Checker::new(&tree);
    let options = Options::of(&schema, &tree, &mut checker);
    let mut found = draft.problems;
    found.extend(
        checker
            .problems
            .into_iter()
            .filter(|p| !broken.contains(&p.field)),
    );
    let mut checked = Problems::new();
    options.parts(&tree).check(&mut checked);
    let unsaid = placed(checked, &tree)
        .into_iter()
        .filter(|p| options.may_say(p, &tree, &found));
    let unsaid: Vec<_> = unsaid.filter(|p| !broken.contains(&p.field)).collect();
    found.extend(unsaid);
    let found = dedup(found);
    match options.pipeline() {
        Some(pipeline) if found.is_empty() => written_out(pipeline, &schema, draft.files),
        _ => Err(Error::Config(sorted(found, &draft.files, overrides))),
    }
}

/// The plugins that a configuration names, as absolute paths, before anything else of it is looked at: a plugin's
/// components have to be known before the blocks that name them are checked.
///
/// # Errors
/// As [`load`], but only about reading and merging the files and about `plugins`.
pub fn plugins(path: &Path, overrides: &[String]) -> Result<Vec<PathBuf>> {
    let text = read(path)?;
    let mut draft = Draft::new(&text, path, &[], overrides)?;
    interpolate::interpolate(&mut draft.tree, &|_| None, &mut Vec::new());
    let schema = schema::pipeline_schema();
    let plugins = &schema["properties"]["plugins"];
    let only = json!({ "$defs": schema["$defs"], "type": "object", "properties": { "plugins": plugins } });
    paths::absolutise(&only, &mut draft.tree, Texts::All);
    let mut checker = Checker::new(&draft.tree);
    let Some(node) = draft.tree.field("plugins").filter(|n| !n.is_null()) else {
        return Ok(Vec::new());
    };
    let sound = checker.fields(plugins, node, "plugins", "");
    let listed: Option<Part<Vec<PathBuf>>> = checker.options(sound, "plugins", node);
    match listed.and_then(Part::whole) {
        Some(paths) => Ok(paths),
        None => Err(Error::Config(sorted(checker.problems, &draft.files, overrides))),
    }
}

/// The `dataset` block of a configuration alone, with the block as JSON, every default filled in. `path` is a YAML file, a
/// whole pipeline or only that block, or YAML itself: `{type: .., root: ..}`, paths relative to the working folder. Nothing
/// else of a pipeline is looked at; a split need not be given.
///
/// # Errors
/// As [`load`], but only about that block.
pub fn dataset(path: &str, overrides: &[String]) -> Result<(Box<dyn DatasetConfig>, Value)> {
    let inline = path.trim_start().starts_with('{');
    let (text, file) = if inline {
        let file = std::env::current_dir().unwrap_or_default().join("dataset");
        (format!("dataset: {path}"), file)
    } else {
        (read(Path::new(path))?, PathBuf::from(path))
    };
    let mut draft = Draft::new(&text, &file, &[], overrides)?;
    let broken = interpolate::interpolate(&mut draft.tree, &|_| None, &mut draft.problems);
    let schema = schema::pipeline_schema();
    paths::absolutise(&schema, &mut draft.tree, Texts::All);
    let mut tree = draft.tree;
    if let Some(fields) = tree.map_mut() {
        fields.retain(|key, _| key == "dataset");
    }
    let mut checker = Checker::new(&tree);
    let part = options::block::<Box<dyn DatasetConfig>>(&tree, "dataset", &mut checker);
    let mut found: Vec<Problem> = std::mem::take(&mut checker.problems);
    found.extend(
        draft
            .problems
            .into_iter()
            .filter(|p| p.field.starts_with("dataset")),
    );
    if let Some(part) = &part {
        let mut checked = Problems::new();
        checked.scoped("dataset", |p| part.options.validate(p));
        found.extend(placed(checked, &tree));
    } else if tree.field("dataset").is_none() {
        return Err(Error::Missing(format!("`dataset` in {}", file.display())));
    }
    found.retain(|p| !blocks::is_within(&p.field, "dataset.split") && !broken.contains(&p.field));
    match part.and_then(Part::whole) {
        Some(config) if found.is_empty() => {
            let value = serde_json::to_value(&config)
                .map_err(|e| Error::Input(format!("the options cannot be written: {e}")))?;
            Ok((config, value))
        }
        _ => Err(Error::Config(sorted(dedup(found), &draft.files, overrides))),
    }
}

pub(super) fn read(path: &Path) -> Result<String> {
    let bytes = std::fs::read(path).map_err(|e| Error::read(path, e))?;
    String::from_utf8(bytes).map_err(|_| Error::format(path, None, "is not UTF-8 text"))
}

/// Merged and overridden, its plain paths absolute, its references not yet replaced.
struct Draft {
    tree: Node,
    files: Vec<PathBuf>,
    problems: Vec<Problem>,
}

impl Draft {
    fn new(text: &str, path: &Path, layers: &[Layer], overrides: &[String]) -> Result<Self> {
        let mut reader = Reader::default();
        let mut tree = reader.read(text, path)?;
        if tree.map().is_none() {
            let mut problems = Problems::new();
            let found = super::tree::describe(&tree.to_value());
            problems.push(Problem {
                field: String::new(),
                message: format!("expected a block of fields, found {found}"),
                hint: None,
                origin: Some(tree.origin),
            });
            return Err(Error::Config(problems));
        }
        document::lay(&mut tree, layers, &mut reader.problems);
        for text in overrides {
            overrides::apply(&mut tree, text, &mut reader.problems);
        }
        paths::absolutise(&schema::pipeline_schema(), &mut tree, Texts::Plain);
        Ok(Self {
            tree,
            files: reader.files,
            problems: reader.problems,
        })
    }
}

/// Empty top-level fields count as not given; the name comes from the file, the preprocessor is `standard`.
fn fill_in(tree: &mut Node, path: &Path) {
    let origin = tree.origin.clone();
    let Some(fields) = tree.map_mut() else { return };
    fields.retain(|_, entry| !entry.node.is_null());
    let add = |fields: &mut indexmap::IndexMap<String, Entry>, key: &str, value: Value| {
        fields.entry(key.to_owned()).or_insert_with(|| Entry {
            key: origin.clone(),
            node: Node::from_value(value, &origin),
        });
    };
    add(fields, "preprocess", json!({ "type": "standard" }));
    if let Some(block) = fields.get_mut("preprocess")
        && let Some(options) = block.node.map_mut()
    {
        options.entry("type".to_owned()).or_insert_with(|| Entry {
            key: origin.clone(),
            node: Node::from_value("standard".into(), &origin),
        });
    }
    let name = kebab(path);
    if !name.is_empty() {
        add(fields, "name", Value::String(name));
    }
}

/// The name of a file as a kebab-case name.
fn kebab(path: &Path) -> String {
    let stem = path
        .file_stem()
        .unwrap_or_default()
        .to_string_lossy()
        .to_lowercase();
    let words = stem.split(|c: char| !c.is_ascii_alphanumeric());
    let words: Vec<_> = words.filter(|w| !w.is_empty()).collect();
    words.join("-")
}

/// The value of a field that the user left out.
fn default_of(tree: &Node, steps: &[&str]) -> Option<Value> {
    let (first, rest) = steps.split_first()?;
    let kind = BLOCKS.iter().find(|(key, _)| key == first).map(|(_, kind)| *kind);
    let (value, rest) = match kind {
        Some(kind) => (schema::component(kind, tree.field(first)?)?.defaults(), rest),
        None if *first == "adapters" => {
            let (index, rest) = rest.split_first()?;
            let block = tree.field(first)?.child(index)?;
            (schema::component(ComponentKind::Adapter, block)?.defaults(), rest)
        }
        None => (serde_json::to_value(Plain::default()).ok()?, steps),
    };
    let found = rest.iter().try_fold(&value, |value, step| match value {
        Value::Array(items) => items.get(step.parse::<usize>().ok()?),
        other => other.get(step),
    });
    found.cloned()
}

/// Fills in where each field was written.
pub(super) fn placed(problems: Problems, tree: &Node) -> Vec<Problem> {
    let place = |problem: &Problem| {
        let origin = problem.origin.clone();
        let origin = origin.unwrap_or_else(|| tree.place(&problem.field, false).clone());
        Problem {
            origin: Some(origin),
            ..problem.clone()
        }
    };
    problems.iter().map(place).collect()
}

pub(super) fn dedup(problems: Vec<Problem>) -> Vec<Problem> {
    let mut list = Problems::new();
    problems.into_iter().for_each(|p| list.push(p));
    list.iter().cloned().collect()
}

pub(super) fn sorted(mut found: Vec<Problem>, files: &[PathBuf], overrides: &[String]) -> Problems {
    blocks::sort(&mut found, files, overrides);
    let mut list = Problems::new();
    found.into_iter().for_each(|p| list.push(p));
    list
}

/// The whole text of a pipeline; paths among the defaults are made absolute, in the working folder.
fn written_out(mut pipeline: Pipeline, schema: &Value, files: Vec<PathBuf>) -> Result<Resolved> {
    let write = |pipeline: &Pipeline| {
        serde_json::to_value(pipeline)
            .map_err(|e| Error::Input(format!("the options cannot be written: {e}")))
    };
    let mut tree = Node::from_value(write(&pipeline)?, &Origin::Override(String::new()));
    let before = tree.to_value();
    paths::absolutise(schema, &mut tree, Texts::All);
    let value = tree.to_value();
    if value != before {
        if let Some(fields) = tree.map_mut() {
            fields.retain(|_, entry| !entry.node.is_null());
        }
        let mut checker = Checker::new(&tree);
        let again = Options::of(schema, &tree, &mut checker).pipeline();
        pipeline = again.ok_or_else(|| Error::Config(sorted(checker.problems, &files, &[])))?;
    }
    Ok(Resolved {
        value: write(&pipeline)?,
        pipeline,
        files,
    })
}
