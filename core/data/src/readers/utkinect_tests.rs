use proptest::prelude::*;

use super::super::test_data::{assert_same, neutral, real};
use super::*;

fn row(number: i64, value: f32) -> String {
    let values: String = (0..NUMBERS - 1).map(|_| format!("  {value:.3}")).collect();
    format!("{number} {values}  \n")
}

fn open(joints: &str, labels: &str) -> Result<Recorded> {
    let dir = tempfile::tempdir().unwrap();
    std::fs::write(dir.path().join("joints_s03_e02.txt"), joints).unwrap();
    std::fs::write(dir.path().join("actionLabel.txt"), labels).unwrap();
    let config = UtKinectConfig {
        root: dir.path().into(),
        ..Default::default()
    };
    config.open()
}

fn message(joints: &str, labels: &str) -> String {
    open(joints, labels).err().unwrap().to_string()
}

#[test]
fn ranges_include_both_ends_and_the_first_of_repeated_frames_counts() {
    let joints = [row(4, 1.0), row(6, 2.0), row(6, 9.0), row(8, 3.0), row(10, 4.0)].concat();
    let data = open(&joints, "s03_e02\nwalk: 4 8 \ncarry: NaN NaN\n\npull: 9 10\n").unwrap();
    let names: Vec<_> = data.samples.iter().map(|s| s.name.as_str()).collect();
    assert_eq!(names, ["s03_e02_walk", "s03_e02_pull"]);
    let walk = data.load(0).unwrap();
    assert_eq!(
        (walk.frames, walk.joints[0], walk.joints[60], walk.joints[120]),
        (3, 1.0, 2.0, 3.0)
    );
    assert_eq!((data.samples[1].class.0, data.samples[1].subject), (7, Some(3)));
}

#[test]
fn the_raw_files_equal_the_neutral_set() {
    let Some(folder) = real("utkinect") else { return };
    let config = UtKinectConfig {
        root: folder.join("raw").into(),
        split: SplitConfig::named("8_2_seed0"),
        ..Default::default()
    };
    let data = config.open().unwrap();
    assert_eq!(data.samples.len(), 199);
    assert_same(&data, &neutral(&folder));
    assert_eq!(data.split().unwrap().unseen().len(), 2);
}

#[test]
fn a_file_cut_inside_a_frame_is_refused() {
    let joints = format!("{}{}", row(4, 1.0), &row(6, 2.0)[..100]);
    let text = message(&joints, "s03_e02\nwalk: 4 8\n");
    assert!(
        text.contains("joints_s03_e02.txt, line 2: expected 61 numbers, found "),
        "{text}"
    );
}

#[test]
fn an_empty_file_and_an_empty_range_are_refused() {
    let text = message("", "s03_e02\nwalk: 4 8\n");
    assert!(
        text.contains("has no frame from 4 to 8, where `walk` of s03_e02 should be"),
        "{text}"
    );
    assert!(message(&row(4, 1.0), "").contains("names no recording"));
    assert!(
        message(&row(4, 1.0), "s03_e02\nwalk: 8 4\n").contains("line 2: the range 8 4 ends before it starts")
    );
}

#[test]
fn unknown_names_suggest_the_nearest() {
    let text = message(&row(4, 1.0), "s03_e02\nwalkk: 4 8\n");
    assert!(
        text.contains("line 2: unknown action `walkk`; did you mean `walk`?"),
        "{text}"
    );
    let text = message(&row(4, 1.0), "s03_e03\nwalk: 4 8\n");
    assert!(
        text.contains("unknown joint file `joints_s03_e03.txt`; did you mean `joints_s03_e02.txt`?"),
        "{text}"
    );
}

#[test]
fn a_missing_folder_is_named() {
    let config = UtKinectConfig {
        root: "/nowhere".into(),
        ..Default::default()
    };
    assert!(
        config
            .open()
            .err()
            .unwrap()
            .to_string()
            .starts_with("cannot read /nowhere")
    );
}

proptest! {
    #[test]
    fn any_text_is_parsed_or_refused(text in "[s0-9e_.: \\n\\-Nawlk]{0,200}", raw in "\\PC{0,80}") {
        let path = Path::new("f.txt");
        let _ = (parse_labels(path, &text), parse_labels(path, &raw));
        let _ = (parse_frames(path, &text), parse_frames(path, &raw));
    }
}
