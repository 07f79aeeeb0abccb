//! Component blocks: found, looked up in the registry, checked against their schema, and made into options.

use serde::de::DeserializeOwned;
use serde_json::Value;

use super::schema::{Found, Walk, component};
use super::tree::{Node, below, describe};
use super::words::{Complaint, complaints, did_you_mean, known_names};
use crate::error::nearest;
use crate::problems::{Origin, Problem};
use crate::registry::{self, ComponentKind};

/// The tree and what is wrong with it so far.
pub(crate) struct Checker<'a> {
    tree: &'a Node,
    pub problems: Vec<Problem>,
    /// About the form of texts, for which serde may have better words.
    forms: Vec<Problem>,
}

impl<'a> Checker<'a> {
    pub fn new(tree: &'a Node) -> Self {
        let (problems, forms) = (Vec::new(), Vec::new());
        Self {
            tree,
            problems,
            forms,
        }
    }

    fn problem(&self, field: String, message: String, hint: Option<String>, key: bool) -> Problem {
        let origin = Some(self.tree.place(&field, key).clone());
        Problem {
            field,
            message,
            hint,
            origin,
        }
    }

    fn add(&mut self, field: String, message: String, hint: Option<String>, key: bool) {
        let problem = self.problem(field, message, hint, key);
        self.problems.push(problem);
    }

    /// The block at `path` (or the whole file, for an empty path) as options.
    pub fn options<T: DeserializeOwned>(&mut self, sound: bool, path: &str, node: &Node) -> Option<Part<T>> {
        let built = if sound { self.deserialise(path, node) } else { None };
        let forms = std::mem::take(&mut self.forms);
        let unsaid = |form: &Problem| !self.problems.iter().any(|p| p.field == form.field);
        let forms: Vec<_> = forms.into_iter().filter(unsaid).collect();
        let formed = forms.is_empty();
        self.problems.extend(forms);
        match built {
            Some(options) if formed => Some(Part { options, whole: true }),
            _ => self.rest(path, node),
        }
    }

    /// The options without the fields that something is wrong with, so that the others can be judged.
    fn rest<T: DeserializeOwned>(&self, path: &str, node: &Node) -> Option<Part<T>> {
        let mut rest = node.clone();
        rest.map_mut()?.retain(|key, _| {
            let field = join(path, key);
            !self.problems.iter().any(|p| is_within(&p.field, &field))
        });
        let options = serde_path_to_error::deserialize(registry::for_serde(rest.to_value())).ok()?;
        Some(Part {
            options,
            whole: false,
        })
    }

    /// Checks a block and what is nested in it. True when serde may have it.
    pub fn block(&mut self, kind: ComponentKind, path: &str, node: &Node) -> bool {
        if node.map().is_none() {
            return false; // the schema around it has said so
        }
        if !self.named(kind, path, node) {
            return false;
        }
        let Some(info) = component(kind, node) else {
            return false;
        };
        let mut options = node.clone();
        if let Some(fields) = options.map_mut() {
            fields.shift_remove("type");
        }
        let schema = info.schema();
        let sound = self.fields(&schema, &options, path, &format!(" of {kind} `{}`", info.name));
        self.nested(&schema, &mut options, path) && sound
    }

    /// Is `type` there, and a component of this kind?
    fn named(&mut self, kind: ComponentKind, path: &str, node: &Node) -> bool {
        let names: Vec<_> = registry::all()
            .into_iter()
            .filter(|c| c.kind == kind)
            .map(|c| c.name)
            .collect();
        let known = known_names(plural(kind), names.iter().copied());
        let field = below(path, "type");
        let Some(tag) = node.field("type") else {
            let hint = format!("name one, `type: {}`", names.first().unwrap_or(&"..."));
            self.add(field, format!("missing `type`{known}"), Some(hint), true);
            return false;
        };
        let Some(name) = tag.text() else {
            let found = describe(&tag.to_value());
            self.add(
                field,
                format!(
                    "expected the name of {} {kind}, found {found}{known}",
                    article(kind)
                ),
                None,
                false,
            );
            return false;
        };
        if names.contains(&name) {
            return true;
        }
        let message = format!("unknown {kind} `{name}`{known}");
        let elsewhere = registry::named(name).first().map(|c| c.kind);
        let hint = match elsewhere {
            Some(other) => Some(format!(
                "`{name}` is {} {other}, not {} {kind}",
                article(other),
                article(kind)
            )),
            None => nearest(name, names).map(did_you_mean),
        };
        self.add(field, message, hint, false);
        false
    }

    /// Checks fields against a schema.
    pub fn fields(&mut self, schema: &Value, node: &Node, path: &str, owner: &str) -> bool {
        let found = match complaints(schema, &node.to_value()) {
            Ok(found) => found,
            Err(why) => {
                self.add(
                    path.to_owned(),
                    format!("the schema{owner} is broken: {why}"),
                    None,
                    true,
                );
                return false;
            }
        };
        let found: Vec<_> = found
            .into_iter()
            .filter(|c| !empty_component(schema, node, c))
            .collect();
        let sound = found.iter().all(|c| c.form);
        for Complaint {
            field,
            message,
            hint,
            key,
            form,
        } in found
        {
            let own = key && !field.contains(['.', '[']);
            let message = if own { with_owner(&message, owner) } else { message };
            let problem = self.problem(join(path, &field), message, hint, key);
            if form {
                self.forms.push(problem);
            } else {
                self.problems.push(problem);
            }
        }
        sound
    }

    /// Checks the components inside a value.
    pub fn nested(&mut self, schema: &Value, options: &mut Node, path: &str) -> bool {
        let mut inner: Vec<(String, ComponentKind, Node)> = Vec::new();
        let mut visit = |found: Found, field: &str, node: &mut Node| {
            if let Found::Component(kind) = found
                && !inner.iter().any(|(f, ..)| f == field)
            {
                inner.push((field.to_owned(), kind, node.clone()));
            }
        };
        let mut walk = Walk {
            root: schema,
            visit: &mut visit,
        };
        walk.walk(schema, options, "");
        let mut sound = true;
        for (field, kind, node) in &inner {
            sound &= self.block(*kind, &join(path, field), node);
        }
        sound
    }

    /// The last word: serde, with the path of what it refuses.
    fn deserialise<T: DeserializeOwned>(&mut self, path: &str, node: &Node) -> Option<T> {
        let value = registry::for_serde(node.to_value());
        match serde_path_to_error::deserialize::<_, T>(&value) {
            Ok(built) => Some(built),
            Err(error) => {
                let inner = error.path().to_string();
                let field = if inner == "." || inner.contains('?') {
                    path.to_owned()
                } else {
                    join(path, &inner)
                };
                self.add(field, error.inner().to_string(), None, false);
                None
            }
        }
    }
}

/// Options, or as much of them as is sound.
pub(crate) struct Part<T> {
    pub options: T,
    /// Nothing is missing: it may be compared with other parts, and used.
    pub whole: bool,
}

impl<T> Part<T> {
    pub fn whole(self) -> Option<T> {
        self.whole.then_some(self.options)
    }
}

/// Is `field` the field `outer` or inside it?
pub(crate) fn is_within(field: &str, outer: &str) -> bool {
    let rest = field.strip_prefix(outer);
    rest.is_some_and(|rest| outer.is_empty() || rest.is_empty() || rest.starts_with(['.', '[']))
}

/// An optional nested component that was left empty: its schema says "object", serde knows better.
fn empty_component(schema: &Value, node: &Node, complaint: &Complaint) -> bool {
    let steps = super::tree::parts(&complaint.field);
    let mut found = Some(node);
    let mut place = super::schema::resolve(schema, schema);
    for step in steps {
        found = found.and_then(|n| n.child(step));
        place = super::schema::resolve(schema, &place["properties"][step]);
    }
    found.is_some_and(Node::is_null) && super::schema::component_kind(place).is_some()
}

/// `path` and a relative field, which may begin with an index.
fn join(path: &str, field: &str) -> String {
    if field.is_empty() {
        path.to_owned()
    } else if field.starts_with('[') {
        format!("{path}{field}")
    } else {
        below(path, field)
    }
}

/// Puts the owner behind the first line.
fn with_owner(message: &str, owner: &str) -> String {
    match message.split_once('\n') {
        Some((first, rest)) => format!("{first}{owner}\n{rest}"),
        None => format!("{message}{owner}"),
    }
}

/// The article before the word for the kind.
pub(crate) fn article(kind: ComponentKind) -> &'static str {
    match kind {
        ComponentKind::Encoder
        | ComponentKind::Aligner
        | ComponentKind::Adapter
        | ComponentKind::Augmentation => "an",
        _ => "a",
    }
}

fn plural(kind: ComponentKind) -> &'static str {
    match kind {
        ComponentKind::Dataset => "datasets",
        ComponentKind::Preprocessor => "preprocessors",
        ComponentKind::Encoder => "encoders",
        ComponentKind::Semantics => "semantics",
        ComponentKind::TextEncoder => "text encoders",
        ComponentKind::Aligner => "aligners",
        ComponentKind::Adapter => "adapters",
        ComponentKind::Augmentation => "augmentations",
        ComponentKind::Gate => "gates",
        ComponentKind::Launcher => "launchers",
    }
}

/// Sorts by place: files in the order they were read, then overrides in their order.
pub(crate) fn sort(problems: &mut [Problem], files: &[std::path::PathBuf], overrides: &[String]) {
    problems.sort_by_key(|problem| match &problem.origin {
        Some(Origin::File { path, line, column }) => {
            let file = files.iter().position(|f| f == path).unwrap_or(files.len());
            (0, file, *line, *column)
        }
        None => (1, 0, 0, 0),
        Some(Origin::Override(text)) => {
            let at = overrides.iter().position(|o| o == text);
            (2, at.unwrap_or(overrides.len()), 0, 0)
        }
    });
}
