//! What a search leaves for its reader: every trial, and what it was judged by.

use std::fmt::Write;

use szar_core::checkpoint::write_atomically;
use szar_core::{Error, Result};

use super::{Trial, Tuner};

/// Writes `trials.csv` and `tune.md`.
pub(super) fn write(tuner: &Tuner, trials: &[Trial]) -> Result<()> {
    let folder = &tuner.options.output.0;
    write_atomically(&folder.join("trials.csv"), &csv(tuner, trials)?)?;
    write_atomically(&folder.join("tune.md"), text(tuner, trials).as_bytes())
}

fn csv(tuner: &Tuner, trials: &[Trial]) -> Result<Vec<u8>> {
    let bad = |e: String| Error::Input(format!("CSV: {e}"));
    let fields: Vec<&String> = tuner.options.space.keys().collect();
    let mut csv = csv::Writer::from_writer(Vec::new());
    let tail = [tuner.options.objective.as_str(), "sd", "runs", "error"];
    let head = ["trial"]
        .into_iter()
        .chain(fields.iter().map(|f| f.as_str()))
        .chain(tail);
    csv.write_record(head).map_err(|e| bad(e.to_string()))?;
    for (i, trial) in trials.iter().enumerate() {
        let score = trial.score();
        let number = |v: Option<f64>| v.map(|v| v.to_string()).unwrap_or_default();
        let mut line = vec![i.to_string()];
        line.extend(
            fields
                .iter()
                .map(|f| trial.values.get(*f).map(ToString::to_string).unwrap_or_default()),
        );
        line.push(number(score.map(|s| s.mean)));
        line.push(number(score.and_then(|s| s.sd)));
        line.push(trial.scores.len().to_string());
        line.push(trial.failures.first().cloned().unwrap_or_default());
        csv.write_record(line).map_err(|e| bad(e.to_string()))?;
    }
    csv.into_inner().map_err(|e| bad(e.to_string()))
}

/// The best trials first.
fn text(tuner: &Tuner, trials: &[Trial]) -> String {
    let options = &tuner.options;
    let validation = &options.validation;
    let mut out = format!(
        "# {}\n\nChosen on seen classes alone: {} folds of {} held-out classes (seed {}), training seeds {:?}, by `{}`. No test \
         sample and no unseen class had a part in it.\n\n",
        options.name, validation.folds, validation.unseen, validation.seed, options.seeds, options.objective
    );
    let fields: Vec<&String> = options.space.keys().collect();
    let head: Vec<String> = fields.iter().map(|f| format!("`{f}`")).collect();
    let _ = writeln!(
        out,
        "| trial | {} | {} |\n|--:|{}--:|",
        head.join(" | "),
        options.objective,
        "---|".repeat(fields.len())
    );
    let more = !matches!(
        crate::results::measures::find(&options.objective).map(|m| m.more_is_better),
        Ok(Some(false))
    );
    let key = |t: &Trial| {
        t.score()
            .map_or(f64::NEG_INFINITY, |s| if more { s.mean } else { -s.mean })
    };
    let mut order: Vec<usize> = (0..trials.len()).collect();
    order.sort_by(|a, b| key(&trials[*b]).total_cmp(&key(&trials[*a])));
    for i in order {
        let trial = &trials[i];
        let value = |f: &&String| {
            trial
                .values
                .get(*f)
                .map_or("as it stands".into(), ToString::to_string)
        };
        let values: Vec<String> = fields.iter().map(value).collect();
        let score = match (trial.score(), trial.failures.first()) {
            (Some(s), _) => {
                s.sd.map_or(format!("{:.2}", s.mean), |sd| format!("{:.2} ± {sd:.2}", s.mean))
            }
            (None, Some(why)) => why.lines().next().unwrap_or("failed").replace('|', "\\|"),
            (None, None) => "-".into(),
        };
        let _ = writeln!(out, "| {i} | {} | {score} |", values.join(" | "));
    }
    out
}
