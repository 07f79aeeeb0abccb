//! What both augmentations promise, and what each changes.

use std::sync::Arc;

use szar_core::host::to_f64;
use szar_core::testing::normal;
use szar_core::{AugmentationConfig, Problems, SampleRef, Seed, SkeletonBatch, testing};
use tch::{Kind, Tensor, kind::FLOAT_CPU};

use super::*;

const FRAMES: i64 = 16;

/// Samples of a chain of 5 joints: two persons, the second in the middle frames only; the last frames are padding.
fn batch(samples: i64) -> SkeletonBatch {
    let size = [samples, 3, FRAMES, 5, 3];
    let mut joints = (normal("joints", &size) * 0.1).cumsum(2, Kind::Float) + 1.0;
    let _ = joints.narrow(2, FRAMES - 3, 3).zero_();
    let second = joints.select(4, 1);
    let _ = (second.narrow(2, 0, 4).zero_(), second.narrow(2, 9, 4).zero_());
    let _ = joints.select(4, 2).zero_();
    joints = joints.contiguous();
    SkeletonBatch {
        joints,
        frames: Tensor::full([samples], FRAMES - 3, (Kind::Int64, tch::Device::Cpu)),
        present: [true, true, false].repeat(samples as usize),
        layout: Arc::new(testing::layout(5)),
    }
}

fn views(config: &dyn AugmentationConfig, batch: &SkeletonBatch, first: u64, count: usize) -> SkeletonBatch {
    let samples = SampleRef::run(first, batch.len());
    let mut augmentation = config.build(&batch.layout).unwrap();
    augmentation.views(batch, &samples, count, Seed(5)).unwrap()
}

fn both() -> [Box<dyn AugmentationConfig>; 2] {
    [
        Box::new(SkeletonAugmentConfig::default()),
        Box::new(NoiseDenoiseConfig::default()),
    ]
}

/// `[.., T, .., M]`, whom the joints show in which frame.
fn shown(joints: &Tensor) -> Tensor {
    joints.abs().amax([1i64, 3].as_slice(), false).gt(0.0)
}

#[test]
fn the_views_of_a_sample_do_not_depend_on_its_batch() {
    let bodies = batch(4);
    for config in both() {
        let whole = views(config.as_ref(), &bodies, 0, 3).joints;
        let single = (0..4).map(|i| views(config.as_ref(), &bodies.select(&[i]), i as u64, 3).joints);
        let single = Tensor::cat(&single.collect::<Vec<_>>(), 0);
        assert!(whole.allclose(&single, 0.0, 1e-6, false), "{config:?}");
        let other = views(config.as_ref(), &bodies, 100, 3).joints;
        assert!(!whole.allclose(&other, 1e-4, 1e-4, false), "{config:?}");
    }
}

#[test]
fn fewer_views_are_the_first_of_more() {
    let bodies = batch(2);
    for config in both() {
        let size = [2, -1, 3, FRAMES, 5, 3];
        let three = views(config.as_ref(), &bodies, 0, 3).joints.reshape(size);
        let two = views(config.as_ref(), &bodies, 0, 2).joints.reshape(size);
        assert!(
            three.narrow(1, 0, 2).allclose(&two, 0.0, 1e-6, false),
            "{config:?}"
        );
    }
}

#[test]
fn absent_persons_and_padding_stay_at_zero() {
    let bodies = batch(2);
    for config in both() {
        let views = views(config.as_ref(), &bodies, 0, 4);
        assert_eq!(views.joints.size(), [8, 3, FRAMES, 5, 3]);
        assert_eq!(views.present, [true, true, false].repeat(8));
        let seen = shown(&views.joints); // [8, T, M]
        assert!(
            !bool::try_from(seen.narrow(1, FRAMES - 3, 3).any()).unwrap(),
            "{config:?}"
        );
        assert!(!bool::try_from(seen.select(2, 2).any()).unwrap(), "{config:?}");
        assert!(
            bool::try_from(seen.select(2, 0).narrow(1, 0, FRAMES - 3).all()).unwrap(),
            "{config:?}"
        );
        assert!(bool::try_from(seen.select(2, 1).any()).unwrap(), "{config:?}");
    }
}

#[test]
fn a_person_who_comes_and_goes_is_never_half_there() {
    let bodies = batch(3);
    let resampled = SkeletonAugmentConfig {
        jitter: 0.0,
        rotation: 0.0,
        ..Default::default()
    };
    let views = views(&resampled, &bodies, 0, 8).joints.select(4, 1);
    let there = views.abs().amax([1i64, 3].as_slice(), false).gt(0.0); // [24, T]
    let real = bodies.joints.select(4, 1).narrow(2, 4, 5);
    let (low, high) = (to_f64(&real.min())[0], to_f64(&real.max())[0]);
    let within = views
        .ge(low)
        .logical_and(&views.le(high))
        .all_dim(1, false)
        .all_dim(2, false);
    assert!(bool::try_from(within.logical_or(&there.logical_not()).all()).unwrap());
}

#[test]
fn without_any_change_the_sample_stays() {
    let bodies = batch(2);
    let still = SkeletonAugmentConfig {
        crop: 1.0,
        rotation: 0.0,
        jitter: 0.0,
    };
    let quiet = NoiseDenoiseConfig {
        noise: 0.0,
        window: 1,
        order: 0,
        bones: true,
    };
    let same = |config: &dyn AugmentationConfig, tolerance: f64| {
        let views = views(config, &bodies, 0, 1).joints;
        assert!(
            views.allclose(&bodies.joints, 0.0, tolerance, false),
            "{config:?}"
        );
    };
    same(&still, 0.0);
    same(&quiet, 1e-5);
}

#[test]
fn a_turn_keeps_height_and_distance_from_the_axis() {
    let bodies = batch(2);
    let turned = SkeletonAugmentConfig {
        crop: 1.0,
        rotation: 1.0,
        jitter: 0.0,
    };
    let after = views(&turned, &bodies, 0, 1).joints;
    let axis = |j: &Tensor| j.select(1, 0).square() + j.select(1, 2).square();
    assert!(axis(&after).allclose(&axis(&bodies.joints), 1e-4, 1e-4, false));
    assert!(
        after
            .select(1, 1)
            .allclose(&bodies.joints.select(1, 1), 1e-6, 1e-6, false)
    );
    assert!(!after.allclose(&bodies.joints, 1e-2, 1e-2, false));
}

#[test]
fn a_crop_shows_a_stretch_of_the_time_in_order() {
    let mut bodies = batch(1);
    let time = Tensor::arange(FRAMES, FLOAT_CPU) + 1.0;
    bodies.joints = time.view([1, 1, FRAMES, 1, 1]) * Tensor::ones([1, 3, 1, 5, 3], FLOAT_CPU);
    let crop = SkeletonAugmentConfig {
        crop: 0.5,
        rotation: 0.0,
        jitter: 0.0,
    };
    let after = views(&crop, &bodies, 0, 20).joints;
    let steps: Vec<Vec<f64>> = (0..20)
        .map(|i| to_f64(&after.get(i).get(0).select(1, 0).select(1, 0)))
        .collect();
    for view in &steps {
        let frames = &view[..FRAMES as usize - 3];
        let covered = (frames[frames.len() - 1] - frames[0]) / 12.0;
        assert!((0.499..=1.001).contains(&covered), "{covered}");
        let first = frames[1] - frames[0];
        assert!(frames.windows(2).all(|w| (w[1] - w[0] - first).abs() < 1e-4));
        assert!(frames[0] >= 1.0 && frames[frames.len() - 1] <= 13.001);
        assert_eq!(view[FRAMES as usize - 3..], [0.0; 3]);
    }
}

#[test]
fn denoised_bones_keep_their_lengths_and_the_motion_changes() {
    let bodies = batch(2);
    let after = views(&NoiseDenoiseConfig::default(), &bodies, 0, 3)
        .joints
        .reshape([2, 3, 3, FRAMES, 5, 3]);
    for (child, parent) in &bodies.layout.bones {
        let bone = |j: &Tensor| {
            let dim = j.dim() as i64;
            let bone = j.select(dim - 2, *child as i64) - j.select(dim - 2, *parent as i64);
            bone.norm_scalaropt_dim(2, [dim - 4].as_slice(), true)
        };
        let want = bone(&bodies.joints)
            .unsqueeze(1)
            .expand([2, 3, 1, FRAMES, 3], false);
        assert!(bone(&after).allclose(&want, 1e-4, 1e-5, false));
    }
    let moved = (after - bodies.joints.unsqueeze(1))
        .abs()
        .amax([2i64, 3, 4].as_slice(), false);
    assert!(bool::try_from(moved.select(2, 0).gt(0.01).all()).unwrap());
}

#[test]
fn smoothing_takes_most_of_the_noise_out() {
    let bodies = batch(2);
    let mut line = batch(2);
    let time = Tensor::arange(FRAMES, FLOAT_CPU) * 0.1 + 1.0;
    let there = bodies.joints.abs().gt(0.0).to_kind(Kind::Float);
    line.joints = time.view([1, 1, FRAMES, 1, 1]) * there;
    let left = |window: usize| {
        let config = NoiseDenoiseConfig {
            noise: 0.1,
            window,
            order: 1.min(window - 1),
            bones: false,
        };
        let views = views(&config, &line, 0, 8).joints;
        let error = views - line.joints.repeat_interleave_self_int(8, 0, None);
        to_f64(
            &error
                .select(4, 0)
                .narrow(2, 0, FRAMES - 3)
                .square()
                .mean(Kind::Float),
        )[0]
        .sqrt()
    };
    assert!((left(1) - 0.1).abs() < 0.01);
    assert!(left(9) < 0.05);
}

#[test]
fn options_out_of_range_are_all_reported() {
    let count = |config: &dyn AugmentationConfig| {
        let mut problems = Problems::new();
        config.validate(&mut problems);
        problems.len()
    };
    assert_eq!(
        count(&SkeletonAugmentConfig {
            crop: 0.0,
            rotation: 4.0,
            jitter: f64::NAN
        }),
        3
    );
    assert_eq!(
        count(&NoiseDenoiseConfig {
            noise: -1.0,
            window: 4,
            order: 9,
            bones: true
        }),
        3
    );
    assert_eq!(
        count(&SkeletonAugmentConfig::default()) + count(&NoiseDenoiseConfig::default()),
        0
    );
}

#[test]
fn a_batch_of_other_joints_is_refused_by_name() {
    let bodies = batch(1);
    for config in both() {
        let mut augmentation = config.build(&Arc::new(testing::layout(7))).unwrap();
        let error = augmentation
            .views(&bodies, &SampleRef::run(0, 1), 2, Seed(0))
            .unwrap_err();
        assert!(error.to_string().starts_with("`joints` has shape"), "{error}");
    }
}
