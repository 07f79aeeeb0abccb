//! The docs say what is so: their commands are understood and, where that needs no data, run; their files are sound; their
//! links lead somewhere; the reference is what the program writes.

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};

use serde_json::Value;
use szar_tests::root;

use crate::szar;

/// Commands of `./x` itself; the others are the program's.
const OF_X: [&str; 5] = ["setup", "test", "bench", "model", "docs"];

/// Commands that are run as they stand; they need no data and leave nothing.
const RUN: [&str; 5] = ["check", "list", "describe", "matrix", "doctor"];

/// Files of the reader's: commands that name them are parsed and not run.
const OF_THE_READER: [(&str, &str); 3] = [
    (
        "study.yaml",
        "a grid that the page shows, checked as a block of YAML",
    ),
    (
        "three.yaml",
        "a grid that the page shows, checked as a block of YAML",
    ),
    (
        "target/release/libdemo.so",
        "built by the commands before it; tests of plugins build their own",
    ),
];

/// Where a command ends and the shell's own words begin.
const SHELL: [&str; 6] = ["|", ">", "2>", "&&", ";", "&"];

/// Every page of Markdown for users.
fn pages() -> Vec<PathBuf> {
    let fixed = ["README.md", "plugins/README.md", "configs/papers/README.md"].map(|p| root().join(p));
    let mut list: Vec<PathBuf> = fixed.into_iter().filter(|p| p.is_file()).collect();
    below(&root().join("docs/src"), &mut list);
    list.retain(|p| p.extension().is_some_and(|e| e == "md"));
    list.sort();
    list
}

fn below(folder: &Path, list: &mut Vec<PathBuf>) {
    for entry in fs::read_dir(folder).expect("a folder").flatten() {
        match entry.path() {
            path if path.is_dir() => below(&path, list),
            path => list.push(path),
        }
    }
}

/// Blocks of a language, `sh` or `yaml`, with the page they stand on.
fn blocks(language: &str) -> Vec<(PathBuf, String)> {
    let mut found = Vec::new();
    for page in pages() {
        let text = fs::read_to_string(&page).expect("a page");
        let mut fenced: Option<(bool, String)> = None;
        for line in text.lines() {
            match (&mut fenced, line.strip_prefix("```")) {
                (None, Some(word)) => fenced = Some((word == language, String::new())),
                (None, None) => {}
                (Some(_), Some(_)) => {
                    let (ours, block) = fenced.take().unwrap_or_default();
                    found.extend(ours.then_some((page.clone(), block)));
                }
                (Some((_, block)), None) => *block += &format!("{line}\n"),
            }
        }
        assert!(fenced.is_none(), "{}: a block that does not end", page.display());
    }
    found
}

/// The words of every command of szar in the docs, without those before and after it; each once, with its page.
fn commands() -> Vec<(PathBuf, Vec<String>)> {
    let mut seen = BTreeSet::new();
    let mut found = Vec::new();
    for (page, block) in blocks("sh") {
        for line in block.replace("\\\n", " ").lines() {
            let Some(words) = shlex::split(line) else {
                panic!("{}: `{line}` is no command", page.display())
            };
            let variable = |w: &String| {
                w.split_once('=')
                    .is_some_and(|(name, _)| name.chars().all(|c| c.is_ascii_uppercase() || c == '_'))
            };
            let words = words.into_iter().skip_while(variable);
            let words: Vec<String> = words.take_while(|w| !SHELL.contains(&w.as_str())).collect();
            if words.first().is_some_and(|w| w == "./x" || w == "szar") && seen.insert(words.clone()) {
                found.push((page.clone(), words));
            }
        }
    }
    found
}

/// Arguments as the shell gives them: `configs/*.yaml` is all of these files.
fn arguments(words: &[String]) -> Vec<String> {
    let mut list = Vec::new();
    for word in words {
        match word.split_once("/*") {
            Some((folder, ending)) if root().join(folder).is_dir() => {
                let entries = fs::read_dir(root().join(folder)).expect("a folder").flatten();
                let names = entries.map(|e| e.file_name().to_string_lossy().into_owned());
                let mut files: Vec<String> = names
                    .filter(|n| n.ends_with(ending))
                    .map(|n| format!("{folder}/{n}"))
                    .collect();
                files.sort();
                list.append(&mut files);
            }
            _ => list.push(word.clone()),
        }
    }
    list
}

#[test]
fn every_command_in_the_docs_is_understood_and_run_where_it_needs_no_data() {
    let script = fs::read_to_string(root().join("x")).expect("x");
    let all = commands();
    assert!(all.len() > 40, "the docs name {} commands", all.len());
    for (page, words) in all {
        let (line, page) = (words.join(" "), page.display());
        for file in words
            .iter()
            .filter(|w| w.starts_with("configs/") && !w.contains('*'))
        {
            assert!(root().join(file).exists(), "{page}: `{line}`: there is no {file}");
        }
        let name = words.get(1).map_or("", String::as_str);
        if words[0] == "./x" && OF_X.contains(&name) {
            assert!(
                script.contains(&format!("\n  {name}) ")),
                "{page}: `{line}`: x has no such command"
            );
            continue;
        }
        let given = arguments(&words[1..]);
        let program = ["szar".to_owned()].into_iter();
        if let Err(why) = szar_cli::parses(program.chain(given.iter().cloned())) {
            panic!("{page}: `{line}`: {why}");
        }
        let theirs = given
            .iter()
            .any(|w| OF_THE_READER.iter().any(|(file, _)| w == file));
        let dry = name == "ablate" && given.iter().any(|w| w == "--dry-run");
        if (RUN.contains(&name) || dry) && !theirs {
            let output = szar().args(&given).output().expect("it runs");
            let said = String::from_utf8_lossy(&output.stderr);
            assert!(output.status.success(), "{page}: `{line}`: {said}");
        }
    }
}

#[test]
fn the_list_of_files_of_the_reader_is_not_longer_than_it_must_be() {
    let all = commands();
    for (file, why) in OF_THE_READER {
        let named = all.iter().any(|(_, words)| words.iter().any(|w| w == file));
        assert!(named && !root().join(file).exists(), "{file} ({why})");
    }
}

#[test]
fn scripts_that_the_docs_name_are_there() {
    for (page, block) in blocks("sh") {
        for word in block.lines().filter_map(|line| line.split_whitespace().next()) {
            let script = word.starts_with("configs/");
            assert!(
                !script || root().join(word).is_file(),
                "{}: there is no {word}",
                page.display()
            );
        }
    }
}

/// A block as a file of a folder elsewhere; what it says of `configs/` is ours.
fn file(folder: &Path, block: &str) -> PathBuf {
    let path = folder.join("block.yaml");
    let ours = format!("{}/configs/", root().display());
    fs::write(&path, block.replace("configs/", &ours)).expect("written");
    path
}

#[test]
fn pipelines_grids_and_searches_in_the_docs_are_sound() {
    let folder = tempfile::tempdir().expect("a folder");
    let mut kinds = [0, 0, 0];
    for (page, block) in blocks("yaml") {
        let page = page.display();
        let value: Value = serde_yaml::from_str(&block).unwrap_or_else(|e| panic!("{page}: {e}\n{block}"));
        let has = |key: &str| value.get(key).is_some();
        let path = file(folder.path(), &block);
        if has("axes") {
            kinds[0] += 1;
            szar().args(["ablate", "--dry-run"]).arg(path).assert().success();
        } else if has("space") {
            kinds[1] += 1;
            let read = szar_sweep::tune::Tuner::read(&path, &[], &[], &|_| Ok(()));
            assert!(read.is_ok(), "{page}: {read:?}\n{block}");
        } else if has("base")
            || ["dataset", "encoder", "semantics", "aligner"]
                .into_iter()
                .all(has)
        {
            kinds[2] += 1;
            szar().arg("check").arg(path).assert().success();
        }
    }
    assert!(kinds.iter().all(|n| *n > 0), "{kinds:?}");
}

/// Targets of the links on a page, outside of blocks of code.
fn links(text: &str) -> Vec<String> {
    let mut fenced = false;
    let mut list = Vec::new();
    for line in text.lines() {
        if line.starts_with("```") {
            fenced = !fenced;
        }
        if !fenced {
            let ends = line.split("](").skip(1).filter_map(|rest| rest.split(')').next());
            list.extend(ends.map(str::to_owned));
        }
    }
    list
}

#[test]
fn every_link_leads_somewhere() {
    for page in pages() {
        let text = fs::read_to_string(&page).expect("a page");
        for link in links(&text) {
            if link.starts_with("https://") || link.starts_with('#') {
                continue;
            }
            let target = link.split('#').next().unwrap_or_default();
            let found = page.parent().is_some_and(|folder| folder.join(target).exists());
            assert!(found, "{}: {link}", page.display());
        }
    }
}

#[test]
fn every_page_of_the_book_is_in_its_summary() {
    let source = root().join("docs/src");
    let summary = fs::read_to_string(source.join("SUMMARY.md")).expect("the summary");
    let listed: BTreeSet<String> = links(&summary).into_iter().collect();
    let mut pages = Vec::new();
    below(&source, &mut pages);
    let names = pages
        .iter()
        .filter_map(|p| p.strip_prefix(&source).ok())
        .map(|p| p.display().to_string());
    let there: BTreeSet<String> = names
        .filter(|n| n.ends_with(".md") && n != "SUMMARY.md")
        .collect();
    assert_eq!(listed, there);
}

#[test]
fn the_reference_is_what_the_program_writes() {
    let folder = tempfile::tempdir().expect("a folder");
    szar()
        .args(["docs", "--out"])
        .arg(folder.path())
        .assert()
        .success();
    let committed = root().join("docs/src/reference");
    let text = |folder: &Path, name: &str| fs::read_to_string(folder.join(name)).unwrap_or_default();
    let mut names = BTreeSet::new();
    for folder in [folder.path(), &committed] {
        let entries = fs::read_dir(folder).into_iter().flatten().flatten();
        names.extend(entries.map(|e| e.file_name().to_string_lossy().into_owned()));
    }
    let old: Vec<&String> = names
        .iter()
        .filter(|n| text(folder.path(), n) != text(&committed, n))
        .collect();
    assert!(
        old.is_empty(),
        "{old:?} in docs/src/reference are not what the program says of itself: write them anew with `./x docs` (or \
         `target/debug/szar docs --out docs/src/reference`) and commit them"
    );
}

#[test]
fn the_schema_takes_every_shipped_pipeline_and_refuses_a_mistake() {
    let folder = tempfile::tempdir().expect("a folder");
    let path = folder.path().join("schema.json");
    szar().args(["docs", "--schema"]).arg(&path).assert().success();
    let schema: Value = serde_json::from_str(&fs::read_to_string(&path).expect("a schema")).expect("JSON");
    let validator = jsonschema::validator_for(&schema).expect("a sound schema");
    let mut shipped = Vec::new();
    for folder in ["", "adapters", "aligners", "encoders"] {
        let entries = fs::read_dir(root().join("configs").join(folder)).expect("configurations");
        shipped.extend(
            entries
                .flatten()
                .map(|e| e.path())
                .filter(|p| p.extension().is_some_and(|e| e == "yaml")),
        );
    }
    assert!(shipped.len() > 40);
    for path in shipped {
        let text = fs::read_to_string(&path).expect("a configuration");
        let value: Value = serde_yaml::from_str(&text).expect("YAML");
        let wrong: Vec<String> = validator
            .iter_errors(&value)
            .map(|e| format!("{}: {e}", e.instance_path()))
            .collect();
        assert!(wrong.is_empty(), "{}: {wrong:?}", path.display());
    }
    for mistake in [
        "adapters: [{type: skeleton-cach}]",
        "adapters: [{type: skeleton-cache, capacit: 8}]",
        "sed: 1",
    ] {
        let value: Value = serde_yaml::from_str(&format!("base: quickstart.yaml\n{mistake}")).expect("YAML");
        assert!(!validator.is_valid(&value), "{mistake}");
    }
}
