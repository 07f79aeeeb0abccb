//! Grids: checked whole, run, stopped, resumed, their failures kept apart.

use std::path::Path;
use std::process::Stdio;
use std::time::{Duration, Instant};

use assert_cmd::Command;

use crate::{SMALL, szar};

/// A grid of small quickstarts in a folder, with further lines.
fn grid(folder: &Path, more: &str) -> std::path::PathBuf {
    let path = folder.join("study.yaml");
    let set: Vec<String> = SMALL
        .iter()
        .filter_map(|s| s.split_once('='))
        .map(|(k, v)| format!("  {k}: {v}\n"))
        .collect();
    let pipeline = szar_tests::root().join("configs/quickstart.yaml");
    let text = format!(
        "pipeline: {}\nset:\n{}  evaluate: [zsl]\n  threads: 1\noutput: out\n{more}",
        pipeline.display(),
        set.iter()
            .filter(|s| !s.contains("threads") && !s.contains("aligner"))
            .cloned()
            .collect::<String>()
    );
    std::fs::write(&path, text).expect("written");
    path
}

const AXES: &str = "axes:\n  aligner:\n    eszsl: {aligner: {type: eszsl}}\n    devise: {aligner: {type: devise, epochs: 2}}\n  \
    adapter:\n    none: {adapters: []}\n    balance: {adapters: [{type: balance}]}\n    tent: {adapters: [{type: tent}]}\n  seed: [1, 2]\n";

fn ablate(grid: &Path, more: &[&str]) -> Command {
    let mut command = szar();
    command.arg("ablate").arg(grid).args(more);
    command
}

fn both(command: &mut Command, code: i32) -> (String, String) {
    let assert = command.assert().code(code);
    let output = assert.get_output();
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    (text(&output.stdout), text(&output.stderr))
}

/// Times at which reports were written, by run.
fn reports(folder: &Path) -> Vec<(String, std::time::SystemTime)> {
    let runs = std::fs::read_dir(folder.join("out/runs"))
        .expect("runs")
        .flatten();
    let time = |e: std::fs::DirEntry| {
        let written = e.path().join("report.json").metadata().ok()?.modified().ok()?;
        Some((e.file_name().to_string_lossy().into_owned(), written))
    };
    let mut list: Vec<_> = runs.filter_map(time).collect();
    list.sort();
    list
}

#[test]
fn a_grid_runs_what_is_valid_and_makes_its_tables() {
    let folder = tempfile::tempdir().expect("a folder");
    let file = grid(folder.path(), AXES);
    let (text, err) = both(&mut ablate(&file, &["--dry-run"]), 0);
    // 4 seeds and aligners, two adapters each; 2 encoders, 4 models (`none` and `balance` read the same features).
    assert!(
        text.contains("12 cells, 8 pipelines, 0 finished; 14 tasks are left"),
        "{text}"
    );
    for aligner in ["eszsl", "devise"] {
        let why = format!(
            "cannot run: {aligner} / tent / 1; {aligner} / tent / 2: adapter `tent` needs normalisation layers"
        );
        assert!(err.contains(&why), "{err}");
    }
    assert!(!folder.path().join("out").exists(), "a dry run writes nothing");

    let (text, err) = both(&mut ablate(&file, &[]), 0);
    assert!(
        err.contains("12 cells: 8 finished, 0 failed, 4 invalid, 0 waiting"),
        "{err}"
    );
    let line = text
        .lines()
        .find(|l| l.contains("eszsl") && l.contains("balance"))
        .expect("a row");
    assert!(line.contains(" ± "), "{text}");
    let csv = std::fs::read_to_string(folder.path().join("out/results.csv")).expect("results");
    let lines = |status: &str| csv.matches(&format!(",{status},")).count();
    assert_eq!([lines("finished"), lines("invalid")], [8, 4], "{csv}");
    assert!(
        csv.starts_with("aligner,adapter,seed,status,error,run,class_mean,class_mean_adapted,"),
        "{csv}"
    );
    for file in ["results.parquet", "table.md", "table.tex"] {
        assert!(folder.path().join("out").join(file).is_file(), "{file}");
    }
    let before = reports(folder.path());
    let (again, err) = both(&mut ablate(&file, &[]), 0);
    assert_eq!(reports(folder.path()), before, "nothing is run twice: {err}");
    assert_eq!(again, text);
}

#[test]
fn a_cell_of_a_grid_is_the_run_that_it_would_be_alone() {
    let folder = tempfile::tempdir().expect("a folder");
    let axes = "axes:\n  aligner: [{type: eszsl}]\n  adapters: [[], [{type: balance}]]\n";
    let file = grid(folder.path(), axes);
    both(
        &mut ablate(&file, &["--grid", "launcher={type: local, threads: 1}"]),
        0,
    );
    let runs = folder.path().join("out/runs");
    let (name, _) = reports(folder.path())
        .into_iter()
        .find(|(n, _)| n.contains("balance"))
        .expect("a run");
    let config = folder.path().join("out/configs").join(format!("{name}.yaml"));
    let alone = folder.path().join("alone");
    let output = format!("output={}", alone.display());
    szar()
        .arg("run")
        .arg(config)
        .args(["--set", &output])
        .assert()
        .success();
    assert_eq!(
        crate::results(&runs.join(&name)),
        crate::results(&crate::run_dir(&alone))
    );
}

#[test]
fn a_killed_grid_goes_on_and_repeats_nothing() {
    let folder = tempfile::tempdir().expect("a folder");
    let axes = "axes:\n  aligner: [{type: eszsl}]\n  adapters: [[{type: balance}]]\n  stream.batch: [1, 2, 3, 4, 5, 6, 7, 8]\nlauncher: {type: local, workers: 1}\n";
    let file = grid(folder.path(), axes);
    let mut child = std::process::Command::new(env!("CARGO_BIN_EXE_szar-under-test"))
        .args(["ablate", "--quiet"])
        .arg(&file)
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn()
        .expect("started");
    let begun = Instant::now();
    let some = || folder.path().join("out/runs").is_dir() && reports(folder.path()).len() >= 2;
    while !some() && begun.elapsed() < Duration::from_secs(120) {
        std::thread::sleep(Duration::from_millis(5));
    }
    child.kill().expect("killed");
    child.wait().expect("it ended");
    // Its worker notices the end of its input and stops at the next safe place.
    std::thread::sleep(Duration::from_millis(500));
    let before = reports(folder.path());
    assert!(before.len() >= 2, "{before:?}");
    let (_, err) = both(&mut ablate(&file, &[]), 0);
    assert!(err.contains("8 cells: 8 finished"), "{err}");
    let after = reports(folder.path());
    assert!(
        before.iter().all(|report| after.contains(report)),
        "{before:?}\n{after:?}"
    );
}

#[test]
fn a_cell_that_fails_stops_nothing_else_and_is_named() {
    let folder = tempfile::tempdir().expect("a folder");
    let axes = "axes:\n  aligner:\n    eszsl: {aligner: {type: eszsl}}\n    lost: {aligner: {type: purls, weights: nowhere.pt}}\n  seed: [1]\n";
    let file = grid(folder.path(), axes);
    let (_, err) = both(&mut ablate(&file, &[]), 1);
    assert!(
        err.contains("2 cells: 1 finished, 1 failed, 0 invalid, 0 waiting"),
        "{err}"
    );
    assert!(
        err.contains("failed: lost / 1: ") && err.contains("nowhere.pt"),
        "{err}"
    );
    let (text, _) = both(&mut ablate(&file, &["--status"]), 0);
    assert!(text.contains("1 failed"), "{text}");
    let table = std::fs::read_to_string(folder.path().join("out/table.md")).expect("a table");
    assert!(table.contains("| lost | × |"), "{table}");
}

#[test]
fn mistakes_in_a_grid_are_found_before_anything_runs() {
    let folder = tempfile::tempdir().expect("a folder");
    let file = grid(folder.path(), "axes: {aligner.partitoin: [static, global]}\n");
    let (_, err) = both(&mut ablate(&file, &[]), 2);
    assert!(
        err.contains("none of the grid's 2 cells can run") && err.contains("did you mean `partition`?"),
        "{err}"
    );
    let file = grid(
        folder.path(),
        "axis: {seed: [1]}\naxes: {seed: [1]}\nlauncher: {type: slrum}\n",
    );
    let (_, err) = both(&mut ablate(&file, &[]), 2);
    assert!(
        err.contains("did you mean `axes`?") && err.contains("did you mean `slurm`?"),
        "{err}"
    );
    let (_, err) = both(&mut ablate(&folder.path().join("none.yaml"), &[]), 2);
    assert!(err.contains("cannot read") && err.contains("none.yaml"), "{err}");
}

#[test]
fn a_cluster_that_is_not_there_is_said_so() {
    let folder = tempfile::tempdir().expect("a folder");
    let file = grid(
        folder.path(),
        "axes: {aligner: [{type: eszsl}]}\nlauncher: {type: slurm}\n",
    );
    let mut command = ablate(&file, &["--detach"]);
    let (_, err) = both(command.env("PATH", folder.path()), 2);
    assert!(err.contains("there is no `sbatch` on the PATH"), "{err}");
}

/// The YAML files of a folder of `configs`.
fn shipped(folder: &str) -> Vec<std::path::PathBuf> {
    let entries = std::fs::read_dir(szar_tests::root().join("configs").join(folder)).expect("configurations");
    let files = entries.flatten().map(|e| e.path());
    files
        .filter(|p| p.extension().is_some_and(|e| e == "yaml"))
        .collect()
}

#[test]
fn every_shipped_grid_and_search_is_sound() {
    for folder in ["studies", "papers", "papers/tiny"] {
        for file in shipped(folder) {
            let ablation = szar_sweep::Ablation::read(&file, &[], &[], &|_| Ok(()));
            let ablation = ablation.unwrap_or_else(|e| panic!("{}: {e}", file.display()));
            for cell in &ablation.batch.cells {
                assert!(cell.resolved().is_some(), "{}: {:?}", file.display(), cell.state);
            }
        }
    }
    for file in shipped("tune") {
        let tuner = szar_sweep::tune::Tuner::read(&file, &[], &[], &|_| Ok(()));
        assert!(tuner.is_ok(), "{}: {:?}", file.display(), tuner.err());
    }
}
