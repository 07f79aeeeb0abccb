//! What has to be done for the cells of a grid, each training and extraction once, and what of it is done already.
//!
//! | step      | gives                                             | waits for                                  |
//! |-----------|---------------------------------------------------|--------------------------------------------|
//! | `encoder` | a trained encoder and its features                |                                            |
//! | `model`   | a trained aligner on these features               | its encoder                                |
//! | `run`     | the streams of one cell, its report               | its model                                  |
//!
//! Steps that a single cell needs are that cell's own.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};
use szar_core::checkpoint::write_atomically;
use szar_core::config::Resolved;
use szar_core::{Error, Outcome, Result, SweepTask};
use szar_runner::{encoder_key, model_key, reads_map};

use crate::grid::Cell;

/// What a task does.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub(crate) enum Step {
    /// Trains an encoder and keeps its features, the map where some cell wants it.
    Encoder {
        /// Is the map wanted?
        map: bool,
    },
    /// Trains an aligner.
    Model,
    /// Plays the streams.
    Run,
}

/// A task as a process finds it in the plan's file.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Task {
    /// Unique; also the name of the file of its outcome.
    pub name: String,
    pub step: Step,
    /// The pipeline.
    pub config: PathBuf,
    /// Folder of the run.
    pub run: PathBuf,
    /// Numbers of tasks that must have succeeded before.
    pub after: Vec<usize>,
    pub affinity: String,
}

/// One pipeline to run; cells that come to the same pipeline share it.
#[derive(Debug)]
struct Entry {
    run: PathBuf,
    /// The task that finishes it.
    task: usize,
}

/// The tasks of a grid, and where their outcomes are.
#[derive(Debug)]
pub struct Plan {
    folder: PathBuf,
    pub(crate) tasks: Vec<Task>,
    entries: Vec<Entry>,
    /// The entry of each cell; `None` for those that cannot run.
    cells: Vec<Option<usize>>,
}

/// How far a cell is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Progressed {
    /// Its report is there.
    Finished,
    /// It, or something that it needs, failed with this message.
    Failed(String),
    /// Not yet.
    Waiting,
}

impl Plan {
    /// The plan of some cells, in a folder. Writes nothing.
    pub fn new(folder: &Path, cells: &[Cell]) -> Self {
        let mut this = Self {
            folder: folder.to_owned(),
            tasks: Vec::new(),
            entries: Vec::new(),
            cells: Vec::new(),
        };
        let pipelines = this.collect(cells);
        this.share(&pipelines);
        this
    }

    /// The distinct pipelines; an entry and a last task for each.
    fn collect<'a>(&mut self, cells: &'a [Cell]) -> Vec<&'a Resolved> {
        let mut known: BTreeMap<String, usize> = BTreeMap::new();
        let mut pipelines = Vec::new();
        for cell in cells {
            let Some(resolved) = cell.resolved() else {
                self.cells.push(None);
                continue;
            };
            let hash = resolved.hash();
            let entry = *known.entry(hash.clone()).or_insert_with(|| {
                let name = format!("{}-{}", slug(&cell.label()), &hash[..12]);
                let task = Task {
                    name: format!("run-{name}"),
                    step: Step::Run,
                    config: self.folder.join("configs").join(format!("{name}.yaml")),
                    run: self.folder.join("runs").join(&name),
                    after: Vec::new(),
                    affinity: model_key(resolved),
                };
                self.entries.push(Entry {
                    run: task.run.clone(),
                    task: self.tasks.len(),
                });
                self.tasks.push(task);
                pipelines.push(resolved);
                pipelines.len() - 1
            });
            self.cells.push(Some(entry));
        }
        pipelines
    }

    /// Tasks for what several pipelines need, done in the folder of the first of them.
    fn share(&mut self, pipelines: &[&Resolved]) {
        let by = |key: fn(&Resolved) -> String| {
            let mut groups: BTreeMap<String, Vec<usize>> = BTreeMap::new();
            for (i, resolved) in pipelines.iter().enumerate() {
                groups.entry(key(resolved)).or_default().push(i);
            }
            let mut groups: Vec<(String, Vec<usize>)> = groups.into_iter().collect();
            groups.sort_by_key(|(_, members)| members[0]);
            groups
        };
        let models = by(model_key);
        for (key, members) in by(encoder_key) {
            let of_encoder = |group: &&(String, Vec<usize>)| members.contains(&group.1[0]);
            let models: Vec<_> = models.iter().filter(of_encoder).collect();
            let keeps = pipelines[members[0]].pipeline.features.keep;
            let map = members.iter().any(|i| reads_map(pipelines[*i]));
            let wanted = models.len() > 1 && keeps;
            let encoder =
                wanted.then(|| self.first(members[0], "encoder", Step::Encoder { map }, &key, None));
            for (key, members) in models {
                let shared = members.len() > 1;
                let model = shared.then(|| self.first(members[0], "model", Step::Model, key, encoder));
                for member in members {
                    self.tasks[*member].after.extend(model.or(encoder));
                }
            }
        }
    }

    /// A task in the folder of an entry.
    fn first(&mut self, entry: usize, word: &str, step: Step, key: &str, after: Option<usize>) -> usize {
        let of = &self.tasks[entry];
        let name = of.name.strip_prefix("run-").unwrap_or(&of.name);
        let task = Task {
            name: format!("{word}-{name}"),
            step,
            after: after.into_iter().collect(),
            affinity: key.to_owned(),
            ..of.clone()
        };
        self.tasks.push(task);
        self.tasks.len() - 1
    }

    /// Pipelines to run.
    pub fn pipelines(&self) -> usize {
        self.entries.len()
    }

    /// Folder of a cell's run.
    pub fn run_of(&self, cell: usize) -> Option<&Path> {
        Some(&self.entries[self.cells[cell]?].run)
    }

    /// How far a cell is; `None` for one that cannot run.
    ///
    /// # Errors
    /// When the file of an outcome is damaged.
    pub fn progress(&self, cell: usize) -> Result<Option<Progressed>> {
        let Some(entry) = self.cells[cell].map(|entry| &self.entries[entry]) else {
            return Ok(None);
        };
        if entry.run.join("report.json").exists() {
            return Ok(Some(Progressed::Finished));
        }
        let failed = self.failure(entry.task)?;
        Ok(Some(failed.map_or(Progressed::Waiting, Progressed::Failed)))
    }

    /// What stopped a task: its own failure, or that of one that it waits for.
    fn failure(&self, task: usize) -> Result<Option<String>> {
        if let Some(error) = self.outcome(task)?.and_then(|outcome| outcome.error) {
            return Ok(Some(error));
        }
        for before in &self.tasks[task].after {
            if let Some(why) = self.failure(*before)? {
                return Ok(Some(format!("`{}` failed: {why}", self.tasks[*before].name)));
            }
        }
        Ok(None)
    }

    fn outcome(&self, task: usize) -> Result<Option<Outcome>> {
        let path = outcome_file(&self.folder, &self.tasks[task].name);
        match fs::read_to_string(&path) {
            Ok(text) => serde_json::from_str(&text)
                .map(Some)
                .map_err(|e| Error::format(&path, format!("line {}", e.line()), e.to_string())),
            Err(e) if e.kind() == std::io::ErrorKind::NotFound => Ok(None),
            Err(e) => Err(Error::read(&path, e)),
        }
    }

    /// Numbers of the tasks that are left, each behind those it waits for: the runs without a report, and what they share
    /// with others that are left.
    pub fn left(&self) -> Vec<usize> {
        let open = |task: &usize| !self.tasks[*task].run.join("report.json").exists();
        let runs: Vec<usize> = self.entries.iter().map(|e| e.task).filter(open).collect();
        let waits = |task: usize, on: usize| {
            let after = &self.tasks[task].after;
            after.contains(&on) || after.iter().any(|t| self.tasks[*t].after.contains(&on))
        };
        let shared = (self.entries.len()..self.tasks.len()).filter(|t| runs.iter().any(|r| waits(*r, *t)));
        let mut left: Vec<usize> = shared.collect();
        left.sort_by_key(|t| (self.stage(*t), *t));
        left.extend(runs);
        left
    }

    fn stage(&self, task: usize) -> usize {
        match self.tasks[task].step {
            Step::Encoder { .. } => 0,
            Step::Model => 1,
            Step::Run => 2,
        }
    }

    /// Tasks for a launcher, with the numbers that these have in the plan. What failed earlier is forgotten.
    ///
    /// # Errors
    /// When the folder cannot be written.
    pub fn hand_out(&self, left: &[usize]) -> Result<Vec<SweepTask>> {
        for task in left {
            forget(&outcome_file(&self.folder, &self.tasks[*task].name))?;
        }
        let place = |task: &usize| left.iter().position(|t| t == task);
        let one = |task: &usize| {
            let of = &self.tasks[*task];
            SweepTask {
                name: of.name.clone(),
                stage: self.stage(*task),
                after: of.after.iter().filter_map(place).collect(),
                affinity: of.affinity.clone(),
            }
        };
        Ok(left.iter().map(one).collect())
    }

    /// Writes the pipelines of the cells and the list of tasks, in the order of `left`, for the processes that do them.
    ///
    /// # Errors
    /// When the folder cannot be written.
    pub fn write(&self, cells: &[Cell], left: &[usize]) -> Result<PathBuf> {
        for folder in ["configs", "runs", "logs", "outcomes"].map(|name| self.folder.join(name)) {
            fs::create_dir_all(&folder).map_err(|e| Error::write(&folder, e))?;
        }
        let mut written = vec![false; self.entries.len()];
        for (cell, entry) in cells.iter().zip(&self.cells) {
            let (Some(resolved), Some(entry)) = (cell.resolved(), entry) else {
                continue;
            };
            let config = &self.tasks[self.entries[*entry].task].config;
            if !std::mem::replace(&mut written[*entry], true) && !config.exists() {
                write_atomically(config, resolved.to_yaml()?.as_bytes())?;
            }
        }
        let place = |task: &usize| left.iter().position(|t| t == task);
        let renumbered = |of: &Task| Task {
            after: of.after.iter().filter_map(place).collect(),
            ..of.clone()
        };
        let tasks: Vec<Task> = left.iter().map(|t| renumbered(&self.tasks[*t])).collect();
        let text = serde_json::to_string(&tasks).map_err(|e| Error::Input(e.to_string()))?;
        // Several lists may be in use at once: jobs of a cluster go on while a new call looks at what is left.
        let path = self
            .folder
            .join("outcomes")
            .join(format!("tasks-{}.json", digest(&text)));
        if !path.exists() {
            write_atomically(&path, text.as_bytes())?;
        }
        Ok(path)
    }
}

/// The tasks in a file that [`Plan::write`] wrote.
pub(crate) fn read_tasks(path: &Path) -> Result<Vec<Task>> {
    let text = fs::read_to_string(path).map_err(|e| Error::read(path, e))?;
    serde_json::from_str(&text).map_err(|e| Error::format(path, format!("line {}", e.line()), e.to_string()))
}

/// Where the outcome of a task is kept.
pub(crate) fn outcome_file(folder: &Path, task: &str) -> PathBuf {
    folder.join("outcomes").join(format!("{task}.json"))
}

fn forget(path: &Path) -> Result<()> {
    match fs::remove_file(path) {
        Err(e) if e.kind() != std::io::ErrorKind::NotFound => Err(Error::write(path, e)),
        _ => Ok(()),
    }
}

/// A name for files: words of small letters and digits, at most 60 characters.
fn slug(label: &str) -> String {
    let plain = |c: char| {
        if c.is_ascii_alphanumeric() || c == '.' {
            c.to_ascii_lowercase()
        } else {
            ' '
        }
    };
    let text: String = label.chars().map(plain).collect();
    let words: Vec<&str> = text.split_whitespace().collect();
    let joined = words.join("-");
    let short: String = joined.chars().take(60).collect();
    if short.is_empty() {
        "cell".into()
    } else {
        short.trim_matches('-').to_owned()
    }
}

fn digest(text: &str) -> String {
    szar_runner::content_hash([text], [])[..16].to_owned()
}
