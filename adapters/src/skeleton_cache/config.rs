//! Options of `skeleton-cache`.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use szar_core::descriptors::TemporalSplit;
use szar_core::error::nearest;
use szar_core::{
    AdapterConfig, BuildContext, ComponentInfo, ComponentKind, FilePath, Granularity, Mark, Problems,
    Requirements, Result, TestTimeAdapter,
};

use super::choices::Behaviour;
use super::{
    Accumulate, Centre, LogitNorm, MissingPrior, Order, Preset, Protocol, SecondPass, Signal, SkeletonCache,
    WeightRow,
};
use crate::balance::BalanceConfig;

/// Options of the `skeleton-cache` adapter.
#[derive(Clone, Debug, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct SkeletonCacheConfig {
    /// Fills the options below that are not given (those that default to null). Default: balanced.
    pub preset: Preset,
    /// K, entries per class, from 1. Preset balanced: 32; others: the paper's 8.
    pub capacity: Option<usize>,
    /// alpha, factor of the cache's score; 0 or more, in logits. Preset balanced: 1; others: the paper's 5.
    pub alpha: Option<f64>,
    /// beta, sharpness of the affinity exp(-beta (1 - cos)); 0 or more, no unit. Preset balanced: 30; others: the paper's 3.
    pub beta: Option<f64>,
    /// What is done to the logits before anything else sees them (as the adapter `balance`). Preset balanced: its defaults;
    /// others: nothing.
    pub balance: Option<BalanceConfig>,
    /// Answer first or store first. Preset paper: update_then_predict; others: predict_then_update.
    pub order: Option<Order>,
    /// Which posterior a sample is stored by. Preset official: refined; others: zero_shot.
    pub signal: Option<Signal>,
    /// Leave a sample's own entry out when it is answered after it was stored. Preset paper: false; others: true.
    pub exclude_self: Option<bool>,
    /// A sample whose two largest probabilities differ by less than this is also stored with the runner-up, where
    /// there are fewer candidates than `capacity`; 0 to 1, 0 is off. Preset official: 0.5; others: 0.
    pub hedge_margin: Option<f64>,
    /// Score the stream again with the finished cache. Preset official: official; others: off.
    pub second_pass: Option<SecondPass>,
    /// Whose weights fuse the descriptors. All presets: predicted.
    pub weight_row: Option<WeightRow>,
    /// Edges of the three phases. Preset official: round; others: floor.
    pub temporal_split: Option<TemporalSplit>,
    /// Descriptors to compare, by name; `[global]` also works with pooled features. Default: the paper's eight.
    pub descriptors: Vec<Granularity>,
    /// JSON file with the weights of the descriptors for each class; without it they weigh the same.
    pub prior: Option<FilePath>,
    /// Name of the split that the prior file must be for; not checked when absent.
    pub prior_split: Option<String>,
    /// What to do for a candidate that the prior does not know. Default: error.
    pub missing_prior: MissingPrior,
    /// How entries become scores. Preset balanced: soft; others: the paper's sum.
    pub accumulate: Option<Accumulate>,
    /// What is subtracted from the descriptors before they are compared. Default: none, as in the paper.
    pub centre: Centre,
    /// What is done to the logits first; alpha adds on their scale. Default: none, as in the paper.
    pub logit_norm: LogitNorm,
    /// Fixed constants, or the best on the test labels as the released code reports. Default: fixed.
    pub protocol: Protocol,
    /// Values of alpha that `protocol: test_tuned` tries. Default: those of the released code.
    pub alpha_grid: Vec<f64>,
    /// Values of beta that `protocol: test_tuned` tries. Default: those of the released code.
    pub beta_grid: Vec<f64>,
}

impl Default for SkeletonCacheConfig {
    fn default() -> Self {
        Self {
            preset: Preset::Balanced,
            capacity: None,
            alpha: None,
            beta: None,
            balance: None,
            order: None,
            signal: None,
            exclude_self: None,
            hedge_margin: None,
            second_pass: None,
            weight_row: None,
            temporal_split: None,
            descriptors: EIGHT.to_vec(),
            prior: None,
            prior_split: None,
            missing_prior: MissingPrior::Error,
            accumulate: None,
            centre: Centre::None,
            logit_norm: LogitNorm::None,
            protocol: Protocol::Fixed,
            alpha_grid: vec![0.5, 1.0, 2.0, 3.0, 5.0],
            beta_grid: vec![3.0, 5.0, 7.0, 9.0],
        }
    }
}

/// The paper's slots: the whole, four parts, three phases.
pub(super) const EIGHT: [Granularity; 8] = [
    Granularity::GLOBAL,
    Granularity::HEAD,
    Granularity::TORSO,
    Granularity::HANDS,
    Granularity::LEGS,
    Granularity::START,
    Granularity::MIDDLE,
    Granularity::END,
];

const PARTS: [Granularity; 4] = [
    Granularity::HEAD,
    Granularity::TORSO,
    Granularity::HANDS,
    Granularity::LEGS,
];

impl SkeletonCacheConfig {
    pub(super) fn behaviour(&self) -> Behaviour {
        let preset = Behaviour::of(self.preset);
        Behaviour {
            order: self.order.unwrap_or(preset.order),
            signal: self.signal.unwrap_or(preset.signal),
            exclude_self: self.exclude_self.unwrap_or(preset.exclude_self),
            hedge_margin: self.hedge_margin.unwrap_or(preset.hedge_margin),
            second_pass: self.second_pass.unwrap_or(preset.second_pass),
            weight_row: self.weight_row.unwrap_or(preset.weight_row),
            temporal_split: self.temporal_split.unwrap_or(preset.temporal_split),
            accumulate: self.accumulate.unwrap_or(preset.accumulate),
            capacity: self.capacity.unwrap_or(preset.capacity),
            alpha: self.alpha.unwrap_or(preset.alpha),
            beta: self.beta.unwrap_or(preset.beta),
            balanced: preset.balanced,
        }
    }

    /// What balances the logits.
    pub(super) fn balancing(&self) -> BalanceConfig {
        let of_preset = || {
            if self.behaviour().balanced {
                BalanceConfig::default()
            } else {
                BalanceConfig::off()
            }
        };
        self.balance.clone().unwrap_or_else(of_preset)
    }

    /// The grid of `protocol: test_tuned`, alpha in the outer loop; empty for fixed constants.
    pub(super) fn variants(&self) -> Vec<Self> {
        if self.protocol == Protocol::Fixed {
            return Vec::new();
        }
        let with = |alpha, beta| Self {
            alpha: Some(alpha),
            beta: Some(beta),
            protocol: Protocol::Fixed,
            ..self.clone()
        };
        let row = |alpha: &f64| {
            self.beta_grid
                .iter()
                .map(|beta| with(*alpha, *beta))
                .collect::<Vec<_>>()
        };
        self.alpha_grid.iter().flat_map(row).collect()
    }

    fn check_descriptors(&self, problems: &mut Problems) {
        let names = || EIGHT.iter().map(Granularity::as_str);
        problems.check(!self.descriptors.is_empty(), "descriptors", || {
            "must name at least one".into()
        });
        for (i, slot) in self.descriptors.iter().enumerate() {
            let field = format!("descriptors[{i}]");
            if !EIGHT.contains(slot) {
                let near = nearest(slot.as_str(), names());
                let hint = near.map_or_else(
                    || format!("known descriptors: {}", names().collect::<Vec<_>>().join(", ")),
                    |near| format!("did you mean `{near}`?"),
                );
                problems.add_with_hint(&field, format!("unknown descriptor `{slot}`"), hint);
            } else if self.descriptors[..i].contains(slot) {
                problems.add(&field, format!("`{slot}` is listed twice"));
            }
        }
    }

    fn check_grid(&self, problems: &mut Problems) {
        for (field, grid) in [("alpha_grid", &self.alpha_grid), ("beta_grid", &self.beta_grid)] {
            problems.check(!grid.is_empty(), field, || "must hold at least one value".into());
            for (i, value) in grid.iter().enumerate() {
                not_negative(problems, &format!("{field}[{i}]"), *value);
            }
        }
    }
}

/// Refuses negative, infinite and missing numbers.
fn not_negative(problems: &mut Problems, field: &str, value: f64) {
    let ok = value.is_finite() && value >= 0.0;
    problems.check(ok, field, || format!("must be 0 or more, got {value}"));
}

#[typetag::serde(name = "skeleton-cache")]
impl AdapterConfig for SkeletonCacheConfig {
    fn validate(&self, problems: &mut Problems) {
        let behaviour = self.behaviour();
        problems.check((1..=4096).contains(&behaviour.capacity), "capacity", || {
            format!("must be between 1 and 4096, got {}", behaviour.capacity)
        });
        not_negative(problems, "alpha", behaviour.alpha);
        not_negative(problems, "beta", behaviour.beta);
        if let Some(balance) = &self.balance {
            balance.judge("balance", problems);
        }
        let margin = behaviour.hedge_margin;
        let why = || format!("must be between 0 and 1, got {margin}");
        problems.check((0.0..=1.0).contains(&margin), "hedge_margin", why);
        let named = self.prior_split.is_none() || self.prior.is_some();
        problems.check(named, "prior_split", || {
            "names a split, but there is no `prior` file".into()
        });
        let empty = self.prior.as_ref().is_some_and(FilePath::is_empty);
        problems.check(!empty, "prior", || "must name a file".into());
        self.check_descriptors(problems);
        if self.protocol == Protocol::TestTuned {
            self.check_grid(problems);
        }
    }

    fn requirements(&self) -> Requirements {
        let beyond: Vec<_> = self
            .descriptors
            .iter()
            .filter(|g| **g != Granularity::GLOBAL)
            .collect();
        Requirements {
            feature_map: beyond.first().map(|slot| format!("`descriptors` has `{slot}`")),
            descriptors_do: self.behaviour().temporal_split == TemporalSplit::Floor,
            parts: beyond.iter().any(|slot| PARTS.contains(slot)),
            ..Requirements::default()
        }
    }

    fn marks(&self) -> Vec<Mark> {
        let mut marks = Vec::new();
        if self.protocol == Protocol::TestTuned {
            marks.push(Mark::test_labels(
                "skeleton-cache: alpha and beta are the best of a grid on the test labels (protocol: test_tuned)",
            ));
        }
        if self.behaviour().second_pass == SecondPass::Official {
            marks.push(Mark::note(
                "skeleton-cache: the finished cache may score the whole stream a second time, its own entries included (second_pass: official)",
            ));
        }
        if self.prior.is_none() && self.descriptors.len() > 1 {
            marks.push(Mark::note(
                "skeleton-cache: no prior, all descriptors weigh the same",
            ));
        }
        marks
    }

    fn holds_streams(&self) -> bool {
        true
    }

    fn test_tuned_variants(&self) -> Vec<Box<dyn AdapterConfig>> {
        let boxed = |variant| Box::new(variant) as Box<dyn AdapterConfig>;
        self.variants().into_iter().map(boxed).collect()
    }

    fn build(&self, _: &BuildContext) -> Result<Box<dyn TestTimeAdapter>> {
        Ok(Box::new(SkeletonCache::new(self)?))
    }
}

inventory::submit! {
    ComponentInfo::new::<SkeletonCacheConfig>(
        ComponentKind::Adapter,
        "skeleton-cache",
        "Remembers confident test samples per class and scores new ones by their likeness to them, part by part.",
        "Skeleton-Cache, arXiv 2512.11458",
    )
}
