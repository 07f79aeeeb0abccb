//! Tasks as arrays of jobs, and their scripts.

use std::fmt::Write;

use szar_core::Sweep;

use super::config::SlurmConfig;

/// Elements of one array, at most: what a cluster allows unless told otherwise.
const ELEMENTS: usize = 1000;

/// Jobs that may run at the same time.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Array {
    pub stage: usize,
    /// Tasks of each job.
    pub jobs: Vec<Vec<usize>>,
}

/// The arrays of each stage, in order. Tasks that share what a process holds go together, as far as `chunk` allows.
pub(super) fn arrays(sweep: &Sweep, config: &SlurmConfig) -> Vec<Vec<Array>> {
    let last = sweep.tasks.iter().map(|t| t.stage).max().unwrap_or(0);
    let stages = (0..=last).map(|stage| {
        let mut jobs: Vec<Vec<usize>> = Vec::new();
        for (i, task) in sweep.tasks.iter().enumerate().filter(|(_, t)| t.stage == stage) {
            let same = |job: &&mut Vec<usize>| {
                job.len() < config.chunk && sweep.tasks[job[0]].affinity == task.affinity
            };
            match jobs.iter_mut().rev().find(same) {
                Some(job) => job.push(i),
                None => jobs.push(vec![i]),
            }
        }
        let array = |jobs: &[Vec<usize>]| Array {
            stage,
            jobs: jobs.to_vec(),
        };
        jobs.chunks(ELEMENTS).map(array).collect::<Vec<_>>()
    });
    stages.filter(|stage| !stage.is_empty()).collect()
}

impl Array {
    /// Number of its tasks.
    pub fn tasks(&self) -> usize {
        self.jobs.iter().map(Vec::len).sum()
    }

    pub fn script(&self, sweep: &Sweep, config: &SlurmConfig) -> String {
        let mut out = String::from("#!/bin/sh\n");
        let mut option = |text: &str| {
            let _ = writeln!(out, "#SBATCH {text}");
        };
        let limit = if config.array > 0 {
            format!("%{}", config.array)
        } else {
            String::new()
        };
        option(&format!("--job-name=szar-{}-{}", sweep.name, self.stage));
        option(&format!("--array=0-{}{limit}", self.jobs.len() - 1));
        option(&format!(
            "--output=\"{}/slurm-%A_%a.log\"",
            sweep.folder.display()
        ));
        option(&format!("--cpus-per-task={}", config.cpus));
        let named = [
            ("partition", &config.partition),
            ("account", &config.account),
            ("time", &config.time),
            ("mem", &config.memory),
        ];
        for (name, value) in named {
            if let Some(value) = value {
                option(&format!("--{name}={value}"));
            }
        }
        if config.gpus > 0 {
            option(&format!("--gpus={}", config.gpus));
        }
        config.options.iter().for_each(|text| option(text));
        for line in &config.setup {
            let _ = writeln!(out, "{line}");
        }
        out.push_str("case $SLURM_ARRAY_TASK_ID in\n");
        for (i, tasks) in self.jobs.iter().enumerate() {
            let tasks: Vec<String> = tasks.iter().map(ToString::to_string).collect();
            let _ = writeln!(out, "{i}) tasks={} ;;", tasks.join(","));
        }
        let program = [sweep.program.display().to_string()];
        let words: Vec<String> = program
            .iter()
            .chain(&sweep.arguments)
            .map(|w| quoted(w))
            .collect();
        let _ = writeln!(
            out,
            "esac\nexec {} --tasks \"$tasks\" --threads \"${{SLURM_CPUS_PER_TASK:-1}}\"",
            words.join(" ")
        );
        out
    }
}

/// A word that the shell takes as it stands.
fn quoted(word: &str) -> String {
    format!("'{}'", word.replace('\'', "'\\''"))
}
