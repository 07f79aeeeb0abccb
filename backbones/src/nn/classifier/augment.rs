//! Random changes of training sequences, for a whole batch at once on its device.

use rand::{Rng, RngExt};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use szar_core::{Problems, Result, SkeletonBatch, SkeletonLayout, shape};
use tch::{Kind, Tensor, no_grad};

/// Random changes of training sequences, drawn anew for every sample and epoch.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct Augmentation {
    /// Largest turn about the vertical axis, radians, `0 ..= π`; drawn uniformly to both sides. Default 0.3, ours.
    pub rotation: f64,
    /// Largest relative change of size, `0 ..< 1`; drawn uniformly to both sides. Default 0.1, ours.
    pub scale: f64,
    /// Standard deviation of noise on every coordinate of every frame, metres, `0 ..`. Default 0.
    pub noise: f64,
    /// Probability that a joint is missing (zero) in the whole sequence, `0 ..< 1`. Default 0.
    pub joint_drop: f64,
    /// Probability of a left-right mirror image, `0 ..= 1`; needs the layout's mirror pairs. Default 0, because some
    /// classes differ by side alone.
    pub flip: f64,
}

impl Default for Augmentation {
    fn default() -> Self {
        Self {
            rotation: 0.3,
            scale: 0.1,
            noise: 0.0,
            joint_drop: 0.0,
            flip: 0.0,
        }
    }
}

impl Augmentation {
    /// Judges the options alone.
    pub fn validate(&self, problems: &mut Problems) {
        let mut within = |field: &str, value: f64, ok: bool, range: &str| {
            problems.check(ok, field, || format!("must be {range}, got {value}"));
        };
        let pi = std::f64::consts::PI;
        within(
            "rotation",
            self.rotation,
            (0.0..=pi).contains(&self.rotation),
            "between 0 and π",
        );
        within(
            "scale",
            self.scale,
            (0.0..1.0).contains(&self.scale),
            "at least 0 and below 1",
        );
        within(
            "noise",
            self.noise,
            self.noise >= 0.0 && self.noise.is_finite(),
            "at least 0",
        );
        within(
            "joint_drop",
            self.joint_drop,
            (0.0..1.0).contains(&self.joint_drop),
            "at least 0 and below 1",
        );
        within(
            "flip",
            self.flip,
            (0.0..=1.0).contains(&self.flip),
            "between 0 and 1",
        );
    }

    /// Changes a batch. What is not there (joints and persons at zero) stays at zero.
    ///
    /// # Errors
    /// When the joints are not `[B, 3, T, V, M]` of the batch's layout.
    pub fn apply(&self, batch: &mut SkeletonBatch, draws: &mut impl Rng) -> Result<()> {
        let v = batch.layout.len() as i64;
        shape::expect("joints", &batch.joints, [None, Some(3), None, Some(v), None])?;
        no_grad(|| {
            let mut joints = batch.joints.to_kind(Kind::Float);
            let maps = self.draw_maps(batch.len(), draws);
            if let Some((maps, flipped)) = &maps {
                if flipped.iter().any(|f| *f) {
                    joints = mirror(&joints, flipped, &batch.layout);
                }
                let size = joints.size();
                let maps = Tensor::from_slice(maps)
                    .view([-1, 3, 3])
                    .to_device(joints.device());
                joints = maps.bmm(&joints.reshape([size[0], 3, -1])).view(size.as_slice());
            }
            if self.joint_drop > 0.0 {
                joints = self.drop_joints(&joints, draws);
            }
            if self.noise > 0.0 {
                let there = joints.abs().amax([1i64].as_slice(), true).gt(0.0);
                let noise = joints.randn_like() * self.noise;
                joints = noise * there + &joints;
            }
            batch.joints = joints;
        });
        Ok(())
    }

    /// A 3 x 3 map per sample (mirror, then turn and size), and which samples are mirrored.
    fn draw_maps(&self, count: usize, draws: &mut impl Rng) -> Option<(Vec<f32>, Vec<bool>)> {
        if self.rotation == 0.0 && self.scale == 0.0 && self.flip == 0.0 {
            return None;
        }
        let mut flips = Vec::with_capacity(count);
        let maps = (0..count).flat_map(|_| {
            let mut both_sides = |limit: f64| limit * (2.0 * draws.random::<f64>() - 1.0);
            let (angle, size) = (both_sides(self.rotation), 1.0 + both_sides(self.scale));
            let flip = draws.random::<f64>() < self.flip;
            flips.push(flip);
            let side = if flip { -1.0 } else { 1.0 };
            let (sin, cos) = angle.sin_cos();
            [cos * side, 0.0, sin, 0.0, 1.0, 0.0, -sin * side, 0.0, cos].map(|x| (x * size) as f32)
        });
        let maps = maps.collect();
        Some((maps, flips))
    }

    fn drop_joints(&self, joints: &Tensor, draws: &mut impl Rng) -> Tensor {
        let (b, v) = (joints.size()[0], joints.size()[3]);
        let keep: Vec<f32> = (0..b * v)
            .map(|_| {
                if draws.random::<f64>() < self.joint_drop {
                    0.0
                } else {
                    1.0
                }
            })
            .collect();
        joints
            * Tensor::from_slice(&keep)
                .view([b, 1, 1, v, 1])
                .to_device(joints.device())
    }
}

/// Exchanges left and right joints of the flagged samples (their x is negated by the sample's map).
fn mirror(joints: &Tensor, flipped: &[bool], layout: &SkeletonLayout) -> Tensor {
    let mut order: Vec<i64> = (0..layout.len() as i64).collect();
    for &(left, right) in &layout.mirror {
        order.swap(left, right);
    }
    let device = joints.device();
    let exchanged = joints.index_select(3, &Tensor::from_slice(&order).to_device(device));
    let flagged = Tensor::from_slice(flipped)
        .view([-1, 1, 1, 1, 1])
        .to_device(device);
    exchanged.where_self(&flagged, joints)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::Arc;
    use szar_core::{Seed, host::to_f64, testing};
    use tch::Device;

    fn batch() -> SkeletonBatch {
        let mut layout = testing::layout(4);
        layout.mirror = vec![(1, 2)];
        let joints = Tensor::arange(2 * 3 * 5 * 4, (Kind::Float, Device::Cpu)).view([2, 3, 5, 4, 1]) + 1.0;
        let absent = Tensor::zeros([2, 3, 5, 4, 1], (Kind::Float, Device::Cpu));
        SkeletonBatch {
            joints: Tensor::cat(&[joints, absent], 4),
            frames: Tensor::from_slice(&[5i64, 5]),
            present: vec![true, false, true, false],
            layout: Arc::new(layout),
        }
    }

    const NONE: Augmentation = Augmentation {
        rotation: 0.0,
        scale: 0.0,
        noise: 0.0,
        joint_drop: 0.0,
        flip: 0.0,
    };

    #[test]
    fn a_turn_keeps_height_and_distance_from_the_axis() {
        let (before, mut after) = (batch(), batch());
        Augmentation {
            rotation: 1.0,
            ..NONE
        }
        .apply(&mut after, &mut Seed(1).rng())
        .unwrap();
        let axis = |b: &SkeletonBatch| b.joints.select(1, 0).square() + b.joints.select(1, 2).square();
        assert!(axis(&after).allclose(&axis(&before), 1e-4, 1e-3, false));
        assert!(
            after
                .joints
                .select(1, 1)
                .allclose(&before.joints.select(1, 1), 1e-6, 1e-6, false)
        );
        assert!(!after.joints.allclose(&before.joints, 1e-2, 1e-2, false));
    }

    #[test]
    fn a_mirror_image_exchanges_sides_and_negates_x() {
        let (before, mut after) = (batch(), batch());
        Augmentation { flip: 1.0, ..NONE }
            .apply(&mut after, &mut Seed(1).rng())
            .unwrap();
        let at = |b: &SkeletonBatch, axis, joint| to_f64(&b.joints.select(3, joint).select(1, axis));
        let negated: Vec<f64> = at(&before, 0, 1).iter().map(|x| -x).collect();
        assert_eq!(at(&after, 0, 2), negated);
        assert_eq!(at(&after, 1, 2), at(&before, 1, 1));
        assert_eq!(at(&after, 2, 3), at(&before, 2, 3));
    }

    #[test]
    fn who_is_absent_stays_at_zero_under_everything() {
        let mut after = batch();
        let all = Augmentation {
            rotation: 1.0,
            scale: 0.5,
            noise: 0.1,
            joint_drop: 0.3,
            flip: 0.5,
        };
        tch::manual_seed(1);
        all.apply(&mut after, &mut Seed(2).rng()).unwrap();
        assert_eq!(to_f64(&after.joints.select(4, 1).abs().max()), [0.0]);
        assert!(to_f64(&after.joints.select(4, 0).abs().max())[0] > 1.0);
    }

    #[test]
    fn options_out_of_range_are_all_reported() {
        let mut problems = Problems::new();
        Augmentation {
            rotation: 4.0,
            scale: 1.0,
            noise: f64::NAN,
            joint_drop: -0.1,
            flip: 1.1,
        }
        .validate(&mut problems);
        assert_eq!(problems.len(), 5);
    }
}
