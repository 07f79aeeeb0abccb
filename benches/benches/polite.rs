//! Two szar processes with two threads each, together on the same cores: what do they lose to each other?
//!
//! Prints the training throughput of one process alone, of two together, and the share that is kept. With the
//! wait policy of OpenMP left as libgomp has it (`spinning`), the same for comparison. What bounds the number:
//! idle OpenMP threads that spin take the core from the other process.

#![expect(clippy::print_stdout, reason = "a benchmark prints its numbers")]

use std::process::{Child, Command, Stdio};

const SETTINGS: [&str; 8] = [
    "dataset.samples_per_class=48",
    "encoder.train.epochs=3",
    "aligner={type: eszsl}",
    "adapters=[]",
    "evaluate=[zsl]",
    "threads=2",
    "precision=f32",
    "gate=null",
];

fn start(spinning: bool, seed: u32, output: &std::path::Path) -> Child {
    let mut command = Command::new(szar());
    command.args(["run", "configs/quickstart.yaml", "--json", "--quiet"]);
    for set in SETTINGS
        .iter()
        .map(|s| (*s).to_owned())
        .chain([format!("seed={seed}"), format!("output={}", output.display())])
    {
        command.args(["--set", &set]);
    }
    if spinning {
        // An explicit policy switches our own choice off; this one is libgomp's default.
        command.env("GOMP_SPINCOUNT", "300000");
    }
    let root = concat!(env!("CARGO_MANIFEST_DIR"), "/..");
    command
        .current_dir(root)
        .stdout(Stdio::piped())
        .spawn()
        .expect("szar starts")
}

/// The program, built beside the benchmarks.
fn szar() -> std::path::PathBuf {
    let here = std::env::current_exe().expect("this program has a path");
    let built = here.ancestors().nth(2).expect("a target folder").join("szar");
    assert!(
        built.exists(),
        "{} is not built: run `cargo build` first",
        built.display()
    );
    built
}

fn throughput(child: Child) -> f64 {
    let output = child.wait_with_output().expect("szar ends");
    let report: serde_json::Value = serde_json::from_slice(&output.stdout).expect("a report");
    let stages = report["performance"].as_array().expect("stages");
    let training = stages
        .iter()
        .find(|s| s["name"] == "encoder training")
        .expect("a training stage");
    training["samples_per_second"].as_f64().expect("a number")
}

fn main() {
    for (name, spinning) in [("polite", false), ("spinning", true)] {
        let folder = tempfile::tempdir().expect("a folder");
        let alone = throughput(start(spinning, 0, &folder.path().join("alone")));
        let pair = [1, 2].map(|seed| start(spinning, seed, &folder.path().join(seed.to_string())));
        let together: f64 = pair.into_iter().map(throughput).sum();
        println!("train/{name}/one_process   {alone:8.1} samples/s");
        println!("train/{name}/two_processes {together:8.1} samples/s together");
        println!("train/{name}/kept          {:8.2}", together / alone);
    }
}
