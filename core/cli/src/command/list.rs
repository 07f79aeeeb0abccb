//! `szar list`.

use std::fmt::Write;
use std::path::PathBuf;
use std::process::ExitCode;

use anyhow::Result;
use szar_core::registry::{self, ComponentKind};

use crate::output::Output;

/// Arguments.
#[derive(Debug, clap::Args)]
pub struct Args {
    /// Only this kind: dataset, preprocessor, encoder, semantics, text-encoder, aligner, adapter, gate, launcher.
    kind: Option<String>,
    /// Load this plugin first, beside those of the search path; may be given often.
    #[arg(long = "plugin", value_name = "FILE")]
    plugins: Vec<PathBuf>,
}

/// Loads plugins, those of the search path first.
pub(super) fn plugins(files: &[PathBuf]) -> Result<()> {
    szar_plugin_host::load_found();
    for file in files {
        let _ = szar_plugin_host::load(file)?;
    }
    Ok(())
}

/// Lists the registered components.
pub fn run(args: &Args, output: &Output) -> Result<ExitCode> {
    let word = |kind: ComponentKind| kind.as_str().replace(' ', "-");
    if let Some(kind) = &args.kind
        && !ComponentKind::ALL.iter().any(|k| word(*k) == *kind)
    {
        return Err(szar_core::Error::unknown(
            "kind of component",
            kind,
            ComponentKind::ALL.iter().map(|k| word(*k)),
        )
        .into());
    }
    plugins(&args.plugins)?;
    let wanted: Vec<_> = registry::all()
        .into_iter()
        .filter(|c| args.kind.as_ref().is_none_or(|k| word(c.kind) == *k))
        .collect();
    if output.json {
        let one = |c: &&registry::ComponentInfo| serde_json::json!({ "kind": c.kind, "name": c.name, "summary": c.summary, "paper": c.paper });
        output.json(&wanted.iter().map(one).collect::<Vec<_>>())?;
        return Ok(ExitCode::SUCCESS);
    }
    let mut text = String::new();
    let mut last = None;
    for component in wanted {
        if last != Some(component.kind) {
            let gap = if last.is_some() { "\n" } else { "" };
            let _ = writeln!(text, "{gap}{}", word(component.kind));
            last = Some(component.kind);
        }
        let _ = writeln!(text, "  {:18} {}", component.name, component.summary);
    }
    output.result(&text)?;
    Ok(ExitCode::SUCCESS)
}
