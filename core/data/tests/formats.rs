//! Every format as a user meets it: the cases of `fuzz/corpus` are read, imported and inspected; damaged ones are refused
//! with the file and the place.

#![expect(clippy::unwrap_used, reason = "a test")]

#[path = "../fuzz/targets.rs"]
mod targets;

use std::fs;
use std::path::{Path, PathBuf};

use szar_core::progress::Silent;
use szar_core::{Cancel, Dataset, Result, config, testing};
use szar_data::archive::{Stored, import};
use szar_data::inspect::Inspection;
use szar_data::splits::SplitConfig;
use targets::{PIPELINE, Reader, TARGETS, Target};

fn target(name: &str) -> &'static Target {
    TARGETS.iter().find(|t| t.name == name).unwrap()
}

fn corpus(target: &Target) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("fuzz/corpus")
        .join(target.name)
}

/// The cases of a reader: sound ones, or those that once broke it.
fn cases(target: &Target, sound: bool) -> Vec<PathBuf> {
    let entries = fs::read_dir(corpus(target)).unwrap();
    let wanted = |path: &PathBuf| sound != path.file_name().unwrap().to_string_lossy().starts_with("found-");
    let mut cases: Vec<_> = entries.map(|e| e.unwrap().path()).filter(wanted).collect();
    cases.sort();
    cases
}

fn read(target: &Target, case: &Path) -> Result<String> {
    target.in_folder(case).unwrap().read()
}

#[test]
fn sound_cases_are_read_whole() {
    for target in &TARGETS {
        let cases = cases(target, true);
        assert!(!cases.is_empty(), "{}", target.name);
        for case in cases {
            if let Err(error) = read(target, &case) {
                panic!("{}: {error}", case.display());
            }
        }
    }
}

#[test]
fn what_once_broke_a_reader_is_an_error_or_a_value() {
    for target in TARGETS.iter().chain([&PIPELINE]) {
        for case in cases(target, false) {
            let _ = read(target, &case);
        }
    }
}

#[test]
fn every_format_becomes_a_store_and_is_inspected() {
    for target in &TARGETS {
        for case in cases(target, true) {
            if let Reader::Dataset(config) = target.in_folder(&case).unwrap() {
                let dataset = config.build(&testing::build_context()).unwrap();
                imported_and_inspected(dataset.as_ref(), &case);
            }
        }
    }
}

fn imported_and_inspected(dataset: &dyn Dataset, case: &Path) {
    let (folder, cancel) = (tempfile::tempdir().unwrap(), Cancel::default());
    let store = folder.path().join("store");
    let done = import(dataset, "a test", &store, false, &Silent, &cancel).unwrap();
    assert_eq!(done.samples, dataset.samples().len(), "{}", case.display());
    let stored = Stored::open(&store, SplitConfig::default()).unwrap();
    assert_eq!(stored.samples(), dataset.samples());
    for i in 0..done.samples {
        assert_eq!(
            stored.load(i).unwrap(),
            dataset.load(i).unwrap(),
            "{}",
            case.display()
        );
    }
    let [own, other] = [dataset, &stored].map(|d| Inspection::of(d, &Silent, &cancel).unwrap());
    assert_eq!(own.read, done.samples, "{}", case.display());
    let [own, other] = [own, other].map(|found| serde_json::to_value(found).unwrap());
    assert_eq!(own, other, "{}", case.display());
}

/// What a reader says of a sound case in which the file that a name ends in was changed.
fn refusal(name: &str, case: &str, file: &str, change: &dyn Fn(&mut Vec<u8>)) -> String {
    let (target, folder) = (target(name), tempfile::tempdir().unwrap());
    let root = folder.path().join("damaged");
    let mut changed = 0;
    copy(&corpus(target).join(case), &root, &mut |path, bytes| {
        if path.to_string_lossy().ends_with(file) {
            change(bytes);
            changed += 1;
        }
    });
    assert_eq!(changed, 1, "{name}/{case}: {file}");
    read(target, &root).expect_err(name).to_string()
}

fn copy(from: &Path, to: &Path, change: &mut dyn FnMut(&Path, &mut Vec<u8>)) {
    fs::create_dir_all(to).unwrap();
    for entry in fs::read_dir(from).unwrap() {
        let (path, inner) = entry.map(|e| (e.path(), to.join(e.file_name()))).unwrap();
        if path.is_dir() {
            copy(&path, &inner, change);
            continue;
        }
        let mut bytes = fs::read(&path).unwrap();
        change(&path, &mut bytes);
        fs::write(inner, bytes).unwrap();
    }
}

/// The first `old` becomes `new`.
fn instead(old: &'static str, new: &'static str) -> impl Fn(&mut Vec<u8>) {
    move |bytes| {
        let at = bytes
            .windows(old.len())
            .position(|w| w == old.as_bytes())
            .unwrap();
        bytes.splice(at..at + old.len(), new.bytes());
    }
}

/// Reader, case, ending of the file, what is changed in it.
type Cut<'a> = (&'a str, &'a str, &'a str, &'a dyn Fn(&mut Vec<u8>));

/// The same, and what is said.
type Damage<'a> = (&'a str, &'a str, &'a str, &'a dyn Fn(&mut Vec<u8>), &'a str);

#[test]
fn counts_beyond_what_is_there_reserve_nothing_and_are_named() {
    let cases: [Damage; 6] = [
        (
            "ntu-rgbd",
            "one",
            ".skeleton",
            &instead("2\r\n", "1000000000\r\n"),
            "the file ends, expected the number of bodies of frame 2",
        ),
        (
            "ntu-rgbd",
            "one",
            ".skeleton",
            &instead("2\r\n1\r\n", "2\r\n1000000000\r\n"),
            "expected the id and nine more fields of body 1",
        ),
        (
            "bvh",
            "good",
            "a.bvh",
            &instead("Frames: 3", "Frames: 1000000000"),
            "1000000000",
        ),
        (
            "agcn-npy",
            "good",
            "train_data_joint.npy",
            &instead("(2, 3, 2", "(9999999999, 3, 2"),
            "is the file cut short?",
        ),
        (
            "skeleton-store",
            "good",
            "index.json",
            &instead("\"values\": 72", "\"values\": 4000000000"),
            "expected 4 for each of 4000000000 numbers",
        ),
        (
            "skeleton-store",
            "good",
            "index.json",
            &instead("\"persons\": 2", "\"persons\": 1000000000"),
            "has 1000000000 persons",
        ),
    ];
    for (name, case, file, change, expected) in cases {
        let error = refusal(name, case, file, change);
        assert!(
            error.contains(expected) && error.contains("/damaged/"),
            "{name}: {error}"
        );
    }
}

#[test]
fn labels_beyond_the_classes_are_named() {
    let cases: [Damage; 6] = [
        (
            "pku-mmd",
            "good",
            "labels/0002-L.txt",
            &instead("51,", "52,"),
            "52",
        ),
        (
            "nw-ucla",
            "good",
            ".json",
            &instead("\"label\": 1", "\"label\": 11"),
            "11",
        ),
        ("florence3d", "text", ".txt", &instead("1 1 1 ", "1 1 10 "), "10"),
        (
            "kinect-v2-text",
            "good",
            "classes.txt",
            &instead("1\tarms up\n", ""),
            "unknown class `1`",
        ),
        (
            "ctr-gcn-npz",
            "good",
            ".npz",
            &|bytes| bytes.truncate(5000),
            "NTU60_CS.npz",
        ),
        (
            "utkinect",
            "good",
            "actionLabel.txt",
            &instead("walk:", "wlak:"),
            "walk",
        ),
    ];
    for (name, case, file, change, expected) in cases {
        let error = refusal(name, case, file, change);
        assert!(error.contains(expected), "{name}: {error}");
    }
}

#[test]
fn sequences_without_a_frame_are_named() {
    let nothing = |bytes: &mut Vec<u8>| bytes.clear();
    let cases: [Cut; 8] = [
        ("ntu-rgbd", "one", ".skeleton", &|bytes| {
            *bytes = b"0\r\n".to_vec()
        }),
        ("pku-mmd", "good", "skeletons/0002-L.txt", &nothing),
        ("nw-ucla", "good", ".json", &|bytes| {
            *bytes = br#"{"file_name": "a", "skeletons": [], "label": 1}"#.to_vec()
        }),
        ("kinect-v2-text", "good", "movement1.txt", &nothing),
        ("msr-action3d", "good", "_skeleton3D.txt", &nothing),
        ("pose-json", "good", "1.json", &|bytes| *bytes = b"[]".to_vec()),
        ("bvh", "good", "a.bvh", &|bytes| bytes.truncate(bytes.len() - 25)),
        ("asf-amc", "good", ".amc", &|bytes| bytes.truncate(48)),
    ];
    for (name, case, file, change) in cases {
        let error = refusal(name, case, file, change);
        assert!(error.contains(file), "{name}: {error}");
    }
}

/// Real sets and how they are read.
const REAL: [(&str, &str); 10] = [
    ("combined", "{type: skeleton-npz, root: ROOT}"),
    (
        "gtu3d/raw",
        "{type: kinect-v2-text, root: ROOT, class_from: {regex: 'folder(?<class>[0-9]+)_'}}",
    ),
    ("nw_ucla/raw", "{type: nw-ucla, root: ROOT}"),
    ("utd_mhad/raw", "{type: utd-mhad, root: ROOT}"),
    ("msr_action3d/raw", "{type: msr-action3d, root: ROOT}"),
    ("utkinect/raw", "{type: utkinect, root: ROOT}"),
    ("florence3d/raw", "{type: florence3d, root: ROOT}"),
    ("hdm05_11/raw", "{type: asf-amc, root: ROOT}"),
    (
        "bandai_namco/raw",
        "{type: bvh, root: ROOT, drop_root: true, class_from: {regex: '^dataset-._(?<class>[a-z-]+)_'}}",
    ),
    ("ntu_samples/made", "{type: ntu-rgbd, root: ROOT, classes: 120}"),
];

#[test]
fn real_sets_become_stores_and_are_inspected() {
    let beside = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../../shared/data");
    let data = std::env::var_os("SZAR_DATA").map_or(beside, PathBuf::from);
    for (set, block) in REAL {
        let root = data.join(set);
        if !root.is_dir() {
            eprintln!("skipped: no dataset at {} (set SZAR_DATA)", root.display());
            continue;
        }
        let block = block.replace("ROOT", &root.display().to_string());
        let (config, _) = config::dataset(&block, &[]).unwrap();
        let dataset = config.build(&testing::build_context()).unwrap();
        let (folder, cancel) = (tempfile::tempdir().unwrap(), Cancel::default());
        let store = folder.path().join("store");
        let done = import(dataset.as_ref(), set, &store, false, &Silent, &cancel).unwrap();
        let stored = Stored::open(&store, SplitConfig::default()).unwrap();
        let found = Inspection::of(&stored, &Silent, &cancel).unwrap();
        assert_eq!(
            (found.read, done.samples),
            (dataset.samples().len(), dataset.samples().len()),
            "{set}"
        );
        let flaws = found.flawed.len() + found.duplicates.len();
        eprintln!(
            "{set}: {} samples, {} frames, {} bytes, {flaws} flaws",
            done.samples, done.frames, done.bytes
        );
    }
}
