//! A value as YAML that every reader takes for the same value: whatever is not plainly a word is quoted.

use std::fmt::Write;

use serde_json::Value;

/// Block style, two blanks a level; empty and flat lists on one line.
pub(crate) fn emit(value: &Value) -> String {
    let mut out = String::new();
    match value {
        Value::Object(fields) if !fields.is_empty() => put_fields(&mut out, fields, 0, false),
        Value::Array(items) if !items.is_empty() => put_items(&mut out, items, 0),
        other => {
            out.push_str(&flow(other));
            out.push('\n');
        }
    }
    out
}

/// `first_inline`: the first field continues a line that has begun with `- `.
fn put_fields(out: &mut String, fields: &serde_json::Map<String, Value>, level: usize, first_inline: bool) {
    for (i, (key, value)) in fields.iter().enumerate() {
        if i > 0 || !first_inline {
            indent(out, level);
        }
        out.push_str(&text(key));
        out.push(':');
        match value {
            Value::Object(inner) if !inner.is_empty() => {
                out.push('\n');
                put_fields(out, inner, level + 1, false);
            }
            Value::Array(items) if items.iter().any(|v| v.is_object() || v.is_array()) => {
                out.push('\n');
                put_items(out, items, level + 1);
            }
            other => {
                out.push(' ');
                out.push_str(&flow(other));
                out.push('\n');
            }
        }
    }
}

fn put_items(out: &mut String, items: &[Value], level: usize) {
    for item in items {
        indent(out, level);
        out.push_str("- ");
        match item {
            Value::Object(fields) if !fields.is_empty() => put_fields(out, fields, level + 1, true),
            other => {
                out.push_str(&flow(other));
                out.push('\n');
            }
        }
    }
}

fn indent(out: &mut String, level: usize) {
    out.extend(std::iter::repeat_n("  ", level));
}

fn flow(value: &Value) -> String {
    match value {
        Value::String(word) => text(word),
        Value::Array(items) => format!("[{}]", items.iter().map(flow).collect::<Vec<_>>().join(", ")),
        Value::Object(fields) => {
            let fields: Vec<_> = fields
                .iter()
                .map(|(k, v)| format!("{}: {}", text(k), flow(v)))
                .collect();
            format!("{{{}}}", fields.join(", "))
        }
        plain => plain.to_string(),
    }
}

/// Plain when it begins like a word or a path, holds nothing that YAML reads as more, and is no word that some
/// reader takes for a truth value or null.
fn text(word: &str) -> String {
    let begins = word.starts_with(|c: char| c.is_ascii_alphabetic() || c == '/');
    let harmless = word
        .chars()
        .all(|c| c.is_ascii_alphanumeric() || "_-./+".contains(c));
    let other = ["true", "false", "null", "yes", "no", "on", "off", "y", "n"];
    if begins && harmless && !other.contains(&word.to_ascii_lowercase().as_str()) {
        return word.to_owned();
    }
    let mut out = String::from("\"");
    for c in word.chars() {
        match c {
            '"' | '\\' => out.extend(['\\', c]),
            '\n' => out.push_str("\\n"),
            '\t' => out.push_str("\\t"),
            c if c == ' ' || c.is_ascii_graphic() || c.is_alphanumeric() => out.push(c),
            c => {
                let _ = write!(out, "\\U{:08X}", u32::from(c));
            }
        }
    }
    out.push('"');
    out
}
