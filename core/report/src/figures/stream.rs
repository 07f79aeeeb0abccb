//! How a stream went, from its first sample to its last.

use szar_runner::report::AdapterReport;

use super::{Shown, setting_name};
use crate::plot::{Heat, LineChart, Series, heat, lines};
use crate::run::Run;

/// Classes whose memory is shown one by one.
const MOST: usize = 40;

/// Accuracy and entropy over each stream.
pub fn streams(run: &Run) -> Vec<Shown> {
    let mut shown = Vec::new();
    let settings = ["zsl", "gzsl"].into_iter();
    for (setting, answers) in settings.filter_map(|s| Some((s, run.answers.get(s)?))) {
        let segments = answers.segments();
        if segments.len() < 2 {
            continue;
        }
        let adapted = answers
            .all
            .iter()
            .any(|a| a.entropy[0] != a.entropy[1] || a.before != a.after);
        let of = |value: &dyn Fn(&crate::answers::Segment) -> [f64; 2]| -> Vec<Series> {
            let line = |side: usize, name: &str, class: &str| {
                let points = segments.iter().map(|s| [s.end as f64, value(s)[side]]);
                Series::new(name, class, points.collect())
            };
            let mut all = vec![line(0, "before adaptation", "before")];
            if adapted {
                all.push(line(1, "after", "after"));
            }
            all
        };
        let length = answers.all.len() / segments.len();
        let word = setting_name(setting);
        let mut accuracy = of(&|s| s.top1);
        if setting == "zsl" {
            accuracy.extend(stages(run));
        }
        let mut add = |what: &str, y: &str, percent: bool, series: Vec<Series>| {
            let title = format!("{what} over the stream, {word}");
            let svg = lines(&LineChart {
                title: &title,
                x: "samples of the stream",
                y,
                percent,
                marks: false,
                logarithmic: false,
                series,
            });
            let caption = format!("Mean of {} segments of about {length} samples.", segments.len());
            let name = format!("{}-{setting}", what.to_lowercase());
            shown.push(Shown::new(&name, &title, caption, svg));
        };
        add("Accuracy", "top-1, %", true, accuracy);
        add(
            "Entropy",
            "entropy of the posterior, nats",
            false,
            of(&|s| s.entropy),
        );
    }
    shown
}

/// The answers between the adapters of a chain.
fn stages(run: &Run) -> Vec<Series> {
    let adapters = run
        .report
        .zsl
        .iter()
        .flat_map(|z| &z.adapters)
        .collect::<Vec<_>>();
    let Some((_, inner)) = adapters.split_last() else {
        return Vec::new();
    };
    let line = |(i, adapter): (usize, &&AdapterReport)| {
        let points = adapter.course.iter().map(|s| [s.end as f64, s.top1[1]]);
        let name = format!("after {}", adapter.component);
        Series::new(&name, &format!("s{}", i % 4), points.collect())
    };
    inner.iter().enumerate().map(line).collect()
}

/// What adapters remember, and how far they moved the anchors.
pub fn memory(run: &Run) -> Vec<Shown> {
    let zsl = run.report.zsl.iter().map(|z| ("zsl", &z.adapters));
    let gzsl = run.report.gzsl.iter().map(|g| ("gzsl", &g.adapters));
    let mut shown = Vec::new();
    for (setting, adapters) in zsl.chain(gzsl) {
        for (place, adapter) in adapters.iter().enumerate() {
            let names = match setting {
                "zsl" => run.report.data.unseen.clone(),
                _ => Vec::new(),
            };
            shown.extend(totals(setting, place, adapter));
            shown.extend(drift(setting, place, adapter));
            if names.len() <= MOST {
                shown.extend(by_class(setting, place, adapter, &names));
            }
        }
    }
    shown
}

fn totals(setting: &str, place: usize, adapter: &AdapterReport) -> Option<Shown> {
    let course: Vec<_> = adapter
        .course
        .iter()
        .filter(|s| !s.occupancy.is_empty())
        .collect();
    if course.len() < 2 {
        return None;
    }
    let point = |s: &&szar_runner::report::Segment| {
        let held: usize = s.occupancy.iter().sum();
        let right: f64 = s
            .occupancy
            .iter()
            .zip(&s.purity)
            .map(|(n, p)| *n as f64 * p.unwrap_or(0.0))
            .sum();
        [s.end as f64, right / held.max(1) as f64]
    };
    let last: usize = course.last()?.occupancy.iter().sum();
    let title = format!(
        "Purity of the memory of {}, {}",
        adapter.component,
        setting_name(setting)
    );
    let svg = lines(&LineChart {
        title: &title,
        x: "samples of the stream",
        y: "entries that are of their class, %",
        percent: true,
        marks: false,
        logarithmic: false,
        series: vec![Series::new(
            "all entries",
            "after",
            course.iter().map(point).collect(),
        )],
    });
    let caption = format!("{last} entries at the end. Held against the labels by the evaluation alone.");
    Some(Shown::new(
        &format!("purity-{setting}-{place}"),
        &title,
        caption,
        svg,
    ))
}

fn drift(setting: &str, place: usize, adapter: &AdapterReport) -> Option<Shown> {
    let points = |of: fn(&szar_runner::report::Drift) -> f64| -> Vec<[f64; 2]> {
        let course = adapter.course.iter();
        course
            .filter_map(|s| Some([s.end as f64, of(s.drift.as_ref()?)]))
            .collect()
    };
    let mean = points(|d| d.mean);
    if mean.len() < 2 {
        return None;
    }
    let title = format!(
        "Anchors moved by {}, {}",
        adapter.component,
        setting_name(setting)
    );
    let svg = lines(&LineChart {
        title: &title,
        x: "samples of the stream",
        y: "1 − cosine to where they began",
        percent: false,
        marks: false,
        logarithmic: false,
        series: vec![
            Series::new("mean", "after", mean),
            Series::new("largest", "s1", points(|d| d.max)),
        ],
    });
    let caption = "Over classes and texts.".to_owned();
    Some(Shown::new(
        &format!("drift-{setting}-{place}"),
        &title,
        caption,
        svg,
    ))
}

fn by_class(setting: &str, place: usize, adapter: &AdapterReport, names: &[String]) -> Vec<Shown> {
    let course: Vec<_> = adapter
        .course
        .iter()
        .filter(|s| s.occupancy.len() == names.len())
        .collect();
    if names.is_empty() || course.len() < 2 {
        return Vec::new();
    }
    let most = course
        .iter()
        .flat_map(|s| &s.occupancy)
        .max()
        .copied()
        .unwrap_or(1)
        .max(1);
    let occupancy = |r: usize, c: usize| Some(course[c].occupancy[r] as f64 / most as f64);
    let entries = |r: usize, c: usize| {
        let tip = format!(
            "{}: {} entries after {} samples",
            names[r], course[c].occupancy[r], course[c].end
        );
        (course[c].occupancy[r].to_string(), tip)
    };
    let purity = |r: usize, c: usize| course[c].purity.get(r).copied().flatten().map(|p| p / 100.0);
    let pure = |r: usize, c: usize| {
        let part = purity(r, c).map_or_else(|| "-".to_owned(), |p| format!("{:.0}", 100.0 * p));
        let tip = format!("{}: {part}% right after {} samples", names[r], course[c].end);
        (part, tip)
    };
    let draw = |what: &str,
                caption: String,
                shade: &dyn Fn(usize, usize) -> Option<f64>,
                tell: &dyn Fn(usize, usize) -> (String, String)| {
        let title = format!(
            "{what} of {} by class, {}",
            adapter.component,
            setting_name(setting)
        );
        let svg = heat(&Heat {
            title: &title,
            rows: names,
            columns: &[],
            axes: ["time →", ""],
            shade,
            tell,
            count: course.len(),
            diagonal: false,
        });
        let name = format!("{}-{setting}-{place}-classes", what.to_lowercase());
        Shown::new(&name, &title, caption, svg)
    };
    let ends = course.len();
    vec![
        draw(
            "Occupancy",
            format!("Entries per class at the ends of {ends} segments; the darkest is {most}."),
            &occupancy,
            &entries,
        ),
        draw(
            "Purity",
            format!(
                "Percent of the entries that are of their class, at the ends of {ends} segments; the darkest is 100%, outlined where there are no entries."
            ),
            &purity,
            &pure,
        ),
    ]
}
