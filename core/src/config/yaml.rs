//! From YAML text to the tree, by the events of the parser: no recursion, places kept, repeated keys found.

use std::borrow::Cow;
use std::collections::BTreeMap;
use std::path::Path;

use indexmap::IndexMap;
use saphyr::Scalar;
use saphyr_parser::{Event, Marker, Parser, ScalarStyle, ScanError, Tag};
use serde_json::{Number, Value};

use super::tree::{Entry, Kind, Node, below};
use crate::problems::{Origin, Problem};

/// Maps and lists inside each other, at most; no sound configuration comes near.
pub(crate) const DEPTH: usize = 64;
/// Nodes that aliases may bring in, at most: a few nested anchors could otherwise fill the memory.
const ALIASED: usize = 100_000;

/// What the text is part of.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Source<'a> {
    File(&'a Path),
    Override(&'a str),
}

impl Source<'_> {
    fn origin(&self, marker: Marker) -> Origin {
        match self {
            Self::File(path) => Origin::File {
                path: path.to_path_buf(),
                line: marker.line().max(1),
                column: marker.col() + 1,
            },
            Self::Override(text) => Origin::Override((*text).to_owned()),
        }
    }

    pub fn start(&self) -> Origin {
        self.origin(Marker::new(0, 1, 0))
    }
}

/// Text that is not YAML.
#[derive(Debug)]
pub(crate) struct Syntax {
    pub origin: Origin,
    pub why: String,
}

/// The one document in `text`, `None` when there is nothing in it. Repeated keys are added to `problems`, and the
/// first one counts.
pub(crate) fn parse(
    text: &str,
    source: Source<'_>,
    problems: &mut Vec<Problem>,
) -> Result<Option<Node>, Syntax> {
    let text = text.strip_prefix('\u{feff}').unwrap_or(text);
    let mut builder = Builder {
        source,
        problems,
        open: Vec::new(),
        root: None,
        documents: 0,
        anchors: BTreeMap::new(),
        aliased: 0,
    };
    let mut parser = Parser::new_from_str(text);
    while let Some(event) = parser.next_event() {
        let (event, span) = event.map_err(|e| builder.refused(&e))?;
        builder.take(event, source.origin(span.start))?;
    }
    Ok(builder.root)
}

/// A map or list whose end is still to come.
struct Open {
    origin: Origin,
    anchor: usize,
    kind: OpenKind,
}

enum OpenKind {
    List(Vec<Node>),
    Map {
        fields: IndexMap<String, Entry>,
        key: Option<(String, Origin)>,
    },
}

struct Builder<'a> {
    source: Source<'a>,
    problems: &'a mut Vec<Problem>,
    open: Vec<Open>,
    root: Option<Node>,
    documents: usize,
    anchors: BTreeMap<usize, Node>,
    aliased: usize,
}

impl Builder<'_> {
    fn refused(&self, error: &ScanError) -> Syntax {
        Syntax {
            origin: self.source.origin(*error.marker()),
            why: error.info().to_owned(),
        }
    }

    fn take(&mut self, event: Event<'_>, origin: Origin) -> Result<(), Syntax> {
        match event {
            Event::DocumentStart(_) => {
                self.documents += 1;
                let why = "a second document begins here, a configuration is one document";
                refuse_if(self.documents > 1, &origin, || why.into())
            }
            Event::Alias(id) => self.alias(id, origin),
            Event::Scalar(text, style, anchor, tag) => self.scalar(text, style, anchor, tag, origin),
            Event::SequenceStart(anchor, _) => self.begin(OpenKind::List(Vec::new()), anchor, origin),
            Event::MappingStart(anchor, _) => {
                let (fields, key) = (IndexMap::new(), None);
                self.begin(OpenKind::Map { fields, key }, anchor, origin)
            }
            Event::SequenceEnd | Event::MappingEnd => self.end(),
            _ => Ok(()),
        }
    }

    fn awaits_key(&self) -> bool {
        matches!(
            self.open.last(),
            Some(Open {
                kind: OpenKind::Map { key: None, .. },
                ..
            })
        )
    }

    fn scalar(
        &mut self,
        text: Cow<'_, str>,
        style: ScalarStyle,
        anchor: usize,
        tag: Option<Cow<'_, Tag>>,
        origin: Origin,
    ) -> Result<(), Syntax> {
        if self.awaits_key() {
            return self.key(text.into_owned(), origin);
        }
        let value = scalar_value(text, style, tag).map_err(|why| Syntax {
            origin: origin.clone(),
            why,
        })?;
        self.put(Node::scalar(value, origin), anchor)
    }

    fn key(&mut self, name: String, origin: Origin) -> Result<(), Syntax> {
        if let Some(Open {
            kind: OpenKind::Map { key, .. },
            ..
        }) = self.open.last_mut()
        {
            *key = Some((name, origin));
        }
        Ok(())
    }

    fn begin(&mut self, kind: OpenKind, anchor: usize, origin: Origin) -> Result<(), Syntax> {
        refuse_if(self.awaits_key(), &origin, || "a key must be a plain text".into())?;
        refuse_if(self.open.len() >= DEPTH, &origin, || {
            format!("nested deeper than {DEPTH} levels")
        })?;
        self.open.push(Open { origin, anchor, kind });
        Ok(())
    }

    fn end(&mut self) -> Result<(), Syntax> {
        let Some(open) = self.open.pop() else {
            return Ok(());
        };
        let kind = match open.kind {
            OpenKind::List(items) => Kind::List(items),
            OpenKind::Map { fields, .. } => Kind::Map(fields),
        };
        let node = Node {
            origin: open.origin,
            kind,
        };
        self.put(node, open.anchor)
    }

    fn alias(&mut self, id: usize, origin: Origin) -> Result<(), Syntax> {
        refuse_if(self.awaits_key(), &origin, || "a key must be a plain text".into())?;
        let Some(node) = self.anchors.get(&id).cloned() else {
            let why = "an alias refers to something that it is itself part of".into();
            return Err(Syntax { origin, why });
        };
        let (nodes, levels) = (count(&node), depth(&node));
        self.aliased += nodes;
        refuse_if(self.aliased > ALIASED, &origin, || {
            format!("aliases bring in more than {ALIASED} values")
        })?;
        refuse_if(self.open.len() + levels > DEPTH, &origin, || {
            format!("nested deeper than {DEPTH} levels")
        })?;
        self.put(Node { origin, ..node }, 0)
    }

    /// A finished value goes where it belongs.
    fn put(&mut self, node: Node, anchor: usize) -> Result<(), Syntax> {
        if anchor > 0 {
            self.anchors.insert(anchor, node.clone());
        }
        match self.open.last_mut() {
            None => self.root = Some(node),
            Some(Open {
                kind: OpenKind::List(items),
                ..
            }) => items.push(node),
            Some(Open {
                kind: OpenKind::Map { fields, key },
                ..
            }) => {
                let Some((name, place)) = key.take() else {
                    return Ok(());
                };
                if fields.contains_key(&name) {
                    self.repeated(&name, place);
                } else {
                    fields.insert(name, Entry { key: place, node });
                }
            }
        }
        Ok(())
    }

    fn repeated(&mut self, name: &str, place: Origin) {
        let path = self
            .open
            .iter()
            .fold(String::new(), |path, open| match &open.kind {
                OpenKind::List(items) => format!("{path}[{}]", items.len()),
                OpenKind::Map {
                    key: Some((key, _)), ..
                } => below(&path, key),
                OpenKind::Map { .. } => path,
            });
        self.problems.push(Problem {
            field: below(&path, name),
            message: format!("`{name}` is given twice"),
            hint: None,
            origin: Some(place),
        });
    }
}

fn refuse_if(wrong: bool, origin: &Origin, why: impl FnOnce() -> String) -> Result<(), Syntax> {
    if wrong {
        let (origin, why) = (origin.clone(), why());
        return Err(Syntax { origin, why });
    }
    Ok(())
}

/// By the core schema of YAML 1.2. What is no finite number stays a text, so that it is refused where a number
/// is expected.
fn scalar_value(text: Cow<'_, str>, style: ScalarStyle, tag: Option<Cow<'_, Tag>>) -> Result<Value, String> {
    if let Some(tag) = tag.as_ref().filter(|t| !t.is_yaml_core_schema()) {
        return Err(format!("unknown tag `{tag}`"));
    }
    let original = text.clone();
    let scalar = Scalar::parse_from_cow_and_metadata(text, style, tag.as_ref())
        .ok_or_else(|| format!("`{original}` is not what its tag says"))?;
    Ok(match scalar {
        Scalar::Null => Value::Null,
        Scalar::Boolean(b) => Value::Bool(b),
        Scalar::Integer(i) => Value::Number(i.into()),
        Scalar::FloatingPoint(x) => original
            .parse::<u64>()
            .ok()
            .map(Number::from)
            .or_else(|| Number::from_f64(x.0))
            .map_or_else(|| Value::String(original.into_owned()), Value::Number),
        Scalar::String(text) => Value::String(text.into_owned()),
    })
}

fn count(node: &Node) -> usize {
    1 + match &node.kind {
        Kind::Scalar(_) => 0,
        Kind::List(items) => items.iter().map(count).sum(),
        Kind::Map(fields) => fields.values().map(|e| count(&e.node)).sum(),
    }
}

fn depth(node: &Node) -> usize {
    match &node.kind {
        Kind::Scalar(_) => 0,
        Kind::List(items) => 1 + items.iter().map(depth).max().unwrap_or(0),
        Kind::Map(fields) => 1 + fields.values().map(|e| depth(&e.node)).max().unwrap_or(0),
    }
}
