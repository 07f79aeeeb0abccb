use std::path::Path;

use indexmap::IndexMap;
use parquet::file::reader::{FileReader, SerializedFileReader};
use parquet::record::RowAccessor;

use super::*;
use crate::grid::Grid;

fn grid(more: &str) -> Grid {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("study.yaml");
    let configs = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../configs");
    let text = format!(
        "pipeline: {}/quickstart.yaml\naxes: {{aligner.partition: [global, static], adapters: [[], [{{type: tda}}]], seed: [0, 1]}}\n{more}",
        configs.display()
    );
    std::fs::write(&path, text).unwrap();
    Grid::read(&path, &[]).unwrap().0
}

/// Class means 10 + 100 partition + 10 adapter + seed; the last cell failed.
fn results() -> Results {
    let mut rows = Vec::new();
    for (p, partition) in ["global", "static"].iter().enumerate() {
        for (a, adapter) in ["none", "tda"].iter().enumerate() {
            for seed in 0..2 {
                let at = [
                    ("aligner.partition", (*partition).to_owned()),
                    ("adapters", (*adapter).to_owned()),
                    ("seed", seed.to_string()),
                ];
                let failed = p + a + seed == 3;
                let mut values = vec![None; measures::ALL.len()];
                if !failed {
                    values[1] = Some((10 + 100 * p + 10 * a + seed) as f64);
                }
                rows.push(Row {
                    at: at.map(|(k, v)| (k.to_owned(), v)).into_iter().collect(),
                    status: if failed { "failed" } else { "finished" },
                    why: failed.then(|| "no | luck".to_owned()),
                    run: None,
                    values,
                });
            }
        }
    }
    let axes = ["aligner.partition", "adapters", "seed"]
        .map(str::to_owned)
        .to_vec();
    Results { axes, rows }
}

#[test]
fn seeds_are_averaged_and_the_best_of_a_column_is_marked() {
    let tables = results().tables(&grid(""));
    assert_eq!((tables.len(), tables[0].heads.len()), (1, 2));
    assert_eq!(tables[0].columns, ["class mean, adapted"]);
    let of = |row: usize| tables[0].rows[row].1[0].clone();
    let first = of(0).spread.unwrap();
    // 10 and 11: deviations of a half, sqrt(2 / 4 / 1).
    assert!((first.mean - 10.5).abs() < 1e-12 && (first.sd.unwrap() - 0.5f64.sqrt()).abs() < 1e-12);
    assert_eq!((of(3).runs, of(3).lost), (1, 1));
    assert_eq!(
        (0..4).map(|i| of(i).best).collect::<Vec<_>>(),
        [false, false, false, true]
    );
}

#[test]
fn axes_become_columns_where_asked() {
    let grid = grid("table: {columns: [adapters], measures: [class_mean_adapted], best: row}\n");
    let tables = results().tables(&grid);
    assert_eq!(tables[0].columns, ["none", "tda"]);
    assert_eq!(tables[0].heads, ["aligner.partition"]);
    let text = markdown(&grid, &tables, &[]);
    assert!(
        text.contains("| global | 10.5 ± 0.7 | **20.5 ± 0.7** |"),
        "{text}"
    );
    assert!(
        text.contains("| static | 110.5 ± 0.7 | **120.0 (1 lost)** |"),
        "{text}"
    );
    let text = latex(&grid, &tables, &[]);
    assert!(
        text.contains(r"global & 10.5 $\pm$ 0.7 & \textbf{20.5 $\pm$ 0.7} \\"),
        "{text}"
    );
    assert!(text.contains(r"\begin{tabular}{lrr}"), "{text}");
}

#[test]
fn published_numbers_stand_beside_ours() {
    let grid = grid(
        "expected:\n  - source: A paper, table 1\n    measure: class_mean_adapted\n    at: {adapters: none}\n    values: [{at: {aligner.partition: global}, value: 12.5}, {at: {aligner.partition: static}, value: 100, note: other data}]\n",
    );
    let results = results();
    let beside = results.beside(&grid);
    assert_eq!(beside.len(), 2);
    assert!((beside[0].ours.unwrap().mean - 10.5).abs() < 1e-12);
    let text = markdown(&grid, &results.tables(&grid), &beside);
    assert!(
        text.contains(
            "| A paper, table 1 | none, global | class mean, adapted | 12.5 | 10.5 ± 0.7 | -2.0 |  |"
        ),
        "{text}"
    );
}

#[test]
fn rows_are_tidy_as_csv_and_as_parquet() {
    let results = results();
    let text = String::from_utf8(files::csv(&results).unwrap()).unwrap();
    let lines: Vec<&str> = text.lines().collect();
    assert_eq!(
        lines[0],
        "aligner.partition,adapters,seed,status,error,run,class_mean_adapted"
    );
    assert_eq!(lines[1], "global,none,0,finished,,,10");
    assert_eq!(lines[8], "static,tda,1,failed,no | luck,,");
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("results.parquet");
    std::fs::write(&path, files::parquet(&results).unwrap()).unwrap();
    let reader = SerializedFileReader::new(std::fs::File::open(&path).unwrap()).unwrap();
    let rows: Vec<_> = reader.get_row_iter(None).unwrap().map(Result::unwrap).collect();
    assert_eq!(rows.len(), 8);
    assert_eq!(rows[1].get_string(0).unwrap(), "global");
    assert_eq!(rows[1].get_double(6).unwrap(), 11.0);
    assert!(rows[7].get_double(6).is_err(), "what failed has no number");
}

#[test]
fn labels_are_escaped_in_every_form() {
    let mut results = results();
    for row in &mut results.rows {
        let at: IndexMap<String, String> = row
            .at
            .iter()
            .map(|(k, v)| (k.clone(), format!("{v}|50%_&")))
            .collect();
        row.at = at;
    }
    let grid = grid("");
    let tables = results.tables(&grid);
    assert!(markdown(&grid, &tables, &[]).contains(r"global\|50%_&"));
    assert!(latex(&grid, &tables, &[]).contains(r"global|50\%\_\&"));
}
