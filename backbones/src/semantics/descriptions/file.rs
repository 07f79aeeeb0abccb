//! A file of descriptions: JSON or YAML (`.yaml`, `.yml`), class name to texts.
//!
//! ```json
//! {"walk": {"index": 0,
//!           "global": "walk with regular steps",
//!           "parts":  {"head": "...", "hands": "...", "torso": "...", "legs": "..."},
//!           "phases": {"start": "...", "middle": "...", "end": "..."}}}
//! ```
//!
//! A text's granularity is its key. `index` is checked against the class's number where it is given; `concept` and
//! `comment` are for people. Any other key is a text, a group of texts, or a list, whose texts are `key_1`, `key_2` and
//! so on. A class may also be a text alone, which is its `global` one. A `noun` of `null` says that the class's name has none. A key beside the classes that begins with `$` holds
//! an object of notes, such as where the file comes from.

use std::fmt;
use std::path::{Path, PathBuf};

use serde::de::value::MapAccessDeserializer;
use serde::de::{Deserialize, Deserializer, MapAccess, Visitor};
use serde_json::Value;
use szar_core::{ClassId, Error, Granularity, Result};

use crate::semantics::json::Pairs;
use crate::semantics::speech::of_the_name;

/// What is said of a class: its fields, or one text.
struct Fields(Pairs<Value>);

impl<'de> Deserialize<'de> for Fields {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Read;
        impl<'de> Visitor<'de> for Read {
            type Value = Fields;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("an object of texts, or a text")
            }

            fn visit_str<E>(self, text: &str) -> Result<Fields, E> {
                let global = Granularity::GLOBAL.as_str().to_owned();
                Ok(Fields(Pairs(vec![(global, text.into())])))
            }

            fn visit_map<A: MapAccess<'de>>(self, map: A) -> Result<Fields, A::Error> {
                Pairs::deserialize(MapAccessDeserializer::new(map)).map(Fields)
            }
        }
        deserializer.deserialize_any(Read)
    }
}

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

/// What a file says of a class.
#[derive(Clone, Copy, Debug)]
pub struct Described<'a> {
    path: &'a Path,
    entry: &'a Entry,
}

impl DescriptionFile {
    /// Reads a file.
    ///
    /// # Errors
    /// When it cannot be read, isn't JSON (with line and column), or an entry isn't as the module says.
    pub fn load(path: &Path) -> Result<Self> {
        let text = std::fs::read_to_string(path).map_err(|e| Error::read(path, e))?;
        let ending = path.extension().unwrap_or_default().to_ascii_lowercase();
        let classes: Pairs<Fields> = if ending == "yaml" || ending == "yml" {
            serde_yaml::from_str(&text).map_err(|e| Error::format(path, None, e.to_string()))?
        } else {
            serde_json::from_str(&text).map_err(|e| Error::format(path, None, e.to_string()))?
        };
        let classes = classes.0.into_iter().filter(|(name, _)| !name.starts_with('$'));
        let entries = classes.map(|(name, fields)| {
            entry(&name, fields.0.0).map_err(|why| Error::format(path, format!("class `{name}`"), why))
        });
        Ok(Self {
            path: path.to_owned(),
            entries: entries.collect::<Result<Vec<_>>>()?,
        })
    }

    /// The same texts under names alone, for classes that have no number in a dataset.
    #[must_use]
    pub fn without_numbers(mut self) -> Self {
        self.entries.iter_mut().for_each(|entry| entry.index = None);
        self
    }

    /// The same, with a class's `global` text in place of each of `wanted` that it lacks; verbs and nouns are left alone.
    #[must_use]
    pub fn filled(mut self, wanted: &[Granularity]) -> Self {
        for entry in &mut self.entries {
            let of = |g: &Granularity| entry.texts.iter().find(|(own, _)| own == g);
            let Some((_, global)) = of(&Granularity::GLOBAL) else {
                continue;
            };
            let lacking = |g: &&Granularity| of(g).is_none() && !of_the_name(g) && **g != Granularity::LABEL;
            let more: Vec<_> = wanted
                .iter()
                .filter(lacking)
                .map(|g| (g.clone(), global.clone()))
                .collect();
            entry.texts.extend(more);
        }
        self
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

    /// Names of the classes, in the order of the file.
    pub fn names(&self) -> impl Iterator<Item = &str> {
        self.entries.iter().map(|e| e.name.as_str())
    }

    /// What there is of a class, without its number being checked.
    pub fn named(&self, name: &str) -> Option<Described<'_>> {
        let entry = self.entries.iter().find(|e| e.name == name)?;
        Some(Described {
            path: &self.path,
            entry,
        })
    }

    /// What there is of a class.
    ///
    /// # Errors
    /// [`Error::Unknown`] with the nearest name; [`Error::Format`] when the class has another number here.
    pub fn class(&self, id: ClassId, name: &str) -> Result<Described<'_>> {
        let found = self.named(name).ok_or_else(|| {
            let known = self.entries.iter().map(|e| e.name.clone());
            Error::unknown("class", name, known).context(format!(
                "{} has no description of class {id} `{name}`",
                self.path.display()
            ))
        })?;
        match found.entry.index {
            Some(index) if index != id.0 => {
                let why = format!("`index` is {index}, but the dataset's number of `{name}` is {id}");
                Err(Error::format(&self.path, format!("class `{name}`"), why))
            }
            _ => Ok(found),
        }
    }
}

impl<'a> Described<'a> {
    /// The text of a granularity, if there is one. An empty one is no text, but `noun` may be empty: it says that
    /// there is none.
    ///
    /// # Errors
    /// [`Error::Format`] when it is empty.
    pub fn find(&self, granularity: &Granularity) -> Result<Option<&'a str>> {
        let name = &self.entry.name;
        match self.entry.texts.iter().find(|(g, _)| g == granularity) {
            Some((_, text)) if text.trim().is_empty() && *granularity != Granularity::NOUN => {
                let at = format!("class `{name}`, `{granularity}`");
                Err(Error::format(self.path, at, "is empty"))
            }
            Some((_, text)) => Ok(Some(text.as_str())),
            None => Ok(None),
        }
    }

    /// The error for a text that is not there, and what would give it.
    pub fn missing(&self, granularity: &Granularity, advice: &str) -> Error {
        let known = self.entry.texts.iter().map(|(g, _)| g.to_string());
        let why = Error::unknown("granularity", granularity.as_str(), known).to_string();
        let at = format!("class `{}`", self.entry.name);
        Error::format(
            self.path,
            at,
            format!("has no text `{granularity}` ({why}){advice}"),
        )
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
            ("noun", Value::Null) => texts.push((Granularity::NOUN, String::new())),
            (_, Value::String(text)) => texts.push((Granularity(key.into()), text)),
            (_, Value::Object(group)) => {
                for (inner, value) in group {
                    let Value::String(text) = value else {
                        return Err(format!("`{key}.{inner}` is {value}, expected a text"));
                    };
                    texts.push((Granularity(inner.into()), text));
                }
            }
            (_, Value::Array(list)) => {
                for (i, value) in (1..).zip(list) {
                    let Value::String(text) = value else {
                        return Err(format!("`{key}`, number {i}, is {value}, expected a text"));
                    };
                    texts.push((Granularity(format!("{key}_{i}").into()), text));
                }
            }
            (_, value) => {
                return Err(format!(
                    "`{key}` is {value}, expected a text, a list or a group of texts"
                ));
            }
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
