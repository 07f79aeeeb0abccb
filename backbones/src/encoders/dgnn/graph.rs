//! The directed graph: which joint each bone leaves and which it reaches.

use szar_core::{Error, Result, SkeletonLayout};
use tch::Tensor;

/// Added to every entry of the incidence matrices, so that any joint can learn of any bone.
const EPSILON: f32 = 1e-6;

/// Edges of a skeleton from its centre outwards, one for every joint: the bone that reaches it, or a loop at a root.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Graph {
    /// `(source, target)` joints, sorted.
    pub edges: Vec<(usize, usize)>,
}

impl Graph {
    /// Edges of a layout's bones. A hand tip that hangs on the thumb (as in the NTU skeleton of other graphs) hangs on
    /// the hand here.
    ///
    /// # Errors
    /// [`Error::Input`] when a joint hangs on more than one other.
    pub fn new(layout: &SkeletonLayout) -> Result<Self> {
        let mut parents: Vec<Option<usize>> = vec![None; layout.len()];
        for &(child, parent) in &layout.bones {
            if let Some(other) = parents[child].replace(parent) {
                let name = |joint: usize| &layout.joints[joint];
                return Err(Error::Input(format!(
                    "`dgnn` needs a skeleton in which every joint hangs on at most one other; in layout `{}`, `{}` hangs on `{}` and `{}`",
                    layout.name,
                    name(child),
                    name(other),
                    name(parent),
                )));
            }
        }
        let is = |joint: usize, word: &str| layout.joints[joint].starts_with(word);
        let source = |joint: usize| match parents[joint] {
            None => joint,
            Some(parent) if is(joint, "hand_tip") && is(parent, "thumb") => parents[parent].unwrap_or(parent),
            Some(parent) => parent,
        };
        let mut edges: Vec<_> = (0..layout.len()).map(|joint| (source(joint), joint)).collect();
        edges.sort_unstable();
        Ok(Self { edges })
    }

    /// Incidence of the edges' sources and of their targets, `[V, E]` f32 each: over the joint's degree, plus 1e-6.
    pub fn incidence(&self) -> (Tensor, Tensor) {
        let joints = self.edges.len();
        let mut degree = vec![0.0f32; joints];
        for &(source, target) in &self.edges {
            degree[source] += 1.0;
            degree[target] += 1.0;
        }
        let matrix = |end: fn(&(usize, usize)) -> usize| {
            let mut values = vec![EPSILON; joints * joints];
            for (column, edge) in self.edges.iter().enumerate() {
                let joint = end(edge);
                values[joint * joints + column] += 1.0 / degree[joint];
            }
            Tensor::from_slice(&values).view([joints as i64, joints as i64])
        };
        (matrix(|edge| edge.0), matrix(|edge| edge.1))
    }

    /// Edges sorted by the joint they reach.
    pub fn by_target(&self) -> Vec<(usize, usize)> {
        let mut edges = self.edges.clone();
        edges.sort_unstable_by_key(|edge| edge.1);
        edges
    }

    /// For every joint, the number of the edge that reaches it.
    pub fn edge_of_joint(&self) -> Vec<i64> {
        let mut edge = vec![0; self.edges.len()];
        for (number, (_, target)) in self.edges.iter().enumerate() {
            edge[*target] = number as i64;
        }
        edge
    }
}
