//! The files that come out.

use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::time::SystemTime;

use serde_json::{Map, Value, json};
use szar_core::{ClassId, ClassList, Error, Result, checkpoint};

use super::Outputs;
use super::config::GenerateConfig;
use super::tasks::Task;
use super::work::Done;
use crate::semantics::{embed, hash};

/// Where a generated file says where it comes from; readers pass over it.
const NOTE: &str = "$generated";

/// Finds out whether a file can be written, before anything is asked.
///
/// # Errors
/// [`Error::Io`] when not; [`Error::Input`] when another's file is in the way.
pub(super) fn prepare(path: &Path, overwrite: bool) -> Result<()> {
    let parent = path
        .parent()
        .filter(|p| !p.as_os_str().is_empty())
        .unwrap_or(Path::new("."));
    fs::create_dir_all(parent).map_err(|e| Error::write(parent, e))?;
    if path.is_dir() {
        return Err(Error::Input(format!(
            "{} is a folder, expected the name of a file",
            path.display()
        )));
    }
    if path.exists() && !overwrite && !is_ours(path) {
        return Err(Error::Input(format!(
            "{} is there and was not generated; name another file, or give `--overwrite`",
            path.display()
        )));
    }
    let probe = parent.join(format!(".szar.{}.tmp", std::process::id()));
    let made = File::create(&probe).map_err(|e| Error::write(path, e));
    let _ = fs::remove_file(&probe);
    made.map(drop)
}

fn is_ours(path: &Path) -> bool {
    let text = fs::read_to_string(path).unwrap_or_default();
    let value: Option<Value> = serde_json::from_str(&text).ok();
    value.is_some_and(|v| v.get(NOTE).is_some())
}

/// Writes what there is: whole files under their names, else what is good as `.partial.json`.
///
/// # Errors
/// When a file cannot be written.
pub(super) fn files(
    config: &GenerateConfig,
    classes: &ClassList,
    tasks: &[Task],
    outputs: &Outputs,
    done: &Done,
) -> Result<Vec<PathBuf>> {
    let mut written = Vec::new();
    if let Some(path) = &outputs.descriptions {
        let of: Vec<Task> = tasks.iter().copied().filter(|t| *t != Task::Prior).collect();
        let rows = rows(classes, tasks, &of, done);
        let whole = rows.len() == classes.len();
        let mut file = Map::from_iter([(NOTE.to_owned(), note(config, &of))]);
        file.extend(rows.iter().map(|row| (row.name.to_owned(), row.description())));
        written.extend(write(path, whole, rows.is_empty(), &Value::Object(file))?);
    }
    if let Some(path) = &outputs.prior {
        let rows = rows(classes, tasks, &[Task::Prior], done);
        let whole = rows.len() == classes.len();
        let weights: Map<_, _> = rows
            .iter()
            .map(|row| (row.id.to_string(), row.answers[0].1.clone()))
            .collect();
        let file = json!({
            NOTE: note(config, &[Task::Prior]),
            "split": outputs.name,
            "indexing": "label",
            "num_classes": classes.len(),
            "class_names": classes.names(),
            "weights": weights,
        });
        written.extend(write(path, whole, rows.is_empty(), &file)?);
    }
    Ok(written)
}

/// One file, under its own name when whole; what an earlier run left half done goes then.
fn write(path: &Path, whole: bool, empty: bool, value: &Value) -> Result<Option<PathBuf>> {
    let partial = path.with_extension("partial.json");
    if empty {
        return Ok(None);
    }
    let text = serde_json::to_string_pretty(value).map_err(|e| Error::Input(e.to_string()))? + "\n";
    let place = if whole { path } else { &partial };
    checkpoint::write_atomically(place, text.as_bytes())?;
    if whole && partial.is_file() {
        fs::remove_file(&partial).map_err(|e| Error::write(&partial, e))?;
    }
    Ok(Some(place.to_owned()))
}

/// Model, questions and day.
fn note(config: &GenerateConfig, tasks: &[Task]) -> Value {
    let digest = |task: &Task| {
        let form = format!("{}{}", config.question(*task, "{name}"), task.schema());
        let hash = hash::hex(&hash::digest(form.as_bytes()));
        (task.as_str().to_owned(), Value::String(hash[..16].to_owned()))
    };
    json!({
        "by": format!("szar {} semantics generate", env!("CARGO_PKG_VERSION")),
        "model": config.endpoint.model,
        "endpoint": config.endpoint.url,
        "temperature": config.endpoint.temperature,
        "date": embed::date(SystemTime::now()),
        "questions": tasks.iter().map(digest).collect::<Map<_, _>>(),
    })
}

/// A class with all its answers.
struct Row<'a> {
    id: ClassId,
    name: &'a str,
    answers: Vec<(Task, &'a Value)>,
}

/// The classes for which all of `wanted` were answered.
fn rows<'a>(classes: &'a ClassList, tasks: &[Task], wanted: &[Task], done: &'a Done) -> Vec<Row<'a>> {
    let complete = |((id, name), answers): ((ClassId, &'a str), &'a [Result<Value, String>])| {
        let found = tasks
            .iter()
            .zip(answers)
            .filter(|(task, _)| wanted.contains(task));
        let answers = found.map(|(task, answer)| Some((*task, answer.as_ref().ok()?)));
        Some(Row {
            id,
            name,
            answers: answers.collect::<Option<Vec<_>>>()?,
        })
    };
    classes
        .iter()
        .zip(done.answers.chunks(tasks.len()))
        .filter_map(complete)
        .collect()
}

impl Row<'_> {
    /// The entry of a file of descriptions.
    fn description(&self) -> Value {
        let mut entry = Map::from_iter([("index".to_owned(), Value::from(self.id.0))]);
        for (task, answer) in &self.answers {
            let Value::Object(fields) = *answer else { continue };
            match task {
                Task::Parts | Task::Star => join(&mut entry, "parts", fields),
                Task::Phases => join(&mut entry, "phases", fields),
                Task::Neuron => entry.extend(levels(fields)),
                Task::Global | Task::Words | Task::Prior => entry.extend(fields.clone()),
            }
        }
        Value::Object(entry)
    }
}

/// Adds texts to a group; those that are there stay (the head of PURLS is also that of STAR).
fn join(entry: &mut Map<String, Value>, group: &str, fields: &Map<String, Value>) {
    let group = entry.entry(group).or_insert_with(|| Value::Object(Map::new()));
    if let Value::Object(group) = group {
        for (key, value) in fields {
            group.entry(key.clone()).or_insert_with(|| value.clone());
        }
    }
}

/// Neuron's levels: the three spatial ones as they are, the temporal ones each with the phases before.
fn levels(fields: &Map<String, Value>) -> Map<String, Value> {
    let sentences = |key: &str| fields.get(key).and_then(Value::as_array).into_iter().flatten();
    let spatial = fields.iter().filter(|(key, _)| key.starts_with("spatial"));
    let mut levels: Map<_, _> = spatial.map(|(k, v)| (k.clone(), v.clone())).collect();
    let mut so_far: Vec<String> = Vec::new();
    let phases = [
        ("temporal_fp", "temporal_fp"),
        ("temporal_sp", "temporal_fsp"),
        ("temporal_tp", "temporal_fstp"),
    ];
    for (phase, level) in phases {
        for (i, sentence) in sentences(phase).filter_map(Value::as_str).enumerate() {
            match so_far.get_mut(i) {
                Some(text) => *text = format!("{text} {sentence}"),
                None => so_far.push(sentence.to_owned()),
            }
        }
        levels.insert(level.to_owned(), so_far.clone().into());
    }
    levels
}
