//! The named splits: each holds out one class of every family, so that what is unseen always has seen relatives.

use szar_core::{ClassId, ClassList, ClassSplit, Result};

use super::classes::{FAMILIES, NAMES};

/// Unseen classes of the named splits; drawn once, one of each family, no class in two splits.
const NAMED: [(&str, [&str; FAMILIES.len()]); 3] = [
    (
        "24_6_seed0",
        [
            "wave both hands",
            "phone call",
            "push",
            "kick sideways",
            "march",
            "bow",
        ],
    ),
    (
        "24_6_seed1",
        ["raise one arm", "clap", "throw", "squat", "run", "bend sideways"],
    ),
    (
        "24_6_seed2",
        [
            "circle arms",
            "salute",
            "punch",
            "lunge",
            "hop on one leg",
            "sit down",
        ],
    ),
];

/// Names of the splits.
pub(super) fn names() -> Vec<&'static str> {
    NAMED.iter().map(|(name, _)| *name).collect()
}

/// Unseen classes of a named split; `/` and `_` are the same.
pub(super) fn named(name: &str) -> Option<&'static [&'static str]> {
    let name = name.replace('/', "_");
    let found = NAMED.iter().find(|(known, _)| *known == name);
    found.map(|(_, unseen)| unseen.as_slice())
}

/// The split that holds these classes out.
pub(super) fn hold_out(name: &str, unseen: &[&str], classes: &ClassList) -> Result<ClassSplit> {
    let ids = |out: bool| {
        let picked = (0..)
            .zip(NAMES)
            .filter(move |(_, class)| unseen.contains(class) == out);
        picked.map(|(id, _)| ClassId(id)).collect::<Vec<_>>()
    };
    ClassSplit::new(name, classes, &ids(false), &ids(true))
}
