//! Options of the gate, and the settings of the papers.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use szar_core::{
    BuildContext, ClassList, ComponentInfo, ComponentKind, GateConfig, GzslGate, Mark, Problems,
    PseudoUnseen, Result,
};

use super::super::evidence::Classifier;
use super::choose::Plan;
use super::gate::Gate;

pub(super) const NAME: &str = "seen-unseen-classifier";

/// Whose settings are taken where an option is not given.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum Preset {
    /// Few samples: both sides equally many, a third of them (at most 300 and 400) to choose on.
    #[default]
    Small,
    /// SynSE and CADA-VAE: T of 1 to 9, 300 held-out and 400 seen samples to choose on, at most half of what there is.
    Synse,
    /// ReViSE and JPoSE: as SynSE, T of 2 to 9, solver `ovr`.
    Revise,
    /// SA-DVAE: as SynSE, seen samples subsampled to as many as held-out ones, a sixth (at most 300) to choose on.
    SaDvae,
}

/// How the regression counts its penalty, as scikit-learn names it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum Solver {
    /// One weight vector per side, both penalised: the same as `ovr` with twice the `c`.
    Multinomial,
    /// One weight vector.
    Ovr,
}

impl Solver {
    /// What `c` amounts to with one weight vector.
    pub(super) fn effective(self, c: f64) -> f64 {
        match self {
            Self::Multinomial => 2.0 * c,
            Self::Ovr => c,
        }
    }
}

/// Options of the `seen-unseen-classifier` gate.
#[derive(Clone, Debug, Default, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct SeenUnseenClassifierConfig {
    /// Settings for what is not given below: `small` (ours), `synse`, `revise`, `sa-dvae`. Default: small.
    pub preset: Preset,
    /// T, above 0, instead of one chosen on a part of the validation. SynSE's README: 3, with 48/12 2; SA-DVAE on NTU-120:
    /// 2. Default: chosen.
    pub temperature: Option<f64>,
    /// th, above 0 and below 1, instead of one of 0.25, 0.26 .. 0.74 chosen with T. SynSE's README: 0.54 with 55/5, else
    /// 0.5; SA-DVAE on NTU-120: 0.5. Default: chosen.
    pub threshold: Option<f64>,
    /// The T that are tried, each above 0. Default: the preset's.
    pub temperatures: Option<Vec<f64>>,
    /// K, largest values kept of either posterior, at least 1; no more than either side has classes. Default: as many as
    /// there are unseen classes (the papers).
    pub top: Option<usize>,
    /// Inverse strength of the penalty, above 0. Default: 1 (the papers, which leave scikit-learn's default).
    pub c: Option<f64>,
    /// How the penalty is counted: `multinomial` or `ovr`. Default: the preset's.
    pub solver: Option<Solver>,
    /// Subsample the larger side to the size of the smaller. Default: the preset's.
    pub balance: Option<bool>,
    /// Samples of held-out classes that T and th are chosen on, at least 1. Default: the preset's.
    pub holdout_unseen: Option<usize>,
    /// Samples of seen classes that T and th are chosen on, at least 1. Default: the preset's.
    pub holdout_seen: Option<usize>,
    /// Largest share of either side that T and th are chosen on, above 0 and below 1. Default: the preset's.
    pub holdout_share: Option<f64>,
    /// Apply the threshold as published, to P(seen). Default: false, to P(unseen), for which it was chosen.
    pub legacy_threshold: bool,
    /// While fitting, take the zero-shot posteriors of the held-out samples from seen samples, as the released code of
    /// SynSE and CADA-VAE. Default: false.
    pub unseen_feature_bug: bool,
    /// Decide by P(side) · (p + (1 − P(side)) / classes) of the best class of either side, which the released code of
    /// SynSE has and does not use; the threshold then plays no part. Default: false.
    pub soft: bool,
    /// Whose posterior over the seen classes is judged, and names the class of samples taken for seen: `encoder` or
    /// `aligner`. Default: encoder (the papers).
    pub seen_side: Classifier,
    /// Which seen classes are held out to fit it on.
    pub pseudo_unseen: PseudoUnseen,
}

impl SeenUnseenClassifierConfig {
    /// What is done, with the preset's settings filled in.
    pub(super) fn plan(&self) -> Plan {
        let (temperatures, solver, balance, unseen, seen, share) = match self.preset {
            Preset::Small => (1..=9, Solver::Multinomial, true, 300, 400, 1.0 / 3.0),
            Preset::Synse => (1..=9, Solver::Multinomial, false, 300, 400, 0.5),
            Preset::Revise => (2..=9, Solver::Ovr, false, 300, 400, 0.5),
            Preset::SaDvae => (1..=9, Solver::Multinomial, true, 300, 300, 1.0 / 6.0),
        };
        let tried = || temperatures.map(f64::from).collect();
        let solver = self.solver.unwrap_or(solver);
        Plan {
            temperatures: match self.temperature {
                Some(fixed) => vec![fixed],
                None => self.temperatures.clone().unwrap_or_else(tried),
            },
            thresholds: match self.threshold {
                Some(fixed) => vec![fixed],
                None => (25..75u8).map(|percent| f64::from(percent) / 100.0).collect(),
            },
            c: solver.effective(self.c.unwrap_or(1.0)),
            balance: self.balance.unwrap_or(balance),
            holdout: [
                self.holdout_seen.unwrap_or(seen),
                self.holdout_unseen.unwrap_or(unseen),
            ],
            share: self.holdout_share.unwrap_or(share),
        }
    }
}

#[typetag::serde(name = "seen-unseen-classifier")]
impl GateConfig for SeenUnseenClassifierConfig {
    fn validate(&self, problems: &mut Problems) {
        let mut positive = |field: &str, value: Option<f64>| {
            let sound = value.is_none_or(|v| v > 0.0 && v.is_finite());
            problems.check(sound, field, || {
                format!("must be above 0, got {}", value.unwrap_or_default())
            });
        };
        positive("temperature", self.temperature);
        positive("c", self.c);
        for (i, value) in self.temperatures.iter().flatten().enumerate() {
            positive(&format!("temperatures[{i}]"), Some(*value));
        }
        let mut inside = |field: &str, value: Option<f64>| {
            let sound = value.is_none_or(|v| v > 0.0 && v < 1.0);
            problems.check(sound, field, || {
                format!("must be above 0 and below 1, got {}", value.unwrap_or_default())
            });
        };
        inside("threshold", self.threshold);
        inside("holdout_share", self.holdout_share);
        for (field, value) in [
            ("top", self.top),
            ("holdout_unseen", self.holdout_unseen),
            ("holdout_seen", self.holdout_seen),
        ] {
            problems.check(value != Some(0), field, || "must be at least 1, got 0".into());
        }
        let none = self.temperatures.as_ref().is_some_and(Vec::is_empty);
        problems.check(!none, "temperatures", || {
            "must hold at least one temperature".into()
        });
        let both = self.temperature.is_some() && self.temperatures.is_some();
        problems.check(!both, "temperatures", || {
            "`temperature` is given, so none is tried; leave one of the two out".into()
        });
        self.pseudo_unseen.validate(problems);
    }

    fn needs_encoder_logits(&self) -> bool {
        self.seen_side == Classifier::Encoder
    }

    fn needs_pseudo_unseen(&self) -> Option<PseudoUnseen> {
        Some(self.pseudo_unseen.clone())
    }

    fn marks(&self) -> Vec<Mark> {
        let mut marks = self.pseudo_unseen.marks(NAME);
        if self.legacy_threshold {
            marks.push(Mark::note(format!(
                "gate `{NAME}` applies its threshold to the probability of seen, as published; it was chosen for that of unseen"
            )));
        }
        if self.unseen_feature_bug {
            marks.push(Mark::note(format!(
                "gate `{NAME}` is fitted with zero-shot posteriors of seen samples in place of those of held-out ones, as released"
            )));
        }
        marks
    }

    fn build(&self, _: &ClassList, ctx: &BuildContext) -> Result<Box<dyn GzslGate>> {
        Ok(Box::new(Gate::new(self.clone(), ctx.seed)))
    }
}

inventory::submit! {
    ComponentInfo::new::<SeenUnseenClassifierConfig>(
        ComponentKind::Gate,
        NAME,
        "A logistic regression on two sorted posteriors, fitted with seen classes held out.",
        "SynSE, arXiv 2101.11530",
    )
}
