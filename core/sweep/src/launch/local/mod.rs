//! `local`: some processes on this machine, each with a share of its cores.

use std::collections::VecDeque;
use std::fs::File;
use std::io::{BufRead, BufReader, Write};
use std::os::unix::process::CommandExt;
use std::process::{Child, ChildStdin, Command, Stdio};
use std::sync::mpsc::{Receiver, RecvTimeoutError, Sender, channel};
use std::time::{Duration, Instant};

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use szar_core::{
    Cancel, ComponentInfo, ComponentKind, Error, Launcher, LauncherConfig, Outcome, Problems, Result, Sweep,
    Watch,
};

/// How often a wish to stop is looked for.
const POLL: Duration = Duration::from_millis(200);

/// Options of the `local` launcher.
#[derive(Clone, Debug, Default, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct LocalConfig {
    /// Processes at once, at least 1. Default: one for each core, or for each of `devices`.
    pub workers: Option<usize>,
    /// Threads of libtorch in each, at least 1, for pipelines that name none. Default: the cores, shared out evenly.
    pub threads: Option<usize>,
    /// GPUs by number: each process sees one of them, in turn. Default: none, every process sees all there are.
    pub devices: Vec<usize>,
}

#[typetag::serde(name = "local")]
impl LauncherConfig for LocalConfig {
    fn validate(&self, problems: &mut Problems) {
        for (field, count) in [("workers", self.workers), ("threads", self.threads)] {
            problems.check(count != Some(0), field, || "must be at least 1, got 0".into());
        }
    }

    fn build(&self) -> Result<Box<dyn Launcher>> {
        let cores = std::thread::available_parallelism().map_or(1, Into::into);
        let devices = (!self.devices.is_empty()).then_some(self.devices.len());
        let workers = self.workers.or(devices).unwrap_or(cores);
        Ok(Box::new(Local {
            workers,
            threads: self.threads.unwrap_or((cores / workers).max(1)),
            devices: self.devices.clone(),
        }))
    }
}

inventory::submit! {
    ComponentInfo::new::<LocalConfig>(ComponentKind::Launcher, "local", "Runs the tasks of a sweep on this machine.", "")
}

struct Local {
    workers: usize,
    threads: usize,
    devices: Vec<usize>,
}

impl Launcher for Local {
    fn launch(&mut self, sweep: &Sweep, watch: &mut dyn Watch, cancel: &Cancel) -> Result<()> {
        if sweep.tasks.is_empty() {
            return Ok(());
        }
        let (tell, news) = channel();
        let count = self.workers.min(sweep.tasks.len());
        let mut pool = Pool {
            local: self,
            sweep,
            tell,
            workers: Vec::new(),
            board: Board::new(sweep),
        };
        for number in 0..count {
            let worker = pool.start(number)?;
            pool.workers.push(worker);
        }
        pool.run(&news, watch, cancel)
    }
}

/// Which tasks are left, running, done.
struct Board<'a> {
    sweep: &'a Sweep,
    waiting: VecDeque<usize>,
    succeeded: Vec<bool>,
    closed: bool,
}

impl<'a> Board<'a> {
    fn new(sweep: &'a Sweep) -> Self {
        Self {
            sweep,
            waiting: (0..sweep.tasks.len()).collect(),
            succeeded: vec![false; sweep.tasks.len()],
            closed: false,
        }
    }

    /// The next task for a process that did one of `affinity` last; what another one is busy with is left to it while there
    /// is anything else.
    fn next(&mut self, affinity: Option<&str>, busy: &[&str]) -> Option<usize> {
        if self.closed {
            return None;
        }
        let tasks = &self.sweep.tasks;
        let ready = |task: &usize| tasks[*task].after.iter().all(|before| self.succeeded[*before]);
        let ready: Vec<usize> = (0..self.waiting.len())
            .filter(|at| ready(&self.waiting[*at]))
            .collect();
        let of = |at: &usize| tasks[self.waiting[*at]].affinity.as_str();
        let own = ready.iter().find(|at| Some(of(at)) == affinity);
        let free = || ready.iter().find(|at| !busy.contains(&of(at)));
        let at = own.or_else(free).or_else(|| ready.first())?;
        self.waiting.remove(*at)
    }
}

enum News {
    Line(usize, String),
    /// The process closed its output.
    End(usize),
}

struct Process {
    child: Child,
    input: Option<ChildStdin>,
    task: Option<(usize, Instant)>,
    affinity: Option<String>,
}

struct Pool<'a> {
    local: &'a Local,
    sweep: &'a Sweep,
    tell: Sender<News>,
    workers: Vec<Process>,
    board: Board<'a>,
}

impl Pool<'_> {
    fn start(&self, number: usize) -> Result<Process> {
        let log = self.sweep.folder.join(format!("worker-{number}.log"));
        let errors = File::options()
            .create(true)
            .append(true)
            .open(&log)
            .map_err(|e| Error::write(&log, e))?;
        let mut command = Command::new(&self.sweep.program);
        command
            .args(&self.sweep.arguments)
            .args(["--threads", &self.local.threads.to_string()])
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(errors)
            // What the user types reaches this process alone; the others are told by the end of their input.
            .process_group(0);
        if let Some(device) = self.local.devices.get(number % self.local.devices.len().max(1)) {
            command.env("CUDA_VISIBLE_DEVICES", device.to_string());
        }
        let start = |e| Error::Io {
            action: "start",
            path: self.sweep.program.clone(),
            source: e,
        };
        let mut child = command.spawn().map_err(start)?;
        let input = child.stdin.take();
        if let Some(output) = child.stdout.take() {
            let tell = self.tell.clone();
            std::thread::spawn(move || {
                for line in BufReader::new(output).lines().map_while(std::io::Result::ok) {
                    let _ = tell.send(News::Line(number, line));
                }
                let _ = tell.send(News::End(number));
            });
        }
        Ok(Process {
            child,
            input,
            task: None,
            affinity: None,
        })
    }

    fn run(&mut self, news: &Receiver<News>, watch: &mut dyn Watch, cancel: &Cancel) -> Result<()> {
        self.hand_out(watch)?;
        while self.workers.iter().any(|w| w.task.is_some()) {
            match news.recv_timeout(POLL) {
                Ok(News::Line(worker, line)) => self.heard(worker, &line, watch),
                Ok(News::End(worker)) => self.ended(worker, watch, cancel)?,
                Err(RecvTimeoutError::Timeout | RecvTimeoutError::Disconnected) => {}
            }
            if cancel.requested() {
                self.board.closed = true;
                self.workers.iter_mut().for_each(|w| w.input = None);
            }
            self.hand_out(watch)?;
        }
        self.dismiss();
        cancel.check()
    }

    /// Gives every idle process a task, as far as there are any that can begin.
    fn hand_out(&mut self, watch: &mut dyn Watch) -> Result<()> {
        for number in 0..self.workers.len() {
            if self.workers[number].task.is_some() {
                continue;
            }
            let busy = self.workers.iter().filter(|w| w.task.is_some());
            let busy: Vec<&str> = busy.filter_map(|w| w.affinity.as_deref()).collect();
            let affinity = self.workers[number].affinity.clone();
            let Some(task) = self.board.next(affinity.as_deref(), &busy) else {
                continue;
            };
            self.give(number, task)?;
            watch.begun(task, number);
        }
        Ok(())
    }

    fn give(&mut self, number: usize, task: usize) -> Result<()> {
        if self.workers[number].input.is_none() {
            self.workers[number] = self.start(number)?;
        }
        let worker = &mut self.workers[number];
        worker.task = Some((task, Instant::now()));
        worker.affinity = Some(self.sweep.tasks[task].affinity.clone());
        // One that has ended will be noticed by the end of its output.
        if let Some(input) = &mut worker.input
            && writeln!(input, "{task}").and_then(|()| input.flush()).is_err()
        {
            worker.input = None;
        }
        Ok(())
    }

    fn heard(&mut self, number: usize, line: &str, watch: &mut dyn Watch) {
        let Ok(outcome) = serde_json::from_str::<Outcome>(line) else {
            watch.note(line);
            return;
        };
        let expected = self.workers[number]
            .task
            .is_some_and(|(task, _)| task == outcome.task);
        if expected {
            self.workers[number].task = None;
            self.over(&outcome, watch);
        }
    }

    fn over(&mut self, outcome: &Outcome, watch: &mut dyn Watch) {
        self.board.succeeded[outcome.task] = outcome.error.is_none();
        self.board.closed |= outcome.fatal;
        watch.ended(outcome);
    }

    /// A process that ends while it has a task took the task with it.
    fn ended(&mut self, number: usize, watch: &mut dyn Watch, cancel: &Cancel) -> Result<()> {
        let worker = &mut self.workers[number];
        worker.input = None;
        let status = worker
            .child
            .wait()
            .map_err(|e| Error::read(&self.sweep.program, e))?;
        let Some((task, begun)) = worker.task.take() else {
            return Ok(());
        };
        if cancel.requested() {
            return Ok(());
        }
        let log = self.sweep.folder.join(format!("worker-{number}.log"));
        let error = format!(
            "the process that did it ended by itself ({status}); its last words are in {}",
            log.display()
        );
        let outcome = Outcome {
            task,
            error: Some(error),
            fatal: false,
            seconds: begun.elapsed().as_secs_f64(),
        };
        self.over(&outcome, watch);
        Ok(())
    }

    fn dismiss(&mut self) {
        for worker in &mut self.workers {
            worker.input = None;
        }
        for worker in &mut self.workers {
            let _ = worker.child.wait();
        }
    }
}

impl Drop for Pool<'_> {
    /// After an error, nothing is left running.
    fn drop(&mut self) {
        for worker in &mut self.workers {
            let _ = worker.child.kill();
            let _ = worker.child.wait();
        }
    }
}

#[cfg(test)]
mod tests;
