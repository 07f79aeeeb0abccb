//! The files of a dataset, lying open in a folder or packed in one zip archive there.

use std::collections::BTreeMap;
use std::fs::File;
use std::io::{BufReader, Read};
use std::path::{Path, PathBuf};

use szar_core::{Error, Problems, Result};
use zip::ZipArchive;

use super::text;

/// Largest text file that is read from an archive: 1 GiB.
const MAX_BYTES: u64 = 1 << 30;

/// Text files by name (without folders); the path names the archive where there is one.
pub(crate) type Texts = BTreeMap<String, (PathBuf, String)>;

/// Refuses an empty `root`.
pub(crate) fn check_root(root: &Path, problems: &mut Problems) {
    problems.check(!root.as_os_str().is_empty(), "root", || {
        "must name the folder of the dataset".into()
    });
}

/// All files in `folder` and in its zip archives whose names `wanted` accepts. An open file goes before a packed one.
///
/// # Errors
/// When the folder or an archive cannot be read, or nothing is found: the error says what was looked for.
pub(crate) fn texts(folder: &Path, wanted: impl Fn(&str) -> bool, what: &str) -> Result<Texts> {
    let mut found = Texts::new();
    let mut archives = Vec::new();
    for entry in std::fs::read_dir(folder).map_err(|e| Error::read(folder, e))? {
        let path = entry.map_err(|e| Error::read(folder, e))?.path();
        let name = path
            .file_name()
            .unwrap_or_default()
            .to_string_lossy()
            .into_owned();
        if wanted(&name) {
            let content = text::read(&path)?;
            found.insert(name, (path, content));
        } else if path.extension().is_some_and(|e| e.eq_ignore_ascii_case("zip")) {
            archives.push(path);
        }
    }
    archives.sort();
    for path in archives {
        unpack(&path, &wanted, &mut found)?;
    }
    if found.is_empty() {
        let why = format!("holds no {what}, neither open nor in a zip archive");
        return Err(Error::format(folder, None, why));
    }
    Ok(found)
}

fn unpack(path: &Path, wanted: impl Fn(&str) -> bool, found: &mut Texts) -> Result<()> {
    let bad = |e: &dyn std::fmt::Display| Error::format(path, None, format!("cannot be unpacked: {e}"));
    let file = File::open(path).map_err(|e| Error::read(path, e))?;
    let mut archive = ZipArchive::new(BufReader::new(file)).map_err(|e| bad(&e))?;
    for index in 0..archive.len() {
        let entry = archive.by_index(index).map_err(|e| bad(&e))?;
        let inside = entry.name().map_err(|e| bad(&e))?.into_owned();
        let name = inside.rsplit('/').next().unwrap_or_default().to_owned();
        if !wanted(&name) || found.contains_key(&name) {
            continue;
        }
        let mut bytes = Vec::new();
        let read = entry.take(MAX_BYTES).read_to_end(&mut bytes);
        read.map_err(|e| bad(&format!("`{inside}`: {e}")))?;
        let place = path.join(inside);
        let content = text::decode(&place, bytes)?;
        found.insert(name, (place, content));
    }
    Ok(())
}
