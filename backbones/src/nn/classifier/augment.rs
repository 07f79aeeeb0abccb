//! Random changes of training sequences, for a whole batch at once on its device.

use rand::{Rng, RngExt};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use szar_core::host::to_i64;
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
    /// Smallest share of the frames that a random crop keeps, above 0 and up to 1; the share is drawn uniformly from there
    /// to 1, and what is kept is resized to the length it was cut from. Default 1, no crop; CTR-GCN's is 0.5.
    pub crop: f64,
    /// Largest turn about each of the three axes, one after the other, radians, `0 ..= π`; drawn uniformly to both sides,
    /// one for each axis and sample. Default 0; CTR-GCN's `random_rot` is 0.3.
    pub rotation_3d: f64,
}

impl Default for Augmentation {
    fn default() -> Self {
        Self {
            rotation: 0.3,
            scale: 0.1,
            noise: 0.0,
            joint_drop: 0.0,
            flip: 0.0,
            crop: 1.0,
            rotation_3d: 0.0,
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
        within(
            "crop",
            self.crop,
            self.crop > 0.0 && self.crop <= 1.0,
            "above 0 and at most 1",
        );
        within(
            "rotation_3d",
            self.rotation_3d,
            (0.0..=pi).contains(&self.rotation_3d),
            "between 0 and π",
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
            if self.crop < 1.0 {
                let cuts = self.draw_cuts(&to_i64(&batch.frames)?, draws);
                joints = stretched(&joints, &cuts);
            }
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
            Ok(())
        })
    }

    /// What is kept of samples with so many frames.
    fn draw_cuts(&self, frames: &[i64], draws: &mut impl Rng) -> Vec<Cut> {
        let cut = |frames: &i64| {
            let share = self.crop + (1.0 - self.crop) * draws.random::<f64>();
            let length = ((*frames as f64 * share) as i64).clamp(1, (*frames).max(1));
            let room = (*frames - length + 1) as f64;
            let start = (room * draws.random::<f64>()) as i64;
            Cut {
                start,
                length,
                frames: *frames,
            }
        };
        frames.iter().map(cut).collect()
    }

    /// A 3 x 3 map per sample (mirror, then turn and size, then the turn about all axes), and which samples are mirrored.
    fn draw_maps(&self, count: usize, draws: &mut impl Rng) -> Option<(Vec<f32>, Vec<bool>)> {
        if [self.rotation, self.scale, self.flip, self.rotation_3d] == [0.0; 4] {
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
            let mut map = [[cos * side, 0.0, sin], [0.0, 1.0, 0.0], [-sin * side, 0.0, cos]];
            if self.rotation_3d > 0.0 {
                let angles = [(); 3].map(|()| self.rotation_3d * (2.0 * draws.random::<f64>() - 1.0));
                map = times(&about_axes(angles), &map);
            }
            map.map(|row| row.map(|x| (x * size) as f32)).concat()
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

/// A part of a sample's frames, `start .. start + length` of `frames`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Cut {
    start: i64,
    length: i64,
    frames: i64,
}

impl Cut {
    /// For every one of `count` frames the two between which it is read and the share of the later one: linear, frame
    /// centres onto frame centres. Frames past the sample's own stay.
    fn reads(self, count: i64) -> impl Iterator<Item = (i64, i64, f32)> {
        let last = self.length - 1;
        (0..count).map(move |i| {
            if i >= self.frames {
                return (i, i, 0.0);
            }
            let at = (i as f64 + 0.5) * self.length as f64 / self.frames as f64 - 0.5;
            let at = at.clamp(0.0, last as f64);
            let before = at.floor();
            let (from, to) = (before as i64, (before as i64 + 1).min(last));
            (self.start + from, self.start + to, (at - before) as f32)
        })
    }
}

/// `joints` `[B, 3, T, V, M]` with each sample's cut over all its frames.
fn stretched(joints: &Tensor, cuts: &[Cut]) -> Tensor {
    let size = joints.size();
    let reads: Vec<_> = cuts.iter().flat_map(|cut| cut.reads(size[2])).collect();
    let each = [size[0], 1, size[2], 1, 1];
    let frames = |frames: Vec<i64>| {
        let index = Tensor::from_slice(&frames).to_device(joints.device()).view(each);
        joints.gather(2, &index.expand(size.as_slice(), false), false)
    };
    let shares: Vec<f32> = reads.iter().map(|read| read.2).collect();
    let shares = Tensor::from_slice(&shares).to_device(joints.device()).view(each);
    let from = frames(reads.iter().map(|read| read.0).collect());
    let to = frames(reads.iter().map(|read| read.1).collect());
    from.lerp_tensor(&to, &shares)
}

type Map = [[f64; 3]; 3];

/// `Rz Ry Rx` of the angles about x, y and z.
fn about_axes([x, y, z]: [f64; 3]) -> Map {
    let ((sx, cx), (sy, cy), (sz, cz)) = (x.sin_cos(), y.sin_cos(), z.sin_cos());
    let about_x = [[1.0, 0.0, 0.0], [0.0, cx, -sx], [0.0, sx, cx]];
    let about_y = [[cy, 0.0, sy], [0.0, 1.0, 0.0], [-sy, 0.0, cy]];
    let about_z = [[cz, -sz, 0.0], [sz, cz, 0.0], [0.0, 0.0, 1.0]];
    times(&about_z, &times(&about_y, &about_x))
}

fn times(a: &Map, b: &Map) -> Map {
    let entry = |i: usize, j: usize| (0..3).map(|k| a[i][k] * b[k][j]).sum::<f64>();
    [0, 1, 2].map(|i| [0, 1, 2].map(|j| entry(i, j)))
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
        crop: 1.0,
        rotation_3d: 0.0,
    };

    #[test]
    fn a_crop_is_read_between_its_frames() {
        let joints = Tensor::from_slice(&[0.0f32, 10.0, 20.0, 30.0, 7.0, 7.0]).view([1, 1, 6, 1, 1]);
        let joints = joints.expand([1, 3, 6, 1, 1], false);
        let cut = Cut {
            start: 1,
            length: 2,
            frames: 4,
        };
        // Centres at (i + 1/2) 2/4 - 1/2 = -1/4, 1/4, 3/4, 5/4 of two frames, the outer ones held; padding stays.
        let got = to_f64(&stretched(&joints, &[cut]).select(1, 2));
        assert_eq!(got, [10.0, 12.5, 17.5, 20.0, 7.0, 7.0]);
    }

    #[test]
    fn crops_keep_a_drawn_share_within_the_sample() {
        let crop = Augmentation { crop: 0.5, ..NONE };
        let cuts = crop.draw_cuts(&[40; 400], &mut Seed(3).rng());
        let lengths: Vec<i64> = cuts.iter().map(|cut| cut.length).collect();
        assert_eq!(lengths.iter().min(), Some(&20));
        assert!(lengths.iter().max() >= Some(&39));
        assert!(
            cuts.iter()
                .all(|cut| cut.start >= 0 && cut.start + cut.length <= 40)
        );
        assert!(cuts.iter().any(|cut| cut.start > 15));
        // One frame cannot be cut.
        let whole = Cut {
            start: 0,
            length: 1,
            frames: 1,
        };
        assert_eq!(crop.draw_cuts(&[1], &mut Seed(3).rng()), [whole]);
    }

    #[test]
    fn a_turn_about_all_axes_keeps_lengths_and_moves_every_axis() {
        let (before, mut after) = (batch(), batch());
        Augmentation {
            rotation_3d: 0.3,
            ..NONE
        }
        .apply(&mut after, &mut Seed(1).rng())
        .unwrap();
        let length = |b: &SkeletonBatch| {
            b.joints
                .square()
                .sum_dim_intlist([1i64].as_slice(), false, Kind::Float)
        };
        assert!(length(&after).allclose(&length(&before), 1e-4, 1e-3, false));
        for axis in 0..3 {
            let (a, b) = (after.joints.select(1, axis), before.joints.select(1, axis));
            assert!(!a.allclose(&b, 1e-2, 1e-2, false), "axis {axis}");
        }
        // x to z about y, then z stays about z: (1, 0, 0) -> (0, 0, -1).
        let quarter = std::f64::consts::FRAC_PI_2;
        let map = about_axes([0.0, quarter, quarter]);
        assert!((map[2][0] + 1.0).abs() < 1e-12 && (map[0][1] + 1.0).abs() < 1e-12);
    }

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
            crop: 0.5,
            rotation_3d: 0.3,
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
            crop: 0.0,
            rotation_3d: 4.0,
        }
        .validate(&mut problems);
        assert_eq!(problems.len(), 7);
    }
}
