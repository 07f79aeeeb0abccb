//! The published class lists and splits of NTU RGB+D 60 and 120 and of PKU-MMD, which come with the program.
//!
//! | name | from |
//! |---|---|
//! | `55_5`, `48_12` (ntu60); `110_10`, `96_24` (ntu120) | SynSE (Gupta et al. 2021) and all that follow it |
//! | the same with `_validation` | SynSE's cut of the seen classes, for choosing thresholds; `110_10`'s seen list is complete here, its published file lacks 19 classes |
//! | `40_20`, `30_30`; `80_40`, `60_60` | PURLS |
//! | `55_5_smie1` to `3`; `110_10_smie4` to `6`; `46_5_smie8`, `46_5_smie9` | SMIE's random splits under their numbers; STAR and Neuron use those of ntu60 too |
//! | `46_5`, `39_12`, `46_5_neuron3` (pku51) | STAR and Neuron; `46_5` is also SMIE's split 7 |
//!
//! Class numbers start at 0; unseen classes are in ascending order, whatever the order of the published file.

use std::collections::BTreeMap;

use serde::Deserialize;
use szar_core::{ClassList, Error, Result};

use super::{ClassRef, Lists, key};

const TABLES: &str = include_str!("ntu.json");

/// Classes by number, and splits by name.
#[derive(Deserialize)]
struct Table {
    classes: Vec<String>,
    splits: BTreeMap<String, Published>,
}

/// A split; without a list of seen classes they are all that are not unseen.
#[derive(Deserialize)]
struct Published {
    #[serde(default)]
    seen: Vec<ClassRef>,
    unseen: Vec<ClassRef>,
}

fn tables() -> Result<BTreeMap<String, Table>> {
    serde_json::from_str(TABLES).map_err(|e| Error::format("ntu.json", None, e.to_string()))
}

/// The classes of `ntu60`, `ntu120` or `pku51` in their published order.
///
/// # Errors
/// [`Error::Unknown`] for another dataset.
pub fn classes(dataset: &str) -> Result<ClassList> {
    let mut tables = tables()?;
    match tables.remove(dataset) {
        Some(table) => ClassList::numbered(table.classes),
        None => Err(Error::unknown("published dataset", dataset, tables.into_keys())),
    }
}

/// A published split of a dataset with these classes; `None` for a dataset that has none.
pub(super) fn look_up(dataset: &str, name: &str, classes: &ClassList) -> Result<Option<(String, Lists)>> {
    let table = tables()?
        .remove(dataset)
        .filter(|t| t.classes.len() == classes.len());
    let Some(mut table) = table else {
        return Ok(None);
    };
    let Some(key) = key(name, |k| table.splits.contains_key(k)) else {
        let unknown = Error::unknown("split", name, table.splits.into_keys());
        return Err(unknown.context(format!("published splits of `{dataset}`")));
    };
    let found = table.splits.remove(&key);
    Ok(found.map(|Published { seen, unseen }| (key, Lists { seen, unseen })))
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::*;
    use crate::splits::SplitConfig;

    fn split(dataset: &str, name: &str) -> Result<szar_core::ClassSplit> {
        SplitConfig::named(name).resolve(
            Path::new("/nowhere/splits.json"),
            dataset,
            &classes(dataset).unwrap(),
        )
    }

    fn unseen(dataset: &str, name: &str) -> Vec<i64> {
        split(dataset, name)
            .unwrap()
            .unseen()
            .ids()
            .iter()
            .map(|id| id.0)
            .collect()
    }

    #[test]
    fn published_splits_are_found_without_a_file() {
        assert_eq!(unseen("ntu60", "55/5"), [10, 11, 19, 26, 56]);
        assert_eq!(
            unseen("ntu60", "48_12"),
            [3, 5, 9, 12, 15, 40, 42, 47, 51, 56, 58, 59]
        );
        assert_eq!(
            unseen("ntu120", "110/10"),
            [4, 13, 37, 43, 49, 65, 88, 95, 99, 106]
        );
        assert_eq!(unseen("ntu120", "96/24").len(), 24);
        assert_eq!(unseen("pku51", "46/5"), [1, 9, 20, 34, 50]);
        let names = split("ntu60", "55_5").unwrap().unseen().names().to_vec();
        assert_eq!(
            (names[0].as_str(), names[4].as_str()),
            ("reading", "touch other person's pocket")
        );
    }

    #[test]
    fn every_published_split_has_as_many_classes_as_its_name_says() {
        let mut count = 0;
        for (dataset, table) in tables().unwrap() {
            for name in table.splits.keys() {
                let split = split(&dataset, name).unwrap();
                let sizes: Vec<usize> = name.split('_').flat_map(str::parse).collect();
                let (seen, unseen) = (split.seen().len(), split.unseen().len());
                if name.ends_with("_validation") {
                    assert_eq!((seen + unseen, unseen), (sizes[0], sizes[1]), "{dataset} {name}");
                } else {
                    assert_eq!([seen, unseen], sizes[..], "{dataset} {name}");
                    assert_eq!(seen + unseen, table.classes.len());
                }
                count += 1;
            }
        }
        assert_eq!(count, 23);
    }

    #[test]
    fn validation_classes_are_seen_ones() {
        for (dataset, name) in [
            ("ntu60", "55_5"),
            ("ntu60", "48_12"),
            ("ntu120", "110_10"),
            ("ntu120", "96_24"),
        ] {
            let (whole, cut) = (
                split(dataset, name).unwrap(),
                split(dataset, &format!("{name}_validation")).unwrap(),
            );
            assert_eq!(&cut.all(), whole.seen(), "{name}");
        }
    }

    #[test]
    fn an_unknown_name_suggests_a_published_one() {
        let error = split("ntu60", "55_6").unwrap_err().to_string();
        assert!(
            error.starts_with("published splits of `ntu60`: unknown split `55_6`; did you mean `55_5`?"),
            "{error}"
        );
    }

    #[test]
    fn a_file_goes_before_what_is_published() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("splits.json");
        std::fs::write(&path, r#"{"ntu60": {"55_5": {"seen": [0], "unseen": [1]}}}"#).unwrap();
        let classes = classes("ntu60").unwrap();
        let mut config = SplitConfig::named("55_5");
        assert_eq!(
            config.resolve(&path, "ntu60", &classes).unwrap().unseen().len(),
            1
        );
        // A file in the way that knows nothing of it does not hide the published one ...
        config.name = "48_12".into();
        assert_eq!(
            config.resolve(&path, "ntu60", &classes).unwrap().unseen().len(),
            12
        );
        // ... unless it was asked for, or is damaged.
        config.file = Some(path.clone().into());
        assert!(config.resolve(&path, "ntu60", &classes).is_err());
        config.file = None;
        std::fs::write(&path, "{").unwrap();
        assert!(config.resolve(&path, "ntu60", &classes).is_err());
    }

    #[test]
    fn a_folder_of_that_name_with_other_classes_has_no_published_split() {
        let three = ClassList::numbered(["a", "b", "c"]).unwrap();
        let error = SplitConfig::named("55_5").resolve(Path::new("/nowhere/splits.json"), "ntu60", &three);
        assert!(error.unwrap_err().to_string().starts_with("cannot read"));
    }
}
