use proptest::prelude::*;

use super::*;

const FILE: &str = r#"name: my-suit
joints: [pelvis, chest, head, arm_l, hand_l, arm_r, hand_r, leg_l, leg_r]
bones: [[chest, pelvis], [head, chest], [arm_l, chest], [hand_l, arm_l], [arm_r, chest], [hand_r, arm_r],
        [leg_l, pelvis], [leg_r, pelvis]]
centre: chest
spine: pelvis
shoulders: [arm_l, arm_r]
parts: {head: [head], hands: [arm_l, arm_r, hand_l, hand_r], torso: [chest, pelvis], legs: [leg_l, leg_r]}
"#;

fn with(content: &str) -> Result<Arc<SkeletonLayout>> {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("skeleton.yaml");
    std::fs::write(&path, content).unwrap();
    from_mapping(&path)
}

#[test]
fn a_description_gives_a_layout() {
    let layout = with(FILE).unwrap();
    assert_eq!((layout.name.as_str(), layout.len()), ("my-suit", 9));
    assert_eq!((layout.centre, layout.spine, layout.shoulders), (1, 0, (3, 5)));
    assert_eq!(layout.mirror, [(3, 5), (4, 6), (7, 8)]);
    assert_eq!(layout.bones[0], (0, 1), "bones point to the centre");
    assert_eq!(layout.part("hands").unwrap(), [3, 5, 4, 6]);
}

#[test]
fn some_joints_of_a_hierarchy_can_be_chosen() {
    let names = [
        "hips", "pelvis", "chest", "neck", "head", "arm_l", "arm_r", "leg_l", "leg_r",
    ];
    let source = Hierarchy {
        names: names.map(str::to_owned).to_vec(),
        parents: [
            None,
            Some(0),
            Some(1),
            Some(2),
            Some(3),
            Some(2),
            Some(2),
            Some(1),
            Some(1),
        ]
        .to_vec(),
    };
    let content = "name: few\njoints: [head, pelvis, chest, arm_l, arm_r, leg_l, leg_r]\ncentre: chest\n\
                   shoulders: [arm_l, arm_r]\n\
                   parts: {head: [head], hands: [arm_l, arm_r], torso: [chest, pelvis], legs: [leg_l, leg_r]}\n";
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("few.yaml");
    std::fs::write(&path, content).unwrap();
    let (layout, chosen) = from_mapping_of(&path, &source).unwrap();
    assert_eq!(chosen, [4, 1, 2, 5, 6, 7, 8]);
    assert!(
        layout.bones.contains(&(0, 2)),
        "the neck is skipped: {:?}",
        layout.bones
    );
    std::fs::write(&path, content.replace("head,", "had,")).unwrap();
    let text = from_mapping_of(&path, &source).unwrap_err().to_string();
    assert!(
        text.ends_with("unknown joint `had`; did you mean `head`?"),
        "{text}"
    );
}

#[test]
fn mistakes_are_named() {
    let says = |from: &str, to: &str, part: &str| {
        let text = with(&FILE.replacen(from, to, 1)).unwrap_err().to_string();
        assert!(text.contains(part), "{text}");
    };
    says(
        "centre: chest",
        "centre: chst",
        "unknown joint `chst`; did you mean `chest`?",
    );
    says("centre: chest", "center: chest", "unknown field `center`");
    says(
        "[head, chest], ",
        "",
        "the bones must be one tree over all joints",
    );
    says("legs: [leg_l, leg_r]", "legs: []", "part `legs` has no joint");
    says("head: [head]", "head: [chest]", "joint `head` is in no part");
    says("head, arm_l,", "head, head,", "joint `head` is there twice");
    says("joints: [pelvis", "x: [pelvis", "unknown field `x`");
    assert!(with("").is_err());
    assert!(with(&"[".repeat(5_000)).is_err(), "nesting without end");
    let bombs = "x: &a [l, l, l, l, l, l, l, l]\ny: &b [*a, *a, *a, *a, *a, *a, *a, *a]\nz: [*b, *b, *b, *b, *b, *b, *b, *b]\n";
    assert!(with(bombs).is_err());
    assert!(
        with("name: [")
            .unwrap_err()
            .to_string()
            .contains("skeleton.yaml:")
    );
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(96))]
    #[test]
    fn garbled_files_never_panic(cut in 0usize..600, at in 0usize..600, byte in 9u8..127) {
        let mut bytes = FILE.as_bytes().to_vec();
        if let Some(b) = bytes.get_mut(at) { *b = byte; }
        bytes.truncate(cut);
        let _ = with(&String::from_utf8(bytes).unwrap());
    }
}
