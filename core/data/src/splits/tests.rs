use proptest::prelude::*;

use super::*;

const FILE: &str = r#"{"set": {"classes": ["walk", "wave", "kick"], "splits": {
    "2_1_seed0": {"seen": [0, 2], "unseen": [1], "unseen_names": ["wave"]},
    "2_1_seed1": {"seen": [0, 9], "unseen": [1]},
    "both": {"seen": [0, 1], "unseen": [1]}}},
    "direct": {"55_5": {"origin": "x", "seen": ["walk"], "unseen": ["kick"]}}}"#;

fn classes() -> ClassList {
    ClassList::numbered(["walk", "wave", "kick"]).unwrap()
}

fn resolve(config: &SplitConfig, dataset: &str) -> Result<ClassSplit> {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("splits.json");
    std::fs::write(&path, FILE).unwrap();
    config.resolve(&path, dataset, &classes())
}

fn message(name: &str) -> String {
    resolve(&SplitConfig::named(name), "set").unwrap_err().to_string()
}

#[test]
fn a_split_is_found_by_name_in_either_form_of_file() {
    let split = resolve(&SplitConfig::named("2_1_seed0"), "set").unwrap();
    assert_eq!(split.unseen().names(), ["wave"]);
    assert_eq!(split.seen().names(), ["walk", "kick"]);
    let direct = resolve(&SplitConfig::named("55/5"), "direct").unwrap();
    assert_eq!(
        (direct.name(), direct.unseen().names()[0].as_str()),
        ("55_5", "kick")
    );
}

#[test]
fn an_unknown_split_suggests_the_nearest() {
    let text = message("2_1_seed5");
    assert!(
        text.ends_with("dataset `set`: unknown split `2_1_seed5`; did you mean `2_1_seed0`?"),
        "{text}"
    );
}

#[test]
fn an_unknown_dataset_suggests_the_nearest() {
    let text = resolve(&SplitConfig::named("55_5"), "dirct")
        .unwrap_err()
        .to_string();
    assert!(
        text.contains("unknown dataset `dirct`; did you mean `direct`?"),
        "{text}"
    );
}

#[test]
fn a_class_that_the_dataset_lacks_is_refused() {
    let text = message("2_1_seed1");
    assert!(text.contains("seen classes: unknown class number `9`"), "{text}");
}

#[test]
fn a_class_on_both_sides_is_refused() {
    assert!(message("both").contains("class 1 is both seen and unseen"));
}

#[test]
fn a_missing_file_is_named() {
    let error = SplitConfig::named("a").resolve(Path::new("/nowhere/splits.json"), "set", &classes());
    assert!(
        error
            .unwrap_err()
            .to_string()
            .starts_with("cannot read /nowhere/splits.json")
    );
}

#[test]
fn classes_can_be_listed_by_number_or_name() {
    let unseen = vec![ClassRef::Name("wave".into()), ClassRef::Number(0)];
    let split = resolve(
        &SplitConfig {
            unseen,
            ..Default::default()
        },
        "set",
    );
    assert_eq!(split.unwrap().seen().names(), ["kick"]);
}

#[test]
fn a_random_split_depends_on_its_seed_alone() {
    let classes = ClassList::numbered((0..40).map(|i| format!("c{i}"))).unwrap();
    let split = |seed| {
        let random = Some(RandomSplit { unseen: 8, seed });
        let config = SplitConfig {
            random,
            ..Default::default()
        };
        config.resolve(Path::new("none"), "set", &classes).unwrap()
    };
    assert_eq!(split(3), split(3));
    assert_ne!(split(3), split(4));
    assert_eq!((split(3).seen().len(), split(3).unseen().len()), (32, 8));
}

#[test]
fn two_ways_at_once_are_refused() {
    let mut config = SplitConfig::named("2_1_seed0");
    config.unseen = vec![ClassRef::Number(1)];
    assert!(
        resolve(&config, "set")
            .unwrap_err()
            .to_string()
            .contains("says in 2 ways")
    );
    assert!(
        resolve(&SplitConfig::default(), "set")
            .unwrap_err()
            .to_string()
            .contains("says in 0 ways")
    );
}

proptest! {
    #[test]
    fn garbled_files_never_panic(cut in 0usize..400, at in 0usize..400, byte in 32u8..127) {
        let mut text = FILE.as_bytes().to_vec();
        if let Some(b) = text.get_mut(at) { *b = byte; }
        text.truncate(cut);
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("splits.json");
        std::fs::write(&path, text).unwrap();
        let _ = SplitConfig::named("2_1_seed0").resolve(&path, "set", &classes());
    }
}
