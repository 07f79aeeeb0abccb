//! Slurm's own programs: sbatch, squeue, scancel.

use std::path::Path;
use std::process::Command;

use szar_core::{Error, Result};

/// Speaks to the cluster that the programs on the PATH belong to.
#[derive(Debug)]
pub(super) struct Client;

/// A line of the queue.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Queued {
    /// Number of the job.
    pub job: String,
    /// The same with the element of the array.
    pub element: String,
    pub state: String,
    /// Why it waits, or where it runs.
    pub reason: String,
}

impl Client {
    /// Submits a script behind other jobs, whatever their end; the number of the job.
    pub fn submit(&self, script: &Path, before: &[String]) -> Result<String> {
        let mut command = Command::new("sbatch");
        command.arg("--parsable");
        if !before.is_empty() {
            command.arg(format!("--dependency=afterany:{}", before.join(":")));
        }
        let text = said(command.arg(script))?;
        // `number` or `number;cluster`.
        let job = text.trim().split(';').next().unwrap_or_default().to_owned();
        if job.is_empty() || !job.bytes().all(|b| b.is_ascii_digit()) {
            return Err(Error::Unavailable(format!(
                "sbatch answered `{}`, expected the number of a job",
                text.trim()
            )));
        }
        Ok(job)
    }

    /// What of some jobs is waiting or running.
    pub fn queue(&self, jobs: &[String]) -> Result<Vec<Queued>> {
        if jobs.is_empty() {
            return Ok(Vec::new());
        }
        let mut command = Command::new("squeue");
        command.args(["--noheader", "--format=%F|%i|%T|%R", "--jobs", &jobs.join(",")]);
        match said(&mut command) {
            Ok(text) => Ok(text.lines().filter_map(queued).collect()),
            // Jobs that ended long ago are forgotten, and then asking for them alone is an error.
            Err(Error::Unavailable(why)) if why.contains("Invalid job id") => Ok(Vec::new()),
            Err(error) => Err(error),
        }
    }

    /// Takes jobs out of the queue.
    pub fn cancel(&self, jobs: &[String]) -> Result<()> {
        if jobs.is_empty() {
            return Ok(());
        }
        said(Command::new("scancel").args(jobs)).map(|_| ())
    }
}

fn queued(line: &str) -> Option<Queued> {
    let mut parts = line.trim().splitn(4, '|').map(str::to_owned);
    Some(Queued {
        job: parts.next()?,
        element: parts.next()?,
        state: parts.next()?,
        reason: parts.next()?,
    })
}

/// What a program says, if it says that all is well.
fn said(command: &mut Command) -> Result<String> {
    let name = command.get_program().to_string_lossy().into_owned();
    let output = command.output().map_err(|e| match e.kind() {
        std::io::ErrorKind::NotFound => Error::Unavailable(format!(
            "there is no `{name}` on the PATH: Slurm is not installed here, or not loaded\n\nhint: run on a machine that \
             submits to the cluster, or choose `launcher: {{type: local}}`"
        )),
        _ => Error::Unavailable(format!("{name} could not be started: {e}")),
    })?;
    if output.status.success() {
        return Ok(String::from_utf8_lossy(&output.stdout).into_owned());
    }
    let why = String::from_utf8_lossy(&output.stderr);
    let why: Vec<&str> = why.lines().map(str::trim).filter(|l| !l.is_empty()).collect();
    Err(Error::Unavailable(format!(
        "{name} refused ({}): {}",
        output.status,
        why.join("; ")
    )))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_of_the_queue_are_taken_apart() {
        let line = queued("12|12_[3-9%2]|PENDING|(Dependency)\n").unwrap();
        assert_eq!((line.job.as_str(), line.element.as_str()), ("12", "12_[3-9%2]"));
        assert_eq!(
            (line.state.as_str(), line.reason.as_str()),
            ("PENDING", "(Dependency)")
        );
        assert_eq!(queued("nothing"), None);
    }
}
