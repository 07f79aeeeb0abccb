//! What is wrong is said once, clearly, with code 2, and nothing is lost.

use std::path::Path;

use crate::{small_overrides, small_run, szar};

fn fails(command: &mut assert_cmd::Command, code: i32) -> String {
    let assert = command.assert().code(code);
    String::from_utf8_lossy(&assert.get_output().stderr).into_owned()
}

fn check_text(text: &str) -> String {
    let folder = tempfile::tempdir().expect("a folder");
    let path = folder.path().join("pipeline.yaml");
    std::fs::write(&path, text).expect("written");
    fails(szar().arg("check").arg(&path), 2)
}

const SOUND: &str = "name: t
dataset: {type: procedural}
encoder: {type: st-gcn}
semantics: {type: descriptions, file: d.json}
aligner: {type: purls}
";

#[test]
fn five_mistakes_are_all_reported_at_once() {
    let text = "name: t
dataset:
  type: procedurl
encoder:
  type: st-gcn
  dropuot: 0.1
semantics: {type: descriptions, file: 5}
aligner:
  type: purls
  heads: many
adapters:
  - {type: skeleton-cache, capacity: 0}
";
    let err = check_text(text);
    for (line, word) in [
        (3, "procedural"),
        (6, "dropout"),
        (7, "file"),
        (10, "heads"),
        (12, "capacity"),
    ] {
        assert!(
            err.contains(&format!("pipeline.yaml:{line}:")),
            "line {line} in\n{err}"
        );
        assert!(err.contains(word), "{word} in\n{err}");
    }
    assert!(err.contains("5 problems"), "{err}");
}

#[test]
fn an_unknown_override_is_refused_with_the_nearest_name() {
    let err = fails(
        szar().args(["check", "configs/quickstart.yaml", "--set", "aligner.epoch=3"]),
        2,
    );
    assert!(
        err.contains("--set aligner.epoch=3") && err.contains("epochs"),
        "{err}"
    );
}

#[test]
fn an_override_without_a_value_is_refused() {
    let err = fails(
        szar().args(["check", "configs/quickstart.yaml", "--set", "seed"]),
        2,
    );
    assert!(err.contains("seed"), "{err}");
}

#[test]
fn a_missing_configuration_is_named() {
    let err = fails(szar().args(["run", "configs/nowhere.yaml"]), 2);
    assert!(err.contains("configs/nowhere.yaml"), "{err}");
}

#[test]
fn yaml_that_does_not_parse_is_placed() {
    let err = check_text("name: t\ndataset: {type: [}\n");
    assert!(err.contains("pipeline.yaml:2"), "{err}");
}

#[test]
fn a_missing_data_folder_is_named() {
    let output = tempfile::tempdir().expect("a folder");
    let out = format!("output={}", output.path().display());
    let set = ["--set", "dataset.root=/nowhere/at/all", "--set", &out];
    let err = fails(szar().args(["run", "configs/combined.yaml"]).args(set), 2);
    assert!(err.contains("/nowhere/at/all"), "{err}");
}

#[test]
fn gzsl_without_a_gate_is_refused() {
    let err = check_text(&format!("{SOUND}evaluate: [gzsl]\n"));
    assert!(err.contains("gate"), "{err}");
}

#[test]
fn a_gate_without_validation_samples_is_refused_before_anything_runs() {
    let set = ["--set", "validation.fraction=0"];
    let err = fails(szar().args(["check", "configs/quickstart.yaml"]).args(set), 2);
    assert!(err.contains("the gate is fitted on validation samples"), "{err}");
    szar()
        .args(["check", "configs/quickstart.yaml", "--set", "gate.threshold=1"])
        .args(set)
        .assert()
        .success();
}

#[test]
fn a_class_without_a_description_is_named() {
    let folder = tempfile::tempdir().expect("a folder");
    let path = szar_tests::root().join("configs/semantics/procedural_descriptions.json");
    let text = std::fs::read_to_string(path).expect("descriptions");
    let mut all: serde_json::Map<String, serde_json::Value> = serde_json::from_str(&text).expect("JSON");
    let name = all.keys().next().expect("a class").clone();
    all.remove(&name);
    let file = folder.path().join("descriptions.json");
    std::fs::write(&file, serde_json::to_string(&all).expect("JSON")).expect("written");
    let set = format!("semantics.file={}", file.display());
    let err = fails(small_run(folder.path()).args(["--set", &set]), 2);
    assert!(
        err.contains(&format!("`{name}`")) && err.contains("descriptions.json"),
        "{err}"
    );
}

fn with_prior(change: impl Fn(&mut serde_json::Value)) -> String {
    let folder = tempfile::tempdir().expect("a folder");
    let path = szar_tests::root().join("configs/semantics/procedural_prior.json");
    let mut prior: serde_json::Value =
        serde_json::from_str(&std::fs::read_to_string(path).expect("prior")).expect("JSON");
    change(&mut prior);
    let file = folder.path().join("prior.json");
    std::fs::write(&file, prior.to_string()).expect("written");
    let set = format!("adapters.0.prior={}", file.display());
    fails(small_run(folder.path()).args(["--set", &set]), 2)
}

#[test]
fn a_prior_without_a_class_is_refused() {
    let err = with_prior(|p| p["weights"].as_object_mut().expect("a map").clear());
    assert!(err.contains("prior.json"), "{err}");
}

#[test]
fn a_prior_that_does_not_sum_to_one_is_refused() {
    let err = with_prior(|p| {
        for weights in p["weights"].as_object_mut().expect("a map").values_mut() {
            weights["spatial"] = serde_json::json!([0.9, 0.9, 0.9, 0.9]);
        }
    });
    assert!(err.contains("prior.json") && err.contains("spatial"), "{err}");
}

#[test]
fn embeddings_of_the_wrong_width_for_given_weights_are_refused() {
    let output = tempfile::tempdir().expect("a folder");
    small_run(output.path()).assert().success();
    let weights = crate::run_dir(output.path()).join("aligner.safetensors");
    let classes = 200;
    let file = output.path().join("narrow.npy");
    write_npy(&file, &[classes, 16]);
    let semantics = format!("semantics={{type: embeddings, file: {}}}", file.display());
    let weights = format!("aligner.weights={}", weights.display());
    let other = tempfile::tempdir().expect("a folder");
    let set = [
        "--set",
        &semantics,
        "--set",
        "aligner.partition=global",
        "--set",
        &weights,
    ];
    let err = fails(small_run(other.path()).args(set), 2);
    assert!(
        err.contains("aligner.safetensors") && err.contains("shape"),
        "{err}"
    );
}

/// A version 1 npy file of f32 ones.
fn write_npy(path: &Path, shape: &[usize]) {
    let shape_text: Vec<String> = shape.iter().map(ToString::to_string).collect();
    let mut header = format!(
        "{{'descr': '<f4', 'fortran_order': False, 'shape': ({},), }}",
        shape_text.join(", ")
    );
    while (10 + header.len() + 1) % 64 != 0 {
        header.push(' ');
    }
    header.push('\n');
    let mut bytes = b"\x93NUMPY\x01\x00".to_vec();
    bytes.extend((header.len() as u16).to_le_bytes());
    bytes.extend(header.as_bytes());
    (0..shape.iter().product::<usize>()).for_each(|i| bytes.extend((1.0 + i as f32).to_le_bytes()));
    std::fs::write(path, bytes).expect("written");
}

#[test]
fn cuda_where_there_is_none_is_refused() {
    if szar_core::device::cuda_devices() > 0 {
        eprintln!("skipped: there is a CUDA device");
        return;
    }
    let output = tempfile::tempdir().expect("a folder");
    let err = fails(small_run(output.path()).args(["--set", "device=cuda"]), 2);
    assert!(err.contains("no CUDA device"), "{err}");
}

#[test]
fn an_output_folder_that_cannot_be_made_is_named() {
    let folder = tempfile::tempdir().expect("a folder");
    let file = folder.path().join("file");
    std::fs::write(&file, "in the way").expect("written");
    let err = fails(&mut small_run(&file.join("below")), 1);
    assert!(err.contains("file/below"), "{err}");
}

#[test]
fn a_full_output_folder_loses_nothing_that_was_there() {
    let output = tempfile::tempdir().expect("a folder");
    // A limit on the size of files stands in for a full disk: small files fit, weights do not.
    let program = env!("CARGO_BIN_EXE_szar-under-test");
    let set: Vec<String> = small_overrides(output.path())
        .iter()
        .map(|a| format!("'{a}'"))
        .collect();
    let line = format!(
        "trap '' XFSZ; ulimit -f 24; exec {program} run configs/quickstart.yaml {}",
        set.join(" ")
    );
    let mut command = assert_cmd::Command::new("bash");
    command
        .current_dir(szar_tests::root())
        .env("GOMP_SPINCOUNT", "1000")
        .args(["-c", &line]);
    let err = fails(&mut command, 1);
    assert!(err.contains("cannot write"), "{err}");
    small_run(output.path()).assert().success();
}

#[test]
fn one_folder_holds_one_configuration() {
    let output = tempfile::tempdir().expect("a folder");
    let dir = output.path().join("here");
    let out = ["--out", dir.to_str().expect("UTF-8")];
    small_run(output.path()).args(out).assert().success();
    let err = fails(small_run(output.path()).args(out).args(["--set", "seed=77"]), 2);
    assert!(err.contains("another configuration"), "{err}");
}

#[test]
fn an_adapter_on_an_aligner_without_what_it_needs_is_refused_with_the_reason() {
    let plain = SOUND.replace("{type: purls}", "{type: eszsl}");
    let plain = plain.replace("file: d.json", "file: d.json, embeddings: e.safetensors");
    for (adapter, reason) in [
        ("tent", "needs normalisation layers, aligner `eszsl` has none"),
        ("promptalign", "needs tokens, aligner `eszsl` has none"),
        (
            "{type: dynapurls, preset: official}",
            "needs a training mode at test time",
        ),
        (
            "{type: tpt, parameter: prompt}",
            "needs a text encoder whose prompt can be tuned",
        ),
    ] {
        let block = if adapter.starts_with('{') {
            adapter.to_owned()
        } else {
            format!("{{type: {adapter}}}")
        };
        let err = check_text(&format!("{plain}adapters: [{block}]\n"));
        assert!(
            err.contains(reason) && err.contains("adapters[0]"),
            "{reason} in\n{err}"
        );
    }
}

#[test]
fn an_adapter_that_needs_a_batch_is_refused_single_samples() {
    let err = check_text(&format!(
        "{SOUND}adapters: [{{type: tent}}]\nstream: {{batch: 1}}\n"
    ));
    assert!(
        err.contains("needs at least 2 samples of a stream in a step"),
        "{err}"
    );
}

#[test]
fn options_of_adapters_outside_their_range_are_named() {
    for (block, field) in [
        ("{type: dynapurls, capacity: 0}", "capacity"),
        ("{type: dynapurls, confidence: 1.5}", "confidence"),
        (
            "{type: skeleton-cache, balance: {strength: 2}}",
            "balance.strength",
        ),
        ("{type: balance, limit: -1}", "limit"),
        ("{type: tda, positive: {capacity: 0}}", "positive.capacity"),
        ("{type: adanpc, capacity: 0}", "capacity"),
        ("{type: tpt, selection: 2}", "selection"),
    ] {
        let err = check_text(&format!("{SOUND}adapters: [{block}]\n"));
        assert!(
            err.contains(field) && err.contains("pipeline.yaml:6:"),
            "{field} in\n{err}"
        );
    }
}

#[test]
fn a_gate_that_retrains_is_refused_beside_an_encoder_that_cannot_be_trained() {
    let encoder = "encoder={type: torchscript, module: some.pt, output: 0, logits: 1}";
    let check = |gate: &str| {
        let mut command = szar();
        command.args([
            "check",
            "configs/quickstart.yaml",
            "--set",
            encoder,
            "--set",
            gate,
        ]);
        let output = command.output().expect("it runs");
        String::from_utf8_lossy(&output.stderr).into_owned()
    };
    let err = check("gate={type: seen-unseen-classifier}");
    assert!(
        err.contains("held out of a training of the encoder") && err.contains("retrain_encoder"),
        "{err}"
    );
    for kept in [
        "gate={type: seen-unseen-classifier, pseudo_unseen: {retrain_encoder: false}}",
        "gate={type: calibrated-stacking, gamma: 0.1}",
        "gate={type: entropy}",
    ] {
        let err = check(kept);
        assert!(!err.contains("held out"), "{kept}: {err}");
    }
}
