//! Golden cases of the published preparations of NTU RGB+D, replayed from their files on.

use std::collections::BTreeMap;
use std::sync::Arc;

use serde_json::Value;
use szar_core::checkpoint::NamedTensors;
use szar_core::conform::{Case, Driver};
use szar_core::descriptors::{self, TemporalSplit};
use szar_core::{
    Error, FeatureMap, Granularity, PreprocessorConfig, Result, Sequence, SkeletonLayout, host, shape,
};
use tch::Tensor;

use crate::layouts;
use crate::preprocess::{AgcnConfig, CtrgcnConfig, ctrgcn, resize, turn};
use crate::readers::features::{is_zero, purls::unit_nodes};
use crate::readers::ntu::actors::{Denoising, Tracks};
use crate::readers::ntu::bodies::by_energy;
use crate::readers::ntu::parse::{Raw, parse};

inventory::submit! { Driver { kind: "preprocess", component: "ntu-agcn", run: agcn } }
inventory::submit! { Driver { kind: "preprocess", component: "ntu-ctr-gcn", run: ctr_gcn } }
inventory::submit! { Driver { kind: "preprocess", component: "crop-resize", run: crop_resize } }
inventory::submit! { Driver { kind: "preprocess", component: "purls-features", run: purls_features } }

/// The recordings of a case by name.
fn recordings(case: &Case) -> Result<BTreeMap<String, Raw>> {
    let names: BTreeMap<String, Value> = case.param("scenarios")?;
    let read = |name: String| {
        let path = case.folder.join(format!("{name}.skeleton"));
        let bytes = std::fs::read(&path).map_err(|e| Error::read(&path, e))?;
        Ok((name, parse(&path, &bytes)?))
    };
    names.into_keys().map(read).collect()
}

fn agcn(case: &Case) -> Result<Option<NamedTensors>> {
    let layout = layouts::by_name("ntu25")?;
    let [right, left]: [usize; 2] = case.param("xaxis")?;
    let config = AgcnConfig {
        frames: case.param("max_frame")?,
        z_axis: Some(case.param("zaxis")?),
        x_axis: Some([left, right]),
    };
    let slots = case.param("max_body")?;
    let mut out = NamedTensors::new();
    for (name, raw) in recordings(case)? {
        let sequence = by_energy(&raw, slots, 2).into_sequence();
        out.insert(format!("{name}/xyz"), canonical(&sequence));
        let (joint, _) = config.apply(&sequence, &layout)?;
        streams(&joint, &layout, &name, &mut out);
    }
    Ok(Some(out))
}

fn ctr_gcn(case: &Case) -> Result<Option<NamedTensors>> {
    let layout = layouts::by_name("ntu25")?;
    let how = Denoising {
        length: case.param("noise_length")?,
        spread: case.param("noise_spread")?,
        spread_ratio: case.param("noise_spread_ratio")?,
    };
    let crops: Vec<f64> = case.param("p_centre")?;
    let frames = case.param("window")?;
    let mut longest = 0;
    let mut out = NamedTensors::new();
    for (name, raw) in recordings(case)? {
        let mut add = |what: &str, tensor: Tensor| out.insert(format!("{name}/{what}"), tensor);
        let tracks = Tracks::new(&raw);
        add("frames_kept", integers([tracks.frames]));
        add("frames_dropped", integers(tracks.dropped.iter().copied()));
        add("body_length", integers(tracks.list.iter().map(|t| t.frames())));
        if tracks.list.len() > 1 {
            let motion: Vec<f32> = tracks.list.iter().map(|t| t.motion as f32).collect();
            add("body_motion", Tensor::from_slice(&motion));
        }
        let actors = tracks.actors(&how);
        let mut moved = actors.clone().into_sequence();
        longest = longest.max(moved.frames);
        add("denoised", rows(&moved));
        ctrgcn::translate(&mut moved, &layout)?;
        add("translated", rows(&moved));
        add("valid_frames", integers([ctrgcn::valid_frames(&moved)]));
        let sequence = actors.resized(2).into_sequence();
        for (at, crop) in crops.iter().copied().enumerate() {
            let config = CtrgcnConfig {
                frames,
                crop,
                ..Default::default()
            };
            let (joint, _) = config.apply(&sequence, &layout)?;
            if at == 0 {
                streams(&joint, &layout, &name, &mut out);
            } else {
                out.insert(format!("{name}/joint_p{:.0}", crop * 100.0), canonical(&joint));
            }
        }
    }
    out.insert("aligned_frames".into(), integers([longest]));
    Ok(Some(out))
}

fn crop_resize(case: &Case) -> Result<Option<NamedTensors>> {
    let x = case.input("x")?;
    let shape = x.size();
    let &[3, frames, joints, persons] = shape.as_slice() else {
        return Err(Error::Shape {
            what: "x".into(),
            got: shape,
            want: "[3, T, V, M]".into(),
        });
    };
    let host = host::HostF32::new(&x.permute([1, 3, 2, 0]));
    let size = (persons * joints * 3) as usize;
    let back = |values: &[f32]| {
        let frames = (values.len() / size) as i64;
        host::tensor(values, &[frames, persons, joints, 3]).permute([3, 0, 2, 1])
    };
    let mut out = NamedTensors::new();
    let calls: Vec<(usize, f64, usize)> = case.param("calls")?;
    for (at, (valid, share, window)) in calls.into_iter().enumerate() {
        if valid == 0 || valid > frames as usize || window == 0 {
            return Err(Error::Input(format!(
                "call {at}: {valid} frames of {frames} to {window}"
            )));
        }
        let cropped = ctrgcn::centre_crop(host.as_slice(), size, valid, share);
        let resized = resize::resize(cropped, size, window);
        out.insert(format!("resized_{at}"), back(&resized));
    }
    let angles = host::HostF32::new(&case.input("angles")?);
    let angles: [f32; 3] = angles
        .as_slice()
        .try_into()
        .map_err(|_| Error::Input("`angles` must be three numbers".into()))?;
    let mut rotated = host.as_slice().to_vec();
    ctrgcn::turn(&mut rotated, angles);
    out.insert("rotated".into(), back(&rotated));
    let matrix = turn::about_axes(angles);
    let matrix: Vec<f32> = matrix.as_flattened().iter().map(|v| *v as f32).collect();
    out.insert("rotation_matrix".into(), host::tensor(&matrix, &[3, 3]));
    Ok(Some(out))
}

fn purls_features(case: &Case) -> Result<Option<NamedTensors>> {
    let maps = case.input("features")?;
    let size = shape::sizes("features", &maps, [None, None, None, None])?;
    let host = host::HostF32::new(&maps);
    let samples = host
        .as_slice()
        .chunks_exact(size[1..].iter().product::<i64>().max(1) as usize);
    let zero = samples.map(|sample| is_zero(bytemuck::cast_slice(sample), size_of::<f32>()));
    let kept: Vec<usize> = zero
        .enumerate()
        .filter(|(_, zero)| !zero)
        .map(|(row, _)| row)
        .collect();
    let kept = integers(kept);
    let unit = unit_nodes(&maps.index_select(0, &kept));
    let map = FeatureMap::new(unit.shallow_clone())?;
    let layout = layouts::by_name("ntu25")?;
    let texts = &Granularity::PURLS_ORDER;
    let partition = descriptors::pool(&map, &layout, texts, TemporalSplit::Floor)?;
    Ok(Some(NamedTensors::from([
        ("normalised".into(), unit.shallow_clone()),
        ("kept".into(), kept),
        ("full".into(), unit.permute([0, 2, 3, 1]).contiguous()),
        ("partition".into(), partition),
        ("common".into(), map.pooled()),
    ])))
}

/// Joints, bones, and how either moves, under the names of the cases.
fn streams(joint: &Sequence, layout: &Arc<SkeletonLayout>, name: &str, out: &mut NamedTensors) {
    let bone = bones(joint, layout);
    out.insert(format!("{name}/joint_motion"), canonical(&motion(joint)));
    out.insert(format!("{name}/bone_motion"), canonical(&motion(&bone)));
    out.insert(format!("{name}/joint"), canonical(joint));
    out.insert(format!("{name}/bone"), canonical(&bone));
}

/// From each joint's parent to the joint; 0 for a joint without parent.
fn bones(sequence: &Sequence, layout: &SkeletonLayout) -> Sequence {
    let mut out = sequence.clone();
    let from = sequence.joints.as_chunks::<3>().0.chunks_exact(layout.len());
    for (row, from) in out
        .joints
        .as_chunks_mut::<3>()
        .0
        .chunks_exact_mut(layout.len())
        .zip(from)
    {
        row.fill([0.0; 3]);
        for &(child, parent) in &layout.bones {
            row[child] = std::array::from_fn(|axis| from[child][axis] - from[parent][axis]);
        }
    }
    out
}

/// The next frame less this one; 0 in the last.
fn motion(sequence: &Sequence) -> Sequence {
    let size = sequence.joints.len() / sequence.frames;
    let now = &sequence.joints;
    let mut joints: Vec<f32> = now[size..]
        .iter()
        .zip(now)
        .map(|(next, now)| next - now)
        .collect();
    joints.resize(now.len(), 0.0);
    Sequence {
        joints,
        ..sequence.clone()
    }
}

/// `[3, T, V, M]`.
fn canonical(sequence: &Sequence) -> Tensor {
    let Sequence { frames, persons, .. } = *sequence;
    let joints = sequence.joints.len() / (frames * persons * 3);
    let size = [frames, persons, joints, 3].map(|n| n as i64);
    host::tensor(&sequence.joints, &size).permute([3, 0, 2, 1])
}

/// `[T, M * V * 3]`.
fn rows(sequence: &Sequence) -> Tensor {
    host::tensor(&sequence.joints, &[sequence.joints.len() as i64]).view([sequence.frames as i64, -1])
}

fn integers(values: impl IntoIterator<Item = usize>) -> Tensor {
    let values: Vec<i64> = values.into_iter().map(|v| v as i64).collect();
    Tensor::from_slice(&values)
}

#[cfg(test)]
mod tests {
    #[test]
    fn goldens() {
        for component in ["ntu-agcn", "ntu-ctr-gcn", "crop-resize", "purls-features"] {
            szar_core::conform::assert_goldens(&format!("preprocess/{component}"));
        }
    }
}
