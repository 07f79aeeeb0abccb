//! The network: parameters under their official names, and the forward pass that is trained.

use szar_core::component::InputSpec;
use szar_core::{Error, NamedTensors, Result, SkeletonLayout};
use tch::{Device, Kind, Tensor, no_grad};

use super::config::{ShiftGcnConfig, ShiftGrad};
use super::folded::Folded;
use super::spatial::{Spatial, pointwise};
use super::temporal::{Shift, Temporal, check, constrained, reaches};
use crate::encoders::gcn::{COORDINATES, InputNorm, Network, Plan, Residual, start, ten_blocks};
use crate::encoders::layers::{Conv, channels_first, channels_last};

/// Two strides of 2.
const FRAME_STEP: i64 = 4;

/// Exchange between joints, then between frames.
#[derive(Debug)]
pub(super) struct Block {
    pub(super) spatial: Spatial,
    pub(super) temporal: Temporal,
    pub(super) residual: Residual,
}

/// Shift-GCN with its classifier.
#[derive(Debug)]
pub struct Net {
    /// Over M * V * 3 channels; persons, then joints, then coordinates.
    pub(super) input_norm: InputNorm,
    pub(super) blocks: Vec<Block>,
    /// Weight `[S, N]`.
    classifier: Conv,
    shift_grad: ShiftGrad,
}

impl Net {
    pub(super) fn new(config: &ShiftGcnConfig, input: &InputSpec, device: Device) -> Self {
        let joints = input.layout.len() as i64;
        let plan = ten_blocks(COORDINATES, config.base_channels);
        let features = plan.last().map_or(0, |p| p.output);
        Self {
            input_norm: InputNorm::per_person(input.persons, joints * COORDINATES, device),
            blocks: plan.iter().map(|p| Block::new(p, joints, device)).collect(),
            classifier: start::classifier(features, input.seen_classes.max(1), device),
            shift_grad: config.shift_grad,
        }
    }

    fn shifts(&self) -> Vec<&Shift> {
        self.blocks.iter().flat_map(|b| b.temporal.shifts()).collect()
    }

    /// The reach of both shifts of every block.
    pub(super) fn reaches(&self) -> Vec<i64> {
        reaches(&self.shifts())
    }
}

impl Network for Net {
    const NAME: &'static str = "shift-gcn";
    type Folded = Folded;

    fn state(&self) -> NamedTensors {
        let mut state = NamedTensors::new();
        self.input_norm.collect("data_bn", &mut state);
        for (i, block) in self.blocks.iter().enumerate() {
            block.collect(&format!("l{}", i + 1), &mut state);
        }
        self.classifier.collect("fc", &mut state);
        state
    }

    fn head(&self) -> (&Tensor, &Tensor) {
        (&self.classifier.weight, &self.classifier.bias)
    }

    /// Which joint reads from which is compared.
    fn accept(&self, given: &mut NamedTensors, _: &SkeletonLayout) -> Result<()> {
        self.input_norm.fit_persons("data_bn", given);
        for (i, block) in self.blocks.iter().enumerate() {
            let prefix = format!("l{}", i + 1);
            block.spatial.accept(&format!("{prefix}.gcn1"), given)?;
            check(&format!("{prefix}.tcn1.shift_in"), given)?;
            check(&format!("{prefix}.tcn1.shift_out"), given)?;
        }
        Ok(())
    }

    fn check_frames(&self, frames: i64) -> Result<()> {
        whole_frames(frames)
    }

    fn train(&self, x: &Tensor, slots: &[i64], kind: Kind) -> Tensor {
        let x = self.input_norm.train(x, slots).to_kind(kind);
        let reaches = self.reaches();
        let blocks = self.blocks.iter().zip(reaches.chunks(2));
        blocks.fold(x, |x, (block, reach)| block.train(&x, reach, kind))
    }

    fn fold(&self, kind: Kind) -> Folded {
        Folded::new(self, kind)
    }

    fn after_backward(&self) {
        if self.shift_grad == ShiftGrad::True {
            return;
        }
        no_grad(|| {
            for shift in self.shifts() {
                let mut gradient = shift.ypos.grad();
                if gradient.defined() {
                    gradient.copy_(&constrained(&gradient));
                }
            }
        });
    }
}

impl Block {
    fn new(plan: &Plan, joints: i64, device: Device) -> Self {
        let Plan {
            input,
            output,
            stride,
            residual,
        } = *plan;
        Self {
            spatial: Spatial::new(joints, input, output, device),
            temporal: Temporal::new(output, stride, device),
            residual: if residual {
                Residual::new(input, output, stride, || pointwise(input, output, device))
            } else {
                Residual::None
            },
        }
    }

    fn collect(&self, prefix: &str, into: &mut NamedTensors) {
        self.spatial.collect(&format!("{prefix}.gcn1"), into);
        self.temporal.collect(&format!("{prefix}.tcn1"), into);
        self.residual.collect(&format!("{prefix}.residual"), into);
    }

    pub(super) fn stride(&self) -> i64 {
        self.temporal.shift_out.stride
    }

    fn train(&self, x: &Tensor, reach: &[i64], kind: Kind) -> Tensor {
        let y = self.temporal.train(&self.spatial.train(x, kind), reach, kind);
        let mut y = self.residual.add_in_training(channels_first(&y), x, kind);
        channels_last(&y.relu_())
    }
}

/// Refuses a number of frames that both strides do not halve exactly: shifts then round down, convolutions up.
pub(super) fn whole_frames(frames: i64) -> Result<()> {
    if frames > 0 && frames % FRAME_STEP == 0 {
        return Ok(());
    }
    let below = (frames / FRAME_STEP * FRAME_STEP).max(FRAME_STEP);
    Err(Error::Input(format!(
        "`{}` needs a number of frames that is a multiple of {FRAME_STEP}, got {frames}; set `preprocess.frames` to {below} or {}",
        Net::NAME,
        below + FRAME_STEP
    )))
}
