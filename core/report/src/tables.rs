//! The tables of the page, cell by cell.

use serde::Serialize;
use szar_runner::metrics::SeenUnseen;
use szar_runner::report::{Accuracy, AdapterReport, Generalised};

use crate::compare::{self, Against};
use crate::paired::Paired;
use crate::run::Run;

/// Heads and rows; the first cell of a row is its name.
#[derive(Clone, Debug, Serialize)]
pub struct Table {
    /// What it is about.
    pub title: String,
    /// One per column.
    pub head: Vec<String>,
    /// Cells.
    pub rows: Vec<Line>,
    /// Below it.
    pub note: String,
    /// Columns from the left that are words.
    pub words: usize,
}

/// One row.
#[derive(Clone, Debug, Serialize)]
pub struct Line {
    /// Cells.
    pub cells: Vec<String>,
    /// Is it what the run is about?
    pub strong: bool,
}

fn line(cells: Vec<String>) -> Line {
    let strong = false;
    Line { cells, strong }
}

fn strong(cells: Vec<String>) -> Line {
    let strong = true;
    Line { cells, strong }
}

fn heads(names: &[&str]) -> Vec<String> {
    names.iter().map(|n| (*n).to_owned()).collect()
}

fn one(value: f64) -> String {
    format!("{value:.1}")
}

/// With its sign, a true minus.
pub fn signed(value: f64) -> String {
    if value.abs() < 0.05 {
        return "0.0".into();
    }
    format!("{value:+.1}").replace('-', "−")
}

/// A p that is read at a glance.
pub fn p_value(p: f64) -> String {
    match p {
        p if p < 1e-4 => "< 0.0001".into(),
        p if p < 0.01 => format!("{p:.4}"),
        p => format!("{p:.3}"),
    }
}

fn interval([low, high]: [f64; 2]) -> String {
    format!("[{}, {}]", signed(low), signed(high))
}

/// The chain of adapters in words.
pub fn chain(adapters: &[AdapterReport]) -> String {
    adapters
        .iter()
        .map(|a| a.component.as_str())
        .collect::<Vec<_>>()
        .join(" + ")
}

/// Zero-shot results.
pub fn zero_shot(run: &Run, paired: Option<&Paired>) -> Option<Table> {
    let zsl = run.report.zsl.as_ref()?;
    let most = |a: &Accuracy| {
        let most = a.prediction_share.iter().max_by(|a, b| a.1.total_cmp(b.1));
        most.map_or_else(String::new, |(name, share)| format!("{name} ({share:.0}%)"))
    };
    let row = |name: String, a: &Accuracy, entropy: f64| {
        vec![
            name,
            one(a.class_mean),
            one(a.top1),
            format!("{entropy:.2}"),
            most(a),
        ]
    };
    let blank = String::new;
    let mut rows = vec![
        line(vec![
            "chance".into(),
            one(zsl.chance),
            one(zsl.chance),
            blank(),
            blank(),
        ]),
        line(vec![
            "always the largest class".into(),
            one(zsl.chance),
            one(zsl.largest_class),
            blank(),
            blank(),
        ]),
    ];
    let before = row("before adaptation".into(), &zsl.before, zsl.entropy[0]);
    match &zsl.after {
        None => rows.push(strong(before)),
        Some(after) => {
            rows.push(line(before));
            rows.push(strong(row(
                format!("after {}", chain(&zsl.adapters)),
                after,
                zsl.entropy[1],
            )));
            let class_mean = signed(after.class_mean - zsl.before.class_mean);
            let top1 = signed(after.top1 - zsl.before.top1);
            rows.push(line(vec![
                "change, points".into(),
                class_mean,
                top1,
                signed2(zsl.entropy[1] - zsl.entropy[0]),
                blank(),
            ]));
        }
    }
    let note = match paired.filter(|_| zsl.after.is_some()) {
        Some(p) => format!(
            "Change on the same {} samples: class mean {}, 95% {} (bootstrap of pairs within classes); {} samples gained, {} \
             lost, McNemar p = {} (mid-p), {} (exact). This speaks of these samples and this trained model, not of other \
             training seeds.",
            p.samples,
            signed(p.class_mean),
            interval(p.interval),
            p.only[1],
            p.only[0],
            p_value(p.mid),
            p_value(p.exact)
        ),
        None => String::new(),
    };
    Some(Table {
        title: "Zero-shot, %: the candidates are the unseen classes".into(),
        head: heads(&["", "class mean", "top-1", "entropy, nats", "most predicted class"]),
        rows,
        note,
        words: 1,
    })
}

fn signed2(value: f64) -> String {
    format!("{value:+.2}").replace('-', "−")
}

/// Generalised results.
pub fn generalised(run: &Run, paired: Option<&Paired>) -> Option<Table> {
    let gzsl = run.report.gzsl.as_ref()?;
    let cells = |s: &SeenUnseen| [s.seen, s.unseen, s.harmonic_mean].map(one);
    let row = |name: String, g: &Generalised| {
        let mut row = vec![name];
        row.extend(cells(&g.class_mean));
        row.extend(cells(&g.top1));
        row
    };
    let mut rows = vec![line(row("no gate".into(), &gzsl.ungated))];
    match &gzsl.after {
        None => rows.push(strong(row("before adaptation".into(), &gzsl.before))),
        Some(after) => {
            rows.push(line(row("before adaptation".into(), &gzsl.before)));
            rows.push(strong(row(format!("after {}", chain(&gzsl.adapters)), after)));
        }
    }
    let constants: Vec<String> = gzsl
        .gate
        .iter()
        .map(|(name, value)| format!("{name} {value:.4}"))
        .collect();
    let [seen, unseen] = gzsl.taken_for_seen;
    let mut note = format!(
        "Gate: AUC {:.1}%; takes {seen:.0}% of the seen and {unseen:.0}% of the unseen samples for seen. Constants: {}",
        gzsl.gate_auc,
        constants.join(", ")
    );
    if let Some(held) = &gzsl.held_out {
        note.push_str(&format!(
            ". Fitted with held-out seen classes: {}",
            held.classes.join(", ")
        ));
    }
    if let Some(p) = paired.filter(|_| gzsl.after.is_some()) {
        note.push_str(&format!(
            ". Change over all classes on the same {} samples: class mean {}, 95% {}; McNemar mid-p = {}.",
            p.samples,
            signed(p.class_mean),
            interval(p.interval),
            p_value(p.mid)
        ));
    }
    Some(Table {
        title: "Generalised, %: the candidates are all classes".into(),
        head: heads(&[
            "",
            "class mean: seen",
            "unseen",
            "harmonic",
            "top-1: seen",
            "unseen",
            "harmonic",
        ]),
        rows,
        note,
        words: 1,
    })
}

/// Runs side by side, with what they differ in.
pub fn runs(runs: &[Run], names: &[String]) -> Table {
    let differing = compare::differing(runs);
    let shown: Vec<&String> = differing.iter().take(5).collect();
    let measures: Vec<_> = compare::MEASURES
        .iter()
        .filter(|(_, of)| runs.iter().any(|r| of(r).is_some()))
        .collect();
    let mut head = heads(&["run"]);
    head.extend(shown.iter().map(|p| (*p).clone()));
    head.extend(measures.iter().map(|(name, _)| (*name).to_owned()));
    let row = |(run, name): (&Run, &String)| {
        let mut cells = vec![name.clone()];
        cells.extend(shown.iter().map(|path| compare::value(run, path)));
        cells.extend(
            measures
                .iter()
                .map(|(_, of)| of(run).map_or_else(|| "-".into(), one)),
        );
        line(cells)
    };
    let note = match differing.len() {
        0 => "The configurations are the same.".to_owned(),
        n if n > shown.len() => format!(
            "They differ in {} more options: {}.",
            n - shown.len(),
            differing[shown.len()..].join(", ")
        ),
        _ => String::new(),
    };
    Table {
        title: "Runs, %".into(),
        head,
        rows: runs.iter().zip(names).map(row).collect(),
        note,
        words: 1 + shown.len(),
    }
}

/// Tests against the first run.
pub fn tests(all: &[Against], names: &[String]) -> Option<Table> {
    let row = |a: &Against| {
        let p = &a.paired;
        line(vec![
            names[a.run].clone(),
            crate::figures::setting_name(&a.setting).to_owned(),
            p.samples.to_string(),
            signed(p.class_mean),
            interval(p.interval),
            signed(p.top1),
            format!("{} / {}", p.only[1], p.only[0]),
            p_value(p.exact),
            p_value(p.mid),
            p_value(a.corrected),
        ])
    };
    (!all.is_empty()).then(|| Table {
        title: format!("Against {}, sample by sample", names[0]),
        head: heads(&[
            "run", "setting", "samples", "class mean", "95%", "top-1", "won / lost", "p exact", "mid-p", "Holm",
        ]),
        rows: all.iter().map(row).collect(),
        note: "Differences in points, after adaptation, on the samples that both runs have. 95%: percentile bootstrap of pairs \
               within classes. p: McNemar's test; Holm: mid-p corrected for the number of runs. These tests speak of these \
               samples and these trained models, not of other training seeds."
            .into(),
        words: 2,
    })
}
