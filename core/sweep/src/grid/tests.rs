use std::path::Path;

use szar_core::Result;
use szar_core::config::Document;

use super::*;

fn configs() -> std::path::PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../../configs")
}

fn read(text: &str) -> Result<(Grid, Document)> {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("study.yaml");
    let text = text.replace("CONFIGS", &configs().display().to_string());
    std::fs::write(&path, text).unwrap();
    Grid::read(&path, &[])
}

fn cells(text: &str) -> Result<Vec<Cell>> {
    let (grid, document) = read(text)?;
    expand(&grid, &document, &[])
}

const BASE: &str = "pipeline: CONFIGS/quickstart.yaml\n";

fn refused(text: &str) -> String {
    cells(&format!("{BASE}{text}"))
        .map(|_| ())
        .unwrap_err()
        .to_string()
}

#[test]
fn every_point_of_an_axis_meets_every_point_of_the_others() {
    let text = "axes:\n  aligner: {eszsl: {aligner: {type: eszsl}}, purls: {aligner.partition: global}}\n  seed: [3, 4, 5]\n";
    let cells = cells(&format!("{BASE}{text}")).unwrap();
    let labels: Vec<String> = cells.iter().map(Cell::label).collect();
    assert_eq!(
        labels,
        [
            "eszsl / 3",
            "eszsl / 4",
            "eszsl / 5",
            "purls / 3",
            "purls / 4",
            "purls / 5"
        ]
    );
    let last = cells[5].resolved().unwrap();
    assert_eq!(
        (last.pipeline.seed, last.value["aligner"]["partition"].as_str()),
        (5, Some("global"))
    );
    assert_eq!(cells[0].resolved().unwrap().type_name("aligner"), Some("eszsl"));
}

#[test]
fn zipped_axes_go_step_by_step() {
    let text = "axes: {stream.batch: [8, 16], seed: [1, 2], stream.streams: [1, 2]}\nzip: [[stream.streams, stream.batch]]\n";
    let cells = cells(&format!("{BASE}{text}")).unwrap();
    let labels: Vec<String> = cells.iter().map(Cell::label).collect();
    assert_eq!(labels, ["8 / 1 / 1", "8 / 2 / 1", "16 / 1 / 2", "16 / 2 / 2"]);
}

#[test]
fn excluded_cells_are_left_out_and_invalid_ones_say_why() {
    let text = "axes:\n  aligner: {eszsl: {aligner: {type: eszsl}}, purls: {}}\n  adapters: [[], [{type: tent}], [{type: tda}]]\nexclude: [{aligner: purls, adapters: [tda, none]}]\n";
    let cells = cells(&format!("{BASE}{text}")).unwrap();
    let labels: Vec<String> = cells.iter().map(Cell::label).collect();
    assert_eq!(
        labels,
        ["eszsl / none", "eszsl / tent", "eszsl / tda", "purls / tent"]
    );
    let State::Invalid(why) = &cells[1].state else {
        panic!("tent has nothing to move in eszsl");
    };
    assert!(
        why.contains("needs normalisation layers, aligner `eszsl` has none"),
        "{why}"
    );
    assert!(cells[3].resolved().is_some());
}

#[test]
fn paths_in_a_grid_are_relative_to_it() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("study.yaml");
    let text = format!(
        "pipeline: {}/combined.yaml\nset: {{dataset.root: here/data}}\naxes: {{seed: [1]}}\n",
        configs().display()
    );
    std::fs::write(&path, text).unwrap();
    let (grid, document) = Grid::read(&path, &[]).unwrap();
    let cells = expand(&grid, &document, &[]).unwrap();
    let value = &cells[0].resolved().unwrap().value;
    assert_eq!(
        value["dataset"]["root"],
        folder.path().join("here/data").display().to_string()
    );
}

#[test]
fn mistakes_name_their_place_and_the_nearest_name() {
    let text = refused(
        "axes: {seed: [1, 1], aligner: {}}\nexclude: [{sead: 1}]\ntable: {columns: [sed], measures: [top_1]}\n",
    );
    for part in [
        "study.yaml:2:8, `axes.seed`",
        "has point `1` twice",
        "has no point",
        "unknown axis `sead`; did you mean `seed`?",
        "unknown axis `sed`; did you mean `seed`?",
        "unknown measure `top_1`; did you mean `top1`?",
    ] {
        assert!(text.contains(part), "{part} in\n{text}");
    }
}

#[test]
fn a_grid_without_a_valid_cell_lists_the_reasons() {
    let text = refused("axes: {aligner.partitoin: [static, global]}\n");
    assert!(text.contains("none of the grid's 2 cells can run"), "{text}");
    assert!(text.contains("did you mean `partition`?"), "{text}");
}

#[test]
fn conflicting_axes_are_refused() {
    let text = refused("axes: {seed: [1, 2], stream.batch: [1, 2, 3]}\nzip: [[seed, stream.batch]]\n");
    assert!(
        text.contains("must be of one length: `seed` has 2 points, `stream.batch` has 3 points"),
        "{text}"
    );
    let text = refused("axes: {aligner.partition: [global], aligner: [{type: eszsl}]}\n");
    assert!(
        text.contains("sets `aligner.partition` or what it stands in, and so does axis `aligner.partition`"),
        "{text}"
    );
    let text = refused("axes: {seed: [1]}\ntable: {columns: [seed]}\n");
    assert!(text.contains("axis `seed` stands in `columns` already"), "{text}");
}

#[test]
fn values_from_the_command_line_stand_above_those_of_the_grid_and_below_its_axes() {
    let (grid, document) = read(&format!("{BASE}set: {{stream.batch: 8}}\naxes: {{seed: [1]}}\n")).unwrap();
    let layers = given(&["stream.batch=16".into(), "seed=9".into()]).unwrap();
    let cells = expand(&grid, &document, &layers).unwrap();
    let pipeline = &cells[0].resolved().unwrap().pipeline;
    assert_eq!((pipeline.stream.batch, pipeline.seed), (16, 1));
    assert!(
        given(&["seed".into()])
            .unwrap_err()
            .to_string()
            .contains("--set dataset.root=/data")
    );
}
