//! The program as a user meets it: arguments in; code, stdout and stderr out.

mod ablate;
mod bad_input;
mod commands;
mod data;
mod docs;
mod features;
mod pipeline;
mod predict;
mod report;
mod resume;
mod semantics;
mod slurm;
mod tune;

use std::path::{Path, PathBuf};

use assert_cmd::Command;

/// The program, in the workspace root, with colours, wait and memory policy settled.
pub fn szar() -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_szar-under-test"));
    command
        .current_dir(szar_tests::root())
        .env("NO_COLOR", "1")
        .env("GOMP_SPINCOUNT", "1000")
        .env("MALLOC_TRIM_THRESHOLD_", "131072");
    command
}

/// Overrides that make the quickstart small enough for a test.
pub const SMALL: [&str; 7] = [
    "dataset.samples_per_class=6",
    "preprocess.frames=16",
    "encoder.base_channels=8",
    "encoder.train.epochs=3",
    "aligner.epochs=3",
    "aligner.hidden=32",
    "threads=2",
];

/// A small quickstart into `output`.
pub fn small_run(output: &Path) -> Command {
    let mut command = szar();
    command
        .args(["run", "configs/quickstart.yaml"])
        .args(small_overrides(output));
    command
}

/// `--set` arguments of [`small_run`].
pub fn small_overrides(output: &Path) -> Vec<String> {
    let out = format!("output={}", output.display());
    SMALL
        .iter()
        .map(|s| (*s).to_owned())
        .chain([out])
        .flat_map(|s| ["--set".to_owned(), s])
        .collect()
}

/// The only run folder below `output`.
pub fn run_dir(output: &Path) -> PathBuf {
    let entries = std::fs::read_dir(output).expect("the output folder exists");
    let mut dirs: Vec<_> = entries
        .flatten()
        .map(|e| e.path())
        .filter(|p| !p.ends_with(".trained") && !p.ends_with(".features"))
        .collect();
    assert_eq!(dirs.len(), 1, "{dirs:?}");
    dirs.remove(0)
}

/// The report without what differs from run to run.
pub fn results(dir: &Path) -> serde_json::Value {
    let text = std::fs::read_to_string(dir.join("report.json")).expect("a report");
    let mut report: serde_json::Value = serde_json::from_str(&text).expect("JSON");
    report.as_object_mut().expect("a map").remove("performance");
    report["provenance"]
        .as_object_mut()
        .expect("a map")
        .remove("config");
    report
}
