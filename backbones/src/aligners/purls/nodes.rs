//! From a feature map to what the head or the attention sees.

use szar_core::descriptors::{TemporalSplit, thirds};
use szar_core::{FeatureMap, Result};
use tch::{Kind, Tensor};

use super::config::Nodes;
pub(super) use crate::aligners::training::unit_rows;

/// `[B, P, N]` f32: the nodes of a map, frame by frame and joint by joint.
pub(super) fn nodes(map: &FeatureMap, how: Nodes) -> Tensor {
    let (batch, channels, frames, _) = map.dims();
    let ranges = ranges(frames, how);
    let values = map.values.to_kind(Kind::Float);
    let values = if ranges.len() as i64 == frames {
        values
    } else {
        let mean = |&(from, to): &(i64, i64)| {
            values
                .narrow(2, from, to - from)
                .mean_dim([2i64].as_slice(), false, Kind::Float)
        };
        Tensor::stack(&ranges.iter().map(mean).collect::<Vec<_>>(), 2)
    };
    values.permute([0, 2, 3, 1]).reshape([batch, -1, channels])
}

/// Frames that each row of nodes averages.
fn ranges(frames: i64, how: Nodes) -> Vec<(i64, i64)> {
    let step = |step: usize| (0..frames).step_by(step);
    match how {
        Nodes::Thirds => thirds(frames, TemporalSplit::Floor).to_vec(),
        Nodes::Pairs => step(2).map(|t| (t, (t + 2).min(frames))).collect(),
        Nodes::All => step(1).map(|t| (t, t + 1)).collect(),
    }
}

/// `[B, L, T'·V']`: weights `[B, L, P]` of nodes, shared out among the frames that each node averages.
pub(super) fn spread(weights: &Tensor, how: Nodes, frames: i64, joints: i64) -> Tensor {
    let ranges = ranges(frames, how);
    let mut shares = vec![0f32; ranges.len() * frames as usize];
    for (row, (from, to)) in ranges.iter().enumerate() {
        let share = 1.0 / (to - from) as f32;
        shares[row * frames as usize..][*from as usize..*to as usize].fill(share);
    }
    let shares = Tensor::from_slice(&shares)
        .view([-1, frames])
        .to_device(weights.device());
    let size = weights.size();
    let by_joint = weights.view([size[0], size[1], -1, joints]).transpose(2, 3);
    by_joint.matmul(&shares).transpose(2, 3).flatten(2, 3)
}

/// `[B, L, N]` f32: the slots that fixed averages `[L, T'·V']` make of a map.
pub(super) fn slots(map: &FeatureMap, averages: &Tensor) -> Result<Tensor> {
    let (batch, channels, frames, joints) = map.dims();
    let flat = map
        .values
        .to_kind(Kind::Float)
        .reshape([batch, channels, frames * joints]);
    Ok(flat
        .matmul(&averages.transpose(0, 1))
        .transpose(1, 2)
        .contiguous())
}

#[cfg(test)]
mod tests {
    use super::*;
    use tch::kind::FLOAT_CPU;

    #[test]
    fn thirds_of_three_frames_are_the_frames() {
        let map = FeatureMap::new(Tensor::randn([2, 5, 3, 4], FLOAT_CPU)).unwrap();
        let (all, thirds) = (nodes(&map, Nodes::All), nodes(&map, Nodes::Thirds));
        assert_eq!(all.size(), [2, 12, 5]);
        assert!(all.equal(&thirds));
        assert!(all.select(1, 7).equal(&map.values.select(2, 1).select(2, 3)));
    }

    #[test]
    fn pairs_leave_an_odd_frame_alone() {
        let map = FeatureMap::new(Tensor::randn([1, 2, 5, 1], FLOAT_CPU)).unwrap();
        let pairs = nodes(&map, Nodes::Pairs);
        assert_eq!(pairs.size(), [1, 3, 2]);
        assert!(pairs.select(1, 2).equal(&map.values.select(2, 4).squeeze_dim(-1)));
    }

    #[test]
    fn spread_weights_stay_with_their_joint_and_keep_their_sum() {
        let weights = Tensor::from_slice(&[0.1f32, 0.2, 0.3, 0.0, 0.4, 0.0]).view([1, 1, 6]);
        // Three rows of two joints over five frames: pairs (0, 1), (2, 3), and frame 4 alone.
        let got = spread(&weights, Nodes::Pairs, 5, 2);
        let want = [0.05f32, 0.1, 0.05, 0.1, 0.15, 0.0, 0.15, 0.0, 0.4, 0.0];
        assert!(got.allclose(&Tensor::from_slice(&want).view([1, 1, 10]), 1e-6, 1e-7, false));
        let one = spread(&weights, Nodes::Thirds, 1, 2);
        assert!((one.sum(Kind::Double).double_value(&[]) - 1.0).abs() < 1e-6);
    }

    #[test]
    fn one_frame_still_has_three_thirds() {
        let map = FeatureMap::new(Tensor::randn([1, 2, 1, 3], FLOAT_CPU)).unwrap();
        assert_eq!(nodes(&map, Nodes::Thirds).size(), [1, 9, 2]);
    }
}
