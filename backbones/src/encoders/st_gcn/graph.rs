//! The graph of ST-GCN: joints within `max_hop` bones of each other, column-normalised and partitioned.
//!
//! Yan, Xiong and Lin, "Spatial Temporal Graph Convolutional Networks for Skeleton-Based Action Recognition",
//! AAAI 2018, section 3.3; details as in its published code.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use szar_core::SkeletonLayout;
use tch::Tensor;

/// How the neighbours of a joint are told apart.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum Strategy {
    /// All alike; one matrix.
    Uniform,
    /// By hop distance; a matrix per distance.
    Distance,
    /// The joint itself and those as far from the centre, those farther, those nearer.
    #[default]
    Spatial,
}

/// Adjacency matrices with the distances they were made from.
#[derive(Clone, Debug, PartialEq)]
pub struct Graph {
    joints: usize,
    hops: Vec<Option<usize>>,
    partitions: Vec<Vec<f64>>,
}

impl Graph {
    /// The graph over a layout's bones and centre. `max_hop` is the farthest neighbour in bones; of the distances
    /// `0 ..= max_hop` every `dilation`-th is used.
    ///
    /// Distances beyond `max_hop` count as infinite, also those to the centre, and infinite equals infinite: an edge
    /// whose ends are both farther than `max_hop` from the centre joins equals. The published code does so, and
    /// published weights depend on it.
    pub fn new(layout: &SkeletonLayout, strategy: Strategy, max_hop: usize, dilation: usize) -> Self {
        let joints = layout.len();
        let hops = hop_distances(joints, &layout.bones, max_hop);
        let used: Vec<usize> = (0..=max_hop).step_by(dilation.max(1)).collect();
        let normal = normalised(&hops, joints, &used);
        let entries = |keep: &dyn Fn(usize, usize) -> bool| {
            let at = |i: usize| {
                if keep(i / joints, i % joints) {
                    normal[i]
                } else {
                    0.0
                }
            };
            (0..joints * joints).map(at).collect::<Vec<f64>>()
        };
        let hop = |from: usize, to: usize| hops[from * joints + to];
        let partitions = match strategy {
            Strategy::Uniform => vec![entries(&|_, _| true)],
            Strategy::Distance => used
                .iter()
                .map(|d| entries(&|v, w| hop(v, w) == Some(*d)))
                .collect(),
            Strategy::Spatial => {
                let far = |joint: usize| hop(joint, layout.centre).unwrap_or(usize::MAX);
                let mut list = Vec::new();
                for d in used {
                    let at = |v: usize, w: usize| hop(v, w) == Some(d);
                    if d == 0 {
                        // Only the diagonal is 0 hops apart.
                        list.push(entries(&|v, w| at(v, w) && far(v) == far(w)));
                    } else {
                        list.push(entries(&|v, w| at(v, w) && far(v) >= far(w)));
                        list.push(entries(&|v, w| at(v, w) && far(v) < far(w)));
                    }
                }
                list
            }
        };
        Self {
            joints,
            hops,
            partitions,
        }
    }

    /// `[K, V, V]` f32: `A[k, v, w]` is the weight of joint v in the new value of joint w.
    pub fn adjacency(&self) -> Tensor {
        let v = self.joints as i64;
        let flat: Vec<f32> = self.partitions.iter().flatten().map(|x| *x as f32).collect();
        Tensor::from_slice(&flat).view([self.partitions.len() as i64, v, v])
    }

    /// `[V, V]` f32 hop distances, -1 where they are infinite.
    pub fn hop_distance(&self) -> Tensor {
        let v = self.joints as i64;
        let flat: Vec<f32> = self.hops.iter().map(|h| h.map_or(-1.0, |h| h as f32)).collect();
        Tensor::from_slice(&flat).view([v, v])
    }
}

/// Row-major `[V, V]`; `None` beyond `max_hop`.
fn hop_distances(joints: usize, bones: &[(usize, usize)], max_hop: usize) -> Vec<Option<usize>> {
    let mut neighbours = vec![Vec::new(); joints];
    for &(a, b) in bones {
        neighbours[a].push(b);
        neighbours[b].push(a);
    }
    let mut hops = vec![None; joints * joints];
    for start in 0..joints {
        let mut front = vec![start];
        for distance in 0..=max_hop {
            let fresh: Vec<usize> = front
                .into_iter()
                .filter(|j| hops[start * joints + j].is_none())
                .collect();
            for joint in &fresh {
                hops[start * joints + joint] = Some(distance);
            }
            front = fresh
                .iter()
                .flat_map(|j| neighbours[*j].iter().copied())
                .collect();
        }
    }
    hops
}

/// 1 where the distance is used, every column divided by its sum (empty columns stay 0).
fn normalised(hops: &[Option<usize>], joints: usize, used: &[usize]) -> Vec<f64> {
    let near = |i: usize| hops[i].is_some_and(|h| used.contains(&h));
    let degree: Vec<usize> = (0..joints)
        .map(|w| (0..joints).filter(|v| near(v * joints + w)).count())
        .collect();
    let entry = |i: usize| {
        if near(i) {
            1.0 / degree[i % joints] as f64
        } else {
            0.0
        }
    };
    (0..joints * joints).map(entry).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use szar_core::testing;

    #[test]
    fn a_chain_is_partitioned_by_distance_from_its_end() {
        // 0 - 1 - 2, centre 0. Column sums 2, 3, 2.
        let graph = Graph::new(&testing::layout(3), Strategy::Spatial, 1, 1);
        let third = 1.0 / 3.0;
        assert_eq!(
            graph.partitions[0],
            [0.5, 0.0, 0.0, 0.0, third, 0.0, 0.0, 0.0, 0.5]
        );
        // [v, w] with v farther than w: (1, 0); joint 2 is beyond one hop, so farther than 1: (2, 1).
        assert_eq!(
            graph.partitions[1],
            [0.0, 0.0, 0.0, 0.5, 0.0, 0.0, 0.0, third, 0.0]
        );
        assert_eq!(
            graph.partitions[2],
            [0.0, third, 0.0, 0.0, 0.0, 0.5, 0.0, 0.0, 0.0]
        );
    }

    #[test]
    fn an_edge_far_from_the_centre_joins_equals() {
        // 2 - 3 of a chain: both beyond one hop from joint 0, so both directions are in partition 1.
        let graph = Graph::new(&testing::layout(4), Strategy::Spatial, 1, 1);
        assert!(graph.partitions[1][2 * 4 + 3] > 0.0 && graph.partitions[1][3 * 4 + 2] > 0.0);
    }

    #[test]
    fn the_columns_of_all_partitions_together_sum_to_one() {
        for strategy in [Strategy::Uniform, Strategy::Distance, Strategy::Spatial] {
            let graph = Graph::new(&testing::layout(6), strategy, 2, 1);
            let sums = szar_core::host::to_f64(&graph.adjacency().sum_dim_intlist(
                [0i64, 1].as_slice(),
                false,
                tch::Kind::Double,
            ));
            assert!(
                sums.iter().all(|s| (s - 1.0).abs() < 1e-6),
                "{strategy:?} {sums:?}"
            );
        }
    }
}
