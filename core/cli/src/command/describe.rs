//! `szar describe`.

use std::fmt::Write;
use std::path::PathBuf;
use std::process::ExitCode;

use anyhow::Result;
use szar_core::Error;
use szar_core::registry::{self, ComponentInfo};

use crate::output::Output;

/// Arguments.
#[derive(Debug, clap::Args)]
pub struct Args {
    /// Name of the component.
    component: String,
    /// Print the JSON schema of its options, for editors.
    #[arg(long)]
    schema: bool,
    /// Load this plugin first, beside those of the search path; may be given often.
    #[arg(long = "plugin", value_name = "FILE")]
    plugins: Vec<PathBuf>,
}

/// Describes a component; a name that several kinds bear describes each.
pub fn run(args: &Args, output: &Output) -> Result<ExitCode> {
    super::list::plugins(&args.plugins)?;
    let found = registry::named(&args.component);
    if found.is_empty() {
        return Err(Error::unknown(
            "component",
            &args.component,
            registry::all().iter().map(|c| c.name),
        )
        .into());
    }
    for info in found {
        if args.schema || output.json {
            output.json(&info.schema())?;
        } else {
            output.result(&page(info))?;
        }
    }
    Ok(ExitCode::SUCCESS)
}

fn page(info: &ComponentInfo) -> String {
    let mut text = format!("{} `{}`\n  {}\n", info.kind, info.name, info.summary);
    if !info.paper.is_empty() {
        let _ = writeln!(text, "  {}", info.paper);
    }
    if !info.origin.is_empty() {
        let words = info.origin.split(' ').take(3).collect::<Vec<_>>().join(" ");
        let _ = writeln!(text, "  {words}");
    }
    let _ = writeln!(text, "\noptions");
    for field in szar_core::config::fields(info) {
        let _ = writeln!(text, "  {}: {} = {}", field.name, field.type_words, field.default);
        for line in field.doc.lines().map(str::trim).filter(|l| !l.is_empty()) {
            let _ = writeln!(text, "      {line}");
        }
        for word in &field.words {
            let _ = writeln!(text, "      {word}");
        }
    }
    text
}
