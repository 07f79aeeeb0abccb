//! Tests of the loop on a net of one layer, and the toy data that encoders' tests share.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use super::*;
use szar_core::{Cancel, ClassId, ClassSplit, Progress, Seed, SeenLabels, testing};
use tch::Device;
use tch::kind::FLOAT_CPU;
use tch::no_grad;

/// Sequences `[3, 8, 4, M]` of two seen classes: the joints of class 1 rise over time, those of class 0 sink.
pub(crate) struct Toy {
    joints: Tensor,
    labels: SeenLabels,
    persons: i64,
}

impl Toy {
    pub(crate) fn new(count: usize, persons: i64, seed: i64) -> Self {
        tch::set_num_threads(1);
        let classes = testing::classes(3);
        let split = ClassSplit::new("toy", &classes, &[ClassId(0), ClassId(1)], &[ClassId(2)]).unwrap();
        let labels: Vec<ClassId> = (0..count).map(|i| ClassId(i as i64 % 2)).collect();
        let labels = SeenLabels::new(&split, &labels, Device::Cpu).unwrap();
        let direction = labels.columns().to_kind(Kind::Float) * 2.0 - 1.0;
        let time = Tensor::arange(8, FLOAT_CPU) / 8.0;
        let joints = testing::normal(&format!("toy {seed}"), &[count as i64, 3, 8, 4, persons]) * 0.3;
        let slope = direction.view([-1, 1, 1, 1]) * time.view([1, -1, 1, 1]);
        let _ = joints.select(1, 1).g_add_(&slope);
        Self {
            joints,
            labels,
            persons,
        }
    }
}

impl SeenSkeletons for Toy {
    fn labels(&self) -> &SeenLabels {
        &self.labels
    }

    fn batch(&self, samples: &[usize]) -> Result<SkeletonBatch> {
        let rows: Vec<i64> = samples.iter().map(|s| *s as i64).collect();
        Ok(SkeletonBatch {
            joints: self.joints.index_select(0, &Tensor::from_slice(&rows)),
            frames: Tensor::full([rows.len() as i64], 8, (Kind::Int64, Device::Cpu)),
            present: vec![true; rows.len() * self.persons as usize],
            layout: Arc::new(testing::layout(4)),
        })
    }
}

/// Asks to stop once so many steps are done.
pub(crate) struct StopAfter<'a>(pub(crate) u64, pub(crate) &'a Cancel, pub(crate) AtomicU64);

impl Progress for StopAfter<'_> {
    fn begin(&self, _: &str, _: u64) {}
    fn advance(&self, done: u64, _: &str) {
        self.2.store(done, Ordering::Relaxed);
        if done == self.0 {
            self.1.request();
        }
    }
    fn end(&self) {}
}

/// Runs the test that asks again in a process of its own, where no other test draws from libtorch's generator; true there,
/// with that generator started from a fixed number: what is trained is the same on every run.
pub(crate) fn alone() -> bool {
    const MARK: &str = "SZAR_TEST_ALONE";
    let thread = std::thread::current();
    let name = thread.name().unwrap_or("main");
    // Tests run one by one are on the main thread: no other draws.
    if name == "main" || std::env::var_os(MARK).is_some() {
        Seed(1).apply();
        return true;
    }
    let mut again = std::process::Command::new(std::env::current_exe().unwrap());
    again
        .args([name, "--exact"])
        .env(MARK, "1")
        .env("OMP_NUM_THREADS", "1");
    let output = again.output().unwrap();
    let text = String::from_utf8_lossy(&output.stdout);
    assert!(output.status.success() && text.contains("1 passed"), "{text}");
    false
}

struct Linear {
    weight: Tensor,
}

impl Linear {
    fn new() -> Self {
        Self {
            weight: Tensor::zeros([2, 96], FLOAT_CPU).set_requires_grad(true),
        }
    }
}

impl SeenClassifier for Linear {
    fn weights(&self) -> NamedTensors {
        [("weight".to_owned(), self.weight.shallow_clone())].into()
    }

    fn train_logits(&self, batch: &SkeletonBatch, _: Kind) -> Result<Tensor> {
        let none: Option<&Tensor> = None;
        Ok(batch
            .joints
            .flatten(1, -1)
            .dropout(0.1, true)
            .linear(&self.weight, none))
    }

    fn eval_logits(&self, batch: &SkeletonBatch) -> Result<Tensor> {
        let none: Option<&Tensor> = None;
        Ok(no_grad(|| batch.joints.flatten(1, -1).linear(&self.weight, none)))
    }
}

fn options() -> TrainConfig {
    TrainConfig {
        epochs: 5,
        batch: 16,
        lr: 0.02,
        ..TrainConfig::default()
    }
}

#[test]
fn separable_classes_are_learned_and_the_best_epoch_is_kept() {
    let (train, validation) = (Toy::new(64, 1, 0), Toy::new(32, 1, 1));
    let net = Linear::new();
    let cancel = Cancel::default();
    let summary = fit(
        &net,
        &options(),
        &train,
        &validation,
        &testing::fit_context(&cancel),
    )
    .unwrap();
    let best = summary.validation[summary.best_epoch as usize - 1];
    assert!(best > 90.0, "{summary:?}");
    assert!(summary.validation.iter().all(|v| *v <= best));
    assert!(summary.train_loss[4] < summary.train_loss[0]);
}

#[test]
fn without_validation_the_last_epoch_is_kept() {
    let cancel = Cancel::default();
    let context = testing::fit_context(&cancel);
    let summary = fit(
        &Linear::new(),
        &options(),
        &Toy::new(32, 1, 0),
        &Toy::new(0, 1, 0),
        &context,
    )
    .unwrap();
    assert_eq!((summary.best_epoch, summary.validation.len()), (5, 0));
}

/// Right about every validation sample after the first epoch, wrong ever after.
struct Fading(Linear, std::cell::Cell<u32>);

impl SeenClassifier for Fading {
    fn weights(&self) -> NamedTensors {
        self.0.weights()
    }

    fn train_logits(&self, batch: &SkeletonBatch, kind: Kind) -> Result<Tensor> {
        self.0.train_logits(batch, kind)
    }

    fn eval_logits(&self, batch: &SkeletonBatch) -> Result<Tensor> {
        let call = self.1.replace(self.1.get() + 1);
        let labels = Tensor::arange(batch.len() as i64, (Kind::Int64, Device::Cpu)).remainder(2);
        let sign = if call == 0 { 1.0 } else { -1.0 };
        Ok(labels.one_hot(2).to_kind(Kind::Float) * sign)
    }
}

#[test]
fn a_training_without_progress_stops_early_and_keeps_its_best_weights() {
    let cancel = Cancel::default();
    let context = testing::fit_context(&cancel);
    let (train, validation) = (Toy::new(32, 1, 0), Toy::new(16, 1, 1));
    let net = Fading(Linear::new(), std::cell::Cell::new(0));
    let options = TrainConfig {
        epochs: 9,
        patience: Some(2),
        schedule: szar_core::optim::Schedule::Constant,
        ..options()
    };
    let summary = fit(&net, &options, &train, &validation, &context).unwrap();
    assert_eq!((summary.best_epoch, summary.epochs), (1, 3));
    assert_eq!(summary.validation, [100.0, 0.0, 0.0]);
}

#[test]
fn the_published_schedule_of_st_gcn_can_be_written_down() {
    let text = r#"{"epochs": 80, "lr": 0.1, "weight_decay": 0.0001, "label_smoothing": 0.0, "grad_clip": null,
        "optimiser": {"rule": "sgd", "momentum": 0.9, "nesterov": true},
        "schedule": {"shape": "steps", "milestones": [10, 50], "factor": 0.1},
        "augmentation": {"rotation": 0.0, "scale": 0.0}}"#;
    let config: TrainConfig = serde_json::from_str(text).unwrap();
    let mut problems = szar_core::Problems::new();
    config.validate(&mut problems);
    assert!(problems.is_empty(), "{problems}");
    let rate = |epoch: u64| config.lr * config.schedule.factor(epoch * 7, 80 * 7, 7);
    assert_eq!(
        [rate(9), rate(10), rate(50)].map(|r| (r * 1e6).round()),
        [1e5, 1e4, 1e3]
    );
    assert!(matches!(
        config.optimiser,
        szar_core::optim::Rule::Sgd { nesterov: true, .. }
    ));
}

#[test]
fn a_stopped_training_resumes_to_the_same_bits() {
    if !alone() {
        return;
    }
    let folder = tempfile::tempdir().unwrap();
    let (train, validation) = (Toy::new(40, 1, 0), Toy::new(16, 1, 1));
    let never = Cancel::default();
    let whole = Linear::new();
    let expected = fit(
        &whole,
        &options(),
        &train,
        &validation,
        &testing::fit_context(&never),
    )
    .unwrap();

    let cancel = Cancel::default();
    let stop = StopAfter(7, &cancel, AtomicU64::new(0)); // 3 steps an epoch: in the middle of the third
    let mut context = testing::fit_context(&cancel);
    context.progress = &stop;
    context.checkpoint = Some(folder.path().join("encoder.safetensors"));
    let error = fit(&Linear::new(), &options(), &train, &validation, &context).unwrap_err();
    assert!(matches!(error, Error::Cancelled), "{error}");
    assert_eq!(stop.2.load(Ordering::Relaxed), 7);

    let again = Linear::new();
    let mut context = testing::fit_context(&never);
    context.checkpoint = Some(folder.path().join("encoder.safetensors"));
    let resumed = fit(&again, &options(), &train, &validation, &context).unwrap();
    assert!(again.weight.equal(&whole.weight));
    assert_eq!(
        (resumed.train_loss, resumed.validation),
        (expected.train_loss, expected.validation)
    );

    let other = TrainConfig {
        lr: 0.03,
        ..options()
    };
    let error = fit(&Linear::new(), &other, &train, &validation, &context)
        .unwrap_err()
        .to_string();
    assert!(error.contains("training with other options"), "{error}");
}

#[test]
fn a_loss_that_is_not_a_number_is_reported_with_the_learning_rate() {
    let cancel = Cancel::default();
    let mut context = testing::fit_context(&cancel);
    context.seed = Seed(1);
    let options = TrainConfig {
        lr: 1e38,
        grad_clip: None,
        schedule: szar_core::optim::Schedule::Constant,
        ..options()
    };
    let error = fit(
        &Linear::new(),
        &options,
        &Toy::new(64, 1, 0),
        &Toy::new(0, 1, 0),
        &context,
    )
    .unwrap_err();
    let text = error.to_string();
    assert!(text.starts_with("training diverged in epoch"), "{text}");
}
