//! `szar semantics generate`.

use std::path::{Path, PathBuf};
use std::process::ExitCode;

use anyhow::Result;
use szar_backbones::semantics::generate::{GenerateConfig, Generated, Outputs, Task, generate};
use szar_core::{Cancel, Error};

use crate::output::{Output, note};

/// Arguments.
#[derive(Debug, clap::Args)]
pub struct Args {
    /// Class names: a text file, one per line, or a pipeline.
    #[arg(value_name = "CLASSES")]
    classes: PathBuf,
    /// File of descriptions to write.
    #[arg(long, required_unless_present = "prior", value_name = "FILE")]
    out: Option<PathBuf>,
    /// File of weights to write, for `skeleton-cache`.
    #[arg(long, value_name = "FILE")]
    prior: Option<PathBuf>,
    /// Options in YAML: endpoint, texts, questions (see configs/semantics/generate.yaml).
    #[arg(long, value_name = "FILE")]
    config: Option<PathBuf>,
    /// Change a value of the pipeline: `--set dataset.root=DIR`; may be given often.
    #[arg(long = "set", value_name = "PATH=VALUE")]
    overrides: Vec<String>,
    /// Base address of the endpoint.
    #[arg(long)]
    url: Option<String>,
    /// Name of the model.
    #[arg(long)]
    model: Option<String>,
    /// Sampling temperature.
    #[arg(long)]
    temperature: Option<f64>,
    /// What to ask: global, parts, phases, words, star, neuron.
    #[arg(long, value_delimiter = ',', value_name = "TEXT")]
    texts: Vec<String>,
    /// Environment variable that holds the key; empty for none.
    #[arg(long, value_name = "NAME")]
    key_variable: Option<String>,
    /// Requests under way at once.
    #[arg(long, value_name = "N")]
    concurrency: Option<usize>,
    /// Requests for one answer before it is given up.
    #[arg(long, value_name = "N")]
    attempts: Option<u32>,
    /// Seconds before the second request for an answer, doubled each time.
    #[arg(long, value_name = "SECONDS")]
    backoff_secs: Option<f64>,
    /// Seconds until a request is given up.
    #[arg(long, value_name = "SECONDS")]
    timeout_secs: Option<f64>,
    /// Replace a file that was not generated.
    #[arg(long)]
    overwrite: bool,
}

/// Asks, writes, and names the classes that got no answer.
pub fn run(args: &Args, output: &Output, cancel: &Cancel) -> Result<ExitCode> {
    let config = args.config()?;
    let classes = super::classes::read(&args.classes, &args.overrides)?;
    let stem = args.classes.file_stem().map(|s| s.to_string_lossy().into_owned());
    let outputs = Outputs {
        descriptions: args.out.clone(),
        prior: args.prior.clone(),
        name: format!("{}_all", stem.unwrap_or_default()),
        overwrite: args.overwrite,
    };
    let done = generate(
        &config,
        &classes,
        &outputs,
        &szar_runner::cache_dir(),
        output,
        cancel,
    )?;
    for path in &done.written {
        output.say(&format!("wrote {}", path.display()));
    }
    let Generated {
        requests,
        cached,
        failed,
        ..
    } = &done;
    output.say(&format!("{requests} requests, {cached} answers from the cache"));
    if failed.is_empty() {
        return Ok(ExitCode::SUCCESS);
    }
    note(&format!(
        "{} of {} classes have no answer:",
        failed.len(),
        classes.len()
    ));
    for (name, why) in failed {
        note(&format!("  {name}: {why}"));
    }
    note("the same command asks for these alone");
    Ok(ExitCode::from(1))
}

impl Args {
    /// The options of the file, with those of the command line in their place.
    fn config(&self) -> Result<GenerateConfig, Error> {
        let mut config = self.config.as_deref().map(load).transpose()?.unwrap_or_default();
        let endpoint = &mut config.endpoint;
        let set = |into: &mut String, from: &Option<String>| {
            if let Some(value) = from {
                into.clone_from(value);
            }
        };
        set(&mut endpoint.url, &self.url);
        set(&mut endpoint.model, &self.model);
        set(&mut endpoint.key_variable, &self.key_variable);
        endpoint.temperature = self.temperature.or(endpoint.temperature);
        endpoint.timeout_secs = self.timeout_secs.unwrap_or(endpoint.timeout_secs);
        config.concurrency = self.concurrency.unwrap_or(config.concurrency);
        config.attempts = self.attempts.unwrap_or(config.attempts);
        config.backoff_secs = self.backoff_secs.unwrap_or(config.backoff_secs);
        if !self.texts.is_empty() {
            config.texts = self
                .texts
                .iter()
                .map(|text| task(text))
                .collect::<Result<_, _>>()?;
        }
        Ok(config)
    }
}

fn task(name: &str) -> Result<Task, Error> {
    const TEXTS: [Task; 6] = [
        Task::Global,
        Task::Parts,
        Task::Phases,
        Task::Words,
        Task::Star,
        Task::Neuron,
    ];
    let found = TEXTS.into_iter().find(|task| task.as_str() == name);
    found.ok_or_else(|| Error::unknown("text", name, TEXTS.map(Task::as_str)))
}

/// Reads the options; a mistake is told with its line.
fn load(path: &Path) -> Result<GenerateConfig, Error> {
    let text = std::fs::read_to_string(path).map_err(|e| Error::read(path, e))?;
    if text.trim().is_empty() {
        return Ok(GenerateConfig::default());
    }
    serde_yaml::from_str(&text).map_err(|e| {
        let at = e.location().map(|l| format!("{}:{}", l.line(), l.column()));
        Error::format(path, at, e.to_string())
    })
}
