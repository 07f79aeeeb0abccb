//! A block: graph convolution with refined graphs, then convolution over frames in branches.

use szar_core::NamedTensors;
use tch::{Kind, Tensor};

use super::refinement::{Ready, Refinement};
use super::temporal::{FoldedTemporal, Temporal};
use crate::encoders::gcn::{Block, FoldedBlock, FoldedShortcut, Plan, Shortcut, start};
use crate::encoders::layers::{Norm, channels_first};

/// What the normalisation after a graph convolution starts at: the block then begins as its shortcut.
const SMALL: f64 = 1e-6;

/// A block of `ctr-gcn`.
#[derive(Debug)]
pub struct Unit {
    spatial: Refinement,
    norm: Norm,
    down: Shortcut,
    temporal: Temporal,
    residual: Shortcut,
}

/// A [`Unit`] in evaluation mode.
#[derive(Debug)]
pub struct FoldedUnit {
    spatial: Ready,
    down: FoldedShortcut,
    temporal: FoldedTemporal,
    residual: FoldedShortcut,
}

impl Unit {
    /// Over the graph `[K, V, V]`, which is learned if `adaptive`.
    pub(super) fn new(plan: &Plan, graph: &Tensor, adaptive: bool) -> Self {
        let device = graph.device();
        let mut norm = Norm::new(plan.output, device);
        start::constant(&mut norm, SMALL);
        Self {
            spatial: Refinement::new(plan.input, plan.output, graph, adaptive),
            norm,
            down: Shortcut::new(plan.input, plan.output, 1, device),
            temporal: Temporal::new(plan.output, plan.stride, device),
            residual: if plan.residual {
                Shortcut::new(plan.input, plan.output, plan.stride, device)
            } else {
                Shortcut::None
            },
        }
    }
}

impl Block for Unit {
    const NAME: &'static str = "ctr-gcn";
    type Folded = FoldedUnit;

    fn collect(&self, prefix: &str, into: &mut NamedTensors) {
        let part = |part: &str| format!("{prefix}.{part}");
        self.spatial.collect(&part("gcn1"), into);
        self.norm.collect(&part("gcn1.bn"), into);
        self.down
            .collect(&part("gcn1.down.0"), &part("gcn1.down.1"), into);
        self.temporal.collect(&part("tcn1"), into);
        self.residual
            .collect(&part("residual.conv"), &part("residual.bn"), into);
    }

    fn train(&self, x: &Tensor, kind: Kind) -> Tensor {
        let y = self.spatial.ready(None, kind).apply(x);
        let mut y = self.norm.train(&y, 1.0);
        if let Some(short) = self.down.train(x, kind) {
            y = y.g_add_(&channels_first(&short));
        }
        let y = self.temporal.train(&y.relu_(), kind);
        self.residual.add_in_training(y, x, kind).relu_()
    }

    fn fold(&self, kind: Kind) -> FoldedUnit {
        FoldedUnit {
            spatial: self.spatial.ready(Some(self.norm.affine()), kind),
            down: self.down.fold(kind),
            temporal: self.temporal.fold(kind),
            residual: self.residual.fold(kind),
        }
    }
}

impl FoldedBlock for FoldedUnit {
    fn forward(&self, x: &Tensor) -> Tensor {
        let mut y = self.spatial.apply(x);
        if let Some(short) = self.down.of(x) {
            y = y.g_add_(&channels_first(&short));
        }
        let y = self.temporal.forward(&y.relu_());
        self.residual.add(y, x).relu_()
    }
}
