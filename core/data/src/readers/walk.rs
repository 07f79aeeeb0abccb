//! The files of a dataset that has one file, or one folder, a sequence.

use std::path::{Path, PathBuf};

use szar_core::{Error, Result};

/// Folders in folders: deeper ones are not looked into, so that a link to a parent comes to an end.
const MAX_DEPTH: usize = 12;

/// One file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Found {
    /// Path below the root without the ending, parted by `/`: the name of the sample.
    pub(crate) name: String,
    pub(crate) path: PathBuf,
}

/// All files below `root` with one of the endings (`bvh`, in any case), by name; hidden ones are left out. A root that is
/// itself such a file is the only one.
///
/// # Errors
/// When a folder cannot be read, nothing is found (`what` says what was looked for) or two files differ only in
/// their ending.
pub(crate) fn files(root: &Path, endings: &[&str], what: &str) -> Result<Vec<Found>> {
    let mut found = Vec::new();
    if root.is_file() {
        found.extend(named(root, "", endings));
    } else {
        descend(root, "", endings, 0, &mut found)?;
    }
    found.sort_by_cached_key(|f| natural(&f.name));
    if found.is_empty() {
        return Err(Error::format(root, None, format!("holds no {what}")));
    }
    if let Some(pair) = found.windows(2).find(|pair| pair[0].name == pair[1].name) {
        let why = format!(
            "has the same name but for the ending as {}, expected one file a sample",
            pair[0].path.display()
        );
        return Err(Error::format(&pair[1].path, None, why));
    }
    Ok(found)
}

fn descend(folder: &Path, above: &str, endings: &[&str], depth: usize, found: &mut Vec<Found>) -> Result<()> {
    for entry in std::fs::read_dir(folder).map_err(|e| Error::read(folder, e))? {
        let path = entry.map_err(|e| Error::read(folder, e))?.path();
        let name = path
            .file_name()
            .unwrap_or_default()
            .to_string_lossy()
            .into_owned();
        if name.starts_with('.') {
            continue;
        }
        if path.is_dir() {
            if depth < MAX_DEPTH {
                descend(&path, &format!("{above}{name}/"), endings, depth + 1, found)?;
            }
            continue;
        }
        found.extend(named(&path, above, endings));
    }
    Ok(())
}

/// The file, if it has one of the endings.
fn named(path: &Path, above: &str, endings: &[&str]) -> Option<Found> {
    let name = path.file_name().unwrap_or_default().to_string_lossy();
    let (stem, ending) = name.rsplit_once('.')?;
    endings
        .iter()
        .any(|e| e.eq_ignore_ascii_case(ending))
        .then(|| Found {
            name: format!("{above}{stem}"),
            path: path.to_owned(),
        })
}

/// A key that puts `2` before `10`: numbers compare by their value, the rest as text.
pub(crate) fn natural(name: &str) -> Vec<(usize, String)> {
    let mut parts: Vec<(usize, String)> = Vec::new();
    let mut digits = false;
    for c in name.chars() {
        if parts.is_empty() || c.is_ascii_digit() != digits {
            digits = c.is_ascii_digit();
            parts.push((0, String::new()));
        }
        if let Some((_, part)) = parts.last_mut() {
            part.push(c);
        }
    }
    for (length, part) in &mut parts {
        if part.starts_with(|c: char| c.is_ascii_digit()) {
            let value = part.trim_start_matches('0');
            *length = 1 + value.len();
            *part = value.to_owned();
        } else {
            *length = usize::MAX; // after numbers, as text
        }
    }
    parts.push((0, name.to_owned())); // `1` and `01` are told apart, in a fixed order
    parts
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_relative_and_numbers_go_by_value() {
        let dir = tempfile::tempdir().unwrap();
        for name in ["b/10.txt", "b/2.TXT", "a.txt", ".hidden.txt", "b/c.md"] {
            let path = dir.path().join(name);
            std::fs::create_dir_all(path.parent().unwrap()).unwrap();
            std::fs::write(path, "").unwrap();
        }
        let found = files(dir.path(), &["txt"], "text").unwrap();
        let names: Vec<_> = found.iter().map(|f| f.name.as_str()).collect();
        assert_eq!(names, ["a", "b/2", "b/10"]);
        let one = files(&dir.path().join("b/10.txt"), &["txt"], "text").unwrap();
        assert_eq!((one.len(), one[0].name.as_str()), (1, "10"));
        assert!(files(&dir.path().join("b/c.md"), &["txt"], "text").is_err());
        let none = files(dir.path(), &["bvh"], "motion files `*.bvh`").unwrap_err();
        assert!(none.to_string().ends_with("holds no motion files `*.bvh`"));
    }

    #[test]
    fn two_endings_of_one_name_are_refused() {
        let dir = tempfile::tempdir().unwrap();
        for name in ["a.amc", "a.AMC"] {
            std::fs::write(dir.path().join(name), "").unwrap();
        }
        let text = files(dir.path(), &["amc"], "motions").unwrap_err().to_string();
        assert!(text.contains("the same name but for the ending"), "{text}");
    }
}
