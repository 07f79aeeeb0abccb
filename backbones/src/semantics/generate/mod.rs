//! Descriptions and weights of classes from a language model: `szar semantics generate`.
//!
//! Each class is asked about in a few questions of fixed form; nothing but the class's name and the questions is sent.
//! A reply is JSON, judged against a schema; what does not fit is asked again, with the reason. Every reply is kept in
//! the cache folder at once, so that a run that was stopped goes on where it was.
//!
//! Sources of the questions, in our words: Zhu et al., PURLS, CVPR 2024 (parts, phases, global); Chen et al., STAR,
//! MM 2024 (six parts) and Neuron, CVPR 2025 (ten sentences a level); Skeleton-Cache (weights).

mod chat;
mod config;
mod replies;
mod reply;
mod tasks;
mod work;
mod write;

use std::path::PathBuf;

use szar_core::{Cancel, ClassList, Error, Problems, Progress, Result};

pub use config::{Endpoint, GenerateConfig};
pub use tasks::{Style, Task};

/// Where files go.
#[derive(Clone, Debug, Default)]
pub struct Outputs {
    /// File of descriptions.
    pub descriptions: Option<PathBuf>,
    /// File of weights, in the schema of Skeleton-Cache, keyed by class number.
    pub prior: Option<PathBuf>,
    /// Name of the classes in the file of weights.
    pub name: String,
    /// Replace a file that this program did not make.
    pub overwrite: bool,
}

/// How a generation ended.
#[derive(Clone, Debug, Default)]
pub struct Generated {
    /// Files that were written.
    pub written: Vec<PathBuf>,
    /// Requests sent.
    pub requests: usize,
    /// Replies taken from the cache.
    pub cached: usize,
    /// Classes without an answer, and why. Not empty: the files are called `.partial.json` and hold the others.
    pub failed: Vec<(String, String)>,
}

/// Asks about every class and writes the files.
///
/// # Errors
/// [`Error::Config`] for wrong options; [`Error::Input`] without classes, without anything to write, for a key that is
/// not set, or for a file that is in the way; [`Error::Io`] when an output cannot be written (found out before anything
/// is asked); [`Error::Cancelled`] when stopped, with what there is kept.
pub fn generate(
    config: &GenerateConfig,
    classes: &ClassList,
    outputs: &Outputs,
    cache: &std::path::Path,
    progress: &dyn Progress,
    cancel: &Cancel,
) -> Result<Generated> {
    let mut problems = Problems::new();
    config.validate(&mut problems);
    problems.into_result()?;
    if outputs.descriptions.is_none() && outputs.prior.is_none() {
        return Err(Error::Input(
            "nothing to write: name a file of descriptions or of weights".into(),
        ));
    }
    let texts = config
        .texts
        .iter()
        .copied()
        .filter(|_| outputs.descriptions.is_some());
    let tasks: Vec<Task> = texts
        .chain(outputs.prior.is_some().then_some(Task::Prior))
        .collect();
    if tasks.is_empty() {
        return Err(Error::Input("nothing to ask: `texts` is empty".into()));
    }
    if classes.is_empty() {
        return Err(Error::Input("no classes to ask about".into()));
    }
    if let Some(name) = classes.names().iter().find(|name| name.starts_with('$')) {
        let why = format!("class `{name}` begins with `$`, which files of descriptions keep for notes");
        return Err(Error::Input(why));
    }
    for path in [&outputs.descriptions, &outputs.prior].into_iter().flatten() {
        write::prepare(path, outputs.overwrite)?;
    }
    let done = work::run(config, classes, &tasks, cache, progress, cancel)?;
    let written = write::files(config, classes, &tasks, outputs, &done)?;
    cancel.check()?;
    Ok(Generated {
        written,
        requests: done.requests,
        cached: done.cached,
        failed: done.failed(classes, &tasks),
    })
}
