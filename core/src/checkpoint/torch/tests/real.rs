//! Files that PyTorch wrote.

use tch::{Kind, Tensor};

use super::{fixture, read, refusal};

const TRAININGS: [&str; 4] = [
    "training.pth.tar",
    "training_legacy.pth.tar",
    "lightning.ckpt",
    "parallel.pth",
];

#[test]
fn every_kind_and_view_of_tensors_is_read_bit_for_bit() {
    let grid = Tensor::arange(24, (Kind::Float, tch::Device::Cpu)).reshape([4, 6]);
    let line = Tensor::arange(6, (Kind::Float, tch::Device::Cpu));
    let floats = |values: &[f32]| Tensor::from_slice(values);
    let expected = [
        ("plain", floats(&[1.5, -2.0, 0.25, 3.0]).reshape([2, 2])),
        ("transposed", grid.tr()),
        ("window", grid.slice(0, 1, 3, 1).slice(1, 2, 5, 1)),
        ("column", grid.select(1, 3)),
        ("expanded", floats(&[7.0, 7.0, 7.0])),
        ("shared.a", line.shallow_clone()),
        ("shared.b", line.view([2, 3])),
        ("scalar", Tensor::from(42.0f32)),
        ("empty", Tensor::zeros([0, 3], (Kind::Float, tch::Device::Cpu))),
        ("half", floats(&[0.5, -1.0]).to_kind(Kind::Half)),
        ("bfloat16", floats(&[0.5, -1.0]).to_kind(Kind::BFloat16)),
        ("double", Tensor::from_slice(&[0.1f64])),
        ("int64", Tensor::from_slice(&[-5i64, 1 << 40])),
        ("int32", Tensor::from_slice(&[-5i32, 7])),
        ("int16", Tensor::from_slice(&[-300i16])),
        ("int8", Tensor::from_slice(&[-3i8])),
        ("uint8", Tensor::from_slice(&[250u8])),
        ("bool", Tensor::from_slice(&[true, false, true])),
        (
            "complex",
            Tensor::complex(&Tensor::from_slice(&[1f32]), &Tensor::from_slice(&[2f32])),
        ),
        ("parameter", floats(&[9.0, 8.0])),
    ];
    for file in ["kinds.pt", "kinds_legacy.pt", "kinds_protocol4.pt"] {
        let found = read(&fixture(file)).expect(file);
        assert_eq!(found.len(), expected.len(), "{file}");
        for (name, tensor) in &expected {
            let found = &found[*name];
            assert_eq!(
                (found.kind(), found.size()),
                (tensor.kind(), tensor.size()),
                "{file} {name}"
            );
            assert!(found.equal(tensor) && found.is_contiguous(), "{file} {name}");
        }
    }
}

#[test]
fn tensors_of_one_storage_do_not_share_memory_once_read() {
    let mut found = read(&fixture("kinds.pt")).expect("tensors");
    let _ = found.get_mut("shared.a").expect("a tensor").fill_(5.0);
    assert_eq!(
        f64::try_from(found["shared.b"].sum(Kind::Float)).expect("a number"),
        15.0
    );
}

#[test]
fn a_state_dict_is_found_beside_optimisers_and_schedules() {
    for file in TRAININGS {
        let found = read(&fixture(file)).expect(file);
        assert_eq!(found.len(), 7, "{file}: {:?}", found.keys());
        let ends = |end: &str| {
            let entry = found.iter().find(|(name, _)| name.ends_with(end));
            entry.expect("a tensor").1
        };
        let weight = Tensor::arange(6, (Kind::Float, tch::Device::Cpu)).reshape([2, 3]) / 4.0;
        assert!(ends("0.weight").equal(&weight), "{file}");
        assert!(
            ends("0.bias").equal(&Tensor::from_slice(&[1.0f32, -1.0])),
            "{file}"
        );
        assert!(ends("num_batches_tracked").equal(&Tensor::from(1i64)), "{file}");
    }
}

#[test]
fn the_same_state_dict_of_both_formats_is_the_same() {
    let both = ["training.pth.tar", "training_legacy.pth.tar"].map(|file| read(&fixture(file)).expect(file));
    assert!(both[0].keys().eq(both[1].keys()));
    assert!(both[0].iter().all(|(name, tensor)| tensor.equal(&both[1][name])));
}

#[test]
fn code_is_refused_and_not_run() {
    for (file, place) in [
        ("evil.pt", "of `evil/data.pkl`, GLOBAL: asks for `posix.system`"),
        ("evil_legacy.pt", ", GLOBAL: asks for `posix.system`"),
        (
            "module.pt",
            "byte 2 of `module/data.pkl`, GLOBAL: asks for `model.MI`",
        ),
        ("module_legacy.pt", ", GLOBAL: asks for `model.MI`"),
    ] {
        let error = refusal(&fixture(file));
        assert!(error.starts_with("byte ") && error.contains(place), "{error}");
        assert!(!std::path::Path::new("pwned").exists());
    }
}

#[test]
fn a_file_cut_short_anywhere_is_refused() {
    for file in ["training.pth.tar", "training_legacy.pth.tar"] {
        let whole = fixture(file);
        for length in (0..whole.len()).step_by(7).chain([whole.len() - 1]) {
            assert!(read(&whole[..length]).is_err(), "{file} up to {length}");
        }
    }
}
