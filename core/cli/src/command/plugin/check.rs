//! `szar plugin check`.

use std::fmt::Write;
use std::path::PathBuf;
use std::process::ExitCode;

use anyhow::Result;
use serde_json::{Map, Value, json};
use szar_core::Error;
use szar_plugin_host::conformance::{Finding, Verdict, examine};

use crate::output::Output;

/// Arguments.
#[derive(Debug, clap::Args)]
pub struct Args {
    /// The library.
    library: PathBuf,
    /// Options of its components, over their defaults: `{"my-adapter": {"capacity": 4}}`.
    #[arg(long, value_name = "JSON")]
    options: Option<String>,
}

/// Loads a plugin and tries its components; code 1 when one breaks a promise, 2 when it cannot be loaded.
pub fn run(args: &Args, output: &Output) -> Result<ExitCode> {
    let options: Map<String, Value> = match &args.options {
        Some(text) => serde_json::from_str(text)
            .map_err(|e| Error::Input(format!("`--options` is no JSON object: {e}")))?,
        None => Map::new(),
    };
    let plugin = szar_plugin_host::load(&args.library)?;
    if let Some(name) = options
        .keys()
        .find(|name| !plugin.components.iter().any(|c| c.name == **name))
    {
        let known: Vec<_> = plugin.components.iter().map(|c| c.name).collect();
        return Err(Error::unknown("component of this plugin", name, known).into());
    }
    let findings = examine(plugin, &options);
    let broken = findings
        .iter()
        .filter(|f| matches!(f.verdict, Verdict::Broken(_)))
        .count();
    if output.json {
        let one = |f: &Finding| {
            let (verdict, why) = match &f.verdict {
                Verdict::Kept => ("ok", ""),
                Verdict::Skipped(why) => ("skipped", why.as_str()),
                Verdict::Broken(why) => ("broken", why.as_str()),
            };
            json!({ "component": f.component, "what": f.what, "verdict": verdict, "why": why })
        };
        output.json(&findings.iter().map(one).collect::<Vec<_>>())?;
    } else {
        let mut text = format!("plugin `{}` {}\n", plugin.name, plugin.version);
        let mut last = "";
        for finding in &findings {
            if finding.component != last {
                let _ = writeln!(text, "{}", finding.component);
                last = &finding.component;
            }
            let _ = match &finding.verdict {
                Verdict::Kept => writeln!(text, "  ok       {}", finding.what),
                Verdict::Skipped(why) => writeln!(text, "  skipped  {}: {why}", finding.what),
                Verdict::Broken(why) => writeln!(text, "  BROKEN   {}: {why}", finding.what),
            };
        }
        let kept = findings.iter().filter(|f| f.verdict == Verdict::Kept).count();
        let _ = writeln!(
            text,
            "{kept} ok, {} skipped, {broken} broken",
            findings.len() - kept - broken
        );
        output.result(&text)?;
    }
    Ok(ExitCode::from(u8::from(broken > 0)))
}
