//! `slurm`: job arrays on a Slurm cluster, one array a stage, each behind the one before.
//!
//! The study's folder must be on a file system that all nodes share, as must the program and the data. Outcomes come back
//! through that folder, so that it does not matter whether anyone waits.

mod client;
mod config;
mod script;
#[cfg(test)]
mod tests;

use std::collections::BTreeSet;
use std::fs;
use std::path::PathBuf;
use std::time::Duration;

use serde::{Deserialize, Serialize};
use szar_core::checkpoint::write_atomically;
use szar_core::{Cancel, Error, Launcher, Outcome, Result, Sweep, Watch};

pub use config::SlurmConfig;

use client::Client;
use script::{Array, arrays};

/// What was handed over, for a later call.
#[derive(Debug, Default, Serialize, Deserialize)]
struct Handed {
    /// Numbers of the jobs.
    jobs: Vec<String>,
}

struct Slurm {
    config: SlurmConfig,
    client: Client,
}

impl Slurm {
    fn file(sweep: &Sweep) -> PathBuf {
        sweep.folder.join("slurm.json")
    }

    /// The jobs that were handed over for a study and are still in the queue.
    fn alive(&self, sweep: &Sweep) -> Result<Vec<String>> {
        let path = Self::file(sweep);
        let text = match fs::read_to_string(&path) {
            Ok(text) => text,
            Err(e) if e.kind() == std::io::ErrorKind::NotFound => return Ok(Vec::new()),
            Err(e) => return Err(Error::read(&path, e)),
        };
        let handed: Handed = serde_json::from_str(&text)
            .map_err(|e| Error::format(&path, format!("line {}", e.line()), e.to_string()))?;
        let queued = self.client.queue(&handed.jobs)?;
        let ids: BTreeSet<&str> = queued.iter().map(|line| line.job.as_str()).collect();
        Ok(handed
            .jobs
            .into_iter()
            .filter(|job| ids.contains(job.as_str()))
            .collect())
    }

    fn hand_over(&self, sweep: &Sweep, watch: &mut dyn Watch) -> Result<Vec<String>> {
        let alive = self.alive(sweep)?;
        if !alive.is_empty() {
            watch.note(&format!(
                "jobs of this study are in the queue already: {}",
                alive.join(", ")
            ));
            return Ok(alive);
        }
        let mut jobs: Vec<String> = Vec::new();
        let mut before: Vec<String> = Vec::new();
        for stage in arrays(sweep, &self.config) {
            let mut now = Vec::new();
            for array in &stage {
                let job = self.submit_one(sweep, array, &before, jobs.len());
                let job = job.inspect_err(|_| {
                    // Half a study would wait for what never comes.
                    let _ = self.client.cancel(&jobs);
                })?;
                watch.note(&format!(
                    "job {job}: {} tasks of stage {}",
                    array.tasks(),
                    array.stage
                ));
                now.push(job.clone());
                jobs.push(job);
            }
            before = now;
        }
        let text =
            serde_json::to_string(&Handed { jobs: jobs.clone() }).map_err(|e| Error::Input(e.to_string()))?;
        write_atomically(&Self::file(sweep), text.as_bytes())?;
        Ok(jobs)
    }

    fn submit_one(&self, sweep: &Sweep, array: &Array, before: &[String], number: usize) -> Result<String> {
        let path = sweep.folder.join(format!("slurm-{number}.sh"));
        write_atomically(&path, array.script(sweep, &self.config).as_bytes())?;
        self.client.submit(&path, before)
    }

    /// Tells of tasks that are over since the last time.
    fn news(sweep: &Sweep, told: &mut [bool], watch: &mut dyn Watch) {
        for (i, task) in sweep
            .tasks
            .iter()
            .enumerate()
            .filter(|(i, _)| !told[*i])
            .collect::<Vec<_>>()
        {
            let text = fs::read_to_string(sweep.outcomes.join(format!("{}.json", task.name)));
            let outcome = text
                .ok()
                .and_then(|text| serde_json::from_str::<Outcome>(&text).ok());
            if let Some(outcome) = outcome {
                told[i] = true;
                watch.ended(&Outcome { task: i, ..outcome });
            }
        }
    }

    fn wait(&self, sweep: &Sweep, jobs: &[String], watch: &mut dyn Watch, cancel: &Cancel) -> Result<()> {
        let mut told = vec![false; sweep.tasks.len()];
        let mut failures = 0;
        loop {
            if cancel.requested() {
                watch.note("the jobs go on; `szar ablate GRID --cancel` stops them");
                return Err(Error::Cancelled);
            }
            // A controller that is down for a while is no reason to give up on jobs that go on.
            let left = match self.client.queue(jobs) {
                Ok(lines) => {
                    failures = 0;
                    lines.len()
                }
                Err(error) if failures < 10 => {
                    failures += 1;
                    tracing::warn!(%error, "Slurm does not answer, asked again soon");
                    1
                }
                Err(error) => return Err(error),
            };
            Self::news(sweep, &mut told, watch);
            if left == 0 {
                break;
            }
            pause(self.config.poll_secs, cancel);
        }
        self.silent(sweep, jobs, &told, watch);
        Ok(())
    }

    /// Tasks that nobody has heard of although all jobs are over, and that wait for nothing that failed.
    fn silent(&self, sweep: &Sweep, jobs: &[String], told: &[bool], watch: &mut dyn Watch) {
        for (i, task) in sweep.tasks.iter().enumerate() {
            if told[i] || task.after.iter().any(|t| !succeeded(sweep, *t)) {
                continue;
            }
            let error = format!(
                "jobs {} are over, and this task left no word: stopped by Slurm (time, memory) or by hand? Logs are in {}",
                jobs.join(", "),
                sweep.folder.display()
            );
            watch.ended(&Outcome {
                task: i,
                error: Some(error),
                fatal: false,
                seconds: 0.0,
            });
        }
    }
}

fn succeeded(sweep: &Sweep, task: usize) -> bool {
    let path = sweep.outcomes.join(format!("{}.json", sweep.tasks[task].name));
    let outcome = fs::read_to_string(path).ok();
    let outcome = outcome.and_then(|text| serde_json::from_str::<Outcome>(&text).ok());
    outcome.is_some_and(|o| o.error.is_none())
}

fn pause(seconds: f64, cancel: &Cancel) {
    let end = std::time::Instant::now() + Duration::from_secs_f64(seconds);
    while std::time::Instant::now() < end && !cancel.requested() {
        std::thread::sleep(Duration::from_millis(100));
    }
}

impl Launcher for Slurm {
    fn launch(&mut self, sweep: &Sweep, watch: &mut dyn Watch, cancel: &Cancel) -> Result<()> {
        let jobs = self.hand_over(sweep, watch)?;
        self.wait(sweep, &jobs, watch, cancel)
    }

    fn submit(&mut self, sweep: &Sweep, watch: &mut dyn Watch) -> Result<bool> {
        self.hand_over(sweep, watch)?;
        Ok(true)
    }

    fn status(&mut self, sweep: &Sweep) -> Result<Option<String>> {
        let alive = self.alive(sweep)?;
        if alive.is_empty() {
            return Ok(None);
        }
        let lines = self.client.queue(&alive)?;
        let line = |l: &client::Queued| format!("job {} {}: {}", l.element, l.state.to_lowercase(), l.reason);
        Ok(Some(lines.iter().map(line).collect::<Vec<_>>().join("\n")))
    }

    fn cancel(&mut self, sweep: &Sweep) -> Result<bool> {
        let alive = self.alive(sweep)?;
        self.client.cancel(&alive)?;
        Ok(!alive.is_empty())
    }
}
