use std::io::Write;

use proptest::prelude::*;
use szar_core::ClassId;
use tempfile::TempDir;
use zip::write::SimpleFileOptions;
use zip::{CompressionMethod, ZipWriter};

use super::*;
use crate::readers::test_data::{floats, npy};

/// Row `row` of 4 frames: number i of frame t is `row + t + i / 1000`, frame 3 is padding.
fn rows(count: usize) -> Vec<f32> {
    let value = |row: usize, t: usize, i: usize| {
        if t < 3 {
            row as f32 + t as f32 + i as f32 / 1000.0
        } else {
            0.0
        }
    };
    (0..count)
        .flat_map(|row| (0..4).flat_map(move |t| (0..150).map(move |i| value(row, t, i))))
        .collect()
}

/// One-hot rows as 64-bit floats.
fn hot(classes: usize, labels: &[usize]) -> Vec<u8> {
    let values = labels
        .iter()
        .flat_map(|label| (0..classes).map(move |c| f64::from(u8::from(c == *label))));
    let bytes: Vec<u8> = values.flat_map(f64::to_le_bytes).collect();
    npy("<f8", &[labels.len(), classes], &bytes)
}

fn archive(change: impl Fn(&str, Vec<u8>) -> Vec<u8>, method: CompressionMethod) -> TempDir {
    let dir = tempfile::tempdir().unwrap();
    let arrays = [
        ("x_train", floats(&[2, 4, 150], &rows(2))),
        ("y_train", hot(60, &[7, 59])),
        ("x_test", floats(&[1, 4, 150], &rows(1))),
        ("y_test", hot(60, &[10])),
    ];
    let mut zip = ZipWriter::new(std::fs::File::create(dir.path().join("a.npz")).unwrap());
    for (name, bytes) in arrays {
        let options = SimpleFileOptions::default().compression_method(method);
        zip.start_file(format!("{name}.npy"), options).unwrap();
        zip.write_all(&change(name, bytes)).unwrap();
    }
    zip.finish().unwrap();
    dir
}

fn open(dir: &TempDir) -> Result<Prepared> {
    let config = CtrGcnNpzConfig {
        file: dir.path().join("a.npz").into(),
        split: SplitConfig::named("55/5"),
    };
    config.open()
}

fn message(array: &str, bytes: &[u8]) -> String {
    let change = |name: &str, old| if name == array { bytes.to_vec() } else { old };
    open(&archive(change, CompressionMethod::Stored))
        .err()
        .unwrap()
        .to_string()
}

#[test]
fn rows_become_sequences_without_their_padding() {
    let data = open(&archive(|_, bytes| bytes, CompressionMethod::Stored));
    let data = data.unwrap();
    let seen: Vec<_> = data
        .samples()
        .iter()
        .map(|s| (s.name.as_str(), s.class.0, s.role))
        .collect();
    let want = [
        ("train 0", 7, SampleRole::Train),
        ("train 1", 59, SampleRole::Train),
        ("test 0", 10, SampleRole::Test),
    ];
    assert_eq!(seen, want);
    assert_eq!(data.split().unwrap().unseen().ids()[0], ClassId(10));
}

#[test]
fn a_sequence_is_read_when_it_is_asked_for() {
    let dir = archive(|_, bytes| bytes, CompressionMethod::Stored);
    let data = open(&dir).unwrap();
    let sequence = data.load(1).unwrap();
    assert_eq!((sequence.frames, sequence.persons), (3, 2));
    assert_eq!(sequence.joints, rows(2)[600..1050]);
    assert_eq!(data.load(2).unwrap().joints, rows(1)[..450]);
    assert!(
        data.load(3)
            .unwrap_err()
            .to_string()
            .contains("row 1 is not there")
    );
}

#[test]
fn archives_that_are_wrong_are_refused_at_the_array() {
    assert!(message("x_test", &floats(&[1, 4, 75], &[0.0; 300])).ends_with("expected [N, T, 150]"));
    assert!(message("x_test", &floats(&[1, 3, 150], &[0.0; 450])).contains("expected rows of 4 frames"));
    assert!(message("x_train", &floats(&[9, 4, 150], &rows(2))).contains("is the file cut short?"));
    assert!(message("x_train", &floats(&[1, 4, 150], &rows(1))).ends_with("has 1 rows for 2 labels"));
    assert!(message("x_train", b"\x93NUMPY").contains("array `x_train`"));
    assert!(message("y_test", &hot(61, &[3])).contains("has 61 classes, `y_train` has 60"));
    assert!(message("y_train", &floats(&[1, 2], &[1.0, 1.0])).ends_with("row 0 is not one 1 among zeros"));
    let huge = npy("<f4", &[usize::MAX / 2, 4, 150], &[]);
    assert!(message("x_train", &huge).contains("which is too large"));
    let dir = archive(|_, bytes| bytes, CompressionMethod::Deflated);
    let error = open(&dir).err().unwrap().to_string();
    assert!(error.contains("array `x_train`: is compressed"), "{error}");
}

#[test]
fn values_that_are_no_numbers_are_refused_when_they_are_read() {
    let mut values = rows(2);
    values[601] = f32::NAN;
    let change = |name: &str, old| {
        if name == "x_train" {
            floats(&[2, 4, 150], &values)
        } else {
            old
        }
    };
    let dir = archive(change, CompressionMethod::Stored);
    let error = open(&dir).unwrap().load(1).unwrap_err().to_string();
    assert!(
        error.ends_with("number 1 of row 1 is NaN, expected a number"),
        "{error}"
    );
    let change = |name: &str, old| {
        if name == "x_test" {
            floats(&[1, 4, 150], &[0.0; 600])
        } else {
            old
        }
    };
    let dir = archive(change, CompressionMethod::Stored);
    assert!(
        open(&dir)
            .unwrap()
            .load(2)
            .unwrap_err()
            .to_string()
            .contains("zero throughout")
    );
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]
    #[test]
    fn garbled_archives_never_panic(changes in prop::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 1..5), cut in any::<prop::sample::Index>(), keep in any::<bool>()) {
        let dir = archive(|_, bytes| bytes, CompressionMethod::Stored);
        let path = dir.path().join("a.npz");
        let mut bytes = std::fs::read(&path).unwrap();
        for (at, byte) in changes {
            let at = at.index(bytes.len());
            bytes[at] = byte;
        }
        if !keep {
            bytes.truncate(cut.index(bytes.len()));
        }
        std::fs::write(&path, bytes).unwrap();
        if let Ok(data) = open(&dir) {
            for sample in 0..data.samples().len() {
                let _ = data.load(sample);
            }
        }
    }
}
