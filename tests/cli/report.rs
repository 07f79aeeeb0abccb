//! `szar report`: what stands in the page, and how it looks.

use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use serde_json::Value;
use tl::VDom;

use crate::{run_dir, small_run, szar};

/// A name that no page may let through as it is.
const UNSAFE: &str = "</script><img src=x onerror=\"alert(1)\"> & 'wave'";

/// A small run, with its folder's parent.
fn finished(more: &[&str]) -> (tempfile::TempDir, PathBuf) {
    let output = tempfile::tempdir().expect("a folder");
    let set = more.iter().flat_map(|s| ["--set", s]);
    small_run(output.path()).args(set).assert().success();
    let dir = run_dir(output.path());
    (output, dir)
}

fn page(runs: &[&Path], out: &Path) -> String {
    let mut report = szar();
    report.arg("report").args(runs).arg("--out").arg(out);
    report.assert().success();
    std::fs::read_to_string(out).expect("the page")
}

fn parsed(text: &str) -> VDom<'_> {
    tl::parse(text, tl::ParserOptions::default()).expect("HTML")
}

/// Elements of a selector; `#outer inner` are those inside another one.
fn count(html: &VDom, selector: &str) -> usize {
    let Some((outer, inner)) = selector.split_once(' ') else {
        return html.query_selector(selector).expect("a selector").count();
    };
    let found = html.query_selector(outer).expect("a selector");
    let inside = |node: tl::NodeHandle| {
        let tag = node
            .get(html.parser())
            .and_then(|n| n.as_tag())
            .expect("an element");
        tag.query_selector(html.parser(), inner)
            .expect("a selector")
            .count()
    };
    found.map(inside).sum()
}

/// The data of the page.
fn data(html: &VDom) -> Value {
    let element = html.get_element_by_id("data").expect("the element");
    let text = element
        .get(html.parser())
        .expect("a node")
        .inner_text(html.parser());
    serde_json::from_str(&text).expect("JSON")
}

/// No element and no attribute that loads or runs anything of others.
fn loads_nothing(html: &VDom) {
    for tag in html.nodes().iter().filter_map(tl::Node::as_tag) {
        let name = tag.name().as_utf8_str().into_owned();
        assert!(
            !["img", "link", "iframe", "object", "embed", "base"].contains(&name.as_str()),
            "{name}"
        );
        for (key, value) in tag.attributes().iter() {
            let value = value.unwrap_or_default();
            assert!(!key.starts_with("on") && key != "src", "{name} {key}");
            assert!(key != "href" || value.starts_with('#'), "{name} {key}={value}");
        }
    }
}

/// Renames an unseen class in all files of a run.
fn rename_a_class(dir: &Path) {
    let text = std::fs::read_to_string(dir.join("report.json")).expect("a report");
    let report: Value = serde_json::from_str(&text).expect("JSON");
    let name = report["data"]["unseen"][0].as_str().expect("a name");
    let json = serde_json::to_string(UNSAFE).expect("JSON");
    let changed = text.replace(&format!("\"{name}\""), &json);
    std::fs::write(dir.join("report.json"), changed).expect("written");
    let lines = std::fs::read_to_string(dir.join("predictions.csv")).expect("predictions");
    let quoted = format!(",\"{}\",", UNSAFE.replace('"', "\"\""));
    std::fs::write(
        dir.join("predictions.csv"),
        lines.replace(&format!(",{name},"), &quoted),
    )
    .expect("written");
}

#[test]
fn a_page_has_every_section_and_loads_nothing() {
    let adaptive = [
        "aligner.partition=adaptive",
        "adapters=[{type: skeleton-cache, capacity: 4}]",
    ];
    let (_keep, dir) = finished(&adaptive);
    rename_a_class(&dir);
    let text = page(&[&dir], &dir.join("report.html"));
    let html = parsed(&text);
    for part in [
        "setting",
        "results",
        "classes",
        "confusion",
        "stream",
        "memory",
        "space",
        "attention",
        "motions",
        "cost",
    ] {
        assert_eq!(count(&html, &format!("#run1-{part}")), 1, "{part}");
    }
    for part in [
        "classes",
        "confusion",
        "stream",
        "memory",
        "space",
        "attention",
        "cost",
    ] {
        assert!(count(&html, &format!("#run1-{part} svg")) > 0, "{part}");
    }
    assert_eq!(count(&html, "#run1-motions animate").min(8), 8);
    assert_eq!(count(&html, "figure"), count(&html, ".save"));
    assert_eq!(count(&html, ".synthetic"), 1);
    assert!(count(&html, "#run1-setting pre") == 1 && text.contains("base_channels: 8"));
    // Nothing is fetched: no address but the names of namespaces, and nothing that loads.
    let namespaces = text.replace("http://www.w3.org/2000/svg", "");
    assert!(!namespaces.contains("http://") && !namespaces.contains("https://") && !text.contains("url("));
    loads_nothing(&html);
    assert_eq!(count(&html, "script"), 2);
    let data = data(&html);
    assert_eq!(data["runs"][0]["report"]["data"]["unseen"][0], UNSAFE);
    assert!(data["runs"][0]["planes"].as_array().expect("planes").len() >= 2);
    assert_eq!(page(&[&dir], &dir.join("again.html")), text, "the same twice");
}

#[test]
fn runs_are_compared_sample_by_sample_and_by_the_number_they_differ_in() {
    let (_a, first) = finished(&["adapters.0.capacity=2"]);
    let (_b, second) = finished(&["adapters.0.capacity=32"]);
    let out = first.join("both.html");
    let text = page(&[&first, &second], &out);
    let html = parsed(&text);
    assert_eq!(count(&html, "#comparison table"), 2);
    assert_eq!(count(&html, "#comparison svg"), 1);
    assert_eq!(count(&html, "article"), 2);
    let data = data(&html);
    assert_eq!(data["curve"]["option"], "adapters.0.capacity");
    assert_eq!(data["curve"]["points"].as_array().expect("points").len(), 2);
    let paired = &data["against_first"][0]["paired"];
    let n = data["runs"][0]["report"]["data"]["samples"]["unseen_test"].clone();
    assert_eq!(paired["samples"], n);
    let p = paired["exact"].as_f64().expect("p");
    assert!((0.0..=1.0).contains(&p));
}

#[test]
fn what_a_folder_lacks_is_said_in_its_place() {
    let output = tempfile::tempdir().expect("a folder");
    small_run(output.path())
        .args(["--no-record", "--set", "adapters=[]"])
        .assert()
        .success();
    let dir = run_dir(output.path());
    assert!(!dir.join("record.safetensors").exists());
    std::fs::remove_file(dir.join("config.yaml")).expect("removed");
    let text = page(&[&dir], &dir.join("report.html"));
    assert!(text.contains("has no record of its samples") && text.contains("The folder has no config.yaml"));
    // A report of another time: named, with what to do.
    let report = std::fs::read_to_string(dir.join("report.json")).expect("a report");
    let mut report: Value = serde_json::from_str(&report).expect("JSON");
    report["provenance"]["szar"] = "0.0.1".into();
    std::fs::write(dir.join("report.json"), report.to_string()).expect("written");
    assert!(page(&[&dir], &dir.join("old.html")).contains("The run is of szar 0.0.1"));
    report["zsl"] = "none".into();
    std::fs::write(dir.join("report.json"), report.to_string()).expect("written");
    let assert = szar().arg("report").arg(&dir).assert().code(2);
    let err = String::from_utf8_lossy(&assert.get_output().stderr).into_owned();
    assert!(
        err.contains("report.json") && err.contains("written by szar 0.0.1"),
        "{err}"
    );
}

#[test]
fn one_unseen_class_and_no_answer_at_all_are_a_page_too() {
    let (_keep, dir) = finished(&["dataset.split={random: {unseen: 1, seed: 1}}"]);
    let text = page(&[&dir], &dir.join("report.html"));
    let html = parsed(&text);
    loads_nothing(&html);
    // Every answer is right where there is one candidate.
    assert!(text.contains("100.0"));
    let answers = std::fs::read_to_string(dir.join("predictions.csv")).expect("answers");
    let head = answers.lines().next().expect("a head");
    std::fs::write(dir.join("predictions.csv"), format!("{head}\n")).expect("written");
    let text = page(&[&dir], &dir.join("empty.html"));
    loads_nothing(&parsed(&text));
}

#[test]
fn a_browser_shows_the_page() {
    let browser = ["chromium", "chromium-browser", "google-chrome"]
        .into_iter()
        .find(|name| {
            let version = Command::new(name).arg("--version").output();
            version.is_ok_and(|v| v.status.success())
        });
    let Some(browser) = browser else {
        eprintln!("skipped: no chromium on the PATH");
        return;
    };
    let (_keep, dir) = finished(&[]);
    let file = dir.join("report.html");
    page(&[&dir], &file);
    let picture = dir.join("page.png");
    assert_cmd::Command::new(browser)
        .timeout(Duration::from_secs(120))
        .args([
            "--headless",
            "--no-sandbox",
            "--disable-gpu",
            "--hide-scrollbars",
            "--window-size=1280,2000",
        ])
        .arg(format!("--user-data-dir={}", dir.join("browser").display()))
        .arg(format!("--screenshot={}", picture.display()))
        .arg(format!(
            "file://{}",
            file.canonicalize().expect("a path").display()
        ))
        .assert()
        .success();
    // A page of text and charts: an empty one of this size is a tenth of that.
    let size = std::fs::metadata(&picture).expect("a picture").len();
    assert!(size > 60_000, "{size} bytes");
}
