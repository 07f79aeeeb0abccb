use proptest::prelude::*;

use super::super::test_data::{assert_same, neutral, real};
use super::*;

fn row(video: u32, subject: u32, action: u32, value: f32) -> String {
    let values: String = (0..JOINTS * 3)
        .map(|i| format!(" {}", value + i as f32))
        .collect();
    format!("{video} {subject} {action}{values}\n")
}

fn open(file: &str, content: &[u8]) -> Result<Recorded> {
    let dir = tempfile::tempdir().unwrap();
    std::fs::write(dir.path().join(file), content).unwrap();
    let config = Florence3dConfig {
        root: dir.path().into(),
        ..Default::default()
    };
    config.open()
}

fn message(file: &str, content: &[u8]) -> String {
    open(file, content).err().unwrap().to_string()
}

#[test]
fn the_text_form_is_in_millimetres() {
    let text = [row(1, 1, 1, 1000.0), row(1, 1, 1, 2000.0), row(2, 4, 9, 500.0)].concat();
    let data = open("Florence_dataset_WorldCoordinates.txt", text.as_bytes()).unwrap();
    assert_eq!(data.samples.len(), 2);
    let sequence = data.load(0).unwrap();
    assert_eq!(
        (sequence.frames, sequence.joints[0], sequence.joints[45]),
        (2, 1.0, 2.0)
    );
    assert_eq!(
        (data.samples[1].class.0, data.samples[1].name.as_str()),
        (8, "video002")
    );
}

#[test]
fn the_matlab_file_equals_the_neutral_set() {
    let Some(folder) = real("florence3d") else { return };
    let config = Florence3dConfig {
        root: folder.join("raw").into(),
        split: SplitConfig::named("7_2_seed0"),
        ..Default::default()
    };
    let data = config.open().unwrap();
    assert_eq!(data.samples.len(), 215);
    assert_same(&data, &neutral(&folder));
    assert_eq!(data.split().unwrap().unseen().len(), 2);
}

#[test]
fn the_text_file_is_the_same_set_to_a_hundredth_of_a_millimetre() {
    let Some(folder) = real("florence3d") else { return };
    let config = Florence3dConfig {
        root: folder.join("raw").into(),
        file: Some("world_coordinates.reconstructed.txt".into()),
        ..Default::default()
    };
    let (data, want) = (config.open().unwrap(), neutral(&folder));
    assert_eq!(data.samples, want.samples);
    for sample in 0..want.samples.len() {
        let (got, want) = (
            data.load(sample).unwrap().joints,
            want.load(sample).unwrap().joints,
        );
        // The text was printed with six digits: up to half of 0.01 mm at four metres.
        let error = got
            .iter()
            .zip(&want)
            .map(|(a, b)| (a - b).abs())
            .fold(0.0, f32::max);
        assert!(got.len() == want.len() && error < 1e-5, "{error}");
    }
}

#[test]
fn bad_text_is_refused_with_its_line() {
    let file = "world_coordinates.txt";
    let cut = format!("{}{}", row(1, 1, 1, 0.0), &row(1, 1, 1, 0.0)[..60]);
    assert!(message(file, cut.as_bytes()).contains("line 2: expected 48 numbers, found "));
    assert!(message(file, row(1, 1, 12, 0.0).as_bytes()).contains("action (1 to 9), found 1 1 12"));
    assert!(message(file, b"").contains("is empty"));
    assert!(message(file, &[0xff, 0xfe]).contains("byte 0: is not UTF-8 text"));
    assert!(message("other.txt", b"").contains("expected `skeletal_data.mat` or one text file"));
}

#[test]
fn a_bad_matlab_file_is_refused() {
    assert!(message("skeletal_data.mat", b"").contains("is too short for a MATLAB 5 file"));
    let mut header = vec![b' '; 124];
    header.extend([0, 1, b'I', b'M']);
    assert!(message("skeletal_data.mat", &header).contains("has no cell array `skeletal_data`"));
    header.extend([14, 0, 0, 0, 200, 0, 0, 0, 1, 2, 3]);
    assert!(message("skeletal_data.mat", &header).contains("is cut short"));
}

proptest! {
    #[test]
    fn any_text_is_parsed_or_refused(text in "[0-9. e\\n\\-]{0,400}", raw in "\\PC{0,80}") {
        let path = Path::new("f.txt");
        let _ = (parse_text(path, &text), parse_text(path, &raw));
    }
}
