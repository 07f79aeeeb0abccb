//! The JSON schema of a whole pipeline, with every component by its `type`.

use serde_json::{Map, Value, json};
use szar_core::config;
use szar_core::registry::{self, ComponentInfo, ComponentKind};

use super::word;

/// Where definitions stand.
const DEFS: &str = "#/$defs/";

/// The schema, with the components that are registered now. What builds on a `base` may leave out what stands there.
pub fn pipeline() -> Value {
    let mut root = config::pipeline_schema();
    let mut defs = Map::new();
    refer(&mut root, "");
    if let Some(fields) = root.as_object_mut() {
        take_defs(fields, "", &mut defs);
        let needed = fields.shift_remove("required").unwrap_or(json!([]));
        fields.insert(
            "anyOf".into(),
            json!([{ "required": ["base"] }, { "required": needed }]),
        );
        fields.insert("title".into(), "A pipeline of szar".into());
    }
    for kind in ComponentKind::ALL {
        let block = block(kind, &mut defs);
        defs.insert(word(kind), block);
    }
    root["properties"]["base"] = json!({
        "description": "File to build on, or several, the later over the earlier; relative to this one.",
        "anyOf": [{ "type": "string" }, { "type": "array", "items": { "type": "string" } }],
    });
    let gate = std::mem::take(&mut root["properties"]["gate"]);
    root["properties"]["gate"] = json!({ "anyOf": [gate, { "type": "null" }] });
    root["$defs"] = defs.into();
    root
}

/// A block of this kind: one of its components, or changes to one that stands in a base.
fn block(kind: ComponentKind, defs: &mut Map<String, Value>) -> Value {
    let mut names = Vec::new();
    let mut forms = Vec::new();
    for info in registry::all().into_iter().filter(|c| c.kind == kind) {
        let key = format!("{}.{}", word(kind), info.name);
        names.push(info.name);
        forms.push(json!({ "$ref": format!("{DEFS}{key}") }));
        let component = component(info, defs);
        defs.insert(key, component);
    }
    forms.push(json!({ "description": "Changes to a block of the base.", "not": { "required": ["type"] } }));
    json!({ "type": "object", "properties": { "type": { "enum": names } }, "oneOf": forms })
}

/// The options of a component and its `type`; its own definitions go to the others.
fn component(info: &ComponentInfo, defs: &mut Map<String, Value>) -> Value {
    let prefix = format!("{}.{}.", word(info.kind), info.name);
    let mut schema = info.schema();
    refer(&mut schema, &prefix);
    let mut fields = match schema {
        Value::Object(fields) => fields,
        _ => Map::new(),
    };
    take_defs(&mut fields, &prefix, defs);
    fields.shift_remove("$schema");
    fields.insert("title".into(), info.name.into());
    fields.insert("description".into(), info.summary.into());
    let properties = fields.entry("properties").or_insert_with(|| json!({}));
    properties["type"] = json!({ "const": info.name, "description": info.summary });
    let required = fields.entry("required").or_insert_with(|| json!([]));
    if let Some(list) = required.as_array_mut() {
        list.push("type".into());
    }
    fields.into()
}

fn take_defs(fields: &mut Map<String, Value>, prefix: &str, defs: &mut Map<String, Value>) {
    if let Some(Value::Object(own)) = fields.shift_remove("$defs") {
        defs.extend(
            own.into_iter()
                .map(|(name, def)| (format!("{prefix}{name}"), def)),
        );
    }
}

/// Blocks of components become references to their kind; other references get `prefix` before the name.
fn refer(node: &mut Value, prefix: &str) {
    match node {
        Value::Array(items) => items.iter_mut().for_each(|item| refer(item, prefix)),
        Value::Object(fields) => {
            let kind = fields
                .get("x-component")
                .and_then(Value::as_str)
                .map(|kind| format!("{DEFS}{kind}"));
            if let Some(target) = kind {
                fields.shift_remove("x-component");
                fields.shift_remove("type");
                fields.insert("$ref".into(), target.into());
                return;
            }
            let name = fields
                .get("$ref")
                .and_then(Value::as_str)
                .and_then(|target| target.strip_prefix(DEFS));
            if let Some(target) = name.map(|name| format!("{DEFS}{prefix}{name}")) {
                fields.insert("$ref".into(), target.into());
            }
            fields.values_mut().for_each(|field| refer(field, prefix));
        }
        _ => {}
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Every reference in a schema.
    fn references<'a>(node: &'a Value, list: &mut Vec<&'a str>) {
        match node {
            Value::Array(items) => items.iter().for_each(|item| references(item, list)),
            Value::Object(fields) => {
                list.extend(fields.get("$ref").and_then(Value::as_str));
                fields.values().for_each(|field| references(field, list));
            }
            _ => {}
        }
    }

    #[test]
    fn every_reference_leads_somewhere() {
        let schema = pipeline();
        let mut list = Vec::new();
        references(&schema, &mut list);
        assert!(list.len() > 100);
        for reference in list {
            let found = reference
                .strip_prefix('#')
                .and_then(|pointer| schema.pointer(pointer));
            assert!(found.is_some(), "{reference}");
        }
    }

    #[test]
    fn no_block_of_a_component_is_left_bare() {
        let text = pipeline().to_string();
        assert!(!text.contains("x-component"));
        assert!(
            text.contains(r##""$ref":"#/$defs/text-encoder""##),
            "one block inside another"
        );
    }
}
