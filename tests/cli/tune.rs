//! Hyper-parameters on seen classes.

use std::path::{Path, PathBuf};

use crate::szar;

fn search(folder: &Path, more: &str) -> PathBuf {
    let path = folder.join("search.yaml");
    let text = format!(
        "pipeline: {}\nset: {{dataset.samples_per_class: 6, preprocess.frames: 16, encoder.base_channels: 8, encoder.train.epochs: 1, \
         aligner: {{type: eszsl}}, evaluate: [zsl]}}\noutput: out\nvalidation: {{unseen: 4, folds: 2}}\n{more}",
        szar_tests::root().join("configs/quickstart.yaml").display()
    );
    std::fs::write(&path, text).expect("written");
    path
}

fn tune(file: &Path, code: i32) -> (String, String) {
    let assert = szar().arg("tune").arg(file).assert().code(code);
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    (
        text(&assert.get_output().stdout),
        text(&assert.get_output().stderr),
    )
}

#[test]
fn values_are_chosen_on_seen_classes_and_written_down() {
    let folder = tempfile::tempdir().expect("a folder");
    let file = search(
        folder.path(),
        "space: {adapters.0.alpha: [0.1, 2], adapters.0.capacity: {from: 4, to: 16, whole: true, points: 2}}\nsearch: {type: grid}\n",
    );
    let (out, _) = tune(&file, 0);
    assert!(
        out.contains("class_mean_adapted on seen classes alone, 5 trials"),
        "{out}"
    );
    let out = folder.path().join("out");
    let trials = std::fs::read_to_string(out.join("trials.csv")).expect("trials");
    assert_eq!(trials.lines().count(), 6);
    assert!(
        trials
            .starts_with("trial,adapters.0.alpha,adapters.0.capacity,class_mean_adapted,sd,runs,error\n0,,,"),
        "{trials}"
    );
    // The pipeline with the chosen values is whole, and about the dataset itself.
    let best = std::fs::read_to_string(out.join("best.yaml")).expect("a pipeline");
    assert!(!best.contains("pseudo-unseen"), "{best}");
    szar().arg("check").arg(out.join("best.yaml")).assert().success();
    // No run of the search has met an unseen class: the split's unseen classes are none of its candidates.
    let unseen = szar_core::config::load(&out.join("best.yaml"), &[]).expect("a pipeline");
    let data = unseen
        .pipeline
        .dataset
        .build(&szar_core::testing::build_context())
        .expect("a dataset");
    let unseen = data.split().expect("a split").unseen().names().to_vec();
    for run in std::fs::read_dir(out.join("runs")).expect("runs").flatten() {
        let Ok(text) = std::fs::read_to_string(run.path().join("report.json")) else {
            continue;
        };
        let report: serde_json::Value = serde_json::from_str(&text).expect("JSON");
        let classes = ["seen", "unseen"]
            .map(|side| report["data"][side].as_array().expect("a list").clone())
            .concat();
        assert!(
            !unseen.iter().any(|name| classes.contains(&name.as_str().into())),
            "{text}"
        );
    }
}

#[test]
fn what_cannot_be_chosen_is_refused_before_anything_runs() {
    let folder = tempfile::tempdir().expect("a folder");
    let file = search(folder.path(), "space: {dataset.split.name: [a]}\n");
    let (_, err) = tune(&file, 2);
    assert!(
        err.contains("`dataset.split.name` cannot be chosen here"),
        "{err}"
    );
    let file = search(folder.path(), "space: {adapters.0.alhpa: [1]}\n");
    let (_, err) = tune(&file, 2);
    assert!(err.contains("did you mean `alpha`?"), "{err}");
    assert!(!folder.path().join("out").exists());
}
