//! Where values of a hyper-parameter come from.

use schemars::JsonSchema;
use serde::Deserialize;
use serde_json::{Value, json};
use szar_core::Problems;

/// How a range is divided.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum Scale {
    /// Equal differences.
    #[default]
    Linear,
    /// Equal ratios.
    Log,
}

/// Values of one field.
#[derive(Clone, Debug, PartialEq, Deserialize, JsonSchema)]
#[serde(untagged)]
pub enum Domain {
    /// These values.
    Choices(Vec<Value>),
    /// All numbers of a range.
    Range(Range),
}

/// A range of numbers, both ends included.
#[derive(Clone, Debug, PartialEq, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Range {
    /// The least.
    pub from: f64,
    /// The greatest.
    pub to: f64,
    /// How it is divided: `linear` or `log`. Default: linear.
    #[serde(default)]
    pub scale: Scale,
    /// Whole numbers only. Default: no.
    #[serde(default)]
    pub whole: bool,
    /// How many values a grid takes of it, at least 2. Default: 5.
    #[serde(default = "five")]
    pub points: usize,
}

fn five() -> usize {
    5
}

impl Domain {
    pub(super) fn validate(&self, problems: &mut Problems) {
        match self {
            Self::Choices(values) => problems.check(!values.is_empty(), "", || "has no value".into()),
            Self::Range(range) => {
                let Range { from, to, .. } = *range;
                problems.check(from.is_finite() && to.is_finite() && from < to, "", || {
                    format!("`from` must be less than `to`, got {from} and {to}")
                });
                problems.check(range.scale == Scale::Linear || from > 0.0, "from", || {
                    format!("must be more than 0 on a `log` scale, got {from}")
                });
                problems.check(range.points >= 2, "points", || {
                    format!("must be at least 2, got {}", range.points)
                });
            }
        }
    }

    /// The value at a place between 0 and 1.
    pub fn at(&self, place: f64) -> Value {
        let place = place.clamp(0.0, 1.0);
        match self {
            Self::Choices(values) => {
                let i = ((place * values.len() as f64) as usize).min(values.len().saturating_sub(1));
                values.get(i).cloned().unwrap_or_default()
            }
            Self::Range(range) => range.at(place),
        }
    }

    /// The values that a grid tries.
    pub fn points(&self) -> Vec<Value> {
        match self {
            Self::Choices(values) => values.clone(),
            Self::Range(range) => {
                let last = range.points.saturating_sub(1).max(1);
                let mut values: Vec<Value> = (0..=last).map(|i| range.at(i as f64 / last as f64)).collect();
                values.dedup();
                values
            }
        }
    }

    /// Number of values, where they can be counted.
    pub(super) fn count(&self) -> Option<usize> {
        match self {
            Self::Choices(values) => Some(values.len()),
            Self::Range(_) => None,
        }
    }
}

impl Range {
    fn at(&self, place: f64) -> Value {
        let value = match self.scale {
            Scale::Linear => self.from + place * (self.to - self.from),
            Scale::Log => (self.from.ln() + place * (self.to.ln() - self.from.ln())).exp(),
        };
        let value = value.clamp(self.from, self.to);
        if self.whole {
            return json!(value.round() as i64);
        }
        // Six digits are more than any of them is worth, and read well.
        let rounded: f64 = format!("{value:.5e}").parse().unwrap_or(value);
        json!(rounded.clamp(self.from, self.to))
    }
}
