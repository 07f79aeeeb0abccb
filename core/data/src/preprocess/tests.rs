use proptest::prelude::*;
use szar_core::testing;

use super::*;
use crate::layouts;

/// One person, V joints; frame t is `start + t * step`, joint v is moved by v along y.
fn line(frames: usize, joints: usize, start: [f32; 3], step: [f32; 3]) -> Sequence {
    let place = |t: usize, v: usize| {
        [0, 1, 2].map(|axis| start[axis] + step[axis] * t as f32 + if axis == 1 { v as f32 } else { 0.0 })
    };
    Sequence {
        joints: (0..frames)
            .flat_map(|t| (0..joints).flat_map(move |v| place(t, v)))
            .collect(),
        frames,
        persons: 1,
        fps: 30.0,
    }
}

fn plain() -> StandardConfig {
    StandardConfig {
        centre: Centre::None,
        ..Default::default()
    }
}

fn apply(config: &StandardConfig, sequence: &Sequence) -> (Vec<f32>, usize) {
    let (out, valid) = config
        .apply(
            sequence,
            &testing::layout(sequence.joints.len() / sequence.frames / sequence.persons / 3),
        )
        .unwrap();
    (out.joints, valid)
}

fn message(config: &StandardConfig, sequence: &Sequence, joints: usize) -> String {
    config
        .apply(sequence, &testing::layout(joints))
        .unwrap_err()
        .to_string()
}

#[test]
fn linear_resampling_keeps_the_ends_and_spreads_evenly() {
    let config = StandardConfig { frames: 5, ..plain() };
    let (joints, valid) = apply(&config, &line(3, 1, [1.0, 0.0, 0.0], [1.0, 0.0, 0.0]));
    let x: Vec<_> = joints.chunks_exact(3).map(|j| j[0]).collect();
    assert_eq!((x, valid), (vec![1.0, 1.5, 2.0, 2.5, 3.0], 5));
}

#[test]
fn one_frame_is_repeated() {
    let config = StandardConfig { frames: 3, ..plain() };
    assert_eq!(
        apply(&config, &line(1, 1, [1.0, 2.0, 3.0], [0.0; 3])).0,
        [1.0, 2.0, 3.0].repeat(3)
    );
}

#[test]
fn padding_adds_zeros_and_cropping_takes_the_middle() {
    let config = StandardConfig {
        frames: 4,
        resample: Resample::Pad,
        ..plain()
    };
    let (joints, valid) = apply(&config, &line(2, 1, [1.0, 0.0, 0.0], [1.0, 0.0, 0.0]));
    assert_eq!(
        (joints[0], joints[3], &joints[6..], valid),
        (1.0, 2.0, &[0.0; 6][..], 2)
    );
    let (joints, valid) = apply(&config, &line(8, 1, [1.0, 0.0, 0.0], [1.0, 0.0, 0.0]));
    assert_eq!((joints[0], joints[9], valid), (3.0, 6.0, 4));
}

#[test]
fn the_first_frames_mean_joint_becomes_the_origin() {
    let config = StandardConfig {
        frames: 2,
        ..Default::default()
    };
    let (joints, _) = apply(&config, &line(2, 3, [2.0, 5.0, 1.0], [1.0, 0.0, 0.0]));
    // Joints at y = 5, 6, 7, mean 6; the second frame is 1 m further along x.
    assert_eq!(joints[..9], [0.0, -1.0, 0.0, 0.0, 0.0, 0.0, 0.0, 1.0, 0.0]);
    assert_eq!(joints[9], 1.0);
}

#[test]
fn the_spine_can_be_the_origin_of_the_first_or_of_each_frame() {
    let sequence = line(2, 2, [2.0, 5.0, 1.0], [1.0, 0.0, 0.0]);
    let first = StandardConfig {
        frames: 2,
        centre: Centre::SpineFirstFrame,
        ..Default::default()
    };
    assert_eq!(apply(&first, &sequence).0[6..9], [1.0, 0.0, 0.0]);
    let each = StandardConfig {
        frames: 2,
        centre: Centre::SpineEachFrame,
        ..Default::default()
    };
    assert_eq!(apply(&each, &sequence).0[6..9], [0.0, 0.0, 0.0]);
}

#[test]
fn an_absent_person_stays_exactly_zero() {
    let mut sequence = line(2, 4, [1.0, 1.0, 1.0], [0.0; 3]);
    sequence.frames = 1;
    sequence.persons = 2;
    sequence.joints[12..].fill(0.0);
    let config = StandardConfig {
        frames: 2,
        rotate: Rotate::FaceCamera,
        ..Default::default()
    };
    let (joints, _) = apply(&config, &sequence);
    assert_eq!(
        (&joints[12..24], &joints[36..48]),
        (&[0.0; 12][..], &[0.0; 12][..])
    );
}

#[test]
fn a_person_that_comes_and_goes_is_never_mixed_with_zeros() {
    // Person 1 is there in frame 1 of 2 alone, at x = 8.
    let sequence = Sequence {
        joints: vec![1.0, 1.0, 1.0, 0.0, 0.0, 0.0, 1.0, 1.0, 1.0, 8.0, 1.0, 1.0],
        frames: 2,
        persons: 2,
        fps: 30.0,
    };
    let config = StandardConfig { frames: 5, ..plain() };
    let (joints, _) = apply(&config, &sequence);
    let x: Vec<_> = joints.chunks_exact(6).map(|frame| frame[3]).collect();
    assert_eq!(x, [0.0, 0.0, 8.0, 8.0, 8.0]);
}

#[test]
fn empty_frames_are_dropped_filled_or_kept() {
    let mut sequence = line(3, 1, [1.0, 0.0, 0.0], [1.0, 0.0, 0.0]);
    sequence.joints[3..6].fill(0.0);
    let x = |missing, frames| {
        let config = StandardConfig {
            frames,
            missing,
            ..plain()
        };
        apply(&config, &sequence)
            .0
            .chunks_exact(3)
            .map(|j| j[0])
            .collect::<Vec<_>>()
    };
    assert_eq!(x(Missing::Drop, 2), [1.0, 3.0]);
    assert_eq!(x(Missing::Fill, 3), [1.0, 2.0, 3.0]);
    assert_eq!(x(Missing::Keep, 3), [1.0, 0.0, 3.0]);
}

#[test]
fn an_untracked_joint_is_filled_in_but_one_near_its_body_is_kept() {
    let mut far = line(3, 2, [3.0, 0.0, 0.0], [1.0, 0.0, 0.0]);
    far.joints[9..12].fill(0.0); // joint 1 of frame 1, 4 m away from joint 0
    let config = StandardConfig { frames: 3, ..plain() };
    assert_eq!(apply(&config, &far).0[9..12], [4.0, 1.0, 0.0]);
    let near = line(3, 2, [0.0, 0.0, 0.0], [0.1, 0.0, 0.0]);
    assert_eq!(apply(&config, &near).0[..3], [0.0; 3]);
}

#[test]
fn a_turned_body_faces_the_camera_and_keeps_its_shape() {
    let layout = layouts::by_name("common15").unwrap();
    let mut sequence = line(1, 15, [0.3, 0.1, 2.0], [0.0; 3]);
    for (v, joint) in sequence.joints.as_chunks_mut::<3>().0.iter_mut().enumerate() {
        *joint = [(v as f32 * 0.7).sin(), v as f32 * 0.1, (v as f32 * 1.3).cos()];
    }
    let config = StandardConfig {
        frames: 1,
        rotate: Rotate::FaceCamera,
        ..Default::default()
    };
    let (out, _) = config.apply(&sequence, &layout).unwrap();
    let at = |s: &Sequence, v: usize| [0, 1, 2].map(|a| s.joints[v * 3 + a]);
    let (left, right) = (at(&out, 3), at(&out, 6));
    assert!(
        right[0] > left[0] && (right[2] - left[2]).abs() < 1e-6,
        "{left:?} {right:?}"
    );
    let apart = |s: &Sequence, a, b| (0..3).map(|i| (at(s, a)[i] - at(s, b)[i]).powi(2)).sum::<f32>();
    for v in 1..15 {
        assert!((apart(&out, 0, v) - apart(&sequence, 0, v)).abs() < 1e-5);
    }
}

#[test]
fn torso_bones_have_length_one_afterwards() {
    // `chain`: torso is joint 2 alone, so use a real layout, where neighbours in the torso are 0.5 m apart.
    let layout = layouts::by_name("common15").unwrap();
    let sequence = line(2, 15, [0.0; 3], [0.0; 3]);
    let config = StandardConfig {
        frames: 2,
        scale: Scale::Torso,
        ..Default::default()
    };
    let (out, _) = config.apply(&sequence, &layout).unwrap();
    let torso = layout.part("torso").unwrap();
    let bones: Vec<_> = layout
        .bones
        .iter()
        .filter(|(a, b)| torso.contains(a) && torso.contains(b))
        .collect();
    let y = |v: usize| out.joints[v * 3 + 1];
    let mean = bones.iter().map(|(a, b)| (y(*a) - y(*b)).abs()).sum::<f32>() / bones.len() as f32;
    assert!((mean - 1.0).abs() < 1e-5, "{mean}");
}

#[test]
fn values_that_are_no_numbers_are_named() {
    let mut sequence = line(3, 2, [1.0; 3], [0.0; 3]);
    sequence.joints[10] = f32::NAN;
    let text = message(&plain(), &sequence, 2);
    assert_eq!(
        text,
        "frame 1, person 0, joint `joint1` is NaN, expected a number"
    );
}

#[test]
fn a_sequence_without_a_body_or_with_other_joints_is_refused() {
    let empty = line(3, 1, [0.0; 3], [0.0; 3]);
    assert!(message(&plain(), &empty, 1).contains("no frame has a tracked body"));
    let text = message(&plain(), &line(3, 2, [1.0; 3], [0.0; 3]), 5);
    assert!(
        text.contains("has 18 numbers, expected 45 for the 5 joints of layout `chain5`"),
        "{text}"
    );
}

proptest! {
    #[test]
    fn any_finite_sequence_gives_the_asked_frames_or_an_error(
        values in proptest::collection::vec(prop_oneof![Just(0.0f32), -9.0f32..9.0], 0..120),
        frames in 1usize..7, persons in 1usize..3, wanted in 1usize..9, choice in 0usize..24,
    ) {
        let sequence = Sequence { joints: values, frames, persons, fps: 30.0 };
        let config = StandardConfig {
            frames: wanted,
            resample: [Resample::Linear, Resample::Pad][choice % 2],
            centre: [Centre::FirstFrameMean, Centre::SpineEachFrame][choice / 2 % 2],
            rotate: [Rotate::None, Rotate::FaceCamera][choice / 4 % 2],
            scale: Scale::None,
            missing: [Missing::Drop, Missing::Fill, Missing::Keep][choice / 8],
        };
        let joints = sequence.joints.len() / frames / persons / 3;
        if joints > 0 && let Ok((out, valid)) = config.apply(&sequence, &testing::layout(joints)) {
            prop_assert_eq!(out.joints.len(), wanted * persons * joints * 3);
            prop_assert!(out.joints.iter().all(|v| v.is_finite()));
            prop_assert!(valid >= 1 && valid <= wanted);
        }
    }
}
