//! Which joints make up a body part.

use std::collections::BTreeMap;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use szar_core::{Error, Granularity, Problems, Result, SkeletonLayout};

/// The six parts of the official code, by Kinect v2's joint numbers.
const STAR6: [(&str, &[i64]); 6] = [
    ("head", &[2, 3, 20]),
    ("hand", &[7, 11, 21, 22, 23, 24]),
    ("arm", &[4, 5, 6, 8, 9, 10]),
    ("hip", &[0, 1]),
    ("leg", &[12, 13, 16, 17]),
    ("foot", &[14, 15, 18, 19]),
];

/// Partitions that have a name.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum NamedParts {
    /// head, hands, torso, legs, as the skeleton layout defines them.
    Four,
    /// head, hand, arm, hip, leg, foot of Kinect v2's 25 joints (the paper).
    Star6,
}

/// A joint by its number (from 0) or its name in the layout.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(untagged)]
pub enum Joint {
    /// Number, from 0.
    Number(usize),
    /// Name in the layout.
    Name(String),
}

/// The body parts, each with the granularity of its text.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(untagged)]
pub enum Parts {
    /// A partition with a name.
    Named(NamedParts),
    /// Joints per granularity; parts are taken in the order of their names.
    Joints(BTreeMap<String, Vec<Joint>>),
}

impl Parts {
    /// Granularities of the parts' texts, in order.
    pub fn granularities(&self) -> Vec<Granularity> {
        let name = |name: &str| Granularity(name.to_owned().into());
        match self {
            Self::Named(NamedParts::Four) => Granularity::PURLS_ORDER[..4].to_vec(),
            Self::Named(NamedParts::Star6) => STAR6.iter().map(|(part, _)| name(part)).collect(),
            Self::Joints(parts) => parts.keys().map(|part| name(part)).collect(),
        }
    }

    /// Adds what is wrong with them.
    pub(super) fn validate(&self, problems: &mut Problems) {
        let Self::Joints(parts) = self else { return };
        problems.check(!parts.is_empty(), "parts", || {
            "must name at least one part".into()
        });
        for (part, joints) in parts {
            problems.check(!joints.is_empty(), "parts", || {
                format!("part `{part}` has no joint")
            });
        }
    }

    /// Joint numbers of every part, for a map with this many joints.
    ///
    /// # Errors
    /// [`Error::Unknown`] for a part or joint that the layout has not; [`Error::Input`] when the layout is not that of
    /// the map, a number names no joint or a part is empty.
    pub(super) fn resolve(&self, layout: &SkeletonLayout, joints: i64) -> Result<Vec<Vec<i64>>> {
        if layout.len() as i64 != joints {
            return Err(Error::Input(format!(
                "the feature map has {joints} joints, layout `{}` has {}",
                layout.name,
                layout.len()
            )));
        }
        let parts = match self {
            Self::Named(NamedParts::Four) => {
                let part = |g: &Granularity| Ok(layout.part(g.as_str())?.iter().map(|j| *j as i64).collect());
                self.granularities()
                    .iter()
                    .map(part)
                    .collect::<Result<Vec<Vec<_>>>>()?
            }
            Self::Named(NamedParts::Star6) if joints != 25 => {
                return Err(Error::Input(format!(
                    "`parts: star6` is of Kinect v2's 25 joints, layout `{}` has {joints}; use `parts: four`, or name the joints",
                    layout.name
                )));
            }
            Self::Named(NamedParts::Star6) => STAR6.iter().map(|(_, joints)| joints.to_vec()).collect(),
            Self::Joints(parts) => {
                let part = |joints: &Vec<Joint>| joints.iter().map(|j| number(j, layout)).collect();
                parts.values().map(part).collect::<Result<Vec<Vec<_>>>>()?
            }
        };
        match parts.iter().position(Vec::is_empty) {
            None => Ok(parts),
            Some(empty) => Err(Error::Input(format!(
                "part `{}` of layout `{}` has no joint",
                self.granularities()[empty],
                layout.name
            ))),
        }
    }
}

fn number(joint: &Joint, layout: &SkeletonLayout) -> Result<i64> {
    match joint {
        Joint::Name(name) => Ok(layout.joint(name)? as i64),
        Joint::Number(number) if *number < layout.len() => Ok(*number as i64),
        Joint::Number(number) => Err(Error::Input(format!(
            "`parts` names joint {number}, layout `{}` has {}",
            layout.name,
            layout.len()
        ))),
    }
}
