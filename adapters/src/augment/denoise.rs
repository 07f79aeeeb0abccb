//! `noise-denoise`: another motion that the same body could have made.
//!
//! DiffTPT (Feng et al., ICCV 2023) takes views from a diffusion model of images, which adds noise and takes it out
//! again by what it knows of images. No such model of skeletons is published. This augmentation, which is ours, adds noise to
//! the joints and takes it out by what is known of bodies without any learning: motion is smooth, and bones keep their
//! length. What is left of the noise is a slow change of the motion.
//!
//! | symbol | here             | shape                     | meaning                                        |
//! |--------|------------------|---------------------------|------------------------------------------------|
//! | `x`    | `bodies.joints`  | `[B, 3, T, V, M]`         | the sample                                     |
//! | `S`    | `smooth`         | `[B·M, T, T]`             | local polynomials, see [`super::smoothing`]    |
//! | `y`    | `S (x + σ ε)`    | `[B·count, 3, T, V, M]`   | smoothed noisy motion                          |
//! | `ℓ`    | `lengths`        | `[B·count, 1, T, b, M]`   | lengths of bones in `x`, frame by frame        |
//!
//! From the centre outwards every joint then moves to `parent + ℓ · direction`, with the direction of its bone in `y`.

use std::sync::Arc;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use szar_core::{
    Augmentation, AugmentationConfig, ComponentInfo, ComponentKind, Problems, Result, SampleRef, Seed,
    SkeletonBatch, SkeletonLayout, host,
};
use tch::{Kind, Tensor};

use super::body::{Bodies, draws, levels, normals, views_of};
use super::smoothing::Smoother;

/// Bones shorter than this (metres) have no direction.
const POINT: f64 = 1e-6;

/// Longest window, frames.
const LONGEST: usize = 301;

/// Highest degree of the polynomials.
const DEGREE: usize = 5;

/// Options of the `noise-denoise` augmentation.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct NoiseDenoiseConfig {
    /// Deviation of the noise on every coordinate of every frame, metres, `0 ..= 1`. Default: 0.05 (ours).
    pub noise: f64,
    /// Length of the smoothing window, frames, odd, 1 (no smoothing) to 301. Default: 9 (ours).
    pub window: usize,
    /// Degree of the polynomials that smooth, below `window`, at most 5. Default: 2 (ours).
    pub order: usize,
    /// Bring every bone to the length it has in the sample. Default: true (ours).
    pub bones: bool,
}

impl Default for NoiseDenoiseConfig {
    fn default() -> Self {
        Self {
            noise: 0.05,
            window: 9,
            order: 2,
            bones: true,
        }
    }
}

inventory::submit! {
    ComponentInfo::new::<NoiseDenoiseConfig>(
        ComponentKind::Augmentation,
        "noise-denoise",
        "Noise on the joints, taken out again by smoothing over time and the lengths of the bones.",
        "",
    )
}

#[typetag::serde(name = "noise-denoise")]
impl AugmentationConfig for NoiseDenoiseConfig {
    fn validate(&self, problems: &mut Problems) {
        let Self {
            noise, window, order, ..
        } = *self;
        problems.check((0.0..=1.0).contains(&noise), "noise", || {
            format!("must be between 0 and 1, got {noise}")
        });
        problems.check(window % 2 == 1 && window <= LONGEST, "window", || {
            format!("must be odd and at most {LONGEST}, got {window}")
        });
        problems.check(order < window.max(1) && order <= DEGREE, "order", || {
            format!("must be below `window` ({window}) and at most {DEGREE}, got {order}")
        });
    }

    fn build(&self, layout: &Arc<SkeletonLayout>) -> Result<Box<dyn Augmentation>> {
        layout.validate()?;
        Ok(Box::new(NoiseDenoise {
            config: *self,
            joints: layout.len(),
            levels: levels(layout),
            smoother: Smoother::new(self.window, self.order),
        }))
    }
}

struct NoiseDenoise {
    config: NoiseDenoiseConfig,
    joints: usize,
    levels: Vec<(Vec<i64>, Vec<i64>)>,
    smoother: Smoother,
}

impl NoiseDenoise {
    /// `[B·M, T, T]`.
    fn smooth(&mut self, bodies: &Bodies) -> Tensor {
        let (b, t, _, m) = bodies.dims();
        let there = host::HostF32::new(&bodies.there.permute([0, 4, 2, 1, 3]));
        let rows = there.as_slice().chunks(t as usize);
        let matrices: Vec<f32> = rows
            .flat_map(|row| {
                let there: Vec<bool> = row.iter().map(|x| *x > 0.0).collect();
                self.smoother.matrix(&there)
            })
            .collect();
        let device = bodies.joints.device();
        Tensor::from_slice(&matrices)
            .to_device(device)
            .view([b * m, t, t])
    }

    /// `[B·count, 3, T, V, M]`: `motion` with the bones' lengths of `bodies`, which are its samples.
    fn lengthened(&self, motion: &Tensor, bodies: &Bodies, count: i64) -> Tensor {
        let mut out = motion.copy();
        for (children, parents) in &self.levels {
            let index = |joints: &[i64]| Tensor::from_slice(joints).to_device(motion.device());
            let (children, parents) = (index(children), index(parents));
            let bones =
                |joints: &Tensor| joints.index_select(3, &children) - joints.index_select(3, &parents);
            let length = |bones: &Tensor| bones.norm_scalaropt_dim(2, [1i64].as_slice(), true);
            let before = bones(&bodies.joints).repeat_interleave_self_int(count, 0, None);
            let now = bones(motion);
            let now = now.where_self(&length(&now).gt(POINT), &before);
            let scaled = &now * (length(&before) / length(&now).clamp_min(POINT));
            let moved = out.index_select(3, &parents) + scaled;
            let _ = out.index_copy_(3, &children, &moved);
        }
        out
    }
}

impl Augmentation for NoiseDenoise {
    fn views(
        &mut self,
        skeletons: &SkeletonBatch,
        samples: &[SampleRef],
        count: usize,
        seed: Seed,
    ) -> Result<SkeletonBatch> {
        let bodies = Bodies::of(skeletons, samples, self.joints)?;
        let ((b, t, v, m), views) = (bodies.dims(), count as i64);
        let size = [b * views, 3, t, v, m];
        let device = bodies.joints.device();
        if size.contains(&0) {
            let empty = Tensor::zeros(size, (Kind::Float, device));
            return Ok(views_of(skeletons, empty, count));
        }
        let mut noise = Vec::with_capacity(size.iter().product::<i64>() as usize);
        for mut draws in draws(seed, "noise-denoise", samples, count) {
            normals(
                &mut noise,
                (3 * t * v * m) as usize,
                self.config.noise,
                &mut draws,
            );
        }
        let noise = Tensor::from_slice(&noise)
            .to_device(device)
            .view([b, views, 3, t, v, m]);
        let noisy = noise + bodies.joints.unsqueeze(1);
        let rows = noisy.permute([0, 5, 3, 1, 2, 4]).reshape([b * m, t, -1]);
        let smoothed = self.smooth(&bodies).bmm(&rows);
        let motion = smoothed
            .view([b, m, t, views, 3, v])
            .permute([0, 3, 4, 2, 5, 1])
            .reshape(size);
        let motion = if self.config.bones {
            self.lengthened(&motion, &bodies, views)
        } else {
            motion
        };
        let there = bodies.there.repeat_interleave_self_int(views, 0, None);
        Ok(views_of(skeletons, motion * there, count))
    }
}
