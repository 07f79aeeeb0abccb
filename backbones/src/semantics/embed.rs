//! Makes a file of vectors, to be shipped beside a pipeline: `szar semantics embed`.
//!
//! With it, a pipeline on those texts needs no text encoder.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::time::{SystemTime, UNIX_EPOCH};

use szar_core::{Error, Granularity, Result, TextEncoder};

use super::classes;
use super::descriptions::file::DescriptionFile;
use super::descriptions::{DescriptionsConfig, Templates, Texts};
use super::speech::{NO_NOUN, PartsOfSpeech};
use super::vectors::Shipped;

/// Which texts to embed.
#[derive(Clone, Debug)]
pub struct Sources {
    /// Description files (JSON, see [`DescriptionFile`]); every text of theirs.
    pub descriptions: Vec<PathBuf>,
    /// Lists of class names, one a line.
    pub lists: Vec<PathBuf>,
    /// Files of texts, one a line, as they are.
    pub texts: Vec<PathBuf>,
    /// Also the names of the classes themselves.
    pub names: bool,
    /// Also verb and noun of each class: its own, else from here.
    pub words: Option<PartsOfSpeech>,
    /// Text of a noun that is none.
    pub no_noun: String,
    /// Around the texts of classes.
    pub templates: Templates,
}

impl Default for Sources {
    fn default() -> Self {
        Self {
            descriptions: Vec::new(),
            lists: Vec::new(),
            texts: Vec::new(),
            names: false,
            words: None,
            no_noun: NO_NOUN.into(),
            templates: Templates::default(),
        }
    }
}

/// What [`embed`] wrote.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Embedded {
    /// Distinct texts in the file.
    pub texts: i64,
    /// Those that were encoded now.
    pub new: usize,
    /// d.
    pub width: i64,
}

impl Sources {
    /// Every distinct text, in its template.
    ///
    /// # Errors
    /// When a file is wrong, a text is empty, or a class has no verb.
    pub fn gather(&self) -> Result<BTreeSet<String>> {
        let mut texts = BTreeSet::new();
        for path in &self.descriptions {
            let file = DescriptionFile::load(path)?;
            for (class, granularity, text) in file.texts() {
                if text.trim().is_empty() && *granularity != Granularity::NOUN {
                    let at = format!("class `{class}`, `{granularity}`");
                    return Err(Error::format(path, at, "is empty"));
                }
                let none = *granularity == Granularity::NOUN && (text.trim().is_empty() || text == NO_NOUN);
                let text = if none { &self.no_noun } else { text };
                texts.insert(self.templates.fill(granularity, class, text));
            }
            texts.extend(self.of_names(Some(path))?.of_file()?);
        }
        for path in &self.lists {
            texts.extend(self.of_names(None)?.of(&classes::read_list(path)?)?);
        }
        for path in &self.texts {
            let text = std::fs::read_to_string(path).map_err(|e| Error::read(path, e))?;
            let lines = text.lines().filter(|line| !line.trim().is_empty());
            texts.extend(lines.map(str::to_owned));
        }
        Ok(texts)
    }

    /// The texts that a class has by its name.
    fn of_names(&self, file: Option<&Path>) -> Result<Texts> {
        let mut granularities = Vec::new();
        granularities.extend(self.names.then_some(Granularity::LABEL));
        if self.words.is_some() {
            granularities.extend([Granularity::VERB, Granularity::NOUN]);
        }
        Texts::open(&DescriptionsConfig {
            file: file.unwrap_or(Path::new("")).into(),
            granularities,
            parts_of_speech: self.words.clone(),
            no_noun: self.no_noun.clone(),
            prompt: self.templates.prompt,
            templates: self.templates.own.clone(),
            ..Default::default()
        })
    }

    /// The files, by name.
    fn describe(&self) -> Vec<String> {
        let files = self.descriptions.iter().chain(&self.lists).chain(&self.texts);
        let names = files.filter_map(|path| path.file_name());
        let mut names: Vec<_> = names.map(|name| name.to_string_lossy().into_owned()).collect();
        names.extend(self.names.then(|| "class names".to_owned()));
        names.extend(self.words.as_ref().map(|words| match words {
            PartsOfSpeech::Rules => "verbs and nouns by rules".to_owned(),
            PartsOfSpeech::File(_) => "verbs and nouns".to_owned(),
        }));
        names
    }
}

/// Encodes the sources' texts and `more`, each distinct text once, and writes the vectors to `out`. Those of `base` come
/// along as they are, and what it holds is not encoded again. `model` is the name of the encoder's model for readers of
/// the file.
///
/// # Errors
/// When a source is wrong, there is no text, one cannot be encoded, `base` is of another encoder, or `out` cannot be
/// written.
pub fn embed(
    sources: &Sources,
    more: &[String],
    base: Option<&Shipped>,
    encoder: &mut dyn TextEncoder,
    model: &str,
    out: &Path,
) -> Result<Embedded> {
    let mut texts = sources.gather()?;
    texts.extend(more.iter().cloned());
    if texts.is_empty() {
        return Err(Error::Input("there is no text to embed".into()));
    }
    if let Some(base) = base.filter(|base| base.encoder() != encoder.fingerprint()) {
        return Err(Error::Input(format!(
            "{} holds vectors of another model or with other settings, which cannot be extended\n  there: {}\n  here:  {}",
            base.path().display(),
            base.encoder(),
            encoder.fingerprint()
        )));
    }
    let known = |text: &String| base.is_some_and(|base| base.row(text).is_some());
    let new: Vec<String> = texts.into_iter().filter(|text| !known(text)).collect();
    let values = if new.is_empty() {
        tch::Tensor::zeros([0, encoder.width()], tch::kind::FLOAT_CPU)
    } else {
        encoder.encode(&new)?
    };
    let mut names: Vec<String> =
        base.map_or_else(Vec::new, |b| b.sources().split(", ").map(str::to_owned).collect());
    let further = sources
        .describe()
        .into_iter()
        .filter(|n| !names.contains(n))
        .collect::<Vec<_>>();
    names.extend(further);
    let provenance = [
        ("model", base.map_or(model, Shipped::model).to_owned()),
        (
            "made_by",
            format!("szar {} semantics embed", env!("CARGO_PKG_VERSION")),
        ),
        ("sources", names.join(", ")),
        ("templates", describe(&sources.templates)),
        ("date", date(SystemTime::now())),
    ];
    Shipped::save(out, base, &new, &values, &encoder.fingerprint(), &provenance)?;
    Ok(Embedded {
        texts: base.map_or(0, Shipped::len) + new.len() as i64,
        new: new.len(),
        width: encoder.width(),
    })
}

/// The templates in a line.
fn describe(templates: &Templates) -> String {
    let own = templates
        .own
        .iter()
        .map(|(g, template)| format!("; {g}: {template}"));
    format!("{:?}", templates.prompt).to_lowercase() + &own.collect::<String>()
}

/// `2026-01-31`, in universal time.
pub(super) fn date(now: SystemTime) -> String {
    let days = now.duration_since(UNIX_EPOCH).map_or(0, |d| d.as_secs() / 86_400);
    let (mut year, mut rest) = (1970, days);
    let leap = |y: u64| y.is_multiple_of(4) && (!y.is_multiple_of(100) || y.is_multiple_of(400));
    while rest >= 365 + u64::from(leap(year)) {
        rest -= 365 + u64::from(leap(year));
        year += 1;
    }
    let mut month = 1;
    for length in [
        31,
        28 + u64::from(leap(year)),
        31,
        30,
        31,
        30,
        31,
        31,
        30,
        31,
        30,
        31,
    ] {
        if rest < length {
            break;
        }
        rest -= length;
        month += 1;
    }
    format!("{year}-{month:02}-{:02}", rest + 1)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::Duration;

    #[test]
    fn dates_follow_the_calendar() {
        let of = |days: u64| date(UNIX_EPOCH + Duration::from_secs(days * 86_400 + 5));
        assert_eq!(of(0), "1970-01-01");
        assert_eq!(of(59), "1970-03-01"); // 31 + 28
        assert_eq!(of(11_016), "2000-02-29"); // 30 · 365 + 7 leap days + 59
        assert_eq!(of(11_322), "2000-12-31");
    }
}
