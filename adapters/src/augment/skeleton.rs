//! `skeleton-augment`: a part of the time, seen from a little aside, by a less precise camera.
//!
//! Neither of the papers that report TPT on skeletons says how its views were made; these three changes are ours: a
//! random stretch of the sequence resampled to its length, a turn about the vertical axis, noise on every joint.
//!
//! | symbol | here       | unit    | meaning                                               |
//! |--------|------------|---------|-------------------------------------------------------|
//! | `p`    | `crop`     | share   | `p ~ U(crop, 1)` of the time is kept, from anywhere   |
//! | `φ`    | `rotation` | radians | turn by `φ ~ U(-rotation, rotation)` about +y         |
//! | `σ`    | `jitter`   | metres  | deviation of the noise on each coordinate of a frame  |

use std::sync::Arc;

use rand::RngExt;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use szar_core::{
    Augmentation, AugmentationConfig, ComponentInfo, ComponentKind, Problems, Result, SampleRef, Seed,
    SkeletonBatch, SkeletonLayout,
};
use tch::{Kind, Tensor};

use super::body::{Bodies, draws, normals, views_of};

/// Options of the `skeleton-augment` augmentation.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct SkeletonAugmentConfig {
    /// Smallest share of the time that a view keeps, above 0, at most 1 (all of it). Default: 0.5 (ours).
    pub crop: f64,
    /// Largest turn about the vertical axis, radians, `0 ..= π`. Default: 0.3 (ours).
    pub rotation: f64,
    /// Deviation of the noise on every coordinate of every frame, metres, `0 ..= 1`. Default: 0.01 (ours).
    pub jitter: f64,
}

impl Default for SkeletonAugmentConfig {
    fn default() -> Self {
        Self {
            crop: 0.5,
            rotation: 0.3,
            jitter: 0.01,
        }
    }
}

inventory::submit! {
    ComponentInfo::new::<SkeletonAugmentConfig>(
        ComponentKind::Augmentation,
        "skeleton-augment",
        "Random stretch of time, turn about the vertical axis and noise on the joints.",
        "",
    )
}

#[typetag::serde(name = "skeleton-augment")]
impl AugmentationConfig for SkeletonAugmentConfig {
    fn validate(&self, problems: &mut Problems) {
        let (
            pi,
            Self {
                crop,
                rotation,
                jitter,
            },
        ) = (std::f64::consts::PI, *self);
        problems.check(crop > 0.0 && crop <= 1.0, "crop", || {
            format!("must be above 0 and at most 1, got {crop}")
        });
        problems.check((0.0..=pi).contains(&rotation), "rotation", || {
            format!("must be between 0 and π, got {rotation}")
        });
        problems.check((0.0..=1.0).contains(&jitter), "jitter", || {
            format!("must be between 0 and 1, got {jitter}")
        });
    }

    fn build(&self, layout: &Arc<SkeletonLayout>) -> Result<Box<dyn Augmentation>> {
        Ok(Box::new(SkeletonAugment {
            config: *self,
            joints: layout.len(),
        }))
    }
}

struct SkeletonAugment {
    config: SkeletonAugmentConfig,
    joints: usize,
}

/// What was drawn for all views, on the host.
#[derive(Default)]
struct Drawn {
    /// `[n·T]`, the frame (of all samples' frames) before and after each view's frame.
    before: Vec<i64>,
    after: Vec<i64>,
    /// `[n·T]`, how far it is on the way from one to the other.
    share: Vec<f32>,
    /// `[n, 3, 3]`.
    turns: Vec<f32>,
    /// `[n, 3, T, V, M]`; empty without jitter.
    noise: Vec<f32>,
}

impl SkeletonAugment {
    fn draw(&self, bodies: &Bodies, samples: &[SampleRef], count: usize, seed: Seed) -> Drawn {
        let (_, most, v, m) = bodies.dims();
        let mut drawn = Drawn::default();
        let values = (3 * most * v * m) as usize;
        for (row, mut draws) in draws(seed, "skeleton-augment", samples, count).enumerate() {
            let sample = row / count;
            let (kept, at): (f64, f64) = (draws.random(), draws.random());
            let side: f64 = draws.random();
            let stretch = self.config.crop + (1.0 - self.config.crop) * kept;
            drawn.stretch(
                sample * most as usize,
                most as usize,
                bodies.frames[sample],
                stretch,
                at,
            );
            let (sin, cos) = (self.config.rotation * (2.0 * side - 1.0)).sin_cos();
            let turn = [cos, 0.0, sin, 0.0, 1.0, 0.0, -sin, 0.0, cos];
            drawn.turns.extend(turn.map(|x| x as f32));
            if self.config.jitter > 0.0 {
                normals(&mut drawn.noise, values, self.config.jitter, &mut draws);
            }
        }
        drawn
    }
}

impl Drawn {
    /// One view's frames: `share` of the time between the first and the last of `frames`, beginning at `at` (0 to 1) of
    /// what is left, spread over as many frames. Padding stays where it is.
    fn stretch(&mut self, first: usize, most: usize, frames: usize, share: f64, at: f64) {
        let last = frames.saturating_sub(1) as f64;
        let (span, steps) = (last * share, last.max(1.0));
        let start = at * (last - span);
        for frame in 0..most {
            let time = if frame < frames {
                start + span * frame as f64 / steps
            } else {
                frame as f64
            };
            let before = (time.floor() as usize).min(most - 1);
            self.before.push((first + before) as i64);
            self.after.push((first + (before + 1).min(most - 1)) as i64);
            self.share.push((time - before as f64) as f32);
        }
    }
}

/// `[n, 3, T, V, M]` joints and `[n, 1, T, 1, M]` whom they show, at the drawn times. A frame between one with a person
/// and one without takes the nearer of them.
fn resampled(bodies: &Bodies, drawn: &Drawn) -> (Tensor, Tensor) {
    let (_, t, v, m) = bodies.dims();
    let device = bodies.joints.device();
    let frames = bodies.joints.permute([0, 2, 1, 3, 4]).reshape([-1, 3 * v, m]);
    let shown = bodies.there.permute([0, 2, 1, 3, 4]).reshape([-1, 1, m]);
    let index = |rows: &[i64]| Tensor::from_slice(rows).to_device(device);
    let (before, after) = (index(&drawn.before), index(&drawn.after));
    let share = Tensor::from_slice(&drawn.share)
        .to_device(device)
        .view([-1, 1, 1]);
    let (from, to) = (shown.index_select(0, &before), shown.index_select(0, &after));
    let nearer = share.ge(0.5).to_kind(Kind::Float);
    let share = share.where_self(&(&from * &to).gt(0.0), &nearer);
    let mix = |a: Tensor, b: Tensor| &a + (b - &a) * &share;
    let joints = mix(frames.index_select(0, &before), frames.index_select(0, &after));
    let there = mix(from, to);
    (
        joints.reshape([-1, t, 3, v, m]).permute([0, 2, 1, 3, 4]),
        there.reshape([-1, t, 1, 1, m]).permute([0, 2, 1, 3, 4]),
    )
}

impl Augmentation for SkeletonAugment {
    fn views(
        &mut self,
        skeletons: &SkeletonBatch,
        samples: &[SampleRef],
        count: usize,
        seed: Seed,
    ) -> Result<SkeletonBatch> {
        let bodies = Bodies::of(skeletons, samples, self.joints)?;
        let (b, t, v, m) = bodies.dims();
        let size = [b * count as i64, 3, t, v, m];
        if size.contains(&0) {
            let empty = Tensor::zeros(size, (Kind::Float, bodies.joints.device()));
            return Ok(views_of(skeletons, empty, count));
        }
        let device = bodies.joints.device();
        let drawn = self.draw(&bodies, samples, count, seed);
        let (mut joints, there) = resampled(&bodies, &drawn);
        if self.config.rotation > 0.0 {
            let turns = Tensor::from_slice(&drawn.turns)
                .to_device(device)
                .view([-1, 3, 3]);
            joints = turns.bmm(&joints.reshape([size[0], 3, -1])).view(size);
        }
        if !drawn.noise.is_empty() {
            joints += Tensor::from_slice(&drawn.noise).to_device(device).view(size);
        }
        Ok(views_of(skeletons, joints * there, count))
    }
}
