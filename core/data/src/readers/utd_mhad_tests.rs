use proptest::prelude::*;

use super::super::test_data::{neutral, real};
use super::*;

fn element(kind: u32, data: &[u8]) -> Vec<u8> {
    let mut out = [kind.to_le_bytes(), (data.len() as u32).to_le_bytes()].concat();
    out.extend(data);
    out.resize(out.len().next_multiple_of(8), 0);
    out
}

/// A MATLAB file with one array of doubles.
fn mat(name: &str, dims: &[i32], values: &[f64]) -> Vec<u8> {
    let dims: Vec<u8> = dims.iter().flat_map(|v| v.to_le_bytes()).collect();
    let values: Vec<u8> = values.iter().flat_map(|v| v.to_le_bytes()).collect();
    let body = [
        element(6, &[6, 0, 0, 0, 0, 0, 0, 0]),
        element(5, &dims),
        element(1, name.as_bytes()),
        element(9, &values),
    ];
    let mut out = vec![b' '; 124];
    out.extend([0x00, 0x01, b'I', b'M']);
    out.extend(element(14, &body.concat()));
    out
}

fn good(frames: usize) -> Vec<u8> {
    let values: Vec<f64> = (0..JOINTS * 3 * frames).map(|v| v as f64).collect();
    mat("d_skel", &[20, 3, frames as i32], &values)
}

fn open(file: &str, content: &[u8]) -> Result<(tempfile::TempDir, OnDemand)> {
    let dir = tempfile::tempdir().unwrap();
    std::fs::write(dir.path().join(file), content).unwrap();
    let config = UtdMhadConfig {
        root: dir.path().into(),
        ..Default::default()
    };
    config.open().map(|data| (dir, data))
}

fn load_message(content: &[u8]) -> String {
    let (_dir, data) = open("a1_s1_t1_skeleton.mat", content).unwrap();
    data.load(0).unwrap_err().to_string()
}

#[test]
fn axes_and_joints_change_places() {
    let (_dir, data) = open("a27_s8_t2_skeleton.mat", &good(2)).unwrap();
    let sample = &data.samples[0];
    assert_eq!(
        (sample.class.0, sample.subject, sample.role),
        (26, Some(8), SampleRole::Test)
    );
    let sequence = data.load(0).unwrap();
    assert_eq!(sequence.frames, 2);
    assert_eq!(sequence.joints[..6], [0.0, 20.0, 40.0, 1.0, 21.0, 41.0]);
    assert_eq!(sequence.joints[60..63], [60.0, 80.0, 100.0]);
}

#[test]
fn the_raw_files_equal_the_neutral_set() {
    let Some(folder) = real("utd_mhad") else { return };
    let config = UtdMhadConfig {
        root: folder.join("raw").into(),
        split: SplitConfig::named("22_5_seed0"),
        exclude: vec![Exclusion::Short, Exclusion::Duplicate],
        ..Default::default()
    };
    let (data, want) = (config.open().unwrap(), neutral(&folder));
    assert_eq!((data.samples.len(), &data.info.classes), (27, &want.info.classes));
    assert_eq!(data.info.layout.joints, want.info.layout.joints);
    for (i, sample) in data.samples.iter().enumerate() {
        let at = want.samples.iter().position(|s| s.name == sample.name).unwrap();
        assert_eq!(*sample, want.samples[at]);
        assert_eq!(data.load(i).unwrap(), want.load(at).unwrap(), "{}", sample.name);
    }
    assert_eq!(data.split().unwrap().unseen().len(), 5);
}

#[test]
fn bad_names_are_refused_at_the_start() {
    for name in [
        "a28_s1_t1_skeleton.mat",
        "a1_s1_skeleton.mat",
        "a+1_s1_t1_skeleton.mat",
        "a0_s1_t1_skeleton.mat",
    ] {
        let text = open(name, b"").err().unwrap().to_string();
        assert!(text.contains("with an action from 1 to 27"), "{text}");
    }
    assert!(
        open("x.mat", b"")
            .err()
            .unwrap()
            .to_string()
            .contains("holds no files `aN_sN_tN_skeleton.mat`")
    );
}

#[test]
fn bad_files_are_refused_when_they_are_read() {
    assert!(load_message(b"").contains("is too short for a MATLAB 5 file"));
    assert!(load_message(&good(2)[..400]).contains("is cut short"));
    assert!(load_message(&mat("other", &[1, 1], &[0.0])).contains("has no numbers `d_skel`, found `other`"));
    let swapped = mat("d_skel", &[3, 20, 1], &[0.0; 60]);
    assert!(load_message(&swapped).contains("`d_skel` has size [3, 20, 1], expected [20, 3, frames]"));
    assert!(load_message(&mat("d_skel", &[20, 3, 0], &[])).contains("has size [20, 3, 0]"));
    let mut values = vec![1.0; 60];
    values[21] = f64::NAN;
    let text = load_message(&mat("d_skel", &[20, 3, 1], &values));
    assert!(
        text.ends_with("frame 0, joint `shoulder_center`: is NaN, expected a number"),
        "{text}"
    );
}

#[test]
fn an_absurd_size_is_refused_without_memory_for_it() {
    let text = load_message(&mat("d_skel", &[20, 3, i32::MAX], &[0.0; 60]));
    assert!(
        text.contains("has a matrix of size [20, 3, 2147483647] with 60 numbers"),
        "{text}"
    );
}

proptest! {
    #[test]
    fn garbled_files_never_panic(cut in 0usize..1200, at in 0usize..1200, byte: u8) {
        let mut bytes = good(2);
        if let Some(b) = bytes.get_mut(at) { *b = byte; }
        bytes.truncate(cut);
        let _ = parse(&bytes);
    }
}
