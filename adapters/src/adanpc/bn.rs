//! The batch normalisation before the memory, which follows the entropy of the answers.

use szar_core::optim::{Optimiser, Rule};
use szar_core::{NamedTensors, Result, checkpoint};
use tch::{Device, Kind, Tensor};

use super::AdaNpcConfig;
use super::memory::Memory;
use super::step::FLOOR;

const MOMENTUM: f64 = 0.1;
const EPSILON: f64 = 1e-5;
/// Lengths below this count as this.
const MIN_LENGTH: f64 = 1e-12;

/// Scale, shift and running statistics of one stream, with their optimiser.
pub(super) struct Bn {
    /// `weight` and `bias` (trained), `running_mean` and `running_var`; all `[D]`, on the host.
    pub state: NamedTensors,
    optimiser: Optimiser,
}

impl std::fmt::Debug for Bn {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Bn")
            .field("state", &self.state)
            .finish_non_exhaustive()
    }
}

/// What one pass gives.
pub(super) struct Pass {
    /// `[G, D]`, of length 1.
    pub vectors: Tensor,
    /// `[G, C]`.
    pub votes: Tensor,
}

impl Bn {
    pub fn new(width: usize) -> Self {
        let of = |value: f64| Tensor::full([width as i64], value, (Kind::Float, Device::Cpu));
        let state = NamedTensors::from([
            ("weight".to_owned(), of(1.0).set_requires_grad(true)),
            ("bias".to_owned(), of(0.0).set_requires_grad(true)),
            ("running_mean".to_owned(), of(0.0)),
            ("running_var".to_owned(), of(1.0)),
        ]);
        let optimiser = Optimiser::new(Rule::Adam, 0.0, &state);
        Self { state, optimiser }
    }

    /// Everything that changes, by name, sharing memory.
    fn everything(&self) -> NamedTensors {
        let own = self
            .state
            .iter()
            .map(|(name, t)| (name.clone(), t.shallow_clone()));
        let optimiser = self.optimiser.state().into_iter();
        own.chain(optimiser.map(|(name, t)| (format!("adam/{name}"), t)))
            .collect()
    }

    pub fn save(&self, prefix: &str, into: &mut NamedTensors) {
        let all = self.everything().into_iter();
        into.extend(all.map(|(name, t)| (format!("{prefix}/{name}"), t.detach().copy())));
    }

    /// Goes on from the entries of a snapshot below `prefix`.
    pub fn load(&mut self, prefix: &str, state: &NamedTensors) -> Result<()> {
        let start = format!("{prefix}/");
        let own = state
            .iter()
            .filter_map(|(name, t)| Some((name.strip_prefix(&start)?, t)));
        let (mut mine, mut adam) = (NamedTensors::new(), NamedTensors::new());
        for (name, tensor) in own {
            match name.strip_prefix("adam/") {
                Some(name) => adam.insert(name.to_owned(), tensor.shallow_clone()),
                None => mine.insert(name.to_owned(), tensor.shallow_clone()),
            };
        }
        tch::no_grad(|| checkpoint::copy_into(&self.state, &mine, |_| false))?;
        self.optimiser.load_state(&adam)
    }

    pub fn bytes(&self) -> u64 {
        let all = self.everything();
        all.values()
            .map(|t| (t.numel() * t.kind().elt_size_in_bytes()) as u64)
            .sum()
    }

    /// `x` `[G, D]` normalised (by its own statistics when `training`) and scaled to length 1.
    fn vectors(&self, x: &Tensor, training: bool) -> Tensor {
        let part = |name: &str| self.state.get(name);
        let z = x.batch_norm(
            part("weight"),
            part("bias"),
            part("running_mean"),
            part("running_var"),
            training,
            MOMENTUM,
            EPSILON,
            false,
        );
        let length = z
            .square()
            .sum_dim_intlist([1i64].as_slice(), true, Kind::Float)
            .sqrt();
        z / length.clamp_min(MIN_LENGTH)
    }

    /// One pass over samples `x` `[G, D]`: the votes as they are, then one step down their mean entropy. A single sample
    /// takes the running statistics, and nothing moves.
    pub fn pass(&mut self, options: &AdaNpcConfig, memory: &Memory, classes: usize, x: &Tensor) -> Pass {
        if x.size()[0] < 2 {
            return tch::no_grad(|| {
                let vectors = self.vectors(x, false);
                let votes = votes(options, memory, classes, &vectors);
                Pass { vectors, votes }
            });
        }
        tch::with_grad(|| {
            let vectors = self.vectors(x, true);
            let votes = votes(options, memory, classes, &vectors);
            let log = votes.log_softmax(1, Kind::Float);
            let entropy = -(votes.softmax(1, Kind::Float) * log);
            let loss = entropy
                .sum_dim_intlist([1i64].as_slice(), false, Kind::Float)
                .mean(Kind::Float);
            self.optimiser.zero_grad();
            loss.backward();
            self.optimiser.step(options.lr);
            Pass {
                vectors: vectors.detach(),
                votes: votes.detach(),
            }
        })
    }
}

/// The votes as in [`super::step`], by tensor operations that carry gradients.
fn votes(options: &AdaNpcConfig, memory: &Memory, classes: usize, queries: &Tensor) -> Tensor {
    let shape = [memory.len() as i64, memory.rows.width as i64];
    let rows = Tensor::from_slice(&memory.values).reshape(shape);
    let similarities = queries.matmul(&rows.transpose(0, 1));
    let inside = options.eps_ball.map(|eps| similarities.ge(eps));
    let inside = inside.filter(|inside| inside.any_dim(1, false).all().int64_value(&[]) == 1);
    let k = i64::try_from(options.k).unwrap_or(i64::MAX).min(shape[0]);
    let (near, index) = match &inside {
        Some(inside) => {
            let outside = inside.logical_not();
            let all = Tensor::arange(shape[0], (Kind::Int64, Device::Cpu));
            (
                similarities.masked_fill(&outside, f64::NEG_INFINITY),
                all.expand_as(&similarities),
            )
        }
        None => similarities.topk(k, 1, true, true),
    };
    let weights = (near / options.temperature).softmax(1, Kind::Float);
    let labels = crate::saved::integers(memory.labels.iter().copied()).take(&index);
    let none = Tensor::zeros([queries.size()[0], classes as i64], (Kind::Float, Device::Cpu));
    (none.scatter_add(1, &labels, &weights) + FLOOR).clamp_max(1.0)
}
