use std::io::Write;

use proptest::prelude::*;
use szar_core::Dataset;
use tempfile::TempDir;
use zip::ZipWriter;
use zip::write::SimpleFileOptions;

use super::super::test_data::{floats, npy, real};
use super::*;

fn integers(values: &[i64]) -> Vec<u8> {
    npy(
        "<i8",
        &[values.len()],
        &values.iter().flat_map(|v| v.to_le_bytes()).collect::<Vec<_>>(),
    )
}

fn joints() -> Vec<f32> {
    (0..3 * 15 * 3).map(|v| v as f32).collect()
}

/// Two sequences of 2 and 1 frames on `common15`; `change` may alter the arrays.
fn write(change: impl Fn(&str, Vec<u8>) -> Option<Vec<u8>>) -> TempDir {
    let dir = tempfile::tempdir().unwrap();
    let arrays = [
        ("x", floats(&[3, 1, 15, 3], &joints())),
        ("fps", floats(&[1], &[15.0])),
        ("offsets", integers(&[0, 2, 3])),
        ("label", integers(&[1, 0])),
        ("subject", integers(&[4, -1])),
        ("xsub", integers(&[0, 1])),
        ("flags", integers(&[0, 1])),
    ];
    let mut zip = ZipWriter::new(std::fs::File::create(dir.path().join("dataset.npz")).unwrap());
    for (name, bytes) in arrays {
        let Some(bytes) = change(name, bytes) else {
            continue;
        };
        zip.start_file(format!("{name}.npy"), SimpleFileOptions::default())
            .unwrap();
        zip.write_all(&bytes).unwrap();
    }
    zip.finish().unwrap();
    let common = layouts::by_name("common15").unwrap();
    let list =
        |name: &str, lines: &[&str]| std::fs::write(dir.path().join(name), lines.join("\n") + "\n").unwrap();
    list("names.txt", &["first", "second"]);
    list("classes.txt", &["walk", "wave"]);
    list(
        "joints.txt",
        &common.joints.iter().map(String::as_str).collect::<Vec<_>>(),
    );
    std::fs::write(dir.path().join("bones.json"), "[]").unwrap();
    dir
}

/// Message of opening with one array replaced, or left out.
fn message(array: &str, bytes: Option<Vec<u8>>) -> String {
    let dir = write(|name, old| if name == array { bytes.clone() } else { Some(old) });
    open(&dir).err().unwrap().to_string()
}

fn open(dir: &TempDir) -> Result<Recorded> {
    let config = SkeletonNpzConfig {
        root: dir.path().into(),
        ..Default::default()
    };
    config.open()
}

#[test]
fn a_folder_is_read_as_it_was_written() {
    let data = open(&write(|_, bytes| Some(bytes))).unwrap();
    assert_eq!(data.info.layout.name, "common15");
    let (first, second) = (&data.samples[0], &data.samples[1]);
    assert_eq!(
        (first.class.0, first.subject, first.role, first.usable),
        (1, Some(4), SampleRole::Train, true)
    );
    assert_eq!(
        (second.subject, second.role, second.usable),
        (None, SampleRole::Test, false)
    );
    let sequence = data.load(1).unwrap();
    assert_eq!((sequence.frames, sequence.persons, sequence.fps), (1, 1, 15.0));
    assert_eq!(sequence.joints, joints()[90..]);
    assert!(data.load(2).is_err());
}

#[test]
fn a_wrong_rank_is_refused() {
    let text = message("x", Some(floats(&[3, 15, 3], &joints())));
    assert!(
        text.ends_with("array `x`: has shape [3, 15, 3], expected 4 dimensions"),
        "{text}"
    );
}

#[test]
fn another_joint_count_is_refused() {
    let text = message("x", Some(floats(&[3, 1, 5, 9], &joints())));
    assert!(
        text.contains("has shape [3, 1, 5, 9], expected [_, _, 15, 3] for the joints of layout `common15`"),
        "{text}"
    );
}

#[test]
fn a_missing_array_is_named_with_those_there_are() {
    let text = message("xsub", None);
    assert!(text.contains("unknown array `xsub`; known: "), "{text}");
}

#[test]
fn an_array_that_is_cut_short_is_refused() {
    let mut bytes = floats(&[3, 1, 15, 3], &joints());
    bytes.truncate(300);
    let text = message("x", Some(bytes));
    assert!(text.contains("is the file cut short?"), "{text}");
}

#[test]
fn wrong_entries_are_named() {
    let says = |array, values: &[i64], part: &str| {
        let text = message(array, Some(integers(values)));
        assert!(text.contains(part), "{text}");
    };
    says("label", &[0, 2], "is 2 for sequence 1, expected 0 to 1");
    says("xsub", &[0], "has 1 entries, expected 2");
    says("offsets", &[0, 2, 2], "sequence 1 runs from frame 2 to 2");
    says("offsets", &[0, 2, 9], "runs from 0 to 9, expected 0 to 3");
    says("offsets", &[0, 3], "for 1 sequences; `names.txt` has 2 lines");
    let text = message("label", Some(floats(&[2], &[0.0, 1.0])));
    assert!(text.contains("has element type `<f4`, expected `<i8`"), "{text}");
}

#[test]
fn a_value_that_is_no_number_is_named_when_its_sequence_is_read() {
    let mut values = joints();
    values[95] = f32::NAN;
    let dir = write(|name, old| {
        Some(if name == "x" {
            floats(&[3, 1, 15, 3], &values)
        } else {
            old
        })
    });
    let text = open(&dir).unwrap().load(1).unwrap_err().to_string();
    assert!(
        text.ends_with("sequence `second`, frame 0, joint `neck`: is NaN, expected a number"),
        "{text}"
    );
}

#[test]
fn a_missing_folder_is_named() {
    let config = SkeletonNpzConfig {
        root: "/nowhere/at/all".into(),
        ..Default::default()
    };
    assert!(
        config
            .open()
            .err()
            .unwrap()
            .to_string()
            .starts_with("cannot read /nowhere/at/all/dataset.npz")
    );
}

#[test]
fn mistakes_in_the_options_are_listed_together() {
    let config = SkeletonNpzConfig {
        layout: Some("ntu26".into()),
        ..Default::default()
    };
    let mut problems = Problems::new();
    config.validate(&mut problems);
    let fields: Vec<_> = problems.iter().map(|p| p.field.as_str()).collect();
    assert_eq!(fields, ["root", "split", "layout"]);
}

#[test]
fn every_neutral_set_opens_and_resolves_its_splits() {
    let sets = [
        ("combined", "58_10_seed0", 4448, 68),
        ("utd_mhad", "22_5_seed1", 861, 27),
        ("nw_ucla", "8_2_seed0", 1484, 10),
        ("gtu3d", "11_3_seed0", 508, 14),
        ("hdm05_11", "9_2_seed0", 288, 11),
        ("bandai_namco", "19_5_seed2", 454, 24),
    ];
    for (set, split, samples, classes) in sets {
        let Some(root) = real(set) else { return };
        let config = SkeletonNpzConfig {
            root: root.clone().into(),
            split: SplitConfig::named(split),
            ..Default::default()
        };
        let data = config.open().unwrap();
        assert_eq!(
            (data.samples.len(), data.info.classes.len()),
            (samples, classes),
            "{set}"
        );
        let split = data.split().unwrap();
        assert!(split.all().len() <= classes);
        assert!(data.load(samples - 1).is_ok());
    }
    let Some(root) = real("nw_ucla") else { return };
    let published = SkeletonNpzConfig {
        split: SplitConfig {
            file: Some(root.join("../semantics/splits.json").into()),
            ..SplitConfig::named("8/2")
        },
        root: root.into(),
        ..Default::default()
    };
    assert_eq!(
        published.open().unwrap().split().unwrap().unseen().names()[1],
        "sit down"
    );
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]
    #[test]
    fn garbled_archives_never_panic(cut in 0.3f64..1.01, at in 0.0f64..1.0, bytes in proptest::collection::vec(any::<u8>(), 1..4)) {
        let dir = write(|_, bytes| Some(bytes));
        let path = dir.path().join("dataset.npz");
        let mut file = std::fs::read(&path).unwrap();
        let start = (at * (file.len() - 4) as f64) as usize;
        file[start..start + bytes.len()].copy_from_slice(&bytes);
        file.truncate((cut * file.len() as f64) as usize);
        std::fs::write(&path, file).unwrap();
        let _ = open(&dir);
    }

    #[test]
    fn garbled_headers_never_panic(at in 0usize..120, byte: u8, cut in 0usize..400) {
        let dir = write(|name, mut bytes| {
            if name == "x" {
                if let Some(b) = bytes.get_mut(at) { *b = byte; }
                bytes.truncate(cut.max(1));
            }
            Some(bytes)
        });
        let _ = open(&dir);
    }
}
