//! Provider `descriptions`: encodes the texts that a file gives for each class.
//!
//! Classes are found by name. Vectors come from a shipped file where it holds them, else from the cache, else from
//! the text encoder.

pub mod file;
pub mod prompt;
mod texts;

use std::collections::BTreeMap;
use std::sync::Arc;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use szar_core::{
    BuildContext, ClassList, ComponentInfo, ComponentKind, Error, FilePath, Granularity, Mark, Problems,
    PromptTower, Result, SemanticAnchors, SemanticProvider, SemanticsConfig, TextEncoder, TextEncoderConfig,
};
use tch::{Device, Tensor};

use super::speech::{NO_NOUN, PartsOfSpeech, of_the_name};
use super::vectors::{Cache, Shipped};
pub use file::DescriptionFile;
pub use prompt::{Prompt, Templates};
pub use texts::Texts;

/// Options of the `descriptions` provider.
#[derive(Clone, Debug, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct DescriptionsConfig {
    /// JSON file, class name to texts: `global`, `parts` (head, hands, torso, legs), `phases` (start, middle, end), and
    /// any other by its name. Not needed where `granularities` are label, verb and noun alone. No default.
    pub file: FilePath,
    /// Which texts of a class to use, and their order; `label` is the class's name, `verb` and `noun` are of it.
    /// Default: the eight of PURLS in its order, head, hands, torso, legs, start, middle, end, global.
    pub granularities: Vec<Granularity>,
    /// Where verbs and nouns come from that `file` does not give: `{file: words.json}`, class name to verb and noun, or
    /// `rules`, which split the names. No default: nothing is guessed unless asked for.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub parts_of_speech: Option<PartsOfSpeech>,
    /// The text of `noun` for a class whose name has none. Default: `#`, as in the vocabulary of SynSE.
    pub no_noun: String,
    /// Named set of templates around the texts. Default: `none`, as in the official code of PURLS.
    pub prompt: Prompt,
    /// Templates by granularity that stand in for those of `prompt`; `{name}` is the class, `{text}` the text. No
    /// default.
    pub templates: BTreeMap<Granularity, String>,
    /// What turns texts into vectors; not needed when `embeddings` holds every text. No default.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(schema_with = "szar_core::registry::text_encoder_schema")]
    pub text_encoder: Option<Arc<dyn TextEncoderConfig>>,
    /// File of vectors made earlier by `szar semantics embed`. When the text encoder's model is also there, both must be of
    /// the same weights. No default.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub embeddings: Option<FilePath>,
}

impl Default for DescriptionsConfig {
    fn default() -> Self {
        Self {
            file: FilePath::default(),
            granularities: Granularity::PURLS_ORDER.to_vec(),
            parts_of_speech: None,
            no_noun: NO_NOUN.into(),
            prompt: Prompt::default(),
            templates: BTreeMap::new(),
            text_encoder: None,
            embeddings: None,
        }
    }
}

inventory::submit! {
    ComponentInfo::new::<DescriptionsConfig>(
        ComponentKind::Semantics,
        "descriptions",
        "Encodes written descriptions of each class, its body parts and its phases.",
        "Zhu et al., Part-aware Unified Representation of Language and Skeleton (PURLS), CVPR 2024",
    )
}

/// How to get an encoder, for messages.
const ADVICE: &str = "`./x model` prints the folder of all-MiniLM-L6-v2, give it as semantics.text_encoder.model (type: sentence-bert)";

/// The words whose vectors a prompt-tuning adapter starts from; the class's name and a full stop follow.
const CONTEXT: &str = "a video of a person";

#[typetag::serde(name = "descriptions")]
impl SemanticsConfig for DescriptionsConfig {
    fn validate(&self, problems: &mut Problems) {
        let described = |g: &Granularity| *g != Granularity::LABEL && !of_the_name(g);
        let words = self.granularities.iter().any(of_the_name) && self.parts_of_speech.is_none();
        let needed = words || self.granularities.iter().any(described);
        problems.check(!needed || !self.file.is_empty(), "file", || {
            "no file of descriptions given".into()
        });
        if let Some(PartsOfSpeech::File(path)) = &self.parts_of_speech {
            problems.check(!path.is_empty(), "parts_of_speech", || "names no file".into());
        }
        problems.check(!self.no_noun.trim().is_empty(), "no_noun", || {
            "is empty, and an empty text cannot be encoded".into()
        });
        check_granularities(&self.granularities, problems);
        problems.scoped("templates", |problems| {
            for (granularity, template) in &self.templates {
                problems.check(
                    self.granularities.contains(granularity),
                    granularity.as_str(),
                    || {
                        let used: Vec<_> = self.granularities.iter().map(Granularity::as_str).collect();
                        format!(
                            "template of a text that is not used; `granularities` are {}",
                            used.join(", ")
                        )
                    },
                );
                prompt::check(granularity, template, problems);
            }
        });
        if let Some(encoder) = &self.text_encoder {
            problems.scoped("text_encoder", |problems| encoder.validate(problems));
        }
        let given = self.embeddings.as_ref().is_some_and(|path| !path.is_empty());
        if !given && self.text_encoder.is_none() {
            problems.add_with_hint("", "needs `text_encoder` or `embeddings`", ADVICE);
        }
    }

    fn granularities(&self) -> Vec<Granularity> {
        self.granularities.clone()
    }

    fn width(&self) -> Option<i64> {
        self.text_encoder.as_ref().and_then(|encoder| encoder.width())
    }

    fn prompts(&self) -> bool {
        self.text_encoder
            .as_ref()
            .is_some_and(|encoder| encoder.prompts())
    }

    fn marks(&self) -> Vec<Mark> {
        let split = self.parts_of_speech == Some(PartsOfSpeech::Rules);
        if !split || !self.granularities.iter().any(of_the_name) {
            return Vec::new();
        }
        vec![Mark::note(
            "verbs and nouns of the class names that no file gives were found by rules",
        )]
    }

    fn build(&self, ctx: &BuildContext) -> Result<Box<dyn SemanticProvider>> {
        self.build_on(self.described()?, ctx)
    }
}

impl DescriptionsConfig {
    /// The descriptions that `file` names, if it names any.
    ///
    /// # Errors
    /// As [`DescriptionFile::load`].
    pub fn described(&self) -> Result<Option<DescriptionFile>> {
        let file = Some(&self.file).filter(|path| !path.is_empty());
        file.map(|path| DescriptionFile::load(path.as_ref())).transpose()
    }

    /// The provider on these descriptions, whatever `file` says.
    ///
    /// # Errors
    /// When a file or a model is missing or wrong.
    pub fn build_on(
        &self,
        file: Option<DescriptionFile>,
        ctx: &BuildContext,
    ) -> Result<Box<dyn SemanticProvider>> {
        let texts = Texts::on(self, file)?;
        let shipped = self
            .embeddings
            .as_ref()
            .map(|path| Shipped::load(path.as_ref()))
            .transpose()?;
        let encoder = encoder(self.text_encoder.as_deref(), shipped.as_ref(), ctx)?;
        let options = serde_json::to_string(&self.text_encoder).map_err(|e| Error::Input(e.to_string()))?;
        Ok(Box::new(Descriptions {
            granularities: self.granularities.clone(),
            texts,
            shipped,
            encoder,
            cache: Cache::new(&ctx.cache, format!("{options} {:?}", ctx.device)),
            device: ctx.device,
        }))
    }
}

/// Adds a problem when there is no granularity or one is named twice.
pub(super) fn check_granularities(list: &[Granularity], problems: &mut Problems) {
    problems.check(!list.is_empty(), "granularities", || {
        "must name at least one text".into()
    });
    let twice = (1..list.len()).find(|i| list[..*i].contains(&list[*i]));
    if let Some(i) = twice {
        problems.add("granularities", format!("names `{}` twice", list[i]));
    }
}

/// The text encoder, or why there is none. With shipped vectors it may be absent; if present it must be theirs.
fn encoder(
    config: Option<&dyn TextEncoderConfig>,
    shipped: Option<&Shipped>,
    ctx: &BuildContext,
) -> Result<Result<Box<dyn TextEncoder>, String>> {
    let Some(config) = config else {
        return Ok(Err("no text encoder is given".into()));
    };
    match (config.build(ctx), shipped) {
        (Ok(encoder), Some(shipped)) if encoder.fingerprint() != shipped.encoder() => {
            Err(Error::Input(format!(
                "{} and `text_encoder` are of different models or settings; leave out one of them\n  embeddings:   {}\n  text_encoder: {}",
                shipped.path().display(),
                shipped.encoder(),
                encoder.fingerprint()
            )))
        }
        (Ok(encoder), _) => Ok(Ok(encoder)),
        (Err(Error::Unavailable(why)), Some(_)) => Ok(Err(why)),
        (Err(error), _) => Err(error.context("text encoder")),
    }
}

struct Descriptions {
    granularities: Vec<Granularity>,
    texts: Texts,
    shipped: Option<Shipped>,
    /// Or why there is none.
    encoder: Result<Box<dyn TextEncoder>, String>,
    cache: Cache,
    device: Device,
}

impl Descriptions {
    /// `[n, d]`, the vectors of texts that are not shipped.
    fn encode(&mut self, missing: &[String], first: &str) -> Result<Tensor> {
        match &mut self.encoder {
            Ok(encoder) => self.cache.encode(encoder.as_mut(), missing),
            Err(why) => {
                let shipped = self.shipped.as_ref().map(|s| s.path().display().to_string());
                Err(Error::Input(format!(
                    "{} has no vector for {first} ({} texts are missing), and {why}; {ADVICE}",
                    shipped.unwrap_or_else(|| "nothing".into()),
                    missing.len(),
                )))
            }
        }
    }

    /// Class and granularity of the n-th text, with its beginning.
    fn describe(&self, classes: &ClassList, n: usize, text: &str) -> String {
        let (class, g) = (n / self.granularities.len(), n % self.granularities.len());
        let name = classes.names().get(class).map_or("", String::as_str);
        format!("class `{name}`, `{}`: \"{text}\"", self.granularities[g])
    }
}

impl SemanticProvider for Descriptions {
    fn anchors(&mut self, classes: &ClassList) -> Result<SemanticAnchors> {
        if classes.is_empty() {
            return Err(Error::Input("no classes to describe".into()));
        }
        let texts = self.texts.of(classes)?;
        // Each distinct text with its first place, those that are shipped in front.
        let distinct: BTreeMap<&String, usize> =
            texts.iter().enumerate().rev().map(|(n, t)| (t, n)).collect();
        let shipped = |text: &String| self.shipped.as_ref().and_then(|s| s.row(text));
        let (known, missing): (Vec<_>, Vec<_>) =
            distinct.into_iter().partition(|(t, _)| shipped(t).is_some());
        let rows: BTreeMap<&String, i64> = known.iter().chain(&missing).map(|(t, _)| *t).zip(0..).collect();
        let rows: Vec<i64> = texts.iter().filter_map(|t| rows.get(t).copied()).collect();
        let mut parts = Vec::new();
        if let Some(file) = self.shipped.as_ref().filter(|_| !known.is_empty()) {
            parts.push(file.select(&known.iter().filter_map(|(t, _)| shipped(t)).collect::<Vec<_>>()));
        }
        if let Some((text, n)) = missing.iter().min_by_key(|(_, n)| *n) {
            let first = self.describe(classes, *n, text);
            let missing: Vec<String> = missing.iter().map(|(t, _)| (*t).clone()).collect();
            parts.push(self.encode(&missing, &first)?);
        }
        let shape = [classes.len() as i64, self.granularities.len() as i64, -1];
        let values = Tensor::cat(&parts, 0)
            .index_select(0, &Tensor::from_slice(&rows))
            .reshape(shape);
        SemanticAnchors::new(
            values.to_device(self.device),
            self.granularities.clone(),
            classes.clone(),
        )
    }

    fn text_encoder(&self) -> Option<String> {
        let shipped = self.shipped.as_ref().map(|s| s.encoder().to_owned());
        shipped.or_else(|| Some(self.encoder.as_ref().ok()?.fingerprint()))
    }

    fn prompt_tower(&mut self, classes: &ClassList) -> Result<Option<Box<dyn PromptTower>>> {
        match &mut self.encoder {
            Ok(encoder) => encoder.prompt_tower(classes.names(), CONTEXT),
            Err(why) => Err(Error::Input(format!(
                "prompts to tune need the text encoder itself, and {why}; shipped vectors cannot stand in"
            ))),
        }
    }
}

#[cfg(test)]
mod tests;
