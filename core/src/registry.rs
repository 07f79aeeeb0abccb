//! Who implements what: one [`ComponentInfo`] per registered component, collected at link time.
//!
//! A crate that nobody names is not linked, and its components vanish in silence: the binary names every crate of
//! components, and a test pins the list.

use std::fmt;
use std::sync::{PoisonError, RwLock};

use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::error::nearest;

/// Kinds of components, each with a trait of its own.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum ComponentKind {
    /// Where skeletons come from.
    Dataset,
    /// From raw sequences to an encoder's input.
    Preprocessor,
    /// From skeletons to features.
    Encoder,
    /// From class names to anchors.
    Semantics,
    /// From texts to vectors.
    TextEncoder,
    /// Scores features against anchors.
    Aligner,
    /// Changes predictions at test time.
    Adapter,
    /// Makes further views of a sample.
    Augmentation,
    /// Decides between seen and unseen.
    Gate,
    /// Runs the tasks of a sweep.
    Launcher,
}

impl ComponentKind {
    /// All kinds, in the order of the flow of data.
    pub const ALL: [Self; 10] = [
        Self::Dataset,
        Self::Preprocessor,
        Self::Encoder,
        Self::Semantics,
        Self::TextEncoder,
        Self::Aligner,
        Self::Adapter,
        Self::Augmentation,
        Self::Gate,
        Self::Launcher,
    ];

    /// The word for it in messages.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Dataset => "dataset",
            Self::Preprocessor => "preprocessor",
            Self::Encoder => "encoder",
            Self::Semantics => "semantics",
            Self::TextEncoder => "text encoder",
            Self::Aligner => "aligner",
            Self::Adapter => "adapter",
            Self::Augmentation => "augmentation",
            Self::Gate => "gate",
            Self::Launcher => "launcher",
        }
    }
}

impl fmt::Display for ComponentKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// What `szar list` and `szar describe` show of a component, and what its options are checked against.
#[derive(Clone, Copy)]
pub struct ComponentInfo {
    /// Which trait it implements.
    pub kind: ComponentKind,
    /// Name in YAML, kebab-case.
    pub name: &'static str,
    /// One sentence.
    pub summary: &'static str,
    /// Paper or origin of the method; empty for what is ours.
    pub paper: &'static str,
    /// What the component is, beyond its options, where that can change: plugin, version and content of its file. Empty
    /// for what is part of this program.
    pub origin: &'static str,
    options: Described,
}

/// Where schema and defaults come from.
#[derive(Clone, Copy)]
enum Described {
    /// From a type of options.
    Type(fn() -> Value, fn() -> Value),
    /// As a plugin gave them.
    Values(&'static (Value, Value)),
}

impl fmt::Debug for ComponentInfo {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} `{}`", self.kind, self.name)
    }
}

fn schema_of<C: JsonSchema>() -> Value {
    schemars::schema_for!(C).to_value()
}

fn defaults_of<C: Serialize + Default>() -> Value {
    serde_json::to_value(C::default()).unwrap_or(Value::Null)
}

impl ComponentInfo {
    /// Describes a component by its options `C`, whose doc comments and `Default` become the reference page.
    pub const fn new<C: JsonSchema + Serialize + Default>(
        kind: ComponentKind,
        name: &'static str,
        summary: &'static str,
        paper: &'static str,
    ) -> Self {
        Self {
            kind,
            name,
            summary,
            paper,
            origin: "",
            options: Described::Type(schema_of::<C>, defaults_of::<C>),
        }
    }

    /// Describes a component that is found at run time. What is given is kept for ever, as plugins are.
    pub fn found(
        kind: ComponentKind,
        name: &str,
        summary: &str,
        paper: &str,
        origin: &str,
        schema: Value,
        defaults: Value,
    ) -> Self {
        let keep = |text: &str| -> &'static str { Box::leak(text.to_owned().into_boxed_str()) };
        Self {
            kind,
            name: keep(name),
            summary: keep(summary),
            paper: keep(paper),
            origin: keep(origin),
            options: Described::Values(Box::leak(Box::new((schema, defaults)))),
        }
    }

    /// JSON schema of the options, without `type`.
    pub fn schema(&self) -> Value {
        match self.options {
            Described::Type(schema, _) => schema(),
            Described::Values((schema, _)) => schema.clone(),
        }
    }

    /// The default options, without `type`.
    pub fn defaults(&self) -> Value {
        match self.options {
            Described::Type(_, defaults) => defaults(),
            Described::Values((_, defaults)) => defaults.clone(),
        }
    }
}

inventory::collect!(ComponentInfo);

/// Components of plugins.
static FOUND: RwLock<Vec<&'static ComponentInfo>> = RwLock::new(Vec::new());

/// Adds components that were found at run time; all of them, or none.
///
/// # Errors
/// [`crate::Error::Input`] when a component of this program, or another one of its kind, bears a name already.
pub fn register_all(infos: Vec<ComponentInfo>) -> crate::Result<Vec<&'static ComponentInfo>> {
    let mut found = FOUND.write().unwrap_or_else(PoisonError::into_inner);
    for (i, info) in infos.iter().enumerate() {
        free(info, &found)?;
        if infos[..i]
            .iter()
            .any(|other| (other.kind, other.name) == (info.kind, info.name))
        {
            return Err(crate::Error::Input(format!("{info:?} is there twice")));
        }
    }
    let infos: Vec<&'static ComponentInfo> = infos.into_iter().map(|i| &*Box::leak(Box::new(i))).collect();
    found.extend(&infos);
    Ok(infos)
}

/// Is this very component part of this program? Asked for what a plugin lists that links components of szar itself.
pub fn is_linked(kind: ComponentKind, name: &str, summary: &str, paper: &str) -> bool {
    let mut linked = inventory::iter::<ComponentInfo>.into_iter();
    linked.any(|c| (c.kind, c.name, c.summary, c.paper) == (kind, name, summary, paper))
}

/// Refuses a name that is taken.
fn free(info: &ComponentInfo, found: &[&'static ComponentInfo]) -> crate::Result<()> {
    let mut linked = inventory::iter::<ComponentInfo>.into_iter();
    let owner = linked.find(|c| c.name == info.name).or_else(|| {
        let mut found = found.iter().copied();
        found.find(|c| (c.kind, c.name) == (info.kind, info.name))
    });
    if let Some(owner) = owner {
        let whose = match owner.origin {
            "" => "of szar itself".to_owned(),
            origin => format!("of {}", origin.split(' ').take(2).collect::<Vec<_>>().join(" ")),
        };
        return Err(crate::Error::Input(format!(
            "there is a component of that name already: {owner:?}, {whose}"
        )));
    }
    Ok(())
}

/// Options as serde finds them: blocks of components that plugins own are handed to the stand-in that knows plugins,
/// `{type: plugin, component: NAME, options: {...}}`.
pub fn for_serde(mut value: Value) -> Value {
    let found = FOUND.read().unwrap_or_else(PoisonError::into_inner);
    if !found.is_empty() {
        hand_over(&mut value, &found);
    }
    value
}

fn hand_over(value: &mut Value, found: &[&'static ComponentInfo]) {
    match value {
        Value::Array(items) => items.iter_mut().for_each(|item| hand_over(item, found)),
        Value::Object(fields) => {
            fields.values_mut().for_each(|field| hand_over(field, found));
            let Some(name) = fields.get("type").and_then(Value::as_str).map(str::to_owned) else {
                return;
            };
            if found.iter().any(|c| c.name == name) {
                fields.shift_remove("type");
                let options = std::mem::take(fields);
                *value = serde_json::json!({ "type": PLUGIN, "component": name, "options": options });
            }
        }
        _ => {}
    }
}

/// The plugins that own components of a resolved configuration, as [`ComponentInfo::origin`] has them, sorted.
pub fn origins(value: &Value) -> Vec<&'static str> {
    let mut list = Vec::new();
    gather(value, &mut list);
    list.sort_unstable();
    list.dedup();
    list
}

fn gather(value: &Value, list: &mut Vec<&'static str>) {
    match value {
        Value::Array(items) => items.iter().for_each(|item| gather(item, list)),
        Value::Object(fields) => {
            fields.values().for_each(|field| gather(field, list));
            let found = FOUND.read().unwrap_or_else(PoisonError::into_inner);
            let name = fields.get("type").and_then(Value::as_str);
            list.extend(
                name.and_then(|name| found.iter().find(|c| c.name == name))
                    .map(|c| c.origin),
            );
        }
        _ => {}
    }
}

/// The name of the stand-in for components of plugins, in each kind.
pub const PLUGIN: &str = "plugin";

/// All registered components, sorted by kind and name.
pub fn all() -> Vec<&'static ComponentInfo> {
    let mut list: Vec<_> = inventory::iter::<ComponentInfo>.into_iter().collect();
    list.extend(FOUND.read().unwrap_or_else(PoisonError::into_inner).iter());
    list.sort_by_key(|c| (c.kind, c.name));
    list
}

/// The component of this kind and name.
///
/// # Errors
/// [`crate::Error::Unknown`] with the nearest name of the kind.
pub fn find(kind: ComponentKind, name: &str) -> crate::Result<&'static ComponentInfo> {
    let of_kind: Vec<_> = all().into_iter().filter(|c| c.kind == kind).collect();
    let found = of_kind.iter().find(|c| c.name == name);
    found
        .copied()
        .ok_or_else(|| crate::Error::unknown(kind.as_str(), name, of_kind.iter().map(|c| c.name)))
}

/// Every component that bears this name, whatever its kind.
pub fn named(name: &str) -> Vec<&'static ComponentInfo> {
    all().into_iter().filter(|c| c.name == name).collect()
}

/// The registered name nearest to a mistyped one.
pub fn nearest_name(name: &str) -> Option<&'static str> {
    nearest(name, all().into_iter().map(|c| c.name))
}

/// Names that two components of one kind claim.
pub fn clashes() -> Vec<(ComponentKind, &'static str)> {
    let list = all();
    let same = list
        .windows(2)
        .filter(|pair| pair[0].kind == pair[1].kind && pair[0].name == pair[1].name);
    same.map(|pair| (pair[0].kind, pair[0].name)).collect()
}

/// Schema of a field that holds a text encoder; for `#[schemars(schema_with = "...")]`.
pub fn text_encoder_schema(_: &mut SchemaGenerator) -> Schema {
    json_schema!({ "type": "object", "x-component": "text-encoder" })
}

/// Schema of a field that holds an augmentation; for `#[schemars(schema_with = "...")]`.
pub fn augmentation_schema(_: &mut SchemaGenerator) -> Schema {
    json_schema!({ "type": "object", "x-component": "augmentation" })
}

/// Schema of a field that holds a launcher; for `#[schemars(schema_with = "...")]`.
pub fn launcher_schema(_: &mut SchemaGenerator) -> Schema {
    json_schema!({ "type": "object", "x-component": "launcher" })
}

/// Schema of a field that holds a dataset; for `#[schemars(schema_with = "...")]`.
pub fn dataset_schema(_: &mut SchemaGenerator) -> Schema {
    json_schema!({ "type": "object", "x-component": "dataset" })
}
