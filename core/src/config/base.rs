//! Files that build on other files: `base: other.yaml`.

use std::path::{Path, PathBuf};

use super::tree::{Kind, Node};
use super::yaml::{self, Source};
use crate::problems::{Origin, Problem};
use crate::{Error, Result};

/// Files that one configuration may be made of, at most.
const FILES: usize = 100;

/// Reads a file and everything it builds on.
#[derive(Debug, Default)]
pub(crate) struct Reader {
    /// Every file read, as it was named, in order.
    pub files: Vec<PathBuf>,
    pub problems: Vec<Problem>,
    /// The files that led to the one being read.
    chain: Vec<PathBuf>,
}

impl Reader {
    /// The tree of `text`, which stands in `path`, merged over its bases.
    ///
    /// # Errors
    /// [`Error::Format`] when the text is not YAML.
    pub fn read(&mut self, text: &str, path: &Path) -> Result<Node> {
        let source = Source::File(path);
        let parsed = yaml::parse(text, source, &mut self.problems).map_err(|e| {
            let at = match e.origin {
                Origin::File { line, column, .. } => Some(format!("{line}:{column}")),
                Origin::Override(_) => None,
            };
            Error::format(path, at, format!("not valid YAML: {}", e.why))
        })?;
        self.files.push(path.to_owned());
        let empty = || Node {
            origin: source.start(),
            kind: Kind::Map(Default::default()),
        };
        let own = parsed.filter(|node| !node.is_null()).unwrap_or_else(empty);
        self.chain.push(identity(path));
        let merged = self.over_bases(own, path);
        self.chain.pop();
        Ok(merged)
    }

    fn over_bases(&mut self, mut own: Node, path: &Path) -> Node {
        let Some(entry) = own.map_mut().and_then(|fields| fields.shift_remove("base")) else {
            return own;
        };
        let listed = match entry.node.kind {
            Kind::List(items) => items,
            _ => vec![entry.node],
        };
        let mut under: Option<Node> = None;
        for name in listed {
            if let Some(base) = self.base(&name, path) {
                under = Some(under.map_or(base.clone(), |u| merge(u, base)));
            }
        }
        under.map_or(own.clone(), |under| merge(under, own))
    }

    fn base(&mut self, name: &Node, from: &Path) -> Option<Node> {
        let Some(text) = name.text() else {
            self.refuse(name, "expected the name of a YAML file".into());
            return None;
        };
        let path = super::paths::expand_home(text).unwrap_or_else(|| from.with_file_name("").join(text));
        let id = identity(&path);
        if self.chain.contains(&id) {
            let mut names: Vec<_> = self.chain.iter().chain([&id]).map(|p| short(p)).collect();
            names.dedup();
            self.refuse(
                name,
                format!("base `{text}` builds on itself: {}", names.join(" -> ")),
            );
            return None;
        }
        if self.files.len() >= FILES {
            self.refuse(name, format!("more than {FILES} files"));
            return None;
        }
        let read = std::fs::read_to_string(&path).map_err(|e| Error::read(&path, e));
        match read.and_then(|content| self.read(&content, &path)) {
            Ok(node) if node.map().is_some() => return Some(node),
            Ok(_) => self.refuse(name, format!("base `{text}` is no block of fields")),
            Err(error) => self.refuse(name, format!("base `{text}`: {error}")),
        }
        None
    }

    fn refuse(&mut self, name: &Node, message: String) {
        self.problems.push(Problem {
            field: "base".into(),
            message,
            hint: None,
            origin: Some(name.origin.clone()),
        });
    }
}

fn identity(path: &Path) -> PathBuf {
    path.canonicalize().unwrap_or_else(|_| path.to_owned())
}

fn short(path: &Path) -> String {
    let name = path.file_name().unwrap_or(path.as_os_str());
    name.to_string_lossy().into_owned()
}

/// `over` laid on `under`: maps field by field, everything else is replaced. A block of another `type` is another
/// component and replaces the whole block.
pub(crate) fn merge(mut under: Node, over: Node) -> Node {
    let other_type = matches!(
        (under.field("type").map(|n| n.to_value()), over.field("type").map(|n| n.to_value())),
        (Some(a), Some(b)) if a != b
    );
    match (&mut under.kind, over.kind) {
        (Kind::Map(fields), Kind::Map(new)) if !other_type => {
            for (key, entry) in new {
                match fields.get_mut(&key) {
                    Some(old) => {
                        let below =
                            std::mem::replace(&mut old.node, Node::scalar(().into(), entry.key.clone()));
                        old.node = merge(below, entry.node);
                        old.key = entry.key;
                    }
                    None => {
                        fields.insert(key, entry);
                    }
                }
            }
            under.origin = over.origin;
            under
        }
        (_, kind) => Node {
            origin: over.origin,
            kind,
        },
    }
}
