//! The network: parameters under their official names, and the forward pass that is trained.

use szar_core::component::InputSpec;
use szar_core::{NamedTensors, Result, SkeletonLayout};
use tch::{Device, Kind, Tensor};

use super::aggregate::{Aggregate, Sizes};
use super::config::MsG3dConfig;
use super::folded::Folded;
use super::temporal::Temporal;
use super::window::Window;
use crate::encoders::gcn::{COORDINATES, InputNorm, Network};
use crate::encoders::layers::{Conv, channels_first, channels_last};

/// Frames of the windows of each block.
const WINDOWS: [usize; 2] = [3, 5];

/// Two ways through frames and joints, and a temporal layer over their sum.
#[derive(Debug)]
pub(super) struct Block {
    pub(super) aggregate: Aggregate,
    pub(super) inner: [Temporal; 2],
    pub(super) windows: [Window; 2],
    pub(super) last: Temporal,
}

/// MS-G3D with its classifier.
#[derive(Debug)]
pub struct Net {
    /// Over M * V * 3 channels; persons, then joints, then coordinates.
    pub(super) input_norm: InputNorm,
    pub(super) blocks: Vec<Block>,
    /// Weight `[S, N]`, bias `[S]`.
    classifier: (Tensor, Tensor),
}

impl Net {
    pub(super) fn new(config: &MsG3dConfig, input: &InputSpec, device: Device) -> Self {
        let joints = input.layout.len() as i64;
        let base = config.base_channels;
        let mut channels = COORDINATES;
        let block = |(i, output): (usize, i64)| {
            let stride = if i == 0 { 1 } else { 2 };
            let block = Block::new(config, &input.layout, channels, output, stride, device);
            channels = output;
            block
        };
        let outputs = [base, 2 * base, 4 * base];
        let blocks = outputs.into_iter().enumerate().map(block).collect();
        let classes = input.seen_classes.max(1);
        let Conv { weight, bias } = Conv::new(channels, classes, 1, device);
        let weight = weight.detach().view([classes, channels]);
        Self {
            input_norm: InputNorm::per_person(input.persons, joints * COORDINATES, device),
            blocks,
            classifier: (weight.set_requires_grad(true), bias),
        }
    }
}

impl Network for Net {
    const NAME: &'static str = "msg3d";
    type Folded = Folded;

    fn state(&self) -> NamedTensors {
        let mut state = NamedTensors::new();
        self.input_norm.collect("data_bn", &mut state);
        for (i, block) in self.blocks.iter().enumerate() {
            block.collect(i + 1, &mut state);
        }
        state.insert("fc.weight".into(), self.classifier.0.shallow_clone());
        state.insert("fc.bias".into(), self.classifier.1.shallow_clone());
        state
    }

    fn head(&self) -> (&Tensor, &Tensor) {
        (&self.classifier.0, &self.classifier.1)
    }

    /// The fixed part of the graphs is not in the state.
    fn accept(&self, given: &mut NamedTensors, _: &SkeletonLayout) -> Result<()> {
        self.input_norm.fit_persons("data_bn", given);
        Ok(())
    }

    fn train(&self, x: &Tensor, slots: &[i64], kind: Kind) -> Tensor {
        let x = self.input_norm.train(x, slots).to_kind(kind);
        let x = channels_first(&x).contiguous();
        channels_last(&self.blocks.iter().fold(x, |x, block| block.train(&x, kind)))
    }

    fn fold(&self, kind: Kind) -> Folded {
        Folded::new(self, kind)
    }
}

impl Block {
    fn new(
        config: &MsG3dConfig,
        layout: &SkeletonLayout,
        input: i64,
        output: i64,
        stride: i64,
        device: Device,
    ) -> Self {
        // Channels widen at once in the first block, at the end in the others.
        let inside = if input == COORDINATES { output } else { input };
        let sizes = |scales, window, stride| Sizes {
            scales,
            window,
            stride,
            input,
            output: inside,
        };
        Self {
            aggregate: Aggregate::new(layout, sizes(config.gcn_scales, 1, 1), device),
            inner: [
                Temporal::new(inside, output, stride, device),
                Temporal::new(output, output, 1, device),
            ],
            windows: WINDOWS
                .map(|window| Window::new(layout, sizes(config.g3d_scales, window, stride), output, device)),
            last: Temporal::new(output, output, 1, device),
        }
    }

    fn collect(&self, number: usize, into: &mut NamedTensors) {
        self.aggregate.collect(&format!("sgcn{number}.0"), into);
        self.inner[0].collect(&format!("sgcn{number}.1"), into);
        self.inner[1].collect(&format!("sgcn{number}.2"), into);
        for (i, window) in self.windows.iter().enumerate() {
            window.collect(&format!("gcn3d{number}.gcn3d.{i}"), into);
        }
        self.last.collect(&format!("tcn{number}"), into);
    }

    /// `[n, C_in, T, V]` to `[n, C_out, T', V]`.
    fn train(&self, x: &Tensor, kind: Kind) -> Tensor {
        let y = self.aggregate.train(x, kind).squeeze_dim(2);
        let y = self.inner[0].train(&y, kind).relu_();
        let mut y = self.inner[1].train(&y, kind);
        for window in &self.windows {
            y = y.g_add_(&window.train(x, kind));
        }
        self.last.train(&y.relu_(), kind).relu_()
    }
}
