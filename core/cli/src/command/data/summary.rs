//! An inspection as a page for the terminal.

use std::fmt::Write;

use comfy_table::{CellAlignment, Table, presets::UTF8_HORIZONTAL_ONLY};
use szar_data::inspect::{ClassCount, Counts, Flaw, FlawedSequence, Inspection, Range, Spread};

/// Names that are shown of a long list.
const SHOWN: usize = 5;

/// A readable summary; plain text, no colours.
pub fn text(found: &Inspection) -> String {
    let mut out = String::new();
    let layout = &found.layout;
    let _ = writeln!(
        out,
        "{}  ({}: {} joints, {} bones; {} at most)",
        found.name,
        layout.name,
        layout.joints,
        layout.bones,
        count(found.persons, "person")
    );
    if let Some(sentence) = &found.synthetic {
        let _ = writeln!(out, "SYNTHETIC DATA: {sentence}");
    }
    for (name, value) in lines(found) {
        let _ = writeln!(out, "{name:<18}{value}");
    }
    let _ = writeln!(out, "\n{}", classes(found));
    problems(&mut out, found);
    out
}

fn count(number: usize, what: &str) -> String {
    format!("{number} {what}{}", if number == 1 { "" } else { "s" })
}

fn lines(found: &Inspection) -> Vec<(&'static str, String)> {
    let mut lines = vec![
        ("sequences", sequences(&found.sequences)),
        ("subjects", subjects(found)),
    ];
    let spread = |s: &Spread, digits: usize| {
        let Spread {
            min,
            median,
            mean,
            max,
        } = s;
        format!("{min:.digits$} to {max:.digits$}, median {median:.digits$}, mean {mean:.1}")
    };
    if let Some(frames) = &found.frames {
        lines.push(("frames", spread(frames, 0)));
    }
    if let Some(seconds) = &found.seconds {
        let rate = found
            .fps
            .map_or_else(String::new, |fps| match fps.min == fps.max {
                true => format!(" ({} frames per second)", fps.min),
                false => format!(" ({} to {} frames per second)", fps.min, fps.max),
            });
        lines.push(("seconds", spread(seconds, 1) + &rate));
    }
    let seen = found.persons_seen.iter();
    let seen: Vec<String> = seen
        .map(|(persons, n)| format!("{persons} in {}", count(*n, "sequence")))
        .collect();
    lines.push(("persons seen", seen.join(", ")));
    if let Some(ranges) = found.ranges {
        let range = |Range { min, max }: Range| format!("{min:.2} to {max:.2} m");
        let axes = ["x (right)", "y (up)", "z (depth)"];
        lines.extend(axes.into_iter().zip(ranges.map(range)));
    }
    let percent = |share: f64| format!("{:.1}%", share * 100.0);
    lines.push(("empty frames", percent(found.empty_frames)));
    lines.push(("untracked joints", percent(found.untracked_joints)));
    lines
}

fn sequences(counts: &Counts) -> String {
    let roles = [
        (counts.train, "train"),
        (counts.test, "test"),
        (counts.outside, "outside the protocol"),
        (counts.unusable, "unusable"),
    ];
    let some = roles.iter().filter(|(n, _)| *n > 0);
    let some: Vec<String> = some.map(|(n, role)| format!("{n} {role}")).collect();
    format!("{}: {}", counts.total(), some.join(", "))
}

fn subjects(found: &Inspection) -> String {
    let subjects = &found.subjects;
    let mut text = subjects.count.to_string();
    if !subjects.in_train_and_test.is_empty() {
        let _ = write!(
            text,
            ", {} both in train and test",
            subjects.in_train_and_test.len()
        );
    }
    if subjects.unknown > 0 {
        let _ = write!(text, ", unknown for {}", count(subjects.unknown, "sequence"));
    }
    text
}

fn classes(found: &Inspection) -> Table {
    let mut table = Table::new();
    table.load_style(UTF8_HORIZONTAL_ONLY);
    table.set_header(["", "class", "train", "test", "outside", "unusable"]);
    for ClassCount { id, name, counts } in &found.classes {
        let numbers = [counts.train, counts.test, counts.outside, counts.unusable];
        let numbers = numbers.map(|n| if n == 0 { "-".to_owned() } else { n.to_string() });
        table.add_row([id.to_string(), name.clone()].into_iter().chain(numbers));
    }
    align(&mut table, &[0, 2, 3, 4, 5]);
    table
}

fn align(table: &mut Table, columns: &[usize]) {
    for column in columns {
        if let Some(column) = table.column_mut(*column) {
            column.set_cell_alignment(CellAlignment::Right);
        }
    }
}

fn problems(out: &mut String, found: &Inspection) {
    if found.is_clean() {
        let _ = writeln!(out, "no problem found");
        return;
    }
    if !found.flawed.is_empty() {
        let _ = writeln!(out, "{}", flaws(found));
    }
    if !found.duplicates.is_empty() {
        duplicates(out, found);
    }
    if !found.classes_without_sequence.is_empty() {
        let names = some(&found.classes_without_sequence);
        let _ = writeln!(out, "no usable sequence: {names}");
    }
    if let Some(i) = &found.imbalance {
        let _ = writeln!(
            out,
            "unbalanced: {:.0} times as many of `{}` ({}) as of `{}` ({})",
            i.ratio, i.largest, i.largest_sequences, i.smallest, i.smallest_sequences
        );
    }
    let _ = writeln!(out, "--json names every sequence");
}

/// A row for each kind of flaw, the worst sequence as an example.
fn flaws(found: &Inspection) -> Table {
    let mut kinds: Vec<(&str, Vec<(&FlawedSequence, &Flaw)>)> = Vec::new();
    for sequence in &found.flawed {
        for flaw in &sequence.flaws {
            match kinds.iter_mut().find(|(title, _)| *title == flaw.title()) {
                Some((_, list)) => list.push((sequence, flaw)),
                None => kinds.push((flaw.title(), vec![(sequence, flaw)])),
            }
        }
    }
    kinds.sort_by_key(|(title, _)| *title);
    let mut table = Table::new();
    table.load_style(UTF8_HORIZONTAL_ONLY);
    table.set_header(["problem", "sequences", "unusable anyway", "worst", ""]);
    for (title, list) in kinds {
        let unusable = list.iter().filter(|(sequence, _)| !sequence.usable).count();
        let worst = list
            .iter()
            .rev()
            .max_by(|a, b| a.1.severity().total_cmp(&b.1.severity()));
        let (name, how) = worst.map_or_else(Default::default, |(s, flaw)| (s.name.clone(), flaw.to_string()));
        table.add_row([
            title.to_owned(),
            list.len().to_string(),
            unusable.to_string(),
            name,
            how,
        ]);
    }
    align(&mut table, &[1, 2]);
    table
}

fn duplicates(out: &mut String, found: &Inspection) {
    let groups = &found.duplicates;
    let copies: usize = groups.iter().map(|g| g.sequences.len() - 1).sum();
    let _ = write!(
        out,
        "equal values: {} of others",
        count(copies, "copy").replace("copys", "copies")
    );
    let across = groups.iter().filter(|g| g.in_train_and_test).count();
    let classes = groups.iter().filter(|g| g.classes.len() > 1).count();
    for (n, what) in [
        (across, "between train and test"),
        (classes, "under different classes"),
    ] {
        if n > 0 {
            let _ = write!(out, ", {n} {what}");
        }
    }
    if let Some(first) = groups.first() {
        let _ = writeln!(out, "; {}", some(&first.sequences));
    }
}

fn some(names: &[String]) -> String {
    let shown: Vec<&str> = names.iter().take(SHOWN).map(String::as_str).collect();
    let rest = names.len().saturating_sub(SHOWN);
    let rest = if rest > 0 {
        format!(" and {rest} more")
    } else {
        String::new()
    };
    shown.join(", ") + &rest
}

#[cfg(test)]
mod tests {
    use super::*;
    use szar_core::Cancel;
    use szar_core::progress::Silent;
    use szar_data::inspect::Duplicates;

    #[test]
    fn the_page_names_what_is_wrong() {
        let (dataset, _) = super::super::open("{type: procedural, samples_per_class: 6}", &[]).unwrap();
        let mut found = Inspection::of(dataset.as_ref(), &Silent, &Cancel::default()).unwrap();
        let clean = text(&found);
        assert!(clean.contains("ntu25: 25 joints, 24 bones"), "{clean}");
        assert!(
            clean.contains("180: 120 train, 60 test") && clean.contains("SYNTHETIC DATA"),
            "{clean}"
        );
        assert!(clean.contains("no problem found"), "{clean}");
        let flawed = |name: &str, metres| FlawedSequence {
            number: 0,
            name: name.into(),
            class: "wave".into(),
            usable: name != "b",
            flaws: vec![Flaw::Far { joints: 3, metres }],
        };
        found.flawed = vec![flawed("a", 30.0), flawed("b", 900.0)];
        found.duplicates = vec![Duplicates {
            sequences: vec!["c".into(), "d".into()],
            classes: vec!["wave".into()],
            in_train_and_test: true,
        }];
        let page = text(&found);
        let row = page.lines().find(|l| l.contains("far from the origin")).unwrap();
        let words: Vec<&str> = row.split_whitespace().collect();
        assert_eq!(words[4..8], ["2", "1", "b", "3"], "{row}");
        assert!(row.contains("up to 900 m"), "{row}");
        assert!(
            page.contains("1 copy of others, 1 between train and test; c, d"),
            "{page}"
        );
    }
}
