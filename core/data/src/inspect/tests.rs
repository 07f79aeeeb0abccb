//! Every kind of problem in a small set, and the procedural set without one.

use szar_core::progress::Silent;
use szar_core::{BuildContext, DatasetConfig, SampleRole, Seed, Sequence};
use tch::Device;

use super::*;
use crate::motion::ProceduralConfig;
use crate::toy::{Toy, standing};

fn inspect(dataset: &dyn Dataset) -> Inspection {
    Inspection::of(dataset, &Silent, &Cancel::default()).unwrap()
}

/// `standing` with something done to its values.
fn changed(salt: f32, change: impl FnOnce(&mut Sequence)) -> Option<Sequence> {
    let mut sequence = standing(10, salt);
    change(&mut sequence);
    Some(sequence)
}

fn troubled() -> Toy {
    use SampleRole::{Outside, Test, Train};
    let mut toy = Toy::new(&["walk", "wave", "never", "broken"]);
    for i in 0..20u8 {
        let sequence = standing(10, f32::from(i) / 100.0);
        toy.add(&format!("walk{i}"), 0, Train, Some(sequence));
    }
    toy.add("unread", 0, Outside, None);
    toy.add("nan", 0, Train, changed(0.31, |s| s.joints[4] = f32::NAN));
    toy.add("empty", 0, Train, changed(0.32, |s| s.joints[..135].fill(0.0)));
    toy.add(
        "lost",
        0,
        Train,
        changed(0.33, |s| {
            let frames = s.joints.chunks_exact_mut(45);
            frames.for_each(|frame| frame[..6].fill(0.0)); // two of fifteen joints
        }),
    );
    toy.add("short", 0, Train, Some(standing(7, 0.34)));
    let millimetres = |s: &mut Sequence| s.joints.iter_mut().for_each(|v| *v *= 1000.0);
    toy.add("millimetres", 0, Train, changed(0.35, millimetres));
    toy.add("timeless", 0, Train, changed(0.36, |s| s.fps = 0.0));
    toy.add("cut", 0, Train, changed(0.37, |s| s.joints.truncate(7)));
    toy.add("copy", 1, Test, Some(standing(10, 0.05)));
    toy.add("other", 1, Test, Some(standing(30, 0.05)));
    toy.add("flagged", 3, Train, Some(standing(3, 0.4)));
    toy.last().usable = false;
    toy.last().subject = None;
    toy
}

#[test]
fn every_kind_of_problem_is_found_and_nothing_else() {
    let found = inspect(&troubled());
    let flaws: Vec<(&str, &[Flaw])> = found.flawed.iter().map(|f| (&*f.name, &*f.flaws)).collect();
    let far =
        |flaw: &Flaw| matches!(flaw, Flaw::Far { joints: 150, metres } if (*metres - 2900.4).abs() < 1.0);
    assert_eq!(flaws.len(), 9, "{flaws:?}");
    let error = "the file ends in frame 3".into();
    assert_eq!(flaws[0], ("unread", &[Flaw::Unreadable { error }][..]));
    assert_eq!(flaws[1], ("nan", &[Flaw::NotFinite { values: 1 }][..]));
    assert_eq!(flaws[2], ("empty", &[Flaw::EmptyFrames { share: 0.3 }][..]));
    let share = 2.0 / 15.0;
    assert_eq!(flaws[3], ("lost", &[Flaw::UntrackedJoints { share }][..]));
    assert_eq!(flaws[4], ("short", &[Flaw::Short { frames: 7 }][..]));
    assert!(
        flaws[5].0 == "millimetres" && flaws[5].1.iter().all(far),
        "{:?}",
        flaws[5]
    );
    assert_eq!(flaws[6], ("timeless", &[Flaw::FrameRate { fps: "0".into() }][..]));
    let expected = "has 7 numbers, expected 10 frames of 1 persons of 15 joints";
    assert!(matches!(&flaws[7].1[0], Flaw::Unreadable { error } if error == expected));
    assert_eq!(flaws[8], ("flagged", &[Flaw::Short { frames: 3 }][..]));
    assert!(!found.flawed[8].usable && found.flawed[7].usable && !found.is_clean());
}

#[test]
fn copies_empty_classes_and_imbalance_are_found() {
    let found = inspect(&troubled());
    let copies = Duplicates {
        sequences: vec!["walk5".into(), "copy".into()],
        classes: vec!["walk".into(), "wave".into()],
        in_train_and_test: true,
    };
    assert_eq!(found.duplicates, [copies]);
    assert_eq!(found.classes_without_sequence, ["never", "broken"]);
    let imbalance = found.imbalance.unwrap();
    assert_eq!((&*imbalance.largest, imbalance.largest_sequences), ("walk", 28));
    assert_eq!((&*imbalance.smallest, imbalance.ratio), ("wave", 14.0));
}

#[test]
fn counts_are_by_role_and_of_what_could_be_read() {
    let found = inspect(&troubled());
    let counts = Counts {
        train: 27,
        test: 2,
        outside: 1,
        unusable: 1,
    };
    assert_eq!(found.sequences, counts);
    assert_eq!((found.read, found.sequences.total()), (29, 31));
    assert_eq!(found.classes[0].counts.outside, 1);
    assert_eq!(found.subjects.in_train_and_test, [1]);
    assert_eq!((found.subjects.count, found.subjects.unknown), (1, 1));
    let frames = found.frames.unwrap();
    assert_eq!((frames.min, frames.median, frames.max), (3.0, 10.0, 30.0));
    assert_eq!(found.fps.unwrap(), Range { min: 30.0, max: 30.0 });
    assert_eq!(found.persons_seen, [(1, 29)].into());
    let json = serde_json::to_value(&found).unwrap();
    assert_eq!(json["classes"][0]["train"], 27);
    assert_eq!(json["flawed"][0]["flaws"][0]["kind"], "unreadable");
}

#[test]
fn the_median_of_an_even_number_is_between() {
    let spread = Spread::of(vec![4.0, 1.0, 2.0, 9.0]).unwrap();
    assert_eq!((spread.median, spread.mean), (3.0, 4.0));
    assert!(Spread::of(Vec::new()).is_none());
}

#[test]
fn the_procedural_set_is_as_its_options_say() {
    let config = ProceduralConfig {
        samples_per_class: 6,
        ..ProceduralConfig::default()
    };
    let ctx = BuildContext {
        device: Device::Cpu,
        seed: Seed(0),
        cache: std::env::temp_dir(),
    };
    let dataset = config.build(&ctx).unwrap();
    let found = inspect(dataset.as_ref());
    assert_eq!((found.classes.len(), found.layout.joints), (30, 25));
    assert_eq!(found.read, 180);
    assert!(found.classes.iter().all(|c| c.counts.total() == 6));
    assert!(found.is_clean(), "{:?}", found.flawed);
    assert_eq!(found.persons_seen.values().sum::<usize>(), 180);
    let [_, y, _] = found.ranges.unwrap();
    assert!(y.min > -3.0 && y.max < 3.0, "{y:?}");
    assert_eq!(inspect(dataset.as_ref()), found);
}

#[test]
fn it_stops_when_asked() {
    let cancel = Cancel::default();
    cancel.request();
    assert!(Inspection::of(&troubled(), &Silent, &cancel).is_err());
}
