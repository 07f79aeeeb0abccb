//! The networks of STAR, under the official parameter names.

use szar_core::NamedTensors;
use tch::{Device, Kind, Tensor};

use crate::aligners::training::{Dense, Init};

/// All widths.
#[derive(Clone, Copy, Debug)]
pub(super) struct Sizes {
    /// N.
    pub channels: i64,
    /// d.
    pub text: i64,
    /// w, of prompts and attention.
    pub width: i64,
    /// n, prompts of a part.
    pub prompts: i64,
    /// Divides w.
    pub heads: i64,
    /// Units between a text and its n numbers.
    pub text_hidden: i64,
    /// Body parts.
    pub parts: usize,
}

/// What is learned of one body part.
#[derive(Debug)]
struct Part {
    sizes: Sizes,
    /// `[n, w]`.
    prompts: Tensor,
    /// `[w, w]`, `[w, N]`, `[w, N]`.
    query: Tensor,
    key: Tensor,
    value: Tensor,
    /// `[3 w]`: of queries, keys and values.
    bias: Tensor,
    output: Dense,
    first: Dense,
    second: Dense,
    /// `[w, w]`.
    reader: Tensor,
    text_first: Dense,
    text_second: Dense,
}

impl Part {
    fn new(sizes: Sizes, device: Device) -> Self {
        let options = (Kind::Float, device);
        let (w, n) = (sizes.width, sizes.channels);
        let xavier = |inputs| Dense::without_bias(inputs, w, Init::Xavier(1.0), device).weight;
        let linear = |inputs, outputs| Dense::new(inputs, outputs, Init::Torch, device);
        let mut output = linear(w, w);
        output.bias = Some(Tensor::zeros([w], options));
        Self {
            sizes,
            prompts: Tensor::randn([sizes.prompts, w], options),
            query: xavier(w),
            key: xavier(n),
            value: xavier(n),
            bias: Tensor::zeros([3 * w], options),
            output,
            first: linear(w, w),
            second: linear(w, w),
            reader: Tensor::randn([w, w], options),
            text_first: linear(sizes.text, sizes.text_hidden),
            text_second: linear(sizes.text_hidden, sizes.prompts),
        }
    }

    /// `[heads, n, N]`: what the prompts look for in a node. Prompts are the same for all samples, so that queries and
    /// keys fold into one product; the bias of the keys moves all nodes alike and says nothing.
    fn probes(&self) -> Tensor {
        let Sizes {
            heads,
            width,
            channels,
            ..
        } = self.sizes;
        let each = width / heads;
        let queries = self
            .prompts
            .linear(&self.query, Some(&self.bias.narrow(0, 0, width)))
            / (each as f64).sqrt();
        let queries = queries.view([-1, heads, each]).transpose(0, 1);
        queries.bmm(&self.key.view([heads, each, channels]))
    }

    /// `[B, heads n, L]`: the weights that every prompt gives the nodes `[B, L, N]` in every head.
    fn weights(&self, nodes: &Tensor) -> Tensor {
        let logits = nodes.matmul(&self.probes().flatten(0, 1).transpose(0, 1)); // [B, L, heads n]
        logits.softmax(1, Kind::Float).transpose(1, 2)
    }

    /// `[B, n, w]`: what the prompts find in the nodes `[B, L, N]`, behind the first mapping.
    fn hidden(&self, nodes: &Tensor) -> Tensor {
        let Sizes {
            heads,
            width,
            channels,
            prompts,
            ..
        } = self.sizes;
        let batch = nodes.size()[0];
        let means = self
            .weights(nodes)
            .bmm(nodes)
            .view([batch, heads, prompts, channels]);
        let means = means.transpose(0, 1).reshape([heads, batch * prompts, channels]);
        let value = self.value.view([heads, width / heads, channels]);
        let found = means.bmm(&value.transpose(1, 2)); // [heads, B n, w / heads]
        let found = found.transpose(0, 1).reshape([batch, prompts, width]);
        self.mapped(&(found + self.bias.narrow(0, 2 * width, width)))
    }

    fn mapped(&self, found: &Tensor) -> Tensor {
        self.first.forward(&self.output.forward(found)).relu()
    }

    /// `[B, n]` from `[B, n, w]` (or `[B, 1, w]`, the same for all prompts). The second mapping folds into what the
    /// prompts read: `(P W) (W₂ h + b₂)` is `(P W W₂) h + P W b₂`.
    fn read(&self, hidden: &Tensor) -> Tensor {
        let reading = self.prompts.mm(&self.reader);
        let weights = reading.mm(&self.second.weight);
        let values = (hidden * &weights).sum_dim_intlist([-1i64].as_slice(), false, Kind::Float);
        match &self.second.bias {
            Some(bias) => values + reading.mv(bias),
            None => values,
        }
    }

    /// `[B, n]` of a part all of whose nodes are the same, `[B, N]`.
    fn values_of_constant(&self, node: &Tensor) -> Tensor {
        let width = self.sizes.width;
        let found = node.linear(&self.value, Some(&self.bias.narrow(0, 2 * width, width)));
        let hidden = self.mapped(&found);
        let reading = self.prompts.mm(&self.reader);
        let values = hidden.mm(&reading.mm(&self.second.weight).transpose(0, 1));
        match &self.second.bias {
            Some(bias) => values + reading.mv(bias),
            None => values,
        }
    }

    fn text(&self, text: &Tensor) -> Tensor {
        self.text_second.forward(&self.text_first.forward(text).relu())
    }

    fn state(&self, p: usize, into: &mut NamedTensors) {
        let attention = format!("body_part_st_attention_networks.{p}");
        let tensors = [
            (format!("body_part_prompts.{p}"), &self.prompts),
            (format!("{attention}.q_proj_weight"), &self.query),
            (format!("{attention}.k_proj_weight"), &self.key),
            (format!("{attention}.v_proj_weight"), &self.value),
            (format!("{attention}.in_proj_bias"), &self.bias),
            (format!("body_part_w.{p}"), &self.reader),
        ];
        into.extend(tensors.map(|(name, tensor)| (name, tensor.shallow_clone())));
        self.output.state(&format!("{attention}.out_proj"), into);
        self.first.state(&format!("body_part_mapping_matrix1.{p}"), into);
        self.second.state(&format!("body_part_mapping_matrix2.{p}"), into);
        self.text_first.state(&format!("pd_mapping_matrix1.{p}"), into);
        self.text_second.state(&format!("pd_mapping_matrix2.{p}"), into);
    }
}

/// All that is learned but the prompts of the classes.
#[derive(Debug)]
pub(super) struct Network {
    pub sizes: Sizes,
    parts: Vec<Part>,
    label_first: Dense,
    label_second: Dense,
    /// `[1, parts]`, ones that are never trained.
    part_weights: Tensor,
}

impl Network {
    pub fn new(sizes: Sizes, device: Device) -> Self {
        Self {
            sizes,
            parts: (0..sizes.parts).map(|_| Part::new(sizes, device)).collect(),
            label_first: Dense::new(sizes.text, sizes.text_hidden, Init::Torch, device),
            label_second: Dense::new(sizes.text_hidden, sizes.prompts, Init::Torch, device),
            part_weights: Tensor::ones([1, sizes.parts as i64], (Kind::Float, device)),
        }
    }

    pub fn device(&self) -> Device {
        self.part_weights.device()
    }

    /// `[B, parts, n]` from the nodes `[B, L, N]` of every part.
    pub fn values(&self, nodes: impl Iterator<Item = Tensor>) -> Tensor {
        let values: Vec<_> = self
            .parts
            .iter()
            .zip(nodes)
            .map(|(part, nodes)| part.read(&part.hidden(&nodes)))
            .collect();
        Tensor::stack(&values, 1)
    }

    /// Per part `[B, L]`: the weights of the nodes `[B, L, N]`, mean over its prompts and heads.
    pub fn attention(&self, nodes: impl Iterator<Item = Tensor>) -> Vec<Tensor> {
        let mean = |w: Tensor| w.mean_dim([1i64].as_slice(), false, Kind::Float);
        let parts = self.parts.iter().zip(nodes);
        parts.map(|(part, nodes)| mean(part.weights(&nodes))).collect()
    }

    /// `[B, parts, n]` when all nodes of all parts are the same, `[B, N]`.
    pub fn values_of_constant(&self, node: &Tensor) -> Tensor {
        let values: Vec<_> = self.parts.iter().map(|p| p.values_of_constant(node)).collect();
        Tensor::stack(&values, 1)
    }

    /// `[B, parts, n, w]`: what the values are read from, behind both mappings.
    pub fn found(&self, nodes: impl Iterator<Item = Tensor>) -> Tensor {
        let found: Vec<_> = self
            .parts
            .iter()
            .zip(nodes)
            .map(|(part, nodes)| part.second.forward(&part.hidden(&nodes)))
            .collect();
        Tensor::stack(&found, 1)
    }

    /// `[B, n]`: g, the sum of the values `[B, parts, n]` over the parts.
    pub fn whole(&self, values: &Tensor) -> Tensor {
        self.part_weights.matmul(values).squeeze_dim(1)
    }

    /// `[C, n]` from the texts `[C, d]` of whole classes.
    pub fn label(&self, text: &Tensor) -> Tensor {
        self.label_second.forward(&self.label_first.forward(text).relu())
    }

    /// `[parts, C, n]` from the texts `[C, d]` of the parts and the prompts added to them.
    pub fn part_texts(&self, texts: &[Tensor], prompts: &[Tensor]) -> Tensor {
        let mapped: Vec<_> = self
            .parts
            .iter()
            .zip(texts.iter().zip(prompts))
            .map(|(part, (text, prompt))| part.text(&(text + prompt)))
            .collect();
        Tensor::stack(&mapped, 0)
    }

    pub fn parameters(&self) -> NamedTensors {
        let mut parameters = NamedTensors::new();
        for (p, part) in self.parts.iter().enumerate() {
            part.state(p, &mut parameters);
        }
        self.label_first.state("crossmodal_align1", &mut parameters);
        self.label_second.state("crossmodal_align2", &mut parameters);
        parameters
    }

    pub fn state(&self) -> NamedTensors {
        let mut state = self.parameters();
        state.insert("part_weights_factor".into(), self.part_weights.shallow_clone());
        state
    }
}
