//! Masked motions: the frames in which most moves are left out, and a random part of the rest is kept.

use rand::Rng;
use rand::seq::index::sample;
use szar_core::host::to_f64;
use szar_core::host::to_i64;
use szar_core::{Error, Result, SkeletonBatch, shape};
use tch::{Kind, Tensor};

use super::config::{Differences, MaskedFrames};

/// How sequences are masked.
#[derive(Clone, Copy, Debug)]
pub(super) struct Mask {
    /// Share of the frames that are masked.
    pub masked: f64,
    /// Share of the frames that are then kept.
    pub kept: f64,
    pub differences: Differences,
    pub frames: MaskedFrames,
}

/// `[B, T − 1]`: how much changes from each frame to the next, the mean of the squared differences, in square metres.
pub(super) fn changes(joints: &Tensor) -> Tensor {
    let frames = joints.size()[2];
    let (before, after) = (joints.narrow(2, 0, frames - 1), joints.narrow(2, 1, frames - 1));
    (after - before)
        .square()
        .mean_dim([1i64, 3, 4].as_slice(), false, Kind::Float)
}

/// How calm each of `frames` frames is, 0 at most. The first and the last one have a neighbour less and look calmer for it.
pub(super) fn calmness(changes: &[f64], frames: usize, differences: Differences) -> Vec<f64> {
    let change = |at: usize| if at + 1 < frames { changes[at] } else { 0.0 };
    let back = |at: usize| match (at, differences) {
        (0, _) | (_, Differences::Forward) => 0.0,
        (_, Differences::Both) => changes[at - 1],
    };
    (0..frames).map(|at| -(change(at) + back(at))).collect()
}

/// The `count` calmest frames in their order in time; of equally calm ones the earlier.
pub(super) fn calmest(calmness: &[f64], count: usize) -> Vec<usize> {
    let mut frames: Vec<usize> = (0..calmness.len()).collect();
    frames.sort_by(|a, b| calmness[*b].total_cmp(&calmness[*a]));
    frames.truncate(count);
    frames.sort_unstable();
    frames
}

/// These frames stretched (or thinned) to `count` by the nearest one.
fn stretched(frames: &[usize], count: usize) -> impl Iterator<Item = i64> {
    let nearest = move |at: usize| (2 * at + 1) * frames.len() / (2 * count);
    (0..count).map(move |at| frames[nearest(at)] as i64)
}

/// The frames `[B, t]` of joints `[B, 3, T, V, M]`.
pub(super) fn at_frames(joints: &Tensor, frames: &Tensor) -> Tensor {
    let size = joints.size();
    let index = frames.view([size[0], 1, -1, 1, 1]);
    let index = index.expand([-1, size[1], -1, size[3], size[4]], false);
    joints.gather(2, &index, false)
}

impl Mask {
    /// How many of `frames` frames stay after masking, and how many of these are drawn; at least one each.
    pub fn counts(&self, frames: usize) -> (usize, usize) {
        let share = |share: f64| (share * frames as f64).round() as usize;
        let calm = frames.saturating_sub(share(self.masked)).max(1);
        (calm, share(self.kept).clamp(1, calm))
    }

    /// One masked form of every sequence. Frames that only pad a sequence are never chosen; every sequence draws its own.
    ///
    /// # Errors
    /// [`Error::Input`] when a sequence has no frame.
    pub fn apply(&self, batch: &SkeletonBatch, rng: &mut impl Rng) -> Result<SkeletonBatch> {
        let [count, _, frames, _, _] =
            shape::sizes("skeletons", &batch.joints, [None, Some(3), None, None, None])?;
        let total = usize::try_from(frames).unwrap_or(0);
        if total == 0 {
            return Err(Error::Input(
                "skeleton sequences without frames cannot be masked".into(),
            ));
        }
        let length = match self.frames {
            MaskedFrames::Repeat => total,
            MaskedFrames::Compact => self.counts(total).1,
        };
        let changes = to_f64(&changes(&batch.joints));
        let lengths = to_i64(&batch.frames)?;
        let mut index = Vec::with_capacity(lengths.len() * length);
        for (sample, own) in lengths.iter().enumerate() {
            let own = usize::try_from(*own).unwrap_or(0).clamp(1, total);
            let changes = &changes[sample * (total - 1)..][..own - 1];
            index.extend(stretched(&self.choose(changes, own, rng), length));
        }
        let device = batch.joints.device();
        let index = Tensor::from_slice(&index).view([count, -1]).to_device(device);
        Ok(SkeletonBatch {
            joints: at_frames(&batch.joints, &index),
            frames: batch.frames.full_like(length as i64),
            present: batch.present.clone(),
            layout: std::sync::Arc::clone(&batch.layout),
        })
    }

    fn choose(&self, changes: &[f64], frames: usize, rng: &mut impl Rng) -> Vec<usize> {
        let (calm, drawn) = self.counts(frames);
        let calm = calmest(&calmness(changes, frames, self.differences), calm);
        let mut kept = sample(rng, calm.len(), drawn).into_vec();
        kept.sort_unstable();
        kept.into_iter().map(|at| calm[at]).collect()
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::*;
    use szar_core::Seed;
    use tch::kind::FLOAT_CPU;

    fn mask(frames: MaskedFrames) -> Mask {
        Mask {
            masked: 0.3,
            kept: 0.4,
            differences: Differences::Both,
            frames,
        }
    }

    #[test]
    fn fifty_frames_give_the_official_counts() {
        assert_eq!(mask(MaskedFrames::Compact).counts(50), (35, 20));
        assert_eq!(mask(MaskedFrames::Compact).counts(1), (1, 1));
    }

    #[test]
    fn padding_is_never_chosen_and_lengths_are_as_asked() {
        // Frame numbers as joints; 10 and 4 frames of 10, the rest zeros.
        let joints = Tensor::arange(10, FLOAT_CPU).view([1, 1, 10, 1, 1]) + 1.0;
        let joints = joints.expand([2, 3, 10, 5, 1], false).contiguous();
        let _ = joints.select(0, 1).narrow(1, 4, 6).zero_();
        let batch = SkeletonBatch {
            joints,
            frames: Tensor::from_slice(&[10i64, 4]),
            present: vec![true; 2],
            layout: Arc::new(szar_core::testing::layout(5)),
        };
        for (frames, length) in [(MaskedFrames::Repeat, 10), (MaskedFrames::Compact, 4)] {
            let masked = mask(frames).apply(&batch, &mut Seed(3).rng()).unwrap();
            assert_eq!(masked.joints.size(), [2, 3, length, 5, 1]);
            assert_eq!(to_i64(&masked.frames).unwrap(), [length, length]);
            let shown = to_i64(&masked.joints.select(1, 0).select(2, 0).squeeze_dim(-1)).unwrap();
            assert!(
                shown.windows(2).take(length as usize - 1).all(|w| w[0] <= w[1]),
                "{shown:?}"
            );
            assert!(
                shown[length as usize..].iter().all(|f| (1..=4).contains(f)),
                "{shown:?}"
            );
            let mut distinct = shown[..length as usize].to_vec();
            distinct.dedup();
            assert_eq!(distinct.len(), 4);
        }
    }
}
