//! Where the tasks of a sweep run: on this machine, or on a cluster.

use std::fmt::Debug;
use std::path::PathBuf;

use crate::progress::Cancel;
use crate::{Problems, Result};

/// One piece of a sweep, done by a process of its own or by one that does several.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SweepTask {
    /// Name for people and logs.
    pub name: String,
    /// Step of the sweep that it belongs to; a task waits for tasks of earlier stages alone.
    pub stage: usize,
    /// Tasks that must have succeeded before, by their numbers.
    pub after: Vec<usize>,
    /// Tasks that agree in this share what a process holds in memory: better done one after the other in one process.
    pub affinity: String,
}

/// All that a launcher needs to know.
#[derive(Clone, Debug)]
pub struct Sweep {
    /// Name of the sweep.
    pub name: String,
    /// The tasks that are left, by their number.
    pub tasks: Vec<SweepTask>,
    /// The program that does them.
    pub program: PathBuf,
    /// Its arguments. With `--tasks 3,4` behind them it does these tasks and ends; without, it reads numbers of tasks, one a
    /// line, from its standard input until that ends. It writes one line of JSON for each task to its standard output, an
    /// [`Outcome`] with the task's number.
    pub arguments: Vec<String>,
    /// Folder for scripts and logs; exists.
    pub folder: PathBuf,
    /// Folder in which `NAME.json`, an [`Outcome`], appears when the task of this name is over.
    pub outcomes: PathBuf,
}

/// How a task ended.
#[derive(Clone, Debug, PartialEq, serde::Serialize, serde::Deserialize)]
pub struct Outcome {
    /// Number of the task.
    pub task: usize,
    /// What went wrong; `None` for success.
    pub error: Option<String>,
    /// Set when the tasks that are left would fail in the same way (a full disk, say): nothing more is begun.
    #[serde(default)]
    pub fatal: bool,
    /// Time it took, seconds.
    pub seconds: f64,
}

/// What is told while a sweep runs.
pub trait Watch {
    /// A worker (by its number) took up a task.
    fn begun(&mut self, task: usize, worker: usize);
    /// A task is over.
    fn ended(&mut self, outcome: &Outcome);
    /// Something worth a line: a job that was submitted, say.
    fn note(&mut self, text: &str);
}

/// Runs the tasks of a sweep.
pub trait Launcher: Send {
    /// Runs all tasks, in any order that keeps a task behind those it waits for, and returns when none is left that can run:
    /// tasks that wait for a failed one are not run. Failed tasks do not stop the others.
    ///
    /// # Errors
    /// [`crate::Error::Cancelled`] when asked to stop: what runs here is stopped first, what runs elsewhere goes on; when the
    /// place where tasks run cannot be reached or refuses.
    fn launch(&mut self, sweep: &Sweep, watch: &mut dyn Watch, cancel: &Cancel) -> Result<()>;

    /// Hands the tasks over and returns; for launchers of places that go on by themselves. True when that was done.
    ///
    /// # Errors
    /// As [`Self::launch`].
    fn submit(&mut self, sweep: &Sweep, watch: &mut dyn Watch) -> Result<bool> {
        let _ = (sweep, watch);
        Ok(false)
    }

    /// A line or more on what is queued and running elsewhere, for a sweep that was handed over; `None` when nothing is.
    ///
    /// # Errors
    /// When the place cannot be asked.
    fn status(&mut self, sweep: &Sweep) -> Result<Option<String>> {
        let _ = sweep;
        Ok(None)
    }

    /// Stops what was handed over. True when there was anything.
    ///
    /// # Errors
    /// When the place cannot be told.
    fn cancel(&mut self, sweep: &Sweep) -> Result<bool> {
        let _ = sweep;
        Ok(false)
    }
}

/// Options of a launcher.
#[typetag::serde(tag = "type")]
pub trait LauncherConfig: Debug + Send + Sync {
    /// Judges the options alone; touches nothing.
    fn validate(&self, problems: &mut Problems);

    /// Builds the launcher; touches nothing yet.
    ///
    /// # Errors
    /// When it cannot work here at all.
    fn build(&self) -> Result<Box<dyn Launcher>>;
}
