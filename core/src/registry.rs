//! Who implements what: one [`ComponentInfo`] per registered component, collected at link time.
//!
//! A crate that nobody names is not linked, and its components vanish in silence: the binary names every crate of
//! components, and a test pins the list.

use std::fmt;

use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::Serialize;
use serde_json::Value;

use crate::error::nearest;

/// Kinds of components, each with a trait of its own.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize)]
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
}

impl ComponentKind {
    /// All kinds, in the order of the flow of data.
    pub const ALL: [Self; 9] = [
        Self::Dataset,
        Self::Preprocessor,
        Self::Encoder,
        Self::Semantics,
        Self::TextEncoder,
        Self::Aligner,
        Self::Adapter,
        Self::Augmentation,
        Self::Gate,
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
    schema: fn() -> Value,
    defaults: fn() -> Value,
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
            schema: schema_of::<C>,
            defaults: defaults_of::<C>,
        }
    }

    /// JSON schema of the options, without `type`.
    pub fn schema(&self) -> Value {
        (self.schema)()
    }

    /// The default options, without `type`.
    pub fn defaults(&self) -> Value {
        (self.defaults)()
    }
}

inventory::collect!(ComponentInfo);

/// All registered components, sorted by kind and name.
pub fn all() -> Vec<&'static ComponentInfo> {
    let mut list: Vec<_> = inventory::iter::<ComponentInfo>.into_iter().collect();
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
