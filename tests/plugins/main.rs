//! Plugins as a user meets them: listed, described, checked, run; and equal, bit for bit, to the same components built in.

mod authors;

use std::path::{Path, PathBuf};

use assert_cmd::Command;
use serde_json::Value;
use szar_tests::{program, refused, stdout};

/// The library of an example, which was built beside the tests.
fn library(name: &str) -> PathBuf {
    let exe = std::env::current_exe().expect("the test's own path");
    let deps = exe.parent().expect("a folder");
    let file = format!(
        "{}szar_example_{name}{}",
        std::env::consts::DLL_PREFIX,
        std::env::consts::DLL_SUFFIX
    );
    let path = deps.join(&file);
    assert!(path.exists(), "{} was not built", path.display());
    path
}

/// The program that knows no example.
fn szar() -> Command {
    program(env!("CARGO_BIN_EXE_szar-under-test"))
}

/// The program that has them built in.
fn with_examples() -> Command {
    program(env!("CARGO_BIN_EXE_szar-with-examples"))
}

const ADAPTED: &str = "\
gate: null
evaluate: [zsl]
encoder: {type: joint-statistics}
aligner: {type: ridge-cosine, ridge: 3}
adapters:
  - {type: dynapurls, preset: paper}
  - {type: running-mean, share: 0.5}
";

/// A small pipeline on the embedded motions, with `plugins` or without.
fn pipeline(folder: &Path, plugins: &[PathBuf], parts: &str) -> PathBuf {
    let list: Vec<String> = plugins.iter().map(|p| format!("\"{}\"", p.display())).collect();
    let plugins = if list.is_empty() {
        String::new()
    } else {
        format!("plugins: [{}]\n", list.join(", "))
    };
    let base = szar_tests::root().join("configs/quickstart.yaml");
    let text = format!(
        "base: \"{}\"\nname: plugged\n{plugins}threads: 1\noutput: \"{}\"\ndataset: {{samples_per_class: 6}}\n\
         preprocess: {{frames: 16}}\nstream: {{batch: 4}}\n{parts}",
        base.display(),
        folder.join("runs").display()
    );
    let path = folder.join("pipeline.yaml");
    std::fs::write(&path, text).expect("a pipeline");
    path
}

fn examples() -> Vec<PathBuf> {
    ["adapter", "aligner", "encoder"].map(library).into()
}

/// The run folder below `output`, its report without times and paths, and the predictions as they stand in their files.
fn results(folder: &Path) -> (Value, Vec<(String, Vec<u8>)>) {
    let runs = std::fs::read_dir(folder.join("runs")).expect("runs").flatten();
    let run = runs
        .map(|e| e.path())
        .find(|p| p.join("report.json").exists())
        .expect("a run");
    let text = std::fs::read_to_string(run.join("report.json")).expect("a report");
    let mut report: Value = serde_json::from_str(&text).expect("JSON");
    let fields = report.as_object_mut().expect("a map");
    let _ = (fields.remove("performance"), fields.remove("provenance"));
    let files = std::fs::read_dir(&run)
        .expect("files")
        .flatten()
        .map(|e| e.path());
    let mut predictions: Vec<_> = files
        .filter(|p| p.extension().is_some_and(|e| e == "csv"))
        .map(|p| {
            (
                p.file_name().expect("a name").to_string_lossy().into_owned(),
                std::fs::read(&p).expect("a file"),
            )
        })
        .collect();
    predictions.sort();
    (report, predictions)
}

#[test]
fn a_pipeline_of_plugins_gives_the_same_bits_as_the_same_components_built_in() {
    let (plugged, built) = (
        tempfile::tempdir().expect("a folder"),
        tempfile::tempdir().expect("a folder"),
    );
    let mut first = szar();
    first
        .arg("run")
        .arg(pipeline(plugged.path(), &examples(), ADAPTED));
    first.assert().success();
    let mut second = with_examples();
    second.arg("run").arg(pipeline(built.path(), &[], ADAPTED));
    second.assert().success();
    let (plugged, built) = (results(plugged.path()), results(built.path()));
    assert_eq!(plugged.0, built.0);
    assert!(!plugged.1.is_empty());
    assert_eq!(plugged.1, built.1);
    // The refinement did something, through the plugin's scores.
    let zsl = &plugged.0["zsl"];
    assert_ne!(zsl["before"], zsl["after"], "{zsl}");
}

const ALONE: &str = "\
threads: 1
dataset: {type: waves, samples: 8}
preprocess: {type: standard, frames: 16}
encoder: {type: joint-statistics}
semantics: {type: class-letters}
aligner: {type: ridge-cosine}
adapters: [{type: running-mean}]
gate: {type: seen-margin, margin: 1}
evaluate: [zsl, gzsl]
";

/// `pipeline` without a base: nothing is built in but the preprocessor.
fn alone(folder: &Path, plugins: &[PathBuf]) -> PathBuf {
    let list: Vec<String> = plugins.iter().map(|p| format!("\"{}\"", p.display())).collect();
    let plugins = if list.is_empty() {
        String::new()
    } else {
        format!("plugins: [{}]\n", list.join(", "))
    };
    let path = folder.join("alone.yaml");
    let text = format!(
        "name: alone\n{plugins}output: \"{}\"\n{ALONE}",
        folder.join("runs").display()
    );
    std::fs::write(&path, text).expect("a pipeline");
    path
}

#[test]
fn a_pipeline_of_plugins_alone_runs_and_equals_the_same_built_in() {
    let (plugged, built) = (
        tempfile::tempdir().expect("a folder"),
        tempfile::tempdir().expect("a folder"),
    );
    let all: Vec<_> = ["adapter", "aligner", "data", "encoder"].map(library).into();
    szar()
        .arg("run")
        .arg(alone(plugged.path(), &all))
        .assert()
        .success();
    with_examples()
        .arg("run")
        .arg(alone(built.path(), &[]))
        .assert()
        .success();
    let (plugged, built) = (results(plugged.path()), results(built.path()));
    assert_eq!(plugged, built);
    assert!(plugged.0["gzsl"].is_object(), "{}", plugged.0);
}

#[test]
fn reports_name_the_plugins_of_a_run() {
    let folder = tempfile::tempdir().expect("a folder");
    szar()
        .arg("run")
        .arg(pipeline(folder.path(), &examples(), ADAPTED))
        .assert()
        .success();
    let runs = std::fs::read_dir(folder.path().join("runs"))
        .expect("runs")
        .flatten();
    let run = runs
        .map(|e| e.path())
        .find(|p| p.join("report.json").exists())
        .expect("a run");
    let text = std::fs::read_to_string(run.join("report.json")).expect("a report");
    let report: Value = serde_json::from_str(&text).expect("JSON");
    let plugins = report["provenance"]["plugins"].as_array().expect("a list");
    assert_eq!(plugins.len(), 3, "{plugins:?}");
    let first = plugins[0].as_str().expect("a text");
    assert!(first.starts_with("plugin szar-example-adapter 0.1.0 "), "{first}");
}

#[test]
fn plugins_are_listed_and_described_like_built_ins() {
    let mut list = szar();
    list.args(["list", "adapter", "--plugin"]).arg(library("adapter"));
    let text = stdout(&mut list);
    assert!(
        text.contains("  running-mean       Takes from the logits"),
        "{text}"
    );
    assert!(text.contains("  skeleton-cache"), "{text}");
    let mut describe = szar();
    describe
        .args(["describe", "ridge-cosine"])
        .env("SZAR_PLUGIN_PATH", library("aligner"));
    let text = stdout(&mut describe);
    assert!(text.contains("aligner `ridge-cosine`"), "{text}");
    assert!(text.contains("plugin szar-example-aligner 0.1.0"), "{text}");
    assert!(text.contains("ridge: a number = 10"), "{text}");
}

#[test]
fn the_users_folder_of_plugins_is_searched() {
    let data = tempfile::tempdir().expect("a folder");
    let folder = data.path().join("szar/plugins");
    std::fs::create_dir_all(&folder).expect("a folder");
    let _ = std::fs::copy(library("encoder"), folder.join("libmine.so")).expect("a copy");
    let mut list = szar();
    list.args(["list", "encoder"]).env("XDG_DATA_HOME", data.path());
    let text = stdout(&mut list);
    assert!(text.contains("joint-statistics"), "{text}");
}

#[test]
fn options_of_plugins_are_checked_like_those_of_built_ins() {
    let folder = tempfile::tempdir().expect("a folder");
    let path = pipeline(folder.path(), &examples(), ADAPTED);
    let check = |set: &str| {
        let mut command = szar();
        command.arg("check").arg(&path).args(["--set", set]);
        refused(&mut command, 2)
    };
    let text = check("adapters.1.shar=1");
    assert!(
        text.contains("unknown field `shar` of adapter `running-mean`"),
        "{text}"
    );
    assert!(text.contains("did you mean `share`?"), "{text}");
    let text = check("adapters.1.share=2");
    assert!(text.contains("must lie between 0 and 1, got 2"), "{text}");
    assert!(text.contains("`adapters[1].share`"), "{text}");
    let text = check("adapters.1.type=running-men");
    assert!(text.contains("did you mean `running-mean`?"), "{text}");
    let text = check("aligner.scale=many");
    assert!(text.contains("`aligner.scale`"), "{text}");
    // What a plugin's adapter or aligner needs is negotiated before anything is read.
    let text = check("adapters.0.type=tent");
    assert!(text.contains("aligner `ridge-cosine` has none"), "{text}");
}

#[test]
fn the_resolved_pipeline_holds_every_default_of_a_plugin_and_reads_back() {
    let folder = tempfile::tempdir().expect("a folder");
    let path = pipeline(folder.path(), &examples(), ADAPTED);
    let mut command = szar();
    command.arg("check").arg(&path).arg("--resolved");
    let text = stdout(&mut command);
    assert!(
        text.contains("type: ridge-cosine") && text.contains("scale: 20"),
        "{text}"
    );
    let again = folder.path().join("again.yaml");
    std::fs::write(&again, &text).expect("a file");
    let mut command = szar();
    command.arg("check").arg(&again).arg("--resolved");
    assert_eq!(stdout(&mut command), text);
}

#[test]
fn without_its_plugin_a_component_is_unknown() {
    let folder = tempfile::tempdir().expect("a folder");
    let path = pipeline(folder.path(), &[library("encoder"), library("aligner")], ADAPTED);
    let mut command = szar();
    command.arg("check").arg(&path);
    let text = refused(&mut command, 2);
    assert!(text.contains("unknown adapter `running-mean`"), "{text}");
}

#[test]
fn a_pipeline_of_plugins_runs_again_to_the_same_bits() {
    let whole = tempfile::tempdir().expect("a folder");
    let path = pipeline(whole.path(), &examples(), ADAPTED);
    szar().arg("run").arg(&path).assert().success();
    let first = results(whole.path());
    szar().arg("run").arg(&path).arg("--fresh").assert().success();
    assert_eq!(results(whole.path()).1, first.1);
}
