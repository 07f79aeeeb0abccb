use proptest::prelude::*;
use serde_json::json;
use tempfile::TempDir;

use super::*;

fn write(files: &[(&str, String)]) -> TempDir {
    let dir = tempfile::tempdir().unwrap();
    for (name, content) in files {
        let path = dir.path().join(name);
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(path, content).unwrap();
    }
    dir
}

fn config(dir: &TempDir) -> PoseJsonConfig {
    PoseJsonConfig {
        root: dir.path().into(),
        ..Default::default()
    }
}

fn open_pose(dir: &TempDir) -> PoseJsonConfig {
    PoseJsonConfig {
        source: PoseSource::Openpose,
        files: PoseFiles::Frame,
        metres_per_unit: Some(0.01),
        persons: 2,
        ..config(dir)
    }
}

/// MediaPipe's 33 landmarks, the first at x.
fn landmarks(x: f64, visibility: f64) -> Value {
    (0..33)
        .map(|i| json!({"x": x + f64::from(i), "y": 0.5, "z": -0.25, "visibility": visibility}))
        .collect()
}

fn load(content: &Value) -> Result<Sequence> {
    let dir = write(&[("walk/1.json", content.to_string())]);
    config(&dir).open()?.load(0)
}

fn message(content: &Value) -> String {
    load(content).unwrap_err().to_string()
}

#[test]
fn every_spelling_of_world_landmarks_gives_the_same() {
    let list = landmarks(1.0, 0.9);
    let plain: Value = (0..33).map(|i| json!([1.0 + f64::from(i), 0.5, -0.25])).collect();
    let spellings = [
        json!([list]),
        json!([plain]),
        json!([[list]]),
        json!([{"worldLandmarks": [list], "landmarks": []}]),
        json!({"frames": [{"pose_world_landmarks": {"landmark": list}}]}),
        json!([{"pose_world_landmarks": [list]}]),
    ];
    for spelling in spellings {
        let sequence = load(&spelling).unwrap();
        assert_eq!((sequence.frames, sequence.joints.len()), (1, 99), "{spelling}");
        assert_eq!(sequence.joints[..6], [-1.0, -0.5, -0.25, -2.0, -0.5, -0.25]);
    }
}

#[test]
fn hidden_joints_and_empty_frames_are_not_tracked() {
    let dir = write(&[(
        "walk/1.json",
        json!([landmarks(1.0, 0.4), {"worldLandmarks": []}, landmarks(1.0, 0.0)]).to_string(),
    )]);
    let strict = PoseJsonConfig {
        min_confidence: 0.5,
        ..config(&dir)
    };
    assert!(
        strict
            .open()
            .unwrap()
            .load(0)
            .unwrap()
            .joints
            .iter()
            .all(|v| *v == 0.0)
    );
    let sequence = config(&dir).open().unwrap().load(0).unwrap();
    assert_eq!(sequence.frames, 3);
    assert_eq!(
        (sequence.joints[0], sequence.joints[99], sequence.joints[198]),
        (-1.0, 0.0, -1.0)
    );
}

/// OpenPose's file of one frame.
fn frame(people: usize, joints: usize, x: f64) -> String {
    let points: Vec<f64> = (0..joints)
        .flat_map(|j| [x, 200.0, if j == 1 { 0.0 } else { 0.8 }])
        .collect();
    let person = json!({"person_id": [-1], "pose_keypoints_2d": points, "pose_keypoints_3d": []});
    json!({"version": 1.3, "people": vec![person; people]}).to_string()
}

#[test]
fn a_folder_of_openpose_frames_is_a_sequence() {
    let dir = write(&[
        ("walk/s1/v_10_keypoints.json", frame(3, 25, 30.0)),
        ("walk/s1/v_9_keypoints.json", frame(1, 25, 20.0)),
        ("walk/s1/v_11_keypoints.json", frame(0, 25, 0.0)),
        ("run/s2/v_0_keypoints.json", frame(1, 25, 10.0)),
    ]);
    let data = open_pose(&dir).open().unwrap();
    let names: Vec<_> = data
        .samples
        .iter()
        .map(|s| (s.name.as_str(), s.class.0))
        .collect();
    assert_eq!(names, [("run/s2", 0), ("walk/s1", 1)]);
    let sequence = data.load(1).unwrap();
    assert_eq!(
        (sequence.frames, sequence.persons, sequence.joints.len()),
        (3, 2, 450)
    );
    assert_eq!(sequence.joints[..6], [-0.2, -2.0, 0.0, 0.0, 0.0, 0.0]);
    assert_eq!(
        (sequence.joints[75], sequence.joints[150], sequence.joints[225]),
        (0.0, -0.3, -0.3)
    );
    assert!(sequence.joints[300..].iter().all(|v| *v == 0.0));
}

#[test]
fn three_dimensions_and_eighteen_joints_are_read() {
    let points: Vec<f64> = (0..18).flat_map(|_| [1.0, 2.0, 3.0, 0.5]).collect();
    let frame = json!({"people": [{"pose_keypoints_3d": points}]});
    let dir = write(&[("walk/1.json", json!({"frames": [frame]}).to_string())]);
    let options = PoseJsonConfig {
        source: PoseSource::Openpose3d,
        layout: Some("openpose18".into()),
        axes: Axes::ZUp,
        ..config(&dir)
    };
    assert_eq!(
        options.open().unwrap().load(0).unwrap().joints[..3],
        [1.0, 3.0, -2.0]
    );
}

#[test]
fn mistakes_are_named_with_their_frame() {
    let mut few = landmarks(0.0, 1.0);
    few.as_array_mut().unwrap().truncate(17);
    let text = message(&json!([landmarks(0.0, 1.0), few]));
    assert!(
        text.ends_with("frame 1: has 17 joints, expected 33 of layout `mediapipe33`; so many have `coco17`"),
        "{text}"
    );
    let mut odd = landmarks(0.0, 1.0);
    odd[2]["y"] = json!("high");
    assert!(
        message(&json!([odd])).contains("landmark 2 (`eye_left`) is no {x, y, z, visibility} of numbers")
    );
    let image = message(&json!([{"landmarks": [landmarks(0.0, 1.0)]}]));
    assert!(
        image.contains("frame 0: has no world landmarks `worldLandmarks`")
            && image.ends_with("found `landmarks`"),
        "{image}"
    );
    assert!(message(&json!([])).contains("has no frame, expected at least one"));
    assert!(message(&json!({"a": 1})).contains("is an object, expected a list of frames"));
    assert!(message(&json!([7])).contains("frame 0: is a number, expected a list of landmarks"));
    assert!(message(&json!([landmarks(1e300, 1.0)])).contains("is -inf, expected a number"));
}

#[test]
fn damaged_files_are_named() {
    let says = |content: &str, part: &str| {
        let dir = write(&[("walk/1/0.json", content.into())]);
        let text = open_pose(&dir).open().unwrap().load(0).unwrap_err().to_string();
        assert!(text.contains(part), "{text}");
    };
    says("", "0.json:1:0: EOF while parsing a value");
    says(&frame(1, 25, 0.0)[..40], "EOF while parsing");
    says("{}", "0.json: is an object without a list `people`");
    says(r#"{"people": [{}]}"#, "person 0 has no list `pose_keypoints_2d`");
    says(
        &frame(1, 18, 0.0),
        "of 54 numbers: has 18 joints, expected 25 of layout `openpose25`; so many have `openpose18`",
    );
    says(&frame(1, 25, 7.0).replacen("7.0", "NaN", 1), "expected value");
    says(
        &frame(1, 25, 7.0).replacen("7.0", "null", 1),
        "person 0, joint `nose`: expected 3 numbers",
    );
    says(&"[".repeat(10_000), "recursion limit exceeded");
    let dir = write(&[("0.json", frame(1, 25, 0.0))]);
    let text = open_pose(&dir).open().err().unwrap().to_string();
    assert!(text.contains("expected a folder a sequence"), "{text}");
}

#[test]
fn empty_frames_do_not_take_much_memory() {
    let dir = write(&[("walk/1.json", format!("[{}[]]", "[],".repeat(10_000)))]);
    let options = PoseJsonConfig {
        persons: 8,
        ..config(&dir)
    };
    let text = options.open().unwrap().load(0).unwrap_err().to_string();
    assert!(text.ends_with("only 0 joints are found up to here"), "{text}");
}

#[test]
fn mistakes_in_the_options_are_listed_together() {
    let options = PoseJsonConfig {
        source: PoseSource::Openpose,
        layout: Some("openpose24".into()),
        persons: 0,
        min_confidence: f64::NAN,
        ..Default::default()
    };
    let mut problems = Problems::new();
    options.validate(&mut problems);
    let fields: Vec<_> = problems.iter().map(|p| p.field.as_str()).collect();
    assert_eq!(
        fields,
        [
            "root",
            "split",
            "layout",
            "metres_per_unit",
            "persons",
            "min_confidence"
        ]
    );
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(96))]
    #[test]
    fn garbled_files_never_panic(cut in 0usize..900, at in 0usize..900, byte in 32u8..127) {
        let mut bytes = frame(2, 3, 5.0).into_bytes();
        if let Some(b) = bytes.get_mut(at) { *b = byte; }
        let layout = layouts::by_name("common15").unwrap();
        if let Ok(value) = serde_json::from_slice::<Value>(&bytes) {
            for source in [PoseSource::Mediapipe, PoseSource::Openpose, PoseSource::Openpose3d] {
                let _ = (parse::frames(&value).map(<[Value]>::len), parse::people(&value, source, &layout));
            }
        }
        let mut bytes = json!([landmarks(0.0, 1.0)]).to_string().into_bytes();
        if let Some(b) = bytes.get_mut(at) { *b = byte; }
        bytes.truncate(if cut > 100 { bytes.len() } else { cut });
        let dir = write(&[("walk/1.json", String::from_utf8(bytes).unwrap())]);
        let _ = config(&dir).open().and_then(|d| d.load(0));
    }
}
