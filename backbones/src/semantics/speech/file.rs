//! Verbs and nouns in a file: JSON, class name to `verb` and `noun`.
//!
//! ```json
//! {"drink water": {"verb": "drink", "noun": "water"},
//!  "reading":     {"verb": "read",  "noun": null}}
//! ```
//!
//! A noun that is absent, `null`, empty or `#` is none. `index` and `comment` are for people, and so is an object whose
//! key begins with `$`.

use std::path::{Path, PathBuf};

use serde_json::Value;
use szar_core::{Error, Result};

use super::{NO_NOUN, Words};
use crate::semantics::json::Pairs;

/// Verb and noun by class name.
#[derive(Clone, Debug)]
pub struct SpeechFile {
    path: PathBuf,
    entries: Vec<(String, Words)>,
}

impl SpeechFile {
    /// Reads a file.
    ///
    /// # Errors
    /// When it cannot be read, isn't JSON (with line and column), names a class twice, or a class has no verb.
    pub fn load(path: &Path) -> Result<Self> {
        let text = std::fs::read_to_string(path).map_err(|e| Error::read(path, e))?;
        let classes: Pairs<Pairs<Value>> =
            serde_json::from_str(&text).map_err(|e| Error::format(path, None, e.to_string()))?;
        let classes = classes.0.into_iter().filter(|(name, _)| !name.starts_with('$'));
        let entries = classes.map(|(name, fields)| match words(fields.0) {
            Ok(words) => Ok((name, words)),
            Err(why) => Err(Error::format(path, format!("class `{name}`"), why)),
        });
        Ok(Self {
            path: path.to_owned(),
            entries: entries.collect::<Result<Vec<_>>>()?,
        })
    }

    /// Verb and noun of a class.
    ///
    /// # Errors
    /// [`Error::Unknown`] with the nearest name.
    pub fn class(&self, name: &str) -> Result<&Words> {
        let found = self.entries.iter().find(|(n, _)| n == name);
        found.map(|(_, words)| words).ok_or_else(|| {
            let known = self.entries.iter().map(|(n, _)| n.clone());
            let what = format!("{} has no verb and noun of class `{name}`", self.path.display());
            Error::unknown("class", name, known).context(what)
        })
    }
}

fn words(fields: Vec<(String, Value)>) -> Result<Words, String> {
    let (mut verb, mut noun) = (None, None);
    for (key, value) in fields {
        let slot = match key.as_str() {
            "verb" => &mut verb,
            "noun" => &mut noun,
            "index" | "comment" => continue,
            _ => {
                let why = Error::unknown("key", &key, ["verb", "noun", "index", "comment"]);
                return Err(why.to_string());
            }
        };
        *slot = match value {
            Value::String(text) => Some(text).filter(|t| !t.trim().is_empty()),
            Value::Null => None,
            other => return Err(format!("`{key}` is {other}, expected a text")),
        };
    }
    let verb = verb.ok_or("has no `verb`")?;
    Ok(Words::new(verb, noun.filter(|noun| noun != NO_NOUN)))
}
