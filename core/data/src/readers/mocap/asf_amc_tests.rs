use super::super::super::test_data::{neutral, real};
use super::*;

fn found(name: &str) -> Found {
    Found {
        name: name.into(),
        path: name.into(),
    }
}

#[test]
fn a_motion_finds_its_skeleton() {
    let actors = ["01", "01/01", "HDM_b", "HDM_bd", "x/only"].map(found);
    let of = |name: &str| actor(&found(name), &actors).ok();
    assert_eq!(of("01/01_02"), Some(1));
    assert_eq!(of("01_02"), Some(0));
    assert_eq!(of("HDM_bd_walk"), Some(3));
    assert_eq!(of("x/y/other"), Some(4), "the only one of the nearest folder");
    assert_eq!(of("011_02"), None);
    assert_eq!(
        actor(&found("a"), &actors[4..]).ok(),
        None,
        "one beside is none above"
    );
}

#[test]
fn the_raw_files_equal_the_neutral_set_to_its_rounding() {
    let Some(folder) = real("hdm05_11") else { return };
    let config = AsfAmcConfig {
        root: folder.join("raw").into(),
        protocol: Protocol {
            train_subjects: vec![1, 2, 3],
            ..Default::default()
        },
        ..Default::default()
    };
    let (data, want) = (config.open().unwrap(), neutral(&folder));
    assert_eq!(
        (data.samples.len(), data.info.layout.name.as_str()),
        (12, "hdm05-31")
    );
    assert_eq!(data.info.classes.names()[0], "depositFloorR");
    for (i, sample) in data.samples.iter().enumerate() {
        let name = sample.name.trim_end_matches("_120");
        let at = want.samples.iter().position(|s| s.name == name).unwrap();
        let (got, wanted) = (data.load(i).unwrap(), want.load(at).unwrap());
        assert_eq!((got.frames, got.fps), (wanted.frames, wanted.fps), "{name}");
        assert_eq!(
            (sample.subject, sample.role),
            (want.samples[at].subject, want.samples[at].role),
            "{name}"
        );
        let errors = got.joints.iter().zip(&wanted.joints).map(|(a, b)| (a - b).abs());
        let largest = errors.fold(0.0, f32::max);
        assert!(
            got.joints.len() == wanted.joints.len() && largest <= 0.5f32.powi(14) + 1e-6,
            "{name}: {largest}"
        );
    }
}

#[test]
fn skeletons_of_other_bones_are_refused() {
    let Some(folder) = real("hdm05_11") else { return };
    let dir = tempfile::tempdir().unwrap();
    let copy = |name: &str, change: &dyn Fn(String) -> String| {
        let bytes = std::fs::read(folder.join("raw").join(name)).unwrap();
        let text = change(bytes.iter().map(|b| char::from(*b)).collect());
        std::fs::write(dir.path().join(name), text.into_bytes()).unwrap();
    };
    let keep = |text: String| text;
    copy("HDM_bd.asf", &keep);
    copy("HDM_bd_squat1Reps_003_120.amc", &keep);
    copy("HDM_bk.asf", &|text| text.replace("rtoes", "rtip"));
    copy("HDM_bk_grabHighR_008_120.amc", &keep);
    let config = AsfAmcConfig {
        root: dir.path().into(),
        ..Default::default()
    };
    let text = config.open().err().unwrap().to_string();
    assert!(text.contains("HDM_bk.asf: has another hierarchy than "), "{text}");
    assert!(
        text.contains("`rtip` below `rfoot`, there `rtoes` below `rfoot`"),
        "{text}"
    );
}

#[test]
fn a_folder_without_skeletons_is_named() {
    let dir = tempfile::tempdir().unwrap();
    std::fs::write(dir.path().join("HDM_bd_walk_001_120.amc"), "").unwrap();
    let config = AsfAmcConfig {
        root: dir.path().into(),
        ..Default::default()
    };
    assert!(
        config
            .open()
            .err()
            .unwrap()
            .to_string()
            .ends_with("holds no skeleton files `*.asf`")
    );
}
