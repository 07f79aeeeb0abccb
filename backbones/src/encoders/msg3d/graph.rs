//! Joints by their distance along the skeleton.

use szar_core::SkeletonLayout;
use tch::Tensor;

/// Bones between any two joints; `None` where there is no way.
fn distances(layout: &SkeletonLayout) -> Vec<Vec<Option<usize>>> {
    let mut neighbours = vec![Vec::new(); layout.len()];
    for &(child, parent) in &layout.bones {
        neighbours[child].push(parent);
        neighbours[parent].push(child);
    }
    let from = |start: usize| {
        let mut found = vec![None; layout.len()];
        found[start] = Some(0);
        let mut queue = std::collections::VecDeque::from([start]);
        while let Some(joint) = queue.pop_front() {
            for &next in &neighbours[joint] {
                if found[next].is_none() {
                    found[next] = found[joint].map(|steps: usize| steps + 1);
                    queue.push_back(next);
                }
            }
        }
        found
    };
    (0..layout.len()).map(from).collect()
}

/// Adjacency of joints k = 0 .. `scales` - 1 steps apart in a window of `window` frames, each joint with itself,
/// normalised as `D^-1/2 A D^-1/2`: `[scales * W V, W V]` f32, frames before joints.
///
/// In one step a joint reaches itself and its neighbours in every frame of the window (paper, eq. 3 and 6).
pub fn disentangled(layout: &SkeletonLayout, scales: usize, window: usize) -> Tensor {
    let (apart, joints) = (distances(layout), layout.len());
    let nodes = window * joints;
    let steps = |a: usize, b: usize| {
        let steps = apart[a % joints][b % joints]?;
        // Another frame is a step away even for the same joint.
        Some(if a == b { 0 } else { steps.max(1) })
    };
    let mut values = Vec::with_capacity(scales * nodes * nodes);
    for scale in 0..scales {
        let joined = |a: usize, b: usize| a == b || steps(a, b) == Some(scale);
        let degree = |a: usize| (0..nodes).filter(|b| joined(a, *b)).count() as f64;
        let degrees: Vec<f64> = (0..nodes).map(degree).collect();
        for a in 0..nodes {
            let entry = |b: usize| {
                if joined(a, b) {
                    ((degrees[a] * degrees[b]).sqrt().recip()) as f32
                } else {
                    0.0
                }
            };
            values.extend((0..nodes).map(entry));
        }
    }
    Tensor::from_slice(&values).view([(scales * nodes) as i64, nodes as i64])
}

#[cfg(test)]
mod tests {
    use super::*;
    use szar_core::host::to_f64;
    use szar_core::testing;

    #[test]
    fn a_chain_is_told_apart_by_distance() {
        let graph = disentangled(&testing::layout(3), 3, 1).view([3, 3, 3]);
        assert_eq!(
            to_f64(&graph.get(0).flatten(0, -1)),
            [1., 0., 0., 0., 1., 0., 0., 0., 1.]
        );
        // Degrees 2, 3, 2 at distance 1; 2, 1, 2 at distance 2.
        let sixth = 6f64.sqrt().recip();
        let want = [0.5, sixth, 0.0, sixth, 1.0 / 3.0, sixth, 0.0, sixth, 0.5];
        let got = to_f64(&graph.get(1).flatten(0, -1));
        assert!(got.iter().zip(want).all(|(g, w)| (g - w).abs() < 1e-6), "{got:?}");
        assert_eq!(
            to_f64(&graph.get(2).flatten(0, -1)),
            [0.5, 0., 0.5, 0., 1., 0., 0.5, 0., 0.5]
        );
    }

    /// `min((A + I)^k, 1) - min((A + I)^(k - 1), 1) + I`, from the window's adjacency of one step.
    #[test]
    fn windows_agree_with_powers_of_their_adjacency() {
        let (layout, window, nodes) = (testing::layout(4), 3, 12i64);
        let one = disentangled(&layout, 2, 1)
            .narrow(0, 4, 4)
            .gt(0.0)
            .to_kind(tch::Kind::Float);
        let step = one.repeat([window, window]);
        let eye = Tensor::eye(nodes, tch::kind::FLOAT_CPU);
        let power = |k: i64| (&step + &eye).matrix_power(k).clamp_max(1.0);
        let got = disentangled(&layout, 4, 3).view([4, nodes, nodes]);
        for k in 1..4 {
            let want = power(k) - power(k - 1) + &eye;
            let degree = want.sum_dim_intlist([1i64].as_slice(), true, tch::Kind::Float);
            let want = want / (&degree * degree.tr()).sqrt();
            assert!(got.get(k).allclose(&want, 1e-6, 1e-6, false), "{k}");
        }
    }

    #[test]
    fn what_no_bone_joins_never_meets() {
        let mut layout = testing::layout(2);
        layout.bones.clear();
        let graph = disentangled(&layout, 3, 1).view([3, 2, 2]);
        for k in 0..3 {
            assert_eq!(to_f64(&graph.get(k).flatten(0, -1)), [1., 0., 0., 1.]);
        }
    }
}
