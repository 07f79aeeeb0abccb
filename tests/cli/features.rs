//! Features that others extracted: trained on, tested, and refused where they do not fit.

use std::path::Path;

use crate::{results, run_dir, szar};

/// Classes; the last two are unseen, and the second plays unseen for the gate.
const CLASSES: usize = 8;

/// A `.npy` array.
fn npy(folder: &Path, name: &str, kind: &str, shape: &[usize], data: &[u8]) {
    let sizes: String = shape.iter().map(|n| format!("{n},")).collect();
    let header = format!("{{'descr': '{kind}', 'fortran_order': False, 'shape': ({sizes}), }}\n");
    let mut out = b"\x93NUMPY\x01\x00".to_vec();
    out.extend((header.len() as u16).to_le_bytes());
    out.extend(header.as_bytes());
    out.extend(data);
    std::fs::write(folder.join(name), out).expect("written");
}

fn floats(folder: &Path, name: &str, shape: &[usize], values: &[f32]) {
    let bytes: Vec<u8> = values.iter().flat_map(|v| v.to_le_bytes()).collect();
    npy(folder, name, "<f4", shape, &bytes);
}

fn labels(folder: &Path, name: &str, classes: &[usize]) {
    let bytes: Vec<u8> = classes.iter().flat_map(|c| (*c as i64).to_le_bytes()).collect();
    npy(folder, name, "<i8", &[classes.len()], &bytes);
}

/// A number between −1 and 1, the same for the same arguments.
fn noise(a: usize, b: usize) -> f32 {
    let mixed = (a as u32).wrapping_mul(2_654_435_761) ^ (b as u32).wrapping_mul(40_503).rotate_left(13);
    (mixed.wrapping_mul(2_246_822_519) >> 8) as f32 / (1 << 23) as f32 - 1.0
}

/// What stands for a class, in texts and, nearly, in features.
fn meaning(class: usize, channel: usize) -> f32 {
    noise(class + 1, channel + 1000)
}

/// Features of samples of these classes, `[n, channels, nodes]`.
fn samples(classes: &[usize], channels: usize, nodes: usize, seed: usize) -> Vec<f32> {
    let value = |row: usize, at: usize| {
        let clean = meaning(classes[row], at / nodes);
        clean + 0.2 * noise(seed + row, at)
    };
    let rows = 0..classes.len();
    rows.flat_map(|row| (0..channels * nodes).map(move |at| (row, at)))
        .map(|(row, at)| value(row, at))
        .collect()
}

/// Logits of a classifier that knows these classes.
fn logits(classes: &[usize], known: &[usize], seed: usize) -> Vec<f32> {
    let value = |row: usize, column: usize| match known.contains(&column) {
        true if classes[row] == column => 6.0 + noise(seed + row, column),
        true => noise(seed + row, column),
        false => -9.0,
    };
    (0..classes.len() * CLASSES)
        .map(|i| value(i / CLASSES, i % CLASSES))
        .collect()
}

fn each(classes: &[usize], count: usize) -> Vec<usize> {
    (0..count).flat_map(|_| classes.iter().copied()).collect()
}

/// Class names and texts.
fn words(folder: &Path, channels: usize, texts: usize) {
    let names: String = (0..CLASSES).map(|class| format!("class {class}\n")).collect();
    std::fs::write(folder.join("classes.txt"), names).expect("written");
    let value = |i: usize| meaning(i / (channels * texts), i % channels);
    let values: Vec<f32> = (0..CLASSES * texts * channels).map(value).collect();
    floats(folder, "texts.npy", &[CLASSES, texts, channels], &values);
}

fn synse(folder: &Path) {
    let gate = folder.join("gate");
    std::fs::create_dir_all(&gate).expect("a folder");
    words(folder, 12, 1);
    let (seen, left) = ([0, 1, 2, 3, 4, 5], [0, 2, 3, 4, 5]);
    let part = |folder: &Path, name: &str, label: &str, classes: &[usize], seed| {
        floats(
            folder,
            &format!("{name}.npy"),
            &[classes.len(), 12],
            &samples(classes, 12, 1, seed),
        );
        labels(folder, &format!("{label}_label.npy"), classes);
    };
    let out = |folder: &Path, name: &str, classes: &[usize], known: &[usize]| {
        let values = logits(classes, known, 77);
        floats(
            folder,
            &format!("{name}_out.npy"),
            &[classes.len(), CLASSES],
            &values,
        );
    };
    part(folder, "train", "train", &each(&seen, 20), 1000);
    let (test, unseen) = (each(&[0, 1, 2, 3, 4, 5, 6, 7], 5), each(&[6, 7], 5));
    part(folder, "gtest", "g", &test, 2000);
    out(folder, "gtest", &test, &seen);
    part(folder, "ztest", "z", &unseen, 3000);
    part(&gate, "train", "train", &each(&left, 20), 4000);
    let (val, held) = (each(&left, 6), each(&[1], 20));
    part(&gate, "val", "val", &val, 5000);
    out(&gate, "val", &val, &left);
    part(&gate, "ztest", "z", &held, 6000);
    out(&gate, "ztest", &held, &left);
}

fn purls(folder: &Path) {
    words(folder, 12, 8);
    let part = |name: &str, classes: &[usize], seed| {
        let values = samples(classes, 12, 75, seed);
        floats(
            folder,
            &format!("{name}_feature.npy"),
            &[classes.len(), 12, 3, 25],
            &values,
        );
        labels(folder, &format!("{name}_labels.npy"), classes);
    };
    part("train", &each(&[0, 1, 2, 3, 4, 5], 12), 1000);
    part("val", &each(&[0, 1, 2, 3, 4, 5], 4), 2000);
    part("test", &each(&[6, 7], 6), 3000);
}

/// A pipeline beside the data.
fn pipeline(folder: &Path, kind: &str, more: &str) -> std::path::PathBuf {
    let path = folder.join("pipeline.yaml");
    let text = format!(
        "name: features\nthreads: 2\noutput: runs\ndataset: {{type: {kind}, root: ., set: toy, classes: classes.txt, \
         channels: 12, split: {{unseen: [6, 7]}}}}\nencoder: {{type: recorded}}\nevaluate: [zsl, gzsl]\n{more}\n"
    );
    std::fs::write(&path, text).expect("written");
    path
}

const SYNSE: &str = "semantics: {type: embeddings, file: texts.npy}\naligner: {type: eszsl}\n";
const PURLS: &str = "semantics: {type: embeddings, file: texts.npy, granularities: [head, hands, torso, legs, start, \
                     middle, end, global]}\naligner: {type: purls, partition: static, epochs: 80, hidden: 32}\n\
                     gate: {type: entropy, source: aligner, classify: aligner}\n";

#[test]
fn eszsl_learns_from_synses_folder_and_its_gate_is_fitted_on_the_second_one() {
    let folder = tempfile::tempdir().expect("a folder");
    synse(folder.path());
    let gate = "gate: {type: seen-unseen-classifier}\nadapters: [{type: tda, keys: pooled}]";
    let path = pipeline(folder.path(), "synse-features", &format!("{SYNSE}{gate}"));
    let gate = format!("dataset.gate={}", folder.path().join("gate").display());
    szar()
        .arg("run")
        .arg(&path)
        .args(["--set", &gate])
        .assert()
        .success();
    let report = results(&run_dir(&folder.path().join("runs")));
    let samples = &report["data"]["samples"];
    assert_eq!(
        samples["train"].as_u64().zip(samples["validation"].as_u64()),
        Some((108, 12))
    );
    assert_eq!(
        samples["seen_test"].as_u64().zip(samples["unseen_test"].as_u64()),
        Some((30, 10))
    );
    assert!(
        report["zsl"]["before"]["class_mean"].as_f64().expect("a number") > 90.0,
        "{report}"
    );
    assert!(
        report["gzsl"]["before"]["top1"]["harmonic_mean"]
            .as_f64()
            .expect("a number")
            > 60.0,
        "{report}"
    );
    assert_eq!(
        report["gzsl"]["held_out"]["classes"],
        serde_json::json!(["class 1"])
    );
    assert_eq!(report["gzsl"]["held_out"]["samples"], serde_json::json!([30, 20]));
    // The encoder's own classifier on the seen test samples; validation samples have no logits.
    assert_eq!(report["encoder"]["test_top1"], 100.0);
    assert!(report["encoder"]["validation_top1"].is_null());
    let text = report.to_string();
    assert!(text.contains("the features are as they were given"), "{text}");
}

#[test]
fn purls_learns_from_its_own_maps() {
    let folder = tempfile::tempdir().expect("a folder");
    purls(folder.path());
    let adapter = "adapters: [{type: skeleton-cache}, {type: dynapurls}]";
    let path = pipeline(folder.path(), "purls-features", &format!("{PURLS}{adapter}"));
    szar().arg("run").arg(&path).assert().success();
    let report = results(&run_dir(&folder.path().join("runs")));
    assert_eq!(report["encoder"]["spec"]["frames"], 3);
    assert_eq!(
        report["zsl"]["before"]["confusion"]["counts"]
            .as_array()
            .map(Vec::len),
        Some(2)
    );
    let losses = report["aligner"]["fit"]["train_loss"].as_array().expect("losses");
    let loss = |at: usize| losses[at].as_f64().expect("a number");
    assert!(loss(losses.len() - 1) < 0.8 * loss(0), "{losses:?}");
    assert!(report["gzsl"]["after"]["top1"]["harmonic_mean"].is_number());
}

/// What `szar check` says of a pipeline that it refuses.
fn refused(kind: &str, more: &str, set: &[&str]) -> String {
    let folder = tempfile::tempdir().expect("a folder");
    let path = pipeline(folder.path(), kind, more);
    let set = set.iter().flat_map(|s| ["--set", s]);
    let assert = szar().arg("check").arg(&path).args(set).assert().code(2);
    String::from_utf8_lossy(&assert.get_output().stderr).into_owned()
}

#[test]
fn what_needs_skeletons_is_refused_before_any_file_is_read() {
    let plain = "gate: {type: entropy, source: aligner, classify: aligner}\n";
    let synse = format!("{SYNSE}{plain}");
    let cases: [(&str, &str, &[&str], &str); 8] = [
        (
            "synse-features",
            &synse,
            &["encoder={type: st-gcn}"],
            "encoder `st-gcn` encodes skeletons, dataset `synse-features` brings features",
        ),
        (
            "synse-features",
            &synse,
            &["dataset={type: procedural}"],
            "encoder `recorded` passes on features that a dataset brings, dataset `procedural` brings skeletons",
        ),
        (
            "synse-features",
            &synse,
            &["encoder={type: ensemble, members: [{type: recorded}]}"],
            "`recorded` encodes no skeletons and cannot be a member",
        ),
        (
            "synse-features",
            &synse,
            &["aligner={type: smie, temporal: on}"],
            "aligner `smie` needs the skeletons (temporal: on)",
        ),
        (
            "purls-features",
            PURLS,
            &["adapters=[{type: diff-tpt}]"],
            "adapter `diff-tpt` needs the skeletons (",
        ),
        (
            "synse-features",
            &synse,
            &["aligner={type: star}"],
            "aligner `star` needs a spatio-temporal feature map",
        ),
        (
            "synse-features",
            &synse,
            &["gate={type: entropy}"],
            "dataset `synse-features` has logits of test samples alone",
        ),
        (
            "purls-features",
            PURLS,
            &["gate={type: entropy}"],
            "gate `entropy` needs an encoder that classifies the seen classes",
        ),
    ];
    for (kind, more, set, want) in cases {
        let err = refused(kind, more, set);
        assert!(err.contains(want), "{set:?}: {err}");
    }
    let err = refused("synse-features", &synse, &["gate={type: seen-unseen-classifier}"]);
    assert!(err.contains("comes with its weights and is not trained"), "{err}");
}

#[test]
fn there_are_no_sequences_to_extract_or_to_draw() {
    let folder = tempfile::tempdir().expect("a folder");
    synse(folder.path());
    let path = pipeline(folder.path(), "synse-features", SYNSE);
    let path = path.display().to_string();
    for (command, what) in [
        (
            vec!["extract", &path, "--set", "evaluate=[zsl]"],
            "there is nothing to encode",
        ),
        (vec!["data", "inspect", &path], "there are no sequences to read"),
    ] {
        let assert = szar().args(command).assert().code(2);
        let err = String::from_utf8_lossy(&assert.get_output().stderr).into_owned();
        assert!(err.contains(what), "{err}");
    }
}
