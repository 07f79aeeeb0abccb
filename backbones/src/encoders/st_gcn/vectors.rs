//! The networks with weights and input from a fixed stream of numbers, held against the official modules' outputs
//! for the same numbers (computed there in double precision).

use std::sync::Arc;

use szar_core::component::InputSpec;
use szar_core::host::to_f64;
use szar_core::{SkeletonBatch, SkeletonEncoder, testing};
use tch::{Device, Kind, Tensor};

use super::golden::layout;
use super::{StGcn, StGcnConfig, Variant};
use crate::encoders::gcn::checks::fill;

struct Expected {
    first: [f64; 4],
    sum: f64,
    norm: f64,
    /// Frobenius norms after blocks 1, 2, 5, 8 and 10.
    blocks: [f64; 5],
}

/// Six printed digits, with room for single precision.
fn near(got: f64, want: f64) -> bool {
    (got - want).abs() <= 1e-6 + 5e-6 * want.abs()
}

fn check(variant: Variant, pooled: bool, expected: &Expected) {
    tch::set_num_threads(1);
    let layout = Arc::new(layout("ntu-rgb+d").unwrap());
    let input = InputSpec {
        layout: Arc::clone(&layout),
        frames: 16,
        persons: 2,
        seen_classes: 60,
    };
    let config = StGcnConfig {
        variant,
        ..StGcnConfig::default()
    };
    let net = StGcn::new(&config, &input, Device::Cpu).unwrap();
    fill(net.state());
    let batch = SkeletonBatch {
        joints: (testing::uniform("input", &[2, 3, 16, 25, 2]) * 2.0 - 1.0).to_kind(Kind::Float),
        frames: Tensor::from_slice(&[16i64, 16]),
        present: vec![true; 4],
        layout,
    };
    let mut norms = Vec::new();
    let mut tap = |x: &Tensor| norms.push(x.to_kind(Kind::Double).norm().double_value(&[]));
    let encoding = net.encode_with_taps(&batch, &mut tap).unwrap();
    let out = if pooled {
        encoding.features.pooled()
    } else {
        encoding.seen_logits.unwrap()
    };

    let values = to_f64(&out);
    for (got, want) in values.iter().zip(expected.first) {
        assert!(near(*got, want), "{variant:?}: {:?}", &values[..4]);
    }
    assert!(
        near(values.iter().sum(), expected.sum),
        "{variant:?}: sum {}",
        values.iter().sum::<f64>()
    );
    let norm = values.iter().map(|x| x * x).sum::<f64>().sqrt();
    assert!(near(norm, expected.norm), "{variant:?}: norm {norm}");
    let taps = [0, 1, 4, 7, 9].map(|i: usize| norms[i]);
    assert!(
        taps.iter().zip(expected.blocks).all(|(g, w)| near(*g, w)),
        "{variant:?}: {taps:?}"
    );
}

#[test]
fn the_official_plan_gives_the_official_logits() {
    let expected = Expected {
        first: [-0.107157, -0.031513, 0.016777, -0.144124],
        sum: 2.489640,
        norm: 1.341276,
        blocks: [16.3529, 26.5081, 20.7340, 23.6789, 32.6202],
    };
    check(Variant::Official, false, &expected);
}

#[test]
fn the_smie_plan_gives_smies_features() {
    let expected = Expected {
        first: [0.000000, 0.168502, 0.000000, 0.000000],
        sum: 18.328439,
        norm: 1.470952,
        blocks: [6.13132, 14.0391, 6.22401, 11.2737, 20.8675],
    };
    check(Variant::Smie, true, &expected);
}

#[test]
fn the_parameters_are_as_many_as_the_official_ones() {
    for (variant, want) in [(Variant::Official, 3_083_412), (Variant::Smie, 821_380)] {
        let layout = Arc::new(layout("ntu-rgb+d").unwrap());
        let input = InputSpec {
            layout,
            frames: 16,
            persons: 2,
            seen_classes: 60,
        };
        let net = StGcn::new(
            &StGcnConfig {
                variant,
                ..StGcnConfig::default()
            },
            &input,
            Device::Cpu,
        )
        .unwrap();
        let state = net.state();
        let body = state
            .iter()
            .filter(|(n, t)| t.requires_grad() && !n.starts_with("fcn."));
        assert_eq!(body.map(|(_, t)| t.numel()).sum::<usize>(), want);
    }
}
