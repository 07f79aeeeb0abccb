//! The texts that a configuration asks for, class by class.

use std::borrow::Cow;

use szar_core::{ClassList, Error, Granularity, Result};

use super::DescriptionsConfig;
use super::file::{Described, DescriptionFile};
use super::prompt::Templates;
use crate::semantics::speech::{self, NO_NOUN, PartsOfSpeech, SpeechFile, Words, of_the_name};

/// Said where a verb or a noun is asked for and nothing gives it.
const ADVICE: &str = "; add it there, or give `parts_of_speech: {file: ...}` (a JSON file, class name to verb and noun) \
     or `parts_of_speech: rules` (split from the class's name)";

/// Finds the texts of classes: those of the file, the class's name, its verb and its noun.
#[derive(Debug)]
pub struct Texts {
    granularities: Vec<Granularity>,
    templates: Templates,
    file: Option<DescriptionFile>,
    speech: Option<Speech>,
    no_noun: String,
}

#[derive(Debug)]
enum Speech {
    Rules,
    File(SpeechFile),
}

impl Texts {
    /// Opens the files that the options name. Verbs and nouns are looked up only where they are used.
    ///
    /// # Errors
    /// When a file cannot be read or is not as it should be.
    pub fn open(config: &DescriptionsConfig) -> Result<Self> {
        Self::on(config, config.described()?)
    }

    /// As [`Self::open`], with these descriptions in place of those of the options' `file`.
    ///
    /// # Errors
    /// When another file cannot be read or is not as it should be.
    pub fn on(config: &DescriptionsConfig, file: Option<DescriptionFile>) -> Result<Self> {
        let words = config.granularities.iter().any(of_the_name);
        let speech = match config.parts_of_speech.as_ref().filter(|_| words) {
            None => None,
            Some(PartsOfSpeech::Rules) => Some(Speech::Rules),
            Some(PartsOfSpeech::File(path)) => Some(Speech::File(SpeechFile::load(path.as_ref())?)),
        };
        Ok(Self {
            granularities: config.granularities.clone(),
            templates: Templates {
                prompt: config.prompt,
                own: config.templates.clone(),
            },
            file,
            speech,
            no_noun: config.no_noun.clone(),
        })
    }

    /// Texts to encode in their templates, class by class, one per granularity each.
    ///
    /// # Errors
    /// When a class has no description, or lacks a text, naming both.
    pub fn of(&self, classes: &ClassList) -> Result<Vec<String>> {
        let mut texts = Vec::with_capacity(classes.len() * self.granularities.len());
        for (id, name) in classes.iter() {
            let file = self.file.as_ref();
            let described = file.map(|file| file.class(id, name)).transpose()?;
            self.class(described, name, &mut texts)?;
        }
        Ok(texts)
    }

    /// As [`Self::of`], of every class of the file, whatever its number.
    ///
    /// # Errors
    /// When a class lacks a text.
    pub fn of_file(&self) -> Result<Vec<String>> {
        let mut texts = Vec::new();
        for name in self.file.iter().flat_map(DescriptionFile::names) {
            let described = self.file.as_ref().and_then(|file| file.named(name));
            self.class(described, name, &mut texts)?;
        }
        Ok(texts)
    }

    fn class(&self, described: Option<Described<'_>>, name: &str, texts: &mut Vec<String>) -> Result<()> {
        for granularity in &self.granularities {
            let text = self.text(described, name, granularity)?;
            texts.push(self.templates.fill(granularity, name, &text));
        }
        Ok(())
    }

    fn text<'a>(
        &'a self,
        described: Option<Described<'a>>,
        name: &'a str,
        granularity: &Granularity,
    ) -> Result<Cow<'a, str>> {
        let own = described.map(|d| d.find(granularity)).transpose()?.flatten();
        if let Some(text) = own {
            let none = *granularity == Granularity::NOUN && (text.trim().is_empty() || text == NO_NOUN);
            return Ok(if none { &self.no_noun } else { text }.into());
        }
        if *granularity == Granularity::LABEL {
            return Ok(name.into());
        }
        let words = match &self.speech {
            Some(speech) if of_the_name(granularity) => speech.words(name)?,
            _ => {
                let advice = if of_the_name(granularity) { ADVICE } else { "" };
                return Err(match described {
                    Some(described) => described.missing(granularity, advice),
                    None => Error::Input(format!(
                        "nothing gives class `{name}` a text `{granularity}`{advice}"
                    )),
                });
            }
        };
        Ok(words.text(granularity, &self.no_noun).to_owned().into())
    }
}

impl Speech {
    fn words(&self, name: &str) -> Result<Cow<'_, Words>> {
        match self {
            Self::File(file) => Ok(Cow::Borrowed(file.class(name)?)),
            Self::Rules => speech::split(name).map(Cow::Owned).ok_or_else(|| {
                Error::Input(format!(
                    "`parts_of_speech: rules` find no verb in the class name `{name}`; write `\"verb\": ..., \"noun\": ...` \
                     beside its descriptions, or a JSON file {{{:?}: {{\"verb\": ..., \"noun\": ...}}, ...}} and give it as \
                     `parts_of_speech: {{file: ...}}` (`szar semantics words` writes one to start from)",
                    name
                ))
            }),
        }
    }
}
