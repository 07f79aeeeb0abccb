//! Which dataset a path is, told by names of files where they leave no doubt.

use std::collections::BTreeSet;
use std::fs::{self, File};
use std::io::{BufRead, BufReader, Read};
use std::path::{Path, PathBuf};

use serde_json::{Value, json};
use szar_core::{Error, Result, SkeletonLayout};
use szar_data::layouts;

/// Folders in folders that are looked into.
const MAX_DEPTH: usize = 6;
/// Most bytes of a table's header that are looked at.
const HEADER: u64 = 1 << 16;
/// Persons of a table that has a column for them.
const PERSONS: usize = 8;
/// Any name is a class of its own: what a sequence shows is not known.
const NO_CLASS: &str = "(?<class>.+)";

/// Where sequences come from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Input {
    /// A dataset: its options inline, or the YAML file that holds them.
    Dataset(String),
    /// A file of frames, a JSON object a line.
    Frames(PathBuf),
    /// The same on standard input.
    StandardInput,
}

/// What `--input` names: `-`, a dataset's options inline or in a YAML file, or a file or folder whose names tell its format.
/// Tables are taken to be on `layout`, which is the model's.
///
/// # Errors
/// When the path is not there, or the names in it tell no format or more than one.
pub fn recognise(input: &str, layout: &SkeletonLayout) -> Result<Input> {
    if input == "-" {
        return Ok(Input::StandardInput);
    }
    if input.trim_start().starts_with('{') {
        return Ok(Input::Dataset(input.to_owned()));
    }
    let path = Path::new(input);
    fs::metadata(path).map_err(|e| Error::read(path, e))?;
    let absolute = std::path::absolute(path).map_err(|e| Error::read(path, e))?;
    if path.is_dir() {
        return folder(&absolute, layout).map(Input::Dataset);
    }
    let ending = ending(path);
    match ending.as_str() {
        "yaml" | "yml" => Ok(Input::Dataset(input.to_owned())),
        "ndjson" | "jsonl" => Ok(Input::Frames(path.to_owned())),
        _ => match options(&ending, &absolute, &absolute, layout)? {
            Some(options) => Ok(Input::Dataset(options.to_string())),
            None => Err(unknown(path, &BTreeSet::from([ending]))),
        },
    }
}

fn ending(path: &Path) -> String {
    path.extension()
        .unwrap_or_default()
        .to_string_lossy()
        .to_lowercase()
}

fn folder(root: &Path, layout: &SkeletonLayout) -> Result<String> {
    let has = |name: &str| root.join(name).is_file();
    let of_type = |name: &str| Ok(json!({"type": name, "root": root.display().to_string()}).to_string());
    if has("index.json") && has("joints.f32") {
        return of_type("skeleton-store");
    }
    if has("dataset.npz") {
        return of_type("skeleton-npz");
    }
    let mut found = Vec::new();
    look(root, 0, &mut found)?;
    let mut known: Option<(String, Value)> = None;
    let endings: BTreeSet<String> = found.iter().map(|path| ending(path)).collect();
    for path in &found {
        let ending = ending(path);
        let again = known.as_ref().is_some_and(|(other, _)| *other == ending);
        let Some(options) = (if again {
            None
        } else {
            options(&ending, root, path, layout)?
        }) else {
            continue;
        };
        if known.is_some() {
            return Err(unknown(root, &endings));
        }
        known = Some((ending, options));
    }
    known.map_or_else(
        || Err(unknown(root, &endings)),
        |(_, options)| Ok(options.to_string()),
    )
}

fn look(folder: &Path, depth: usize, found: &mut Vec<PathBuf>) -> Result<()> {
    let entries = fs::read_dir(folder).map_err(|e| Error::read(folder, e))?;
    for entry in entries {
        let path = entry.map_err(|e| Error::read(folder, e))?.path();
        if path.is_dir() {
            if depth < MAX_DEPTH {
                look(&path, depth + 1, found)?;
            }
        } else {
            found.push(path);
        }
    }
    found.sort();
    Ok(())
}

/// The dataset of files with this ending at `root`, of which `example` is one; `None` when the ending tells none.
fn options(ending: &str, root: &Path, example: &Path, layout: &SkeletonLayout) -> Result<Option<Value>> {
    let class_from = json!({"regex": NO_CLASS});
    let folder = root.is_dir();
    let place = root.display().to_string();
    Ok(Some(match ending {
        "csv" => table(root, example, layout)?,
        "bvh" => json!({"type": "bvh", "root": place, "class_from": class_from}),
        "amc" if folder => json!({"type": "asf-amc", "root": place, "class_from": class_from}),
        "skeleton" if folder => json!({"type": "ntu-rgbd", "root": place}),
        _ => return Ok(None),
    }))
}

fn table(root: &Path, example: &Path, layout: &SkeletonLayout) -> Result<Value> {
    let known = layouts::all().into_iter().find(|l| l.joints == layout.joints);
    let Some(known) = known else {
        return Err(Error::Input(format!(
            "{}: tables do not say their skeleton, and layout `{}` of this run is none of the known ones\n\nhint: describe it in a \
             file: `--input '{{type: joint-csv, root: {}, layout_file: FILE}}'`",
            root.display(),
            layout.name,
            root.display()
        )));
    };
    let file = File::open(example).map_err(|e| Error::read(example, e))?;
    let mut header = Vec::new();
    BufReader::new(file.take(HEADER))
        .read_until(b'\n', &mut header)
        .map_err(|e| Error::read(example, e))?;
    let header = String::from_utf8_lossy(&header);
    let has = |name: &str| {
        let mut columns = header.trim_start_matches('\u{feff}').split(',');
        columns.any(|column| column.trim().trim_matches('"') == name)
    };
    Ok(json!({
        "type": "joint-csv",
        "root": root.display().to_string(),
        "form": if has("joint") { "long" } else { "wide" },
        "persons": if has("joint") && has("person") { PERSONS } else { 1 },
        "layout": known.name,
        "class_from": {"regex": NO_CLASS},
    }))
}

fn unknown(path: &Path, endings: &BTreeSet<String>) -> Error {
    let shown: Vec<String> = endings.iter().take(8).map(|e| format!("`.{e}`")).collect();
    let holds = match shown.as_slice() {
        [] => "there is no file in it".to_owned(),
        some => format!("endings: {}", some.join(", ")),
    };
    Error::Input(format!(
        "{}: the names do not tell one format ({holds})\n\nhint: say it: `--input '{{type: pose-json, source: mediapipe, root: {}}}'`; \
         `szar list` names the datasets",
        path.display(),
        path.display()
    ))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn on(root: &Path, files: &[(&str, &str)]) -> Result<Input> {
        for (name, text) in files {
            let path = root.join(name);
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            fs::write(path, text).unwrap();
        }
        recognise(root.to_str().unwrap(), &layouts::by_name("ntu25").unwrap())
    }

    fn kind(input: Result<Input>) -> String {
        let Ok(Input::Dataset(options)) = input else {
            panic!("expected a dataset, got {input:?}");
        };
        let options: Value = serde_json::from_str(&options).unwrap();
        format!("{} {}", options["type"].as_str().unwrap(), options["form"])
    }

    #[test]
    fn folders_are_told_by_the_names_in_them() {
        let folder = || tempfile::tempdir().unwrap();
        assert_eq!(
            kind(on(folder().path(), &[("dataset.npz", "")])),
            "skeleton-npz null"
        );
        let store = [("index.json", "{}"), ("joints.f32", "")];
        assert_eq!(kind(on(folder().path(), &store)), "skeleton-store null");
        assert_eq!(
            kind(on(folder().path(), &[("a/x.BVH", ""), ("note.txt", "")])),
            "bvh null"
        );
        let long = [("x.csv", "sample,frame,joint,x,y,z\n"), ("y.csv", "")];
        assert_eq!(kind(on(folder().path(), &long)), "joint-csv \"long\"");
        assert_eq!(
            kind(on(folder().path(), &[("x.csv", "head_x,head_y\n")])),
            "joint-csv \"wide\""
        );
        for unclear in [&[("a.bvh", ""), ("b.csv", "joint\n")][..], &[("a.json", "")], &[]] {
            let error = on(folder().path(), unclear).unwrap_err().to_string();
            assert!(error.contains("do not tell one format"), "{error}");
        }
    }

    #[test]
    fn files_and_words_are_taken_as_what_they_are() {
        let layout = layouts::by_name("ntu25").unwrap();
        assert_eq!(recognise("-", &layout).unwrap(), Input::StandardInput);
        let block = "{type: bvh, root: x}";
        assert_eq!(recognise(block, &layout).unwrap(), Input::Dataset(block.into()));
        let folder = tempfile::tempdir().unwrap();
        let frames = folder.path().join("x.jsonl");
        fs::write(&frames, "").unwrap();
        assert_eq!(
            recognise(frames.to_str().unwrap(), &layout).unwrap(),
            Input::Frames(frames)
        );
        let error = recognise("/nowhere/x.csv", &layout).unwrap_err();
        assert!(error.is_input() && error.to_string().contains("/nowhere/x.csv"));
    }
}
