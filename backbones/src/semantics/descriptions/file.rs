//! A file of descriptions: JSON, class name to texts.
//!
//! ```json
//! {"walk": {"index": 0,
//!           "global": "walk with regular steps",
//!           "parts":  {"head": "...", "hands": "...", "torso": "...", "legs": "..."},
//!           "phases": {"start": "...", "middle": "...", "end": "..."}}}
//! ```
//!
//! A text's granularity is its key. `index` is checked against the class's number where it is given; `concept` and
//! `comment` are for people. Any other key is a text, or a group of texts.

use std::fmt;
use std::marker::PhantomData;
use std::path::{Path, PathBuf};

use serde::de::{Deserialize, Deserializer, Error as _, MapAccess, Visitor};
use serde_json::Value;
use szar_core::{ClassId, Error, Granularity, Result};

/// The texts of one class.
#[derive(Clone, Debug)]
struct Entry {
    name: String,
    index: Option<i64>,
    texts: Vec<(Granularity, String)>,
}

/// Texts by class name.
#[derive(Clone, Debug)]
pub struct DescriptionFile {
    path: PathBuf,
    entries: Vec<Entry>,
}

/// A JSON object in the order of the file, no key twice.
struct Pairs<T>(Vec<(String, T)>);

impl<'de, T: Deserialize<'de>> Deserialize<'de> for Pairs<T> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Read<T>(PhantomData<T>);
        impl<'de, T: Deserialize<'de>> Visitor<'de> for Read<T> {
            type Value = Pairs<T>;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("an object")
            }

            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Pairs<T>, A::Error> {
                let mut pairs: Vec<(String, T)> = Vec::new();
                let mut seen = std::collections::BTreeSet::new();
                while let Some(key) = map.next_key::<String>()? {
                    if !seen.insert(key.clone()) {
                        return Err(A::Error::custom(format!("`{key}` is given twice")));
                    }
                    pairs.push((key, map.next_value()?));
                }
                Ok(Pairs(pairs))
            }
        }
        deserializer.deserialize_map(Read(PhantomData))
    }
}

impl DescriptionFile {
    /// Reads a file.
    ///
    /// # Errors
    /// When it cannot be read, isn't JSON (with line and column), or an entry isn't as the module says.
    pub fn load(path: &Path) -> Result<Self> {
        let text = std::fs::read_to_string(path).map_err(|e| Error::read(path, e))?;
        let classes: Pairs<Pairs<Value>> =
            serde_json::from_str(&text).map_err(|e| Error::format(path, None, e.to_string()))?;
        let entries = classes.0.into_iter().map(|(name, fields)| {
            entry(&name, fields.0).map_err(|why| Error::format(path, format!("class `{name}`"), why))
        });
        Ok(Self {
            path: path.to_owned(),
            entries: entries.collect::<Result<Vec<_>>>()?,
        })
    }

    /// The file.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Class, granularity and text of everything in the file.
    pub fn texts(&self) -> impl Iterator<Item = (&str, &Granularity, &str)> {
        self.entries.iter().flat_map(|e| {
            e.texts
                .iter()
                .map(|(g, text)| (e.name.as_str(), g, text.as_str()))
        })
    }

    /// The texts of a class, one per granularity.
    ///
    /// # Errors
    /// [`Error::Unknown`] with the nearest name; [`Error::Format`] when the class has another number here, or a
    /// text is missing or empty.
    pub fn class(&self, id: ClassId, name: &str, granularities: &[Granularity]) -> Result<Vec<&str>> {
        let entry = self.entries.iter().find(|e| e.name == name).ok_or_else(|| {
            let known = self.entries.iter().map(|e| e.name.clone());
            Error::unknown("class", name, known).context(format!(
                "{} has no description of class {id} `{name}`",
                self.path.display()
            ))
        })?;
        let wrong = |at: String, why: String| Error::format(&self.path, at, why);
        if let Some(index) = entry.index.filter(|index| *index != id.0) {
            let why = format!("`index` is {index}, but the dataset's number of `{name}` is {id}");
            return Err(wrong(format!("class `{name}`"), why));
        }
        let text = |granularity: &Granularity| {
            let found = entry.texts.iter().find(|(g, _)| g == granularity);
            match found {
                Some((_, text)) if text.trim().is_empty() => Err(wrong(
                    format!("class `{name}`, `{granularity}`"),
                    "is empty".into(),
                )),
                Some((_, text)) => Ok(text.as_str()),
                None => {
                    let known = entry.texts.iter().map(|(g, _)| g.to_string());
                    let why = Error::unknown("granularity", granularity.as_str(), known).to_string();
                    Err(wrong(
                        format!("class `{name}`"),
                        format!("has no text `{granularity}` ({why})"),
                    ))
                }
            }
        };
        granularities.iter().map(text).collect()
    }
}

fn entry(name: &str, fields: Vec<(String, Value)>) -> Result<Entry, String> {
    let (mut index, mut texts) = (None, Vec::new());
    for (key, value) in fields {
        match (key.as_str(), value) {
            ("index", Value::Null) | ("concept" | "comment", _) => {}
            ("index", value) => {
                let number = value
                    .as_i64()
                    .ok_or_else(|| format!("`index` is {value}, expected a number"))?;
                index = Some(number);
            }
            (_, Value::String(text)) => texts.push((Granularity(key.into()), text)),
            (_, Value::Object(group)) => {
                for (inner, value) in group {
                    let Value::String(text) = value else {
                        return Err(format!("`{key}.{inner}` is {value}, expected a text"));
                    };
                    texts.push((Granularity(inner.into()), text));
                }
            }
            (_, value) => return Err(format!("`{key}` is {value}, expected a text or a group of texts")),
        }
    }
    let twice = (1..texts.len()).find(|i| texts[..*i].iter().any(|(g, _)| *g == texts[*i].0));
    if let Some(i) = twice {
        return Err(format!("text `{}` is given twice", texts[i].0));
    }
    Ok(Entry {
        name: name.to_owned(),
        index,
        texts,
    })
}
