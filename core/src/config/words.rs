//! What a JSON schema has against a value, in our words.

use std::collections::BTreeMap;
use std::sync::{Arc, PoisonError, RwLock};

use jsonschema::error::{TypeKind, ValidationErrorKind as Why};
use jsonschema::{ValidationError, Validator};
use serde_json::Value;

use super::tree::{below, describe};
use crate::error::nearest;

/// One complaint about a value.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Complaint {
    /// Field relative to the value, `split.name`.
    pub field: String,
    pub message: String,
    pub hint: Option<String>,
    /// It is about the key, not about what stands there.
    pub key: bool,
    /// It is about the form of a text; serde may know better words.
    pub form: bool,
}

impl Complaint {
    fn new(field: String, message: String) -> Self {
        Self {
            field,
            message,
            hint: None,
            key: false,
            form: false,
        }
    }
}

/// Everything that `schema` has against `value`; an error when the schema itself is broken.
pub(crate) fn complaints(schema: &Value, value: &Value) -> Result<Vec<Complaint>, String> {
    let validator = validator(schema)?;
    let mut translator = Translator {
        schema,
        value,
        out: Vec::new(),
    };
    for error in validator.iter_errors(value) {
        translator.translate(&error);
    }
    Ok(translator.out)
}

/// Schemas are compiled once: a grid checks the same blocks thousands of times.
fn validator(schema: &Value) -> Result<Arc<Validator>, String> {
    static COMPILED: RwLock<BTreeMap<String, Arc<Validator>>> = RwLock::new(BTreeMap::new());
    let key = schema.to_string();
    let known = COMPILED
        .read()
        .unwrap_or_else(PoisonError::into_inner)
        .get(&key)
        .cloned();
    if let Some(known) = known {
        return Ok(known);
    }
    let compiled = Arc::new(jsonschema::validator_for(schema).map_err(|e| e.to_string())?);
    COMPILED
        .write()
        .unwrap_or_else(PoisonError::into_inner)
        .insert(key, Arc::clone(&compiled));
    Ok(compiled)
}

struct Translator<'a> {
    schema: &'a Value,
    value: &'a Value,
    out: Vec<Complaint>,
}

impl Translator<'_> {
    fn translate(&mut self, error: &ValidationError<'_>) {
        let found = error.instance().as_ref();
        let message = match error.kind() {
            Why::AdditionalProperties { unexpected } => {
                return unexpected.iter().for_each(|name| self.unknown_field(error, name));
            }
            Why::Required { property } => return self.missing(error, property),
            Why::AnyOf { context } | Why::OneOfNotValid { context } => return self.choice(error, context),
            Why::Enum { .. } | Why::Constant { .. } => return self.word(error, words(error)),
            Why::Type { kind } => format!(
                "expected {}, found {}",
                expected(kind).join(" or "),
                describe(found)
            ),
            Why::Minimum { limit } => format!("must be at least {limit}, got {found}"),
            Why::Maximum { limit } => format!("must be at most {limit}, got {found}"),
            Why::ExclusiveMinimum { limit } => format!("must be more than {limit}, got {found}"),
            Why::ExclusiveMaximum { limit } => format!("must be less than {limit}, got {found}"),
            Why::MinItems { limit } => format!("expected {limit} elements or more, found {}", length(found)),
            Why::MaxItems { limit } => format!("expected {limit} elements or fewer, found {}", length(found)),
            Why::MinLength { limit } => {
                format!("must have {limit} characters or more, found {}", describe(found))
            }
            Why::MaxLength { limit } => {
                format!("must have at most {limit} characters, found {}", describe(found))
            }
            Why::UniqueItems => "an element is listed twice".into(),
            Why::Pattern { pattern } => {
                let message = format!(
                    "expected a text of the form `{pattern}`, found {}",
                    describe(found)
                );
                let complaint = Complaint::new(self.field(error), message);
                return self.out.push(Complaint {
                    form: true,
                    ..complaint
                });
            }
            _ => error.to_string(),
        };
        self.say(Complaint::new(self.field(error), message));
    }

    fn say(&mut self, complaint: Complaint) {
        if !self.out.contains(&complaint) {
            self.out.push(complaint);
        }
    }

    fn unknown_field(&mut self, error: &ValidationError<'_>, name: &str) {
        let pointer = error.schema_path().as_str();
        let object = pointer
            .rsplit_once('/')
            .and_then(|(parent, _)| self.schema.pointer(parent));
        let properties = object.and_then(|o| o["properties"].as_object());
        let known: Vec<&str> = properties
            .into_iter()
            .flatten()
            .map(|(k, _)| k.as_str())
            .collect();
        let mut message = format!("unknown field `{name}`");
        message += &known_names("fields", known.iter().copied());
        let hint = nearest(name, known).map(did_you_mean);
        self.say(Complaint {
            hint,
            key: true,
            ..Complaint::new(below(&self.field(error), name), message)
        });
    }

    fn missing(&mut self, error: &ValidationError<'_>, property: &Value) {
        let name = property.as_str().unwrap_or_default();
        let message = format!("missing field `{name}`");
        let field = below(&self.field(error), name);
        self.say(Complaint {
            key: true,
            ..Complaint::new(field, message)
        });
    }

    /// A word that is none of the known ones.
    fn word(&mut self, error: &ValidationError<'_>, known: Vec<String>) {
        let field = self.field(error);
        let complaint = match error.instance().as_str() {
            Some(word) => Complaint {
                hint: nearest(word, known.iter().map(String::as_str)).map(did_you_mean),
                ..Complaint::new(
                    field,
                    format!(
                        "unknown word `{word}`{}",
                        known_names("words", known.iter().map(String::as_str))
                    ),
                )
            },
            None => {
                let found = describe(error.instance());
                Complaint::new(
                    field,
                    format!("expected one of {}, found {found}", known.join(", ")),
                )
            }
        };
        self.say(complaint);
    }

    /// None of several forms fits. What is wrong with the form that was meant is what counts.
    fn choice(&mut self, error: &ValidationError<'_>, forms: &[Vec<ValidationError<'static>>]) {
        let here = error.instance_path().as_str();
        let at_once = |e: &ValidationError<'_>| e.instance_path().as_str() == here;
        let refused = |e: &ValidationError<'_>| {
            at_once(e)
                && matches!(
                    e.kind(),
                    Why::Type { .. } | Why::Enum { .. } | Why::Constant { .. }
                )
                || at_once(e) && is_choice_of_words(e)
        };
        let meant: Vec<&Vec<ValidationError<'static>>> =
            forms.iter().filter(|form| !form.iter().any(refused)).collect();
        if meant.is_empty() {
            return self.none_fits(error, forms);
        }
        // Forms told apart by a tag: those with another tag are not meant.
        let other_tag = |e: &ValidationError<'_>| !at_once(e) && matches!(e.kind(), Why::Constant { .. });
        let (other, same): (Vec<_>, Vec<_>) = meant.into_iter().partition(|form| form.iter().any(other_tag));
        if same.is_empty() {
            let tags: Vec<_> = other
                .iter()
                .flat_map(|f| f.iter().filter(|e| other_tag(e)))
                .collect();
            let known = tags.iter().flat_map(|e| words(e)).collect();
            return self.word(tags[0], known);
        }
        let fewest = same.into_iter().min_by_key(|form| form.len());
        for inner in fewest.into_iter().flatten() {
            self.translate(inner);
        }
    }

    /// The value is of the wrong type or word for every form.
    fn none_fits(&mut self, error: &ValidationError<'_>, forms: &[Vec<ValidationError<'static>>]) {
        let all = || forms.iter().flatten();
        let known: Vec<String> = all().flat_map(words).collect();
        let mut types: Vec<&str> = Vec::new();
        for kind in all().flat_map(types_wanted) {
            if kind != "nothing" && !types.contains(&kind) {
                types.push(kind);
            }
        }
        let text_expected = types.is_empty() || types == ["a text"];
        if !known.is_empty() && (error.instance().is_string() || text_expected) {
            return self.word(error, known);
        }
        if !known.is_empty() {
            types.retain(|t| *t != "a text");
        }
        let one_of = (!known.is_empty()).then(|| format!("one of {}", known.join(", ")));
        let wanted: Vec<_> = types.into_iter().map(str::to_owned).chain(one_of).collect();
        let found = describe(error.instance());
        let message = format!("expected {}, found {found}", wanted.join(" or "));
        self.say(Complaint::new(self.field(error), message));
    }

    /// Path of the value in question, `split.names[2]`.
    fn field(&self, error: &ValidationError<'_>) -> String {
        let (mut path, mut value) = (String::new(), self.value);
        for raw in error.instance_path().as_str().split('/').skip(1) {
            let step = raw.replace("~1", "/").replace("~0", "~");
            let child = match value {
                Value::Array(items) => {
                    path = format!("{path}[{step}]");
                    step.parse().ok().and_then(|i: usize| items.get(i))
                }
                _ => {
                    path = below(&path, &step);
                    value.get(&step)
                }
            };
            value = child.unwrap_or(&Value::Null);
        }
        path
    }
}

/// Words that an error says were expected.
fn words(error: &ValidationError<'_>) -> Vec<String> {
    match error.kind() {
        Why::Enum { options } => options.as_array().into_iter().flatten().map(plain).collect(),
        Why::Constant { expected_value } => vec![plain(expected_value)],
        Why::OneOfNotValid { context } | Why::AnyOf { context } => {
            context.iter().flatten().flat_map(words).collect()
        }
        _ => Vec::new(),
    }
}

fn types_wanted(error: &ValidationError<'_>) -> Vec<&'static str> {
    match error.kind() {
        Why::Type { kind } => expected(kind),
        Why::OneOfNotValid { context } | Why::AnyOf { context } => {
            context.iter().flatten().flat_map(types_wanted).collect()
        }
        _ => Vec::new(),
    }
}

/// An enum whose words are documented one by one is a choice of constants.
fn is_choice_of_words(error: &ValidationError<'_>) -> bool {
    let word = |e: &ValidationError<'_>| {
        let at_once = e.instance_path().as_str() == error.instance_path().as_str();
        let plain = matches!(
            e.kind(),
            Why::Enum { .. } | Why::Constant { .. } | Why::Type { .. }
        );
        at_once && (plain || is_choice_of_words(e))
    };
    match error.kind() {
        Why::OneOfNotValid { context } | Why::AnyOf { context } => {
            context.iter().all(|form| form.iter().any(word))
        }
        _ => false,
    }
}

fn plain(value: &Value) -> String {
    value.as_str().map_or_else(|| value.to_string(), str::to_owned)
}

fn length(value: &Value) -> usize {
    value.as_array().map_or(0, Vec::len)
}

fn expected(kind: &TypeKind) -> Vec<&'static str> {
    let names: Vec<String> = match kind {
        TypeKind::Single(one) => vec![one.to_string()],
        TypeKind::Multiple(several) => several.iter().map(|t| t.to_string()).collect(),
    };
    let words: Vec<_> = names.iter().map(|name| type_words(name)).collect();
    let useful = words.iter().copied().filter(|w| *w != "nothing");
    match useful.clone().count() {
        0 => words,
        _ => useful.collect(),
    }
}

/// A JSON type in the words of a message.
pub(crate) fn type_words(json_type: &str) -> &'static str {
    match json_type {
        "integer" => "a whole number",
        "number" => "a number",
        "string" => "a text",
        "boolean" => "true or false",
        "array" => "a list",
        "object" => "a block of fields",
        "null" => "nothing",
        _ => "a value",
    }
}

/// `\nknown adapters: a, b`.
pub(crate) fn known_names<'a>(what: &str, names: impl IntoIterator<Item = &'a str>) -> String {
    let mut names: Vec<_> = names.into_iter().collect();
    names.dedup();
    match names.is_empty() {
        true => format!("\nthere are no {what}"),
        false => format!("\nknown {what}: {}", names.join(", ")),
    }
}

/// The hint for a near name.
pub(crate) fn did_you_mean(near: &str) -> String {
    format!("did you mean `{near}`?")
}
