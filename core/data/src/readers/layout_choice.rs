//! The skeleton of data that does not say its own: a known layout by name, or one described in a file.

use std::sync::Arc;

use szar_core::{Error, FilePath, Problems, Result, SkeletonLayout};

use crate::layouts;

/// Judges the options `layout` and `layout_file`: one of them.
pub(crate) fn validate(name: Option<&str>, file: Option<&FilePath>, problems: &mut Problems) {
    problems.check(name.is_some() != file.is_some(), "layout", || {
        let known: Vec<_> = layouts::all().iter().map(|l| l.name.clone()).collect();
        let known = known.join(", ");
        format!("expected one of `layout` (a known skeleton: {known}) and `layout_file` (a description of another)")
    });
    if let Some(Err(unknown)) = name.map(layouts::by_name) {
        problems.add("layout", unknown.to_string());
    }
}

/// The layout that the options name.
pub(crate) fn resolve(name: Option<&str>, file: Option<&FilePath>) -> Result<Arc<SkeletonLayout>> {
    match (name, file) {
        (Some(name), None) => layouts::by_name(name),
        (None, Some(file)) => layouts::from_mapping(file.as_ref()),
        _ => Err(Error::Missing("`layout` or `layout_file`, one of them".into())),
    }
}
