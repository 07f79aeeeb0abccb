//! `szar tune`.

use std::path::{Path, PathBuf};
use std::process::ExitCode;

use anyhow::Result;
use szar_core::{Cancel, Error};
use szar_sweep::tune::{Found, Tuner};

use crate::board::Board;
use crate::output::Output;

/// Arguments.
#[derive(Debug, clap::Args)]
pub struct Args {
    /// The search: a pipeline, and a space of values for its options.
    #[arg(value_name = "SEARCH")]
    file: PathBuf,
    /// Set a value of the pipeline in every run: `--set dataset.root=/data`; may be given often.
    #[arg(long = "set", value_name = "PATH=VALUE")]
    set: Vec<String>,
    /// Change a value of the search itself: `--search search.trials=50`; may be given often.
    #[arg(long = "search", value_name = "PATH=VALUE")]
    changes: Vec<String>,
}

/// Searches, and says what was found.
pub fn run(args: &Args, output: &Output, cancel: &Cancel) -> Result<ExitCode> {
    let prepare = |pipeline: &Path| szar_plugin_host::prepare(pipeline, &[]);
    let tuner = Tuner::read(&args.file, &args.changes, &args.set, &prepare)?;
    let program = std::env::current_exe().map_err(|e| Error::read("szar", e))?;
    let found = tuner.run(&program, &mut Board::new(output), cancel)?;
    if output.json {
        output.json(&json(&tuner, &found))?;
    } else {
        output.result(&text(&tuner, &found))?;
    }
    let folder = tuner.options.output.0.display();
    output.say(&format!("every trial: {folder}/tune.md and trials.csv; the pipeline with the chosen values: {folder}/best.yaml"));
    Ok(ExitCode::SUCCESS)
}

fn json(tuner: &Tuner, found: &Found) -> serde_json::Value {
    let trial = |t: &szar_sweep::tune::Trial| serde_json::json!({ "values": t.values, "scores": t.scores, "failures": t.failures });
    serde_json::json!({
        "objective": tuner.options.objective,
        "best": found.best,
        "trials": found.trials.iter().map(trial).collect::<Vec<_>>(),
    })
}

fn text(tuner: &Tuner, found: &Found) -> String {
    let (stands, best) = (&found.trials[0], &found.trials[found.best]);
    let score = |t: &szar_sweep::tune::Trial| t.score().map_or("-".to_owned(), |s| format!("{:.2}", s.mean));
    let mut out = format!(
        "{} on seen classes alone, {} trials: {} as it stands, {} with the best values\n",
        tuner.options.objective,
        found.trials.len(),
        score(stands),
        score(best)
    );
    if best.values.is_empty() {
        out.push_str("nothing that was tried is better than the pipeline as it stands\n");
    }
    for (field, value) in &best.values {
        out.push_str(&format!("  {field}: {value}\n"));
    }
    out
}
