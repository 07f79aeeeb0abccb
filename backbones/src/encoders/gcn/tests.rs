//! Streams and norms against values worked out by hand; what the encoder does with persons is tested with `st-gcn`.

use szar_core::NamedTensors;
use szar_core::host::to_f64;
use szar_core::testing::layout;
use tch::kind::FLOAT_CPU;
use tch::{Device, Kind, Tensor};

use super::*;

/// `[1, 1, 3, 3, 1]`: one coordinate, three frames, a chain of three joints.
fn chain() -> Tensor {
    Tensor::from_slice(&[1.0f32, 3.0, 6.0, 2.0, 5.0, 9.0, 4.0, 8.0, 13.0]).view([1, 1, 3, 3, 1])
}

#[test]
fn streams_are_bones_and_differences_in_time() {
    let of = |stream: Stream| to_f64(&stream.of(&chain(), &layout(3)).flatten(0, -1));
    assert_eq!(of(Stream::Joint), to_f64(&chain().flatten(0, -1)));
    assert_eq!(of(Stream::Bone), [0.0, 2.0, 3.0, 0.0, 3.0, 4.0, 0.0, 4.0, 5.0]);
    assert_eq!(
        of(Stream::JointMotion),
        [1.0, 2.0, 3.0, 2.0, 3.0, 4.0, 0.0, 0.0, 0.0]
    );
    assert_eq!(
        of(Stream::BoneMotion),
        [0.0, 1.0, 1.0, 0.0, 1.0, 1.0, 0.0, 0.0, 0.0]
    );
}

#[test]
fn the_places_of_persons_are_normalised_apart_in_any_order() {
    let x = szar_core::testing::normal("x", &[6, 5, 2, 3]) * 2.0 + 1.0;
    let (whole, parts) = (
        InputNorm::per_person(2, 6, Device::Cpu),
        InputNorm::per_person(2, 6, Device::Cpu),
    );
    let all = whole.train(&x, &[0, 1, 0, 1, 0, 1]);
    let order = Tensor::from_slice(&[1i64, 0, 2, 3, 5, 4]);
    let some = parts.train(&x.index_select(0, &order), &[1, 0, 0, 1, 1, 0]);
    assert!(all.index_select(0, &order).allclose(&some, 1e-5, 1e-6, false));
    let state = |norm: &InputNorm| {
        let mut state = NamedTensors::new();
        norm.collect("n", &mut state);
        state
    };
    for (name, tensor) in state(&whole) {
        assert!(
            tensor.allclose(&state(&parts)[&name], 1e-5, 1e-6, false),
            "{name}"
        );
    }
    // Each place has mean 0 over its own rows.
    let first = all.index_select(0, &Tensor::from_slice(&[0i64, 2, 4]));
    let mean = first
        .mean_dim([0i64, 1].as_slice(), false, Kind::Float)
        .abs()
        .max();
    assert!(to_f64(&mean)[0] < 1e-5);
    let evaluated = |slots: &[i64]| whole.affine(3).apply(&x.narrow(0, 0, 2), slots);
    let swapped = evaluated(&[1, 0]);
    assert!(!evaluated(&[0, 1]).allclose(&swapped, 1e-3, 1e-3, false));
}

#[test]
fn statistics_of_more_persons_than_there_are_give_those_of_the_first() {
    let norm = InputNorm::per_person(1, 6, Device::Cpu);
    let mut given = NamedTensors::from([("n.weight".to_owned(), Tensor::arange(12, FLOAT_CPU))]);
    norm.fit_persons("n", &mut given);
    assert_eq!(to_f64(&given["n.weight"]), [0.0, 1.0, 2.0, 3.0, 4.0, 5.0]);
}
