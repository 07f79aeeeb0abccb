//! The merged configuration as a tree in which every node remembers where it was written.

use indexmap::IndexMap;
use serde_json::{Map, Value};

use crate::problems::Origin;

/// A value and where it was written.
#[derive(Clone, Debug)]
pub(crate) struct Node {
    pub origin: Origin,
    pub kind: Kind,
}

#[derive(Clone, Debug)]
pub(crate) enum Kind {
    /// Null, a truth value, a number or a text.
    Scalar(Value),
    List(Vec<Node>),
    Map(IndexMap<String, Entry>),
}

/// A field of a map; the key has a place of its own.
#[derive(Clone, Debug)]
pub(crate) struct Entry {
    pub key: Origin,
    pub node: Node,
}

impl Node {
    pub fn scalar(value: Value, origin: Origin) -> Self {
        Self {
            origin,
            kind: Kind::Scalar(value),
        }
    }

    /// A tree whose every node stands at `origin`.
    pub fn from_value(value: Value, origin: &Origin) -> Self {
        let kind = match value {
            Value::Array(items) => {
                Kind::List(items.into_iter().map(|v| Self::from_value(v, origin)).collect())
            }
            Value::Object(fields) => {
                let entry = |value| Entry {
                    key: origin.clone(),
                    node: Self::from_value(value, origin),
                };
                Kind::Map(fields.into_iter().map(|(k, v)| (k, entry(v))).collect())
            }
            scalar => Kind::Scalar(scalar),
        };
        Self {
            origin: origin.clone(),
            kind,
        }
    }

    /// Without places; `type` comes first in every map, because typetag keeps the path of an error only then.
    pub fn to_value(&self) -> Value {
        match &self.kind {
            Kind::Scalar(value) => value.clone(),
            Kind::List(items) => Value::Array(items.iter().map(Self::to_value).collect()),
            Kind::Map(fields) => {
                let tag = fields.get_key_value("type");
                let rest = fields.iter().filter(|(key, _)| *key != "type");
                let all = tag.into_iter().chain(rest);
                Value::Object(
                    all.map(|(k, e)| (k.clone(), e.node.to_value()))
                        .collect::<Map<_, _>>(),
                )
            }
        }
    }

    pub fn map(&self) -> Option<&IndexMap<String, Entry>> {
        match &self.kind {
            Kind::Map(fields) => Some(fields),
            _ => None,
        }
    }

    pub fn map_mut(&mut self) -> Option<&mut IndexMap<String, Entry>> {
        match &mut self.kind {
            Kind::Map(fields) => Some(fields),
            _ => None,
        }
    }

    pub fn field(&self, key: &str) -> Option<&Node> {
        self.map()?.get(key).map(|entry| &entry.node)
    }

    pub fn text(&self) -> Option<&str> {
        match &self.kind {
            Kind::Scalar(Value::String(text)) => Some(text),
            _ => None,
        }
    }

    pub fn is_null(&self) -> bool {
        matches!(self.kind, Kind::Scalar(Value::Null))
    }

    /// The child that a part of a dotted path names.
    pub fn child(&self, part: &str) -> Option<&Node> {
        match &self.kind {
            Kind::Map(_) => self.field(part),
            Kind::List(items) => items.get(part.parse::<usize>().ok()?),
            Kind::Scalar(_) => None,
        }
    }

    /// Is there something at this path (`adapters[0].capacity`)?
    pub fn has(&self, path: &str) -> bool {
        let found = parts(path)
            .into_iter()
            .try_fold(self, |node, step| node.child(step));
        found.is_some()
    }

    /// Where a field of a problem (`adapters[0].capacity`) was written, or the nearest thing around it. A map or
    /// list is found at its key, a plain value at itself unless `key` asks for its key.
    pub fn place(&self, field: &str, key: bool) -> &Origin {
        self.deepest(field, &self.origin, key)
    }

    fn deepest<'a>(&'a self, field: &str, here: &'a Origin, key: bool) -> &'a Origin {
        let field = field.strip_prefix('.').unwrap_or(field);
        if field.is_empty() {
            return here;
        }
        match &self.kind {
            Kind::Scalar(_) => here,
            Kind::List(items) => {
                let step = field.strip_prefix('[').and_then(|rest| rest.split_once(']'));
                let found = step.and_then(|(n, rest)| Some((items.get(n.parse::<usize>().ok()?)?, rest)));
                found.map_or(here, |(item, rest)| item.deepest(rest, &item.origin, key))
            }
            Kind::Map(fields) => {
                // The longest key wins: a key may itself hold dots.
                let starts = fields
                    .iter()
                    .filter_map(|(k, e)| Some((k, e, field.strip_prefix(k.as_str())?)));
                let whole = starts.filter(|(_, _, rest)| rest.is_empty() || rest.starts_with(['.', '[']));
                let Some((_, entry, rest)) = whole.max_by_key(|(k, ..)| k.len()) else {
                    return here;
                };
                let plain = matches!(entry.node.kind, Kind::Scalar(_));
                let place = if plain && !(key && rest.is_empty()) {
                    &entry.node.origin
                } else {
                    &entry.key
                };
                entry.node.deepest(rest, place, key)
            }
        }
    }
}

/// `adapters.0.capacity` or `adapters[0].capacity` as its parts.
pub(crate) fn parts(path: &str) -> Vec<&str> {
    path.split(['.', '[', ']']).filter(|p| !p.is_empty()).collect()
}

/// `path` and a field below it.
pub(crate) fn below(path: &str, key: &str) -> String {
    if path.is_empty() {
        key.to_owned()
    } else {
        format!("{path}.{key}")
    }
}

/// A value in the words of a message.
pub(crate) fn describe(value: &Value) -> String {
    match value {
        Value::Null => "nothing".into(),
        Value::Bool(b) => format!("`{b}`"),
        Value::Number(n) => format!("the number {n}"),
        Value::String(text) if text.chars().count() > 60 => {
            format!("the text `{}...`", text.chars().take(57).collect::<String>())
        }
        Value::String(text) => format!("the text `{text}`"),
        Value::Array(_) => "a list".into(),
        Value::Object(_) => "a block of fields".into(),
    }
}
