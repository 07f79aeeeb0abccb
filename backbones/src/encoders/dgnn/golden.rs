//! Replays recorded cases of the open implementation.

use szar_core::conform::{Case, Driver};
use szar_core::{NamedTensors, Result, SkeletonEncoder, SkeletonLayout, shape};
use tch::{Device, Kind, Tensor, no_grad};

use super::config::{BoneOrder, DgnnConfig};
use super::encoder::Dgnn;
use super::graph::Graph;
use super::net::join;
use crate::encoders::gcn::Network;
use crate::encoders::gcn::golden::{input, layout};

inventory::submit! { Driver { kind: "graph", component: "dgnn", run: replay_graph } }
inventory::submit! { Driver { kind: "encoder", component: "dgnn", run: replay_encoder } }

/// A layout by its name in the official graphs, with the joints' names that the graph looks at.
pub(super) fn named(name: &str) -> Option<SkeletonLayout> {
    let mut layout = layout(name)?;
    if layout.len() == 25 {
        for (joint, name) in [
            (21, "hand_tip_left"),
            (22, "thumb_left"),
            (23, "hand_tip_right"),
            (24, "thumb_right"),
        ] {
            layout.joints[joint] = name.into();
        }
    }
    Some(layout)
}

fn replay_graph(case: &Case) -> Result<Option<NamedTensors>> {
    let Some(layout) = named(&case.param::<String>("layout")?) else {
        return Ok(None);
    };
    let graph = Graph::new(&layout)?;
    let (source, target) = graph.incidence();
    let edges: Vec<i64> = graph
        .edges
        .iter()
        .flat_map(|e| [e.0 as i64, e.1 as i64])
        .collect();
    Ok(Some(NamedTensors::from([
        ("source_M".into(), source),
        ("target_M".into(), target),
        ("edges".into(), Tensor::from_slice(&edges).view([-1, 2])),
    ])))
}

/// Joints and bones `[B, 3, T, V, M]` each, as they enter the network: `[B * M, T, 2 V, 3]`.
pub(super) fn rows(joints: &Tensor, bones: &Tensor) -> Tensor {
    Tensor::cat(&[joints, bones], 3)
        .permute([0, 4, 2, 3, 1])
        .flatten(0, 1)
}

fn replay_encoder(case: &Case) -> Result<Option<NamedTensors>> {
    let Some(layout) = named(&case.param::<String>("graph")?) else {
        return Ok(None);
    };
    let (joints, bones) = (case.input("joints")?, case.input("bones")?);
    let size = shape::sizes(
        "joints",
        &joints,
        [None, Some(3), None, Some(layout.len() as i64), None],
    )?;
    shape::expect("bones", &bones, size.map(Some))?;
    let input = input(case, layout, &joints);
    let config = DgnnConfig {
        base_channels: case.param("base_channels").unwrap_or(64),
        bone_order: BoneOrder::Official,
        ..DgnnConfig::default()
    };
    let mut encoder = Dgnn::new(&config, &input, Device::Cpu)?;
    encoder.load_state(&case.weights())?;

    let slots: Vec<i64> = (0..size[0] * size[4]).map(|row| row % size[4]).collect();
    let (mut means, mut deviations) = (Vec::new(), Vec::new());
    let mut tap = |block: &Tensor| {
        means.push(block.mean(Kind::Float));
        deviations.push(block.std(true));
    };
    let net = encoder.network();
    let streams = no_grad(|| {
        let folded = net.fold(Kind::Float);
        folded.streams(&rows(&joints, &bones), &slots, &mut tap)
    });
    // Mean over persons: [B, T', V, N].
    let streams = streams.map(|s| {
        let persons = s.unflatten(0, [-1, size[4]]);
        persons.mean_dim([1i64].as_slice(), false, Kind::Float)
    });
    let maps = streams.each_ref().map(|s| s.permute([0, 3, 1, 2]));
    let [of_joints, of_bones] = streams;
    let pooled = join(of_joints, of_bones, None).mean_dim([1i64, 2].as_slice(), false, Kind::Float);
    let (weight, bias) = net.head();
    let [of_joints, of_bones] = maps;
    Ok(Some(NamedTensors::from([
        ("feature_map".into(), of_joints),
        ("feature_map_edge".into(), of_bones),
        ("logits".into(), pooled.linear(weight, Some(bias)).detach()),
        ("pooled".into(), pooled),
        ("block_mean".into(), Tensor::stack(&means, 0)),
        ("block_std".into(), Tensor::stack(&deviations, 0)),
    ])))
}
