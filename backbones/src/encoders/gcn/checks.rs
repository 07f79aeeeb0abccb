//! What the tests of every graph-convolutional encoder ask.

use std::sync::Arc;

use szar_core::component::InputSpec;
use szar_core::host::to_f64;
use szar_core::testing::{normal, uniform};
use szar_core::{Cancel, NamedTensors, SeenSkeletons, SkeletonBatch, SkeletonEncoder, testing};
use tch::kind::FLOAT_CPU;
use tch::{Device, Kind, Tensor, no_grad};

use super::golden::layout;
use super::{GraphEncoder, Network};
use crate::nn::classifier::tests::{Toy, alone};
use crate::nn::classifier::{SeenClassifier, TrainConfig};

/// What the toy data are: 8 frames of 4 joints, two classes.
pub(crate) fn input(persons: i64) -> InputSpec {
    // One thread a test: they run side by side.
    tch::set_num_threads(1);
    InputSpec {
        layout: Arc::new(testing::layout(4)),
        frames: 8,
        persons,
        seen_classes: 2,
    }
}

/// 16 frames of two persons, NTU's 25 joints, 60 classes.
pub(crate) fn ntu() -> InputSpec {
    tch::set_num_threads(1);
    InputSpec {
        layout: Arc::new(layout("ntu-rgb-d").unwrap()),
        frames: 16,
        persons: 2,
        seen_classes: 60,
    }
}

/// A short training.
pub(crate) fn training() -> TrainConfig {
    TrainConfig {
        epochs: 8,
        batch: 16,
        lr: 0.01,
        ..TrainConfig::default()
    }
}

/// Gives every floating tensor of a state values from its name, so that each of them counts.
pub(crate) fn fill(state: NamedTensors) {
    fill_as("", state);
}

/// As [`fill`], with other values for each `front` of the names.
pub(crate) fn fill_as(front: &str, state: NamedTensors) {
    for (name, mut tensor) in state {
        // `A` is st-gcn's graph.
        if tensor.kind() != Kind::Float || name == "A" {
            continue;
        }
        let size = tensor.size();
        let v = uniform(&format!("{front}{name}"), &size);
        let value = match name.rsplit('.').next().unwrap_or("") {
            "running_var" => v * 0.5 + 0.75,
            "running_mean" => (v - 0.5) * 0.2,
            "xpos" => v * 0.0,
            "ypos" => v * 2.0 - 1.0,
            "PA" | "source_M" | "target_M" => (v * 2.0 - 1.0) * 0.1 + tensor.to_kind(Kind::Double).detach(),
            "alpha" | "Feature_Mask" => v,
            _ if name.starts_with("edge_importance") => (v * 2.0 - 1.0) * 0.1 + 1.0,
            _ if size.len() >= 2 => {
                let fan_in = (tensor.numel() as i64 / size[0]) as f64;
                (v * 2.0 - 1.0) * (3.0 / fan_in).sqrt()
            }
            "weight" => v * 0.25 + 0.25,
            _ => (v - 0.5) * 0.2,
        };
        no_grad(|| tensor.copy_(&value));
    }
}

/// What the official module gives for [`fill`]'s weights and the input named `input`, computed in double precision.
pub(crate) struct Expected {
    pub(crate) first: [f64; 4],
    pub(crate) sum: f64,
    pub(crate) norm: f64,
    /// Frobenius norms after blocks 1, 2, 5, 8 and 10.
    pub(crate) blocks: [f64; 5],
}

/// Six printed digits, with room for single precision.
fn near(got: f64, want: f64) -> bool {
    (got - want).abs() <= 2e-6 + 5e-6 * want.abs()
}

/// A network built for [`ntu`] gives the official logits.
pub(crate) fn gives<N: Network>(net: &GraphEncoder<N>, expected: &Expected) {
    fill(net.weights());
    let batch = SkeletonBatch {
        joints: (uniform("input", &[2, 3, 16, 25, 2]) * 2.0 - 1.0).to_kind(Kind::Float),
        frames: Tensor::from_slice(&[16i64, 16]),
        present: vec![true; 4],
        layout: ntu().layout,
    };
    let mut norms = Vec::new();
    let mut tap = |x: &Tensor| norms.push(x.to_kind(Kind::Double).norm().double_value(&[]));
    let encoding = net.encode_with_taps(&batch, &mut tap).unwrap();
    gave(&encoding.seen_logits.unwrap(), &norms, expected);
}

/// Logits and the norms of ten blocks are the official ones.
pub(crate) fn gave(logits: &Tensor, norms: &[f64], expected: &Expected) {
    let values = to_f64(&logits.flatten(0, -1));
    let norm = values.iter().map(|x| x * x).sum::<f64>().sqrt();
    let got = [&values[..4], &[values.iter().sum(), norm]].concat();
    let want = [&expected.first[..], &[expected.sum, expected.norm]].concat();
    let blocks = [0, 1, 4, 7, 9].map(|i: usize| norms[i]);
    let pairs = blocks.iter().zip(&expected.blocks).chain(got.iter().zip(&want));
    for (got, want) in pairs {
        assert!(near(*got, *want), "{got}, expected {want}; blocks {blocks:?}");
    }
}

/// How many parameters are trained.
pub(crate) fn parameters(state: &NamedTensors) -> usize {
    let trained = state.values().filter(|t| t.requires_grad());
    trained.map(Tensor::numel).sum()
}

/// Random joints of [`input`], zeros of those who are not there.
pub(crate) fn batch(count: i64, persons: i64, seed: i64, present: &[bool]) -> SkeletonBatch {
    let here: Vec<f32> = present.iter().map(|p| f32::from(u8::from(*p))).collect();
    let here = Tensor::from_slice(&here).view([count, 1, 1, 1, persons]);
    SkeletonBatch {
        joints: normal(&format!("batch {seed}"), &[count, 3, 8, 4, persons]) * here,
        frames: Tensor::full([count], 8, (Kind::Int64, Device::Cpu)),
        present: present.to_vec(),
        layout: Arc::new(testing::layout(4)),
    }
}

/// Equal up to rounding, and not because both are zero.
pub(crate) fn close(a: &Tensor, b: &Tensor) -> bool {
    assert!(to_f64(&a.abs().max())[0] > 0.01);
    a.size() == b.size() && a.allclose(b, 1e-4, 1e-5, false)
}

/// A network for two persons gives for samples one by one, in any order, what it gives for all at once.
pub(crate) fn a_batch_equals_its_samples<N: Network>(net: &GraphEncoder<N>) {
    fill(net.weights());
    let present = [true, true, true, false, true, true];
    let whole = batch(3, 2, 2, &present);
    let all = net.encode(&whole).unwrap();
    for i in [2i64, 0, 1] {
        let one = SkeletonBatch {
            joints: whole.joints.narrow(0, i, 1),
            frames: whole.frames.narrow(0, i, 1),
            present: present[2 * i as usize..][..2].to_vec(),
            layout: Arc::clone(&whole.layout),
        };
        let alone = net.encode(&one).unwrap();
        assert!(close(&alone.features.values, &all.features.narrow(i, 1).values));
        let logits = all.seen_logits.as_ref().unwrap().narrow(0, i, 1);
        assert!(close(&alone.seen_logits.unwrap(), &logits));
    }
}

/// A network for two persons does not compute those who are not there, and gives what their zeros would give.
pub(crate) fn an_absent_person_changes_nothing<N: Network>(net: &GraphEncoder<N>) {
    fill(net.weights());
    let mut some = batch(2, 2, 3, &[true, false, false, false]);
    let mut computed = Vec::new();
    let skipped = net
        .encode_with_taps(&some, &mut |x| computed.push(x.size()[0]))
        .unwrap();
    assert!(!computed.is_empty() && computed.iter().all(|n| *n == 1));
    some.present = vec![true; 4];
    let naive = net.encode(&some).unwrap();
    assert!(close(&skipped.features.values, &naive.features.values));
}

/// A state goes over to another network of the same options, also without its classifier.
pub(crate) fn a_state_survives<N: Network>(net: &GraphEncoder<N>, other: &mut GraphEncoder<N>) {
    fill(net.weights());
    let wrapped = net.state().into_iter().map(|(n, t)| (format!("module.{n}"), t));
    let wrapped: NamedTensors = wrapped.collect();
    other.load_state(&wrapped).unwrap();
    let data = batch(2, 2, 5, &[true; 4]);
    let (ours, theirs) = (net.encode(&data).unwrap(), other.encode(&data).unwrap());
    assert!(ours.features.values.equal(&theirs.features.values));
    let mut headless = wrapped;
    headless.retain(|n, _| !n.starts_with(&format!("module.{}.", N::HEAD)));
    other.load_state(&headless).unwrap();
    assert!(other.encode(&data).unwrap().seen_logits.is_none() && !other.spec().classifies);
    let some = headless.keys().find(|n| n.ends_with(".weight")).cloned().unwrap();
    headless.remove(&some);
    let error = other.load_state(&headless).unwrap_err().to_string();
    assert!(error.contains(some.trim_start_matches("module.")), "{error}");
}

/// A network as it starts learns what can be separated; its products in bf16 give the same up to their rounding.
pub(crate) fn it_learns<N: Network>(make: impl Fn() -> GraphEncoder<N>) {
    if !alone() {
        return;
    }
    let mut net = make();
    let cancel = Cancel::default();
    let (train, validation) = (Toy::new(128, 1, 7), Toy::new(40, 1, 8));
    let summary = net
        .fit(&train, &validation, &mut testing::fit_context(&cancel))
        .unwrap();
    let best = summary.validation[summary.best_epoch as usize - 1];
    eprintln!("best of {:?}", summary.validation);
    assert!(best > 90.0, "{summary:?}");
    let data = validation.batch(&(0..40).collect::<Vec<_>>()).unwrap();
    let logits = |kind| no_grad(|| net.train_logits(&data, kind)).unwrap();
    let (fine, rough) = (logits(Kind::Float), logits(Kind::BFloat16));
    let error = to_f64(&(&fine - rough).abs().max())[0];
    let scale = to_f64(&fine.abs().max())[0];
    assert!(error < 0.1 * scale, "{error} of {scale}");
}

/// A network for one person evaluates to what it gives in training where the statistics are the batch's: a tenth of
/// what one pass over it leaves of zeros. They are but for a factor n / (n - 1) of each variance, up to 1/1000 with the
/// 128 * 2 * 4 values of the last blocks.
pub(crate) fn training_and_evaluation_agree<N: Network>(net: &GraphEncoder<N>) {
    fill(net.weights());
    let times = |factor: f64| {
        for (_, mut tensor) in net.weights().into_iter().filter(|(n, _)| n.contains(".running_")) {
            let _ = tensor.g_mul_scalar_(factor);
        }
    };
    let data = Toy::new(128, 1, 3).batch(&(0..128).collect::<Vec<_>>()).unwrap();
    times(0.0);
    let logits = no_grad(|| net.train_logits(&data, Kind::Float)).unwrap();
    times(10.0);
    let evaluated = net.eval_logits(&data).unwrap();
    let error = to_f64(&(evaluated - &logits).abs().max())[0];
    let scale = to_f64(&logits.abs().max())[0];
    assert!(error < 0.02 * scale, "{error} of {scale}");
}

/// One training pass of the published module in PyTorch, in double precision, with [`fill`]'s weights over six samples
/// of the input named `input`: the loss is the sum of the squared logits, each times its number from 0.
pub(crate) struct Trained {
    /// Of the first two samples.
    pub(crate) logits: [f64; 4],
    /// Norm of all gradients together.
    pub(crate) gradient: f64,
    /// Norm of the gradients of the learned graphs.
    pub(crate) graph_gradient: f64,
    /// Norm of all running statistics after the pass.
    pub(crate) statistics: f64,
}

/// A network for two persons trains as the published module does.
pub(crate) fn trains_as<N: Network>(net: &GraphEncoder<N>, expected: &Trained) {
    fill(net.weights());
    let mut data = batch(6, 2, 0, &[true; 12]);
    data.joints = (uniform("input", &[6, 3, 8, 4, 2]) * 2.0 - 1.0).to_kind(Kind::Float);
    let logits = net.train_logits(&data, Kind::Float).unwrap();
    let numbers = Tensor::arange(12, FLOAT_CPU).view([6, 2]);
    (logits.square() * numbers).sum(Kind::Float).backward();
    let state = net.weights();
    let norm = |of: &dyn Fn(&str, &Tensor) -> Option<Tensor>| {
        let squares = state.iter().filter_map(|(name, tensor)| of(name, tensor));
        squares
            .map(|t| t.square().sum(Kind::Double).double_value(&[]))
            .sum::<f64>()
            .sqrt()
    };
    let gradient = |of: &str| {
        norm(&|name, tensor| (tensor.requires_grad() && name.ends_with(of)).then(|| tensor.grad()))
    };
    let statistics = norm(&|name, tensor| name.contains("running").then(|| tensor.shallow_clone()));
    let logits = to_f64(&logits.detach().flatten(0, -1));
    let mut pairs: Vec<_> = logits.into_iter().zip(expected.logits).collect();
    pairs.push((gradient(""), expected.gradient));
    pairs.push((gradient("PA"), expected.graph_gradient));
    pairs.push((statistics, expected.statistics));
    for (got, want) in pairs {
        assert!((got - want).abs() < 1e-4 * want.abs(), "{got}, expected {want}");
    }
}

/// One frame of one joint, or of two, is enough to compute and to train on.
pub(crate) fn the_smallest_input_computes<N: Network>(make: impl Fn(&InputSpec) -> GraphEncoder<N>) {
    for joints in [1, 2] {
        let layout = Arc::new(testing::layout(joints));
        let input = InputSpec {
            layout: Arc::clone(&layout),
            frames: 1,
            ..input(1)
        };
        let net = make(&input);
        let data = SkeletonBatch {
            joints: Tensor::ones([2, 3, 1, joints as i64, 1], FLOAT_CPU),
            frames: Tensor::from_slice(&[1i64, 1]),
            present: vec![true; 2],
            layout,
        };
        let features = net.encode(&data).unwrap().features.values;
        let spec = net.spec();
        assert_eq!(features.size(), [2, spec.channels, spec.frames, spec.joints]);
        net.train_logits(&data, Kind::Float)
            .unwrap()
            .sum(Kind::Float)
            .backward();
    }
}

/// Every parameter gets a finite gradient; of those whose name `skipped` says so, none.
pub(crate) fn gradients_reach_all<N: Network>(net: &GraphEncoder<N>, skipped: impl Fn(&str) -> bool) {
    fill(net.weights());
    let data = batch(4, 2, 5, &[true; 8]);
    let logits = net.train_logits(&data, Kind::Float).unwrap();
    (logits.square() * Tensor::arange(8, FLOAT_CPU).view([4, 2]))
        .sum(Kind::Float)
        .backward();
    for (name, tensor) in net.weights() {
        if !tensor.requires_grad() {
            continue;
        }
        let grad = tensor.grad();
        assert_eq!(grad.defined(), !skipped(&name), "{name}");
        if grad.defined() {
            let largest = to_f64(&grad.abs().max())[0];
            assert!(largest.is_finite(), "{name}");
        }
    }
}
