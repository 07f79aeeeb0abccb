//! Replays recorded cases of graphs and of encoders that are a [`GraphEncoder`].

use std::sync::Arc;

use szar_core::component::InputSpec;
use szar_core::conform::{Case, Driver};
use szar_core::{NamedTensors, Result, SkeletonBatch, SkeletonEncoder, SkeletonLayout};
use tch::{Device, Kind, Tensor};

use super::{GraphEncoder, GraphMode, Network};
use crate::encoders::st_gcn::{Graph, Strategy};

inventory::submit! { Driver { kind: "graph", component: "agcn", run: replay_spatial } }
inventory::submit! { Driver { kind: "graph", component: "ctr-gcn", run: replay_spatial } }
inventory::submit! { Driver { kind: "graph", component: "pyskl", run: replay_modes } }

/// Parents of joints 0, 1, .. as the official graphs have them; a root is its own parent.
const NTU: [usize; 25] = [
    1, 20, 20, 2, 20, 4, 5, 6, 20, 8, 9, 10, 0, 12, 13, 14, 0, 16, 17, 18, 20, 22, 7, 24, 11,
];
/// PYSKL's: hand tips and thumbs hang on the hands.
const NTU_PYSKL: [usize; 25] = [
    1, 20, 20, 2, 20, 4, 5, 6, 20, 8, 9, 10, 0, 12, 13, 14, 0, 16, 17, 18, 20, 7, 7, 11, 11,
];
const OPENPOSE: [usize; 18] = [1, 1, 1, 2, 3, 1, 5, 6, 2, 8, 9, 5, 11, 12, 0, 0, 14, 15];
const COCO: [usize; 17] = [0, 0, 0, 1, 2, 0, 0, 5, 6, 7, 8, 5, 6, 11, 12, 13, 14];
const UCLA: [usize; 20] = [1, 2, 2, 2, 2, 4, 5, 6, 2, 8, 9, 10, 0, 12, 13, 14, 0, 16, 17, 18];
/// A hand: five fingers of four joints on the wrist.
const HAND: [usize; 21] = [
    0, 0, 1, 2, 3, 0, 5, 6, 7, 0, 9, 10, 11, 0, 13, 14, 15, 0, 17, 18, 19,
];

/// A layout by its name in the official graphs.
pub(crate) fn layout(name: &str) -> Option<SkeletonLayout> {
    let (parents, centre): (&[usize], usize) = match name {
        "ntu-rgb-d" | "ntu_rgb_d" | "ntu-rgb+d" => (&NTU, 20),
        "nturgb+d" => (&NTU_PYSKL, 20),
        "openpose" | "kinetics" => (&OPENPOSE, 1),
        "coco" => (&COCO, 0),
        "nw-ucla" | "ucla" => (&UCLA, 2),
        "handmp" => (&HAND, 0),
        _ => return None,
    };
    let mut layout = szar_core::testing::layout(parents.len());
    layout.name = name.into();
    let bones = parents.iter().copied().enumerate();
    layout.bones = bones.filter(|(child, parent)| child != parent).collect();
    layout.centre = centre;
    Some(layout)
}

/// A graph mode by its name in PYSKL.
pub(crate) fn mode(name: &str) -> Option<GraphMode> {
    match name {
        "spatial" => Some(GraphMode::Spatial),
        "stgcn_spatial" => Some(GraphMode::StgcnSpatial),
        "binary_adj" => Some(GraphMode::Binary),
        _ => None,
    }
}

fn replay_spatial(case: &Case) -> Result<Option<NamedTensors>> {
    let mode = mode(&case.param::<String>("labeling_mode")?);
    let layout = layout(&case.param::<String>("layout")?);
    let (Some(mode), Some(layout)) = (mode, layout) else {
        return Ok(None);
    };
    let adjacency = mode.adjacency(&layout, 1);
    Ok(Some([("adjacency".to_owned(), adjacency)].into()))
}

fn replay_modes(case: &Case) -> Result<Option<NamedTensors>> {
    let mode = mode(&case.param::<String>("mode")?);
    let layout = layout(&case.param::<String>("layout")?);
    let (Some(mode), Some(layout)) = (mode, layout) else {
        return Ok(None);
    };
    let max_hop = case.param("max_hop").unwrap_or(1);
    let hops = Graph::new(&layout, Strategy::Spatial, max_hop, 1);
    Ok(Some(NamedTensors::from([
        ("adjacency".into(), mode.adjacency(&layout, max_hop)),
        ("hop_distance".into(), hops.hop_distance()),
    ])))
}

/// What a case's skeletons `[N, C, T, V, M]` say of the input.
pub(crate) fn input(case: &Case, layout: SkeletonLayout, skeleton: &Tensor) -> InputSpec {
    let size = skeleton.size();
    InputSpec {
        layout: Arc::new(layout),
        frames: size[2],
        persons: size[4],
        seen_classes: case.param("num_class").unwrap_or(1),
    }
}

/// Loads the case's weights and computes everyone in `skeleton` `[N, C, T, V, M]`, as the official networks do.
pub(crate) fn replay<N: Network>(
    mut encoder: GraphEncoder<N>,
    case: &Case,
    input: &InputSpec,
    skeleton: Tensor,
) -> Result<Option<NamedTensors>> {
    encoder.load_state(&case.weights())?;
    let size = skeleton.size();
    let batch = SkeletonBatch {
        frames: Tensor::full([size[0]], size[2], (Kind::Int64, Device::Cpu)),
        present: vec![true; (size[0] * size[4]) as usize],
        layout: Arc::clone(&input.layout),
        joints: skeleton,
    };
    let (mut means, mut deviations) = (Vec::new(), Vec::new());
    let encoding = encoder.encode_with_taps(&batch, &mut |block| {
        means.push(block.mean(Kind::Float));
        deviations.push(block.std(true));
    })?;
    let mut outputs = NamedTensors::from([
        ("pooled".into(), encoding.features.pooled()),
        ("feature_map".into(), encoding.features.values),
        ("block_mean".into(), Tensor::stack(&means, 0)),
        ("block_std".into(), Tensor::stack(&deviations, 0)),
    ]);
    outputs.extend(encoding.seen_logits.map(|l| ("logits".to_owned(), l)));
    Ok(Some(outputs))
}
