use proptest::prelude::*;
use szar_core::{ClassId, Dataset, DatasetConfig, Problems, RecordedFeatures, SampleRole, host};
use tch::Tensor;
use tempfile::TempDir;

use super::set::FeatureSet;
use super::*;
use crate::readers::test_data::{floats, npy};
use crate::splits::{ClassRef, SplitConfig};

fn integers(values: &[i64]) -> Vec<u8> {
    let bytes: Vec<u8> = values.iter().flat_map(|v| v.to_le_bytes()).collect();
    npy("<i8", &[values.len()], &bytes)
}

/// What NumPy saves of `(names, labels)`.
fn named(names: &[&str], labels: &[i64]) -> Vec<u8> {
    let labels = labels.iter().map(i64::to_string);
    let texts: Vec<String> = names.iter().map(|n| (*n).to_owned()).chain(labels).collect();
    let letter = |text: &str, at| text.chars().nth(at).map_or(0, u32::from).to_le_bytes();
    let bytes: Vec<u8> = texts
        .iter()
        .flat_map(|t| (0..8).flat_map(move |at| letter(t, at)))
        .collect();
    npy("<U8", &[2, names.len()], &bytes)
}

fn put(dir: &TempDir, name: &str, bytes: Vec<u8>) {
    std::fs::write(dir.path().join(name), bytes).unwrap();
}

/// `[n, ..row]`, counted up from 1.
fn counted(rows: usize, row: &[usize]) -> Vec<u8> {
    let shape = [&[rows], row].concat();
    let values: Vec<f32> = (1..=shape.iter().product::<usize>()).map(|i| i as f32).collect();
    floats(&shape, &values)
}

/// Four classes, of which the last is unseen.
fn classes(dir: &TempDir) {
    put(dir, "classes.txt", b"walk\nrun\nwave\nkick\n".to_vec());
}

fn split(unseen: i64) -> SplitConfig {
    SplitConfig {
        unseen: vec![ClassRef::Number(unseen)],
        ..Default::default()
    }
}

fn synse_folder() -> TempDir {
    let dir = tempfile::tempdir().unwrap();
    classes(&dir);
    put(&dir, "train.npy", counted(3, &[2]));
    put(&dir, "train_label.npy", integers(&[2, 0, 1]));
    put(&dir, "gtest.npy", counted(3, &[2]));
    put(&dir, "g_label.npy", integers(&[3, 0, 3]));
    put(&dir, "gtest_out.npy", counted(3, &[4]));
    put(&dir, "z_label.npy", integers(&[3, 3]));
    dir
}

fn synse(dir: &TempDir) -> SynseFeaturesConfig {
    SynseFeaturesConfig {
        root: dir.path().into(),
        set: "four".into(),
        classes: Some(dir.path().join("classes.txt").into()),
        split: split(3),
        channels: 2,
        ..Default::default()
    }
}

fn purls_folder() -> TempDir {
    let dir = tempfile::tempdir().unwrap();
    classes(&dir);
    let row = [2, 1, 25];
    let mut train = counted(3, &row);
    let last = train.len() - 200;
    train[last..].fill(0);
    put(&dir, "train_feature.npy", train);
    put(&dir, "train_labels.npy", named(&["a", "b", "c"], &[2, 0, 1]));
    put(&dir, "val_feature.npy", counted(1, &row));
    put(&dir, "val_labels.npy", integers(&[0]));
    put(&dir, "test_feature.npy", counted(2, &row));
    put(&dir, "test_labels.npy", integers(&[3, 3]));
    dir
}

fn purls(dir: &TempDir) -> PurlsFeaturesConfig {
    PurlsFeaturesConfig {
        root: dir.path().into(),
        set: "four".into(),
        classes: Some(dir.path().join("classes.txt").into()),
        split: split(3),
        channels: 2,
        frames: 1,
        ..Default::default()
    }
}

fn values(tensor: &Tensor) -> Vec<f64> {
    host::to_f64(tensor)
}

fn known(set: &FeatureSet) -> Vec<(&str, i64, SampleRole, bool)> {
    let samples = set.samples().iter();
    samples
        .map(|s| (s.name.as_str(), s.class.0, s.role, s.usable))
        .collect()
}

#[test]
fn synse_gives_features_labels_and_the_logits_of_test_samples() {
    let set = synse(&synse_folder()).open().unwrap();
    let test = SampleRole::Test;
    assert_eq!(known(&set)[0], ("train/0", 2, SampleRole::Train, true));
    assert_eq!(
        known(&set)[3..],
        [
            ("gtest/0", 3, test, true),
            ("gtest/1", 0, test, true),
            ("gtest/2", 3, test, true)
        ]
    );
    let train = RecordedFeatures::load(&set, &[2, 0]).unwrap();
    assert_eq!(values(&train.features.values), [5.0, 6.0, 1.0, 2.0]);
    assert!(train.features.is_pooled() && train.seen_logits.is_none());
    let tested = RecordedFeatures::load(&set, &[5]).unwrap();
    // Columns 0 to 2 of row 2; class 3 is unseen.
    assert_eq!(values(&tested.seen_logits.unwrap()), [9.0, 10.0, 11.0]);
    let both = RecordedFeatures::load(&set, &[1, 3]).unwrap();
    assert_eq!(values(&both.features.values), [3.0, 4.0, 1.0, 2.0]);
    assert!(both.seen_logits.is_none());
    assert!(RecordedFeatures::load(&set, &[6]).is_err());
    assert!(
        Dataset::load(&set, 0)
            .unwrap_err()
            .to_string()
            .contains("no sequence to read")
    );
}

#[test]
fn purls_leaves_out_what_is_zero_and_brings_nodes_to_length_one() {
    let dir = purls_folder();
    let set = purls(&dir).open().unwrap();
    let names: Vec<_> = known(&set).iter().map(|s| (s.0, s.3)).collect();
    assert_eq!(
        names,
        [
            ("a", true),
            ("b", true),
            ("c", false),
            ("val/0", true),
            ("test/0", true),
            ("test/1", true)
        ]
    );
    let unit = RecordedFeatures::load(&set, &[0, 2]).unwrap().features.values;
    assert_eq!(unit.size(), [2, 2, 1, 25]);
    // Channels of node 0 of sample 0 are 1 and 26; sample 2 is zero and stays so.
    let length = 677f64.sqrt();
    assert!((unit.double_value(&[0, 0, 0, 0]) - 1.0 / length).abs() < 1e-6);
    assert!((unit.double_value(&[0, 1, 0, 0]) - 26.0 / length).abs() < 1e-6);
    assert_eq!(
        unit.select(0, 1).abs().sum(tch::Kind::Float).double_value(&[]),
        0.0
    );
    let plain = PurlsFeaturesConfig {
        unit_nodes: false,
        ..purls(&dir)
    };
    let plain = plain.open().unwrap();
    assert!(plain.samples()[2].usable);
    let raw = RecordedFeatures::load(&plain, &[0]).unwrap().features.values;
    assert_eq!(raw.double_value(&[0, 1, 0, 0]), 26.0);
}

#[test]
fn other_widths_of_floats_are_read() {
    let dir = synse_folder();
    let doubles: Vec<u8> = (0..6).flat_map(|i| f64::from(i).to_le_bytes()).collect();
    put(&dir, "train.npy", npy("<f8", &[3, 2], &doubles));
    // 1.5 and −2 as halves.
    put(
        &dir,
        "gtest.npy",
        npy("<f2", &[3, 2], &[0x00, 0x3e, 0x00, 0xc0].repeat(3)),
    );
    let set = synse(&dir).open().unwrap();
    assert_eq!(
        values(&RecordedFeatures::load(&set, &[1]).unwrap().features.values),
        [2.0, 3.0]
    );
    assert_eq!(
        values(&RecordedFeatures::load(&set, &[4]).unwrap().features.values),
        [1.5, -2.0]
    );
}

/// A gate's folder: class 1 plays unseen.
fn gate_folder() -> TempDir {
    let dir = tempfile::tempdir().unwrap();
    put(&dir, "train.npy", counted(2, &[2]));
    put(&dir, "train_label.npy", integers(&[2, 0]));
    put(&dir, "val.npy", counted(1, &[2]));
    put(&dir, "val_label.npy", integers(&[0]));
    put(&dir, "val_out.npy", counted(1, &[4]));
    put(&dir, "ztest.npy", counted(1, &[2]));
    put(&dir, "z_label.npy", integers(&[1]));
    put(&dir, "ztest_out.npy", counted(1, &[4]));
    dir
}

#[test]
fn a_gates_folder_is_a_dataset_in_which_seen_classes_play_unseen() {
    let (dir, gate) = (synse_folder(), gate_folder());
    let config = SynseFeaturesConfig {
        gate: Some(gate.path().into()),
        ..synse(&dir)
    };
    assert!(config.features().unwrap().held_out);
    let held = config.open().unwrap().held_out().unwrap().unwrap();
    let split = held.split().unwrap();
    assert_eq!(split.seen().ids(), [ClassId(0), ClassId(2)]);
    assert_eq!(split.unseen().ids(), [ClassId(1)]);
    let encoding = held.features().unwrap().load(&[3]).unwrap();
    assert_eq!(values(&encoding.seen_logits.unwrap()), [1.0, 3.0]);
    // A class that is unseen in the run has no place in it.
    put(&gate, "z_label.npy", integers(&[3]));
    let error = config.open().unwrap().held_out().err().unwrap().to_string();
    assert!(
        error.contains("z_label.npy: a label is 3 (`kick`), no seen class of split"),
        "{error}"
    );
}

fn cut(mut bytes: Vec<u8>) -> Vec<u8> {
    bytes.truncate(bytes.len() - 3);
    bytes
}

fn message(file: &str, bytes: Vec<u8>) -> String {
    let dir = synse_folder();
    put(&dir, file, bytes);
    let refused = match synse(&dir).open() {
        Ok(set) => RecordedFeatures::load(&set, &[0, 3]).map(|_| ()).unwrap_err(),
        Err(error) => error,
    };
    refused
        .to_string()
        .split_once(&dir.path().display().to_string())
        .unwrap()
        .1[1..]
        .to_owned()
}

#[test]
fn folders_that_are_wrong_are_refused() {
    let wrong: [(&str, Vec<u8>, &str); 14] = [
        (
            "train.npy",
            cut(counted(3, &[2])),
            "train.npy: has shape [3, 2], which takes",
        ),
        (
            "train.npy",
            b"PK\x03\x04".to_vec(),
            "train.npy: does not start as a .npy array",
        ),
        (
            "train.npy",
            counted(3, &[5]),
            "train.npy: has shape [3, 5], expected [n, 2]",
        ),
        (
            "train.npy",
            counted(3, &[2, 1, 1]),
            "train.npy: has shape [3, 2, 1, 1], expected [n, 2]",
        ),
        (
            "train.npy",
            npy("|O", &[3, 2], b"\x80\x02cos\nsystem\n."),
            "train.npy: holds pickled Python objects",
        ),
        (
            "train.npy",
            npy("<i8", &[3, 2], &[0; 48]),
            "train.npy: has element type `<i8`, expected",
        ),
        (
            "train.npy",
            npy("<f4", &[usize::MAX, 2], &[0; 8]),
            "which is too large",
        ),
        ("train.npy", floats(&[0, 2], &[]), "which holds nothing"),
        (
            "train.npy",
            floats(&[3, 2], &[f32::NAN, 0.0, 0.0, 0.0, 0.0, 0.0]),
            "train.npy, row 0: has a value that is not finite",
        ),
        (
            "train_label.npy",
            integers(&[0, 1]),
            "train_label.npy: has 2 labels for the 3 rows of",
        ),
        (
            "train_label.npy",
            integers(&[0, 1, 4]),
            "train_label.npy, label 2: is 4, expected 0 to 3",
        ),
        (
            "train_label.npy",
            integers(&[0, 3, 1]),
            "train_label.npy, label 1: is 3 (`kick`), no seen class of split `1 listed`",
        ),
        (
            "train_label.npy",
            npy("|O", &[3], b"\x80\x02."),
            "train_label.npy: holds pickled Python objects",
        ),
        (
            "z_label.npy",
            integers(&[3]),
            "z_label.npy: has 1 labels, `g_label.npy` has 2 of unseen classes",
        ),
    ];
    for (file, bytes, want) in wrong {
        let text = message(file, bytes);
        assert!(text.contains(want), "{text}\n{want}");
    }
    let wide = message("gtest_out.npy", counted(3, &[3]));
    assert!(
        wide.contains("gtest_out.npy: has shape [3, 3], expected [3, 4]: logits"),
        "{wide}"
    );
    let text = message("train_label.npy", named(&["a", "b", "c"], &[0, 1, -1]));
    assert!(text.contains("label 2: is -1, expected 0 to 3"), "{text}");
}

#[test]
fn options_are_judged_without_the_files() {
    let problems = |config: &dyn DatasetConfig| {
        let mut problems = Problems::new();
        config.validate(&mut problems);
        problems.iter().map(|p| p.field.clone()).collect::<Vec<_>>()
    };
    let wrong = SynseFeaturesConfig {
        channels: 0,
        set: "ntu61".into(),
        ..Default::default()
    };
    assert_eq!(problems(&wrong), ["root", "split", "set", "channels"]);
    let wrong = PurlsFeaturesConfig {
        frames: 0,
        layout: "ntu26".into(),
        ..Default::default()
    };
    assert_eq!(problems(&wrong), ["root", "split", "frames", "layout"]);
    let dir = synse_folder();
    assert_eq!(problems(&synse(&dir)), [""; 0]);
    let spec = PurlsFeaturesConfig::default().features().unwrap().spec;
    assert_eq!(
        (spec.channels, spec.frames, spec.joints, spec.classifies),
        (256, 3, 25, false)
    );
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn damaged_files_are_errors_or_values(at in 0usize..400, byte in any::<u8>(), cut in 0usize..400, which in 0usize..6) {
        let dir = synse_folder();
        let file = ["train.npy", "train_label.npy", "gtest.npy", "g_label.npy", "gtest_out.npy", "z_label.npy"][which];
        let mut bytes = std::fs::read(dir.path().join(file)).unwrap();
        let length = bytes.len();
        bytes[at % length] = byte;
        bytes.truncate(length - cut % length);
        put(&dir, file, bytes);
        if let Ok(set) = synse(&dir).open() {
            let all: Vec<usize> = (0..set.samples().len()).collect();
            let _ = RecordedFeatures::load(&set, &all);
        }
    }
}
