//! Whole runs, small.

use crate::{results, run_dir, small_run, szar};

#[test]
fn the_quickstart_runs_and_leaves_its_folder() {
    let output = tempfile::tempdir().expect("a folder");
    let assert = small_run(output.path()).assert().success();
    let text = String::from_utf8_lossy(&assert.get_output().stdout).into_owned();
    assert!(text.contains("SYNTHETIC DATA"), "{text}");
    assert!(
        text.contains("before adaptation") && text.contains("after skeleton-cache"),
        "{text}"
    );
    let dir = run_dir(output.path());
    for name in [
        "config.yaml",
        "report.json",
        "predictions.csv",
        "encoder.safetensors",
        "aligner.safetensors",
    ] {
        assert!(dir.join(name).is_file(), "{name}");
    }
    let report = results(&dir);
    let lines = std::fs::read_to_string(dir.join("predictions.csv"))
        .expect("predictions")
        .lines()
        .count();
    let samples = &report["data"]["samples"];
    let (seen, unseen) = (
        samples["seen_test"].as_u64().expect("n"),
        samples["unseen_test"].as_u64().expect("n"),
    );
    assert_eq!(
        lines as u64,
        1 + unseen + seen + unseen,
        "a header, the zsl stream and the gzsl stream"
    );
}

#[test]
fn the_same_seed_gives_the_same_report_and_another_does_not() {
    let (a, b, c) = (tempfile::tempdir(), tempfile::tempdir(), tempfile::tempdir());
    let (a, b, c) = (a.expect("a folder"), b.expect("a folder"), c.expect("a folder"));
    small_run(a.path()).assert().success();
    small_run(b.path()).assert().success();
    small_run(c.path()).args(["--set", "seed=6"]).assert().success();
    assert_eq!(results(&run_dir(a.path())), results(&run_dir(b.path())));
    assert_ne!(results(&run_dir(a.path())), results(&run_dir(c.path())));
}

#[test]
fn a_resolved_configuration_runs_again_with_the_same_result() {
    let (first, again) = (
        tempfile::tempdir().expect("a folder"),
        tempfile::tempdir().expect("a folder"),
    );
    small_run(first.path()).assert().success();
    let config = run_dir(first.path()).join("config.yaml");
    let out = format!("output={}", again.path().display());
    szar()
        .arg("run")
        .arg(config)
        .args(["--set", &out])
        .assert()
        .success();
    assert_eq!(results(&run_dir(first.path())), results(&run_dir(again.path())));
}

#[test]
fn json_on_stdout_is_the_report() {
    let output = tempfile::tempdir().expect("a folder");
    let assert = small_run(output.path())
        .args(["--json", "--quiet"])
        .assert()
        .success();
    let report: serde_json::Value = serde_json::from_slice(&assert.get_output().stdout).expect("JSON");
    assert!(report["zsl"]["before"]["class_mean"].is_number());
    assert!(assert.get_output().stderr.is_empty());
}

#[test]
fn pooled_features_are_enough_for_eszsl_without_a_cache() {
    let output = tempfile::tempdir().expect("a folder");
    let mut run = szar();
    let small = [
        "dataset.samples_per_class=6",
        "preprocess.frames=16",
        "encoder.base_channels=8",
        "encoder.train.epochs=1",
    ];
    run.args([
        "run",
        "configs/quickstart.yaml",
        "--set",
        "aligner={type: eszsl}",
        "--set",
        "adapters=[]",
    ]);
    run.args(small.iter().flat_map(|s| ["--set", s]))
        .args(["--set", &format!("output={}", output.path().display())]);
    run.assert().success();
    assert!(results(&run_dir(output.path()))["zsl"]["after"].is_null());
}

#[test]
fn oracle_labels_mark_the_report() {
    let output = tempfile::tempdir().expect("a folder");
    let set = [
        "--set",
        "aligner.partition=adaptive",
        "--set",
        "aligner.query=oracle_label",
    ];
    let assert = small_run(output.path()).args(set).assert().success();
    let text = String::from_utf8_lossy(&assert.get_output().stdout).into_owned();
    assert!(text.contains("TEST LABELS USED"), "{text}");
    let report = results(&run_dir(output.path()));
    assert_eq!(report["marks"][0]["uses_test_labels"], true);
}

/// The real sets run from the files their configurations name, as the README says: only the root is given.
fn real(config: &str, root: &str) {
    let Some(root) = szar_tests::real_data(root) else {
        return;
    };
    let output = tempfile::tempdir().expect("a folder");
    let set = [
        format!("dataset.root={}", root.display()),
        format!("output={}", output.path().display()),
        "preprocess.frames=16".into(),
        "encoder.base_channels=8".into(),
        "encoder.train.epochs=1".into(),
        "aligner.epochs=1".into(),
        "aligner.hidden=32".into(),
    ];
    szar()
        .args(["run", config])
        .args(set.iter().flat_map(|s| ["--set", s]))
        .assert()
        .success();
    let report = results(&run_dir(output.path()));
    assert!(report["zsl"]["after"]["top1"].is_number() && report["data"]["synthetic"].is_null());
}

#[test]
fn combined_runs_from_its_archive() {
    real("configs/combined.yaml", "combined");
}

#[test]
fn utkinect_runs_from_its_original_files() {
    real("configs/utkinect.yaml", "utkinect/raw");
}

#[test]
fn msr_action3d_runs_from_its_original_files() {
    real("configs/msr-action3d.yaml", "msr_action3d/raw");
}

#[test]
fn florence3d_runs_from_its_original_files() {
    real("configs/florence3d.yaml", "florence3d/raw");
}
