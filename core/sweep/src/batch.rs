//! Cells on their way: handed to a launcher, looked after, counted.

use std::path::PathBuf;

use szar_core::checkpoint::write_atomically;
use szar_core::{Cancel, Error, LauncherConfig, Outcome, Result, Sweep, SweepTask, Watch};

use crate::grid::{Cell, State};
use crate::plan::{Plan, Progressed};

/// Who looks after a batch: knows the tasks before the first begins.
pub trait Overseer: Watch {
    /// These tasks come next.
    fn handed(&mut self, sweep: &Sweep);
}

/// How to run cells, as far as it does not change results.
pub struct BatchOptions<'a> {
    /// The program that does tasks: `work FILE` and what [`Sweep`] says.
    pub program: PathBuf,
    /// Where progress goes.
    pub watch: &'a mut dyn Overseer,
    /// When to stop.
    pub cancel: &'a Cancel,
}

/// Cells, and what has to be done for them.
#[derive(Debug)]
pub struct Batch {
    /// Name for jobs and messages.
    pub name: String,
    /// Folder of everything.
    pub folder: PathBuf,
    /// The cells.
    pub cells: Vec<Cell>,
    /// Their tasks.
    pub plan: Plan,
}

/// How cells ended.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Ended {
    /// Cells whose report is there.
    pub finished: usize,
    /// Cells that failed, by their label, and why.
    pub failed: Vec<(String, String)>,
    /// Cells that cannot run, by their label, and why.
    pub invalid: Vec<(String, String)>,
    /// Cells that are neither: they were stopped, or go on elsewhere.
    pub waiting: usize,
}

impl Batch {
    /// Plans some cells. Writes nothing.
    pub fn new(name: &str, folder: PathBuf, cells: Vec<Cell>) -> Self {
        Self {
            plan: Plan::new(&folder, &cells),
            name: name.to_owned(),
            folder,
            cells,
        }
    }

    /// Runs what is left, and waits for it.
    ///
    /// # Errors
    /// When the folder cannot be written, the launcher refuses, or the user stops; what is finished is kept.
    pub fn run(&self, launcher: &dyn LauncherConfig, options: BatchOptions) -> Result<()> {
        let Some(sweep) = self.sweep(options.program)? else {
            return Ok(());
        };
        options.watch.handed(&sweep);
        let mut keeper = Keeper {
            sweep: &sweep,
            watch: options.watch,
        };
        launcher.build()?.launch(&sweep, &mut keeper, options.cancel)
    }

    /// Hands what is left to a launcher of a place that goes on by itself.
    ///
    /// # Errors
    /// As [`Self::run`]; [`Error::Input`] for a launcher that has no such place.
    pub fn submit(&self, launcher: &dyn LauncherConfig, options: BatchOptions) -> Result<()> {
        let Some(sweep) = self.sweep(options.program)? else {
            return Ok(());
        };
        if launcher.build()?.submit(&sweep, options.watch)? {
            return Ok(());
        }
        let name = launcher.typetag_name();
        Err(Error::Input(format!(
            "launcher `{name}` runs only as long as this program does: leave `--detach` out"
        )))
    }

    /// What a launcher knows of tasks that were handed over.
    ///
    /// # Errors
    /// When the place cannot be asked.
    pub fn queue(&self, launcher: &dyn LauncherConfig) -> Result<Option<String>> {
        launcher
            .build()?
            .status(&self.described(PathBuf::new(), Vec::new(), Vec::new()))
    }

    /// Stops tasks that were handed over. True when there was anything to stop.
    ///
    /// # Errors
    /// When the place cannot be told.
    pub fn stop(&self, launcher: &dyn LauncherConfig) -> Result<bool> {
        launcher
            .build()?
            .cancel(&self.described(PathBuf::new(), Vec::new(), Vec::new()))
    }

    /// What is left to do, written down; `None` when there is nothing.
    fn sweep(&self, program: PathBuf) -> Result<Option<Sweep>> {
        let left = self.plan.left();
        if left.is_empty() {
            return Ok(None);
        }
        let file = self.plan.write(&self.cells, &left)?;
        let tasks = self.plan.hand_out(&left)?;
        let arguments = vec!["work".into(), file.display().to_string()];
        Ok(Some(self.described(program, arguments, tasks)))
    }

    fn described(&self, program: PathBuf, arguments: Vec<String>, tasks: Vec<SweepTask>) -> Sweep {
        Sweep {
            name: self.name.clone(),
            tasks,
            program,
            arguments,
            folder: self.folder.join("logs"),
            outcomes: self.folder.join("outcomes"),
        }
    }

    /// How far the cells are.
    ///
    /// # Errors
    /// When an outcome's file is damaged.
    pub fn ended(&self) -> Result<Ended> {
        let mut ended = Ended::default();
        for (i, cell) in self.cells.iter().enumerate() {
            match (self.plan.progress(i)?, &cell.state) {
                (Some(Progressed::Finished), _) => ended.finished += 1,
                (Some(Progressed::Failed(why)), _) => ended.failed.push((cell.label(), why)),
                (None, State::Invalid(why)) => ended.invalid.push((cell.label(), why.clone())),
                (Some(Progressed::Waiting), _) | (None, State::Valid(_)) => ended.waiting += 1,
            }
        }
        Ok(ended)
    }

    /// Number of tasks that are left.
    pub fn left(&self) -> usize {
        self.plan.left().len()
    }

    /// Names of the tasks that are left.
    pub fn task_names(&self) -> Vec<String> {
        self.plan
            .left()
            .iter()
            .map(|t| self.plan.tasks[*t].name.clone())
            .collect()
    }
}

/// Keeps what the launcher alone knows: that a process ended without a word of its task.
struct Keeper<'a> {
    sweep: &'a Sweep,
    watch: &'a mut dyn Overseer,
}

impl Watch for Keeper<'_> {
    fn begun(&mut self, task: usize, worker: usize) {
        self.watch.begun(task, worker);
    }

    fn ended(&mut self, outcome: &Outcome) {
        let file = self
            .sweep
            .outcomes
            .join(format!("{}.json", self.sweep.tasks[outcome.task].name));
        if outcome.error.is_some() && !file.exists() {
            let text = serde_json::to_string(outcome).unwrap_or_default();
            if let Err(error) = write_atomically(&file, text.as_bytes()) {
                tracing::warn!(%error, "the outcome of a task could not be kept");
            }
        }
        self.watch.ended(outcome);
    }

    fn note(&mut self, text: &str) {
        self.watch.note(text);
    }
}
