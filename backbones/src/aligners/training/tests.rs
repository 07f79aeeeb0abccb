use szar_core::optim::Rule;
use szar_core::{Cancel, testing};
use tch::Kind;
use tch::kind::FLOAT_CPU;

use super::*;

/// Moves a number to 3 by gradient descent; `bad` puts a value that is no number in a term of round and step.
struct Toy {
    x: Tensor,
    optimiser: Optimiser,
    held_out: Vec<f64>,
    bad: Option<(u32, u64)>,
    rates: Vec<f64>,
}

impl Toy {
    fn new() -> Self {
        let x = Tensor::zeros([1], FLOAT_CPU).set_requires_grad(true);
        let parameters = NamedTensors::from([("x".to_owned(), x.shallow_clone())]);
        Self {
            x,
            optimiser: Optimiser::new(Rule::Adam, 0.0, &parameters),
            held_out: Vec::new(),
            bad: None,
            rates: Vec::new(),
        }
    }
}

impl Lesson for Toy {
    fn terms(&self) -> &'static [&'static str] {
        &["total", "distance", "other"]
    }

    fn step(&mut self, rows: &Tensor, at: At) -> Result<Tensor> {
        let distance = (&self.x - 3.0).square() * (rows.numel() as f64 / rows.numel() as f64);
        self.optimiser.zero_grad();
        distance.sum(Kind::Float).backward();
        self.optimiser.step(at.lr);
        self.rates.push(at.lr);
        let other = if self.bad == Some((at.round, at.step)) {
            f64::NAN
        } else {
            0.0
        };
        let other = Tensor::from_slice(&[other as f32]);
        let distance = distance.detach();
        Ok(Tensor::cat(&[&distance + &other, distance, other], 0))
    }

    fn validate(&mut self, round: u32) -> Result<Measure> {
        Ok(match self.held_out.get(round as usize) {
            Some(value) => Measure::Loss(Tensor::from_slice(&[*value])),
            None => Measure::Nothing,
        })
    }

    fn weights(&self) -> NamedTensors {
        NamedTensors::from([("x".to_owned(), self.x.shallow_clone())])
    }

    fn optimisers(&mut self) -> Vec<(&'static str, &mut Optimiser)> {
        vec![("adam", &mut self.optimiser)]
    }
}

fn plan(rounds: u32) -> Plan {
    Plan {
        name: "toy",
        about: "{}".into(),
        rounds,
        sampling: Sampling::Epoch {
            batch: 4,
            drop_last: false,
        },
        lr: 0.1,
        rate: Rate::Constant,
        patience: None,
    }
}

#[test]
fn a_term_that_is_no_number_is_named_with_its_batch_and_the_checkpoint_stays() {
    let folder = tempfile::tempdir().unwrap();
    let cancel = Cancel::default();
    let mut ctx = testing::fit_context(&cancel);
    ctx.checkpoint = Some(folder.path().join("toy.safetensors"));
    let mut toy = Toy::new();
    toy.bad = Some((1, 2));
    let error = run(&mut toy, &plan(4), 20, &mut ctx).unwrap_err().to_string();
    assert!(
        error.contains(
            "training of `toy` diverged in epoch 2, batch 3: the term `other` of the loss is not a number"
        ),
        "{error}"
    );
    assert!(error.contains("the state after epoch 1 is kept in"), "{error}");
    // What is kept goes on, and to the same end as a training that was never disturbed.
    let mut again = Toy::new();
    let summary = run(&mut again, &plan(4), 20, &mut ctx).unwrap();
    let mut whole = Toy::new();
    let undisturbed = run(&mut whole, &plan(4), 20, &mut testing::fit_context(&cancel)).unwrap();
    assert!(again.x.equal(&whole.x));
    assert_eq!(summary.train_loss, undisturbed.train_loss);
}

#[test]
fn the_best_round_by_validation_is_kept_and_patience_ends_training() {
    let cancel = Cancel::default();
    let mut toy = Toy::new();
    toy.held_out = vec![3.0, 1.0, 2.0, 2.0, 2.0, 0.5];
    let mut plan = plan(6);
    plan.patience = Some(2);
    let summary = run(&mut toy, &plan, 8, &mut testing::fit_context(&cancel)).unwrap();
    assert_eq!((summary.epochs, summary.best_epoch), (5, 2));
    let mut two = Toy::new();
    run(
        &mut two,
        &super::Plan { rounds: 2, ..plan },
        8,
        &mut testing::fit_context(&cancel),
    )
    .unwrap();
    assert!(toy.x.equal(&two.x), "the weights of round 2 are back");
}

#[test]
fn a_checkpoint_of_another_training_is_refused() {
    let folder = tempfile::tempdir().unwrap();
    let cancel = Cancel::default();
    let mut ctx = testing::fit_context(&cancel);
    ctx.checkpoint = Some(folder.path().join("toy.safetensors"));
    run(&mut Toy::new(), &plan(1), 8, &mut ctx).unwrap();
    let mut other = plan(2);
    other.name = "other";
    let error = run(&mut Toy::new(), &other, 8, &mut ctx).unwrap_err().to_string();
    assert!(
        error.contains("of another aligner (found `toy`, expected `other`)"),
        "{error}"
    );
    let error = run(&mut Toy::new(), &plan(2), 9, &mut ctx)
        .unwrap_err()
        .to_string();
    assert!(
        error.contains("of another set of samples (found 8, expected 9)"),
        "{error}"
    );
}

#[test]
fn batches_cover_every_sample_once_and_draws_never_repeat_within_a_step() {
    let seed = szar_core::Seed(1);
    let mut all: Vec<i64> = Vec::new();
    for rows in epoch(9, 4, false, seed, tch::Device::Cpu) {
        assert!(rows.numel() > 1, "a batch of one");
        all.extend(szar_core::host::to_i64(&rows).unwrap());
    }
    all.sort_unstable();
    assert_eq!(all, (0..9).collect::<Vec<_>>());
    let dropped = epoch(9, 4, true, seed, tch::Device::Cpu);
    assert_eq!(dropped.iter().map(Tensor::numel).collect::<Vec<_>>(), [4, 4]);
    let alone = epoch(3, 4, true, seed, tch::Device::Cpu);
    assert_eq!(alone.iter().map(Tensor::numel).collect::<Vec<_>>(), [3]);
}

#[test]
fn rates_follow_the_plan() {
    let cancel = Cancel::default();
    let mut toy = Toy::new();
    let mut plan = plan(4);
    plan.sampling = Sampling::Draws { batch: 3, steps: 2 };
    plan.rate = Rate::Milestones {
        rounds: vec![1, 3],
        factor: 0.5,
    };
    run(&mut toy, &plan, 8, &mut testing::fit_context(&cancel)).unwrap();
    assert_eq!(toy.rates, [0.1, 0.1, 0.05, 0.05, 0.05, 0.05, 0.025, 0.025]);
}
