use proptest::prelude::*;

use super::super::test_data::{assert_same, neutral, real};
use super::*;

fn lines(count: usize) -> String {
    (0..count)
        .map(|i| format!("{}.5 1.25 2.0 1.000000\n", i))
        .collect()
}

fn open(file: &str, content: &str) -> Result<Recorded> {
    let dir = tempfile::tempdir().unwrap();
    std::fs::write(dir.path().join(file), content).unwrap();
    let config = MsrAction3dConfig {
        root: dir.path().into(),
        ..Default::default()
    };
    config.open()
}

fn message(file: &str, content: &str) -> String {
    open(file, content).err().unwrap().to_string()
}

#[test]
fn twenty_lines_are_a_frame_and_the_confidence_is_dropped() {
    let data = open("a03_s02_e01_skeleton3D.txt", &lines(40)).unwrap();
    let sequence = data.load(0).unwrap();
    assert_eq!(
        (sequence.frames, &sequence.joints[60..66]),
        (2, &[20.5, 1.25, 2.0, 21.5, 1.25, 2.0][..])
    );
    let sample = &data.samples[0];
    assert_eq!(
        (sample.name.as_str(), sample.class.0, sample.role),
        ("a03_s02_e01", 2, SampleRole::Test)
    );
}

#[test]
fn the_raw_files_equal_the_neutral_set() {
    let Some(folder) = real("msr_action3d") else {
        return;
    };
    let config = MsrAction3dConfig {
        root: folder.join("raw").into(),
        split: SplitConfig::named("15_5_seed0"),
        ..Default::default()
    };
    let data = config.open().unwrap();
    assert_eq!(data.samples.len(), 567);
    assert_same(&data, &neutral(&folder));
    assert_eq!(data.split().unwrap().unseen().len(), 5);
}

#[test]
fn the_ten_left_out_are_those_missing_from_the_published_list() {
    let Some(folder) = real("msr_action3d") else {
        return;
    };
    let names = text::lines(&folder.join("names.txt")).unwrap();
    let used = text::lines(&folder.join("raw/files_used_in_cvpr12_paper.txt")).unwrap();
    let out: Vec<_> = names
        .iter()
        .filter(|n| !used.iter().any(|u| u.starts_with(n.as_str())))
        .collect();
    assert_eq!(out, LEFT_OUT);
}

#[test]
fn a_file_cut_inside_a_frame_is_refused() {
    let text = message("a03_s02_e01_skeleton3D.txt", &lines(37));
    assert!(
        text.ends_with("has 37 lines of joints, expected a multiple of 20; is the file cut short?"),
        "{text}"
    );
    let cut = format!("{}1.0 2", lines(39));
    let text = message("a03_s02_e01_skeleton3D.txt", &cut);
    assert!(text.ends_with("line 40: expected 4 numbers, found 2"), "{text}");
}

#[test]
fn empty_files_wrong_names_and_empty_folders_are_refused() {
    assert!(message("a03_s02_e01_skeleton3D.txt", "").contains("has 0 lines of joints"));
    assert!(message("a23_s02_e01_skeleton3D.txt", &lines(20)).contains("with an action from 1 to 20"));
    assert!(
        message("readme.txt", "")
            .contains("holds no files `aNN_sNN_eNN_skeleton3D.txt`, neither open nor in a zip")
    );
    assert!(message("all.zip", "no archive").contains("all.zip: cannot be unpacked"));
}

proptest! {
    #[test]
    fn any_text_is_parsed_or_refused(name in "[as0-9e_]{0,14}", text in "[0-9. eE+\\n\\-]{0,200}", raw in "\\PC{0,80}") {
        let path = Path::new("f.txt");
        let _ = (parse(&name, path, &text), parse("a01_s01_e01", path, &raw), parse_name(&raw));
    }
}
