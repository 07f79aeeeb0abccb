//! The report as a page for the terminal.

use std::fmt::Write;

use comfy_table::{CellAlignment, Table, presets::UTF8_HORIZONTAL_ONLY};

use crate::metrics::SeenUnseen;
use crate::report::{AdapterReport, Generalised, GzslReport, Report, Segment, ZslReport};

/// A readable summary; plain text, no colours.
pub fn text(report: &Report) -> String {
    let mut out = String::new();
    let p = &report.provenance;
    let _ = writeln!(
        out,
        "{}  (seed {}, {}, {} threads, {})",
        report.name, p.seed, p.device, p.threads, p.precision
    );
    if let Some(sentence) = &report.data.synthetic {
        let _ = writeln!(out, "SYNTHETIC DATA: {sentence}");
    }
    for mark in &report.marks {
        let word = if mark.uses_test_labels {
            "TEST LABELS USED"
        } else {
            "NOTE"
        };
        let _ = writeln!(out, "{word}: {}", mark.text);
    }
    let d = &report.data;
    let counts: Vec<String> = d
        .samples
        .iter()
        .map(|(k, v)| format!("{v} {}", k.replace('_', " ")))
        .collect();
    let _ = writeln!(
        out,
        "data      {}, split {}: {} seen, {} unseen classes",
        d.name,
        d.split,
        d.seen.len(),
        d.unseen.len()
    );
    let _ = writeln!(out, "          {}", counts.join(", "));
    let e = &report.encoder;
    let _ = writeln!(
        out,
        "encoder   {}, {} parameters; seen classes: validation {}, test {} (class mean {})",
        p.components.get("encoder").map_or("?", String::as_str),
        e.parameters,
        percent(e.validation_top1),
        percent(e.test_top1),
        percent(e.test_class_mean)
    );
    let _ = writeln!(
        out,
        "aligner   {}, {} parameters{}",
        p.components.get("aligner").map_or("?", String::as_str),
        report.aligner.parameters,
        chosen(report)
    );
    if let Some(zsl) = &report.zsl {
        zsl_table(&mut out, zsl);
    }
    if let Some(gzsl) = &report.gzsl {
        gzsl_table(&mut out, gzsl);
    }
    performance(&mut out, report);
    out
}

fn percent(value: Option<f64>) -> String {
    value.map_or_else(|| "-".into(), |v| format!("{v:.1}%"))
}

fn chosen(report: &Report) -> String {
    let Some(fit) = &report.aligner.fit else {
        return String::new();
    };
    let constants: Vec<String> = fit.chosen.iter().map(|(k, v)| format!("{k} {v}")).collect();
    if constants.is_empty() {
        String::new()
    } else {
        format!("; chosen: {}", constants.join(", "))
    }
}

fn table(header: &[&str]) -> Table {
    let mut table = Table::new();
    table.load_style(UTF8_HORIZONTAL_ONLY);
    table.set_header(header.to_vec());
    table
}

fn zsl_table(out: &mut String, zsl: &ZslReport) {
    let mut rows = table(&["zero-shot, %", "class mean", "top-1", "most predicted class"]);
    let mut add = |name: String, class_mean: f64, top1: f64, share: String| {
        rows.add_row([name, format!("{class_mean:.1}"), format!("{top1:.1}"), share]);
    };
    let largest = |shares: &std::collections::BTreeMap<String, f64>| {
        let most = shares.iter().max_by(|a, b| a.1.total_cmp(b.1));
        most.map_or_else(String::new, |(name, share)| format!("{name} {share:.0}%"))
    };
    add("chance".into(), zsl.chance, zsl.chance, String::new());
    add(
        "always the largest class".into(),
        zsl.chance,
        zsl.largest_class,
        String::new(),
    );
    let before = &zsl.before;
    add(
        "before adaptation".into(),
        before.class_mean,
        before.top1,
        largest(&before.prediction_share),
    );
    if let Some(after) = &zsl.after {
        add(
            format!("after {}", chain(&zsl.adapters)),
            after.class_mean,
            after.top1,
            largest(&after.prediction_share),
        );
    }
    align(&mut rows, 1..3);
    let _ = writeln!(out, "\n{rows}");
    adapters(out, &zsl.adapters);
}

fn gzsl_table(out: &mut String, gzsl: &GzslReport) {
    let mut rows = table(&[
        "generalised, %",
        "seen",
        "unseen",
        "harmonic",
        "class mean: seen",
        "unseen",
        "harmonic",
    ]);
    let mut add = |name: String, g: &Generalised| {
        let cells = |s: &SeenUnseen| [s.seen, s.unseen, s.harmonic_mean].map(|v| format!("{v:.1}"));
        let mut row = vec![name];
        row.extend(cells(&g.top1));
        row.extend(cells(&g.class_mean));
        rows.add_row(row);
    };
    add("no gate".into(), &gzsl.ungated);
    add("before adaptation".into(), &gzsl.before);
    if let Some(after) = &gzsl.after {
        add(format!("after {}", chain(&gzsl.adapters)), after);
    }
    align(&mut rows, 1..7);
    let mut facts: Vec<String> = gzsl.gate.iter().map(|(k, v)| format!("{k} {v:.4}")).collect();
    facts.push(format!("AUC {:.1}%", gzsl.gate_auc));
    let _ = writeln!(out, "\n{rows}");
    let [seen, unseen] = gzsl.taken_for_seen;
    let _ = writeln!(
        out,
        "gate      {}; takes {seen:.0}% of seen and {unseen:.0}% of unseen samples for seen",
        facts.join(", ")
    );
    if let Some(held) = &gzsl.held_out {
        let encoder = if held.encoder_retrained {
            "encoder and aligner trained without them"
        } else {
            "aligner trained without them, the encoder knows them"
        };
        let _ = writeln!(
            out,
            "          fitted with {} seen classes held out ({encoder}): {}",
            held.classes.len(),
            held.classes.join(", ")
        );
    }
    adapters(out, &gzsl.adapters);
}

fn align(table: &mut Table, columns: std::ops::Range<usize>) {
    for column in columns {
        if let Some(column) = table.column_mut(column) {
            column.set_cell_alignment(CellAlignment::Right);
        }
    }
}

fn chain(adapters: &[AdapterReport]) -> String {
    adapters
        .iter()
        .map(|a| a.component.as_str())
        .collect::<Vec<_>>()
        .join(" + ")
}

fn adapters(out: &mut String, list: &[AdapterReport]) {
    for adapter in list {
        let _ = write!(
            out,
            "{}: {:.1} KiB of state",
            adapter.component,
            adapter.state_bytes as f64 / 1024.0
        );
        if let Some(occupancy) = adapter.diagnostics.get("occupancy") {
            let cells: Vec<String> = occupancy.iter().take(24).map(|v| format!("{v:.0}")).collect();
            let more = if occupancy.len() > 24 { " ..." } else { "" };
            let _ = write!(out, "; entries per class {}{more}", cells.join(" "));
        }
        let again = "; scored the stream a second time";
        let _ = writeln!(out, "{}", if adapter.second_pass { again } else { "" });
        if let Some(line) = course(adapter) {
            let _ = writeln!(out, "  {line}");
        }
    }
}

/// How the adapter fared along its stream, in one line.
fn course(adapter: &AdapterReport) -> Option<String> {
    let (first, last) = (adapter.course.first()?, adapter.course.last()?);
    let ends = |k: fn(&Segment) -> [f64; 2], unit: &str| {
        let side = |s: &Segment| format!("{:.2} -> {:.2}{unit}", k(s)[0], k(s)[1]);
        format!("{} at first, {} at last", side(first), side(last))
    };
    let mut parts = vec![
        format!("entropy {}", ends(|s| s.entropy, "")),
        format!("top-1 {}", ends(|s| s.top1, "%")),
    ];
    let held: usize = last.occupancy.iter().sum();
    let right = |(n, purity): (&usize, &Option<f64>)| *n as f64 * purity.unwrap_or(0.0);
    if held > 0 {
        let right: f64 = last.occupancy.iter().zip(&last.purity).map(right).sum();
        parts.push(format!(
            "{:.0}% of {held} entries are of their class",
            right / held as f64
        ));
    }
    if let Some(drift) = last.drift {
        parts.push(format!(
            "anchors moved by {:.3}, at most {:.3}",
            drift.mean, drift.max
        ));
    }
    if !adapter.skipped.is_empty() {
        parts.push(format!("{} samples skipped, not finite", adapter.skipped.len()));
    }
    Some(parts.join("; "))
}

fn performance(out: &mut String, report: &Report) {
    let mut rows = table(&["stage", "seconds", "samples/s", "peak memory, MiB"]);
    for stage in &report.performance {
        let rate = if stage.reused {
            "reused".to_owned()
        } else if stage.samples_per_second > 0.0 {
            format!("{:.0}", stage.samples_per_second)
        } else {
            String::new()
        };
        rows.add_row([
            stage.name.clone(),
            format!("{:.2}", stage.seconds),
            rate,
            format!("{:.0}", stage.peak_memory_mib),
        ]);
    }
    align(&mut rows, 1..4);
    let _ = writeln!(out, "\n{rows}");
}
