//! How fast `st-gcn` trains and encodes, in samples per second, beside the same network written plainly in PyTorch
//! (`benches/peer/st_gcn.py`; `PEER_PYTHON` names the Python that has torch): SMIE's plan of channels, 48 frames, 15
//! joints, as many threads on both sides, in turns, the best of the rounds. What bounds the number: in f32 the
//! products of the last block (83 % of the arithmetic); in bf16 passes over memory.
//!
//! `cargo bench -p szar-benches --bench st_gcn` needs the workspace's usual profile: `--profile dev`.

use std::io::{BufRead, BufReader, Write};
use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};
use std::sync::Arc;
use std::time::Instant;

use szar_backbones::encoders::st_gcn::{StGcn, StGcnConfig};
use szar_backbones::nn::classifier::SeenClassifier;
use szar_core::component::InputSpec;
use szar_core::optim::{Optimiser, Rule};
use szar_core::{DeviceChoice, Precision, Result, SkeletonBatch, SkeletonEncoder, testing};
use tch::{Device, Kind, Reduction, Tensor};

const FRAMES: i64 = 48;
const JOINTS: usize = 15;
const CLASSES: i64 = 48;
const ROUNDS: usize = 8;
/// Name, arithmetic, batch, steps in a round.
const CASES: [(&str, &str, i64, u32); 5] = [
    ("train", "f32", 64, 3),
    ("train", "bf16", 64, 4),
    ("encode", "f32", 64, 8),
    ("encode", "bf16", 64, 12),
    ("encode", "f32", 1, 100),
];

struct Ours {
    net: StGcn,
    optimiser: Optimiser,
    device: Device,
}

impl Ours {
    fn new(device: Device, inference: Precision) -> Result<Self> {
        let layout = Arc::new(testing::layout(JOINTS));
        let input = InputSpec {
            layout,
            frames: FRAMES,
            persons: 1,
            seen_classes: CLASSES,
        };
        let config = StGcnConfig {
            inference,
            ..StGcnConfig::default()
        };
        let net = StGcn::new(&config, &input, device)?;
        let optimiser = Optimiser::new(Rule::AdamW, 0.01, &net.weights());
        Ok(Self {
            net,
            optimiser,
            device,
        })
    }

    fn batch(&self, count: i64) -> SkeletonBatch {
        SkeletonBatch {
            joints: Tensor::randn([count, 3, FRAMES, JOINTS as i64, 1], (Kind::Float, self.device)),
            frames: Tensor::full([count], FRAMES, (Kind::Int64, self.device)),
            present: vec![true; count as usize],
            layout: Arc::new(testing::layout(JOINTS)),
        }
    }

    fn train(&mut self, batch: &SkeletonBatch, labels: &Tensor, kind: Kind) -> Result<()> {
        let none: Option<&Tensor> = None;
        let logits = self.net.train_logits(batch, kind)?;
        let loss = logits.cross_entropy_loss(labels, none, Reduction::Mean, -100, 0.1);
        self.optimiser.zero_grad();
        loss.backward();
        self.optimiser.clip_grad_norm(5.0);
        self.optimiser.step(2e-3);
        Ok(())
    }

    /// Seconds a step.
    fn time(&mut self, what: &str, kind: Kind, count: i64, steps: u32) -> Result<f64> {
        let batch = self.batch(count);
        let labels = Tensor::randint(CLASSES, [count], (Kind::Int64, self.device));
        self.wait();
        let start = Instant::now();
        for _ in 0..steps {
            match what {
                "train" => self.train(&batch, &labels, kind)?,
                _ => drop(self.net.encode(&batch)?),
            }
        }
        self.wait();
        Ok(start.elapsed().as_secs_f64() / f64::from(steps))
    }

    fn wait(&self) {
        if let Device::Cuda(index) = self.device {
            tch::Cuda::synchronize(index as i64);
        }
    }
}

/// The PyTorch version, kept running.
struct Peer {
    child: Child,
    questions: ChildStdin,
    answers: BufReader<ChildStdout>,
}

impl Peer {
    /// `None`, with a line on stderr, where it cannot run.
    fn start(device: Device) -> Option<Self> {
        let python = std::env::var_os("PEER_PYTHON").unwrap_or_else(|| "python3".into());
        let script = concat!(env!("CARGO_MANIFEST_DIR"), "/peer/st_gcn.py");
        let device = if device == Device::Cpu { "cpu" } else { "cuda" };
        let threads = tch::get_num_threads().to_string();
        let mut command = Command::new(&python);
        command
            .args([script, device, &threads])
            .stdin(Stdio::piped())
            .stdout(Stdio::piped());
        let mut peer = command.spawn().ok().and_then(|mut child| {
            let (questions, answers) = (child.stdin.take()?, BufReader::new(child.stdout.take()?));
            Some(Self {
                child,
                questions,
                answers,
            })
        });
        if peer
            .as_mut()
            .and_then(|p| p.time("encode", "f32", 1, 1))
            .is_none()
        {
            eprintln!(
                "no comparison: {} cannot run {script} (set PEER_PYTHON)",
                python.to_string_lossy()
            );
            return None;
        }
        peer
    }

    fn time(&mut self, what: &str, kind: &str, count: i64, steps: u32) -> Option<f64> {
        writeln!(self.questions, "{what} {kind} {count} {steps}").ok()?;
        let mut line = String::new();
        self.answers.read_line(&mut line).ok()?;
        line.trim().parse().ok()
    }
}

impl Drop for Peer {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

#[expect(clippy::print_stdout, reason = "the figures are what this program is for")]
fn main() -> Result<()> {
    let device = DeviceChoice::Auto.resolve()?;
    let mut peer = Peer::start(device);
    let title = format!("samples/s, {} threads", tch::get_num_threads());
    println!("{title:<30} {:>10} {:>10} {:>7}", "szar", "PyTorch", "ratio");
    for (what, kind, count, steps) in CASES {
        let precision = if kind == "bf16" {
            Precision::Bf16
        } else {
            Precision::F32
        };
        let mut ours = Ours::new(device, precision)?;
        let (mut best, mut theirs) = (f64::INFINITY, f64::INFINITY);
        for _ in 0..ROUNDS {
            best = best.min(ours.time(what, precision.resolve(device), count, steps)?);
            if let Some(seconds) = peer.as_mut().and_then(|p| p.time(what, kind, count, steps)) {
                theirs = theirs.min(seconds);
            }
        }
        let step = if what == "train" { "train_step" } else { what };
        let name = format!("st_gcn/{step}/B{count}_{kind}");
        let count = count as f64;
        match theirs.is_finite() {
            true => println!(
                "{name:<30} {:>10.0} {:>10.0} {:>7.2}",
                count / best,
                count / theirs,
                theirs / best
            ),
            false => println!("{name:<30} {:>10.0} {:>10} {:>7}", count / best, "-", "-"),
        }
    }
    Ok(())
}
