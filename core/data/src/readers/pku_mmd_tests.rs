use proptest::prelude::*;
use tempfile::TempDir;

use super::*;

/// Frames of one value each; the second body is not there.
fn skeleton(frames: usize) -> String {
    let frame = |t: usize| {
        let first = format!("{t}.5 ").repeat(75);
        format!("{first}{}\r\n", "0 ".repeat(75))
    };
    (0..frames).map(frame).collect()
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

fn config(dir: &TempDir, protocol: PkuMmdProtocol) -> PkuMmdConfig {
    PkuMmdConfig {
        root: dir.path().join("skeletons").into(),
        labels: dir.path().join("labels").into(),
        protocol,
        ..Default::default()
    }
}

fn open(labels: &[u8], skeleton: &[u8]) -> Result<(TempDir, OnDemand)> {
    let dir = write(&[("skeletons/0002-L.txt", skeleton), ("labels/0002-L.txt", labels)]);
    let data = config(&dir, PkuMmdProtocol::CrossView).open()?;
    Ok((dir, data))
}

#[test]
fn actions_are_cut_out_of_their_video() {
    let dir = write(&[
        ("skeletons/0002-L.txt", skeleton(9).as_bytes()),
        ("skeletons/0002-M.txt", skeleton(4).as_bytes()),
        ("labels/0002-L.txt", b"51,2,5,2\r\n1,6,10,1\n"),
        ("labels/0002-M.txt", b"8,0,1\n"),
    ]);
    let data = config(&dir, PkuMmdProtocol::CrossView).open().unwrap();
    let names: Vec<_> = data
        .samples
        .iter()
        .map(|s| (s.name.as_str(), s.class.0, s.role))
        .collect();
    let want = [
        ("0002-L_1", 50, SampleRole::Test),
        ("0002-L_2", 0, SampleRole::Test),
        ("0002-M_1", 7, SampleRole::Train),
    ];
    assert_eq!(names, want);
    let first = data.load(0).unwrap();
    assert_eq!((first.frames, first.persons, first.joints.len()), (3, 2, 450));
    assert_eq!(
        (
            first.joints[0],
            first.joints[74],
            first.joints[75],
            first.joints[150]
        ),
        (2.5, 2.5, 0.0, 3.5)
    );
    assert_eq!(
        data.load(1).unwrap().frames,
        3,
        "an end beyond the video is its end"
    );
    assert_eq!(data.load(2).unwrap().frames, 1);
}

#[test]
fn the_second_part_and_the_split_file_are_read() {
    let dir = write(&[
        ("skeletons/A01N01-R.txt", skeleton(2).as_bytes()),
        ("skeletons/A01N02-R.txt", skeleton(2).as_bytes()),
        ("skeletons/A01N03-R.txt", skeleton(2).as_bytes()),
        ("labels/A01N01-R.txt", b"3,0,2,1\n"),
        ("labels/A01N02-R.txt", b"3,0,2,1\n"),
        ("labels/A01N03-R.txt", b"3,0,2,1\n"),
        (
            "Split/cross-subject.txt",
            b"Training videos:\nA01N01-R, A01N09-R,\n\nValidataion videos:\nA01N02-R\n",
        ),
    ]);
    let data = config(&dir, PkuMmdProtocol::CrossSubject).open().unwrap();
    let roles: Vec<_> = data.samples.iter().map(|s| s.role).collect();
    assert_eq!(roles, [SampleRole::Train, SampleRole::Test, SampleRole::Outside]);
}

#[test]
fn labels_may_lie_below_the_skeletons_but_a_video_only_once() {
    let dir = write(&[
        ("0002-L.txt", skeleton(2).as_bytes()),
        ("labels/0002-L.txt", b"1,0,2\n"),
    ]);
    let options = PkuMmdConfig {
        root: dir.path().into(),
        ..config(&dir, PkuMmdProtocol::CrossView)
    };
    assert_eq!(options.open().unwrap().load(0).unwrap().frames, 2);
    std::fs::create_dir(dir.path().join("copy")).unwrap();
    std::fs::write(dir.path().join("copy/0002-L.txt"), "").unwrap();
    let text = options.open().err().unwrap().to_string();
    assert!(
        text.contains("is a video that ") && text.contains("expected one file each"),
        "{text}"
    );
}

#[test]
fn cross_subject_needs_its_file() {
    let dir = write(&[("skeletons/0002-L.txt", b""), ("labels/0002-L.txt", b"1,0,1\n")]);
    let text = config(&dir, PkuMmdProtocol::CrossSubject)
        .open()
        .err()
        .unwrap()
        .to_string();
    assert!(text.contains("has no `cross-subject.txt` beside it"), "{text}");
}

#[test]
fn bad_labels_are_refused_at_the_start() {
    let says = |labels: &[u8], part: &str| {
        let text = open(labels, b"").err().unwrap().to_string();
        assert!(text.contains(part), "{text}");
    };
    says(b"1,0,1\n52,0,1,2\n", "line 2: the class is 52, expected 1 to 51");
    says(b"0,0,1\n", "the class is 0");
    says(
        b"1,0\n",
        "line 1: expected `class,start,end,confidence`, found 2 values",
    );
    says(
        b"1,5,5,1\n",
        "runs from frame 5 to 5, expected at least one frame",
    );
    says(b"1,-5,5,1\n", "expected the first frame, found `-5`");
    says(
        b"1,0,99999999999999999999,1\n",
        "expected the last frame, found `99999999999999999999`",
    );
    says(b"1,0,5,NaN\n", "expected a confidence, found `NaN`");
    says(b"", "holds no label of a video");
    says(b"\xff", "is not UTF-8 text");
    let dir = write(&[("skeletons/0002-L.txt", b""), ("labels/0003-L.txt", b"1,0,1\n")]);
    let text = config(&dir, PkuMmdProtocol::CrossView)
        .open()
        .err()
        .unwrap()
        .to_string();
    assert!(
        text.contains("unknown video `0003-L`; did you mean `0002-L`?"),
        "{text}"
    );
}

#[test]
fn bad_skeletons_are_refused_when_they_are_read() {
    let says = |labels: &[u8], skeleton: &[u8], part: &str| {
        let (_dir, data) = open(labels, skeleton).unwrap();
        let text = data.load(0).unwrap_err().to_string();
        assert!(text.contains(part), "{text}");
    };
    let good = skeleton(2);
    says(
        b"1,0,2\n",
        b"",
        "has 0 frames, expected the action of frames 0 to 2",
    );
    says(
        b"1,2,3\n",
        good.as_bytes(),
        "has 2 frames, expected the action of frames 2 to 3",
    );
    says(
        b"1,0,2\n",
        &good.as_bytes()[..700],
        "line 2: expected 150 numbers, found ",
    );
    says(
        b"1,1,2\n",
        good.replace("1.5", "inf").as_bytes(),
        "line 2: expected 150 numbers, found `inf` as number 1",
    );
    says(b"1,0,1\n", &[0xff, 0xfe], "line 1: is not UTF-8 text");
    says(
        b"1,0,1\n",
        &vec![b'1'; 1 << 17],
        "line 1: is longer than 65536 bytes",
    );
    says(b"1,5,18446744073709551615\n", good.as_bytes(), "has 2 frames");
}

#[test]
fn bad_split_files_are_refused_with_their_line() {
    let says = |content: &str, part: &str| {
        let text = videos::parse(Path::new("s.txt"), content)
            .unwrap_err()
            .to_string();
        assert!(text.contains(part), "{text}");
    };
    says("", "names no video");
    says("0002-L\n", "line 1: a video comes before `Training videos:`");
    says(
        "Training videos:\n0002-X\n",
        "line 2: expected a video such as `0002-L`, found `0002-X`",
    );
    says(
        "Training videos:\n0002-L\nTest videos:\n0002-L",
        "line 4: video `0002-L` both trains and tests",
    );
    says("Some videos:\n", "line 1: expected `Training videos:`");
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(96))]
    #[test]
    fn garbled_files_never_panic(cut in 0usize..1000, at in 0usize..1000, byte: u8, label in "[0-9,. \\-x\\n]{0,40}", list in "[A-Za-z0-9:,\\-\\n]{0,60}") {
        let mut bytes = skeleton(2).into_bytes();
        if let Some(b) = bytes.get_mut(at) { *b = byte; }
        bytes.truncate(cut);
        let dir = write(&[("0002-L.txt", &bytes)]);
        let _ = read_segment(&dir.path().join("0002-L.txt"), Segment { class: 0, start: 0, end: 3 });
        let _ = (label.lines().map(parse_label).count(), videos::parse(Path::new("s"), &list));
    }
}
