//! Names of videos, and which of them train or test.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use szar_core::{Error, Result, SampleRole};

use super::super::text;
use super::role;

/// Which videos test the seen classes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum PkuMmdProtocol {
    /// As the set's file `cross-subject.txt` says; the names do not tell the subjects.
    #[default]
    CrossSubject,
    /// As the set's file `cross-view.txt` says; without one, middle and right train, left tests.
    CrossView,
}

/// Letter of the view in a video's name `0002-L`, `A01N01-L`; `None` for any other file.
pub(super) fn view(video: &str) -> Option<char> {
    let (number, view) = video.split_once('-')?;
    let named = !number.is_empty() && number.bytes().all(|b| b.is_ascii_alphanumeric());
    let letter = view
        .chars()
        .next()
        .filter(|v| "LMR".contains(*v) && view.len() == 1);
    letter.filter(|_| named && number.bytes().any(|b| b.is_ascii_digit()))
}

/// What tells the role of a video.
#[derive(Debug)]
pub(super) enum Roles {
    /// Listed; those that are not belong to neither part.
    Listed(BTreeMap<String, SampleRole>),
    /// The left view tests.
    ByView,
}

impl Roles {
    pub(super) fn role(&self, video: &str) -> SampleRole {
        match self {
            Self::Listed(list) => list.get(video).copied().unwrap_or(SampleRole::Outside),
            Self::ByView => role(view(video) == Some('L')),
        }
    }
}

/// The roles of a protocol, from the file named, else from the set's own where it is found.
///
/// # Errors
/// When a file that is needed is not there or malformed.
pub(super) fn roles(protocol: PkuMmdProtocol, named: Option<&Path>, root: &Path) -> Result<Roles> {
    let file = match protocol {
        PkuMmdProtocol::CrossSubject => "cross-subject.txt",
        PkuMmdProtocol::CrossView => "cross-view.txt",
    };
    let above = root.parent().unwrap_or(root);
    let places: [PathBuf; 4] = [
        root.join(file),
        root.join("Split").join(file),
        above.join(file),
        above.join("Split").join(file),
    ];
    let found = named.or_else(|| places.iter().map(PathBuf::as_path).find(|p| p.is_file()));
    match (found, protocol) {
        (Some(path), _) => parse(path, &text::read(path)?).map(Roles::Listed),
        (None, PkuMmdProtocol::CrossView) => Ok(Roles::ByView),
        (None, PkuMmdProtocol::CrossSubject) => {
            let why =
                format!("has no `{file}` beside it, which says who trains and who tests; name it: `videos`");
            Err(Error::format(root, None, why))
        }
    }
}

/// `Training videos:` and `Validation videos:`, each with names parted by commas.
pub(super) fn parse(path: &Path, content: &str) -> Result<BTreeMap<String, SampleRole>> {
    let mut list = BTreeMap::new();
    let mut current = None;
    for (at, line) in content.lines().enumerate() {
        let bad = |why: String| Error::format(path, text::place(at), why);
        let lower = line.trim().to_ascii_lowercase();
        if lower.ends_with(':') {
            // The set's own files write "Validataion".
            current = match lower {
                _ if lower.starts_with("train") => Some(SampleRole::Train),
                _ if lower.starts_with("valid") || lower.starts_with("test") => Some(SampleRole::Test),
                _ => {
                    let found = text::short(line.trim());
                    return Err(bad(format!(
                        "expected `Training videos:` or `Validation videos:`, found `{found}`"
                    )));
                }
            };
            continue;
        }
        for video in line.split(',').map(str::trim).filter(|v| !v.is_empty()) {
            let role = current.ok_or_else(|| bad("a video comes before `Training videos:`".into()))?;
            if view(video).is_none() {
                let found = text::short(video);
                return Err(bad(format!("expected a video such as `0002-L`, found `{found}`")));
            }
            if list
                .insert(video.to_owned(), role)
                .is_some_and(|before| before != role)
            {
                return Err(bad(format!("video `{video}` both trains and tests")));
            }
        }
    }
    if list.is_empty() {
        return Err(Error::format(path, None, "names no video"));
    }
    Ok(list)
}
