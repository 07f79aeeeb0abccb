//! The recordings of a folder, found by name, and the list of those whose skeletons are missing.

use std::collections::{BTreeMap, BTreeSet};
use std::fs::File;
use std::io::Read;
use std::path::{Path, PathBuf};

use szar_core::{Error, Result};

use super::name::Name;
use crate::readers::text;

const ENDING: &str = ".skeleton";
/// Folders within folders that are looked into.
const DEEPEST: usize = 8;
/// Largest file that is read: 256 MiB; the originals have a few.
const MAX_BYTES: u64 = 1 << 28;

/// All files `SsssCcccPpppRrrrAaaa.skeleton` in a folder and those within it; links to folders are not followed.
///
/// # Errors
/// When a folder cannot be read, none is found, a `.skeleton` file has another name, or two have the same.
pub(super) fn find(root: &Path) -> Result<BTreeMap<Name, PathBuf>> {
    let mut found: BTreeMap<Name, PathBuf> = BTreeMap::new();
    let mut open = vec![(root.to_owned(), 0)];
    while let Some((folder, depth)) = open.pop() {
        for entry in std::fs::read_dir(&folder).map_err(|e| Error::read(&folder, e))? {
            let entry = entry.map_err(|e| Error::read(&folder, e))?;
            let path = entry.path();
            if entry.file_type().map_err(|e| Error::read(&path, e))?.is_dir() {
                if depth < DEEPEST {
                    open.push((path, depth + 1));
                }
                continue;
            }
            let file = entry.file_name();
            let Some(stem) = file.to_str().and_then(|name| name.strip_suffix(ENDING)) else {
                continue;
            };
            let name = Name::parse(stem).ok_or_else(|| {
                let why = format!("expected a name `SsssCcccPpppRrrrAaaa{ENDING}` of numbers from 001");
                Error::format(&path, None, why)
            })?;
            if let Some(other) = found.get(&name) {
                // Which one comes first is up to the file system; the message is not.
                let (first, second) = if *other < path {
                    (other, &path)
                } else {
                    (&path, other)
                };
                let why = format!("is there twice, also as {}", second.display());
                return Err(Error::format(first, None, why));
            }
            found.insert(name, path);
        }
    }
    if found.is_empty() {
        let why = format!("holds no file `SsssCcccPpppRrrrAaaa{ENDING}`, nor do its folders");
        return Err(Error::format(root, None, why));
    }
    Ok(found)
}

/// The names of a list, one a line, with or without ending; lines before the first name and blank ones are passed over.
///
/// # Errors
/// When the file cannot be read, has no name, or a line after the first name is none.
pub(super) fn list(path: &Path) -> Result<BTreeSet<Name>> {
    let content = text::read(path)?;
    let mut names = BTreeSet::new();
    for (at, line) in content
        .lines()
        .map(str::trim)
        .enumerate()
        .filter(|(_, l)| !l.is_empty())
    {
        match Name::parse(line.strip_suffix(ENDING).unwrap_or(line)) {
            Some(name) => {
                names.insert(name);
            }
            None if names.is_empty() => {}
            None => {
                let why = format!(
                    "expected a name `SsssCcccPpppRrrrAaaa`, found `{}`",
                    text::short(line)
                );
                return Err(Error::format(path, text::place(at), why));
            }
        }
    }
    if names.is_empty() {
        return Err(Error::format(path, None, "has no line `SsssCcccPpppRrrrAaaa`"));
    }
    Ok(names)
}

/// The bytes of a recording.
pub(super) fn read(path: &Path) -> Result<Vec<u8>> {
    let file = File::open(path).map_err(|e| Error::read(path, e))?;
    let length = file.metadata().map_err(|e| Error::read(path, e))?.len();
    if length > MAX_BYTES {
        let why = format!("has {length} bytes, expected at most {MAX_BYTES}");
        return Err(Error::format(path, None, why));
    }
    let mut bytes = Vec::with_capacity(length as usize);
    let read = file.take(MAX_BYTES).read_to_end(&mut bytes);
    read.map_err(|e| Error::read(path, e))?;
    Ok(bytes)
}
