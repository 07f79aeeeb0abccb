//! Reference pages in Markdown: one a kind of component, and those of the files that szar reads.

use std::fmt::Write;

use szar_core::config::{self, FieldDoc};
use szar_core::registry::{self, ComponentInfo, ComponentKind};
use szar_sweep::grid::Grid;
use szar_sweep::results::measures;
use szar_sweep::tune::Tuning;

use super::word;

/// Every page: the name of its file, and its text.
pub fn all() -> Vec<(String, String)> {
    let mut pages = Vec::from(ComponentKind::ALL.map(|kind| (file(kind), components(kind))));
    pages.push(("pipeline.md".into(), pipeline()));
    pages.push(("grid.md".into(), grid()));
    pages.push(("search.md".into(), search()));
    pages
}

const WRITTEN: &str = "<!-- Written by `szar docs --out docs/src/reference` from the program: change the doc comments, not this page. -->";

fn file(kind: ComponentKind) -> String {
    let s = if kind == ComponentKind::Semantics { "" } else { "s" };
    format!("{}{s}.md", word(kind))
}

/// Heading of a kind's page, and what stands below it.
fn about(kind: ComponentKind) -> (&'static str, &'static str) {
    match kind {
        ComponentKind::Dataset => ("Datasets", "`dataset: {type: ...}`, where skeletons come from."),
        ComponentKind::Preprocessor => (
            "Preprocessors",
            "`preprocess: {type: ...}`, from raw sequences to the encoder's input.",
        ),
        ComponentKind::Encoder => ("Encoders", "`encoder: {type: ...}`, from skeletons to features."),
        ComponentKind::Semantics => (
            "Semantics",
            "`semantics: {type: ...}`, from class names to anchors.",
        ),
        ComponentKind::TextEncoder => (
            "Text encoders",
            "From texts to vectors; a block inside others, `semantics: {type: descriptions, text_encoder: {type: ...}}`.",
        ),
        ComponentKind::Aligner => (
            "Aligners",
            "`aligner: {type: ...}`, how well features and anchors fit.",
        ),
        ComponentKind::Adapter => (
            "Adapters",
            "`adapters: [{type: ...}]`, what changes predictions at test time.",
        ),
        ComponentKind::Augmentation => (
            "Augmentations",
            "Further views of a sample, for the adapters that ask for them.",
        ),
        ComponentKind::Gate => (
            "Gates",
            "`gate: {type: ...}`, whether a sample is of a seen or an unseen class.",
        ),
        ComponentKind::Launcher => (
            "Launchers",
            "`launcher: {type: ...}` of a grid or a search, where its tasks run.",
        ),
    }
}

/// The page of a kind; only what is part of this program, whatever plugins are installed.
fn components(kind: ComponentKind) -> String {
    let (title, text) = about(kind);
    let list = registry::all()
        .into_iter()
        .filter(|c| c.kind == kind && c.origin.is_empty());
    let list: Vec<&ComponentInfo> = list.collect();
    let names: Vec<String> = list.iter().map(|c| format!("[`{0}`](#{0})", c.name)).collect();
    let mut out = format!("# {title}\n\n{WRITTEN}\n\n{text}\n\n{}\n", names.join(" · "));
    for info in list {
        let _ = write!(out, "\n## {}\n\n{}", info.name, cell(info.summary));
        if !info.paper.is_empty() {
            let _ = write!(out, " *{}*", cell(info.paper));
        }
        out.push('\n');
        options(&config::fields(info), &mut out);
    }
    out
}

fn pipeline() -> String {
    let mut out = format!(
        "# A pipeline's fields\n\n{WRITTEN}\n\nThe fields of a pipeline's file that hold no component, and the kinds of component \
         that the others hold. `base` names a file, or a list of files, to build on.\n"
    );
    options(&config::pipeline_fields(), &mut out);
    out
}

fn grid() -> String {
    let mut out = format!(
        "# A grid's fields\n\n{WRITTEN}\n\nThe file that `szar ablate` takes. `NAME` is a name of yours, `[]` an item of a list.\n"
    );
    let schema = schemars::schema_for!(Grid).to_value();
    options(&config::fields_of(&schema, None), &mut out);
    out.push_str(
        "\n## Measures\n\nFor `table.measures`, `expected[].measure`, and the `objective` of a search.\n\n",
    );
    out.push_str("| measure | | better |\n|---|---|---|\n");
    for measure in &measures::ALL {
        let better = match measure.more_is_better {
            Some(true) => "more",
            Some(false) => "less",
            None => "",
        };
        let _ = writeln!(out, "| `{}` | {} | {better} |", measure.name, cell(measure.title));
    }
    out
}

fn search() -> String {
    let mut out = format!(
        "# A search's fields\n\n{WRITTEN}\n\nThe file that `szar tune` takes. `NAME` is a field of the pipeline.\n"
    );
    let schema = schemars::schema_for!(Tuning).to_value();
    options(&config::fields_of(&schema, None), &mut out);
    out
}

fn options(fields: &[FieldDoc], out: &mut String) {
    if fields.is_empty() {
        out.push_str("\nIt has no options.\n");
        return;
    }
    out.push_str("\n| option | takes | default | |\n|---|---|---|---|\n");
    for field in fields {
        let default = match field.default.as_str() {
            _ if field.required && field.name.contains('.') => "needed there".to_owned(),
            _ if field.required => "must be given".to_owned(),
            "" | "not set" => field.default.clone(),
            value => code(value),
        };
        let _ = writeln!(
            out,
            "| {} | {} | {default} | {} |",
            code(&field.name),
            takes(field),
            meaning(field)
        );
    }
}

fn takes(field: &FieldDoc) -> String {
    let words: Vec<String> = field.words.iter().map(|w| code(w)).collect();
    match words.is_empty() {
        true => cell(&field.type_words),
        false => format!("{}: {}", cell(&field.type_words), words.join(", ")),
    }
}

/// What a field is for, and below it what its words mean.
fn meaning(field: &FieldDoc) -> String {
    let mut text = cell(&field.doc);
    for (word, meaning) in field.words.iter().zip(&field.meanings) {
        if !meaning.is_empty() {
            let _ = write!(text, "<br>{}: {}", code(word), cell(meaning));
        }
    }
    text
}

fn code(text: &str) -> String {
    format!("`{}`", text.replace('`', "'").replace('|', "\\|"))
}

/// A text for a cell of a table: outside of code, nothing of it is taken for Markdown or HTML.
fn cell(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    let mut in_code = false;
    for c in text.chars() {
        in_code ^= c == '`';
        match c {
            '|' => out.push_str("\\|"),
            '<' if !in_code => out.push_str("&lt;"),
            '*' | '_' | '[' | ']' if !in_code => out.extend(['\\', c]),
            '\n' => out.push(' '),
            _ => out.push(c),
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_cell_is_one_line_of_plain_text() {
        assert_eq!(
            cell("a|b <c> `x_y <z>` [d]\ne_f"),
            "a\\|b &lt;c> `x_y <z>` \\[d\\] e\\_f"
        );
        assert_eq!(code("a|b"), "`a\\|b`");
    }

    #[test]
    fn every_page_names_what_must_be_given() {
        let pages = all();
        let page = |name: &str| &pages.iter().find(|(n, _)| n == name).expect("a page").1;
        assert!(
            page("pipeline.md").contains("| `aligner` | an aligner: a block with `type` | must be given |")
        );
        assert!(page("grid.md").contains("| `pipeline` | a path | must be given |"));
        assert!(page("search.md").contains("| `space.NAME.from` | a number | needed there |"));
        assert!(page("launchers.md").contains("## slurm\n"));
    }
}
