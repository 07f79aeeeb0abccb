//! `szar docs`: the reference pages of the book, and the schema of pipelines for editors. Both come from the registry, so
//! that they say what the program does.

mod pages;
mod schema;

use std::path::PathBuf;
use std::process::ExitCode;

use anyhow::Result;
use szar_core::Error;
use szar_core::checkpoint::write_atomically;
use szar_core::registry::ComponentKind;

use crate::output::Output;

/// Arguments.
#[derive(Debug, clap::Args)]
pub struct Args {
    /// Folder to write the reference pages into.
    #[arg(long, value_name = "DIR", required_unless_present = "schema")]
    out: Option<PathBuf>,
    /// File to write the JSON schema of pipelines to, for editors.
    #[arg(long, value_name = "FILE")]
    schema: Option<PathBuf>,
    /// Load this plugin for the schema, beside those of the search path; may be given often.
    #[arg(long = "plugin", value_name = "FILE", requires = "schema")]
    plugins: Vec<PathBuf>,
}

/// Writes what is asked for.
pub fn run(args: &Args, output: &Output) -> Result<ExitCode> {
    if let Some(folder) = &args.out {
        for (name, text) in pages::all() {
            write_atomically(&folder.join(name), text.as_bytes())?;
        }
        output.say(&format!("the reference is in {}", folder.display()));
    }
    if let Some(file) = &args.schema {
        super::list::plugins(&args.plugins)?;
        let text =
            serde_json::to_string_pretty(&schema::pipeline()).map_err(|e| Error::Input(e.to_string()))?;
        write_atomically(file, (text + "\n").as_bytes())?;
        output.say(&format!("the schema of pipelines is in {}", file.display()));
    }
    Ok(ExitCode::SUCCESS)
}

/// The kind as one word.
fn word(kind: ComponentKind) -> String {
    kind.as_str().replace(' ', "-")
}
