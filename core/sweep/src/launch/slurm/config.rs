//! Options of the `slurm` launcher.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use szar_core::{ComponentInfo, ComponentKind, Launcher, LauncherConfig, Problems, Result};

use super::Slurm;
use super::client::Client;

/// Options of the `slurm` launcher. What is not given is left to the cluster.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct SlurmConfig {
    /// Partition (`sbatch --partition`). Default: the cluster's.
    pub partition: Option<String>,
    /// Account (`--account`). Default: the user's.
    pub account: Option<String>,
    /// Time limit of a job, as Slurm writes it: `30` (minutes), `02:00:00`, `1-00:00:00`. Default: the partition's.
    pub time: Option<String>,
    /// CPUs of a job (`--cpus-per-task`), at least 1; also the threads of libtorch. Default: 1.
    pub cpus: usize,
    /// Memory of a job (`--mem`): `8G`. Default: the partition's.
    pub memory: Option<String>,
    /// GPUs of a job (`--gpus`). Default: none.
    pub gpus: usize,
    /// Jobs of an array that run at once, at most; 0 for no limit. Default: no limit.
    pub array: usize,
    /// Tasks that share a model and are done by one job, at most; at least 1. Default: 16.
    pub chunk: usize,
    /// Further options of `sbatch`, each as a line: `--constraint=a100`. Default: none.
    pub options: Vec<String>,
    /// Lines of shell before the program is started (`module load cuda`). Default: none.
    pub setup: Vec<String>,
    /// Time between two looks at the queue, seconds, more than 0. Default: 10.
    pub poll_secs: f64,
}

impl Default for SlurmConfig {
    fn default() -> Self {
        Self {
            partition: None,
            account: None,
            time: None,
            cpus: 1,
            memory: None,
            gpus: 0,
            array: 0,
            chunk: 16,
            options: Vec::new(),
            setup: Vec::new(),
            poll_secs: 10.0,
        }
    }
}

#[typetag::serde(name = "slurm")]
impl LauncherConfig for SlurmConfig {
    fn validate(&self, problems: &mut Problems) {
        for (field, count) in [("cpus", self.cpus), ("chunk", self.chunk)] {
            problems.check(count > 0, field, || "must be at least 1, got 0".into());
        }
        problems.check(
            self.poll_secs > 0.0 && self.poll_secs.is_finite(),
            "poll_secs",
            || format!("must be more than 0, got {}", self.poll_secs),
        );
        let words = [
            ("partition", &self.partition),
            ("account", &self.account),
            ("time", &self.time),
            ("memory", &self.memory),
        ];
        for (field, text) in words {
            let Some(text) = text else { continue };
            let plain = !text.is_empty() && !text.contains(char::is_whitespace);
            problems.check(plain, field, || format!("`{text}` must be one word"));
        }
        for (i, option) in self.options.iter().enumerate() {
            problems.check(
                option.starts_with('-') && !option.contains('\n'),
                &format!("options[{i}]"),
                || format!("`{option}` is no option of sbatch: `--name=value`"),
            );
        }
    }

    fn build(&self) -> Result<Box<dyn Launcher>> {
        Ok(Box::new(Slurm {
            config: self.clone(),
            client: Client,
        }))
    }
}

inventory::submit! {
    ComponentInfo::new::<SlurmConfig>(
        ComponentKind::Launcher,
        "slurm",
        "Runs the tasks of a sweep as job arrays on a Slurm cluster.",
        "",
    )
}
