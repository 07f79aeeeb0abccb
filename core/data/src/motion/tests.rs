//! Promises of the set as a whole.

use std::collections::BTreeMap;
use std::path::PathBuf;

use serde_json::Value;
use szar_core::{Dataset, DatasetConfig, Problems, SampleRole, Sequence};

use super::ProceduralConfig;
use super::body::JOINTS;
use super::classes::{FAMILIES, NAMES};
use super::dataset::Procedural;
use super::space::{Vec3, length, sub};
use super::splits;
use crate::splits::{RandomSplit, SplitConfig};

fn small() -> ProceduralConfig {
    ProceduralConfig {
        samples_per_class: 6,
        ..ProceduralConfig::default()
    }
}

/// Without a sensor's errors and with everybody alike.
fn plain() -> ProceduralConfig {
    ProceduralConfig {
        samples_per_class: 1,
        noise: 0.0,
        variation: 0.0,
        dropped_joints: 0.0,
        dropped_frames: 0.0,
        ..ProceduralConfig::default()
    }
}

fn open(config: &ProceduralConfig) -> Procedural {
    Procedural::new(config).unwrap()
}

fn all(set: &Procedural) -> Vec<Sequence> {
    (0..set.samples().len()).map(|i| set.load(i).unwrap()).collect()
}

fn bits(sequence: &Sequence) -> Vec<u32> {
    sequence.joints.iter().map(|x| x.to_bits()).collect()
}

#[test]
fn one_seed_gives_the_same_bits_and_another_does_not() {
    let (one, again) = (all(&open(&small())), all(&open(&small())));
    assert!(one.iter().zip(&again).all(|(a, b)| bits(a) == bits(b)));
    let other = all(&open(&ProceduralConfig { seed: 1, ..small() }));
    assert!(one.iter().zip(&other).all(|(a, b)| bits(a) != bits(b)));
}

#[test]
fn a_sample_does_not_depend_on_how_many_there_are() {
    let (few, many) = (
        small(),
        ProceduralConfig {
            samples_per_class: 9,
            ..small()
        },
    );
    let (few, many) = (open(&few), open(&many));
    assert_eq!(few.samples()[6 * 4 + 5].name, many.samples()[9 * 4 + 5].name);
    assert_eq!(few.load(6 * 4 + 5).unwrap(), many.load(9 * 4 + 5).unwrap());
}

#[test]
fn samples_of_a_class_differ() {
    let set = open(&small());
    assert_ne!(bits(&set.load(0).unwrap()), bits(&set.load(1).unwrap()));
}

#[test]
fn bones_keep_their_lengths() {
    let set = open(&small());
    let bones = set.info().layout.bones.clone();
    let lengths = |joints: &[Vec3; JOINTS]| -> Vec<f64> {
        bones
            .iter()
            .map(|&(a, b)| length(sub(joints[a], joints[b])))
            .collect()
    };
    for sample in 0..set.samples().len() {
        set.perform(sample, |performance, _| {
            let first = lengths(&performance.joints(0));
            assert!(
                first.iter().all(|l| (0.01..0.7).contains(l)),
                "sample {sample}: {first:?}"
            );
            for frame in 1..performance.frames() {
                let now = lengths(&performance.joints(frame));
                let worst = first
                    .iter()
                    .zip(&now)
                    .map(|(a, b)| (a - b).abs())
                    .fold(0.0, f64::max);
                assert!(worst < 1e-9, "sample {sample}, frame {frame}: {worst}");
            }
        })
        .unwrap();
    }
}

#[test]
fn nothing_jumps_before_the_sensor() {
    let set = open(&small());
    for sample in 0..set.samples().len() {
        set.perform(sample, |performance, _| {
            for frame in 1..performance.frames() {
                let (last, now) = (performance.joints(frame - 1), performance.joints(frame));
                let fastest = last
                    .iter()
                    .zip(&now)
                    .map(|(a, b)| length(sub(*a, *b)))
                    .fold(0.0, f64::max);
                let name = &set.samples()[sample].name;
                assert!(fastest < 0.65, "{name}, frame {frame}: a joint moves {fastest} m");
            }
        })
        .unwrap();
    }
}

/// Mean distance of joints, with 32 frames of each sequence.
fn apart(a: &Sequence, b: &Sequence) -> f32 {
    let frame = |s: &Sequence, k: usize| {
        let at = k * (s.frames - 1) / 31 * JOINTS * 3;
        s.joints[at..at + JOINTS * 3].to_vec()
    };
    let mut sum = 0.0;
    for k in 0..32 {
        let (a, b) = (frame(a, k), frame(b, k));
        sum += a
            .chunks(3)
            .zip(b.chunks(3))
            .map(|(p, q)| distance(p, q))
            .sum::<f32>();
    }
    sum / (32 * JOINTS) as f32
}

fn distance(p: &[f32], q: &[f32]) -> f32 {
    p.iter()
        .zip(q)
        .map(|(x, y)| (x - y) * (x - y))
        .sum::<f32>()
        .sqrt()
}

#[test]
fn every_two_classes_differ() {
    let sequences = all(&open(&plain()));
    for a in 0..NAMES.len() {
        for b in 0..a {
            let far = apart(&sequences[a], &sequences[b]);
            assert!(far > 0.005, "`{}` and `{}` are {far} m apart", NAMES[a], NAMES[b]);
        }
    }
}

#[test]
fn sequences_are_as_documented() {
    let set = open(&small());
    for (info, sequence) in set.samples().iter().zip(all(&set)) {
        assert!(
            (40..=90).contains(&sequence.frames),
            "{}: {} frames",
            info.name,
            sequence.frames
        );
        assert_eq!((sequence.persons, sequence.fps), (1, 30.0));
        assert_eq!(sequence.joints.len(), sequence.frames * JOINTS * 3);
        for joint in sequence.joints.chunks(3).filter(|j| *j != [0.0; 3]) {
            let ok = joint[0].abs() < 3.0 && joint[1].abs() < 2.5 && (0.8..5.5).contains(&joint[2]);
            assert!(ok, "{}: {joint:?}", info.name);
        }
    }
}

#[test]
fn the_person_faces_the_camera_upright_with_the_left_side_at_smaller_x() {
    let set = open(&plain());
    let sequence = set.load(0).unwrap();
    let joint = |name: &str| {
        let at = 3 * set.info().layout.joint(name).unwrap();
        &sequence.joints[at..at + 3]
    };
    let layout = set.info().layout.clone();
    let (left, right) = layout.shoulders;
    let x = |number: usize| sequence.joints[3 * number];
    assert!(x(left) < x(right));
    let (head, feet) = (joint(&layout.joints[3]), joint(&layout.joints[15]));
    assert!(head[1] - feet[1] > 1.4, "{head:?} {feet:?}");
}

/// Share of joints that are lost in frames that have a body, and share of frames without one.
fn losses(config: &ProceduralConfig) -> (f64, f64) {
    let (mut lost, mut joints, mut empty, mut frames) = (0, 0, 0, 0);
    for sequence in all(&open(config)) {
        for frame in sequence.joints.chunks(JOINTS * 3) {
            let gone = frame.chunks(3).filter(|j| *j == [0.0; 3]).count();
            frames += 1;
            if gone == JOINTS {
                empty += 1;
            } else {
                (lost, joints) = (lost + gone, joints + JOINTS);
            }
        }
    }
    (
        f64::from(lost as u32) / f64::from(joints as u32),
        f64::from(empty) / f64::from(frames),
    )
}

#[test]
fn joints_and_frames_are_lost_at_the_stated_rates() {
    let config = ProceduralConfig {
        dropped_joints: 0.1,
        dropped_frames: 0.05,
        ..small()
    };
    let (joints, frames) = losses(&config);
    assert!((0.08..0.12).contains(&joints), "{joints}");
    assert!((0.035..0.065).contains(&frames), "{frames}");
    let none = ProceduralConfig {
        dropped_joints: 0.0,
        dropped_frames: 0.0,
        ..small()
    };
    assert_eq!(losses(&none), (0.0, 0.0));
}

#[test]
fn no_subject_is_in_both_parts() {
    let set = open(&ProceduralConfig::default());
    let mut roles = BTreeMap::new();
    for sample in set.samples() {
        let role = *roles.entry(sample.subject.unwrap()).or_insert(sample.role);
        assert_eq!(role, sample.role, "{}", sample.name);
    }
    let tests = roles.values().filter(|r| **r == SampleRole::Test).count();
    assert_eq!((roles.len(), tests), (12, 4));
}

#[test]
fn a_bystander_is_rare_and_beside() {
    let set = open(&ProceduralConfig {
        persons: 2,
        dropped_joints: 0.0,
        dropped_frames: 0.0,
        ..small()
    });
    let mut beside = 0;
    for sequence in all(&set) {
        let (one, two) = sequence.joints[..JOINTS * 6].split_at(JOINTS * 3);
        if two.iter().any(|x| *x != 0.0) {
            beside += 1;
            assert!(distance(&one[..3], &two[..3]) > 0.3);
        }
    }
    assert!((5..50).contains(&beside), "{beside} of {}", set.samples().len());
}

#[test]
fn named_splits_hold_out_one_class_of_each_family() {
    let mut held_out = Vec::new();
    for name in splits::names() {
        let set = open(&ProceduralConfig {
            split: SplitConfig::named(name),
            ..small()
        });
        let split = set.split().unwrap();
        assert_eq!(
            (split.name(), split.seen().len(), split.unseen().len()),
            (name, 24, 6)
        );
        let families: Vec<_> = split.unseen().ids().iter().map(|id| id.0 / 5).collect();
        assert_eq!(families, (0..FAMILIES.len() as i64).collect::<Vec<_>>(), "{name}");
        held_out.extend(split.unseen().ids().to_vec());
    }
    let all = held_out.len();
    held_out.sort();
    held_out.dedup();
    assert_eq!(held_out.len(), all, "no class is unseen in two splits");
}

#[test]
fn random_splits_follow_their_seed() {
    let split = |seed| {
        let random = Some(RandomSplit { unseen: 8, seed });
        let split = SplitConfig {
            random,
            ..SplitConfig::default()
        };
        open(&ProceduralConfig { split, ..small() }).split().unwrap()
    };
    assert_eq!(split(3), split(3));
    assert_ne!(split(3).unseen(), split(4).unseen());
    assert_eq!(split(3).unseen().len(), 8);
}

#[test]
fn bad_options_are_all_named() {
    let bad = ProceduralConfig {
        samples_per_class: 0,
        subjects: 1,
        persons: 3,
        noise: -1.0,
        variation: f64::NAN,
        dropped_joints: 0.9,
        dropped_frames: 2.0,
        split: SplitConfig::named("24_6_seed9"),
        ..ProceduralConfig::default()
    };
    let mut problems = Problems::new();
    bad.validate(&mut problems);
    let fields: Vec<_> = problems.iter().map(|p| p.field.as_str()).collect();
    let wanted = [
        "samples_per_class",
        "subjects",
        "persons",
        "noise",
        "variation",
        "dropped_joints",
        "dropped_frames",
        "split.name",
    ];
    assert_eq!(fields, wanted);
    let text = problems.to_string();
    assert!(text.contains("must be between 0 and 0.2, got -1"), "{text}");
    assert!(text.contains("did you mean `24_6_seed0`?"), "{text}");
}

#[test]
fn a_sample_that_is_not_there_is_an_error() {
    let error = open(&small()).load(180).unwrap_err();
    assert_eq!(error.to_string(), "sample 180 is beyond the 180 there are");
}

#[test]
fn options_survive_json() {
    let config: Box<dyn DatasetConfig> = Box::new(ProceduralConfig { seed: 7, ..small() });
    let text = serde_json::to_value(&config).unwrap();
    assert_eq!(text["type"], "procedural");
    let back: Box<dyn DatasetConfig> = serde_json::from_value(text.clone()).unwrap();
    assert_eq!(serde_json::to_value(&back).unwrap(), text);
}

fn shipped(file: &str) -> Value {
    let path: PathBuf = [env!("CARGO_MANIFEST_DIR"), "../../configs/semantics", file]
        .iter()
        .collect();
    serde_json::from_slice(&std::fs::read(path).unwrap()).unwrap()
}

#[test]
fn every_class_is_described() {
    let texts = shipped("procedural_descriptions.json");
    assert_eq!(texts.as_object().unwrap().len(), NAMES.len());
    for (index, name) in NAMES.iter().enumerate() {
        let class = &texts[name];
        assert_eq!(class["index"], index, "{name}");
        let part = |part| &class["parts"][part];
        let phase = |phase| &class["phases"][phase];
        let parts = ["head", "hands", "torso", "legs"].map(part);
        let phases = ["start", "middle", "end"].map(phase);
        for text in parts.into_iter().chain(phases).chain([&class["global"]]) {
            assert!(text.as_str().is_some_and(|t| t.len() > 8), "{name}: {text}");
        }
    }
}

#[test]
fn every_class_has_a_prior() {
    let prior = shipped("procedural_prior.json");
    assert_eq!(prior["indexing"], "label");
    assert_eq!(prior["num_classes"], NAMES.len());
    for (index, name) in NAMES.iter().enumerate() {
        assert_eq!(prior["class_names"][index], *name);
        let weights = &prior["weights"][index.to_string()];
        for (kind, count) in [("spatial", 4), ("temporal", 3)] {
            let list: Vec<f64> = serde_json::from_value(weights[kind].clone()).unwrap();
            assert_eq!(list.len(), count, "{name}");
            assert!(
                (list.iter().sum::<f64>() - 1.0).abs() < 1e-9,
                "{name}: {kind} {list:?}"
            );
        }
        let gamma = weights["gamma"].as_f64().unwrap();
        assert!((0.0..=1.0).contains(&gamma), "{name}");
    }
}
