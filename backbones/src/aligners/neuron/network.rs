//! The evolving prototypes, under the official parameter names.

use szar_core::NamedTensors;
use tch::{Device, Kind, Tensor};

use crate::aligners::training::{Dense, Init, unit_rows};

/// Rounds in which prototypes evolve.
pub(super) const ROUNDS: usize = 3;
/// Shares of the frames, in sixteenths, that the rounds see.
const SIXTEENTHS: [i64; ROUNDS] = [5, 10, 16];
/// What the weight of a prototype that a joint leaves out is multiplied by.
const LEFT_OUT: f64 = 1e-12;

/// All widths.
#[derive(Clone, Copy, Debug)]
pub(super) struct Sizes {
    /// N.
    pub channels: i64,
    /// d.
    pub text: i64,
    /// K, of each stream.
    pub prototypes: i64,
    /// Hidden units of the maps that move prototypes; N officially.
    pub hidden: i64,
}

/// Linear, ReLU, linear, ReLU.
#[derive(Debug)]
struct Mapping(Dense, Dense);

impl Mapping {
    fn new(sizes: Sizes, device: Device) -> Self {
        let linear = |inputs, outputs| Dense::new(inputs, outputs, Init::Torch, device);
        Self(
            linear(sizes.channels, sizes.hidden),
            linear(sizes.hidden, sizes.channels),
        )
    }

    /// One per round, each with the weights of `self` to begin with.
    fn copies(&self) -> [Self; ROUNDS] {
        let copy = |dense: &Dense| Dense {
            weight: dense.weight.copy(),
            bias: dense.bias.as_ref().map(Tensor::copy),
        };
        std::array::from_fn(|_| Self(copy(&self.0), copy(&self.1)))
    }

    fn forward(&self, x: &Tensor) -> Tensor {
        self.1.forward(&self.0.forward(x).relu()).relu()
    }

    fn state(&self, name: &str, into: &mut NamedTensors) {
        self.0.state(&format!("{name}.0"), into);
        self.1.state(&format!("{name}.2"), into);
    }
}

/// Both streams.
#[derive(Debug)]
pub(super) struct Network {
    /// `[K, N]`.
    spatial_prototype: Tensor,
    temporal_prototype: Tensor,
    /// What the maps of the rounds start from; not used otherwise.
    spatial_template: Mapping,
    temporal_template: Mapping,
    update_spatial: [Mapping; ROUNDS],
    update_temporal: [Mapping; ROUNDS],
    memory_temporal: [Mapping; ROUNDS],
    recall_temporal: [Mapping; ROUNDS],
    spatial_project: Dense,
    temporal_project: Dense,
}

impl Network {
    pub fn new(sizes: Sizes, device: Device) -> Self {
        let prototypes = || Tensor::randn([sizes.prototypes, sizes.channels], (Kind::Float, device));
        let project = || Dense::new(sizes.channels, sizes.text, Init::Torch, device);
        let (spatial, temporal) = (Mapping::new(sizes, device), Mapping::new(sizes, device));
        Self {
            spatial_prototype: prototypes(),
            temporal_prototype: prototypes(),
            update_spatial: spatial.copies(),
            update_temporal: temporal.copies(),
            memory_temporal: spatial.copies(),
            recall_temporal: spatial.copies(),
            spatial_template: spatial,
            temporal_template: temporal,
            spatial_project: project(),
            temporal_project: project(),
        }
    }

    /// Per round `[B, d]`, of length 1: what the spatial prototypes make of maps `[B, N, T', V']`.
    pub fn spatial(&self, maps: &Tensor) -> Vec<Tensor> {
        let joints = maps
            .mean_dim([2i64].as_slice(), false, Kind::Float)
            .transpose(1, 2)
            .contiguous(); // [B, V', N]
        let mut prototypes = self.spatial_prototype.shallow_clone();
        let mut outputs = Vec::with_capacity(ROUNDS);
        for (round, update) in (1..).zip(&self.update_spatial) {
            let alike = joints.matmul(&prototypes.transpose(-2, -1)); // [B, V', K]
            let weights = alike.softmax(1, Kind::Float) * kept(&alike, round);
            prototypes = update.forward(&weights.transpose(1, 2).bmm(&joints)); // [B, K, N]
            outputs.push(project(&self.spatial_project, &prototypes));
        }
        outputs
    }

    /// As [`Self::spatial`] for the temporal prototypes.
    pub fn temporal(&self, maps: &Tensor) -> Vec<Tensor> {
        let frames = maps
            .mean_dim([3i64].as_slice(), false, Kind::Float)
            .transpose(1, 2)
            .contiguous(); // [B, T', N]
        let mut prototypes = self.temporal_prototype.shallow_clone();
        let mut outputs = Vec::with_capacity(ROUNDS);
        for (round, share) in SIXTEENTHS.into_iter().enumerate() {
            let count = (share * frames.size()[1] + 15) / 16; // rounded up
            let frames = frames.narrow(1, 0, count);
            let alike = frames.matmul(&prototypes.transpose(-2, -1)); // [B, t, K]
            let gathered = alike.softmax(1, Kind::Float).transpose(1, 2).bmm(&frames); // [B, K, N]
            let gate = |of: &[Mapping; ROUNDS]| of[round].forward(&gathered).sigmoid();
            prototypes = gate(&self.recall_temporal) * &prototypes
                + gate(&self.memory_temporal) * self.update_temporal[round].forward(&gathered);
            outputs.push(project(&self.temporal_project, &prototypes));
        }
        outputs
    }

    /// What training moves.
    pub fn parameters(&self) -> NamedTensors {
        let mut parameters = NamedTensors::from([
            (
                "spatial_prototype.weight".to_owned(),
                self.spatial_prototype.shallow_clone(),
            ),
            (
                "temporal_prototype.weight".to_owned(),
                self.temporal_prototype.shallow_clone(),
            ),
        ]);
        let rounds = [
            ("update_spatial", &self.update_spatial),
            ("update_temporal", &self.update_temporal),
            ("memory_temporal", &self.memory_temporal),
            ("recall_temporal", &self.recall_temporal),
        ];
        for (name, mappings) in rounds {
            for (round, mapping) in mappings.iter().enumerate() {
                mapping.state(&format!("{name}.{round}"), &mut parameters);
            }
        }
        self.spatial_project.state("spatial_project.0", &mut parameters);
        self.temporal_project.state("temporal_project.0", &mut parameters);
        parameters
    }

    /// All official entries, the unused templates included.
    pub fn state(&self) -> NamedTensors {
        let mut state = self.parameters();
        self.spatial_template.state("fc_spatial", &mut state);
        self.temporal_template.state("fc_temporal", &mut state);
        state
    }
}

/// `[B, V', K]`: 1, and almost 0 at the `round` quarters of the prototypes that are least like a joint.
fn kept(alike: &Tensor, round: i64) -> Tensor {
    let left_out = alike.size()[2] * round / 4;
    let (_, least) = alike.detach().topk(left_out, 2, false, false);
    alike.detach().ones_like().scatter_value(2, &least, LEFT_OUT)
}

/// `[B, d]`, of length 1, from prototypes `[B, K, N]`.
fn project(to_text: &Dense, prototypes: &Tensor) -> Tensor {
    let mean = prototypes.mean_dim([1i64].as_slice(), false, Kind::Float);
    unit_rows(&to_text.forward(&mean).relu())
}

/// `[C, d]`: mean of the texts `[C, k, d]` of each class, brought to length 1 first.
pub(super) fn mean_text(texts: &Tensor) -> Tensor {
    unit_rows(texts).mean_dim([1i64].as_slice(), false, Kind::Float)
}

#[cfg(test)]
mod tests {
    use super::*;
    use tch::kind::FLOAT_CPU;

    #[test]
    fn each_round_leaves_a_further_quarter_of_the_prototypes_out() {
        let alike = Tensor::randn([2, 3, 8], FLOAT_CPU);
        for round in 1..=3 {
            let kept = kept(&alike, round);
            let count = kept
                .gt(0.5)
                .sum_dim_intlist([2i64].as_slice(), false, Kind::Int64);
            assert!(count.eq(8 - 2 * round).all().int64_value(&[]) == 1);
            let best = alike.argmax(2, true);
            assert!(kept.gather(2, &best, false).eq(1.0).all().int64_value(&[]) == 1);
        }
    }
}
