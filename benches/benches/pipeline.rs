//! What the pipeline itself costs beside its components, once encoder and aligner are trained.
//!
//! Runs the quickstart twice: the first run trains (little: the numbers do not depend on how well), the second finds
//! everything trained and only plays its streams. Prints the seconds inside the components, and the share of the time that
//! is neither theirs nor the data's: batches, order, notes, metrics, report. What bounds the number: copying the feature
//! maps of each batch in the order of the stream.

#![expect(clippy::print_stdout, reason = "a benchmark prints its numbers")]

use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Instant;

const SETTINGS: [&str; 6] = [
    "encoder.train.epochs=1",
    "aligner.epochs=1",
    "dataset.samples_per_class=64",
    "threads=1",
    "precision=f32",
    "name=pipeline",
];

/// What a run says of itself, and how long its process took.
struct Measured {
    stages: Vec<(String, f64)>,
    wall: f64,
}

fn run(output: &Path, name: &str, streams: &str) -> Measured {
    let out = output.join(name);
    let mut command = Command::new(szar());
    command
        .args(["run", "configs/quickstart.yaml", "--json", "--quiet", "--out"])
        .arg(out);
    for set in SETTINGS
        .iter()
        .map(|s| (*s).to_owned())
        .chain([format!("output={}", output.display()), streams.to_owned()])
    {
        command.args(["--set", &set]);
    }
    let root = concat!(env!("CARGO_MANIFEST_DIR"), "/..");
    let started = Instant::now();
    let done = command.current_dir(root).output().expect("szar runs");
    let wall = started.elapsed().as_secs_f64();
    assert!(done.status.success(), "{}", String::from_utf8_lossy(&done.stderr));
    let report: serde_json::Value = serde_json::from_slice(&done.stdout).expect("a report");
    let stage = |s: &serde_json::Value| {
        let name = s["name"].as_str().expect("a name").to_owned();
        (name, s["seconds"].as_f64().expect("a number"))
    };
    Measured {
        stages: report["performance"]
            .as_array()
            .expect("stages")
            .iter()
            .map(stage)
            .collect(),
        wall,
    }
}

/// The program, built beside the benchmarks.
fn szar() -> PathBuf {
    let here = std::env::current_exe().expect("this program has a path");
    let built = here.ancestors().nth(2).expect("a target folder").join("szar");
    assert!(
        built.exists(),
        "{} is not built: run `cargo build` first",
        built.display()
    );
    built
}

fn main() {
    let folder = tempfile::tempdir().expect("a folder");
    run(folder.path(), "trains", "stream.batch=64");
    for batch in [1, 8, 64] {
        let measured = run(
            folder.path(),
            &format!("batch-{batch}"),
            &format!("stream.batch={batch}"),
        );
        let sum = |wanted: &dyn Fn(&str) -> bool| -> f64 {
            measured
                .stages
                .iter()
                .filter(|(name, _)| wanted(name))
                .map(|(_, s)| s)
                .sum()
        };
        let (all, overhead) = (sum(&|_| true), sum(&|n| n == "overhead"));
        let played = sum(&|n| n.ends_with("scoring") || n.ends_with("adaptation"));
        let share = |whole: f64| 100.0 * overhead / whole;
        println!("pipeline/components/B{batch} {:9.3} s", all - overhead);
        println!("pipeline/streams/B{batch}    {played:9.3} s of these in aligner and adapters");
        println!(
            "pipeline/overhead/B{batch}   {overhead:9.3} s, {:.1} % of the run",
            share(all)
        );
        println!(
            "pipeline/process/B{batch}    {:9.3} s with loading libtorch and writing the report",
            measured.wall
        );
    }
}
