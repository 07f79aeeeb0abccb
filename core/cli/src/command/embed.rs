//! `szar semantics embed`, also known as `szar embed`.

use std::path::{Path, PathBuf};
use std::process::ExitCode;

use anyhow::Result;
use szar_backbones::semantics::bert::{SentenceBert, SentenceBertConfig};
use szar_backbones::semantics::descriptions::{DescriptionsConfig, Texts};
use szar_backbones::semantics::embed::{Sources, embed};
use szar_backbones::semantics::speech::{NO_NOUN, PartsOfSpeech};
use szar_backbones::semantics::vectors::Shipped;
use szar_core::{BuildContext, ClassList, Error, Resolved, Seed, TextEncoder};

use crate::output::Output;

/// Arguments.
#[derive(Debug, clap::Args)]
pub struct Args {
    /// Description files whose texts are embedded with the default templates.
    #[arg(long, num_args = 1.., value_name = "FILE")]
    descriptions: Vec<PathBuf>,
    /// Lists of class names, one a line; with `--names` or `--words`.
    #[arg(long, num_args = 1.., value_name = "FILE")]
    classes: Vec<PathBuf>,
    /// Files of texts, one a line.
    #[arg(long, num_args = 1.., value_name = "FILE")]
    texts: Vec<PathBuf>,
    /// A pipeline, for the texts of its semantics; without `--out` they go to the cache.
    #[arg(long, value_name = "FILE")]
    pipeline: Option<PathBuf>,
    /// Change a value of the pipeline: `--set dataset.root=DIR`; may be given often.
    #[arg(long = "set", value_name = "PATH=VALUE", requires = "pipeline")]
    overrides: Vec<String>,
    /// Also the names of the classes (`label`).
    #[arg(long)]
    names: bool,
    /// Also verb and noun of the classes: `rules`, or a JSON file of class name to both.
    #[arg(long, value_name = "rules|FILE")]
    words: Option<String>,
    /// The text of a noun that is none.
    #[arg(long, default_value = NO_NOUN, value_name = "TEXT")]
    no_noun: String,
    /// Folder of the sentence encoder (Hugging Face form) [default: the pipeline's text encoder].
    #[arg(long)]
    model: Option<PathBuf>,
    /// File to write.
    #[arg(long, required_unless_present = "pipeline")]
    out: Option<PathBuf>,
    /// Keep the vectors that the file holds, and add to them.
    #[arg(long, requires = "out")]
    extend: bool,
}

/// Embeds texts into a file or the cache.
pub fn run(args: &Args, output: &Output) -> Result<ExitCode> {
    crate::threads::set_count(None);
    let pipeline = args
        .pipeline
        .as_deref()
        .map(|path| Prepared::open(path, &args.overrides));
    let pipeline = pipeline.transpose()?;
    let Some(out) = &args.out else {
        if let Some(pipeline) = &pipeline {
            let classes = pipeline.fill_cache()?;
            output.say(&format!("the cache holds the vectors of {classes} classes"));
        }
        return Ok(ExitCode::SUCCESS);
    };
    if !args.classes.is_empty() && !args.names && args.words.is_none() {
        let why = "`--classes` gives names: say with `--names` and `--words` which texts of them to embed";
        return Err(Error::Input(why.into()).into());
    }
    let more = pipeline
        .as_ref()
        .map(Prepared::texts)
        .transpose()?
        .unwrap_or_default();
    let (mut encoder, name) = args.encoder(pipeline.as_ref())?;
    let base = (args.extend && out.exists())
        .then(|| Shipped::load(out))
        .transpose()?;
    let done = embed(
        &args.sources(),
        &more,
        base.as_ref(),
        encoder.as_mut(),
        &name,
        out,
    )?;
    let new = if args.extend {
        format!(", {} of them new", done.new)
    } else {
        String::new()
    };
    let (path, texts, width) = (out.display(), done.texts, done.width);
    output.say(&format!("{path}: {texts} texts, width {width}{new}"));
    Ok(ExitCode::SUCCESS)
}

impl Args {
    fn sources(&self) -> Sources {
        let words = self.words.as_deref().map(|words| match words {
            "rules" => PartsOfSpeech::Rules,
            file => PartsOfSpeech::File(file.into()),
        });
        Sources {
            descriptions: self.descriptions.clone(),
            lists: self.classes.clone(),
            texts: self.texts.clone(),
            names: self.names,
            words,
            no_noun: self.no_noun.clone(),
            ..Default::default()
        }
    }

    /// The encoder and the name of its model.
    fn encoder(&self, pipeline: Option<&Prepared>) -> Result<(Box<dyn TextEncoder>, String)> {
        let name = |path: &Path| {
            path.file_name()
                .map(|n| n.to_string_lossy().into_owned())
                .unwrap_or_default()
        };
        if let Some(model) = &self.model {
            let options = SentenceBertConfig {
                model: model.clone().into(),
                ..Default::default()
            };
            let encoder = SentenceBert::open(&options, tch::Device::Cpu)?;
            return Ok((Box::new(encoder), name(model)));
        }
        let given = pipeline.and_then(|p| Some((p, p.semantics.text_encoder.as_ref()?)));
        let Some((pipeline, config)) = given else {
            let why =
                "no text encoder: give its folder as `--model` (`./x model` prints that of all-MiniLM-L6-v2)";
            return Err(Error::Input(why.into()).into());
        };
        let model = pipeline.resolved.value["semantics"]["text_encoder"]["model"].as_str();
        Ok((
            config.build(&pipeline.ctx)?,
            name(Path::new(model.unwrap_or_default())),
        ))
    }
}

/// A pipeline whose semantics are `descriptions`.
struct Prepared {
    resolved: Resolved,
    semantics: DescriptionsConfig,
    ctx: BuildContext,
}

impl Prepared {
    fn open(path: &Path, overrides: &[String]) -> Result<Self> {
        szar_plugin_host::prepare(path, overrides)?;
        let resolved = szar_core::config::load(path, overrides)?;
        let mut value = resolved.value["semantics"].clone();
        let kind = value.as_object_mut().and_then(|map| map.shift_remove("type"));
        if kind.as_ref().and_then(|kind| kind.as_str()) != Some("descriptions") {
            let why = "the pipeline's `semantics` are not of the type `descriptions`, which alone have texts";
            return Err(Error::format(path, None, why).into());
        }
        let semantics =
            serde_json::from_value(value).map_err(|e| Error::format(path, None, e.to_string()))?;
        let ctx = BuildContext {
            device: tch::Device::Cpu,
            seed: Seed(resolved.pipeline.seed),
            cache: szar_runner::cache_dir(),
        };
        Ok(Self {
            resolved,
            semantics,
            ctx,
        })
    }

    /// Every class of the dataset, also those outside the split.
    fn texts(&self) -> Result<Vec<String>> {
        let dataset = self.resolved.pipeline.dataset.build(&self.ctx)?;
        Ok(Texts::open(&self.semantics)?.of(&dataset.info().classes)?)
    }

    /// Makes the vectors as a run makes them, so that it finds them.
    fn fill_cache(&self) -> Result<usize> {
        let pipeline = &self.resolved.pipeline;
        crate::threads::set_count(pipeline.threads);
        let ctx = BuildContext {
            device: pipeline.device.resolve()?,
            ..self.ctx.clone()
        };
        let classes: ClassList = pipeline.dataset.build(&ctx)?.split()?.all();
        pipeline.semantics.build(&ctx)?.anchors(&classes)?;
        Ok(classes.len())
    }
}
