//! A skeleton described in a file, for those that no table holds and whose joint names do not tell the body parts.
//!
//! YAML or JSON; joints are called by their names:
//!
//! ```yaml
//! name: my-suit
//! joints: [pelvis, chest, head, arm_l, hand_l, arm_r, hand_r, leg_l, leg_r]
//! bones: [[chest, pelvis], [head, chest], [arm_l, chest], [hand_l, arm_l], [arm_r, chest], [hand_r, arm_r],
//!         [leg_l, pelvis], [leg_r, pelvis]]
//! centre: chest                  # where the graph starts from
//! spine: pelvis                  # the origin after centring; left out: the centre
//! shoulders: [arm_l, arm_r]      # left, right: which way the body faces
//! mirror: [[arm_l, arm_r], [hand_l, hand_r], [leg_l, leg_r]]   # left out: told by the names
//! parts: {head: [head], hands: [hand_l, hand_r], torso: [chest, pelvis], legs: [leg_l, leg_r]}
//! ```
//!
//! For motion capture, whose files say the hierarchy, `joints` and `bones` can be left out. `joints` alone chooses
//! some of them, in this order; a bone then goes to the nearest chosen joint above.

use std::path::Path;
use std::sync::Arc;

use serde::Deserialize;
use szar_core::{Error, Result, SkeletonLayout};

use super::{derive::mirror_pairs, inward, known::parts};
use crate::readers::text;

/// A description is short: 1 MiB at most.
const MAX_BYTES: usize = 1 << 20;
/// Most joints of a skeleton.
pub(crate) const MAX_JOINTS: usize = 512;

/// A bone or a pair: two joint names.
type Pair = [String; 2];

/// What the file says.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Mapping {
    name: String,
    #[serde(default)]
    joints: Vec<String>,
    #[serde(default)]
    bones: Vec<Pair>,
    centre: String,
    spine: Option<String>,
    shoulders: Pair,
    mirror: Option<Vec<Pair>>,
    parts: Parts,
}

#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Parts {
    head: Vec<String>,
    hands: Vec<String>,
    torso: Vec<String>,
    legs: Vec<String>,
}

/// Joints of a source and, for each, the one above it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Hierarchy {
    pub(crate) names: Vec<String>,
    pub(crate) parents: Vec<Option<usize>>,
}

impl Hierarchy {
    /// `(child, parent)` pairs.
    pub(crate) fn bones(&self) -> Vec<(usize, usize)> {
        let bone = |(child, parent): (usize, &Option<usize>)| parent.map(|p| (child, p));
        self.parents.iter().enumerate().filter_map(bone).collect()
    }

    /// The nearest of `chosen` above a joint.
    fn above(&self, joint: usize, chosen: &[usize]) -> Option<usize> {
        let mut at = self.parents[joint];
        for _ in 0..self.names.len() {
            match at {
                Some(joint) if !chosen.contains(&joint) => at = self.parents[joint],
                found => return found,
            }
        }
        None
    }
}

/// A layout from a file that names all its joints and bones.
///
/// # Errors
/// When the file is missing or malformed, a name is unknown, or the bones are no tree over all joints.
pub fn from_mapping(path: &Path) -> Result<Arc<SkeletonLayout>> {
    let mapping = read(path)?;
    if mapping.joints.is_empty() || mapping.bones.is_empty() {
        let why = "names no joints or no bones, which this kind of data needs";
        return Err(Error::format(path, None, why));
    }
    layout(&mapping, mapping.joints.clone(), None)
        .map(Arc::new)
        .map_err(|e| e.context(path.display().to_string()))
}

/// A layout for a known hierarchy, and for each of its joints the number in the hierarchy.
///
/// # Errors
/// As [`from_mapping`], and when a joint is not in the hierarchy.
pub(crate) fn from_mapping_of(path: &Path, source: &Hierarchy) -> Result<(Arc<SkeletonLayout>, Vec<usize>)> {
    let mapping = read(path)?;
    let place = |e: Error| e.context(path.display().to_string());
    let joints = if mapping.joints.is_empty() {
        source.names.clone()
    } else {
        mapping.joints.clone()
    };
    let number = |name: &String| find(&source.names, name);
    let chosen: Vec<usize> = joints.iter().map(number).collect::<Result<_>>().map_err(place)?;
    let bone = |(child, joint): (usize, &usize)| {
        let above = source.above(*joint, &chosen)?;
        let parent = chosen.iter().position(|c| *c == above)?;
        Some((child, parent))
    };
    let bones: Vec<_> = chosen.iter().enumerate().filter_map(bone).collect();
    let layout = layout(&mapping, joints, Some(bones)).map_err(place)?;
    Ok((Arc::new(layout), chosen))
}

fn read(path: &Path) -> Result<Mapping> {
    let content = text::read(path)?;
    if content.len() > MAX_BYTES {
        let why = format!("has {} bytes, expected at most {MAX_BYTES}", content.len());
        return Err(Error::format(path, None, why));
    }
    serde_yaml::from_str(&content).map_err(|e| {
        let at = e.location().map(|at| format!("{}:{}", at.line(), at.column()));
        Error::format(path, at, e.to_string())
    })
}

fn find(joints: &[String], name: &str) -> Result<usize> {
    let at = joints.iter().position(|j| j == name);
    at.ok_or_else(|| Error::unknown("joint", name, joints.iter().cloned()))
}

fn layout(
    mapping: &Mapping,
    joints: Vec<String>,
    bones: Option<Vec<(usize, usize)>>,
) -> Result<SkeletonLayout> {
    check_joints(&joints)?;
    let at = |name: &String| find(&joints, name);
    let pair = |[a, b]: &Pair| Ok((at(a)?, at(b)?));
    let group = |names: &[String]| names.iter().map(at).collect::<Result<Vec<_>>>();
    let edges = match bones {
        Some(bones) if mapping.bones.is_empty() => bones,
        _ => mapping.bones.iter().map(pair).collect::<Result<Vec<_>>>()?,
    };
    let chosen = [
        group(&mapping.parts.head)?,
        group(&mapping.parts.hands)?,
        group(&mapping.parts.torso)?,
        group(&mapping.parts.legs)?,
    ];
    let names = ["head", "hands", "torso", "legs"];
    if let Some((name, _)) = names.iter().zip(&chosen).find(|(_, joints)| joints.is_empty()) {
        return Err(Error::Input(format!("part `{name}` has no joint")));
    }
    if let Some(joint) = (0..joints.len()).find(|j| !chosen.iter().any(|part| part.contains(j))) {
        return Err(Error::Input(format!("joint `{}` is in no part", joints[joint])));
    }
    let centre = at(&mapping.centre)?;
    let layout = SkeletonLayout {
        name: mapping.name.clone(),
        bones: inward(&edges, joints.len(), centre)?,
        centre,
        spine: mapping.spine.as_ref().map_or(Ok(centre), at)?,
        shoulders: pair(&mapping.shoulders)?,
        mirror: match &mapping.mirror {
            Some(pairs) => pairs.iter().map(pair).collect::<Result<_>>()?,
            None => mirror_pairs(&joints),
        },
        parts: parts(chosen),
        joints,
    };
    layout.validate()?;
    Ok(layout)
}

/// Refuses too many joints, and names that are given twice.
pub(crate) fn check_joints(joints: &[String]) -> Result<()> {
    if joints.is_empty() || joints.len() > MAX_JOINTS {
        let count = joints.len();
        return Err(Error::Input(format!(
            "there are {count} joints, expected 1 to {MAX_JOINTS}"
        )));
    }
    let mut sorted: Vec<_> = joints.iter().collect();
    sorted.sort();
    match sorted.windows(2).find(|pair| pair[0] == pair[1]) {
        Some(pair) => Err(Error::Input(format!("joint `{}` is there twice", pair[0]))),
        None => Ok(()),
    }
}

#[cfg(test)]
#[path = "mapping_tests.rs"]
mod tests;
