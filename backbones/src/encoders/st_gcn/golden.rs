//! Replays recorded cases of the official implementations.

use std::sync::Arc;

use szar_core::component::InputSpec;
use szar_core::conform::{Case, Driver};
use szar_core::{NamedTensors, Result, SkeletonBatch, SkeletonEncoder, SkeletonLayout};
use tch::{Device, Kind, Tensor};

use super::config::{StGcnConfig, Variant};
use super::encoder::StGcn;
use super::graph::{Graph, Strategy};

inventory::submit! { Driver { kind: "graph", component: "st-gcn", run: replay_graph } }
inventory::submit! { Driver { kind: "encoder", component: "st-gcn", run: replay_encoder } }

/// Parents of joints 0, 1, .. as the official graphs have them; a root is its own parent.
const NTU: [usize; 25] = [
    1, 20, 20, 2, 20, 4, 5, 6, 20, 8, 9, 10, 0, 12, 13, 14, 0, 16, 17, 18, 20, 22, 7, 24, 11,
];
/// NTU without the joint between the shoulders, whose neighbours hang on joint 1.
const NTU_EDGE: [usize; 24] = [
    0, 0, 1, 2, 1, 4, 5, 6, 1, 8, 9, 10, 0, 12, 13, 14, 0, 16, 17, 18, 21, 7, 23, 11,
];
const OPENPOSE: [usize; 18] = [1, 1, 1, 2, 3, 1, 5, 6, 2, 8, 9, 5, 11, 12, 0, 0, 14, 15];

/// A layout by its name in the official graphs.
pub(super) fn layout(name: &str) -> Option<SkeletonLayout> {
    let (parents, centre): (&[usize], usize) = match name {
        "ntu-rgb+d" => (&NTU, 20),
        "ntu_edge" => (&NTU_EDGE, 2),
        "openpose" => (&OPENPOSE, 1),
        _ => return None,
    };
    let mut layout = szar_core::testing::layout(parents.len());
    layout.name = name.into();
    layout.bones = parents
        .iter()
        .copied()
        .enumerate()
        .filter(|(c, p)| c != p)
        .collect();
    layout.centre = centre;
    Some(layout)
}

fn strategy(case: &Case) -> Result<Strategy> {
    case.param("strategy")
}

fn replay_graph(case: &Case) -> Result<Option<NamedTensors>> {
    let Some(layout) = layout(&case.param::<String>("layout")?) else {
        return Ok(None);
    };
    let graph = Graph::new(
        &layout,
        strategy(case)?,
        case.param("max_hop")?,
        case.param("dilation")?,
    );
    Ok(Some(NamedTensors::from([
        ("adjacency".into(), graph.adjacency()),
        ("hop_distance".into(), graph.hop_distance()),
    ])))
}

fn config(case: &Case) -> Result<StGcnConfig> {
    let smie = case.param::<i64>("hidden_channels");
    let base = StGcnConfig {
        strategy: strategy(case)?,
        max_hop: case.param("max_hop").unwrap_or(1),
        dilation: case.param("dilation").unwrap_or(1),
        edge_importance: case.param("edge_importance_weighting")?,
        ..StGcnConfig::default()
    };
    Ok(match smie {
        Ok(channels) => StGcnConfig {
            variant: Variant::Smie,
            base_channels: Some(channels),
            features: Some(case.param("hidden_dim")?),
            ..base
        },
        Err(_) => StGcnConfig {
            variant: Variant::Official,
            base_channels: Some(case.param("base_channels").unwrap_or(64)),
            ..base
        },
    })
}

fn replay_encoder(case: &Case) -> Result<Option<NamedTensors>> {
    let Some(layout) = layout(&case.param::<String>("layout")?) else {
        return Ok(None);
    };
    let joints = case.input("skeleton")?;
    let size = joints.size();
    let input = InputSpec {
        layout: Arc::new(layout),
        frames: size[2],
        persons: size[4],
        seen_classes: case.param("num_class").unwrap_or(1),
    };
    let mut encoder = StGcn::new(&config(case)?, &input, Device::Cpu)?;
    encoder.load_state(&case.weights())?;
    let batch = SkeletonBatch {
        frames: Tensor::full([size[0]], size[2], (Kind::Int64, Device::Cpu)),
        // The official network computes everyone.
        present: vec![true; (size[0] * size[4]) as usize],
        layout: Arc::clone(&input.layout),
        joints,
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
