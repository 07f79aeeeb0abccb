use tempfile::TempDir;

use super::super::super::test_data::{neutral, real};
use super::*;

/// A body whose names tell its parts, one number a joint.
const BODY: &str = "HIERARCHY
ROOT Ground
{
OFFSET 0 0 0
CHANNELS 3 Xposition Yposition Zposition
JOINT Hips { OFFSET 0 90 0 CHANNELS 1 Yrotation
JOINT Spine { OFFSET 0 20 0
JOINT Head { OFFSET 0 30 0 }
JOINT LeftShoulder { OFFSET 20 10 0 JOINT LeftHand { OFFSET 50 0 0 } }
JOINT RightShoulder { OFFSET -20 10 0 JOINT RightHand { OFFSET -50 0 0 } }
}
JOINT LeftLeg { OFFSET 10 0 0 }
JOINT RightLeg { OFFSET -10 0 0 }
}
}
MOTION
Frames: 3
Frame Time: 0.025
0 0 0 0
0 0 0 0
100 0 0 90
";

fn write(files: &[(&str, &str)]) -> TempDir {
    let dir = tempfile::tempdir().unwrap();
    for (name, content) in files {
        let path = dir.path().join(name);
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(path, content).unwrap();
    }
    dir
}

fn config(dir: &TempDir) -> BvhConfig {
    BvhConfig {
        root: dir.path().into(),
        drop_root: true,
        every: 2,
        ..Default::default()
    }
}

#[test]
fn a_folder_is_read_with_a_derived_layout() {
    let dir = write(&[("walk/a.bvh", BODY), ("run/a.bvh", BODY), ("run/b.BVH", BODY)]);
    let data = config(&dir).open().unwrap();
    assert_eq!(data.info.classes.names(), ["run", "walk"]);
    assert_eq!(
        (data.info.layout.len(), data.info.layout.joints[0].as_str()),
        (9, "Hips")
    );
    assert_eq!(data.info.layout.shoulders, (3, 5));
    let sequence = data.load(0).unwrap();
    assert_eq!((sequence.frames, sequence.fps), (2, 20.0));
    let joint = |at: usize| sequence.joints[at * 3..at * 3 + 3].to_vec();
    assert_eq!((joint(0), joint(4)), (vec![0.0, 0.9, 0.0], vec![0.7, 1.2, 0.0]));
    let turned = joint(9 + 4);
    assert!(
        (turned[0] - 1.0).abs() < 1e-6 && (turned[2] + 0.7).abs() < 1e-6,
        "{turned:?}"
    );
}

#[test]
fn the_raw_files_equal_the_neutral_set_to_its_rounding() {
    let Some(folder) = real("bandai_namco") else {
        return;
    };
    let config = BvhConfig {
        root: folder.join("raw").into(),
        class_from: ClassFrom::Regex("^dataset-._(?<class>[a-z-]+)_".into()),
        drop_root: true,
        ..Default::default()
    };
    let (data, want) = (config.open().unwrap(), neutral(&folder));
    assert_eq!(
        (data.samples.len(), data.info.layout.name.as_str()),
        (2, "bandai-26")
    );
    assert_eq!(data.info.classes.names(), ["bow", "raise-up-left-hand"]);
    for (i, sample) in data.samples.iter().enumerate() {
        let at = want.samples.iter().position(|s| s.name == sample.name).unwrap();
        let (got, want) = (data.load(i).unwrap(), want.load(at).unwrap());
        assert_eq!((got.frames, got.joints.len()), (want.frames, want.joints.len()));
        assert!((got.fps - want.fps).abs() < 0.01, "{}", got.fps);
        let errors = got.joints.iter().zip(&want.joints).map(|(a, b)| (a - b).abs());
        let largest = errors.fold(0.0, f32::max);
        assert!(largest <= 0.5f32.powi(14) + 1e-6, "{}: {largest}", sample.name);
    }
}

#[test]
fn another_hierarchy_is_refused_by_name() {
    let other = BODY.replace("RightHand", "RightWrist");
    let dir = write(&[("walk/a.bvh", BODY), ("walk/b.bvh", &other)]);
    let text = config(&dir).open().err().unwrap().to_string();
    assert!(text.contains("b.bvh: has another hierarchy than "), "{text}");
    assert!(
        text.ends_with(
            "joint 7 is `RightWrist` below `RightShoulder`, there `RightHand` below `RightShoulder`"
        ),
        "{text}"
    );
}

#[test]
fn a_file_that_changed_after_opening_is_refused() {
    let dir = write(&[("walk/a.bvh", BODY)]);
    let data = config(&dir).open().unwrap();
    std::fs::write(dir.path().join("walk/a.bvh"), &BODY[..BODY.len() - 6]).unwrap();
    assert!(
        data.load(0)
            .unwrap_err()
            .to_string()
            .contains("expected 3 frames")
    );
    std::fs::write(dir.path().join("walk/a.bvh"), [0xff]).unwrap();
    assert!(
        data.load(0)
            .unwrap_err()
            .to_string()
            .contains("is not UTF-8 text")
    );
}

#[test]
fn names_that_tell_nothing_need_a_description() {
    let body = BODY
        .replace("Shoulder", "A")
        .replace("Hand", "B")
        .replace("Leg", "C");
    let dir = write(&[
        ("walk/a.bvh", &body),
        (
            "me.yaml",
            "name: me\njoints: [Hips, Head, LeftB, RightB, LeftC, RightC]\ncentre: Hips\nshoulders: [LeftB, RightB]\n\
             parts: {head: [Head], hands: [LeftB, RightB], torso: [Hips], legs: [LeftC, RightC]}",
        ),
    ]);
    let text = config(&dir).open().err().unwrap().to_string();
    assert!(
        text.contains("describe the skeleton in a file: `layout_file`"),
        "{text}"
    );
    let described = BvhConfig {
        layout_file: Some(dir.path().join("me.yaml").into()),
        ..config(&dir)
    };
    let data = described.open().unwrap();
    assert_eq!(data.info.layout.bones.len(), 5);
    assert_eq!(data.load(0).unwrap().joints[6..9], [0.7, 1.2, 0.0]);
}

#[test]
fn a_root_with_two_children_cannot_be_dropped() {
    let dir = write(&[(
        "walk/a.bvh",
        &BODY.replacen("JOINT Hips {", "JOINT X { OFFSET 0 0 0 } JOINT Hips {", 1),
    )]);
    let text = config(&dir).open().err().unwrap().to_string();
    assert!(text.contains("the root `Ground` has 2 joints below it"), "{text}");
}
