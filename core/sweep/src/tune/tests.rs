use std::path::Path;

use proptest::prelude::*;
use serde_json::json;

use super::search::Search;
use super::space::Range;
use super::*;

fn read(more: &str) -> Result<(Tuning, Document)> {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("search.yaml");
    let configs = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../configs");
    std::fs::write(
        &path,
        format!("pipeline: {}/quickstart.yaml\n{more}", configs.display()),
    )
    .unwrap();
    Tuning::read(&path, &[])
}

fn trial(values: IndexMap<String, Value>, score: f64) -> Trial {
    Trial {
        values,
        scores: vec![score],
        failures: Vec::new(),
    }
}

/// Plays a search on a function of its values; the values of all trials.
fn play(options: &Tuning, of: impl Fn(&IndexMap<String, Value>) -> f64) -> Vec<Trial> {
    let mut search = Search::new(options).unwrap();
    let mut trials = vec![trial(IndexMap::new(), 0.0)];
    while let Some(asked) = search.ask(&trials).unwrap() {
        let measured: Vec<Trial> = asked.into_iter().map(|v| trial(v.clone(), of(&v))).collect();
        search.tell(&measured, true).unwrap();
        trials.extend(measured);
    }
    trials
}

const SPACE: &str =
    "space:\n  adapters.0.alpha: {from: 0.1, to: 10, scale: log}\n  adapters.0.capacity: [4, 8, 16]\n";

#[test]
fn a_grid_tries_every_combination_once() {
    let (options, _) = read(&format!("{SPACE}search: {{type: grid}}\n")).unwrap();
    let trials = play(&options, |_| 1.0);
    assert_eq!(trials.len(), 1 + 5 * 3);
    let alphas: Vec<&Value> = trials[1..]
        .iter()
        .step_by(3)
        .map(|t| &t.values["adapters.0.alpha"])
        .collect();
    assert_eq!(json!(alphas), json!([0.1, 0.316228, 1.0, 3.16228, 10.0]));
}

#[test]
fn an_estimated_search_gathers_where_it_is_good() {
    let (options, _) = read(&format!("{SPACE}search: {{type: tpe, trials: 60, first: 12}}\n")).unwrap();
    // Best at alpha = 3, capacity = 16.
    let of = |v: &IndexMap<String, Value>| {
        let alpha = v["adapters.0.alpha"].as_f64().unwrap();
        -(alpha.ln() - 3f64.ln()).abs() - if v["adapters.0.capacity"] == 16 { 0.0 } else { 1.0 }
    };
    let trials = play(&options, of);
    assert_eq!(trials.len(), 61);
    let mean = |range: std::ops::Range<usize>| {
        let n = range.len() as f64;
        trials[range].iter().map(|t| t.scores[0]).sum::<f64>() / n
    };
    assert!(
        mean(31..61) > mean(1..13) + 0.3,
        "{} {}",
        mean(1..13),
        mean(31..61)
    );
    let again = play(&options, of);
    assert!(
        trials.iter().zip(&again).all(|(a, b)| a.values == b.values),
        "one seed, one search"
    );
}

#[test]
fn mistakes_are_named() {
    let error = |more: &str| read(more).map(|_| ()).unwrap_err().to_string();
    let text = error(
        "space: {dataset.root: [a], adapters.0.alpha: {from: 2, to: 1}, adapters.0.beta: {from: 0, to: 1, scale: log}}\nobjective: class_maen\n",
    );
    for part in [
        "`dataset.root` cannot be chosen here",
        "`from` must be less than `to`, got 2 and 1",
        "must be more than 0 on a `log` scale, got 0",
        "did you mean `class_mean`?",
    ] {
        assert!(text.contains(part), "{part} in\n{text}");
    }
    assert!(error("space: {}\n").contains("there is nothing to choose"));
    assert!(error("space: {adapters.0.alpha: [1]}\nsearch: {type: bayes}\n").contains("search"));
}

#[test]
fn fields_that_the_pipeline_does_not_have_are_refused_before_anything_runs() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("search.yaml");
    let configs = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../configs");
    let text = format!(
        "pipeline: {}/quickstart.yaml\nspace: {{adapters.0.alhpa: [1]}}\n",
        configs.display()
    );
    std::fs::write(&path, text).unwrap();
    let error = Tuner::read(&path, &[], &[], &|_| Ok(()))
        .map(|_| ())
        .unwrap_err()
        .to_string();
    assert!(
        error.contains("space, `adapters.0.alhpa`") && error.contains("did you mean `alpha`?"),
        "{error}"
    );
}

proptest! {
    #[test]
    fn values_stay_in_their_range(from in 0.01f64..10.0, width in 0.01f64..100.0, place in -1.0f64..2.0, log: bool, whole: bool) {
        let scale = if log { Scale::Log } else { Scale::Linear };
        let range = Range { from, to: from + width, scale, whole, points: 3 };
        let value = Domain::Range(range).at(place).as_f64().unwrap();
        let slack = if whole { 0.5 } else { 0.0 };
        prop_assert!(value >= from - slack && value <= from + width + slack);
    }
}
