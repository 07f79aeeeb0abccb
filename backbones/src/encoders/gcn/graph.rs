//! Graphs over the bones of a layout: each joint with itself, inward and outward (2s-AGCN, CTR-GCN), and the other
//! modes that PYSKL knows.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use szar_core::SkeletonLayout;
use tch::{Kind, Tensor};

use crate::encoders::st_gcn::{Graph, Strategy};

/// Which matrices the graph has.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum GraphMode {
    /// Three: the joint itself, from child to parent, from parent to child; columns sum to 1 (2s-AGCN).
    #[default]
    Spatial,
    /// `1 + 2 * max_hop`: for each hop distance, those as far from the centre or farther, and those nearer (ST-GCN).
    StgcnSpatial,
    /// One: 1 where a bone joins two joints.
    Binary,
}

impl GraphMode {
    /// `[K, V, V]` f32: entry `[k, v, w]` is the weight of joint v in the new value of joint w.
    pub fn adjacency(self, layout: &SkeletonLayout, max_hop: usize) -> Tensor {
        match self {
            Self::Spatial => spatial(layout),
            Self::StgcnSpatial => Graph::new(layout, Strategy::Spatial, max_hop, 1).adjacency(),
            Self::Binary => {
                let inward = inward(layout);
                (&inward + inward.tr()).clamp_max(1.0).unsqueeze(0)
            }
        }
    }
}

/// Identity, inward and outward, `[3, V, V]` f32, the columns of the last two divided by their sums; a column without
/// entries stays 0. An inward link leads from a bone's child, the column, to its parent, the row.
pub fn spatial(layout: &SkeletonLayout) -> Tensor {
    let v = layout.len() as i64;
    let inward = inward(layout);
    let outward = inward.tr();
    let normalised = |links: &Tensor| {
        let sums = links.sum_dim_intlist([0i64].as_slice(), true, Kind::Float);
        links / sums.clamp_min(1.0)
    };
    let identity = Tensor::eye(v, (Kind::Float, inward.device()));
    Tensor::stack(&[identity, normalised(&inward), normalised(&outward)], 0)
}

/// `[V, V]`: 1 in the row of each bone's parent and the column of its child.
fn inward(layout: &SkeletonLayout) -> Tensor {
    let v = layout.len();
    let mut links = vec![0.0f32; v * v];
    for &(child, parent) in &layout.bones {
        links[parent * v + child] = 1.0;
    }
    Tensor::from_slice(&links).view([v as i64, v as i64])
}

#[cfg(test)]
mod tests {
    use super::*;
    use szar_core::host::to_f64;
    use szar_core::testing;

    #[test]
    fn goldens() {
        for component in ["agcn", "ctr-gcn", "pyskl"] {
            szar_core::conform::assert_goldens(&format!("graph/{component}"));
        }
    }

    #[test]
    fn a_parent_shares_itself_among_its_children() {
        // A star: joints 1 and 2 hang on joint 0.
        let mut layout = testing::layout(3);
        layout.bones = vec![(1, 0), (2, 0)];
        let graph = spatial(&layout);
        let part = |k: i64| to_f64(&graph.get(k).flatten(0, -1));
        assert_eq!(part(0), [1.0, 0.0, 0.0, 0.0, 1.0, 0.0, 0.0, 0.0, 1.0]);
        assert_eq!(part(1), [0.0, 1.0, 1.0, 0.0, 0.0, 0.0, 0.0, 0.0, 0.0]);
        assert_eq!(part(2), [0.0, 0.0, 0.0, 0.5, 0.0, 0.0, 0.5, 0.0, 0.0]);
    }
}
