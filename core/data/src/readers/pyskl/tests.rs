use proptest::prelude::*;
use szar_core::Dataset;
use tempfile::TempDir;

use super::*;
use crate::splits::ClassRef;

/// Opcodes of a pickle, in the form that Python writes.
#[derive(Clone, Default)]
struct Pickle(Vec<u8>);

impl Pickle {
    fn raw(mut self, bytes: &[u8]) -> Self {
        self.0.extend_from_slice(bytes);
        self
    }

    fn text(self, text: &str) -> Self {
        let length = (text.len() as u32).to_le_bytes();
        self.raw(b"X").raw(&length).raw(text.as_bytes())
    }

    fn int(self, value: i32) -> Self {
        self.raw(b"J").raw(&value.to_le_bytes())
    }

    fn list(self, items: &[&str]) -> Self {
        let begun = self.raw(b"](");
        items.iter().fold(begun, |p, item| p.text(item)).raw(b"e")
    }

    /// What follows `_reconstruct(ndarray, (0,), b'b')`.
    fn array(self, kind: &str, shape: &[usize], bytes: &[u8], latin: bool) -> Self {
        let begun =
            self.raw(b"cnumpy.core.multiarray\n_reconstruct\ncnumpy\nndarray\nK\x00\x85C\x01b\x87R(K\x01(");
        let sized = shape.iter().fold(begun, |p, n| p.int(*n as i32));
        let typed = sized
            .raw(b"tcnumpy\ndtype\n")
            .text(kind)
            .raw(b"\x89\x88\x87R(K\x03")
            .text("<");
        let flagged = typed.raw(b"NNNJ\xff\xff\xff\xffJ\xff\xff\xff\xffK\x00tb\x89");
        let with_bytes = if latin {
            // Protocol 2: text in which every letter is a byte.
            let letters: String = bytes.iter().map(|b| char::from(*b)).collect();
            flagged
                .raw(b"c_codecs\nencode\n")
                .text(&letters)
                .text("latin1")
                .raw(b"\x86R")
        } else {
            let length = (bytes.len() as u32).to_le_bytes();
            flagged.raw(b"B").raw(&length).raw(bytes)
        };
        with_bytes.raw(b"tb")
    }
}

fn f4(values: impl IntoIterator<Item = f32>) -> Vec<u8> {
    values.into_iter().flat_map(f32::to_le_bytes).collect()
}

/// One annotation: what stands in it besides its name.
fn annotation(name: &str, label: i32, frames: i32, keypoint: impl Fn(Pickle) -> Pickle) -> Pickle {
    let begun = Pickle::default().raw(b"}(").text("frame_dir").text(name);
    let counted = begun.text("label").int(label).text("total_frames").int(frames);
    keypoint(counted.text("keypoint")).raw(b"u")
}

fn space(name: &str, label: i32, latin: bool) -> Pickle {
    let bytes = f4((0..150).map(|i| i as f32 - 3.0));
    annotation(name, label, 2, |p| p.array("f4", &[1, 2, 25, 3], &bytes, latin))
}

fn file(annotations: &[Pickle]) -> Vec<u8> {
    let begun = Pickle::default().raw(b"\x80\x04}(").text("split").raw(b"}(");
    let split = begun.text("xsub_train").list(&["S001C001P001R001A001", "b"]);
    let split = split.text("xsub_val").list(&["c"]).raw(b"u");
    let begun = split.text("annotations").raw(b"](");
    annotations.iter().fold(begun, |p, a| p.raw(&a.0)).raw(b"eu.").0
}

fn config(dir: &TempDir) -> PysklConfig {
    std::fs::write(dir.path().join("classes.txt"), "walk\nrun\nwave\n").unwrap();
    PysklConfig {
        file: dir.path().join("a.pkl").into(),
        set: "three".into(),
        classes: Some(dir.path().join("classes.txt").into()),
        split: SplitConfig {
            unseen: vec![ClassRef::Number(2)],
            ..Default::default()
        },
        ..Default::default()
    }
}

fn open(bytes: &[u8], change: impl Fn(&mut PysklConfig)) -> Result<OnDemand> {
    let dir = tempfile::tempdir().unwrap();
    std::fs::write(dir.path().join("a.pkl"), bytes).unwrap();
    let mut config = config(&dir);
    change(&mut config);
    config.open()
}

fn message(annotations: &[Pickle]) -> String {
    let text = open(&file(annotations), |_| {}).err().unwrap().to_string();
    text.split_once("a.pkl")
        .map_or(text.clone(), |(_, rest)| rest.to_owned())
}

#[test]
fn joints_names_labels_and_parts_are_read() {
    let three = [
        space("S001C001P001R001A001", 0, false),
        space("c", 2, true),
        space("d", 1, false),
    ];
    let data = open(&file(&three), |_| {}).unwrap();
    let known: Vec<_> = data
        .samples()
        .iter()
        .map(|s| (s.name.as_str(), s.class.0, s.subject, s.role))
        .collect();
    let want = [
        ("S001C001P001R001A001", 0, Some(1), SampleRole::Train),
        ("c", 2, None, SampleRole::Test),
        ("d", 1, None, SampleRole::Outside),
    ];
    assert_eq!(known, want);
    assert_eq!(data.split().unwrap().unseen().names(), ["wave"]);
    // Protocols 2 and 4 say the same; the second person is not there.
    let (first, second) = (data.load(0).unwrap(), data.load(1).unwrap());
    assert_eq!((first.frames, first.persons), (2, 2));
    assert_eq!(first.joints[..3], [-3.0, -2.0, -1.0]);
    assert_eq!(first.joints[150..153], [72.0, 73.0, 74.0]);
    assert!(first.joints[75..150].iter().all(|v| *v == 0.0));
    assert_eq!(first, second);
}

#[test]
fn key_points_in_pixels_are_turned_and_scaled_where_they_are_trusted() {
    // Halves: every key point at (1.5, 2); scores 0 for the first joint, 0.5 else.
    let places = [0x00, 0x3e, 0x00, 0x40].repeat(17);
    let scores = [vec![0, 0], [0x00, 0x38].repeat(16)].concat();
    let image = annotation("c", 1, 1, |p| {
        p.array("f2", &[1, 1, 17, 2], &places, false)
            .text("keypoint_score")
            .array("f2", &[1, 1, 17], &scores, true)
    });
    let bytes = file(&[image]);
    let in_pixels = |least: f64| {
        let data = open(&bytes, |c| {
            c.keypoints = KeyPoints::Image;
            c.metres_per_unit = Some(0.01);
            c.persons = 1;
            c.min_confidence = least;
        });
        data.unwrap().load(0)
    };
    let sequence = in_pixels(0.0).unwrap();
    assert_eq!(sequence.joints[..6], [0.0, 0.0, 0.0, -0.015, -0.02, 0.0]);
    let error = in_pixels(0.6).unwrap_err().to_string();
    assert!(error.contains("annotation `c`: is zero throughout"), "{error}");
    let error = open(&bytes, |_| {}).err().unwrap().to_string();
    assert!(
        error.contains("expected [M, T, 25, 3]; `keypoints` says which kind they are"),
        "{error}"
    );
}

#[test]
fn arrays_column_by_column_are_turned() {
    let plain = space("c", 1, false);
    let column = |at: usize| {
        // Value of element `at` of `[1, 2, 25, 3]` in column order: axes change first to last.
        let (frame, rest) = (at % 2, at / 2);
        (frame * 75 + rest % 25 * 3 + rest / 25) as f32 - 3.0
    };
    let bytes = f4((0..150).map(column));
    let mut turned = annotation("c", 1, 2, |p| p.array("f4", &[1, 2, 25, 3], &bytes, false));
    let at = turned.0.windows(3).rposition(|w| w == b"b\x89B").unwrap() + 1;
    turned.0[at] = 0x88;
    let load = |a: &Pickle| {
        open(&file(std::slice::from_ref(a)), |_| {})
            .unwrap()
            .load(0)
            .unwrap()
    };
    assert_eq!(load(&turned), load(&plain));
}

#[test]
fn files_that_are_wrong_are_refused() {
    let wrong: [(Pickle, &str); 8] = [
        (
            space("c", 3, false),
            "annotation 0 (`c`): has label 3, expected 0 to 2",
        ),
        (
            annotation("c", 0, 3, |p| {
                p.array("f4", &[1, 2, 25, 3], &f4([1.0; 150]), false)
            }),
            "`total_frames` is 3, `keypoint` has 2 frames",
        ),
        (
            annotation("c", 0, 0, |p| p.array("f4", &[1, 0, 25, 3], &[], false)),
            "no frame or nobody in it",
        ),
        (
            annotation("c", 0, 2, |p| p.array("f4", &[1, 2, 25, 3], &[0; 8], false)),
            "an array of shape [1, 2, 25, 3] and element type `f4` with 8 bytes",
        ),
        (
            annotation("c", 0, 2, |p| {
                p.array("f4", &[1 << 30, 1 << 30, 25, 3], &[0; 8], false)
            }),
            "with 8 bytes",
        ),
        (
            annotation("c", 0, 2, |p| p.array("i8", &[1, 2, 25, 3], &[0; 1200], false)),
            "`keypoint` has element type `i8`, expected",
        ),
        (
            annotation("c", 0, 2, |p| {
                p.array("f4", &[1, 2, 24, 3], &f4([1.0; 144]), false)
            }),
            "`keypoint` has shape [1, 2, 24, 3], expected [M, T, 25, 3]",
        ),
        (
            annotation("c", 0, 2, |p| {
                p.raw(b"cposix\nsystem\n").text("true").raw(b"\x85R")
            }),
            "asks for `posix.system`",
        ),
    ];
    for (annotation, want) in wrong {
        let text = message(&[annotation]);
        assert!(text.contains(want), "{text}\n{want}");
    }
    let twice = message(&[space("c", 0, false), space("c", 1, false)]);
    assert!(twice.contains("annotation 1 (`c`): is there twice"), "{twice}");
    let bytes = file(&[space("c", 0, false)]);
    let cut = open(&bytes[..bytes.len() - 40], |_| {})
        .err()
        .unwrap()
        .to_string();
    assert!(cut.contains("the file ends in the middle of it"), "{cut}");
    let other = open(&bytes, |c| c.protocol = "xset".into())
        .err()
        .unwrap()
        .to_string();
    assert!(other.contains("unknown part `xset_train`"), "{other}");
    let list = open(b"].", |_| {}).err().unwrap().to_string();
    assert!(list.contains("is a list without `split`"), "{list}");
}

#[test]
fn options_are_judged_without_the_file() {
    let mut problems = Problems::new();
    let wrong = PysklConfig {
        keypoints: KeyPoints::Image,
        persons: 0,
        ..Default::default()
    };
    wrong.validate(&mut problems);
    let fields: Vec<_> = problems.iter().map(|p| p.field.clone()).collect();
    assert_eq!(fields, ["file", "split", "metres_per_unit", "persons"]);
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(256))]

    #[test]
    fn damaged_files_are_errors_or_values(places in prop::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 1..4), cut in any::<prop::sample::Index>(), whole in any::<bool>()) {
        let mut bytes = file(&[space("c", 0, true), space("b", 1, false)]);
        for (place, byte) in places {
            let at = place.index(bytes.len());
            bytes[at] = byte;
        }
        if !whole {
            bytes.truncate(cut.index(bytes.len()));
        }
        if let Ok(data) = open(&bytes, |_| {}) {
            for sample in 0..data.samples().len() {
                let _ = data.load(sample);
            }
        }
    }
}
