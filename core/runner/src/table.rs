//! Finished runs side by side: grouped, with mean and standard deviation of what was measured.

use std::collections::BTreeMap;
use std::fmt::Write;
use std::path::{Path, PathBuf};

use serde::Serialize;
use serde_json::Value;
use szar_core::{Error, Result};

use crate::perf::Stage;
use crate::report::Report;

/// Keys that are shorter than where their values stand.
const SHORT: [&str; 3] = ["adapters", "dataset", "split"];

/// Mean and sample standard deviation over the runs of a group.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
pub struct Spread {
    /// Mean.
    pub mean: f64,
    /// Divided by n - 1; `None` for a single run.
    pub sd: Option<f64>,
}

/// Runs that agree in every key.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Group {
    /// Value of each key.
    pub keys: BTreeMap<String, String>,
    /// Number of runs.
    pub runs: usize,
    /// By measure, percent; a measure that no run of the group has is missing.
    pub measures: BTreeMap<&'static str, Spread>,
}

/// Runs side by side.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Comparison {
    /// Names of the keys, in the order asked for.
    pub by: Vec<String>,
    /// Names of the measures that some run has.
    pub measures: Vec<&'static str>,
    /// Sorted by their keys.
    pub groups: Vec<Group>,
}

/// The finished runs at or below the given files and folders, in order of their paths below each.
///
/// # Errors
/// When nothing is found at a path, or a report is damaged.
pub fn read(paths: &[PathBuf]) -> Result<Vec<Report>> {
    files(paths)?
        .iter()
        .map(|file| crate::report::read(file))
        .collect()
}

/// The reports at or below the given files and folders, in order of their paths below each.
///
/// # Errors
/// When nothing is found at a path.
pub fn files(paths: &[PathBuf]) -> Result<Vec<PathBuf>> {
    let mut all = Vec::new();
    for path in paths {
        let before = all.len();
        find(path, &mut all)?;
        if all.len() == before {
            return Err(Error::Input(format!(
                "{}: no finished run (report.json) at or below",
                path.display()
            )));
        }
    }
    Ok(all)
}

fn find(path: &Path, files: &mut Vec<PathBuf>) -> Result<()> {
    let kind = std::fs::metadata(path).map_err(|e| Error::read(path, e))?;
    if kind.is_file() {
        files.push(path.to_owned());
        return Ok(());
    }
    let own = path.join("report.json");
    if own.is_file() {
        files.push(own);
        return Ok(());
    }
    let entries = std::fs::read_dir(path).map_err(|e| Error::read(path, e))?;
    // Links are not followed: a folder may be linked into itself.
    let folders = entries
        .flatten()
        .filter(|e| e.file_type().is_ok_and(|t| t.is_dir()));
    let mut folders: Vec<PathBuf> = folders.map(|e| e.path()).collect();
    folders.sort();
    folders.iter().try_for_each(|folder| find(folder, files))
}

/// Groups runs by keys: `adapters`, `dataset`, `split`, or a path in the configuration (`aligner.partition`,
/// `adapters.0.alpha`, `name`, `seed`) or in the report (`provenance.device`).
///
/// # Errors
/// [`Error::Unknown`] for a key that no run has.
pub fn compare(reports: &[Report], by: &[String]) -> Result<Comparison> {
    let trees: Vec<Value> = reports
        .iter()
        .map(|r| serde_json::to_value(r).unwrap_or_default())
        .collect();
    let key = |i: usize, name: &str| value(&reports[i], &trees[i], name);
    for name in by {
        if !reports.is_empty() && (0..reports.len()).all(|i| key(i, name).is_none()) {
            return Err(Error::unknown("key", name, known(&reports[0], &trees[0])));
        }
    }
    let mut groups: Vec<(Vec<String>, Vec<&Report>)> = Vec::new();
    for (i, report) in reports.iter().enumerate() {
        let keys: Vec<String> = by
            .iter()
            .map(|name| key(i, name).unwrap_or_else(|| "-".into()))
            .collect();
        match groups.iter_mut().find(|(other, _)| *other == keys) {
            Some((_, members)) => members.push(report),
            None => groups.push((keys, vec![report])),
        }
    }
    let group = |(keys, members): (Vec<String>, Vec<&Report>)| {
        let spread = |(name, of): &(&'static str, Measure)| {
            let values: Vec<f64> = members.iter().filter_map(|r| of(r)).collect();
            Some((*name, spread(&values)?))
        };
        Group {
            keys: by.iter().cloned().zip(keys).collect(),
            runs: members.len(),
            measures: MEASURES.iter().filter_map(spread).collect(),
        }
    };
    groups.sort_by(|(a, _), (b, _)| a.cmp(b));
    let groups: Vec<Group> = groups.into_iter().map(group).collect();
    let some = |name: &&'static str| groups.iter().any(|g| g.measures.contains_key(name));
    Ok(Comparison {
        by: by.to_vec(),
        measures: MEASURES.iter().map(|(name, _)| *name).filter(some).collect(),
        groups,
    })
}

type Measure = fn(&Report) -> Option<f64>;

/// What is compared. "after" is what counts where there are no adapters, too.
const MEASURES: [(&str, Measure); 7] = [
    ("class mean", |r| Some(r.zsl.as_ref()?.before.class_mean)),
    ("class mean, adapted", |r| {
        let zsl = r.zsl.as_ref()?;
        Some(zsl.after.as_ref().unwrap_or(&zsl.before).class_mean)
    }),
    ("top-1", |r| Some(r.zsl.as_ref()?.before.top1)),
    ("top-1, adapted", |r| {
        let zsl = r.zsl.as_ref()?;
        Some(zsl.after.as_ref().unwrap_or(&zsl.before).top1)
    }),
    ("harmonic mean", |r| {
        Some(r.gzsl.as_ref()?.before.class_mean.harmonic_mean)
    }),
    ("harmonic mean, adapted", |r| {
        let gzsl = r.gzsl.as_ref()?;
        Some(
            gzsl.after
                .as_ref()
                .unwrap_or(&gzsl.before)
                .class_mean
                .harmonic_mean,
        )
    }),
    // Runs that found the aligner trained say nothing of it.
    ("aligner training, s", |r| {
        let trained = |s: &&Stage| s.name == "aligner training" && !s.reused;
        Some(r.performance.iter().find(trained)?.seconds)
    }),
];

/// Mean and deviation; `None` of nothing.
pub fn spread(values: &[f64]) -> Option<Spread> {
    let n = values.len() as f64;
    let mean = values.iter().sum::<f64>() / n;
    let squares: f64 = values.iter().map(|v| (v - mean).powi(2)).sum();
    (!values.is_empty()).then(|| Spread {
        mean,
        sd: (values.len() > 1).then(|| (squares / (n - 1.0)).sqrt()),
    })
}

fn value(report: &Report, tree: &Value, key: &str) -> Option<String> {
    match key {
        "dataset" => return Some(report.data.name.clone()),
        "split" => return Some(report.data.split.clone()),
        "adapters" => {
            let components = report.provenance.components.iter();
            let chain = components.filter(|(role, _)| role.starts_with("adapters["));
            let chain: Vec<&str> = chain.map(|(_, name)| name.as_str()).collect();
            return Some(if chain.is_empty() {
                "none".into()
            } else {
                chain.join(" + ")
            });
        }
        _ => {}
    }
    let found = at(&report.provenance.options, key).or_else(|| at(tree, key))?;
    Some(match found {
        Value::String(text) => text.clone(),
        // A component stands for itself by its name.
        Value::Object(map) if map.get("type").is_some_and(Value::is_string) => {
            map["type"].as_str().unwrap_or_default().to_owned()
        }
        other => other.to_string(),
    })
}

fn at<'a>(tree: &'a Value, path: &str) -> Option<&'a Value> {
    path.split('.').try_fold(tree, |node, step| match node {
        Value::Array(items) => items.get(step.parse::<usize>().ok()?),
        other => other.get(step),
    })
}

/// Short keys, and the paths one and two steps deep.
fn known(report: &Report, tree: &Value) -> Vec<String> {
    let mut names: Vec<String> = SHORT.iter().map(|s| (*s).to_owned()).collect();
    for (name, value) in report.provenance.options.as_object().into_iter().flatten() {
        names.push(name.clone());
        let inner = value.as_object().into_iter().flatten();
        names.extend(inner.map(|(below, _)| format!("{name}.{below}")));
    }
    names.extend(
        tree.as_object()
            .into_iter()
            .flatten()
            .map(|(name, _)| name.clone()),
    );
    names.sort();
    names.dedup();
    names
}

impl Comparison {
    /// As a Markdown table.
    pub fn markdown(&self) -> String {
        let mut out = String::new();
        let heads = self
            .by
            .iter()
            .map(String::as_str)
            .chain(["runs"])
            .chain(self.measures.iter().copied());
        let _ = writeln!(out, "| {} |", heads.collect::<Vec<_>>().join(" | "));
        let rules = vec!["---"; self.by.len()].into_iter();
        let rules = rules.chain(vec!["--:"; self.measures.len() + 1]);
        let _ = writeln!(out, "|{}|", rules.collect::<Vec<_>>().join("|"));
        for group in &self.groups {
            let mut cells: Vec<String> = self
                .by
                .iter()
                .map(|k| group.keys[k].replace('|', "\\|"))
                .collect();
            cells.push(group.runs.to_string());
            cells.extend(self.measures.iter().map(|name| match group.measures.get(name) {
                Some(Spread { mean, sd: Some(sd) }) => format!("{mean:.1} ± {sd:.1}"),
                Some(Spread { mean, sd: None }) => format!("{mean:.1}"),
                None => String::new(),
            }));
            let _ = writeln!(out, "| {} |", cells.join(" | "));
        }
        out
    }

    /// As CSV: keys, runs, and two columns per measure.
    ///
    /// # Errors
    /// None that a table in memory can cause; the result leaves room for those of the format.
    pub fn csv(&self) -> Result<String> {
        let bad = |e: String| Error::Input(format!("CSV: {e}"));
        let mut csv = csv::Writer::from_writer(Vec::new());
        let mut head = self.by.clone();
        head.push("runs".into());
        head.extend(
            self.measures
                .iter()
                .flat_map(|m| [(*m).to_owned(), format!("{m}, sd")]),
        );
        csv.write_record(&head).map_err(|e| bad(e.to_string()))?;
        for group in &self.groups {
            let mut row: Vec<String> = self.by.iter().map(|k| group.keys[k].clone()).collect();
            row.push(group.runs.to_string());
            for name in &self.measures {
                let spread = group.measures.get(name);
                row.push(spread.map(|s| s.mean.to_string()).unwrap_or_default());
                row.push(
                    spread
                        .and_then(|s| s.sd)
                        .map(|sd| sd.to_string())
                        .unwrap_or_default(),
                );
            }
            csv.write_record(&row).map_err(|e| bad(e.to_string()))?;
        }
        let bytes = csv.into_inner().map_err(|e| bad(e.to_string()))?;
        String::from_utf8(bytes).map_err(|e| bad(e.to_string()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn report(seed: u64, partition: &str, class_mean: f64) -> Report {
        let accuracy = |class_mean: f64| {
            serde_json::json!({"class_mean": class_mean, "top1": 10.0, "per_class": {}, "prediction_share": {},
                "confusion": {"counts": []}})
        };
        serde_json::from_value(serde_json::json!({
            "name": "n", "marks": [], "zsl": {"chance": 1.0, "largest_class": 1.0, "before": accuracy(class_mean),
                "after": accuracy(class_mean + 2.0), "entropy": [1.0, 1.0], "adapters": []}, "gzsl": null,
            "provenance": {"szar": "0", "git": null, "config": "", "seed": seed, "device": "cpu", "threads": 1,
                "precision": "f32", "components": {"adapters[0]": "tda", "adapters[1]": "tent"},
                "options": {"seed": seed, "aligner": {"type": "purls", "partition": partition}}},
            "data": {"name": "d", "synthetic": null, "layout": "l", "split": "s", "seen": [], "unseen": [], "samples": {}},
            "encoder": {"spec": {"channels": 1, "frames": 1, "joints": 1, "classifies": true}, "parameters": 1,
                "fit": null, "validation_top1": null, "test_top1": null, "test_class_mean": null},
            "aligner": {"parameters": 1, "fit": null}, "performance": []
        }))
        .unwrap()
    }

    fn keys(names: &[&str]) -> Vec<String> {
        names.iter().map(|n| (*n).to_owned()).collect()
    }

    #[test]
    fn runs_are_grouped_with_mean_and_deviation() {
        let runs = [
            report(0, "static", 40.0),
            report(0, "global", 10.0),
            report(1, "static", 44.0),
        ];
        let table = compare(&runs, &keys(&["aligner.partition", "aligner", "adapters"])).unwrap();
        assert_eq!(table.groups.len(), 2);
        let measure = table.groups[1].measures["class mean"];
        // Deviations of 2 from the mean 42: sqrt((4 + 4) / 1).
        assert!((measure.mean - 42.0).abs() < 1e-12 && (measure.sd.unwrap() - 8f64.sqrt()).abs() < 1e-12);
        let text = table.markdown();
        assert!(
            text.contains("| static | purls | tda + tent | 2 | 42.0 ± 2.8 | 44.0 ± 2.8 |"),
            "{text}"
        );
        assert!(
            text.contains("| global | purls | tda + tent | 1 | 10.0 | 12.0 |"),
            "{text}"
        );
        assert!(!text.contains("harmonic"), "no run has it");
        let csv = table.csv().unwrap();
        assert_eq!(
            csv.lines().nth(1).unwrap(),
            "global,purls,tda + tent,1,10,,12,,10,,10,"
        );
    }

    #[test]
    fn an_unknown_key_suggests_the_nearest() {
        let error = compare(&[report(0, "static", 1.0)], &keys(&["aligner.partitoin"])).unwrap_err();
        assert!(
            error.to_string().contains("did you mean `aligner.partition`?"),
            "{error}"
        );
    }
}
