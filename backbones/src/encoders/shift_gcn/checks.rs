//! What tests of graph encoders share: small inputs, statistics as after training, and what any of them must satisfy.

use std::sync::Arc;

use szar_core::component::InputSpec;
use szar_core::host::to_f64;
use szar_core::{Cancel, NamedTensors, SkeletonBatch, SkeletonEncoder, SkeletonLayout, testing};
use tch::kind::FLOAT_CPU;
use tch::{Device, Kind, Tensor, no_grad};

use crate::encoders::gcn::{GraphEncoder, Network};
use crate::nn::classifier::SeenClassifier;
use crate::nn::classifier::tests::Toy;

/// A chain of four joints over eight frames, two classes.
pub(in crate::encoders) fn input(persons: i64) -> InputSpec {
    InputSpec {
        layout: Arc::new(testing::layout(4)),
        frames: 8,
        persons,
        seen_classes: 2,
    }
}

/// Random samples of that input; an absent person is all zeros.
pub(in crate::encoders) fn batch(count: i64, persons: i64, seed: i64, present: &[bool]) -> SkeletonBatch {
    tch::manual_seed(seed);
    let here: Vec<f32> = present.iter().map(|p| f32::from(u8::from(*p))).collect();
    let here = Tensor::from_slice(&here).view([count, 1, 1, 1, persons]);
    SkeletonBatch {
        joints: Tensor::randn([count, 3, 8, 4, persons], FLOAT_CPU) * here,
        frames: Tensor::full([count], 8, (Kind::Int64, Device::Cpu)),
        present: present.to_vec(),
        layout: Arc::new(testing::layout(4)),
    }
}

/// Statistics, biases and gains as after some training, so that every term counts.
pub(in crate::encoders) fn disturb(state: &NamedTensors, seed: i64) {
    tch::manual_seed(seed);
    for (name, tensor) in state {
        let (low, high) = match name.rsplit('.').next() {
            Some("running_mean") => (-0.3, 0.3),
            Some("running_var") => (0.2, 1.2),
            Some("bias" | "Linear_bias" | "Feature_Mask") => (-0.5, 0.5),
            Some("weight") if tensor.dim() == 1 => (0.5, 1.5),
            _ => continue,
        };
        let _ = no_grad(|| tensor.shallow_clone().uniform_(low, high));
    }
}

/// Equal up to rounding, and not because both are zero.
pub(in crate::encoders) fn close(a: &Tensor, b: &Tensor) -> bool {
    assert!(to_f64(&a.abs().max())[0] > 0.01);
    a.size() == b.size() && a.allclose(b, 1e-4, 1e-5, false)
}

/// Of an encoder for two persons.
pub(in crate::encoders) fn a_batch_equals_its_samples(net: &dyn SkeletonEncoder) {
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

/// Of an encoder for two persons.
pub(in crate::encoders) fn an_absent_person_changes_nothing<N: Network>(net: &GraphEncoder<N>) {
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

/// Of two encoders for one person with different weights.
pub(in crate::encoders) fn a_state_survives(net: &dyn SkeletonEncoder, other: &mut dyn SkeletonEncoder) {
    let data = batch(2, 1, 5, &[true; 2]);
    let features = |net: &dyn SkeletonEncoder| net.encode(&data).unwrap().features.values;
    assert!(!close(&features(net), &features(other)));
    let wrapped = net.state().into_iter().map(|(n, t)| (format!("module.{n}"), t));
    let mut wrapped: NamedTensors = wrapped.collect();
    other.load_state(&wrapped).unwrap();
    assert!(features(net).equal(&features(other)));
    wrapped.retain(|n, _| !n.starts_with("module.fc."));
    other.load_state(&wrapped).unwrap();
    assert!(other.encode(&data).unwrap().seen_logits.is_none() && !other.spec().classifies);
}

/// Of a freshly made encoder for one person.
pub(in crate::encoders) fn training_separates(
    net: &mut dyn SkeletonEncoder,
    precision: szar_core::Precision,
) {
    let cancel = Cancel::default();
    let mut context = testing::fit_context(&cancel);
    context.precision = precision;
    let (train, validation) = (Toy::new(128, 1, 7), Toy::new(40, 1, 8));
    let summary = net.fit(&train, &validation, &mut context).unwrap();
    let best = summary.validation[summary.best_epoch as usize - 1];
    assert!(best > 90.0, "{precision:?} {summary:?}");
}

/// Of an encoder for one person without dropout. Momentum 0.1: after 100 passes over one batch the running statistics
/// are the batch's but for a factor n / (n - 1) of each variance.
pub(in crate::encoders) fn training_and_evaluation_agree<N: Network>(net: &GraphEncoder<N>) {
    use szar_core::SeenSkeletons;
    let data = Toy::new(128, 1, 3).batch(&(0..128).collect::<Vec<_>>()).unwrap();
    let mut logits = Tensor::new();
    for _ in 0..100 {
        logits = no_grad(|| net.train_logits(&data, Kind::Float).unwrap());
    }
    let evaluated = net.eval_logits(&data).unwrap();
    let (error, scale) = (
        to_f64(&(evaluated - &logits).abs().max())[0],
        to_f64(&logits.abs().max())[0],
    );
    assert!(error < 0.02 * scale, "{error} of {scale}");
}

/// SplitMix64 in `[0, 1)`, started from the FNV-1a hash of a name.
pub(in crate::encoders) fn stream(name: &str, shape: &[i64]) -> Tensor {
    let start = name.bytes().fold(0xcbf2_9ce4_8422_2325u64, |hash, byte| {
        (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3)
    });
    let draw = |i: u64| {
        let z = start.wrapping_add(i.wrapping_mul(0x9e37_79b9_7f4a_7c15));
        let z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        ((z ^ (z >> 31)) >> 11) as f64 / (1u64 << 53) as f64
    };
    let count = shape.iter().product::<i64>() as u64;
    Tensor::from_slice(&(1..=count).map(draw).collect::<Vec<_>>()).view(shape)
}

/// Writes numbers of a fixed stream into a freshly made network, by the rules of its published test vectors.
pub(in crate::encoders) fn fill(state: &NamedTensors) {
    for (name, tensor) in state {
        let size = tensor.size();
        if tensor.kind() != Kind::Float {
            continue;
        }
        let v = stream(name, &size);
        let fan_in = (tensor.numel() as i64 / size.first().unwrap_or(&1)) as f64;
        let value = match name.rsplit('.').next().unwrap_or("") {
            "xpos" => v * 0.0,
            "ypos" => v * 2.0 - 1.0,
            "running_var" => v * 0.5 + 0.75,
            "running_mean" => (v - 0.5) * 0.2,
            "PA" | "source_M" | "target_M" => tensor.detach() + (v * 2.0 - 1.0) * 0.1,
            "Feature_Mask" | "alpha" => v,
            _ if size.len() >= 2 => (v * 2.0 - 1.0) * (3.0 / fan_in).sqrt(),
            "weight" => v * 0.25 + 0.25,
            _ => (v - 0.5) * 0.2,
        };
        no_grad(|| tensor.shallow_clone().copy_(&value));
    }
}

/// What the official modules give.
pub(in crate::encoders) struct Expected {
    pub(in crate::encoders) first: [f64; 4],
    pub(in crate::encoders) sum: f64,
    pub(in crate::encoders) norm: f64,
    /// Frobenius norms after blocks 1, 2, 5, 8 and 10.
    pub(in crate::encoders) blocks: [f64; 5],
}

/// Holds outputs and the norms of ten blocks against six printed digits, with room for single precision.
pub(in crate::encoders) fn assert_near(output: &Tensor, blocks: &[f64], expected: &Expected) {
    let near = |got: f64, want: f64| (got - want).abs() <= 1e-6 + 5e-6 * want.abs();
    let values = to_f64(&output.flatten(0, -1));
    let taps = [0, 1, 4, 7, 9].map(|i: usize| blocks[i]);
    assert!(
        taps.iter().zip(expected.blocks).all(|(g, w)| near(*g, w)),
        "{taps:?}"
    );
    for (got, want) in values.iter().zip(expected.first) {
        assert!(near(*got, want), "{:?}", &values[..4]);
    }
    let (sum, norm) = (
        values.iter().sum::<f64>(),
        values.iter().map(|x| x * x).sum::<f64>().sqrt(),
    );
    assert!(near(sum, expected.sum), "sum {sum}");
    assert!(near(norm, expected.norm), "norm {norm}");
}

/// The NTU skeleton's size: 25 joints, two persons, 16 frames, 60 classes.
pub(in crate::encoders) fn ntu_sized(layout: SkeletonLayout) -> InputSpec {
    InputSpec {
        layout: Arc::new(layout),
        frames: 16,
        persons: 2,
        seen_classes: 60,
    }
}
