//! `szar semantics words`.

use std::path::PathBuf;
use std::process::ExitCode;

use anyhow::Result;
use serde_json::{Map, Value, json};
use szar_backbones::semantics::speech;
use szar_core::{Error, checkpoint};

use crate::output::Output;

/// Arguments.
#[derive(Debug, clap::Args)]
pub struct Args {
    /// Class names: a text file, one per line, or a pipeline.
    #[arg(value_name = "CLASSES")]
    classes: PathBuf,
    /// Change a value of the pipeline: `--set dataset.root=DIR`; may be given often.
    #[arg(long = "set", value_name = "PATH=VALUE")]
    overrides: Vec<String>,
    /// File to write, for `parts_of_speech: {file: ...}` [default: stdout].
    #[arg(long)]
    out: Option<PathBuf>,
}

/// Splits names; those without a verb get a `null` to be filled in, and are named at the end.
pub fn run(args: &Args, output: &Output) -> Result<ExitCode> {
    let classes = super::classes::read(&args.classes, &args.overrides)?;
    let mut without = Vec::new();
    let entry = |name: &String| {
        let words = speech::split(name);
        if words.is_none() {
            without.push(name.clone());
        }
        let (verb, noun) = words.map_or((None, None), |words| (Some(words.verb), words.noun));
        (name.clone(), json!({"verb": verb, "noun": noun}))
    };
    let file: Map<String, Value> = classes.names().iter().map(entry).collect();
    match &args.out {
        None => output.json(&file)?,
        Some(path) => {
            if path.exists() {
                let why = format!("{} is there already; name another file", path.display());
                return Err(Error::Input(why).into());
            }
            let text = serde_json::to_string_pretty(&file)? + "\n";
            checkpoint::write_atomically(path, text.as_bytes())?;
            output.say(&format!("{}: {} classes", path.display(), classes.len()));
        }
    }
    if without.is_empty() {
        return Ok(ExitCode::SUCCESS);
    }
    crate::output::note(&format!(
        "the rules find no verb in {} names, write it yourself:",
        without.len()
    ));
    for name in without {
        crate::output::note(&format!("  {name}"));
    }
    Ok(ExitCode::from(1))
}
