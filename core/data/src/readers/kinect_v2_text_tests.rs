use proptest::prelude::*;
use tempfile::TempDir;

use super::super::test_data::{neutral, real};
use super::*;

fn content(frames: usize) -> String {
    (0..frames * JOINTS)
        .map(|i| format!("{i} 0.5 -2e0\r\n"))
        .collect()
}

fn write(files: &[(&str, &[u8])]) -> TempDir {
    let dir = tempfile::tempdir().unwrap();
    for (name, content) in files {
        let path = dir.path().join(name);
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(path, content).unwrap();
    }
    dir
}

fn config(dir: &TempDir) -> KinectV2TextConfig {
    KinectV2TextConfig {
        root: dir.path().into(),
        ..Default::default()
    }
}

fn load_message(content: &[u8]) -> String {
    let dir = write(&[("walk/1.txt", content)]);
    config(&dir).open().unwrap().load(0).unwrap_err().to_string()
}

#[test]
fn a_folder_a_class_is_read() {
    let dir = write(&[
        ("2/movement1.txt", content(3).as_bytes()),
        ("10/movement1.txt", content(1).as_bytes()),
        ("classes.txt", b"10\tclap\n2\twave\n"),
    ]);
    let data = config(&dir).open().unwrap();
    assert_eq!(data.info.classes.names(), ["clap", "wave"]);
    assert_eq!(
        (data.samples[0].name.as_str(), data.samples[0].class.0),
        ("2/movement1", 1)
    );
    let sequence = data.load(0).unwrap();
    assert_eq!((sequence.frames, sequence.fps), (3, 30.0));
    assert_eq!(sequence.joints[3..6], [1.0, 0.5, -2.0]);
}

#[test]
fn the_raw_files_equal_the_neutral_set() {
    let Some(folder) = real("gtu3d") else { return };
    let raw = KinectV2TextConfig {
        root: folder.join("raw").into(),
        class_from: ClassFrom::Regex("^folder0*(?<class>[0-9]+)_".into()),
        exclude: vec![Exclusion::Doubtful],
        ..Default::default()
    };
    let (data, want) = (raw.open().unwrap(), neutral(&folder));
    assert_eq!((data.samples.len(), data.info.classes.len()), (16, 14));
    for (i, sample) in data.samples.iter().enumerate() {
        let (number, movement) = sample.name.trim_start_matches("folder").split_once('_').unwrap();
        let name = format!("{}/{movement}", number.trim_start_matches('0'));
        let at = want.samples.iter().position(|s| s.name == name).unwrap();
        assert_eq!(data.load(i).unwrap(), want.load(at).unwrap(), "{name}");
        assert_eq!(
            (sample.class, sample.usable),
            (want.samples[at].class, want.samples[at].usable),
            "{name}"
        );
    }
    assert_eq!(data.samples.iter().filter(|s| !s.usable).count(), 2);
}

#[test]
fn bad_files_are_refused_with_their_line() {
    let says = |content: &[u8], part: &str| {
        let text = load_message(content);
        assert!(text.contains(part), "{text}");
    };
    says(b"", "has 0 lines of joints, expected a multiple of 25");
    says(&content(2).as_bytes()[..300], "; is the file cut short?");
    says(b"1 2 3\n1 2\n", "line 2: expected 3 numbers, found 2");
    says(b"1 2 3 4\n", "line 1: expected 3 numbers, found 4");
    says(
        b"1 inf 3\n",
        "line 1: expected 3 numbers, found `inf` as number 2",
    );
    says(b"1 NaN 3\n", "found `NaN` as number 2");
    says(&[b'1', 0xff], "byte 1: is not UTF-8 text");
    let huge = content(1).replacen("0.5", "1e300", 1);
    says(
        huge.as_bytes(),
        "frame 0, joint `spine_base`: is inf, expected a number",
    );
}

#[test]
fn mistakes_in_the_options_are_listed_together() {
    let config = KinectV2TextConfig {
        fps: f32::NAN,
        ..Default::default()
    };
    let mut problems = Problems::new();
    config.validate(&mut problems);
    let fields: Vec<_> = problems.iter().map(|p| p.field.as_str()).collect();
    assert_eq!(fields, ["root", "split", "fps"]);
}

#[test]
fn a_folder_without_files_is_named() {
    let dir = write(&[("a/b.csv", b"")]);
    assert!(
        config(&dir)
            .open()
            .err()
            .unwrap()
            .to_string()
            .ends_with("holds no text files `*.txt`")
    );
}

proptest! {
    #[test]
    fn garbled_files_never_panic(cut in 0usize..800, at in 0usize..800, byte: u8) {
        let mut bytes = content(2).into_bytes();
        if let Some(b) = bytes.get_mut(at) { *b = byte; }
        bytes.truncate(cut);
        let _ = text::decode(Path::new("f"), bytes).and_then(|text| parse(Path::new("f"), &text, 30.0));
    }
}
