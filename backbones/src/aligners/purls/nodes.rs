//! From a feature map to what the head or the attention sees.

use szar_core::descriptors::{TemporalSplit, thirds};
use szar_core::{FeatureMap, Result};
use tch::{Kind, Tensor};

use super::config::Nodes;
pub(super) use crate::aligners::training::unit_rows;

/// `[B, P, N]` f32: the nodes of a map, frame by frame and joint by joint.
pub(super) fn nodes(map: &FeatureMap, how: Nodes) -> Tensor {
    let (batch, channels, frames, _) = map.dims();
    let ranges: Vec<(i64, i64)> = match how {
        Nodes::Thirds => thirds(frames, TemporalSplit::Floor).to_vec(),
        Nodes::Pairs => (0..frames).step_by(2).map(|t| (t, (t + 2).min(frames))).collect(),
        Nodes::All => Vec::new(),
    };
    let values = map.values.to_kind(Kind::Float);
    let values = if how == Nodes::All || ranges.len() as i64 == frames {
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
    fn one_frame_still_has_three_thirds() {
        let map = FeatureMap::new(Tensor::randn([1, 2, 1, 3], FLOAT_CPU)).unwrap();
        assert_eq!(nodes(&map, Nodes::Thirds).size(), [1, 9, 2]);
    }
}
