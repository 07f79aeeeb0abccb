//! Skeleton layouts: the known ones by name, and those of a dataset folder by its joint names.
//!
//! Bones point inward, `(child, parent)` with the parent nearer to [`SkeletonLayout::centre`], as the graph
//! encoders want them. The four parts overlap where limbs join the trunk, as the first row of the published
//! partitions of the 25 Kinect v2 joints does (Skeleton-Cache, PURLS).

mod derive;
mod known;
pub(crate) mod mapping;

use std::path::Path;
use std::sync::Arc;

use szar_core::{Error, Result, SkeletonLayout};

pub use mapping::from_mapping;

use crate::readers::text;

/// All known layouts, sorted by name.
pub fn all() -> Vec<Arc<SkeletonLayout>> {
    known::layouts().to_vec()
}

/// A known layout.
///
/// # Errors
/// [`Error::Unknown`] with the nearest name.
pub fn by_name(name: &str) -> Result<Arc<SkeletonLayout>> {
    let found = known::layouts().iter().find(|l| l.name == name);
    found.cloned().ok_or_else(|| {
        let names = known::layouts().iter().map(|l| l.name.clone());
        Error::unknown("skeleton layout", name, names)
    })
}

/// The layout of a dataset folder with `joints.txt` (a joint name a line) and `bones.json` (`[[child, parent], ...]`).
///
/// Joints that are exactly those of a known layout give that layout, with its bones, so that graphs and weights
/// fit whatever tree the folder spells; of two layouts with the same joints the first by name. Other joints give a
/// layout of their own, whose centre, parts and mirror pairs are derived from the names.
///
/// # Errors
/// When a file is missing or malformed, or the names do not tell the body parts.
pub fn from_files(folder: &Path) -> Result<Arc<SkeletonLayout>> {
    let joints = text::lines(&folder.join("joints.txt"))?;
    if let Some(known) = known::layouts().iter().find(|l| l.joints == joints) {
        return Ok(Arc::clone(known));
    }
    let bones = read_bones(&folder.join("bones.json"), joints.len())?;
    let name = folder
        .file_name()
        .map_or("skeleton".into(), |n| n.to_string_lossy().into_owned());
    let layout = derive::layout(&name, joints, &bones)
        .map_err(|e| e.context(folder.join("joints.txt").display().to_string()))?;
    Ok(Arc::new(layout))
}

/// The layout of a hierarchy: the known one with these joints, else one derived from the names.
///
/// # Errors
/// When the names do not tell the body parts, or there are too many joints.
pub(crate) fn from_hierarchy(name: &str, source: &mapping::Hierarchy) -> Result<Arc<SkeletonLayout>> {
    mapping::check_joints(&source.names)?;
    if let Some(known) = known::layouts().iter().find(|l| l.joints == source.names) {
        return Ok(Arc::clone(known));
    }
    derive::layout(name, source.names.clone(), &source.bones()).map(Arc::new)
}

fn read_bones(path: &Path, joints: usize) -> Result<Vec<(usize, usize)>> {
    let content = text::read(path)?;
    let bones: Vec<(usize, usize)> =
        serde_json::from_str(&content).map_err(|e| Error::format(path, None, e.to_string()))?;
    if let Some((a, b)) = bones.iter().find(|(a, b)| *a.max(b) >= joints) {
        let why = format!("bone [{a}, {b}] names a joint that is not there; `joints.txt` has {joints}");
        return Err(Error::format(path, None, why));
    }
    Ok(bones)
}

/// Turns undirected edges into `(child, parent)` pairs towards `centre`, in the order given.
///
/// # Errors
/// [`Error::Input`] unless the edges are one tree over all joints.
fn inward(edges: &[(usize, usize)], joints: usize, centre: usize) -> Result<Vec<(usize, usize)>> {
    let mut depth = vec![usize::MAX; joints];
    depth[centre] = 0;
    for step in 0..joints {
        for &(a, b) in edges {
            for (near, far) in [(a, b), (b, a)] {
                if depth[near] == step && depth[far] == usize::MAX {
                    depth[far] = step + 1;
                }
            }
        }
    }
    let apart = depth.iter().position(|d| *d == usize::MAX);
    if let (Some(joint), _) | (None, Some(joint)) = (apart, (edges.len() + 1 != joints).then_some(0)) {
        let why = "the bones must be one tree over all joints";
        return Err(Error::Input(format!(
            "{why}: {joints} joints, {} bones, joint {joint} is the first that does not fit",
            edges.len()
        )));
    }
    let child_first = |&(a, b): &(usize, usize)| if depth[a] > depth[b] { (a, b) } else { (b, a) };
    Ok(edges.iter().map(child_first).collect())
}

#[cfg(test)]
mod tests;
