//! `${a.b.0.c}` in a text stands for another value of the same configuration; `$${` for a plain `${`.

use std::borrow::Cow;
use std::collections::BTreeSet;

use indexmap::IndexMap;
use serde_json::Value;

use super::tree::{Entry, Kind, Node, below, describe, parts};
use super::yaml::DEPTH;
use crate::error::nearest;
use crate::problems::Problem;

/// References followed, and bytes of text made of them, at most: references to references multiply.
const REFERENCES: usize = 10_000;
const TEXT: usize = 1 << 20;

/// Replaces every reference. A text that cannot be resolved stays as it is; its field is in the returned set, so
/// that nothing more is said about it. `defaults` gives values that the user left out.
pub(crate) fn interpolate(
    root: &mut Node,
    defaults: &dyn Fn(&[&str]) -> Option<Value>,
    problems: &mut Vec<Problem>,
) -> BTreeSet<String> {
    let source = root.clone();
    let mut pass = Pass {
        source: &source,
        defaults,
        active: Vec::new(),
        left: REFERENCES,
    };
    let mut broken = BTreeSet::new();
    pass.all(root, "", &mut |field, node, Why { message, hint }| {
        broken.insert(field.to_owned());
        problems.push(Problem {
            field: field.to_owned(),
            message,
            hint,
            origin: Some(node.origin.clone()),
        });
    });
    broken
}

/// Puts the `$` back before every `${`, so that the text means itself when it is read again.
pub(crate) fn escape(value: &mut Value) {
    match value {
        Value::String(text) => *text = text.replace("${", "$${"),
        Value::Array(items) => items.iter_mut().for_each(escape),
        Value::Object(fields) => fields.values_mut().for_each(escape),
        _ => {}
    }
}

struct Why {
    message: String,
    hint: Option<String>,
}

fn because<T>(message: impl Into<String>) -> Result<T, Why> {
    let (message, hint) = (message.into(), None);
    Err(Why { message, hint })
}

enum Piece<'t> {
    Text(&'t str),
    Reference(&'t str),
}

struct Pass<'a> {
    source: &'a Node,
    defaults: &'a dyn Fn(&[&str]) -> Option<Value>,
    /// Fields whose texts are being resolved.
    active: Vec<String>,
    left: usize,
}

impl Pass<'_> {
    fn all(&mut self, node: &mut Node, field: &str, refuse: &mut dyn FnMut(&str, &Node, Why)) {
        match &mut node.kind {
            Kind::List(items) => {
                for (i, item) in items.iter_mut().enumerate() {
                    self.all(item, &format!("{field}[{i}]"), refuse);
                }
            }
            Kind::Map(fields) => {
                for (key, entry) in fields {
                    self.all(&mut entry.node, &below(field, key), refuse);
                }
            }
            Kind::Scalar(_) => match self.scalar(node, field, 0) {
                Ok(resolved) => *node = resolved,
                Err(why) => refuse(field, node, why),
            },
        }
    }

    /// The node with every reference in it replaced.
    fn whole(&mut self, node: &Node, field: &str, level: usize) -> Result<Node, Why> {
        if level > DEPTH {
            return because(format!("references nest deeper than {DEPTH} levels"));
        }
        self.spend()?;
        let kind = match &node.kind {
            Kind::Scalar(_) => return self.scalar(node, field, level),
            Kind::List(items) => {
                let each = items.iter().enumerate();
                let each = each.map(|(i, item)| self.whole(item, &format!("{field}[{i}]"), level + 1));
                Kind::List(each.collect::<Result<_, _>>()?)
            }
            Kind::Map(fields) => {
                let mut resolved = IndexMap::new();
                for (name, entry) in fields {
                    let (key, node) = (
                        entry.key.clone(),
                        self.whole(&entry.node, &below(field, name), level + 1)?,
                    );
                    resolved.insert(name.clone(), Entry { key, node });
                }
                Kind::Map(resolved)
            }
        };
        let origin = node.origin.clone();
        Ok(Node { origin, kind })
    }

    fn scalar(&mut self, node: &Node, field: &str, level: usize) -> Result<Node, Why> {
        let Some(text) = node.text().filter(|_| is_interpolated(node)) else {
            return Ok(node.clone());
        };
        if let Some(start) = self.active.iter().position(|f| f == field) {
            let mut chain = self.active[start..].to_vec();
            chain.push(field.to_owned());
            return because(format!("`{field}` refers to itself: {}", chain.join(" -> ")));
        }
        if level > DEPTH {
            return because(format!("references nest deeper than {DEPTH} levels"));
        }
        self.active.push(field.to_owned());
        let resolved = self.text(text, level);
        self.active.pop();
        let kind = resolved?;
        let origin = node.origin.clone();
        Ok(Node { origin, kind })
    }

    fn text(&mut self, text: &str, level: usize) -> Result<Kind, Why> {
        let pieces = pieces(text)?;
        if let [Piece::Reference(path)] = pieces[..] {
            return Ok(self.value(path, level)?.kind);
        }
        let mut out = String::new();
        for piece in pieces {
            match piece {
                Piece::Text(plain) => out.push_str(plain),
                Piece::Reference(path) => match self.value(path, level)?.kind {
                    Kind::Scalar(Value::String(text)) => out.push_str(&text),
                    Kind::Scalar(value @ (Value::Bool(_) | Value::Number(_))) => {
                        out.push_str(&value.to_string());
                    }
                    other => {
                        let what = match other {
                            Kind::List(_) => "a list".into(),
                            Kind::Map(_) => "a block of fields".into(),
                            Kind::Scalar(value) => describe(&value),
                        };
                        return because(format!(
                            "`${{{path}}}` is {what}, which cannot stand inside a text"
                        ));
                    }
                },
            }
            if out.len() > TEXT {
                return because("references make this text too long");
            }
        }
        Ok(Kind::Scalar(Value::String(out)))
    }

    /// What a reference stands for.
    fn value(&mut self, path: &str, level: usize) -> Result<Node, Why> {
        self.spend()?;
        let steps = parts(path);
        if steps.is_empty() {
            return because(format!("`${{{path}}}` names no field"));
        }
        let (mut node, mut field) = (Cow::Borrowed(self.source), String::new());
        for step in &steps {
            if is_interpolated(&node) {
                // A reference may go through a text that is itself a reference to a block.
                node = Cow::Owned(self.scalar(&node, &field, level + 1)?);
            }
            let child = match &node {
                Cow::Borrowed(node) => node.child(step).map(Cow::Borrowed),
                Cow::Owned(node) => node.child(step).cloned().map(Cow::Owned),
            };
            let Some(child) = child else {
                return match (self.defaults)(&steps) {
                    Some(value) => Ok(Node::from_value(value, &self.source.origin)),
                    None => unknown(path, step, &node),
                };
            };
            field = match node.kind {
                Kind::List(_) => format!("{field}[{step}]"),
                _ => below(&field, step),
            };
            node = child;
        }
        self.whole(&node, &field, level + 1)
    }

    fn spend(&mut self) -> Result<(), Why> {
        if self.left == 0 {
            return because(format!("more than {REFERENCES} references to follow"));
        }
        self.left -= 1;
        Ok(())
    }
}

fn is_interpolated(node: &Node) -> bool {
    node.text().is_some_and(|text| text.contains("${"))
}

fn unknown<T>(path: &str, step: &str, parent: &Node) -> Result<T, Why> {
    let message = format!("`${{{path}}}` refers to nothing: there is no `{step}`");
    let keys = parent
        .map()
        .into_iter()
        .flat_map(|fields| fields.keys().map(String::as_str));
    let hint = nearest(step, keys).map(|near| format!("did you mean `{near}`?"));
    Err(Why { message, hint })
}

fn pieces(text: &str) -> Result<Vec<Piece<'_>>, Why> {
    let (mut list, mut rest) = (Vec::new(), text);
    while let Some(at) = rest.find("${") {
        let escaped = rest[..at].ends_with('$');
        if escaped {
            list.push(Piece::Text(&rest[..at - 1]));
            list.push(Piece::Text("${"));
            rest = &rest[at + 2..];
            continue;
        }
        let inner = &rest[at + 2..];
        let Some(end) = inner.find('}') else {
            return because(format!("`{}` has no closing brace", &rest[at..]));
        };
        if at > 0 {
            list.push(Piece::Text(&rest[..at]));
        }
        list.push(Piece::Reference(inner[..end].trim()));
        rest = &inner[end + 1..];
    }
    if !rest.is_empty() {
        list.push(Piece::Text(rest));
    }
    Ok(list)
}
