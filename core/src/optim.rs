//! Optimisers whose state can be saved, so that a killed training resumes bit for bit.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use tch::{Device, Kind, Tensor, no_grad};

use crate::Result;
use crate::checkpoint::{NamedTensors, copy_into};
use crate::host::{slice, slice_mut};

/// Which update rule, with its constants.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case", tag = "rule", deny_unknown_fields)]
pub enum Rule {
    /// Stochastic gradient descent.
    Sgd {
        /// Momentum, `0 ..< 1`.
        momentum: f64,
        /// Nesterov's form of the momentum.
        nesterov: bool,
    },
    /// Adam (Kingma and Ba 2015); the weight decay is added to the gradient.
    Adam,
    /// Adam with decoupled weight decay (Loshchilov and Hutter 2019).
    AdamW,
}

const BETA1: f64 = 0.9;
const BETA2: f64 = 0.999;
const EPSILON: f64 = 1e-8;

struct Slot {
    name: String,
    parameter: Tensor,
    first: Tensor,
    second: Tensor,
}

/// An optimiser over named parameters. Its arithmetic is PyTorch's, operation by operation.
pub struct Optimiser {
    rule: Rule,
    weight_decay: f64,
    steps: i64,
    slots: Vec<Slot>,
}

impl Optimiser {
    /// Prepares the state for these parameters (those that require gradients).
    pub fn new(rule: Rule, weight_decay: f64, parameters: &NamedTensors) -> Self {
        let trainable = parameters.iter().filter(|(_, p)| p.requires_grad());
        let slots = trainable.map(|(name, p)| Slot {
            name: name.clone(),
            parameter: p.shallow_clone(),
            first: no_grad(|| p.zeros_like()),
            second: if matches!(rule, Rule::Sgd { .. }) {
                Tensor::new()
            } else {
                no_grad(|| p.zeros_like())
            },
        });
        Self {
            rule,
            weight_decay,
            steps: 0,
            slots: slots.collect(),
        }
    }

    /// Forgets the gradients.
    pub fn zero_grad(&mut self) {
        for slot in &mut self.slots {
            slot.parameter.zero_grad();
        }
    }

    /// Scales the gradients so that their joint Euclidean norm is at most `limit`, as
    /// `torch.nn.utils.clip_grad_norm_` does, without asking the device for the norm.
    pub fn clip_grad_norm(&mut self, limit: f64) {
        no_grad(|| {
            let grads: Vec<_> = self
                .slots
                .iter()
                .map(|s| s.parameter.grad())
                .filter(Tensor::defined)
                .collect();
            if grads.is_empty() {
                return;
            }
            let norms: Vec<_> = grads.iter().map(Tensor::norm).collect();
            let scale = (limit / (Tensor::stack(&norms, 0).norm() + 1e-6)).clamp_max(1.0);
            for mut grad in grads {
                let _ = grad.g_mul_(&scale);
            }
        });
    }

    /// One update with this learning rate; parameters without a gradient stay.
    pub fn step(&mut self, lr: f64) {
        self.steps += 1;
        let (steps, decay) = (self.steps, self.weight_decay);
        no_grad(|| {
            for slot in &mut self.slots {
                let grad = slot.parameter.grad();
                if grad.defined() {
                    update(self.rule, slot, grad, lr, decay, steps);
                }
            }
        });
    }

    /// As [`Self::step`], with gradients that were worked out without a graph, one for each parameter in the order of the names.
    pub fn step_with(&mut self, gradients: &[Tensor], lr: f64) {
        self.steps += 1;
        let (steps, decay) = (self.steps, self.weight_decay);
        no_grad(|| {
            for (slot, gradient) in self.slots.iter_mut().zip(gradients) {
                update(self.rule, slot, gradient.shallow_clone(), lr, decay, steps);
            }
        });
    }

    /// The optimiser's own state by name, sharing memory.
    pub fn state(&self) -> NamedTensors {
        let mut state = NamedTensors::new();
        state.insert("steps".into(), Tensor::from_slice(&[self.steps]));
        for slot in &self.slots {
            state.insert(format!("first/{}", slot.name), slot.first.shallow_clone());
            if slot.second.defined() {
                state.insert(format!("second/{}", slot.name), slot.second.shallow_clone());
            }
        }
        state
    }

    /// Goes on from a saved state.
    ///
    /// # Errors
    /// When names or shapes differ.
    pub fn load_state(&mut self, state: &NamedTensors) -> Result<()> {
        let mut mine = self.state();
        mine.insert("steps".into(), Tensor::from_slice(&[0i64]));
        copy_into(&mine, state, |_| false)?;
        self.steps = mine["steps"].int64_value(&[0]);
        Ok(())
    }
}

fn update(rule: Rule, slot: &mut Slot, mut grad: Tensor, lr: f64, decay: f64, steps: i64) {
    let mut parameter = slot.parameter.shallow_clone();
    let decoupled = matches!(rule, Rule::AdamW);
    if decay != 0.0 && decoupled {
        let _ = parameter.g_mul_scalar_(1.0 - lr * decay);
    } else if decay != 0.0 {
        grad = &parameter * decay + grad; // a new tensor: the gradient itself stays
    }
    match rule {
        Rule::Sgd { momentum, nesterov } => {
            if momentum != 0.0 {
                if steps == 1 {
                    slot.first.copy_(&grad);
                } else {
                    let _ = slot.first.g_mul_scalar_(momentum).g_add_(&grad);
                }
                grad = if nesterov {
                    grad + &slot.first * momentum
                } else {
                    slot.first.copy()
                };
            }
            let _ = parameter.g_sub_(&(grad * lr));
        }
        Rule::Adam | Rule::AdamW => adam(slot, &mut parameter, &grad, lr, steps),
    }
}

fn adam(slot: &mut Slot, parameter: &mut Tensor, grad: &Tensor, lr: f64, steps: i64) {
    let correction = |beta: f64| 1.0 - beta.powi(i32::try_from(steps).unwrap_or(i32::MAX));
    let rate = lr / correction(BETA1);
    let root = correction(BETA2).sqrt();
    let plain = |t: &Tensor| t.is_contiguous() && t.kind() == Kind::Float && t.device() == Device::Cpu;
    if [&*parameter, grad, &slot.first, &slot.second]
        .into_iter()
        .all(plain)
    {
        let moments = (slice_mut(&mut slot.first), slice_mut(&mut slot.second));
        adam_in_one_pass(
            slice_mut(parameter),
            slice(grad),
            moments,
            rate as f32,
            root as f32,
        );
        return;
    }
    let _ = slot.first.lerp_(grad, 1.0 - BETA1);
    let _ = slot
        .second
        .g_mul_scalar_(BETA2)
        .addcmul_(grad, &(grad * (1.0 - BETA2)));
    let denominator = slot.second.sqrt() / root + EPSILON;
    let _ = parameter.addcdiv_(&(&slot.first * -rate), &denominator);
}

/// The same on the host without temporaries: an update is bound by memory, and this reads and writes each value once.
fn adam_in_one_pass(
    parameter: &mut [f32],
    grad: &[f32],
    moments: (&mut [f32], &mut [f32]),
    rate: f32,
    root: f32,
) {
    let (first_share, second_share) = ((1.0 - BETA1) as f32, (1.0 - BETA2) as f32);
    let (second_decay, epsilon) = (BETA2 as f32, EPSILON as f32);
    let state = moments.0.iter_mut().zip(moments.1.iter_mut());
    for ((p, g), (first, second)) in parameter.iter_mut().zip(grad).zip(state) {
        *first += first_share * (g - *first);
        *second = *second * second_decay + second_share * g * g;
        *p += -rate * *first / (second.sqrt() / root + epsilon);
    }
}

/// How the learning rate moves over training.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case", tag = "shape", deny_unknown_fields)]
pub enum Schedule {
    /// Always the same.
    Constant,
    /// Up to the full rate over the first `warmup` share of the steps, then down to almost nothing, both along a
    /// cosine ("one cycle", Smith and Topin 2018, as in PyTorch: start at 1/25, end at 1/250000 of the full rate).
    OneCycle {
        /// Share of the steps that rise, `0 ..< 1`.
        warmup: f64,
    },
    /// Times `factor` after each of the given epochs.
    Steps {
        /// Epochs, counted from 1, after which the rate falls.
        milestones: Vec<u32>,
        /// By what it is multiplied.
        factor: f64,
        /// W, epochs of a linear warm-up: in epoch e, counted from 1, the rate is e / W of the full one up to epoch W.
        /// Default 0, none; CTR-GCN's is 5.
        #[serde(default)]
        warmup_epochs: u32,
    },
    /// From the full rate to zero along a cosine.
    Cosine,
}

impl Schedule {
    /// Share of the full learning rate at a step (from 0) of `steps` in all.
    pub fn factor(&self, step: u64, steps: u64, steps_per_epoch: u64) -> f64 {
        let half_cosine =
            |from: f64, to: f64, at: f64| to + (from - to) * (1.0 + (std::f64::consts::PI * at).cos()) / 2.0;
        match self {
            Self::Constant => 1.0,
            Self::Cosine => half_cosine(1.0, 0.0, step as f64 / steps.max(1) as f64),
            Self::Steps {
                milestones,
                factor,
                warmup_epochs,
            } => {
                let epoch = step / steps_per_epoch.max(1);
                if epoch < u64::from(*warmup_epochs) {
                    return (epoch + 1) as f64 / f64::from(*warmup_epochs);
                }
                let passed = milestones.iter().filter(|m| u64::from(**m) <= epoch).count();
                factor.powi(i32::try_from(passed).unwrap_or(i32::MAX))
            }
            Self::OneCycle { warmup } => {
                let top = (warmup * steps as f64 - 1.0).max(0.0);
                let at = step as f64;
                if at <= top && top > 0.0 {
                    half_cosine(1.0 / 25.0, 1.0, at / top)
                } else {
                    let rest = (steps as f64 - 1.0 - top).max(1.0);
                    half_cosine(1.0, 1.0 / 250_000.0, ((at - top) / rest).min(1.0))
                }
            }
        }
    }
}

/// Learning rate that falls when a measure stops improving (PyTorch's `ReduceLROnPlateau`, mode `min`, relative threshold 1e-4).
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Plateau {
    /// Learning rate now.
    pub lr: f64,
    /// By what it is multiplied.
    pub factor: f64,
    /// Epochs without improvement that are borne.
    pub patience: u32,
    /// Epochs after a fall in which nothing is counted.
    pub cooldown: u32,
    best: f64,
    bad: u32,
    cooling: u32,
}

impl Plateau {
    /// Starts at `lr`.
    pub fn new(lr: f64, factor: f64, patience: u32, cooldown: u32) -> Self {
        Self {
            lr,
            factor,
            patience,
            cooldown,
            best: f64::MAX,
            bad: 0,
            cooling: 0,
        }
    }

    /// Takes the measure of an epoch.
    pub fn observe(&mut self, measure: f64) {
        if measure < self.best * (1.0 - 1e-4) {
            self.best = measure;
            self.bad = 0;
        } else {
            self.bad += 1;
        }
        if self.cooling > 0 {
            self.cooling -= 1;
            self.bad = 0;
        }
        if self.bad > self.patience {
            // As in PyTorch, a fall too small to matter is left out, but the cooldown begins.
            if self.lr * (1.0 - self.factor) > 1e-8 {
                self.lr *= self.factor;
            }
            self.cooling = self.cooldown;
            self.bad = 0;
        }
    }
}

/// Is every value of the loss a number? Asks the device once.
pub fn is_finite(loss: &Tensor) -> bool {
    loss.to_kind(Kind::Double).double_value(&[]).is_finite()
}

#[cfg(test)]
mod tests {
    use super::*;
    use tch::kind::FLOAT_CPU;

    /// Three steps of Adam in plain f64: the textbook form with corrected moments.
    fn by_hand(start: f64, grads: &[f64], lr: f64, decay: f64, decoupled: bool) -> f64 {
        let (mut p, mut m, mut v) = (start, 0.0, 0.0);
        for (step, g) in (1..).zip(grads) {
            let g = if decoupled { *g } else { g + decay * p };
            if decoupled {
                p *= 1.0 - lr * decay;
            }
            m = BETA1 * m + (1.0 - BETA1) * g;
            v = BETA2 * v + (1.0 - BETA2) * g * g;
            let corrected = (m / (1.0 - BETA1.powi(step)), v / (1.0 - BETA2.powi(step)));
            p -= lr * corrected.0 / (corrected.1.sqrt() + EPSILON);
        }
        p
    }

    fn run(rule: Rule, decay: f64, start: &Tensor, grads: &[f64], lr: f64) -> Tensor {
        let parameter = start.copy().set_requires_grad(true);
        let all = NamedTensors::from([("p".to_owned(), parameter.shallow_clone())]);
        let mut optimiser = Optimiser::new(rule, decay, &all);
        for g in grads {
            optimiser.zero_grad();
            (&parameter * *g).sum(start.kind()).backward();
            optimiser.step(lr);
        }
        parameter.detach()
    }

    const GRADS: [f64; 3] = [0.5, -2.0, 1e-3];

    #[test]
    fn adam_is_the_textbook_formula() {
        for (rule, decoupled) in [(Rule::Adam, false), (Rule::AdamW, true)] {
            let got = run(rule, 0.1, &Tensor::full([3], 0.7, FLOAT_CPU), &GRADS, 0.01);
            let want = by_hand(0.7, &GRADS, 0.01, 0.1, decoupled);
            assert!(
                (got.double_value(&[1]) - want).abs() < 1e-6,
                "{rule:?}: {got} {want}"
            );
        }
    }

    #[test]
    fn the_one_pass_is_what_tensor_operations_give() {
        // A transposed parameter is not contiguous and takes the other way.
        let start = Tensor::randn([5, 7], FLOAT_CPU);
        let one_pass = run(Rule::Adam, 0.01, &start, &GRADS, 0.01);
        let strided = start.transpose(0, 1).contiguous().transpose(0, 1);
        let parameter = strided.set_requires_grad(true);
        assert!(!parameter.is_contiguous());
        let all = NamedTensors::from([("p".to_owned(), parameter.shallow_clone())]);
        let mut optimiser = Optimiser::new(Rule::Adam, 0.01, &all);
        for g in GRADS {
            optimiser.zero_grad();
            (&parameter * g).sum(Kind::Float).backward();
            optimiser.step(0.01);
        }
        assert!(one_pass.allclose(&parameter, 1e-6, 1e-7, false));
    }

    #[test]
    fn a_loaded_state_goes_on_as_if_never_stopped() {
        let start = Tensor::randn([4], FLOAT_CPU);
        let whole = run(Rule::Adam, 0.0, &start, &GRADS, 0.1);
        let parameter = start.copy().set_requires_grad(true);
        let all = NamedTensors::from([("p".to_owned(), parameter.shallow_clone())]);
        let mut state = Optimiser::new(Rule::Adam, 0.0, &all).state();
        for g in GRADS {
            let mut optimiser = Optimiser::new(Rule::Adam, 0.0, &all);
            optimiser.load_state(&state).unwrap();
            optimiser.zero_grad();
            (&parameter * g).sum(Kind::Float).backward();
            optimiser.step(0.1);
            state = optimiser.state();
        }
        assert!(whole.equal(&parameter));
    }

    #[test]
    fn sgd_with_momentum_by_hand() {
        // Buffers 1, 1.9 after gradients 1, 1: 0 - 0.1 * (1 + 1.9).
        let rule = Rule::Sgd {
            momentum: 0.9,
            nesterov: false,
        };
        let got = run(rule, 0.0, &Tensor::zeros([1], FLOAT_CPU), &[1.0, 1.0], 0.1);
        assert!((got.double_value(&[0]) + 0.29).abs() < 1e-6);
        // Nesterov: 1 + 0.9 = 1.9, then 1 + 0.9 * 1.9 = 2.71.
        let rule = Rule::Sgd {
            momentum: 0.9,
            nesterov: true,
        };
        let got = run(rule, 0.0, &Tensor::zeros([1], FLOAT_CPU), &[1.0, 1.0], 0.1);
        assert!((got.double_value(&[0]) + 0.461).abs() < 1e-6);
    }

    #[test]
    fn a_plateau_waits_falls_and_cools_down() {
        let mut plateau = Plateau::new(1.0, 0.1, 2, 1);
        let rates: Vec<f64> = [5.0, 4.0, 4.0, 4.0, 4.0, 4.0, 4.0, 4.0, 4.0, 3.0]
            .map(|measure| {
                plateau.observe(measure);
                plateau.lr
            })
            .to_vec();
        // Worse than 4 three times: falls at the fifth. One epoch cools down; three more: falls at the ninth.
        let want = [1.0, 1.0, 1.0, 1.0, 0.1, 0.1, 0.1, 0.1, 0.01, 0.01];
        assert!(
            rates.iter().zip(want).all(|(a, b)| (a - b).abs() < 1e-12),
            "{rates:?}"
        );
    }

    #[test]
    fn one_cycle_starts_at_a_25th_and_ends_at_almost_nothing() {
        let cycle = Schedule::OneCycle { warmup: 0.3 };
        let at = |step| cycle.factor(step, 100, 10);
        assert!((at(0) - 0.04).abs() < 1e-12);
        assert!((at(29) - 1.0).abs() < 1e-12);
        assert!((at(99) - 4e-6).abs() < 1e-12);
    }

    #[test]
    fn steps_fall_after_their_epochs_and_rise_before_them() {
        // CTR-GCN: 5 epochs of warm-up, then a tenth after 35 and after 55 of 65; two steps an epoch.
        let yaml = r#"{"shape": "steps", "milestones": [35, 55], "factor": 0.1, "warmup_epochs": 5}"#;
        let steps: Schedule = serde_json::from_str(yaml).unwrap();
        let in_epoch = |epoch: u64| [0, 1].map(|step| steps.factor(2 * (epoch - 1) + step, 130, 2));
        for (epoch, want) in [
            (1, 0.2),
            (2, 0.4),
            (5, 1.0),
            (6, 1.0),
            (35, 1.0),
            (36, 0.1),
            (55, 0.1),
            (56, 0.01),
        ] {
            let got = in_epoch(epoch);
            assert!(
                got.iter().all(|f| (f - want).abs() < 1e-12),
                "epoch {epoch}: {got:?}"
            );
        }
        let without = r#"{"shape": "steps", "milestones": [35, 55], "factor": 0.1}"#;
        let without: Schedule = serde_json::from_str(without).unwrap();
        assert_eq!(without.factor(0, 130, 2), 1.0);
    }
}
