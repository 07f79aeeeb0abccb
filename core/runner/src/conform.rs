//! Replays golden cases against the registered components.

use std::collections::BTreeMap;
use std::path::Path;

use serde::Serialize;
use szar_adapters::gates::{On, calibrated, entropy};
use szar_core::checkpoint::NamedTensors;
use szar_core::conform::{Case, Driver, compare, driver};
use szar_core::host::{HostF32, to_i64};
use szar_core::{Column, Error, Result};
use tch::{Kind, Tensor};

use crate::metrics::{Confusion, SeenUnseen, generalised, top_k};

mod descriptors;
mod tpt;

/// How a case ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Verdict {
    /// Every output is within tolerance.
    Pass,
    /// An output differs, or the driver failed.
    Fail,
    /// No component here corresponds to it.
    NotImplemented,
}

/// One case.
#[derive(Clone, Debug, Serialize)]
pub struct CaseReport {
    /// `<kind>/<component>/<case>`.
    pub case: String,
    /// How it ended.
    pub verdict: Verdict,
    /// Output that is worst in proportion to its tolerance.
    pub worst: String,
    /// Its largest absolute difference.
    pub max_error: f64,
    /// Absolute part of its tolerance.
    pub atol: f64,
    /// Relative part of its tolerance.
    pub rtol: f64,
    /// What is wrong, for each output that differs.
    pub problems: Vec<String>,
}

/// Runs every case at or below a folder, in order of their paths; with `kind`, those of one kind of component alone.
///
/// # Errors
/// When the folder cannot be read, a case file is damaged, or no case is of the kind.
pub fn conform(root: &Path, kind: Option<&str>) -> Result<Vec<CaseReport>> {
    let mut reports = Vec::new();
    let mut kinds = std::collections::BTreeSet::new();
    for folder in Case::find(root)? {
        let case = Case::load(&folder)?;
        if kind.is_none_or(|kind| kind == case.kind) {
            reports.push(run_case(&case)?);
        }
        kinds.insert(case.kind);
    }
    match kind {
        Some(kind) if reports.is_empty() => Err(Error::unknown("kind of golden case", kind, kinds)),
        _ => Ok(reports),
    }
}

fn run_case(case: &Case) -> Result<CaseReport> {
    let blank = CaseReport {
        case: case.name.clone(),
        verdict: Verdict::NotImplemented,
        worst: String::new(),
        max_error: 0.0,
        atol: 0.0,
        rtol: 0.0,
        problems: Vec::new(),
    };
    let Some(driver) = driver(&case.kind, &case.component) else {
        return Ok(blank);
    };
    let fail = |why: String| CaseReport {
        verdict: Verdict::Fail,
        max_error: f64::INFINITY,
        problems: vec![why],
        ..blank.clone()
    };
    // libtorch's refusals (shapes that do not fit) are panics in this binding; one bad case must not end the table.
    let outcome = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| (driver.run)(case)));
    let got = match outcome {
        Ok(Ok(Some(got))) => got,
        Ok(Ok(None)) => return Ok(blank),
        Ok(Err(error)) => return Ok(fail(error.to_string())),
        Err(_) => return Ok(fail("the component panicked".into())),
    };
    let comparisons = compare(case, &got);
    if comparisons.is_empty() {
        return Ok(fail("the case records no output".into()));
    }
    let problems = comparisons.iter().filter(|c| !c.ok).map(|c| match &c.note {
        Some(note) => format!("{}: {note}", c.output),
        None => format!("{}: off by {:.3e}", c.output, c.max_error),
    });
    let weight =
        |c: &szar_core::conform::Comparison| (!c.ok, c.max_error / c.tolerance.atol.max(f64::MIN_POSITIVE));
    let worst = comparisons.iter().max_by(|a, b| {
        weight(a)
            .partial_cmp(&weight(b))
            .unwrap_or(std::cmp::Ordering::Equal)
    });
    let worst = worst.ok_or_else(|| Error::Missing("outputs".into()))?;
    Ok(CaseReport {
        verdict: if comparisons.iter().all(|c| c.ok) {
            Verdict::Pass
        } else {
            Verdict::Fail
        },
        worst: worst.output.clone(),
        max_error: worst.max_error,
        atol: worst.tolerance.atol,
        rtol: worst.tolerance.rtol,
        problems: problems.collect(),
        ..blank
    })
}

/// Number of cases by verdict.
pub fn tally(cases: &[CaseReport]) -> BTreeMap<&'static str, usize> {
    let mut tally = BTreeMap::from([("fail", 0), ("not implemented", 0), ("pass", 0)]);
    for case in cases {
        let key = match case.verdict {
            Verdict::Pass => "pass",
            Verdict::Fail => "fail",
            Verdict::NotImplemented => "not implemented",
        };
        *tally.entry(key).or_default() += 1;
    }
    tally
}

inventory::submit! { Driver { kind: "metric", component: "zsl-accuracy", run: zsl_accuracy } }
inventory::submit! { Driver { kind: "metric", component: "gzsl", run: gzsl } }

fn scalar(value: f64) -> Tensor {
    Tensor::from_slice(&[value as f32])
}

fn zsl_accuracy(case: &Case) -> Result<Option<NamedTensors>> {
    let classes: usize = case.param("num_classes")?;
    let k: usize = case.param("topk")?;
    let (labels, predictions) = (to_i64(&case.input("labels")?)?, to_i64(&case.input("pred")?)?);
    let logits = HostF32::new(&case.input("logits")?);
    let confusion = Confusion::new(classes, &labels, &predictions)?;
    let per_class: Vec<f32> = confusion
        .per_class()
        .iter()
        .map(|v| v.map_or(-1.0, |p| (p / 100.0) as f32))
        .collect();
    let counts: Vec<i64> = confusion.counts.iter().flatten().map(|n| *n as i64).collect();
    let class_counts: Vec<i64> = confusion.class_counts().iter().map(|n| *n as i64).collect();
    Ok(Some(NamedTensors::from([
        ("top1".into(), scalar(confusion.top1() / 100.0)),
        (
            "mean_class_accuracy".into(),
            scalar(confusion.class_mean() / 100.0),
        ),
        (
            format!("top{k}"),
            scalar(top_k(logits.as_slice(), classes, &labels, k) / 100.0),
        ),
        ("per_class_accuracy".into(), Tensor::from_slice(&per_class)),
        (
            "confusion".into(),
            Tensor::from_slice(&counts).reshape([classes as i64, classes as i64]),
        ),
        ("class_counts".into(), Tensor::from_slice(&class_counts)),
    ])))
}

fn gzsl(case: &Case) -> Result<Option<NamedTensors>> {
    let classes: usize = case.param("num_classes")?;
    let thresholds: Vec<f64> = case.param("thresholds")?;
    let calibrations: Vec<f64> = case.param("calibrations")?;
    let logits = case.input("logits")?;
    let labels = to_i64(&case.input("labels")?)?;
    let (seen, unseen) = (case.input("seen_classes")?, case.input("unseen_classes")?);
    let mut is_seen = vec![false; classes];
    let seen_columns: Vec<Column> = to_i64(&seen)?.iter().map(|c| Column(*c as usize)).collect();
    seen_columns.iter().for_each(|c| is_seen[c.0] = true);
    let entropy = entropy(&logits);
    let mut out = NamedTensors::from([("entropy".to_owned(), entropy.shallow_clone())]);
    let pack =
        |s: &SeenUnseen| Tensor::from_slice(&[s.seen, s.unseen, s.harmonic_mean].map(|v| (v / 100.0) as f32));
    let mut add = |prefix: &str, tail: &str, predictions: Tensor, both: bool| -> Result<()> {
        let (top1, class_mean) = generalised(&labels, &to_i64(&predictions)?, &is_seen)?;
        out.insert(format!("{prefix}pred{tail}"), predictions);
        out.insert(format!("{prefix}suh{tail}"), pack(&top1));
        if both {
            out.insert(format!("{prefix}suh_class_mean{tail}"), pack(&class_mean));
        }
        Ok(())
    };
    add("plain_", "", logits.argmax(1, false), true)?;
    let side = |columns: &Tensor| columns.index_select(0, &logits.index_select(1, columns).argmax(1, false));
    let mut gates = Vec::new();
    for (k, threshold) in thresholds.iter().enumerate() {
        let gate = entropy.lt(*threshold);
        add(
            "",
            &format!("_{k}"),
            side(&seen).where_self(&gate, &side(&unseen)),
            true,
        )?;
        gates.push((format!("gate_{k}"), gate.to_kind(Kind::Int64)));
    }
    for (k, calibration) in calibrations.iter().enumerate() {
        let scores = calibrated(&logits, &seen_columns, *calibration, On::Probabilities);
        add("calibrated_", &format!("_{k}"), scores.argmax(1, false), false)?;
    }
    out.extend(gates);
    Ok(Some(out))
}

#[cfg(test)]
mod tests {
    #[test]
    fn goldens() {
        szar_core::conform::assert_goldens("metric");
    }
}
