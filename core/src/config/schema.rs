//! Walking a tree along a JSON schema: which texts are paths, which blocks are components.

use schemars::JsonSchema;
use serde_json::{Value, json};

use super::pipeline::{BLOCKS, Plain};
use super::tree::{Kind, Node, below};
use crate::registry::{self, ComponentInfo, ComponentKind};

/// What the schema says of a node.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Found {
    /// A file or folder.
    Path,
    /// A block with `type:`.
    Component(ComponentKind),
}

/// Calls `visit` for every path and component below `node`; not for what is inside the components.
pub(crate) struct Walk<'a> {
    pub root: &'a Value,
    pub visit: &'a mut dyn FnMut(Found, &str, &mut Node),
}

impl Walk<'_> {
    pub fn walk(&mut self, schema: &Value, node: &mut Node, path: &str) {
        let schema = resolve(self.root, schema);
        if let Some(kind) = component_kind(schema) {
            if !node.is_null() {
                (self.visit)(Found::Component(kind), path, node);
            }
            return;
        }
        if schema["format"] == "path" && node.text().is_some() {
            (self.visit)(Found::Path, path, node);
        }
        for word in ["anyOf", "oneOf", "allOf"] {
            for branch in schema[word].as_array().into_iter().flatten() {
                if suits(resolve(self.root, branch), node) {
                    self.walk(branch, node, path);
                }
            }
        }
        self.children(schema, node, path);
    }

    fn children(&mut self, schema: &Value, node: &mut Node, path: &str) {
        match &mut node.kind {
            Kind::Map(fields) => {
                for (key, entry) in fields {
                    let of_key = schema["properties"].get(key);
                    if let Some(child) = of_key.or(schema.get("additionalProperties")) {
                        self.walk(child, &mut entry.node, &below(path, key));
                    }
                }
            }
            Kind::List(items) => {
                for (i, item) in items.iter_mut().enumerate() {
                    let of_place = schema["prefixItems"].get(i);
                    if let Some(child) = of_place.or(schema.get("items")) {
                        self.walk(child, item, &format!("{path}[{i}]"));
                    }
                }
            }
            Kind::Scalar(_) => {}
        }
    }
}

/// Follows `$ref` (`#/$defs/Name`) to what it names.
pub(crate) fn resolve<'a>(root: &'a Value, schema: &'a Value) -> &'a Value {
    let mut schema = schema;
    for _ in 0..16 {
        let target = schema["$ref"]
            .as_str()
            .and_then(|r| r.strip_prefix('#'))
            .and_then(|r| root.pointer(r));
        match target {
            Some(target) => schema = target,
            None => break,
        }
    }
    schema
}

/// False when a tag of the branch (`protocol: synse`) is another one in the node.
fn suits(branch: &Value, node: &Node) -> bool {
    let properties = branch["properties"].as_object();
    properties.into_iter().flatten().all(|(key, property)| {
        let tag = property.get("const");
        let given = node.field(key).map(Node::to_value);
        tag.is_none() || given.is_none() || tag == given.as_ref()
    })
}

/// The kind of component that a schema marks with `x-component`.
pub(crate) fn component_kind(schema: &Value) -> Option<ComponentKind> {
    let word = schema["x-component"].as_str()?;
    let named = |kind: &ComponentKind| kind.as_str().replace(' ', "-") == word;
    ComponentKind::ALL.into_iter().find(named)
}

/// The registered component that a block names, if its `type` is a name of the kind.
pub(crate) fn component(kind: ComponentKind, block: &Node) -> Option<&'static ComponentInfo> {
    registry::find(kind, block.field("type")?.text()?).ok()
}

/// What the fields hold that hold components.
const ABOUT: [(&str, &str); 7] = [
    ("dataset", "Where skeletons come from."),
    (
        "preprocess",
        "From raw sequences to the encoder's input. Default: `standard`.",
    ),
    ("encoder", "From skeletons to features."),
    ("semantics", "From class names to anchors."),
    ("aligner", "Scores features against anchors."),
    (
        "gate",
        "Decides between seen and unseen, for `gzsl`. Default: none.",
    ),
    (
        "adapters",
        "Applied one after the other, each on the scores of the one before. Default: none.",
    ),
];

/// Schema of the whole file, its components as bare blocks that name their kind in `x-component`.
pub fn pipeline_schema() -> Value {
    let mut schema = schema_of::<Plain>();
    let block = |kind: ComponentKind| json!({ "type": "object", "x-component": kind.as_str() });
    for (key, kind) in BLOCKS {
        schema["properties"][key] = block(kind);
    }
    let adapter = block(ComponentKind::Adapter);
    schema["properties"]["adapters"] = json!({ "type": "array", "items": adapter });
    for (key, about) in ABOUT {
        schema["properties"][key]["description"] = about.into();
    }
    schema["required"] = json!(["dataset", "encoder", "semantics", "aligner"]);
    schema
}

fn schema_of<T: JsonSchema>() -> Value {
    schemars::schema_for!(T).to_value()
}
