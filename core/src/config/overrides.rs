//! `--set a.b.0.c=value` on the merged tree.

use indexmap::IndexMap;

use super::tree::{Entry, Kind, Node, describe, parts};
use super::yaml::{self, DEPTH, Source};
use crate::problems::{Origin, Problem};

/// Applies one override; what is wrong with it goes to `problems`.
pub(crate) fn apply(root: &mut Node, text: &str, problems: &mut Vec<Problem>) {
    let origin = Origin::Override(text.to_owned());
    let mut refuse = |field: &str, message: String, hint: Option<&str>| {
        problems.push(Problem {
            field: field.into(),
            message,
            hint: hint.map(str::to_owned),
            origin: Some(origin.clone()),
        });
    };
    let form = "write it as `--set adapters.0.capacity=8`: a field, `=`, a YAML value";
    let Some((path, value)) = text.split_once('=') else {
        return refuse("", format!("`{text}` is not an override"), Some(form));
    };
    let path = path.trim();
    let steps = parts(path);
    if steps.is_empty() {
        return refuse("", format!("`{text}` names no field"), Some(form));
    }
    if steps.len() > DEPTH {
        return refuse(path, format!("more than {DEPTH} levels"), None);
    }
    if steps[0] == "base" {
        return refuse(
            "base",
            "`base` cannot be overridden".into(),
            Some("write it into the YAML file"),
        );
    }
    let mut repeated = Vec::new();
    let value = match yaml::parse(value, Source::Override(text), &mut repeated) {
        Ok(node) => node.unwrap_or_else(|| Node::scalar(().into(), origin.clone())),
        Err(e) => return refuse(path, format!("`{value}` is not valid YAML: {}", e.why), None),
    };
    if let Err(why) = put(root, &steps, value, &origin) {
        refuse(path, why, None);
    }
    problems.extend(repeated);
}

/// Walks down to the last step, making maps (or a list, before a `0`) on the way, and puts the value there.
pub(crate) fn put(node: &mut Node, steps: &[&str], value: Node, origin: &Origin) -> Result<(), String> {
    let Some((step, rest)) = steps.split_first() else {
        *node = value;
        return Ok(());
    };
    if node.is_null() {
        let kind = match *step {
            "0" => Kind::List(Vec::new()),
            _ => Kind::Map(IndexMap::new()),
        };
        *node = Node {
            origin: origin.clone(),
            kind,
        };
    }
    let nothing = || Node::scalar(().into(), origin.clone());
    match &mut node.kind {
        Kind::Map(fields) => {
            if *step == "type" && rest.is_empty() {
                forget_other_type(fields, &value);
            }
            let entry = fields.entry((*step).to_owned()).or_insert_with(|| Entry {
                key: origin.clone(),
                node: nothing(),
            });
            if rest.is_empty() {
                entry.key = origin.clone();
            }
            put(&mut entry.node, rest, value, origin)
        }
        Kind::List(items) => {
            let index = index(step, items.len())?;
            if index == items.len() {
                items.push(nothing());
            }
            put(&mut items[index], rest, value, origin)
        }
        Kind::Scalar(found) => Err(format!("no field `{step}` in {}", describe(found))),
    }
}

fn index(step: &str, length: usize) -> Result<usize, String> {
    let index: usize = step
        .parse()
        .map_err(|_| format!("`{step}` is no number, and this is a list of {length}"))?;
    if index > length {
        return Err(format!(
            "no element {index} in a list of {length}; {length} would add one"
        ));
    }
    Ok(index)
}

/// A block that changes its type is another component: what the file says of the old one does not apply, what
/// other overrides say does.
fn forget_other_type(fields: &mut IndexMap<String, Entry>, new: &Node) {
    let same = fields
        .get("type")
        .is_none_or(|old| old.node.to_value() == new.to_value());
    if !same {
        fields.retain(|key, entry| key == "type" || from_override(&entry.node));
    }
}

fn from_override(node: &Node) -> bool {
    match &node.kind {
        Kind::Scalar(_) => matches!(node.origin, Origin::Override(_)),
        Kind::List(items) => items.iter().any(from_override) || matches!(node.origin, Origin::Override(_)),
        Kind::Map(fields) => fields.values().any(|e| from_override(&e.node)),
    }
}
