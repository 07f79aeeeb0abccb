//! Data imported and looked at, features extracted and shared.

use serde_json::Value;

use crate::{run_dir, small_overrides, small_run, szar};

const PROCEDURAL: &str = "{type: procedural, samples_per_class: 3}";

fn json(command: &mut assert_cmd::Command) -> Value {
    let assert = command.arg("--json").assert().success();
    serde_json::from_slice(&assert.get_output().stdout).expect("JSON")
}

#[test]
fn what_is_extracted_is_used_by_the_run() {
    let output = tempfile::tempdir().expect("a folder");
    let extract = || {
        let mut command = szar();
        let command = command
            .args(["extract", "configs/quickstart.yaml"])
            .args(small_overrides(output.path()));
        json(command)
    };
    let (first, again) = (extract(), extract());
    assert_eq!((&first["kept"], &again["kept"]), (&false.into(), &true.into()));
    assert_eq!(first["folder"], again["folder"]);
    let folder = std::path::PathBuf::from(first["folder"].as_str().expect("a folder"));
    let rows = first["form"]["rows"].as_u64().expect("a number");
    let size = |file: &str| std::fs::metadata(folder.join(file)).expect("a file").len();
    let channels = first["form"]["features"]["channels"].as_u64().expect("a number");
    assert_eq!(size("pooled.f32"), rows * channels * 4);
    assert_eq!(size("descriptors.f32"), 8 * size("pooled.f32"));
    let lines = std::fs::read_to_string(folder.join("samples.csv")).expect("a list");
    assert_eq!(lines.lines().count() as u64, rows + 1);

    small_run(output.path()).assert().success();
    let report = std::fs::read_to_string(run_dir(output.path()).join("report.json")).expect("a report");
    let report: Value = serde_json::from_str(&report).expect("JSON");
    let stages = report["performance"].as_array().expect("stages");
    let features = stages.iter().find(|s| s["name"] == "features").expect("a stage");
    assert_eq!(features["reused"], true);
}

#[test]
fn a_store_is_imported_inspected_and_damage_to_it_is_named() {
    let folder = tempfile::tempdir().expect("a folder");
    let store = folder.path().join("store");
    let import = || {
        let mut command = szar();
        command.args(["data", "import", PROCEDURAL, "--out"]).arg(&store);
        command
    };
    let done = json(&mut import());
    assert_eq!(done["samples"], 90);
    let error = import().assert().code(2).get_output().stderr.clone();
    assert!(String::from_utf8_lossy(&error).contains("is there already"));

    let dataset = format!("{{type: skeleton-store, root: {}}}", store.display());
    let inspect = |dataset: &str| {
        let mut command = szar();
        command.args(["data", "inspect", dataset]);
        command
    };
    let (stored, source) = (json(&mut inspect(&dataset)), json(&mut inspect(PROCEDURAL)));
    assert_eq!(stored["classes"], source["classes"]);
    let sheet = folder.path().join("sheet.png");
    inspect(&dataset).arg("--sheet").arg(&sheet).assert().success();
    let bytes = std::fs::read(&sheet).expect("a picture");
    assert_eq!(&bytes[1..4], b"PNG");

    let joints = store.join("joints.f32");
    let bytes = std::fs::read(&joints).expect("joints");
    std::fs::write(&joints, &bytes[..bytes.len() - 4]).expect("written");
    let error = inspect(&dataset).assert().code(2).get_output().stderr.clone();
    let error = String::from_utf8_lossy(&error).into_owned();
    assert!(
        error.contains("joints.f32") && error.contains("bytes, expected"),
        "{error}"
    );
    let error = inspect("{type: skeleton-stroe, root: x}").assert().code(2);
    let error = String::from_utf8_lossy(&error.get_output().stderr).into_owned();
    assert!(error.contains("skeleton-store"), "{error}");
}
