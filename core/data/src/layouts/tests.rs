use super::*;

fn write(folder: &Path, joints: &[&str], bones: &str) {
    std::fs::write(folder.join("joints.txt"), joints.join("\n") + "\n").unwrap();
    std::fs::write(folder.join("bones.json"), bones).unwrap();
}

#[test]
fn every_known_layout_is_one_inward_tree_with_four_parts_over_all_joints() {
    for layout in all() {
        layout.validate().unwrap();
        let again = inward(&layout.bones, layout.len(), layout.centre).unwrap();
        assert_eq!(again, layout.bones, "{}", layout.name);
        let names: Vec<_> = layout.parts.iter().map(|p| p.name.as_str()).collect();
        assert_eq!(names, ["head", "hands", "torso", "legs"], "{}", layout.name);
        for joint in 0..layout.len() {
            assert!(
                layout.parts.iter().any(|p| p.joints.contains(&joint)),
                "{} {joint}",
                layout.name
            );
        }
        let mirrored = layout.mirror.contains(&layout.shoulders);
        assert!(mirrored, "{}: {:?}", layout.name, layout.mirror);
    }
}

#[test]
fn mirror_pairs_cover_all_sided_joints() {
    let count = |name: &str| by_name(name).unwrap().mirror.len();
    let found = [
        "kinect-v1-20",
        "msr-20",
        "ntu25",
        "common15",
        "openpose18",
        "hdm05-31",
        "bandai-26",
    ]
    .map(count);
    assert_eq!(found, [8, 8, 10, 6, 8, 12, 10]);
}

#[test]
fn mirror_pairs_cover_the_sides_of_image_key_points() {
    let count = |name: &str| by_name(name).unwrap().mirror.len();
    assert_eq!(["coco17", "openpose25", "mediapipe33"].map(count), [8, 11, 16]);
}

#[test]
fn an_unknown_layout_suggests_the_nearest() {
    let error = by_name("ntu-25").unwrap_err();
    assert_eq!(
        error.to_string(),
        "unknown skeleton layout `ntu-25`; did you mean `ntu25`?"
    );
}

#[test]
fn known_joint_names_give_the_known_layout() {
    let dir = tempfile::tempdir().unwrap();
    let ntu = by_name("ntu25").unwrap();
    let joints: Vec<_> = ntu.joints.iter().map(String::as_str).collect();
    write(dir.path(), &joints, "[]");
    assert_eq!(from_files(dir.path()).unwrap(), ntu);
}

#[test]
fn other_names_give_a_derived_layout() {
    let dir = tempfile::tempdir().unwrap();
    let joints = [
        "Pelvis",
        "Chest",
        "Neck",
        "Head",
        "LShoulder",
        "LForearm",
        "RShoulder",
        "RForearm",
        "LHip",
        "LKnee",
        "RHip",
        "RKnee",
    ];
    let bones = "[[1,0],[2,1],[3,2],[4,1],[5,4],[6,1],[7,6],[8,0],[9,8],[10,0],[11,10]]";
    write(dir.path(), &joints, bones);
    let layout = from_files(dir.path()).unwrap();
    assert_eq!((layout.centre, layout.spine, layout.shoulders), (1, 1, (4, 6)));
    assert_eq!(layout.mirror, [(4, 6), (5, 7), (8, 10), (9, 11)]);
    assert_eq!(layout.part("head").unwrap(), [2, 3, 4, 6]);
    assert_eq!(layout.part("hands").unwrap(), [4, 5, 6, 7]);
    assert_eq!(layout.part("torso").unwrap(), [0, 1, 4, 6, 8, 10]);
    assert_eq!(layout.part("legs").unwrap(), [0, 8, 9, 10, 11]);
    assert!(
        layout.bones.contains(&(0, 1)),
        "bones point to the chest: {:?}",
        layout.bones
    );
}

#[test]
fn names_that_tell_nothing_are_refused() {
    let dir = tempfile::tempdir().unwrap();
    write(dir.path(), &["a", "b", "c"], "[[1,0],[2,1]]");
    let error = from_files(dir.path()).unwrap_err().to_string();
    assert!(
        error.contains("the joint names do not tell the left and right shoulder"),
        "{error}"
    );
}

#[test]
fn a_bone_to_nowhere_is_refused() {
    let dir = tempfile::tempdir().unwrap();
    write(dir.path(), &["a", "b"], "[[1,7]]");
    let error = from_files(dir.path()).unwrap_err().to_string();
    assert!(
        error.contains("bone [1, 7] names a joint that is not there"),
        "{error}"
    );
}
