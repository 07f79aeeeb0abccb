//! Verb and noun of the names of classes, for methods that embed them apart (JPoSE, SynSE).
//!
//! They are written down in a file, or made by [`split`] where a configuration asks for the rules by name.

mod file;
mod lexicon;
mod rules;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use szar_core::{FilePath, Granularity};

pub use file::SpeechFile;
pub use rules::split;

/// Stands for "no noun" in SynSE's tables of verbs and nouns.
pub const NO_NOUN: &str = "#";

/// Verb and noun of a class.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Words {
    /// What is done; never empty.
    pub verb: String,
    /// To what or with what, if the name says so.
    pub noun: Option<String>,
}

impl Words {
    /// A verb and, if there is one, a noun.
    pub fn new(verb: impl Into<String>, noun: Option<String>) -> Self {
        Self {
            verb: verb.into(),
            noun,
        }
    }

    /// The text of a granularity: `verb`, or `noun` with a word for its absence.
    pub fn text<'a>(&'a self, granularity: &Granularity, no_noun: &'a str) -> &'a str {
        if *granularity == Granularity::VERB {
            &self.verb
        } else {
            self.noun.as_deref().unwrap_or(no_noun)
        }
    }
}

/// Where verbs and nouns come from that a file of descriptions does not give itself.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum PartsOfSpeech {
    /// Rules for the names of actions in the style of NTU RGB+D and its kin; every report says so. `szar semantics
    /// words` shows what they give.
    Rules,
    /// A JSON file, class name to `verb` and `noun`.
    File(
        /// JSON file, class name to `verb` and `noun` (or `null`). No default.
        FilePath,
    ),
}

/// Is it made of the class's name, so that it can be given without a description?
pub fn of_the_name(granularity: &Granularity) -> bool {
    *granularity == Granularity::VERB || *granularity == Granularity::NOUN
}

#[cfg(test)]
mod tests;
