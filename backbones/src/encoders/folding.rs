//! Every encoder that folds its normalisations gives the same without that.

use std::sync::Arc;

use serde_json::{Value, json};
use szar_core::component::InputSpec;
use szar_core::host::to_f64;
use szar_core::registry::{self, ComponentKind};
use szar_core::{BuildContext, EncoderConfig, Encoding, Seed, SkeletonBatch, testing};
use tch::{Device, Tensor};

use super::gcn::checks::{batch, fill};

/// The largest difference, as a share of the largest value: rounding of single precision through ten blocks.
const TOLERANCE: f64 = 1e-5;

/// Small networks, by name.
fn options(name: &str) -> Value {
    match name {
        "posec3d" => json!({"base_channels": 4, "clip_frames": 8, "size": 12}),
        "msg3d" => json!({"base_channels": 6, "gcn_scales": 3, "g3d_scales": 2}),
        "st-gcn" => json!({"base_channels": 4, "features": 12, "temporal_kernel": 3}),
        _ => json!({"base_channels": 8}),
    }
}

/// What an encoder gives for four samples of two persons, of whom some are not there.
fn encode(name: &str, fold: bool, data: &SkeletonBatch) -> Encoding {
    let mut options = options(name);
    options["type"] = name.into();
    options["fold"] = fold.into();
    let config: Box<dyn EncoderConfig> = serde_json::from_value(options).unwrap();
    let input = InputSpec {
        layout: Arc::new(testing::layout(4)),
        frames: 8,
        persons: 2,
        seen_classes: 2,
    };
    let ctx = BuildContext {
        device: Device::Cpu,
        seed: Seed(1),
        cache: std::env::temp_dir(),
    };
    tch::manual_seed(1);
    let encoder = config.build(&input, &ctx).unwrap();
    fill(encoder.state());
    let before = to_f64(&statistics(encoder.as_ref()));
    let encoding = encoder.encode(data).unwrap();
    assert_eq!(
        to_f64(&statistics(encoder.as_ref())),
        before,
        "{name}: moved its statistics"
    );
    encoding
}

/// All running statistics in a row.
fn statistics(encoder: &dyn szar_core::SkeletonEncoder) -> Tensor {
    let state = encoder.state();
    let running = state.iter().filter(|(name, _)| name.contains(".running_"));
    Tensor::cat(
        &running
            .map(|(_, tensor)| tensor.flatten(0, -1))
            .collect::<Vec<_>>(),
        0,
    )
}

/// Largest difference as a share of the largest value.
fn apart(a: &Tensor, b: &Tensor) -> f64 {
    let largest = |t: &Tensor| to_f64(&t.abs().max())[0];
    assert!(a.size() == b.size() && largest(a) > 0.01);
    largest(&(a - b)) / largest(a)
}

#[test]
fn folded_and_unfolded_evaluation_agree_for_every_encoder_that_folds() {
    tch::set_num_threads(1);
    let folds = |schema: Value| schema["properties"].get("fold").is_some();
    let encoders = registry::all()
        .into_iter()
        .filter(|c| c.kind == ComponentKind::Encoder);
    let names: Vec<_> = encoders.filter(|c| folds(c.schema())).map(|c| c.name).collect();
    let all = [
        "aagcn",
        "agcn",
        "ctr-gcn",
        "dgnn",
        "msg3d",
        "posec3d",
        "shift-gcn",
        "st-gcn",
    ];
    assert_eq!(names, all);
    // One batch for both: what is drawn depends on the tests that run beside this one.
    let data = batch(4, 2, 5, &[true, true, true, false, true, false, true, true]);
    for name in names {
        let (folded, plain) = (encode(name, true, &data), encode(name, false, &data));
        let difference = apart(&folded.features.values, &plain.features.values);
        let logits = apart(&folded.seen_logits.unwrap(), &plain.seen_logits.unwrap());
        assert!(
            difference.max(logits) < TOLERANCE,
            "{name}: features differ by {difference:e}, logits by {logits:e}"
        );
        // Not the same code twice.
        assert!(difference.max(logits) > 0.0, "{name}: equal to the bit");
    }
}
