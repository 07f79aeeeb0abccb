//! The process that does tasks of a sweep, several one after the other, with what they share in memory.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::{Path, PathBuf};
use std::time::Instant;

use szar_core::checkpoint::write_atomically;
use szar_core::config::Resolved;
use szar_core::{Cancel, Error, Outcome, Progress, Result};
use szar_runner::{Models, RunOptions, SAVE_EVERY, extract, prepare_after, run_after};

use crate::plan::{Step, Task, outcome_file, read_tasks};

/// What a worker needs besides its tasks.
pub struct Worker<'a> {
    /// Reads a pipeline, after the plugins that it names.
    pub load: &'a dyn Fn(&Path) -> Result<Resolved>,
    /// Threads of libtorch for pipelines that name none.
    pub threads: Option<usize>,
    /// Where progress goes.
    pub progress: &'a dyn Progress,
    /// When to stop.
    pub cancel: &'a Cancel,
}

/// Does tasks of the list in `file`, as their numbers come, and tells the outcome of each. A task that fails stops nothing but
/// those that wait for it; one that was stopped by the user has no outcome.
///
/// # Errors
/// When the list cannot be read, a number is none of it, an outcome cannot be kept, or the user stops.
pub fn work(
    file: &Path,
    numbers: &mut dyn Iterator<Item = Result<usize>>,
    worker: &Worker,
    tell: &mut dyn FnMut(&Outcome) -> Result<()>,
) -> Result<()> {
    let tasks = read_tasks(file)?;
    let folder: PathBuf = file
        .parent()
        .and_then(Path::parent)
        .unwrap_or(Path::new("."))
        .to_owned();
    let mut models = Models::default();
    for number in numbers {
        let number = number?;
        let task = tasks.get(number).ok_or_else(|| {
            Error::Input(format!("there is no task {number}, the list has {}", tasks.len()))
        })?;
        if task
            .after
            .iter()
            .filter_map(|t| tasks.get(*t))
            .any(|before| has_failed(&folder, before))
        {
            continue;
        }
        let started = Instant::now();
        let done = guarded(|| one(task, worker, &mut models));
        worker.cancel.check()?;
        if done.is_err() {
            models = Models::default();
        }
        let outcome = Outcome {
            task: number,
            fatal: done.as_ref().err().is_some_and(no_space),
            error: done.err().map(|e| e.to_string()),
            seconds: started.elapsed().as_secs_f64(),
        };
        keep(&folder, task, &outcome)?;
        tell(&outcome)?;
    }
    Ok(())
}

/// A task behind one that failed is not done: what it lacks would only be tried again.
fn has_failed(folder: &Path, task: &Task) -> bool {
    let outcome = std::fs::read_to_string(outcome_file(folder, &task.name)).ok();
    let outcome = outcome.and_then(|text| serde_json::from_str::<Outcome>(&text).ok());
    outcome.is_some_and(|outcome| outcome.error.is_some())
}

fn one(task: &Task, worker: &Worker, models: &mut Models) -> Result<()> {
    let resolved = (worker.load)(&task.config)?;
    let threads = resolved.pipeline.threads.or(worker.threads);
    if let Some(threads) = threads.and_then(|n| i32::try_from(n).ok()) {
        tch::set_num_threads(threads);
    }
    let options = RunOptions {
        out: Some(task.run.clone()),
        fresh: false,
        resume: false,
        // Hundreds of runs are compared by their numbers; one that is looked at is run by itself.
        record: false,
        save_every: SAVE_EVERY,
        progress: worker.progress,
        cancel: worker.cancel,
    };
    match task.step {
        Step::Encoder { map } => extract(&resolved, &options, !map).map(|_| ()),
        Step::Model => prepare_after(&resolved, &options, models),
        Step::Run => run_after(&resolved, &options, models).map(|_| ()),
    }
}

/// A panic is a bug, and stops this task alone.
fn guarded(body: impl FnOnce() -> Result<()>) -> Result<()> {
    catch_unwind(AssertUnwindSafe(body)).unwrap_or_else(|payload| {
        let text = payload.downcast_ref::<String>().map(String::as_str);
        let text = text.or_else(|| payload.downcast_ref::<&str>().copied());
        Err(Error::Input(format!(
            "internal error, please report it: {}",
            text.unwrap_or("no message")
        )))
    })
}

/// Is a disk full? Then every other task would fail as well.
fn no_space(error: &Error) -> bool {
    match error {
        Error::Io { source, .. } => {
            use std::io::ErrorKind::{QuotaExceeded, ReadOnlyFilesystem, StorageFull};
            matches!(source.kind(), StorageFull | QuotaExceeded | ReadOnlyFilesystem)
        }
        Error::Context { source, .. } => no_space(source),
        _ => false,
    }
}

fn keep(folder: &Path, task: &Task, outcome: &Outcome) -> Result<()> {
    let path = outcome_file(folder, &task.name);
    let text = serde_json::to_string(outcome).map_err(|e| Error::Input(e.to_string()))?;
    match write_atomically(&path, text.as_bytes()) {
        // Where nothing can be written any more, the launcher is still told.
        Err(_) if outcome.fatal => Ok(()),
        written => written,
    }
}
