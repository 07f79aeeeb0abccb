//! Joint-shaped prompts and the adaptive sampler: what a text draws from the joints.
//!
//! SCoPLe, section 3.3, eqs. 11 to 14, and the network behind it.

use szar_core::NamedTensors;
use tch::{Device, Kind, Tensor};

use crate::aligners::training::{Dense, Init};

/// All widths.
#[derive(Clone, Copy, Debug)]
pub struct Sizes {
    /// N.
    pub channels: i64,
    /// d.
    pub text: i64,
    /// p, learned joints.
    pub prompts: i64,
    /// h, of queries and keys.
    pub key: i64,
    /// r, of values.
    pub value: i64,
    /// Units of the hidden layer behind the sampler.
    pub hidden: i64,
}

/// The visual side of SCoPLe.
#[derive(Debug)]
pub struct Sampler {
    sizes: Sizes,
    /// `[p, N]`, P^V.
    prompts: Tensor,
    query: Dense,
    key: Dense,
    value: Dense,
    first: Dense,
    second: Dense,
}

impl Sampler {
    /// Random weights from libtorch's generator; prompts from N(0, 1).
    pub fn new(sizes: Sizes, device: Device) -> Self {
        let bare = |inputs, outputs| Dense::without_bias(inputs, outputs, Init::Torch, device);
        let full = |inputs, outputs| Dense::new(inputs, outputs, Init::Torch, device);
        Self {
            sizes,
            prompts: Tensor::randn([sizes.prompts, sizes.channels], (Kind::Float, device)),
            query: bare(sizes.text, sizes.key),
            key: bare(sizes.channels, sizes.key),
            value: bare(sizes.channels, sizes.value),
            first: full(sizes.value, sizes.hidden),
            second: full(sizes.hidden, sizes.text),
        }
    }

    /// `[C, N]`: what texts `[C, d]` look for in a joint, queries and keys folded into one, `f W_Q W_Kᵀ / √h`.
    pub fn probes(&self, texts: &Tensor) -> Tensor {
        self.query.forward(texts).mm(&self.key.weight) / (self.sizes.key as f64).sqrt()
    }

    /// `[B, d]`: what each sample's own probe `[B, N]` draws from its joints `[B, V, N]`.
    pub fn vectors(&self, joints: &Tensor, probes: &Tensor) -> Tensor {
        let joints = self.prompted(joints);
        let weights = joints.bmm(&probes.unsqueeze(2)).softmax(1, Kind::Float); // [B, p+V, 1]
        self.project(&weights.transpose(1, 2).bmm(&joints).squeeze_dim(1))
    }

    /// `[B, C, d]`: what every probe `[C, N]` draws from the joints `[B, V, N]`.
    pub fn vectors_of_all(&self, joints: &Tensor, probes: &Tensor) -> Tensor {
        let joints = self.prompted(joints);
        let weights = joints.matmul(&probes.transpose(0, 1)).softmax(1, Kind::Float); // [B, p+V, C]
        self.project(&weights.transpose(1, 2).bmm(&joints))
    }

    /// `[B, p+V, N]`: the learned joints in front of the others.
    fn prompted(&self, joints: &Tensor) -> Tensor {
        let prompts = self
            .prompts
            .unsqueeze(0)
            .expand([joints.size()[0], -1, -1], false);
        Tensor::cat(&[&prompts, joints], 1)
    }

    /// `[.., d]` from means of joints `[.., N]`: values are linear, so that the value of a mean is the mean of values.
    fn project(&self, means: &Tensor) -> Tensor {
        let drawn = self.value.forward(means);
        self.second.forward(&self.first.forward(&drawn).silu()).tanh()
    }

    /// What is learned, by name, sharing memory.
    pub fn parameters(&self) -> NamedTensors {
        let mut parameters =
            NamedTensors::from([("skeleton_prompts".to_owned(), self.prompts.shallow_clone())]);
        let layers = [
            ("sampler.query", &self.query),
            ("sampler.key", &self.key),
            ("sampler.value", &self.value),
            ("head.0", &self.first),
            ("head.2", &self.second),
        ];
        for (name, layer) in layers {
            layer.state(name, &mut parameters);
        }
        parameters
    }
}
