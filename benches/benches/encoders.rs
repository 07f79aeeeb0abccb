//! How fast skeleton encoders train and infer: samples per millisecond on one CPU thread, beside the same networks written
//! plainly in PyTorch (`benches/peer/encoders.py`; `PEER_PYTHON` names the Python that has torch). `st-gcn` has a benchmark of
//! its own.
//!
//! Names are `ENCODER/infer|train/CASE_BATCH`, over 64 frames of NTU's 25 joints in f32: `dense` with two persons in every
//! sample, `ntu` with one in 85 % of them (the published code, and so the peer, computes both places all the same), `wide`
//! with the paper's width instead of the default. `train` is one step: forward, backward, update by SGD. The features of
//! `posec3d` are its cells on both sides.
//!
//! `cargo bench -p szar-benches --bench encoders --profile dev -- agcn msg3d` measures these two only; `-- --check` measures
//! nothing but gives the peer every network's weights, an input and what came out, for comparison.

use std::path::Path;
use std::process::Command;
use std::sync::Arc;

use szar_backbones::encoders::agcn::{Aagcn, AagcnConfig, Agcn, AgcnConfig};
use szar_backbones::encoders::ctr_gcn::{CtrGcn, CtrGcnConfig};
use szar_backbones::encoders::dgnn::{Dgnn, DgnnConfig};
use szar_backbones::encoders::msg3d::{MsG3d, MsG3dConfig};
use szar_backbones::encoders::posec3d::{Pool, PoseC3d, PoseC3dConfig};
use szar_backbones::encoders::shift_gcn::{ShiftGcn, ShiftGcnConfig};
use szar_backbones::nn::classifier::SeenClassifier;
use szar_benches::turns::Turns;
use szar_core::component::InputSpec;
use szar_core::optim::{Optimiser, Rule};
use szar_core::{Error, NamedTensors, Result, SkeletonBatch, SkeletonEncoder, checkpoint};
use tch::{Device, Kind, Reduction, Tensor, no_grad};

const FRAMES: i64 = 64;
const PERSONS: i64 = 2;
const CLASSES: i64 = 55;
const CPU: (Kind, Device) = (Kind::Float, Device::Cpu);
const SGD: Rule = Rule::Sgd {
    momentum: 0.9,
    nesterov: true,
};

const ENCODERS: [&str; 7] = [
    "ctr-gcn",
    "agcn",
    "aagcn",
    "shift-gcn",
    "dgnn",
    "posec3d",
    "msg3d",
];
/// What is done, case, batch.
const CASES: [(&str, &str, i64); 4] = [
    ("infer", "dense", 16),
    ("infer", "ntu", 20),
    ("train", "dense", 16),
    ("infer", "wide", 4),
];

/// What infers and trains.
trait Net: SkeletonEncoder + SeenClassifier {}

impl<T: SkeletonEncoder + SeenClassifier> Net for T {}

fn input() -> Result<InputSpec> {
    Ok(InputSpec {
        layout: szar_data::layouts::by_name("ntu25")?,
        frames: FRAMES,
        persons: PERSONS,
        seen_classes: CLASSES,
    })
}

/// An encoder with the defaults of its options, or with the paper's width.
macro_rules! network {
    ($net:ident, $config:expr, $paper:expr, $wide:expr) => {{
        let mut config = $config;
        if $wide {
            config.base_channels = $paper;
        }
        Box::new($net::new(&config, &input()?, Device::Cpu)?)
    }};
}

fn network(encoder: &str, wide: bool) -> Result<Box<dyn Net>> {
    Ok(match encoder {
        "ctr-gcn" => network!(CtrGcn, CtrGcnConfig::default(), 64, wide),
        "agcn" => network!(Agcn, AgcnConfig::default(), 64, wide),
        "aagcn" => network!(Aagcn, AagcnConfig::default(), 64, wide),
        "shift-gcn" => network!(ShiftGcn, ShiftGcnConfig::default(), 64, wide),
        "dgnn" => network!(Dgnn, DgnnConfig::default(), 64, wide),
        "posec3d" => {
            let config = PoseC3dConfig {
                pool: Pool::Cells,
                ..PoseC3dConfig::default()
            };
            network!(PoseC3d, config, 32, wide)
        }
        "msg3d" => network!(MsG3d, MsG3dConfig::default(), 96, wide),
        other => {
            return Err(Error::Input(format!(
                "no encoder `{other}` here; there are {}",
                ENCODERS.join(", ")
            )));
        }
    })
}

/// Random motions; with `ntu` three of twenty samples have two persons, the others one.
fn batch(count: i64, ntu: bool) -> Result<SkeletonBatch> {
    let layout = szar_data::layouts::by_name("ntu25")?;
    let present: Vec<bool> = (0..count).flat_map(|i| [true, !ntu || i % 7 == 3]).collect();
    let here: Vec<f32> = present.iter().map(|p| f32::from(u8::from(*p))).collect();
    let here = Tensor::from_slice(&here).view([count, 1, 1, 1, PERSONS]);
    Ok(SkeletonBatch {
        joints: Tensor::randn([count, 3, FRAMES, layout.len() as i64, PERSONS], CPU) * here,
        frames: Tensor::full([count], FRAMES, (Kind::Int64, Device::Cpu)),
        present,
        layout: Arc::clone(&layout),
    })
}

fn step(net: &dyn Net, optimiser: &mut Optimiser, batch: &SkeletonBatch, labels: &Tensor) -> Result<()> {
    let none: Option<&Tensor> = None;
    let logits = net.train_logits(batch, Kind::Float)?;
    let loss = logits.cross_entropy_loss(labels, none, Reduction::Mean, -100, 0.0);
    optimiser.zero_grad();
    loss.backward();
    net.after_backward();
    optimiser.step(1e-3);
    Ok(())
}

fn measure(turns: &mut Turns, encoder: &str) -> Result<()> {
    for (what, case, count) in CASES {
        let net = network(encoder, case == "wide")?;
        let batch = batch(count, case == "ntu")?;
        let name = format!("{encoder}/{what}/{case}/B{count}");
        let _ = if what == "infer" {
            turns.line(&name, count as usize, || net.encode(&batch).map(drop))?
        } else {
            let mut optimiser = Optimiser::new(SGD, 1e-4, &net.weights());
            let labels = Tensor::randint(CLASSES, [count], (Kind::Int64, Device::Cpu));
            turns.line(&name, count as usize, || {
                step(net.as_ref(), &mut optimiser, &batch, &labels)
            })?
        };
    }
    Ok(())
}

/// Moves every parameter and statistic away from where it starts, so that each of them counts.
fn disturb(state: &NamedTensors) {
    no_grad(|| {
        for (name, tensor) in state {
            let noise = tensor.to_kind(Kind::Float).rand_like();
            if name.ends_with("running_var") {
                tensor.shallow_clone().copy_(&(noise * 0.5 + 0.75));
            } else if name.ends_with("running_mean") || tensor.requires_grad() {
                let spread = if tensor.dim() > 1 { 0.02 } else { 0.2 };
                let _ = tensor.shallow_clone().g_add_(&((noise - 0.5) * spread));
            }
            // The published start makes every graph convolution a whisper.
            if name.ends_with("gcn1.bn.weight") {
                let _ = tensor.shallow_clone().g_add_scalar_(0.5);
            }
        }
    });
}

/// Writes a network, an input and what comes out to a file of the peer's `--check`.
fn record(folder: &Path, encoder: &str, wide: bool) -> Result<()> {
    let (net, batch) = (network(encoder, wide)?, batch(4, true)?);
    let state = net.weights();
    disturb(&state);
    let mut tensors: NamedTensors = state
        .iter()
        .map(|(name, tensor)| (format!("state.{name}"), tensor.detach().copy()))
        .collect();
    let trained = state.values().filter(|t| t.requires_grad());
    let parameters: usize = trained.map(Tensor::numel).sum();
    tensors.insert("parameters".into(), Tensor::from_slice(&[parameters as i64]));
    let encoding = net.encode(&batch)?;
    let logits = encoding
        .seen_logits
        .ok_or_else(|| Error::Input(format!("`{encoder}` gives no logits")))?;
    tensors.insert("features".into(), encoding.features.values);
    tensors.insert("logits".into(), logits);
    // Training `posec3d` draws frames and drops features at random.
    if encoder != "posec3d" {
        let logits = net.train_logits(&batch, Kind::Float)?.detach();
        tensors.insert("training".into(), logits);
    }
    tensors.insert("input".into(), batch.joints);
    let width = if wide { "wide" } else { "default" };
    checkpoint::save(
        &folder.join(format!("{encoder}.{width}.safetensors")),
        &tensors,
        &[],
    )
}

fn check(encoders: &[&str]) -> Result<()> {
    let folder = tempfile::tempdir().map_err(|e| Error::Input(format!("no temporary folder: {e}")))?;
    for encoder in encoders {
        record(folder.path(), encoder, false)?;
        record(folder.path(), encoder, true)?;
    }
    let python = std::env::var_os("PEER_PYTHON").unwrap_or_else(|| "python3".into());
    let script = concat!(env!("CARGO_MANIFEST_DIR"), "/peer/encoders.py");
    let mut command = Command::new(python);
    command.args([script, "--check"]).arg(folder.path());
    match command.status() {
        Ok(status) if status.success() => Ok(()),
        Ok(_) => Err(Error::Input("szar and PyTorch do not compute the same".into())),
        Err(error) => Err(Error::Input(format!("{script} does not run: {error}"))),
    }
}

fn main() -> Result<()> {
    tch::set_num_threads(1);
    tch::manual_seed(7);
    let given: Vec<String> = std::env::args().skip(1).collect();
    let named: Vec<&str> = given
        .iter()
        .map(String::as_str)
        .filter(|a| !a.starts_with("--"))
        .collect();
    let encoders = if named.is_empty() { &ENCODERS[..] } else { &named };
    if given.iter().any(|a| a == "--check") {
        return check(encoders);
    }
    let mut turns = Turns::start("encoders.py");
    for encoder in encoders {
        measure(&mut turns, encoder)?;
    }
    Ok(())
}
