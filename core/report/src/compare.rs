//! Several runs: what they differ in, what became of it, and whether the difference is more than chance.

use std::collections::BTreeMap;

use serde::Serialize;
use serde_json::Value;

use crate::paired::{self, Paired};
use crate::run::Run;

/// Options that are no choice of a method.
const NO_CHOICE: [&str; 3] = ["name", "output", "seed"];

/// A number that runs differ in.
#[derive(Clone, Debug, Serialize)]
pub struct Curve {
    /// Path of the option.
    pub option: String,
    /// One per value, ascending.
    pub points: Vec<Point>,
    /// Does the ratio of the values ask for a logarithmic axis?
    pub logarithmic: bool,
}

/// What runs with one value reached.
#[derive(Clone, Debug, Serialize)]
pub struct Point {
    /// The option's value.
    pub value: f64,
    /// Runs with it.
    pub runs: usize,
    /// By measure: mean and deviation (0 for one run).
    pub measures: BTreeMap<&'static str, [f64; 2]>,
}

/// One run against the first.
#[derive(Clone, Debug, Serialize)]
pub struct Against {
    /// Which of the runs, from 0.
    pub run: usize,
    /// `zsl` or `gzsl`.
    pub setting: String,
    /// What the pairs say.
    pub paired: Paired,
    /// Mid-p after Holm's correction for the number of runs in this setting.
    pub corrected: f64,
}

/// A number of a run, where it has it.
pub type Measure = fn(&Run) -> Option<f64>;

/// Percent, after adaptation where there is one.
pub const MEASURES: [(&str, Measure); 4] = [
    ("class mean, before", |r| {
        Some(r.report.zsl.as_ref()?.before.class_mean)
    }),
    ("class mean, after", |r| {
        let zsl = r.report.zsl.as_ref()?;
        Some(zsl.after.as_ref()?.class_mean)
    }),
    ("harmonic mean, before", |r| {
        Some(r.report.gzsl.as_ref()?.before.class_mean.harmonic_mean)
    }),
    ("harmonic mean, after", |r| {
        let gzsl = r.report.gzsl.as_ref()?;
        Some(gzsl.after.as_ref()?.class_mean.harmonic_mean)
    }),
];

/// Paths of the options whose values are not the same in all runs; `seed` among them, names and folders not.
pub fn differing(runs: &[Run]) -> Vec<String> {
    let all: Vec<BTreeMap<String, String>> = runs.iter().map(leaves).collect();
    let mut paths: Vec<&String> = all.iter().flat_map(BTreeMap::keys).collect();
    paths.sort();
    paths.dedup();
    let varies = |path: &&&String| all.iter().any(|run| run.get(**path) != all[0].get(**path));
    let kept: Vec<String> = paths.iter().filter(varies).map(|p| (*p).clone()).collect();
    // Where the components differ, so do all of their options, which says nothing.
    let other = |path: &String| {
        let mut parts = kept.iter().filter_map(|p| p.strip_suffix(".type"));
        parts.any(|part| {
            path.strip_prefix(part)
                .is_some_and(|rest| rest.starts_with('.') && rest != ".type")
        })
    };
    let mut chosen: Vec<String> = kept
        .iter()
        .filter(|p| !other(p) && !is_no_choice(p))
        .cloned()
        .collect();
    chosen.extend(kept.into_iter().filter(|p| p == "seed"));
    chosen
}

fn is_no_choice(path: &str) -> bool {
    NO_CHOICE.contains(&path)
}

/// What a run has at a path of [`differing`], for a table.
pub fn value(run: &Run, path: &str) -> String {
    let found = leaves(run).get(path).cloned();
    found.map_or_else(|| "-".into(), |v| short(v.trim_matches('"')))
}

/// Characters of a path that a table has room for.
const ROOM: usize = 28;

/// The end of a long path.
fn short(text: &str) -> String {
    if text.len() <= ROOM || !text.starts_with('/') {
        return text.to_owned();
    }
    let mut steps = text.rsplit('/');
    match (steps.next(), steps.next()) {
        (Some(file), Some(folder)) => format!("…/{folder}/{file}"),
        _ => text.to_owned(),
    }
}

/// A path without its detours: `/a/b/../c` is `/a/c`. What is no path stays.
fn direct(text: &str) -> String {
    if !text.starts_with('/') {
        return text.to_owned();
    }
    let mut steps: Vec<&str> = Vec::new();
    for step in text.split('/').skip(1) {
        match step {
            ".." => {
                steps.pop();
            }
            "." => {}
            _ => steps.push(step),
        }
    }
    format!("/{}", steps.join("/"))
}

fn leaves(run: &Run) -> BTreeMap<String, String> {
    let mut leaves = BTreeMap::new();
    gather(&run.report.provenance.options, String::new(), &mut leaves);
    leaves
}

fn gather(value: &Value, path: String, into: &mut BTreeMap<String, String>) {
    let below = |step: &str| {
        if path.is_empty() {
            step.to_owned()
        } else {
            format!("{path}.{step}")
        }
    };
    match value {
        Value::Object(map) => map
            .iter()
            .for_each(|(key, value)| gather(value, below(key), into)),
        Value::Array(items) if items.iter().any(Value::is_object) => {
            let items = items.iter().enumerate();
            items.for_each(|(i, value)| gather(value, below(&i.to_string()), into));
        }
        Value::String(text) => {
            into.insert(path, format!("\"{}\"", direct(text)));
        }
        leaf => {
            into.insert(path, leaf.to_string());
        }
    }
}

/// The curve of the one number that the runs differ in, besides their seeds.
pub fn curve(runs: &[Run]) -> Option<Curve> {
    let options: Vec<String> = differing(runs).into_iter().filter(|p| p != "seed").collect();
    let [option] = options.as_slice() else { return None };
    let mut groups: Vec<(f64, Vec<&Run>)> = Vec::new();
    for run in runs {
        let value: f64 = value(run, option).parse().ok()?;
        match groups.iter_mut().find(|(known, _)| *known == value) {
            Some((_, members)) => members.push(run),
            None => groups.push((value, vec![run])),
        }
    }
    groups.sort_by(|a, b| a.0.total_cmp(&b.0));
    let (first, last) = (groups.first()?.0, groups.last()?.0);
    let point = |(value, members): &(f64, Vec<&Run>)| {
        let measure = |(name, of): &(&'static str, fn(&Run) -> Option<f64>)| {
            let values: Vec<f64> = members.iter().filter_map(|run| of(run)).collect();
            (!values.is_empty()).then(|| (*name, spread(&values)))
        };
        Point {
            value: *value,
            runs: members.len(),
            measures: MEASURES.iter().filter_map(measure).collect(),
        }
    };
    Some(Curve {
        option: option.clone(),
        points: groups.iter().map(point).collect(),
        logarithmic: first > 0.0 && last / first >= 16.0,
    })
}

fn spread(values: &[f64]) -> [f64; 2] {
    let n = values.len() as f64;
    let mean = values.iter().sum::<f64>() / n;
    let squares: f64 = values.iter().map(|v| (v - mean).powi(2)).sum();
    [
        mean,
        if values.len() > 1 {
            (squares / (n - 1.0)).sqrt()
        } else {
            0.0
        },
    ]
}

/// Every other run against the first, in the settings that both have.
pub fn against_first(runs: &[Run]) -> Vec<Against> {
    let Some((first, others)) = runs.split_first() else {
        return Vec::new();
    };
    let mut all = Vec::new();
    for setting in ["zsl", "gzsl"] {
        let Some(base) = first.answers.get(setting) else {
            continue;
        };
        let pair = |(i, run): (usize, &Run)| {
            let paired = paired::runs(base, run.answers.get(setting)?)?;
            Some((i + 1, paired))
        };
        let pairs: Vec<(usize, Paired)> = others.iter().enumerate().filter_map(pair).collect();
        let corrected = paired::holm(&pairs.iter().map(|(_, p)| p.mid).collect::<Vec<_>>());
        all.extend(
            pairs
                .into_iter()
                .zip(corrected)
                .map(|((run, paired), corrected)| Against {
                    run,
                    setting: setting.to_owned(),
                    paired,
                    corrected,
                }),
        );
    }
    all
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn paths_are_compared_without_detours_and_shown_by_their_end() {
        assert_eq!(direct("/a/studies/../texts/./x.json"), "/a/texts/x.json");
        assert_eq!(direct("12/../3"), "12/../3");
        assert_eq!(short("/data/combined"), "/data/combined");
        assert_eq!(
            short("/somewhere/far/away/embeddings/minilm.safetensors"),
            "…/embeddings/minilm.safetensors"
        );
    }
}
