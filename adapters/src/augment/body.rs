//! What augmentations share: whom a batch shows, what views are drawn from, the tree of bones.

use rand_distr::{Distribution, StandardNormal};
use szar_core::{Result, SampleRef, Seed, SkeletonBatch, SkeletonLayout, shape};
use tch::{Kind, Tensor};

/// Skeletons on their way to becoming views.
pub(super) struct Bodies {
    /// `[B, 3, T, V, M]` f32.
    pub joints: Tensor,
    /// `[B, 1, T, 1, M]` f32: 1 where a person is in a frame, 0 in padding and where the person is not.
    pub there: Tensor,
    /// Frames with data of each sample, `0 ..= T`.
    pub frames: Vec<usize>,
}

impl Bodies {
    /// # Errors
    /// [`szar_core::Error::Shape`] when joints, frames and samples do not go together.
    pub fn of(batch: &SkeletonBatch, samples: &[SampleRef], joints: usize) -> Result<Self> {
        let count = Some(samples.len() as i64);
        shape::expect(
            "joints",
            &batch.joints,
            [count, Some(3), None, Some(joints as i64), None],
        )?;
        shape::expect("frames", &batch.frames, [count])?;
        let values = batch.joints.to_kind(Kind::Float);
        let most = values.size()[2];
        let frames = szar_core::host::to_i64(&batch.frames)?;
        let frames: Vec<usize> = frames.iter().map(|f| (*f).clamp(0, most) as usize).collect();
        let filled: Vec<f32> = frames
            .iter()
            .flat_map(|f| (0..most as usize).map(move |t| f32::from(u8::from(t < *f))))
            .collect();
        let filled = Tensor::from_slice(&filled).to_device(values.device());
        let shown = values
            .abs()
            .amax([1i64, 3].as_slice(), true)
            .gt(0.0)
            .to_kind(Kind::Float);
        let there = shown * filled.view([-1, 1, most, 1, 1]);
        Ok(Self {
            joints: values,
            there,
            frames,
        })
    }

    /// `(B, T, V, M)`.
    pub fn dims(&self) -> (i64, i64, i64, i64) {
        let s = self.joints.size();
        (s[0], s[2], s[3], s[4])
    }
}

/// `batch` with other joints, `count` views `[B·count, 3, T, V, M]` of each of its samples.
pub(super) fn views_of(batch: &SkeletonBatch, joints: Tensor, count: usize) -> SkeletonBatch {
    let persons = batch.present.len() / batch.len().max(1);
    let present = batch.present.chunks(persons.max(1));
    SkeletonBatch {
        joints,
        frames: batch.frames.repeat_interleave_self_int(count as i64, 0, None),
        present: present.flat_map(|row| row.repeat(count)).collect(),
        layout: std::sync::Arc::clone(&batch.layout),
    }
}

/// One generator for every view of every sample, in the order of the views.
pub(super) fn draws(
    seed: Seed,
    purpose: &str,
    samples: &[SampleRef],
    count: usize,
) -> impl Iterator<Item = impl rand::Rng> {
    let of = move |sample: &SampleRef| {
        let own = seed.derive(purpose, sample.position);
        (0..count).map(move |view| own.derive("view", view as u64).rng())
    };
    samples.iter().flat_map(of)
}

/// Adds `count` normal draws of this deviation.
pub(super) fn normals(into: &mut Vec<f32>, count: usize, deviation: f64, draws: &mut impl rand::Rng) {
    let deviation = deviation as f32;
    into.extend((0..count).map(|_| {
        let normal: f32 = StandardNormal.sample(draws);
        deviation * normal
    }));
}

/// Bones by their distance from the centre: `(children, parents)` per level, so that a parent always comes before its
/// children. Joints that no bone reaches from the centre hang on a tree of their own.
pub(super) fn levels(layout: &SkeletonLayout) -> Vec<(Vec<i64>, Vec<i64>)> {
    let joints = layout.len();
    let mut known = vec![false; joints];
    let mut levels: Vec<(Vec<i64>, Vec<i64>)> = Vec::new();
    for root in std::iter::once(layout.centre).chain(0..joints) {
        if root >= joints || known[root] {
            continue;
        }
        known[root] = true;
        let (mut reached, mut depth) = (vec![root], 0);
        while !reached.is_empty() {
            let mut next = Vec::new();
            for parent in reached {
                let ends = layout.bones.iter().flat_map(|(a, b)| [(*a, *b), (*b, *a)]);
                for (_, child) in ends.filter(|(from, to)| *from == parent && *to < joints) {
                    if std::mem::replace(&mut known[child], true) {
                        continue;
                    }
                    if levels.len() == depth {
                        levels.push(Default::default());
                    }
                    levels[depth].0.push(child as i64);
                    levels[depth].1.push(parent as i64);
                    next.push(child);
                }
            }
            (reached, depth) = (next, depth + 1);
        }
    }
    levels
}
