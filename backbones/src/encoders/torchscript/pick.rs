//! One tensor out of whatever a module returns.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use szar_core::Error;
use tch::{IValue, Tensor};

/// Which of a module's results: a number in a tuple or list, a key of a dict, or several of them with dots between.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(untagged)]
pub enum Pick {
    /// Position in a tuple or list, from 0.
    Index(u32),
    /// Key of a dict, or steps into nested results: `features`, `1.map`.
    Path(String),
}

impl std::fmt::Display for Pick {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Index(index) => write!(f, "{index}"),
            Self::Path(path) => f.write_str(path),
        }
    }
}

impl Pick {
    /// True when no step is empty.
    pub(super) fn is_whole(&self) -> bool {
        self.to_string().split('.').all(|step| !step.is_empty())
    }

    /// The tensor that is picked.
    ///
    /// # Errors
    /// Where the path leaves the result, and what is there instead.
    pub(super) fn from(pick: Option<&Self>, result: &IValue) -> Result<Tensor, String> {
        let path = pick.map(ToString::to_string);
        let steps: Vec<&str> = path.iter().flat_map(|p| p.split('.')).collect();
        find(result, &steps)
    }
}

fn find(value: &IValue, steps: &[&str]) -> Result<Tensor, String> {
    let Some((step, rest)) = steps.split_first() else {
        return tensor(value);
    };
    match value {
        IValue::Tuple(list) | IValue::GenericList(list) => find(at(list, step, value)?, rest),
        IValue::TensorList(list) => find(&IValue::Tensor(at(list, step, value)?.shallow_clone()), rest),
        IValue::GenericDict(pairs) => find(entry(pairs, step)?, rest),
        IValue::Object(object) => {
            let attribute = object.getattr(step);
            find(
                &attribute.map_err(|_| format!("is an object without an attribute `{step}`"))?,
                rest,
            )
        }
        other => Err(format!("is {}, `{step}` cannot be taken from it", words(other))),
    }
}

fn at<'a, T>(list: &'a [T], step: &str, whole: &IValue) -> Result<&'a T, String> {
    let found = step.parse::<usize>().ok().and_then(|index| list.get(index));
    found.ok_or_else(|| format!("is {}, counted from 0, and has no result `{step}`", words(whole)))
}

fn entry<'a>(pairs: &'a [(IValue, IValue)], step: &str) -> Result<&'a IValue, String> {
    let found = pairs.iter().find(|(key, _)| name(key) == step);
    found.map(|(_, value)| value).ok_or_else(|| {
        let unknown = Error::unknown("key", step, pairs.iter().map(|(key, _)| name(key)));
        format!("is {}, {unknown}", words_of("a dict", pairs.len()))
    })
}

fn tensor(value: &IValue) -> Result<Tensor, String> {
    match value {
        IValue::Tensor(tensor) if tensor.defined() => Ok(tensor.shallow_clone()),
        other => Err(format!("is {}, expected a tensor", words(other))),
    }
}

/// A dict's key as one writes it in a path.
fn name(key: &IValue) -> String {
    match key {
        IValue::String(text) => text.clone(),
        IValue::Int(number) => number.to_string(),
        other => words(other),
    }
}

fn words_of(what: &str, count: usize) -> String {
    format!("{what} of {count}")
}

/// What a value is, for messages.
fn words(value: &IValue) -> String {
    match value {
        IValue::None => "None".into(),
        IValue::Tensor(tensor) if tensor.defined() => "a tensor".into(),
        IValue::Tensor(_) => "an undefined tensor".into(),
        IValue::Tuple(list) => words_of("a tuple", list.len()),
        IValue::GenericList(list) => words_of("a list", list.len()),
        IValue::TensorList(list) => words_of("a list", list.len()),
        IValue::GenericDict(pairs) => words_of("a dict", pairs.len()),
        IValue::Object(_) => "an object".into(),
        IValue::String(_) => "a text".into(),
        IValue::Int(_) | IValue::Double(_) | IValue::Bool(_) => "a number".into(),
        _ => "neither a tensor nor a collection of them".into(),
    }
}
