//! A store gives what the dataset gave, and says what is wrong with its files.

use std::fs;

use szar_core::progress::Silent;
use szar_core::{BuildContext, Cancel, Seed};
use tch::Device;

use super::*;
use crate::motion::ProceduralConfig;
use crate::splits::{RandomSplit, SplitConfig};
use crate::toy::Toy;
use szar_core::{Dataset, DatasetConfig, SampleRole};

fn procedural(persons: usize) -> Box<dyn Dataset> {
    let config = ProceduralConfig {
        samples_per_class: 3,
        persons,
        ..ProceduralConfig::default()
    };
    let ctx = BuildContext {
        device: Device::Cpu,
        seed: Seed(1),
        cache: std::env::temp_dir(),
    };
    config.build(&ctx).unwrap()
}

fn split() -> SplitConfig {
    SplitConfig {
        random: Some(RandomSplit { unseen: 4, seed: 1 }),
        ..SplitConfig::default()
    }
}

fn store(dataset: &dyn Dataset) -> (tempfile::TempDir, std::path::PathBuf, Imported) {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("store");
    let done = import(dataset, "a test", &path, false, &Silent, &Cancel::default()).unwrap();
    (folder, path, done)
}

#[test]
fn a_store_gives_what_the_dataset_gave() {
    for persons in [1, 2] {
        let dataset = procedural(persons);
        let (_folder, path, done) = store(dataset.as_ref());
        let stored = Stored::open(&path, split()).unwrap();
        assert_eq!(stored.samples(), dataset.samples());
        assert_eq!(done.samples, dataset.samples().len());
        assert_eq!(stored.info().classes, dataset.info().classes);
        assert_eq!(stored.info().layout, dataset.info().layout);
        let mut frames = 0;
        for i in 0..dataset.samples().len() {
            let sequence = dataset.load(i).unwrap();
            frames += sequence.frames as u64;
            assert_eq!(stored.load(i).unwrap(), sequence, "{i}");
        }
        assert_eq!(done.frames, frames);
        assert_eq!(stored.split().unwrap().unseen().len(), 4);
        assert!(stored.load(dataset.samples().len()).is_err());
    }
}

#[test]
fn persons_who_are_not_there_take_no_space() {
    let [one, two] = [1, 2].map(|persons| store(procedural(persons).as_ref()));
    let size = |path: &std::path::Path| fs::metadata(path.join("joints.f32")).unwrap().len();
    let stored = Stored::open(&two.1, split()).unwrap();
    let alone = (0..stored.samples().len()).filter(|i| {
        let sequence = stored.load(*i).unwrap();
        let width = sequence.joints.len() / sequence.frames;
        let second = |frame: &[f32]| frame[width / 2..].iter().all(|v| *v == 0.0);
        sequence.joints.chunks_exact(width).all(second)
    });
    let alone = alone.count();
    assert!(size(&two.1) <= 2 * size(&one.1));
    assert!(
        alone == 0 || size(&two.1) < 2 * size(&one.1),
        "{alone} sequences of one person"
    );
}

type Harm<'a> = &'a dyn Fn(&mut Vec<u8>);

#[test]
fn damage_is_named_by_file_and_sequence() {
    let dataset = procedural(1);
    let harm = |name: &str, change: &dyn Fn(&mut Vec<u8>)| {
        let (_folder, path, _) = store(dataset.as_ref());
        let file = path.join(name);
        let mut bytes = fs::read(&file).unwrap();
        change(&mut bytes);
        fs::write(&file, bytes).unwrap();
        let error = Stored::open(&path, split()).and_then(|stored| stored.load(1).map(|_| ()));
        error.unwrap_err().to_string()
    };
    let at = {
        let first = dataset.load(0).unwrap().joints.len();
        first * 4 + 5
    };
    let name = &dataset.samples()[1].name;
    let cases: [(&str, Harm, &str); 7] = [
        ("joints.f32", &|b| b[at] ^= 1, name),
        ("joints.f32", &|b| b.truncate(100), "has 100 bytes, expected"),
        ("samples.i64", &|b| b[3] ^= 1, "the checksum differs"),
        ("fps.f32", &|b| b.clear(), "has 0 bytes, expected"),
        ("names.txt", &|b| b.push(0xff), "the checksum differs"),
        ("index.json", &|b| b.truncate(40), "index.json"),
        (
            "index.json",
            &|b| {
                *b = String::from_utf8_lossy(b)
                    .replace("\"format\": 1", "\"format\": 9")
                    .into()
            },
            "is 9, expected 1: another version",
        ),
    ];
    for (file, change, expected) in cases {
        let error = harm(file, change);
        assert!(
            error.contains(file) && error.contains(expected),
            "{file}: {error}"
        );
    }
}

#[test]
fn a_folder_that_is_there_is_not_written_to() {
    let folder = tempfile::tempdir().unwrap();
    let dataset = procedural(1);
    let error = import(
        dataset.as_ref(),
        "",
        folder.path(),
        false,
        &Silent,
        &Cancel::default(),
    );
    assert!(error.unwrap_err().to_string().contains("is there already"));
    let stopped = Cancel::default();
    stopped.request();
    let path = folder.path().join("store");
    assert!(import(dataset.as_ref(), "", &path, false, &Silent, &stopped).is_err());
    assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 0);
}

#[test]
fn names_that_do_not_tell_samples_apart_are_refused_before_anything_is_read() {
    for (second, expected) in [
        ("wave", "dataset `toy`: two sequences are called `wave`"),
        ("wave\nagain", "its name has a line break"),
    ] {
        let mut toy = Toy::new(&["a"]);
        // None can be read: that would be another error.
        toy.add("wave", 0, SampleRole::Train, None);
        toy.add(second, 0, SampleRole::Train, None);
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("store");
        let error = import(&toy, "", &path, false, &Silent, &Cancel::default()).unwrap_err();
        assert!(error.to_string().contains(expected), "{error}");
        assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 0);
    }
}
