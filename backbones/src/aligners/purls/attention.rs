//! Attention from a class's texts to the nodes of a map.
//!
//! PURLS, section 3.3, as the official code has it: the scaled scores of the heads are averaged and one softmax over
//! all nodes follows, so that H heads of width K are one bilinear form `q · W_qᵀ W_k · x / (H √K)`.

use szar_core::NamedTensors;
use tch::{Device, Kind, Tensor};

use super::head::kaiming_uniform;

/// Two bias-free projections, of texts and of nodes.
#[derive(Debug)]
pub(super) struct Attention {
    /// `[H·K, d]`.
    query: Tensor,
    /// `[H·K, N]`.
    key: Tensor,
    scale: f64,
}

impl Attention {
    pub fn new(channels: i64, width: i64, heads: i64, key_width: i64, device: Device) -> Self {
        Self {
            query: kaiming_uniform(heads * key_width, width, device),
            key: kaiming_uniform(heads * key_width, channels, device),
            scale: 1.0 / (heads as f64 * (key_width as f64).sqrt()),
        }
    }

    pub fn state(&self, into: &mut NamedTensors) {
        into.insert("attention.linear_q.weight".into(), self.query.shallow_clone());
        into.insert("attention.linear_k.weight".into(), self.key.shallow_clone());
    }

    /// `[.., N]`: what a text of `[.., d]` looks for, in the space of the nodes; its dot product with a node is the score.
    pub fn probe(&self, text: &Tensor) -> Tensor {
        let nothing: Option<&Tensor> = None;
        text.linear(&self.query, nothing).matmul(&self.key) * self.scale
    }

    /// `[B, L, P]`: per sample, the weights that its own probes `[B, L, N]` give to its nodes `[B, P, N]`.
    pub fn weights(&self, probes: &Tensor, nodes: &Tensor) -> Tensor {
        probes.bmm(&nodes.transpose(1, 2)).softmax(-1, Kind::Float)
    }

    /// `[B, C·L, P]`: the weights that every text of every class (`[C·L, d]`) gives to the nodes `[B, P, N]`.
    pub fn weights_for_all(&self, text: &Tensor, nodes: &Tensor) -> Tensor {
        let (batch, points, channels) = nodes.size3().unwrap_or_default();
        let (texts, wide) = (text.size()[0], self.key.size()[0]);
        // The same sums in two orders: through the probes, or through the keys of the nodes.
        let through_probes = texts * channels * wide + batch * texts * points * channels;
        let through_keys = batch * points * channels * wide + batch * texts * points * wide;
        let nothing: Option<&Tensor> = None;
        let scores = if through_probes <= through_keys {
            nodes
                .reshape([-1, channels])
                .mm(&self.probe(text).transpose(0, 1))
        } else {
            let keys = nodes.reshape([-1, channels]).linear(&self.key, nothing);
            keys.mm(&(text.linear(&self.query, nothing) * self.scale).transpose(0, 1))
        };
        scores
            .view([batch, points, texts])
            .softmax(1, Kind::Float)
            .transpose(1, 2)
    }
}
