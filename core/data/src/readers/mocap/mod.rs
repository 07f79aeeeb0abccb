//! Motion capture: joint angles and a hierarchy in, joint positions out.

mod amc;
mod asf;
mod asf_amc;
mod bvh;
mod bvh_file;
mod rotation;

use std::path::Path;
use std::sync::Arc;

use szar_core::{Error, Result, SkeletonLayout};

use crate::layouts;
use crate::layouts::mapping::{self, Hierarchy};

pub use asf_amc::AsfAmcConfig;
pub use bvh::BvhConfig;

/// The layout for a hierarchy, from the description where there is one, and the source joint of each of its joints.
fn layout_of(
    name: &str,
    source: &Hierarchy,
    description: Option<&Path>,
    path: &Path,
) -> Result<(Arc<SkeletonLayout>, Vec<usize>)> {
    if let Some(description) = description {
        return mapping::from_mapping_of(description, source);
    }
    let layout = layouts::from_hierarchy(name, source).map_err(|e| {
        let hint = "or describe the skeleton in a file: `layout_file`";
        e.context(format!("{} ({hint})", path.display()))
    })?;
    Ok((layout, (0..source.names.len()).collect()))
}

/// Refuses a file whose hierarchy is not that of the first.
fn check_same(path: &Path, found: &Hierarchy, first: &Hierarchy, first_path: &Path) -> Result<()> {
    if found == first {
        return Ok(());
    }
    let differ = |joint: &usize| {
        found.names.get(*joint) != first.names.get(*joint)
            || found.parents.get(*joint) != first.parents.get(*joint)
    };
    let count = found.names.len().max(first.names.len());
    let joint = (0..count).find(differ).unwrap_or(0);
    let show = |h: &Hierarchy| match (h.names.get(joint), h.parents.get(joint)) {
        (Some(name), Some(Some(parent))) => format!("`{name}` below `{}`", h.names[*parent]),
        (Some(name), _) => format!("`{name}` below nothing"),
        _ => "none".into(),
    };
    let why = format!(
        "has another hierarchy than {}, expected one for all files: joint {joint} is {}, there {}",
        first_path.display(),
        show(found),
        show(first)
    );
    Err(Error::format(path, None, why))
}
