//! The published preparations: reference values, and rules that hold for any sequence.

use std::sync::Arc;

use proptest::prelude::*;

use super::*;
use crate::layouts;

fn ntu() -> Arc<SkeletonLayout> {
    layouts::by_name("ntu25").unwrap()
}

/// SplitMix64 started at the FNV-1a hash of the name, scaled to -1 .. 1.
fn stream(name: &str) -> impl Iterator<Item = f64> {
    let hash = |hash: u64, byte: u8| (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3);
    let mut state = name.bytes().fold(0xcbf2_9ce4_8422_2325, hash);
    std::iter::repeat_with(move || {
        state = state.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let z = (state ^ (state >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        let z = (z ^ (z >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        ((z ^ (z >> 31)) >> 11) as f64 * 2f64.powi(-53) * 2.0 - 1.0
    })
}

/// Two persons, 25 joints, filled as an array `[3, T, 25, 2]`.
fn filled(name: &str, frames: usize) -> Sequence {
    let values: Vec<f64> = stream(name).take(3 * frames * 50).collect();
    let mut out = nobody(frames, 2);
    for t in 0..frames {
        for v in 0..25 {
            for m in 0..2 {
                for c in 0..3 {
                    let value = values[((c * frames + t) * 25 + v) * 2 + m];
                    out.joints[((t * 2 + m) * 25 + v) * 3 + c] = value as f32;
                }
            }
        }
    }
    out
}

fn nobody(frames: usize, persons: usize) -> Sequence {
    Sequence {
        joints: vec![0.0; frames * persons * 75],
        frames,
        persons,
        fps: 30.0,
    }
}

fn joint(sequence: &Sequence, t: usize, m: usize, v: usize) -> [f32; 3] {
    let at = ((t * sequence.persons + m) * 25 + v) * 3;
    sequence.joints[at..at + 3].try_into().unwrap()
}

fn clear(sequence: &mut Sequence, t: usize, m: usize) {
    let at = (t * sequence.persons + m) * 75;
    sequence.joints[at..at + 75].fill(0.0);
}

fn assert_near(got: [f32; 3], want: [f32; 3]) {
    let near = got.iter().zip(want).all(|(g, w)| (g - w).abs() < 2e-5);
    assert!(near, "{got:?}, expected {want:?}");
}

fn sum_and_norm(sequence: &Sequence) -> (f64, f64) {
    let values = sequence.joints.iter().map(|v| f64::from(*v));
    (values.clone().sum(), values.map(|v| v * v).sum::<f64>().sqrt())
}

#[test]
fn agcn_gives_the_reference_values() {
    let mut x = filled("prep", 12);
    for t in [0, 5, 9, 10, 11] {
        clear(&mut x, t, 0);
    }
    let second: Vec<f64> = stream("prep2").take(3 * 4 * 25).collect();
    for t in 0..12 {
        clear(&mut x, t, 1);
        for at in (0..75).filter(|_| t < 4) {
            x.joints[(t * 2 + 1) * 75 + at] = second[((at % 3) * 4 + t) * 25 + at / 3] as f32;
        }
    }
    let config = AgcnConfig {
        frames: 12,
        ..Default::default()
    };
    let (out, valid) = config.apply(&x, &ntu()).unwrap();
    assert_eq!(valid, 12);
    assert_near(joint(&out, 0, 0, 3), [1.853_099, -0.518_097, -0.053_291]);
    assert_near(joint(&out, 4, 0, 3), [0.991_232, 0.113_267, -0.507_462]);
    assert_near(joint(&out, 8, 0, 3), [1.262_354, 0.029_024, 0.074_981]);
    assert_eq!(joint(&out, 11, 0, 3), joint(&out, 4, 0, 3));
    assert_near(joint(&out, 0, 1, 3), [2.370_757, -0.413_655, 1.196_072]);
    assert_near(joint(&out, 4, 1, 3), [1.259_153, -0.549_461, -0.133_769]);
    let (left, right) = (joint(&out, 0, 0, 4), joint(&out, 0, 0, 8));
    assert_near([0, 1, 2].map(|i| right[i] - left[i]), [0.574_405, 0.0, 0.0]);
    let (sum, norm) = sum_and_norm(&out);
    assert!(
        (sum - 176.004_184).abs() < 1e-3 && (norm - 33.183_666).abs() < 1e-4,
        "{sum} {norm}"
    );
}

#[test]
fn the_crop_and_resize_of_ctrgcn_give_the_reference_values() {
    let z = filled("ctr", 131);
    let resized = resize::resize(ctrgcn::centre_crop(&z.joints, 150, 131, 0.95), 150, 64);
    let out = Sequence {
        joints: resized,
        frames: 64,
        ..z
    };
    for (t, want) in [(0, -0.19593), (1, -0.17580), (2, 0.37630)] {
        assert!((joint(&out, t, 0, 0)[0] - want).abs() < 1e-5);
    }
    assert!((joint(&out, 63, 1, 24)[2] - 0.50792).abs() < 1e-5);
    let (sum, norm) = sum_and_norm(&out);
    assert!(
        (sum - 21.9945).abs() < 1e-3 && (norm - 45.9358).abs() < 1e-3,
        "{sum} {norm}"
    );
}

#[test]
fn stgcn_pads_or_keeps_the_first_frames() {
    let x = filled("x", 5);
    let (longer, valid) = StgcnConfig { frames: 8 }.apply(&x, &ntu()).unwrap();
    assert_eq!(
        (valid, &longer.joints[..750], &longer.joints[750..]),
        (5, x.joints.as_slice(), [0.0; 450].as_slice())
    );
    let (shorter, valid) = StgcnConfig { frames: 3 }.apply(&x, &ntu()).unwrap();
    assert_eq!((valid, shorter.joints.as_slice()), (3, &x.joints[..450]));
}

#[test]
fn a_person_who_is_away_stays_zero_in_ctrgcn_unless_alone() {
    let mut x = filled("x", 6);
    clear(&mut x, 0, 0);
    clear(&mut x, 3, 1);
    let config = CtrgcnConfig {
        frames: 6,
        crop: 1.0,
        ..Default::default()
    };
    let (out, _) = config.apply(&x, &ntu()).unwrap();
    assert_eq!(joint(&out, 1, 0, 1), [0.0; 3], "the origin");
    assert_eq!((joint(&out, 0, 0, 7), joint(&out, 3, 1, 7)), ([0.0; 3], [0.0; 3]));
    for t in 0..6 {
        clear(&mut x, t, 1);
    }
    let (out, _) = config.apply(&x, &ntu()).unwrap();
    let origin = joint(&x, 1, 0, 1);
    assert_eq!(joint(&out, 0, 0, 7), origin.map(|v| -v));
    assert_eq!(joint(&out, 0, 1, 7), [0.0; 3]);
}

#[test]
fn aimclr_turns_a_body_to_the_front_around_its_own_spine() {
    // One body that turns: shoulders (joints 4 and 8) along (cos a, sin a), 1 m apart, and person 0 away in frame 0.
    let mut x = nobody(4, 2);
    for t in 1..4 {
        let angle = 0.3 * t as f32;
        for (v, side) in [(4, -0.5f32), (8, 0.5), (20, 0.0), (3, 0.0)] {
            let place = [3.0 + side * angle.cos(), 1.0 + v as f32, 2.0 + side * angle.sin()];
            x.joints[t * 150 + v * 3..t * 150 + v * 3 + 3].copy_from_slice(&place);
        }
    }
    let (out, valid) = AimclrConfig { frames: 3 }.apply(&x, &ntu()).unwrap();
    assert_eq!(valid, 3);
    for t in 0..3 {
        // The 1e-4 in the angle leaves about 1 % of the width.
        let (left, right) = (joint(&out, t, 0, 4), joint(&out, t, 0, 8));
        assert!(
            (right[0] - left[0] - 1.0).abs() < 1e-3 && (right[2] - left[2]).abs() < 2e-2,
            "{left:?} {right:?}"
        );
        assert_eq!(
            (joint(&out, t, 0, 20), joint(&out, t, 1, 20)),
            ([0.0; 3], [0.0; 3])
        );
        assert_near(joint(&out, t, 0, 3), [0.0, -17.0, 0.0]);
    }
}

#[test]
fn the_hips_are_found_in_every_layout() {
    for layout in layouts::all() {
        let sequence = Sequence {
            joints: stream("any")
                .take(2 * layout.len() * 3)
                .map(|v| v as f32)
                .collect(),
            frames: 2,
            persons: 1,
            fps: 30.0,
        };
        for config in published(7) {
            let (out, _) = config.apply(&sequence, &layout).unwrap();
            assert_eq!(
                (out.frames, out.joints.len()),
                (7, 7 * layout.len() * 3),
                "{}",
                layout.name
            );
        }
    }
}

#[test]
fn what_cannot_be_prepared_is_refused() {
    let config = AgcnConfig {
        z_axis: Some([0, 25]),
        ..Default::default()
    };
    let error = config.apply(&filled("x", 3), &ntu()).unwrap_err().to_string();
    assert_eq!(
        error,
        "`z_axis` of preprocessor `agcn` names joint 25, layout `ntu25` has joints 0 to 24"
    );
    let mut broken = filled("x", 3);
    broken.joints[80] = f32::NAN;
    for config in published(4) {
        assert!(
            config
                .apply(&broken, &ntu())
                .unwrap_err()
                .to_string()
                .contains("is NaN")
        );
    }
    let error = CtrgcnConfig::default()
        .apply(&nobody(3, 2), &ntu())
        .unwrap_err()
        .to_string();
    assert_eq!(error, "no frame has a tracked body: all joints are zero");
    let mut problems = Problems::new();
    CtrgcnConfig {
        frames: 0,
        crop: 0.0,
        turn: [f32::NAN, 0.0, 0.0],
    }
    .validate(&mut problems);
    assert_eq!(problems.len(), 3);
}

fn published(frames: usize) -> Vec<Box<dyn PreprocessorConfig>> {
    vec![
        Box::new(StgcnConfig { frames }),
        Box::new(AgcnConfig {
            frames,
            ..Default::default()
        }),
        Box::new(CtrgcnConfig {
            frames,
            ..Default::default()
        }),
        Box::new(AimclrConfig { frames }),
    ]
}

proptest! {
    #[test]
    fn any_sequence_gives_t_finite_frames_or_an_error(
        frames in 1usize..9, persons in 1usize..4, wanted in 1usize..12, gone in prop::collection::vec(any::<prop::sample::Index>(), 0..6),
    ) {
        let mut x = nobody(frames, persons);
        x.joints = stream("gone").take(x.joints.len()).map(|v| v as f32).collect();
        for at in gone {
            let row = at.index(frames * persons);
            clear(&mut x, row / persons, row % persons);
        }
        for config in published(wanted) {
            if let Ok((out, valid)) = config.apply(&x, &ntu()) {
                prop_assert_eq!(out.joints.len(), wanted * persons * 75);
                prop_assert!(valid <= wanted && out.joints.iter().all(|v| v.is_finite()));
                prop_assert_eq!((out.frames, out.persons), (wanted, persons));
            }
        }
    }

    #[test]
    fn agcn_does_not_mind_where_the_body_stood(x in -2.0f32..2.0, z in 1.0f32..4.0) {
        let here = filled("body", 4);
        let mut there = here.clone();
        for joint in there.joints.as_chunks_mut::<3>().0 {
            *joint = [joint[0] + x, joint[1], joint[2] + z];
        }
        let config = AgcnConfig { frames: 6, ..Default::default() };
        let (a, b) = (config.apply(&here, &ntu()).unwrap().0, config.apply(&there, &ntu()).unwrap().0);
        prop_assert!(a.joints.iter().zip(&b.joints).all(|(a, b)| (a - b).abs() < 2e-4));
    }
}
