//! Golden cases of the eight descriptors.

use std::collections::BTreeMap;

use szar_core::checkpoint::NamedTensors;
use szar_core::conform::{Case, Driver};
use szar_core::descriptors::{TemporalSplit, pool};
use szar_core::{Error, FeatureMap, Granularity, Part, Result, SkeletonLayout};

inventory::submit! { Driver { kind: "preprocess", component: "structured-descriptors", run: replay } }

/// Names of the body parts in the cases, and ours.
const PARTS: [(&str, Granularity); 4] = [
    ("head", Granularity::HEAD),
    ("torso", Granularity::TORSO),
    ("arms", Granularity::HANDS),
    ("feet", Granularity::LEGS),
];

const PHASES: [Granularity; 3] = [Granularity::START, Granularity::MIDDLE, Granularity::END];

/// NTU's skeleton with the joints of the case's parts.
fn layout(case: &Case) -> Result<SkeletonLayout> {
    let groups: BTreeMap<String, Vec<usize>> = case.param("groups")?;
    let mut layout = szar_data::layouts::by_name("ntu25")?.as_ref().clone();
    let part = |(name, ours): &(&str, Granularity)| {
        let joints = groups.get(*name).cloned();
        let joints = joints.ok_or_else(|| Error::Missing(format!("`groups.{name}`")))?;
        Ok(Part {
            name: ours.to_string(),
            joints,
        })
    };
    layout.parts = PARTS.iter().map(part).collect::<Result<_>>()?;
    layout.validate()?;
    Ok(layout)
}

fn replay(case: &Case) -> Result<Option<NamedTensors>> {
    let layout = layout(case)?;
    let lengths: Vec<i64> = case.param("lengths")?;
    let parts = PARTS.map(|(_, ours)| ours);
    let global = [Granularity::GLOBAL];
    let official: Vec<_> = parts.iter().chain(&PHASES).chain(&global).cloned().collect();
    let paper: Vec<_> = global.iter().chain(&parts).chain(&PHASES).cloned().collect();
    let mut out = NamedTensors::new();
    for length in lengths {
        let name = format!("t{length}");
        let map = FeatureMap::new(case.input(&name)?)?;
        let of = |wanted: &[Granularity], split| pool(&map, &layout, wanted, split);
        out.insert(format!("official/{name}"), of(&official, TemporalSplit::Round)?);
        // The paper's thirds are for three frames and more.
        if length >= 3 {
            out.insert(format!("paper/{name}"), of(&paper, TemporalSplit::Floor)?);
        }
    }
    Ok(Some(out))
}

#[cfg(test)]
mod tests {
    #[test]
    fn goldens() {
        szar_core::conform::assert_goldens("preprocess/structured-descriptors");
    }
}
