//! What adaptation does to each class.

use super::{Shown, setting_name};
use crate::answers::Confusion;
use crate::plot::{Heat, Row, dumbbells, heat};
use crate::run::Run;

/// Classes that a figure shows.
const MOST: usize = 40;
/// Classes above which a table of them takes the whole width.
const WIDE: usize = 16;

/// Recall of every class before and after, those that change most first.
pub fn changes(run: &Run) -> Vec<Shown> {
    let figure = |(setting, confusion): (&str, Confusion)| {
        let samples = confusion.samples();
        let recall = confusion.recall();
        let row = |c: usize| {
            Some(Row {
                name: confusion.names[c].clone(),
                note: format!("{} samples", samples[c]),
                values: recall[c]?,
            })
        };
        let mut rows: Vec<Row> = (0..recall.len()).filter_map(row).collect();
        let change = |r: &Row| r.values[1] - r.values[0];
        rows.sort_by(|a, b| {
            change(b)
                .total_cmp(&change(a))
                .then(b.values[1].total_cmp(&a.values[1]))
        });
        let all = rows.len();
        let mut caption = "Share of right samples of each class, before and after adaptation; the change in points at the right.".to_owned();
        if all > MOST {
            let change = |r: &Row| (r.values[1] - r.values[0]).abs();
            let mut sizes: Vec<f64> = rows.iter().map(change).collect();
            sizes.sort_by(|a, b| b.total_cmp(a));
            let least = sizes[MOST - 1];
            rows.retain(|r| change(r) >= least);
            rows.truncate(MOST);
            caption = format!("{caption} The {} of {all} classes that change most.", rows.len());
        }
        let title = format!("Classes, {}", setting_name(setting));
        let svg = dumbbells(&title, &rows, "recall, %");
        Shown::new(&format!("classes-{setting}"), &title, caption, svg)
    };
    settings(run).into_iter().map(figure).collect()
}

/// True class against answer, before and after.
pub fn confusions(run: &Run) -> Vec<Shown> {
    let mut shown = Vec::new();
    for (setting, confusion) in settings(run) {
        let all = confusion.names.len();
        let part = confusion.hardest(MOST);
        let adapted = part.counts[0] != part.counts[1];
        for (side, word) in ["before", "after"]
            .into_iter()
            .enumerate()
            .take(1 + usize::from(adapted))
        {
            let samples: Vec<u64> = (0..part.names.len())
                .map(|r| part.counts[side][r].iter().sum())
                .collect();
            let share = |r: usize, c: usize| part.counts[side][r][c] as f64 / samples[r].max(1) as f64;
            let shade = |r: usize, c: usize| (samples[r] > 0).then(|| share(r, c));
            let tell = |r: usize, c: usize| {
                let count = part.counts[side][r][c];
                let percent = 100.0 * share(r, c);
                let tip = format!(
                    "{} taken for {}: {count} ({percent:.0}%)",
                    part.names[r], part.names[c]
                );
                (
                    if count > 0 {
                        format!("{percent:.0}")
                    } else {
                        String::new()
                    },
                    tip,
                )
            };
            let title = format!("Confusion {word} adaptation, {}", setting_name(setting));
            let svg = heat(&Heat {
                title: &title,
                rows: &part.names,
                columns: &part.names,
                axes: ["answer", "truth"],
                shade: &shade,
                tell: &tell,
                count: 0,
                diagonal: true,
            });
            let mut caption = "Percent of the samples of a true class (row) by answer (column).".to_owned();
            if all > part.names.len() {
                caption = format!(
                    "{caption} The {} of {all} classes with the most mistakes; percent of what falls among them.",
                    part.names.len()
                );
            }
            let figure = Shown::new(&format!("confusion-{setting}-{word}"), &title, caption, svg);
            shown.push(if part.names.len() > WIDE {
                figure.wide()
            } else {
                figure
            });
        }
    }
    shown
}

/// Counts of each setting; where there are no answers sample by sample, those of the report.
fn settings(run: &Run) -> Vec<(&'static str, Confusion)> {
    let mut all = Vec::new();
    match (&run.report.zsl, run.answers.get("zsl")) {
        (Some(zsl), _) => {
            let after = zsl.after.as_ref().unwrap_or(&zsl.before);
            all.push((
                "zsl",
                Confusion {
                    names: run.report.data.unseen.clone(),
                    counts: [
                        zsl.before.confusion.counts.clone(),
                        after.confusion.counts.clone(),
                    ],
                },
            ));
        }
        (None, Some(answers)) => all.push(("zsl", answers.confusion())),
        (None, None) => {}
    }
    if let Some(answers) = run.answers.get("gzsl") {
        all.push(("gzsl", answers.confusion()));
    }
    all.retain(|(_, c)| !c.names.is_empty() && c.counts.iter().all(|m| m.len() == c.names.len()));
    all
}
