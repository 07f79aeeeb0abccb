//! Tables as text: for the terminal, as Markdown, as LaTeX.

use std::fmt::Write;

use comfy_table::{CellAlignment, Table as Grid2, presets::UTF8_HORIZONTAL_ONLY};
use szar_runner::table::Spread;

use super::pivot::{Beside, Entry, Table};
use crate::grid::Grid;

/// For reading on a terminal.
pub fn terminal(grid: &Grid, tables: &[Table], beside: &[Beside]) -> String {
    let mut out = heading(grid);
    for table in tables {
        if let Some(title) = &table.title {
            let _ = writeln!(out, "\n{title}");
        }
        let mut page = Grid2::new();
        page.load_style(UTF8_HORIZONTAL_ONLY);
        page.set_header(table.heads.iter().chain(&table.columns));
        for (at, entries) in &table.rows {
            let entries = entries.iter().map(|e| mark(e, &plain(e), ("", " *")));
            page.add_row(at.iter().cloned().chain(entries));
        }
        align(&mut page, table.heads.len());
        let _ = writeln!(out, "{page}");
    }
    if tables
        .iter()
        .any(|t| t.rows.iter().any(|(_, es)| es.iter().any(|e| e.best)))
    {
        out.push_str("* the best\n");
    }
    if !beside.is_empty() {
        let mut page = Grid2::new();
        page.load_style(UTF8_HORIZONTAL_ONLY);
        page.set_header(BESIDE);
        for line in beside {
            page.add_row(line.cells());
        }
        let _ = writeln!(out, "\npublished numbers beside ours\n{page}");
    }
    out
}

fn align(page: &mut Grid2, heads: usize) {
    for column in page.column_iter_mut().skip(heads) {
        column.set_cell_alignment(CellAlignment::Right);
    }
}

fn heading(grid: &Grid) -> String {
    if grid.about.is_empty() {
        format!("{}\n", grid.name)
    } else {
        format!("{}: {}\n", grid.name, grid.about)
    }
}

const BESIDE: [&str; 7] = [
    "source",
    "at",
    "measure",
    "published",
    "ours",
    "difference",
    "note",
];

impl Beside {
    fn cells(&self) -> [String; 7] {
        let difference = self.ours.map(|s| format!("{:+.1}", s.mean - self.published));
        [
            self.source.clone(),
            self.at.clone(),
            self.measure.clone(),
            format!("{:.1}", self.published),
            self.ours.map_or("-".into(), number),
            difference.unwrap_or("-".into()),
            self.note.clone(),
        ]
    }
}

fn number(spread: Spread) -> String {
    match spread.sd {
        Some(sd) => format!("{:.1} ± {sd:.1}", spread.mean),
        None => format!("{:.1}", spread.mean),
    }
}

/// The number, or why there is none.
fn plain(entry: &Entry) -> String {
    let lost = if entry.lost > 0 && entry.spread.is_some() {
        format!(" ({} lost)", entry.lost)
    } else {
        String::new()
    };
    match entry.spread {
        Some(spread) => format!("{}{lost}", number(spread)),
        None if entry.lost > 0 => "×".into(),
        None => "-".into(),
    }
}

fn mark(entry: &Entry, text: &str, (before, after): (&str, &str)) -> String {
    if entry.best {
        format!("{before}{text}{after}")
    } else {
        text.to_owned()
    }
}

/// As Markdown.
pub fn markdown(grid: &Grid, tables: &[Table], beside: &[Beside]) -> String {
    let escape = |text: &str| text.replace('|', "\\|").replace('\n', " ");
    let mut out = format!("# {}\n", escape(&grid.name));
    if !grid.about.is_empty() {
        let _ = writeln!(out, "\n{}", grid.about);
    }
    let mut page = |title: Option<&str>, heads: usize, columns: &[String], rows: Vec<Vec<String>>| {
        if let Some(title) = title {
            let _ = writeln!(out, "\n## {title}");
        }
        let rule = (0..columns.len()).map(|i| if i < heads { "---" } else { "--:" });
        let _ = writeln!(
            out,
            "\n| {} |\n|{}|",
            columns.join(" | "),
            rule.collect::<Vec<_>>().join("|")
        );
        for row in rows {
            let _ = writeln!(out, "| {} |", row.join(" | "));
        }
    };
    for table in tables {
        let columns: Vec<String> = table
            .heads
            .iter()
            .chain(&table.columns)
            .map(|c| escape(c))
            .collect();
        let row = |(at, entries): &(Vec<String>, Vec<Entry>)| {
            let entries = entries.iter().map(|e| mark(e, &plain(e), ("**", "**")));
            at.iter().map(|a| escape(a)).chain(entries).collect()
        };
        page(
            table.title.as_deref(),
            table.heads.len(),
            &columns,
            table.rows.iter().map(row).collect(),
        );
    }
    if !beside.is_empty() {
        let rows = beside
            .iter()
            .map(|b| b.cells().iter().map(|c| escape(c)).collect())
            .collect();
        page(
            Some("Published numbers beside ours"),
            3,
            &BESIDE.map(str::to_owned),
            rows,
        );
    }
    out
}

/// As LaTeX; needs the package `booktabs`.
pub fn latex(grid: &Grid, tables: &[Table], beside: &[Beside]) -> String {
    let mut out = String::from("% needs \\usepackage{booktabs}\n");
    for table in tables {
        let columns: Vec<String> = table.heads.iter().chain(&table.columns).map(|c| tex(c)).collect();
        let row = |(at, entries): &(Vec<String>, Vec<Entry>)| -> Vec<String> {
            let entries = entries
                .iter()
                .map(|e| mark(e, &tex(&plain(e)), ("\\textbf{", "}")));
            at.iter().map(|a| tex(a)).chain(entries).collect()
        };
        let caption = match &table.title {
            Some(title) => format!("{}: {title}", grid.name),
            None => grid.name.clone(),
        };
        environment(
            &mut out,
            &caption,
            table.heads.len(),
            &columns,
            &table.rows.iter().map(row).collect::<Vec<_>>(),
        );
    }
    if !beside.is_empty() {
        let rows: Vec<Vec<String>> = beside
            .iter()
            .map(|b| b.cells().iter().map(|c| tex(c)).collect())
            .collect();
        let caption = format!("{}: published numbers beside ours", grid.name);
        environment(&mut out, &caption, 3, &BESIDE.map(str::to_owned), &rows);
    }
    out
}

fn environment(out: &mut String, caption: &str, heads: usize, columns: &[String], rows: &[Vec<String>]) {
    let form: String = (0..columns.len())
        .map(|i| if i < heads { 'l' } else { 'r' })
        .collect();
    let _ = writeln!(
        out,
        "\\begin{{table}}\n\\centering\n\\caption{{{}}}\n\\begin{{tabular}}{{{form}}}\n\\toprule",
        tex(caption)
    );
    let _ = writeln!(out, "{} \\\\\n\\midrule", columns.join(" & "));
    for row in rows {
        let _ = writeln!(out, "{} \\\\", row.join(" & "));
    }
    out.push_str("\\bottomrule\n\\end{tabular}\n\\end{table}\n");
}

/// A text in LaTeX's own words.
fn tex(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for c in text.chars() {
        match c {
            '&' | '%' | '$' | '#' | '_' | '{' | '}' => {
                out.push('\\');
                out.push(c);
            }
            '\\' => out.push_str("\\textbackslash{}"),
            '~' => out.push_str("\\textasciitilde{}"),
            '^' => out.push_str("\\textasciicircum{}"),
            '±' => out.push_str("$\\pm$"),
            '×' => out.push_str("$\\times$"),
            '\n' => out.push(' '),
            other => out.push(other),
        }
    }
    out
}
