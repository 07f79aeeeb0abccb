use proptest::prelude::*;

use super::super::test_data::{neutral, real};
use super::*;

fn content(name: &str, label: i64, frames: usize) -> String {
    let frame = vec![[0.5, 1.0, 2.0]; JOINTS];
    serde_json::json!({"file_name": name, "skeletons": vec![frame; frames], "label": label}).to_string()
}

fn open(file: &str, content: &[u8]) -> Result<Recorded> {
    let dir = tempfile::tempdir().unwrap();
    std::fs::write(dir.path().join(file), content).unwrap();
    let config = NwUclaConfig {
        root: dir.path().into(),
        ..Default::default()
    };
    config.open()
}

fn message(file: &str, content: &[u8]) -> String {
    open(file, content).err().unwrap().to_string()
}

#[test]
fn the_label_inside_counts_and_the_view_tells_the_role() {
    let name = "a12_s04_e00_v03";
    let data = open(&format!("{name}.json"), content(name, 10, 9).as_bytes()).unwrap();
    let sample = &data.samples[0];
    assert_eq!(
        (sample.class.0, sample.subject, sample.role),
        (9, Some(4), SampleRole::Test)
    );
    assert_eq!((data.load(0).unwrap().frames, sample.usable), (9, true));
}

#[test]
fn the_raw_files_equal_the_neutral_set() {
    let Some(folder) = real("nw_ucla") else { return };
    let config = NwUclaConfig {
        root: folder.join("raw").into(),
        protocol: NwUclaProtocol::CrossSubject,
        split: SplitConfig::named("8_2_seed0"),
        ..Default::default()
    };
    let (data, want) = (config.open().unwrap(), neutral(&folder));
    assert_eq!((data.samples.len(), &data.info.classes), (34, &want.info.classes));
    for (i, sample) in data.samples.iter().enumerate() {
        let at = want.samples.iter().position(|s| s.name == sample.name).unwrap();
        assert_eq!(data.load(i).unwrap(), want.load(at).unwrap(), "{}", sample.name);
        let other = &want.samples[at];
        assert_eq!(
            (sample.class, sample.subject, sample.role),
            (other.class, other.subject, other.role)
        );
        // The median bone of the samples alone is another, so what is unstable can differ.
        let bits = Flags::UNUSABLE | Flags::MISSING | Flags::SHORT | Flags::DOUBTFUL;
        assert_eq!(data.flags[i].0 & bits, want.flags[at].0 & bits, "{}", sample.name);
        let copy = ["a02_s01_e00_v03", "a03_s01_e00_v03"].contains(&sample.name.as_str());
        assert_eq!(data.flags[i].has(Flags::DUPLICATE), copy, "{}", sample.name);
        assert!(sample.usable != (copy || data.flags[i].has(Flags::UNUSABLE)));
    }
    assert_eq!(data.split().unwrap().unseen().len(), 2);
}

#[test]
fn bad_files_are_refused_with_the_field() {
    let name = "a01_s01_e00_v01";
    let says = |content: &[u8], part: &str| {
        let text = message(&format!("{name}.json"), content);
        assert!(text.contains(part), "{text}");
    };
    says(
        content(name, 11, 1).as_bytes(),
        "`label`: is 11, expected 1 to 10",
    );
    says(content(name, 1, 0).as_bytes(), "`skeletons`: has no frame");
    says(
        content("a01_s01_e00_v02", 1, 1).as_bytes(),
        "`file_name`: is `a01_s01_e00_v02`, expected `a01_s01_e00_v01`",
    );
    says(b"", "EOF while parsing a value");
    says(&content(name, 1, 1).as_bytes()[..90], ":1:90: EOF while parsing");
    says(&[0xff], "byte 0: is not UTF-8");
    let short = r#"{"file_name": "a01_s01_e00_v01", "label": 1, "skeletons": [[[0,0,0]]]}"#;
    says(
        short.as_bytes(),
        "`skeletons`, frame 0: has 1 joints, expected 20",
    );
    says(
        short.replace("[0,0,0]", "[0,NaN,0]").as_bytes(),
        "expected value at line 1",
    );
    says(
        short.replace("[0,0,0]", "[0,1e999,0]").as_bytes(),
        "number out of range",
    );
    assert!(message("a01_s01_e00_v04.json", b"").contains("expected a name `aNN_sNN_eNN_vNN.json`"));
    assert!(message("b.txt", b"").contains("holds no files `aNN_sNN_eNN_vNN.json`"));
}

#[test]
fn a_number_beyond_single_precision_is_named_when_read() {
    let name = "a01_s01_e00_v01";
    let text = content(name, 1, 9).replacen("0.5", "1e300", 1);
    let data = open(&format!("{name}.json"), text.as_bytes()).unwrap();
    let text = data.load(0).unwrap_err().to_string();
    assert!(
        text.ends_with("frame 0, joint `hip_center`: is inf, expected a number"),
        "{text}"
    );
}

proptest! {
    #[test]
    fn garbled_files_never_panic(cut in 0usize..2000, at in 0usize..2000, byte: u8) {
        let name = "a01_s01_e00_v01";
        let mut bytes = content(name, 1, 3).into_bytes();
        if let Some(b) = bytes.get_mut(at) { *b = byte; }
        bytes.truncate(cut);
        if let Ok(text) = String::from_utf8(bytes) {
            let _ = parse("a01_s01_e00_v01.json", Path::new("f"), &text, NwUclaProtocol::CrossView);
        }
    }
}
