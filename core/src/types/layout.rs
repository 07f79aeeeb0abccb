//! Skeleton layouts: which joints there are, how bones join them, which body part each belongs to.

use serde::{Deserialize, Serialize};

use crate::{Error, Result};

/// A named group of joints.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Part {
    /// `head`, `hands`, `torso`, `legs`.
    pub name: String,
    /// Joint numbers, from 0.
    pub joints: Vec<usize>,
}

/// Joints, bones and parts of a skeleton.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct SkeletonLayout {
    /// Name by which configurations call it.
    pub name: String,
    /// Joint names by number; V of them.
    pub joints: Vec<String>,
    /// `(child, parent)` pairs, 0-based.
    pub bones: Vec<(usize, usize)>,
    /// Joint that graph partitions and bone trees start from.
    pub centre: usize,
    /// Joint at the middle of the spine, the origin after centring.
    pub spine: usize,
    /// Left and right hip or shoulder, to find which way the body faces: `(left, right)` joints.
    pub shoulders: (usize, usize),
    /// `(left, right)` joints that change places in a mirror.
    pub mirror: Vec<(usize, usize)>,
    /// The four body parts `head`, `hands`, `torso`, `legs`, in this order; they may overlap.
    pub parts: Vec<Part>,
}

impl SkeletonLayout {
    /// V, the number of joints.
    pub fn len(&self) -> usize {
        self.joints.len()
    }

    /// True when the layout has no joint.
    pub fn is_empty(&self) -> bool {
        self.joints.is_empty()
    }

    /// Number of the joint with this name.
    ///
    /// # Errors
    /// [`Error::Unknown`] with the nearest name.
    pub fn joint(&self, name: &str) -> Result<usize> {
        let at = self.joints.iter().position(|j| j == name);
        at.ok_or_else(|| Error::unknown("joint", name, self.joints.iter().cloned()))
    }

    /// Joints of a body part.
    ///
    /// # Errors
    /// [`Error::Unknown`] with the nearest name.
    pub fn part(&self, name: &str) -> Result<&[usize]> {
        let part = self.parts.iter().find(|p| p.name == name);
        part.map(|p| p.joints.as_slice())
            .ok_or_else(|| Error::unknown("body part", name, self.parts.iter().map(|p| p.name.clone())))
    }

    /// Checks that every number names a joint and that the bones form one tree or forest without repeats.
    ///
    /// # Errors
    /// [`Error::Input`] naming the first bad entry.
    pub fn validate(&self) -> Result<()> {
        let v = self.len();
        let bad = |what: &str, joint: usize| {
            Err(Error::Input(format!(
                "layout `{}`: {what} names joint {joint}, there are {v}",
                self.name
            )))
        };
        for &(a, b) in self.bones.iter().chain(&self.mirror).chain([&self.shoulders]) {
            if a.max(b) >= v {
                return bad("a bone or pair", a.max(b));
            }
        }
        for part in &self.parts {
            if let Some(&joint) = part.joints.iter().find(|j| **j >= v) {
                return bad(&format!("part `{}`", part.name), joint);
            }
        }
        if self.centre.max(self.spine) >= v {
            return bad("the centre or spine", self.centre.max(self.spine));
        }
        Ok(())
    }
}
