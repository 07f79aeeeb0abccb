//! Modules made on the spot, by tracing or from TorchScript source, and run as encoders.

mod archive;
mod errors;
mod python;
mod values;

use std::path::{Path, PathBuf};
use std::sync::Arc;

use szar_core::component::InputSpec;
use szar_core::testing::{layout, normal};
use szar_core::{EncoderConfig, Result, SkeletonBatch, SkeletonEncoder};
use tch::{CModule, Device, Kind, Tensor};

use super::{TorchScript, TorchScriptConfig};

const FRAMES: i64 = 6;
const JOINTS: i64 = 5;
const CHANNELS: i64 = 4;
const CPU: (Kind, Device) = (Kind::Float, Device::Cpu);

fn input(persons: i64) -> InputSpec {
    InputSpec {
        layout: Arc::new(layout(JOINTS as usize)),
        frames: FRAMES,
        persons,
        seen_classes: 3,
    }
}

/// A batch of random joints; whoever is not there is zeros.
fn batch(persons: i64, present: &[bool]) -> SkeletonBatch {
    let samples = present.len() as i64 / persons;
    let joints = normal("joints", &[samples, 3, FRAMES, JOINTS, persons]);
    let there = Tensor::from_slice(present).view([samples, 1, 1, 1, persons]);
    SkeletonBatch {
        joints: joints * there.to_kind(Kind::Float),
        frames: Tensor::arange_start(2, 2 + samples, (Kind::Int64, Device::Cpu)).clamp_max(FRAMES),
        present: present.to_vec(),
        layout: Arc::new(layout(JOINTS as usize)),
    }
}

/// Options, from YAML in one line, for the module at `path`.
fn config(path: &Path, options: serde_json::Value) -> TorchScriptConfig {
    let mut all = options;
    all["module"] = path.to_string_lossy().into();
    serde_json::from_value(all).unwrap()
}

fn build(config: &TorchScriptConfig, persons: i64) -> Result<TorchScript> {
    let mut problems = szar_core::Problems::new();
    config.validate(&mut problems);
    problems.into_result()?;
    TorchScript::new(config, &input(persons), Device::Cpu)
}

fn problems(options: serde_json::Value) -> String {
    let mut problems = szar_core::Problems::new();
    config(Path::new("m.pt"), options).validate(&mut problems);
    problems.to_string()
}

/// A module traced from a closure of one tensor of this shape.
fn traced(folder: &Path, shape: &[i64], mut body: impl FnMut(&Tensor) -> Tensor) -> PathBuf {
    let mut closure = |inputs: &[Tensor]| vec![body(&inputs[0])];
    let example = [Tensor::randn(shape, CPU)];
    let module = CModule::create_by_tracing("Net", "forward", &example, &mut closure).unwrap();
    let path = folder.join("net.pt");
    module.save(&path).unwrap();
    path
}

fn close(got: &Tensor, want: &Tensor) -> bool {
    got.size() == want.size() && got.allclose(want, 1e-5, 1e-6, false)
}

fn features(encoder: &TorchScript, batch: &SkeletonBatch) -> Tensor {
    encoder.encode(batch).unwrap().features.values
}
