//! Published numbers beside ours.

use indexmap::IndexMap;
use schemars::JsonSchema;
use serde::Deserialize;
use szar_core::Problems;

use super::options::{Grid, Labels};
use crate::results::measures;

/// Published numbers of one table.
#[derive(Clone, Debug, PartialEq, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Expected {
    /// Paper and table.
    pub source: String,
    /// Our measure that they are to be held against: `top1_adapted`, say.
    pub measure: String,
    /// Points that all of them have in common. Default: none.
    #[serde(default)]
    pub at: IndexMap<String, Labels>,
    /// The numbers.
    pub values: Vec<Published>,
}

/// One published number.
#[derive(Clone, Debug, PartialEq, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Published {
    /// The points that it belongs to.
    #[serde(default)]
    pub at: IndexMap<String, Labels>,
    /// The number, percent.
    pub value: f64,
    /// A remark: that it was made in another way, say. Default: none.
    #[serde(default)]
    pub note: String,
}

impl Expected {
    pub(super) fn validate(&self, grid: &Grid, problems: &mut Problems) {
        if let Err(error) = measures::find(&self.measure) {
            problems.add("measure", error.to_string());
        }
        problems.check(!self.source.is_empty(), "source", || {
            "must say where the numbers stand".into()
        });
        if !self.at.is_empty() {
            problems.scoped("at", |p| grid.points_of(&self.at, p));
        }
        for (i, value) in self.values.iter().enumerate() {
            problems.scoped(&format!("values[{i}]"), |p| {
                p.check(value.value.is_finite(), "value", || {
                    "must be a finite number".into()
                });
                if !value.at.is_empty() {
                    p.scoped("at", |p| grid.points_of(&value.at, p));
                }
            });
        }
    }

    /// The points of one of its numbers.
    pub fn place(&self, value: &Published) -> IndexMap<String, Labels> {
        self.at
            .iter()
            .chain(&value.at)
            .map(|(k, v)| (k.clone(), v.clone()))
            .collect()
    }
}
