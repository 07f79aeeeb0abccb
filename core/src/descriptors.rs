//! The eight pooled descriptors of a feature map: body parts, phases, and the whole.
//!
//! Source: Skeleton-Cache (arXiv 2512.11458), section 3.2; PURLS uses the same pooling in its static variant.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use tch::{Kind, Tensor};

use crate::types::{FeatureMap, Granularity, SkeletonLayout};
use crate::{Error, Result};

/// Where the thirds of a sequence of T' feature frames begin and end.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum TemporalSplit {
    /// Edges 0, ⌊T'/3⌋, ⌊2T'/3⌋, T' (the paper).
    #[default]
    Floor,
    /// Edges 0, round(T'/3), round(2T'/3), T', ties to even (the official code).
    Round,
}

/// Half-open frame ranges of the three phases; each has at least one frame, so that they overlap when T' < 3.
pub fn thirds(frames: i64, split: TemporalSplit) -> [(i64, i64); 3] {
    let edge = |k: i64| match split {
        TemporalSplit::Floor => k * frames / 3,
        TemporalSplit::Round => (k as f64 * frames as f64 / 3.0).round_ties_even() as i64,
    };
    std::array::from_fn(|i| {
        let start = edge(i as i64).min(frames - 1).max(0);
        (start, edge(i as i64 + 1).max(start + 1))
    })
}

/// `[B, D, N]` f32: one pooled descriptor per granularity, in the order of `wanted`.
///
/// `global` is the mean over frames and joints; a part is the mean over frames and its joints; a phase is the
/// mean over joints and its third of the frames. All of them come out of one matrix product with a fixed
/// `[D, T'·V']` averaging matrix.
///
/// # Errors
/// [`Error::Unknown`] for a granularity that is none of these; [`Error::Input`] when a part or phase is wanted of pooled features,
/// or the map's joints are not those of `layout`.
pub fn pool(
    map: &FeatureMap,
    layout: &SkeletonLayout,
    wanted: &[Granularity],
    split: TemporalSplit,
) -> Result<Tensor> {
    if let Some(known) = kept(map, wanted, split) {
        return Ok(known);
    }
    let (batch, channels, frames, joints) = map.dims();
    let weights = averaging(frames, joints, layout, wanted, split)?.to_device(map.values.device());
    let flat = map
        .values
        .to_kind(Kind::Float)
        .reshape([batch, channels, frames * joints]);
    Ok(flat.matmul(&weights.transpose(0, 1)).transpose(1, 2).contiguous())
}

/// `[B, D, N]` f32, where the map carries its descriptors and they are those that are wanted.
pub fn kept(map: &FeatureMap, wanted: &[Granularity], split: TemporalSplit) -> Option<Tensor> {
    let all = map
        .descriptors
        .as_ref()
        .filter(|_| split == TemporalSplit::Floor)?;
    let place = |g: &Granularity| Granularity::PURLS_ORDER.iter().position(|known| known == g);
    let places: Option<Vec<i64>> = wanted.iter().map(|g| place(g).map(|i| i as i64)).collect();
    let places = Tensor::from_slice(&places?).to_device(all.device());
    Some(all.index_select(1, &places))
}

/// `[D, T'·V']` f32 on the CPU: row d averages the nodes that belong to granularity d.
///
/// # Errors
/// As [`pool`].
pub fn averaging(
    frames: i64,
    joints: i64,
    layout: &SkeletonLayout,
    wanted: &[Granularity],
    split: TemporalSplit,
) -> Result<Tensor> {
    let pooled = frames == 1 && joints == 1;
    if !pooled && joints != layout.len() as i64 {
        return Err(Error::Input(format!(
            "the feature map has {joints} joints, layout `{}` has {}",
            layout.name,
            layout.len()
        )));
    }
    let rows = wanted.iter().map(|granularity| {
        let is_phase = [Granularity::START, Granularity::MIDDLE, Granularity::END].iter().position(|g| g == granularity);
        let (time, part): ((i64, i64), Option<&[usize]>) = match (granularity, is_phase) {
            (g, _) if *g == Granularity::GLOBAL => ((0, frames), None),
            _ if pooled => {
                return Err(Error::Input(format!(
                    "descriptor `{granularity}` needs a spatio-temporal feature map, the features are pooled; \
                     use `descriptors: [global]`"
                )));
            }
            (_, Some(third)) => (thirds(frames, split)[third], None),
            (g, None) => ((0, frames), Some(layout.part(g.as_str())?)),
        };
        let mut row = vec![0f32; (frames * joints) as usize];
        let members: Vec<usize> = part.map_or_else(|| (0..joints as usize).collect(), <[usize]>::to_vec);
        let share = 1.0 / ((time.1 - time.0) as f32 * members.len() as f32);
        for t in time.0..time.1 {
            for &v in &members {
                row[t as usize * joints as usize + v] = share;
            }
        }
        Ok(Tensor::from_slice(&row))
    });
    Ok(Tensor::stack(&rows.collect::<Result<Vec<_>>>()?, 0))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn thirds_follow_paper_and_code() {
        assert_eq!(thirds(13, TemporalSplit::Floor), [(0, 4), (4, 8), (8, 13)]);
        assert_eq!(thirds(13, TemporalSplit::Round), [(0, 4), (4, 9), (9, 13)]);
        assert_eq!(thirds(16, TemporalSplit::Round), [(0, 5), (5, 11), (11, 16)]);
        assert_eq!(thirds(1, TemporalSplit::Round), [(0, 1), (0, 1), (0, 1)]);
    }

    #[test]
    fn a_descriptor_is_the_mean_over_its_nodes() {
        let layout = crate::testing::layout(4);
        let map = FeatureMap::new(Tensor::randn([2, 5, 6, 4], tch::kind::FLOAT_CPU)).unwrap();
        let got = pool(
            &map,
            &layout,
            &[Granularity::END, Granularity::HEAD, Granularity::GLOBAL],
            TemporalSplit::Floor,
        );
        let got = got.unwrap();
        let end = map
            .values
            .narrow(2, 4, 2)
            .mean_dim([2i64, 3].as_slice(), false, Kind::Float);
        assert!(got.select(1, 0).allclose(&end, 1e-5, 1e-6, false));
        assert!(got.select(1, 2).allclose(&map.pooled(), 1e-5, 1e-6, false));
    }

    #[test]
    fn descriptors_that_a_map_carries_stand_for_the_map() {
        let layout = crate::testing::layout(4);
        let map = FeatureMap::new(Tensor::randn([3, 5, 6, 4], tch::kind::FLOAT_CPU)).unwrap();
        let pool = |map: &FeatureMap, wanted: &[Granularity], split| pool(map, &layout, wanted, split);
        let all = pool(&map, &Granularity::PURLS_ORDER, TemporalSplit::Floor).unwrap();
        let pooled = FeatureMap::from_pooled(&map.pooled()).unwrap();
        let light = pooled.with_descriptors(all).unwrap();
        let wanted = [Granularity::END, Granularity::HEAD];
        let got = pool(&light.narrow(1, 2), &wanted, TemporalSplit::Floor).unwrap();
        let want = pool(&map.narrow(1, 2), &wanted, TemporalSplit::Floor).unwrap();
        assert!(got.allclose(&want, 1e-5, 1e-6, false));
        assert!(pool(&light, &wanted, TemporalSplit::Round).is_err());
        let short = FeatureMap::from_pooled(&map.pooled()).unwrap();
        assert!(
            short
                .with_descriptors(Tensor::zeros([3, 7, 5], tch::kind::FLOAT_CPU))
                .is_err()
        );
    }

    #[test]
    fn pooled_features_have_only_a_global_descriptor() {
        let map = FeatureMap::new(Tensor::zeros([2, 5, 1, 1], tch::kind::FLOAT_CPU)).unwrap();
        let layout = crate::testing::layout(4);
        assert!(pool(&map, &layout, &[Granularity::GLOBAL], TemporalSplit::Floor).is_ok());
        let error = pool(&map, &layout, &[Granularity::HEAD], TemporalSplit::Floor)
            .unwrap_err()
            .to_string();
        assert!(error.contains("needs a spatio-temporal feature map"), "{error}");
    }
}
