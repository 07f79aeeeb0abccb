//! Paths become absolute: relative to the YAML file that holds the text, or to the working folder when the text
//! came from `--set`.

use std::path::{Path, PathBuf};

use serde_json::Value;

use super::schema::{Found, Walk, component};
use super::tree::{Kind, Node};
use crate::problems::Origin;

/// Which paths to touch.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Texts {
    /// Those that hold no reference; before references are replaced, so that they carry absolute paths.
    Plain,
    /// All; what is absolute stays.
    All,
}

/// Makes the paths below `node` absolute, inside its components too.
pub(crate) fn absolutise(schema: &Value, node: &mut Node, texts: Texts) {
    let mut visit = |found: Found, _: &str, node: &mut Node| match found {
        Found::Path => make_absolute(node, texts),
        Found::Component(kind) => {
            if let Some(info) = component(kind, node) {
                absolutise(&info.schema(), node, texts);
            }
        }
    };
    let mut walk = Walk {
        root: schema,
        visit: &mut visit,
    };
    walk.walk(schema, node, "");
}

fn make_absolute(node: &mut Node, texts: Texts) {
    let Some(text) = node.text().filter(|t| !t.is_empty()) else {
        return;
    };
    if texts == Texts::Plain && text.contains("${") {
        return;
    }
    let joined = expand_home(text).unwrap_or_else(|| folder(&node.origin).join(text));
    // Drops `.` but keeps `..`, which only the file system can resolve across links.
    let clean: PathBuf = joined.components().collect();
    node.kind = Kind::Scalar(Value::String(clean.to_string_lossy().into_owned()));
}

fn folder(origin: &Origin) -> PathBuf {
    match origin {
        Origin::File { path, .. } => {
            let parent = path.parent().filter(|p| !p.as_os_str().is_empty());
            let parent = parent.unwrap_or(Path::new("."));
            std::path::absolute(parent).unwrap_or_else(|_| parent.to_owned())
        }
        Origin::Override(_) => working_folder(),
    }
}

fn working_folder() -> PathBuf {
    std::env::current_dir().unwrap_or_default()
}

/// `~` and `~/...` in the home folder.
pub(crate) fn expand_home(text: &str) -> Option<PathBuf> {
    let rest = text.strip_prefix('~')?;
    let home = std::env::home_dir()?;
    match rest.strip_prefix('/') {
        Some(below) => Some(home.join(below)),
        None if rest.is_empty() => Some(home),
        None => None,
    }
}
