//! The classes that a sequence may be of: those of the run, or others, by name or in words of their own.

use std::collections::BTreeMap;
use std::path::Path;

use serde_json::Value;
use szar_backbones::semantics::bert::SentenceBertConfig;
use szar_backbones::semantics::classes::read_list;
use szar_backbones::semantics::descriptions::{DescriptionFile, DescriptionsConfig};
use szar_core::{BuildContext, ClassId, ClassList, Error, Result, SemanticAnchors, SemanticProvider};

use super::folder::FinishedRun;

/// Which classes are candidates.
#[derive(Clone, Debug)]
pub enum Candidates {
    /// The run's unseen classes.
    Unseen,
    /// Its seen classes.
    Seen,
    /// Both.
    All,
    /// Classes by name: those of the run, or of its descriptions.
    Names(Vec<String>),
    /// Classes with texts of their own.
    Described(DescriptionFile),
}

impl Candidates {
    /// `unseen`, `seen`, `all`; a file of descriptions (`.json`, `.yaml`, `.yml`) or of names, one a line; else names with
    /// commas between them.
    ///
    /// # Errors
    /// When a file is missing or wrong, no class is named, or one twice.
    pub fn parse(text: &str) -> Result<Self> {
        match text.trim() {
            "unseen" => return Ok(Self::Unseen),
            "seen" => return Ok(Self::Seen),
            "all" => return Ok(Self::All),
            _ => {}
        }
        let path = Path::new(text);
        let ending = path
            .extension()
            .unwrap_or_default()
            .to_string_lossy()
            .to_lowercase();
        match ending.as_str() {
            "json" | "yaml" | "yml" => described(path).map(Self::Described),
            _ if ending == "txt" || path.is_file() => Ok(Self::Names(read_list(path)?.names().to_vec())),
            _ => names(text).map(Self::Names),
        }
    }
}

fn described(path: &Path) -> Result<DescriptionFile> {
    let file = DescriptionFile::load(path)?;
    if file.names().next().is_none() {
        return Err(Error::format(
            path,
            None,
            "describes no class, expected at least one",
        ));
    }
    Ok(file.without_numbers())
}

fn names(text: &str) -> Result<Vec<String>> {
    let names: Vec<String> = text.split(',').map(|name| name.trim().to_owned()).collect();
    if names.iter().any(String::is_empty) {
        return Err(Error::Input(format!(
            "`--classes {text}` names no class between two commas, expected `unseen`, `seen`, `all`, a file, or names such as \
             `wave,drink`"
        )));
    }
    if let Some(i) = (1..names.len()).find(|i| names[..*i].contains(&names[*i])) {
        return Err(Error::Input(format!("class `{}` is named twice", names[i])));
    }
    Ok(names)
}

/// How texts of candidates become vectors.
#[derive(Debug, Default)]
pub(super) struct Wording<'a> {
    /// Folder of the text encoder's model, in place of the run's.
    pub text_encoder: Option<&'a Path>,
    /// `global` stands in for the texts that a class lacks.
    pub fill: bool,
}

/// The candidates with their anchors on the device, and what made them.
pub(super) struct Worded {
    pub anchors: SemanticAnchors,
    pub semantics: Box<dyn SemanticProvider>,
    /// Which of them are seen classes of the run.
    pub seen: Vec<bool>,
}

/// Finds the anchors of candidates.
///
/// # Errors
/// When a class or a text is not known, a vector is missing that no text encoder gives, or the vectors are not of the text
/// encoder that the run was trained with.
pub(super) fn worded(
    run: &FinishedRun,
    candidates: &Candidates,
    wording: &Wording,
    ctx: &BuildContext,
) -> Result<Worded> {
    let classes = classes(run, candidates)?;
    let mut semantics = provider(run, candidates, &classes, wording, ctx)?;
    if let (Some(trained), Some(given)) = (&run.signature.texts.encoder, semantics.text_encoder())
        && *trained != given
    {
        return Err(Error::Input(format!(
            "the text encoder is not the one that this run was trained with\n  trained with: {trained}\n  given:        {given}"
        )));
    }
    let hint = |e: Error| with_hint(e, wording);
    let anchors = semantics.anchors(&classes).map_err(hint)?;
    let anchors = anchors.to_device(ctx.device).for_classes(&classes)?;
    let (width, trained) = (anchors.width(), run.signature.texts.width);
    if width != trained || anchors.granularities != run.signature.texts.granularities {
        return Err(Error::Input(format!(
            "the texts give vectors of width {width}, this run was trained on width {trained}; give its own text encoder"
        )));
    }
    let seen = |id: &ClassId| run.signature.seen.iter().any(|(seen, _)| seen == id);
    Ok(Worded {
        seen: classes.ids().iter().map(seen).collect(),
        anchors,
        semantics,
    })
}

fn with_hint(error: Error, wording: &Wording) -> Error {
    let text = error.to_string();
    if wording.text_encoder.is_some() || !text.contains("no vector for") {
        return error;
    }
    Error::Input(format!(
        "{text}\n\nhint: `--text-encoder FOLDER` gives the model that the run's vectors are of; `./x model` fetches \
         all-MiniLM-L6-v2 and prints its folder"
    ))
}

/// The candidates with numbers: the run's own where it has the class, else numbers that it has not.
fn classes(run: &FinishedRun, candidates: &Candidates) -> Result<ClassList> {
    let signature = &run.signature;
    let names: Vec<&str> = match candidates {
        Candidates::Unseen => return ClassList::new(signature.unseen.iter().cloned()),
        Candidates::Seen => return ClassList::new(signature.seen.iter().cloned()),
        Candidates::All => return signature.classes(),
        Candidates::Names(names) => names.iter().map(String::as_str).collect(),
        Candidates::Described(file) => file.names().collect(),
    };
    let known = signature.classes()?;
    let known: BTreeMap<&str, ClassId> = known.iter().map(|(id, name)| (name, id)).collect();
    let mut next = known.values().map(|id| id.0).max().unwrap_or(-1);
    let numbered = names.into_iter().map(|name| {
        let id = known.get(name).copied().unwrap_or_else(|| {
            next += 1;
            ClassId(next)
        });
        (id, name.to_owned())
    });
    ClassList::new(numbered)
}

fn provider(
    run: &FinishedRun,
    candidates: &Candidates,
    classes: &ClassList,
    wording: &Wording,
    ctx: &BuildContext,
) -> Result<Box<dyn SemanticProvider>> {
    let config = &run.resolved.pipeline.semantics;
    let known = run.signature.classes()?;
    let own = classes.names().iter().all(|name| known.by_name(name).is_ok());
    let described = match candidates {
        Candidates::Described(file) => Some(file),
        _ => None,
    };
    let descriptions = descriptions(run, wording)?;
    if own && described.is_none() && wording.text_encoder.is_none() && !wording.fill {
        return config.build(ctx);
    }
    let Some(descriptions) = descriptions else {
        return Err(fixed(config.typetag_name(), classes, &known, described, wording));
    };
    let file = match described {
        Some(file) => Some(file.clone()),
        None => descriptions.described()?.map(DescriptionFile::without_numbers),
    };
    let file = file.map(|file| match wording.fill {
        true => file.filled(&descriptions.granularities),
        false => file,
    });
    descriptions.build_on(file, ctx)
}

/// Why semantics that are no descriptions cannot serve.
fn fixed(
    semantics: &str,
    classes: &ClassList,
    known: &ClassList,
    described: Option<&DescriptionFile>,
    wording: &Wording,
) -> Error {
    let unknown = classes.names().iter().find_map(|name| known.by_name(name).err());
    match unknown {
        Some(unknown) if described.is_none() && wording.text_encoder.is_none() => unknown,
        _ => Error::Input(format!(
            "semantics `{semantics}` of this run encode no new texts: `--classes` can name classes of the run alone, without \
             descriptions, `--fill` and `--text-encoder`"
        )),
    }
}

/// The run's semantics, where they are `descriptions`, with the text encoder that was asked for.
fn descriptions(run: &FinishedRun, wording: &Wording) -> Result<Option<DescriptionsConfig>> {
    let mut value = run.resolved.value["semantics"].clone();
    let kind = value.as_object_mut().and_then(|map| map.shift_remove("type"));
    if kind.as_ref().and_then(Value::as_str) != Some("descriptions") {
        return Ok(None);
    }
    let wrong = |e: serde_json::Error| Error::Input(format!("the run's `semantics`: {e}"));
    if let Some(model) = wording.text_encoder {
        let folder = model.display().to_string();
        match value["text_encoder"].as_object_mut() {
            Some(options) => {
                options.insert("model".into(), folder.into());
            }
            None => {
                let options = SentenceBertConfig {
                    model: model.into(),
                    ..Default::default()
                };
                let mut options = serde_json::to_value(options).map_err(wrong)?;
                options["type"] = "sentence-bert".into();
                value["text_encoder"] = options;
            }
        }
    }
    serde_json::from_value(value).map(Some).map_err(wrong)
}
