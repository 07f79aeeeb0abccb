use tempfile::TempDir;

use super::*;
use crate::readers::test_data::{floats, npy};

/// A pickle of protocol 2 of two lists.
fn pickle(names: &[&str], labels: &[u8]) -> Vec<u8> {
    let mut out = b"\x80\x02](".to_vec();
    for name in names {
        out.push(b'X');
        out.extend((name.len() as u32).to_le_bytes());
        out.extend(name.as_bytes());
    }
    out.extend(b"e](");
    out.extend(labels.iter().flat_map(|label| [b'K', *label]));
    out.extend(b"e\x86.");
    out
}

/// `[n, 3, 2, 25, 2]`, counted up.
fn array(rows: usize) -> Vec<u8> {
    let values: Vec<f32> = (0..rows * 300).map(|i| i as f32).collect();
    floats(&[rows, 3, 2, 25, 2], &values)
}

fn folder(prefix: &str) -> TempDir {
    let dir = tempfile::tempdir().unwrap();
    let write = |name: &str, bytes: Vec<u8>| std::fs::write(dir.path().join(name), bytes).unwrap();
    write(&format!("train_{prefix}.npy"), array(2));
    write(&format!("val_{prefix}.npy"), array(1));
    let names = ["S001C001P001R001A004.skeleton", "S001C001P008R001A060.skeleton"];
    write("train_label.pkl", pickle(&names, &[3, 59]));
    write("val_label.pkl", pickle(&["S001C001P003R001A011.skeleton"], &[10]));
    dir
}

fn config(dir: &TempDir) -> AgcnNpyConfig {
    AgcnNpyConfig {
        root: dir.path().into(),
        split: SplitConfig::named("48_12"),
        ..Default::default()
    }
}

fn message(file: &str, bytes: &[u8]) -> String {
    let dir = folder("data_joint");
    std::fs::write(dir.path().join(file), bytes).unwrap();
    config(&dir).open().err().unwrap().to_string()
}

#[test]
fn names_labels_and_subjects_are_read() {
    for prefix in ["data_joint", "data"] {
        let data = config(&folder(prefix)).open().unwrap();
        let seen: Vec<_> = data
            .samples()
            .iter()
            .map(|s| (s.name.as_str(), s.class.0, s.subject, s.role))
            .collect();
        let want = [
            ("S001C001P001R001A004", 3, Some(1), SampleRole::Train),
            ("S001C001P008R001A060", 59, Some(8), SampleRole::Train),
            ("S001C001P003R001A011", 10, Some(3), SampleRole::Test),
        ];
        assert_eq!(seen, want);
        assert_eq!(data.split().unwrap().unseen().len(), 12);
    }
}

#[test]
fn axes_first_becomes_frames_first() {
    let dir = folder("data_joint");
    let sequence = config(&dir).open().unwrap().load(1).unwrap();
    assert_eq!((sequence.frames, sequence.persons), (2, 2));
    for (axis, frame, joint, person) in [(0, 0, 0, 0), (2, 1, 24, 1), (1, 0, 7, 1)] {
        let from = 300 + ((axis * 2 + frame) * 25 + joint) * 2 + person;
        let at = ((frame * 2 + person) * 25 + joint) * 3 + axis;
        assert_eq!(sequence.joints[at], from as f32);
    }
}

#[test]
fn folders_that_are_wrong_are_refused() {
    assert!(
        message("val_data_joint.npy", &floats(&[1, 3, 3, 25, 2], &[0.0; 450]))
            .contains("may differ in the first size only")
    );
    assert!(
        message("train_data_joint.npy", &floats(&[2, 3, 2, 18, 2], &[0.0; 432]))
            .contains("expected [N, 3, T, 25, M]")
    );
    let huge = npy("<f4", &[1_000_000_000, 3, 300, 25, 2], &[0; 64]);
    assert!(message("train_data_joint.npy", &huge).contains("is the file cut short?"));
    assert!(message("train_label.pkl", &pickle(&["a"], &[0])).contains("has 2 rows for 1 labels"));
    assert!(message("val_label.pkl", &pickle(&["a"], &[60])).contains("`a` has label 60, expected 0 to 59"));
    assert!(message("val_label.pkl", &pickle(&["S001C001P001R001A004"], &[3])).contains("is listed twice"));
    assert!(message("val_label.pkl", b"cos\nsystem\n.").contains("nothing of the file was run"));
    let wrong = AgcnNpyConfig {
        classes: 50,
        ..config(&folder("data"))
    };
    assert!(wrong.open().is_err());
}
