//! `pseudo-unseen`: a dataset without its test part, some of whose seen classes stand for unseen ones.
//!
//! Hyper-parameters are chosen on it (SynSE's `shift_val_*` features are of this kind): what is chosen never meets an unseen
//! class or a test sample of the dataset inside, because neither is in this one.
//!
//! | of the dataset inside                | here                                                      |
//! |--------------------------------------|-----------------------------------------------------------|
//! | training samples of held-out classes | unseen test samples                                       |
//! | training samples of the other seen   | training samples, but for the part `test`: seen test ones |
//! | test samples, unseen classes         | outside                                                   |

use std::sync::Arc;

use rand::seq::SliceRandom;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use szar_core::{
    BuildContext, ClassId, ClassSplit, ComponentInfo, ComponentKind, Dataset, DatasetConfig, DatasetInfo,
    Error, Mark, Problems, Result, SampleInfo, SampleRole, Seed, Sequence, SkeletonLayout,
};

use crate::motion::ProceduralConfig;

/// Options of the `pseudo-unseen` dataset.
#[derive(Debug, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct PseudoUnseenConfig {
    /// The dataset whose seen classes are divided. Default: the embedded motions.
    #[schemars(schema_with = "szar_core::registry::dataset_schema")]
    pub of: Box<dyn DatasetConfig>,
    /// Seen classes that are held out in each fold, at least 2. Default: 5.
    pub unseen: usize,
    /// Number of folds, at least 1; their held-out classes have none in common. Default: 3.
    pub folds: usize,
    /// Which fold this is, from 0.
    pub fold: usize,
    /// Seed of the draw, independent of the run's seed.
    pub seed: u64,
    /// Part of each other class's training samples that stand for test samples, `0 .. 0.9`, no unit. Default: 0.2.
    pub test: f64,
}

impl Default for PseudoUnseenConfig {
    fn default() -> Self {
        Self {
            of: Box::new(ProceduralConfig::default()),
            unseen: 5,
            folds: 3,
            fold: 0,
            seed: 0,
            test: 0.2,
        }
    }
}

#[typetag::serde(name = "pseudo-unseen")]
impl DatasetConfig for PseudoUnseenConfig {
    fn validate(&self, problems: &mut Problems) {
        problems.scoped("of", |p| self.of.validate(p));
        problems.check(self.of.features().is_none(), "of", || {
            "gives features of an encoder that was trained on all seen classes: none of them can stand for an unseen one".into()
        });
        problems.check(self.unseen >= 2, "unseen", || {
            format!(
                "must be at least 2, got {}: one class alone is always right",
                self.unseen
            )
        });
        problems.check(self.folds >= 1, "folds", || "must be at least 1, got 0".into());
        problems.check(self.fold < self.folds.max(1), "fold", || {
            format!(
                "must be less than `folds`, which is {}, got {}",
                self.folds, self.fold
            )
        });
        problems.check((0.0..0.9).contains(&self.test), "test", || {
            format!("must be at least 0 and less than 0.9, got {}", self.test)
        });
    }

    fn layout(&self) -> Option<(Arc<SkeletonLayout>, i64)> {
        self.of.layout()
    }

    fn marks(&self) -> Vec<Mark> {
        let mut marks = self.of.marks();
        marks.push(Mark::note(format!(
            "validation on seen classes: {} of them stand for unseen ones (fold {} of {}); no test sample has a part in it",
            self.unseen,
            self.fold + 1,
            self.folds
        )));
        marks
    }

    fn build(&self, ctx: &BuildContext) -> Result<Box<dyn Dataset>> {
        let inner = self.of.build(ctx)?;
        let split = self.divide(&inner.split()?)?;
        let samples = self.roles(inner.as_ref(), &split);
        let mut info = inner.info().clone();
        info.name = format!("{}, seen classes", info.name);
        Ok(Box::new(PseudoUnseen {
            inner,
            info,
            samples,
            split,
        }))
    }
}

inventory::submit! {
    ComponentInfo::new::<PseudoUnseenConfig>(
        ComponentKind::Dataset,
        "pseudo-unseen",
        "The training part of a dataset, some of whose seen classes stand for unseen ones.",
        "",
    )
}

impl PseudoUnseenConfig {
    fn divide(&self, split: &ClassSplit) -> Result<ClassSplit> {
        let seen = split.seen();
        let needed = self.unseen.saturating_mul(self.folds);
        if needed >= seen.len() {
            return Err(Error::Input(format!(
                "{} folds of {} classes need more than {needed} seen classes, split `{}` has {}",
                self.folds,
                self.unseen,
                split.name(),
                seen.len()
            )));
        }
        let mut ids = seen.ids().to_vec();
        ids.shuffle(&mut Seed(self.seed).derive("pseudo-unseen", 0).rng());
        let held: Vec<ClassId> = ids[self.fold * self.unseen..][..self.unseen].to_vec();
        let left: Vec<ClassId> = ids.into_iter().filter(|id| !held.contains(id)).collect();
        let name = format!(
            "{}, {}_{} fold {}",
            split.name(),
            left.len(),
            held.len(),
            self.fold
        );
        ClassSplit::new(&name, seen, &left, &held)
    }

    fn roles(&self, inner: &dyn Dataset, split: &ClassSplit) -> Vec<SampleInfo> {
        let mut samples = inner.samples().to_vec();
        for sample in &mut samples {
            let known =
                split.seen().column(sample.class).is_some() || split.unseen().column(sample.class).is_some();
            if sample.role != SampleRole::Train || !known {
                sample.role = SampleRole::Outside;
            }
        }
        let mut rng = Seed(self.seed)
            .derive("pseudo-unseen/test", self.fold as u64)
            .rng();
        for class in split.seen().ids() {
            let of_class = |i: &usize| samples[*i].class == *class && samples[*i].role == SampleRole::Train;
            let mut members: Vec<usize> = (0..samples.len()).filter(of_class).collect();
            members.shuffle(&mut rng);
            let test = (members.len() as f64 * self.test).round() as usize;
            for i in &members[..test.min(members.len().saturating_sub(1))] {
                samples[*i].role = SampleRole::Test;
            }
        }
        samples
    }
}

struct PseudoUnseen {
    inner: Box<dyn Dataset>,
    info: DatasetInfo,
    samples: Vec<SampleInfo>,
    split: ClassSplit,
}

impl Dataset for PseudoUnseen {
    fn info(&self) -> &DatasetInfo {
        &self.info
    }

    fn samples(&self) -> &[SampleInfo] {
        &self.samples
    }

    fn load(&self, sample: usize) -> Result<Sequence> {
        if self
            .samples
            .get(sample)
            .is_none_or(|s| s.role == SampleRole::Outside)
        {
            return Err(Error::Input(format!(
                "sample {sample} has no part in a validation on seen classes"
            )));
        }
        self.inner.load(sample)
    }

    fn split(&self) -> Result<ClassSplit> {
        Ok(self.split.clone())
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use szar_core::testing::build_context;

    use super::*;

    fn config(fold: usize) -> PseudoUnseenConfig {
        PseudoUnseenConfig {
            of: Box::new(ProceduralConfig {
                samples_per_class: 10,
                ..ProceduralConfig::default()
            }),
            fold,
            ..PseudoUnseenConfig::default()
        }
    }

    #[test]
    fn no_test_sample_and_no_unseen_class_of_the_dataset_is_in_it() {
        let whole = config(0).of.build(&build_context()).unwrap();
        let truth = whole.split().unwrap();
        let data = config(0).build(&build_context()).unwrap();
        for (i, (here, there)) in data.samples().iter().zip(whole.samples()).enumerate() {
            let may = there.role == SampleRole::Train && truth.seen().column(there.class).is_some();
            assert_eq!(here.role != SampleRole::Outside, may, "sample {i}");
            assert_eq!(data.load(i).is_ok(), may, "sample {i}");
        }
    }

    #[test]
    fn folds_hold_out_different_classes_of_the_seen_ones() {
        let truth = config(0).of.build(&build_context()).unwrap().split().unwrap();
        let mut all = BTreeSet::new();
        for fold in 0..3 {
            let split = config(fold).build(&build_context()).unwrap().split().unwrap();
            assert_eq!(
                (split.unseen().len(), split.seen().len()),
                (5, truth.seen().len() - 5)
            );
            for id in split.unseen().ids() {
                assert!(all.insert(*id) && truth.seen().column(*id).is_some());
            }
        }
    }

    #[test]
    fn every_class_that_is_left_keeps_training_samples_and_gives_test_samples() {
        let data = config(1).build(&build_context()).unwrap();
        for class in data.split().unwrap().seen().ids() {
            let count = |role| {
                data.samples()
                    .iter()
                    .filter(|s| s.class == *class && s.role == role)
                    .count()
            };
            assert!(count(SampleRole::Train) > count(SampleRole::Test) && count(SampleRole::Test) > 0);
        }
    }

    #[test]
    fn too_many_held_out_classes_are_refused() {
        let config = PseudoUnseenConfig {
            unseen: 8,
            ..config(0)
        };
        let error = config
            .build(&build_context())
            .map(|_| ())
            .unwrap_err()
            .to_string();
        assert!(
            error.contains("3 folds of 8 classes need more than 24 seen classes"),
            "{error}"
        );
    }
}
