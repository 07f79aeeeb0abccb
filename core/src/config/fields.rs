//! What a component's reference page lists: its fields.

use serde_json::Value;

use super::blocks::article;
use super::pipeline::Plain;
use super::schema::{component_kind, pipeline_schema, resolve};
use super::tree::below;
use super::words::type_words;
use crate::registry::ComponentInfo;

/// One field of a component.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FieldDoc {
    /// Path inside the block, `split.name`; `[]` stands for the items of a list, `NAME` for a name of the user's.
    pub name: String,
    /// What it takes: `a number`, `a list of texts`.
    pub type_words: String,
    /// The default as one writes it in YAML; empty where there is none to show.
    pub default: String,
    /// It must be given.
    pub required: bool,
    /// Its documentation.
    pub doc: String,
    /// The words it knows, when it is a choice or a list of choices.
    pub words: Vec<String>,
    /// What each of the words means, in their order; empty where nothing is said of one.
    pub meanings: Vec<String>,
}

/// The fields of a component, in the order of their declaration; those of a nested structure follow as `a.b`.
pub fn fields(info: &ComponentInfo) -> Vec<FieldDoc> {
    fields_of(&info.schema(), Some(&info.defaults()))
}

/// The top-level fields of a pipeline, and those below the ones that hold no component.
pub fn pipeline_fields() -> Vec<FieldDoc> {
    let defaults = serde_json::to_value(Plain::default()).unwrap_or_default();
    fields_of(&pipeline_schema(), Some(&defaults))
}

/// The fields that a schema describes, in its order.
pub fn fields_of(schema: &Value, defaults: Option<&Value>) -> Vec<FieldDoc> {
    let mut list = Vec::new();
    Walk { root: schema }.fields(schema, defaults, "", 0, &mut list);
    list
}

/// Structures inside each other, at most; a recursive one would never end.
const DEPTH: usize = 8;

struct Walk<'a> {
    root: &'a Value,
}

impl Walk<'_> {
    fn fields(
        &self,
        schema: &Value,
        defaults: Option<&Value>,
        path: &str,
        level: usize,
        list: &mut Vec<FieldDoc>,
    ) {
        if level > DEPTH {
            return;
        }
        let schema = resolve(self.root, schema);
        for (key, property) in schema["properties"].as_object().into_iter().flatten() {
            if property.get("const").is_some() {
                continue; // the tag of a form, listed among the words of the field itself
            }
            let (name, default) = (below(path, key), defaults.and_then(|d| d.get(key)));
            if list.iter().any(|field| field.name == name) {
                continue;
            }
            let (words, meanings) = self.all_words(property).into_iter().unzip();
            list.push(FieldDoc {
                type_words: self.type_of(property, level),
                default: default
                    .or_else(|| property.get("default"))
                    .map(short)
                    .unwrap_or_default(),
                required: schema["required"]
                    .as_array()
                    .is_some_and(|r| r.iter().any(|k| k == key)),
                doc: self.doc(property),
                words,
                meanings,
                name: name.clone(),
            });
            if component_kind(property).is_none() {
                self.inside(property, default, &name, level, list);
            }
        }
        self.forms(schema, |form| self.fields(form, defaults, path, level + 1, list));
    }

    /// The fields of a structure that stands in a field.
    fn inside(
        &self,
        schema: &Value,
        defaults: Option<&Value>,
        path: &str,
        level: usize,
        list: &mut Vec<FieldDoc>,
    ) {
        let target = resolve(self.root, schema);
        if let Some((tag, words)) = self.tag(target, level) {
            list.push(FieldDoc {
                name: below(path, &tag),
                type_words: "a word".into(),
                default: defaults.and_then(|d| d.get(&tag)).map(short).unwrap_or_default(),
                required: false,
                doc: "Chooses the form; the other fields depend on it.".into(),
                meanings: vec![String::new(); words.len()],
                words,
            });
        }
        self.fields(target, defaults, path, level + 1, list);
        self.members(target, path, level + 1, list);
    }

    /// The fields of structures that stand in a list, or under names of the user's.
    fn members(&self, schema: &Value, path: &str, level: usize, list: &mut Vec<FieldDoc>) {
        if level > DEPTH {
            return;
        }
        let places = [
            ("items", format!("{path}[]")),
            ("additionalProperties", below(path, "NAME")),
        ];
        for (word, path) in places {
            let member = &schema[word];
            if member.is_object() && component_kind(member).is_none() {
                self.inside(member, None, &path, level, list);
            }
        }
        self.forms(schema, |form| {
            self.members(resolve(self.root, form), path, level + 1, list)
        });
    }

    fn forms<'v>(&self, schema: &'v Value, mut each: impl FnMut(&'v Value)) {
        for word in ["anyOf", "oneOf", "allOf"] {
            schema[word].as_array().into_iter().flatten().for_each(&mut each);
        }
    }

    /// The key whose constant tells the forms apart, with the constants.
    fn tag(&self, schema: &Value, level: usize) -> Option<(String, Vec<String>)> {
        let mut found: Option<(String, Vec<String>)> = None;
        self.forms(schema, |form| {
            let form = resolve(self.root, form);
            for (key, property) in form["properties"].as_object().into_iter().flatten() {
                if let Some(word) = property["const"].as_str() {
                    let (_, words) = found.get_or_insert_with(|| (key.clone(), Vec::new()));
                    words.push(word.to_owned());
                }
            }
            // An optional choice is a choice between the choice and nothing.
            if found.is_none() && level <= DEPTH {
                found = self.tag(form, level + 1);
            }
        });
        found
    }

    fn doc(&self, property: &Value) -> String {
        let own = property["description"].as_str();
        let text = own.or_else(|| resolve(self.root, property)["description"].as_str());
        text.map(one_line).unwrap_or_default()
    }

    /// The words of a choice, or of the choices in a list, with what they mean.
    fn all_words(&self, property: &Value) -> Vec<(String, String)> {
        let words = self.words(property);
        match resolve(self.root, property).get("items") {
            Some(items) if words.is_empty() => self.words(items),
            _ => words,
        }
    }

    fn words(&self, property: &Value) -> Vec<(String, String)> {
        let schema = resolve(self.root, property);
        let listed = schema["enum"].as_array().into_iter().flatten();
        let listed = listed.filter_map(|w| Some((w.as_str()?.to_owned(), String::new())));
        let meaning = schema["description"].as_str().map(one_line).unwrap_or_default();
        let one = schema["const"].as_str().map(|w| (w.to_owned(), meaning));
        let mut words: Vec<_> = listed.chain(one).collect();
        self.forms(schema, |form| words.extend(self.words(form)));
        words
    }

    fn type_of(&self, property: &Value, level: usize) -> String {
        let schema = resolve(self.root, property);
        if let Some(kind) = component_kind(property).or_else(|| component_kind(schema)) {
            return format!("{} {kind}: a block with `type`", article(kind));
        }
        if schema["format"] == "path" {
            return "a path".into();
        }
        if schema.get("const").or(schema.get("enum")).is_some() {
            return "a word".into();
        }
        let mut names: Vec<String> = match &schema["type"] {
            Value::String(one) => vec![self.named(one, schema, level)],
            Value::Array(several) => {
                let names = several.iter().filter_map(Value::as_str).filter(|t| *t != "null");
                names.map(|t| self.named(t, schema, level)).collect()
            }
            _ => Vec::new(),
        };
        if names.is_empty() && level <= DEPTH {
            self.forms(schema, |form| {
                if form["type"] != "null" {
                    names.push(self.type_of(form, level + 1));
                }
            });
        }
        names.dedup();
        match names.is_empty() {
            true => type_words("").to_owned(),
            false => names.join(" or "),
        }
    }

    fn named(&self, json_type: &str, schema: &Value, level: usize) -> String {
        match schema.get("items") {
            Some(items) if json_type == "array" && level <= DEPTH => {
                format!("a list, each {}", self.type_of(items, level + 1))
            }
            _ => type_words(json_type).to_owned(),
        }
    }
}

fn one_line(text: &str) -> String {
    text.split_whitespace().collect::<Vec<_>>().join(" ")
}

/// A value as one writes it on one line of YAML.
fn short(value: &Value) -> String {
    match value {
        Value::Null => "not set".into(),
        Value::String(text) if text.is_empty() => "\"\"".into(),
        Value::String(text) => text.clone(),
        Value::Array(items) => format!("[{}]", items.iter().map(short).collect::<Vec<_>>().join(", ")),
        Value::Object(fields) => {
            let fields: Vec<_> = fields.iter().map(|(k, v)| format!("{k}: {}", short(v))).collect();
            format!("{{{}}}", fields.join(", "))
        }
        other => other.to_string(),
    }
}
