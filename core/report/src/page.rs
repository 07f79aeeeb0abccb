//! All of it as HTML.

use std::collections::BTreeSet;

use minijinja::value::Serde;
use minijinja::{AutoEscape, Environment};
use serde::Serialize;
use serde_json::{Value, json};
use szar_core::{Error, Result};

use crate::compare::{self, Curve};
use crate::figures::{self, Shown, Space};
use crate::paired;
use crate::plot::{LineChart, Series, lines};
use crate::run::Run;
use crate::tables::{self, Table};

/// Runs that are shown one by one; of the others there are numbers alone.
const DETAILED: usize = 4;

/// A page, and what it shows as data.
#[derive(Debug)]
pub struct Page {
    /// The file.
    pub html: String,
    /// What stands in it as JSON.
    pub data: Value,
}

/// A heading with what stands below it.
#[derive(Debug, Serialize)]
struct Section {
    id: String,
    title: String,
    tables: Vec<Table>,
    figures: Vec<Shown>,
    motions: Vec<figures::Motion>,
    /// In place of what is missing, or about all of it.
    note: String,
}

/// A run on the page.
#[derive(Debug, Serialize)]
struct Article {
    id: String,
    name: String,
    marks: Vec<Banner>,
    notes: Vec<String>,
    facts: Vec<[String; 2]>,
    configuration: String,
    sections: Vec<Section>,
}

/// What a reader must know first.
#[derive(Debug, Serialize)]
struct Banner {
    word: &'static str,
    class: &'static str,
    text: String,
}

/// What the template sees.
#[derive(Debug, Serialize)]
struct View {
    title: String,
    about: String,
    several: bool,
    comparison: Option<Section>,
    articles: Vec<Article>,
    /// Names of the runs without figures.
    omitted: Vec<String>,
    version: &'static str,
    data: String,
    style: &'static str,
    script: &'static str,
}

/// Makes the page.
///
/// # Errors
/// When the data cannot be written as JSON.
pub fn make(runs: &[Run]) -> Result<Page> {
    let names = names(runs);
    let mut spaces = Vec::new();
    let detailed = &runs[..runs.len().min(DETAILED)];
    let articles: Vec<Article> = detailed
        .iter()
        .zip(&names)
        .enumerate()
        .map(|(i, (run, name))| {
            let (article, space) = article(i, run, name);
            spaces.push(space);
            article
        })
        .collect();
    let (comparison, curve, against) = comparison(runs, &names);
    let data = data(runs, &names, &spaces, curve.as_ref(), &against);
    let text = serde_json::to_string(&data).map_err(|e| Error::Input(e.to_string()))?;
    let several = runs.len() > 1;
    let title = if several {
        format!("{} runs", runs.len())
    } else {
        names.first().cloned().unwrap_or_default()
    };
    let mut about: BTreeSet<String> = BTreeSet::new();
    for run in runs {
        let kind = if run.report.data.synthetic.is_some() {
            " (synthetic)"
        } else {
            ""
        };
        about.insert(format!(
            "{}{kind}, split {}",
            run.report.data.name, run.report.data.split
        ));
    }
    let html = render(View {
        title,
        about: about.into_iter().collect::<Vec<_>>().join("; "),
        several,
        comparison,
        articles,
        omitted: names.iter().skip(DETAILED).cloned().collect(),
        version: env!("CARGO_PKG_VERSION"),
        data: inside_script(&text),
        style: include_str!("../templates/style.css"),
        script: include_str!("../templates/script.js"),
    })?;
    Ok(Page { html, data })
}

fn render(view: View) -> Result<String> {
    let mut templates = Environment::new();
    templates.set_auto_escape_callback(|_| AutoEscape::Html);
    let failed = |e: minijinja::Error| Error::Input(format!("template of the page: {e:#}"));
    templates
        .add_template("page.html", include_str!("../templates/page.html"))
        .map_err(failed)?;
    let page = templates.get_template("page.html").map_err(failed)?;
    page.render(Serde(view)).map_err(failed)
}

/// JSON that no parser of HTML takes for the end of a script or the begin of a comment.
fn inside_script(json: &str) -> String {
    json.replace('<', "\\u003c")
        .replace('>', "\\u003e")
        .replace('&', "\\u0026")
}

/// Names of runs, told apart by their folders where pipelines have the same name.
fn names(runs: &[Run]) -> Vec<String> {
    let name = |run: &Run| run.report.name.clone();
    let several = |n: &String| runs.iter().filter(|r| name(r) == *n).count() > 1;
    let full = |run: &Run| {
        let own = name(run);
        if several(&own) { run.folder_name() } else { own }
    };
    let mut names: Vec<String> = runs.iter().map(full).collect();
    for i in 0..names.len() {
        if names[..i].contains(&names[i]) {
            names[i] = format!("{} ({})", names[i], i + 1);
        }
    }
    names
}

fn article(number: usize, run: &Run, name: &str) -> (Article, Vec<Space>) {
    let id = format!("run{}", number + 1);
    let (space, places) = figures::spaces(run);
    let section = |part: &str, title: &str, figures: Vec<Shown>, note: &str| Section {
        id: format!("{id}-{part}"),
        title: title.to_owned(),
        tables: Vec::new(),
        note: if figures.is_empty() {
            note.to_owned()
        } else {
            String::new()
        },
        figures,
        motions: Vec::new(),
    };
    let paired = |setting: &str| run.answers.get(setting).and_then(paired::adaptation);
    let tables = [
        tables::zero_shot(run, paired("zsl").as_ref()),
        tables::generalised(run, paired("gzsl").as_ref()),
    ];
    let mut results = section("results", "Results", Vec::new(), "");
    results.tables = tables.into_iter().flatten().collect();
    let unrecorded = match &run.record {
        Some(_) => "The record of this run does not hold what these figures need.",
        None => {
            "The folder of this run has no record of its samples (it is old, or was run with --no-record), so there is \
             nothing to draw here. `szar run --fresh` keeps one."
        }
    };
    let mut attention = figures::attention(run);
    attention.extend(figures::weights(run));
    let mut moving = section("motions", "Most changed samples", Vec::new(), "");
    moving.motions = figures::motions(run);
    if moving.motions.is_empty() {
        moving.note = unrecorded.to_owned();
    }
    let quiet =
        "The methods of this run have neither attention nor weights of parts, or left no record of them.";
    let mut sections = vec![
        results,
        section(
            "classes",
            "Classes",
            figures::changes(run),
            "There are no answers to count.",
        ),
        section(
            "confusion",
            "Confusion",
            figures::confusions(run),
            "There are no answers to count.",
        ),
        section(
            "stream",
            "Over the stream",
            figures::streams(run),
            "The stream is too short for a curve, or its answers are missing.",
        ),
        section(
            "memory",
            "Memory and anchors",
            figures::memory(run),
            "No adapter of this run keeps a memory or moves anchors over several segments.",
        ),
        section("space", "Features and anchors", space, unrecorded),
        section(
            "attention",
            "Attention and weights",
            attention,
            if run.record.is_some() { quiet } else { unrecorded },
        ),
        moving,
        section(
            "cost",
            "Time and memory",
            figures::cost(run),
            "Nothing was computed in this run.",
        ),
    ];
    sections.retain(|s| !(s.id.ends_with("results") && s.tables.is_empty()));
    let article = Article {
        id,
        name: name.to_owned(),
        marks: banners(run),
        notes: run.notes.clone(),
        facts: facts(run),
        configuration: run.configuration.clone().unwrap_or_default(),
        sections,
    };
    (article, places)
}

fn banners(run: &Run) -> Vec<Banner> {
    let synthetic = run.report.data.synthetic.iter().map(|text| Banner {
        word: "Synthetic data",
        class: "synthetic",
        text: text.clone(),
    });
    let mark = |m: &szar_core::Mark| Banner {
        word: if m.uses_test_labels {
            "Uses test labels"
        } else {
            "Note"
        },
        class: if m.uses_test_labels { "labels" } else { "mark" },
        text: m.text.clone(),
    };
    let mut marks: Vec<Banner> = run.report.marks.iter().map(mark).collect();
    marks.sort_by_key(|m| m.class != "labels");
    marks.into_iter().chain(synthetic).collect()
}

fn facts(run: &Run) -> Vec<[String; 2]> {
    let (report, p, d) = (&run.report, &run.report.provenance, &run.report.data);
    let mut facts: Vec<[String; 2]> = Vec::new();
    let mut add = |name: &str, value: String| facts.push([name.to_owned(), value]);
    add("data", format!("{}, skeleton {}", d.name, d.layout));
    add(
        "split",
        format!(
            "{}: {} seen, {} unseen classes",
            d.split,
            d.seen.len(),
            d.unseen.len()
        ),
    );
    let samples: Vec<String> = d
        .samples
        .iter()
        .map(|(k, v)| format!("{v} {}", k.replace('_', " ")))
        .collect();
    add("samples", samples.join(", "));
    for (role, component) in &p.components {
        add(role, component.clone());
    }
    let percent = |v: Option<f64>| v.map_or_else(|| "-".to_owned(), |v| format!("{v:.1}%"));
    let e = &report.encoder;
    add(
        "seen classes",
        format!(
            "encoder alone: validation {}, test {} (class mean {})",
            percent(e.validation_top1),
            percent(e.test_top1),
            percent(e.test_class_mean)
        ),
    );
    add(
        "parameters",
        format!("encoder {}, aligner {}", e.parameters, report.aligner.parameters),
    );
    add("unseen classes", d.unseen.join(", "));
    add("seed", p.seed.to_string());
    add(
        "computed on",
        format!("{}, {} threads, {}", p.device, p.threads, p.precision),
    );
    add("szar", p.szar.clone());
    add(
        "git",
        p.git.as_deref().map_or_else(|| "no repository".into(), brief),
    );
    add("configuration", brief(&p.config));
    if !p.plugins.is_empty() {
        add("plugins", p.plugins.join("; "));
    }
    facts
}

/// The beginning of a hash; the whole of it stands in the data of the page.
fn brief(hash: &str) -> String {
    hash.chars().take(16).collect()
}

fn comparison(runs: &[Run], names: &[String]) -> (Option<Section>, Option<Curve>, Vec<compare::Against>) {
    if runs.len() < 2 {
        return (None, None, Vec::new());
    }
    let against = compare::against_first(runs);
    let curve = compare::curve(runs);
    let mut tables = vec![tables::runs(runs, names)];
    tables.extend(tables::tests(&against, names));
    let note = match against.is_empty() {
        true => {
            "The runs have no samples in common, or left no answers: there is no test of their difference."
                .to_owned()
        }
        false => String::new(),
    };
    let section = Section {
        id: "comparison".into(),
        title: "Comparison".into(),
        tables,
        figures: curve.as_ref().map(curve_figure).into_iter().collect(),
        motions: Vec::new(),
        note,
    };
    (Some(section), curve, against)
}

fn curve_figure(curve: &Curve) -> Shown {
    let classes = ["before", "after", "s0", "s1"];
    let series = |((name, _), class): (&(&'static str, compare::Measure), &str)| {
        let points = || {
            curve
                .points
                .iter()
                .filter_map(|p| Some((p.value, p.measures.get(name)?)))
        };
        let mut series = Series::new(name, class, points().map(|(x, m)| [x, m[0]]).collect());
        series.spread = points().map(|(_, m)| m[1]).collect();
        (!series.points.is_empty()).then_some(series)
    };
    let title = format!("Results by {}", curve.option);
    let svg = lines(&LineChart {
        title: &title,
        x: &curve.option,
        y: "%",
        percent: true,
        marks: true,
        logarithmic: curve.logarithmic,
        series: compare::MEASURES.iter().zip(classes).filter_map(series).collect(),
    });
    let runs = curve.points.iter().map(|p| p.runs).max().unwrap_or(1);
    let caption = match runs {
        1 => "One run per value.".to_owned(),
        n => format!("Mean of up to {n} runs per value; the lines are one standard deviation to each side."),
    };
    Shown::new("curve", &title, caption, svg)
}

/// What stands in the page as JSON; answers only in segments.
fn data(
    runs: &[Run],
    names: &[String],
    spaces: &[Vec<Space>],
    curve: Option<&Curve>,
    against: &[compare::Against],
) -> Value {
    let one = |(i, run): (usize, &Run)| {
        let streams: Value = run
            .answers
            .iter()
            .map(|(setting, answers)| {
                let value = json!({"samples": answers.all.len(), "segments": answers.segments(),
                    "paired": paired::adaptation(answers)});
                (setting.clone(), value)
            })
            .collect::<serde_json::Map<_, _>>()
            .into();
        json!({"name": names[i], "report": run.report, "streams": streams, "planes": spaces.get(i)})
    };
    json!({
        "szar": env!("CARGO_PKG_VERSION"),
        "runs": runs.iter().enumerate().map(one).collect::<Vec<_>>(),
        "curve": curve,
        "against_first": against,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn json_cannot_end_its_script() {
        let text = inside_script(&json!({"</script><!--": "a & b"}).to_string());
        assert!(!text.contains(['<', '>', '&']));
        let back: Value = serde_json::from_str(&text).unwrap();
        assert_eq!(back["</script><!--"], "a & b");
    }
}
