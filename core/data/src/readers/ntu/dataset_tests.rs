use szar_core::progress::Silent;
use szar_core::{Cancel, PreprocessorConfig, SampleRole};

use super::*;
use crate::preprocess::{AgcnConfig, AimclrConfig, CtrgcnConfig, StgcnConfig};
use crate::readers::ntu::parse::JOINTS;
use crate::readers::ntu::test_files::{Body, file};
use crate::readers::test_data::real;
use crate::store::SkeletonStore;

fn body(id: u64, x: f32) -> Body {
    (id, std::array::from_fn(|j| [x, j as f32 / 10.0, 3.0]))
}

/// A folder with one recording per name; two bodies, the second away in frame 1.
fn folder(names: &[&str]) -> tempfile::TempDir {
    let dir = tempfile::tempdir().unwrap();
    let frames = [vec![body(1, 1.0), body(2, 5.0)], vec![body(1, 2.0)], vec![]];
    for name in names {
        let path = dir.path().join(format!("{name}.skeleton"));
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(path, file(&frames)).unwrap();
    }
    dir
}

fn config(root: &Path) -> NtuRgbdConfig {
    NtuRgbdConfig {
        root: root.into(),
        split: SplitConfig::named("55/5"),
        ..Default::default()
    }
}

fn message(config: &NtuRgbdConfig) -> String {
    config.open().err().unwrap().to_string()
}

#[test]
fn recordings_are_found_in_all_folders_and_sorted_by_name() {
    let dir = folder(&[
        "b/S002C001P003R001A011",
        "S001C002P001R002A060",
        "b/c/S001C001P001R001A061",
    ]);
    std::fs::write(dir.path().join("readme.txt"), "x").unwrap();
    let data = config(dir.path()).open().unwrap();
    let seen: Vec<_> = data
        .samples()
        .iter()
        .map(|s| (s.name.as_str(), s.class.0, s.subject, s.role))
        .collect();
    let want = [
        ("S001C002P001R002A060", 59, Some(1), SampleRole::Train),
        ("S002C001P003R001A011", 10, Some(3), SampleRole::Test),
    ];
    assert_eq!(seen, want);
    assert_eq!(data.split().unwrap().name(), "55_5");
    assert_eq!(data.info().classes.name(ClassId(10)), Some("reading"));
    let all = NtuRgbdConfig {
        classes: 120,
        protocol: Protocol::Xset,
        ..config(dir.path())
    };
    assert_eq!(all.open().unwrap().samples().len(), 3);
}

#[test]
fn without_a_split_it_can_be_read_all_the_same() {
    let dir = folder(&["S001C001P001R001A001"]);
    let data = NtuRgbdConfig {
        split: SplitConfig::default(),
        ..config(dir.path())
    };
    let data = data.open().unwrap();
    assert_eq!(data.load(0).unwrap().persons, 2);
    assert!(data.split().is_err());
}

#[test]
fn the_option_bodies_says_who_is_kept() {
    let dir = folder(&["S001C001P001R001A001"]);
    let load = |bodies, max_body| {
        let config = NtuRgbdConfig {
            bodies,
            max_body,
            ..config(dir.path())
        };
        let sequence = config.open().unwrap().load(0).unwrap();
        assert_eq!(sequence.joints.len(), sequence.frames * max_body * JOINTS * 3);
        let x: Vec<f32> = sequence.joints.iter().step_by(JOINTS * 3).copied().collect();
        (sequence.frames, x)
    };
    assert_eq!(load(Bodies::First, 2), (3, vec![1.0, 5.0, 2.0, 0.0, 0.0, 0.0]));
    assert_eq!(load(Bodies::First, 1), (3, vec![1.0, 2.0, 0.0]));
    assert_eq!(load(Bodies::Energy, 2), (3, vec![1.0, 5.0, 2.0, 0.0, 0.0, 0.0]));
    // The second is not there long enough to overlap by more than a frame, so it continues the first.
    assert_eq!(load(Bodies::CtrGcn, 2), (2, vec![5.0, 0.0, 2.0, 0.0]));
}

#[test]
fn samples_of_the_missing_list_are_not_usable() {
    let dir = folder(&["S001C001P001R001A001", "S001C001P001R001A002"]);
    let list = dir.path().join("missing.txt");
    std::fs::write(
        &list,
        "two samples\r\n\r\nS001C001P001R001A002\r\nS009C001P001R001A002.skeleton\r\n",
    )
    .unwrap();
    let mut config = config(dir.path());
    config.missing = Some(list.clone().into());
    let usable: Vec<_> = config
        .open()
        .unwrap()
        .samples()
        .iter()
        .map(|s| s.usable)
        .collect();
    assert_eq!(usable, [true, false]);
    std::fs::write(&list, "S001C001P001R001A002\nS001\n").unwrap();
    assert!(message(&config).ends_with("line 2: expected a name `SsssCcccPpppRrrrAaaa`, found `S001`"));
    std::fs::write(&list, "none\n").unwrap();
    assert!(message(&config).ends_with("has no line `SsssCcccPpppRrrrAaaa`"));
}

#[test]
fn recordings_without_a_body_are_not_usable() {
    let dir = folder(&[
        "S001C001P001R001A001",
        "S001C001P001R001A002",
        "S001C001P001R001A003",
    ]);
    std::fs::write(
        dir.path().join("S001C001P001R001A002.skeleton"),
        "2\r\n0\r\n0\r\n",
    )
    .unwrap();
    std::fs::write(dir.path().join("S001C001P001R001A003.skeleton"), "2\r\n0\r\n").unwrap();
    let data = config(dir.path()).open().unwrap();
    let usable: Vec<_> = data.samples().iter().map(|s| s.usable).collect();
    assert_eq!(
        usable,
        [true, false, true],
        "the third is damaged, which must be seen"
    );
}

#[test]
fn names_that_are_wrong_or_given_twice_are_reported() {
    let dir = folder(&["S001C001P001R001A001", "b/S001C001P001R001A001"]);
    assert!(message(&config(dir.path())).contains("S001C001P001R001A001.skeleton: is there twice, also as"));
    let dir = folder(&["S001C001P001R001A001", "S01C001P001R001A001"]);
    assert!(message(&config(dir.path())).contains("S01C001P001R001A001.skeleton: expected a name"));
    let dir = folder(&["S001C001P001R001A121"]);
    assert!(message(&config(dir.path())).ends_with("is of action 121, expected 1 to 120"));
    let dir = folder(&["S018C001P001R001A061"]);
    assert!(message(&config(dir.path())).contains("for those set `classes: 120`"));
    let dir = folder(&[]);
    assert!(message(&config(dir.path())).contains("holds no file `SsssCcccPpppRrrrAaaa.skeleton`"));
    assert!(message(&config(&dir.path().join("x"))).starts_with("cannot read"));
}

#[test]
fn damaged_recordings_are_refused_when_they_are_read() {
    let dir = folder(&["S001C001P001R001A001"]);
    let path = dir.path().join("S001C001P001R001A001.skeleton");
    let data = config(dir.path()).open().unwrap();
    std::fs::write(&path, "2\n0\n0\n").unwrap();
    let error = data.load(0).unwrap_err().to_string();
    assert!(error.contains("has 2 frames and no tracked body"), "{error}");
    std::fs::write(&path, "2\n1\n").unwrap();
    let error = data.load(0).unwrap_err().to_string();
    assert!(error.contains("A001.skeleton, line 3: the file ends"), "{error}");
    std::fs::remove_file(&path).unwrap();
    assert!(data.load(0).unwrap_err().to_string().starts_with("cannot read"));
    assert!(data.load(7).is_err());
}

#[test]
fn options_that_do_not_go_together_are_refused() {
    let problems = |config: NtuRgbdConfig| {
        let mut problems = Problems::new();
        config.validate(&mut problems);
        problems.iter().map(|p| p.field.clone()).collect::<Vec<_>>()
    };
    let good = config(Path::new("x"));
    assert!(problems(good.clone()).is_empty());
    let wrong = NtuRgbdConfig {
        classes: 61,
        protocol: Protocol::Xset,
        max_body: 3,
        ..good.clone()
    };
    assert_eq!(problems(wrong), ["classes", "protocol", "max_body"]);
    let wrong = NtuRgbdConfig {
        classes: 120,
        protocol: Protocol::Xview,
        bodies: Bodies::First,
        max_body: 0,
        ..good
    };
    assert_eq!(problems(wrong), ["protocol", "max_body"]);
}

#[test]
fn made_recordings_are_read_in_every_way() {
    let Some(root) = real("ntu_samples") else { return };
    for bodies in [Bodies::CtrGcn, Bodies::Energy, Bodies::First] {
        let config = NtuRgbdConfig {
            classes: 120,
            bodies,
            ..config(&root)
        };
        let data = config.open().unwrap();
        let persons = |sample: usize| {
            let sequence = data.load(sample).unwrap();
            let there = |person: usize| {
                sequence
                    .joints
                    .chunks(75)
                    .skip(person)
                    .step_by(2)
                    .any(|row| row != [0.0; 75])
            };
            [there(0), there(1)]
        };
        assert_eq!(data.samples().len(), 3);
        // One body; a second that comes and goes; a false one for six frames, which only the denoising drops.
        let third = bodies != Bodies::CtrGcn;
        assert_eq!(
            [0, 1, 2].map(persons),
            [[true, false], [true, true], [true, third]],
            "{bodies:?}"
        );
    }
}

#[test]
fn made_recordings_go_through_each_published_preparation() {
    let Some(root) = real("ntu_samples") else { return };
    let preparations: [(Bodies, usize, Box<dyn PreprocessorConfig>); 4] = [
        (Bodies::First, 300, Box::new(StgcnConfig::default())),
        (Bodies::Energy, 300, Box::new(AgcnConfig::default())),
        (Bodies::CtrGcn, 64, Box::new(CtrgcnConfig::default())),
        (Bodies::First, 50, Box::new(AimclrConfig::default())),
    ];
    for (bodies, frames, preparation) in preparations {
        let config = NtuRgbdConfig {
            classes: 120,
            bodies,
            ..config(&root)
        };
        let data = config.open().unwrap();
        let store =
            SkeletonStore::load(&data, &*preparation, &[0, 1, 2], &Silent, &Cancel::default()).unwrap();
        let values = store.values(0..3).unwrap();
        assert_eq!(values.len(), 3 * 3 * frames * 25 * 2);
        assert!(values.iter().all(|v| v.is_finite()));
    }
}
