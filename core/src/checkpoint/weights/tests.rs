//! Files, folders, prefixes and owners.

use std::fs;

use tch::{Tensor, kind::FLOAT_CPU};

use super::super::torch::tests::writer::{floats, state_dict, whole, zip};
use super::*;

fn names(read: &Weights) -> Vec<&str> {
    read.tensors.keys().map(String::as_str).collect()
}

fn own<const N: usize>(names: [&str; N]) -> NamedTensors {
    names
        .map(|n| (n.to_owned(), Tensor::zeros([1], FLOAT_CPU)))
        .into()
}

fn write(path: &Path, names: &[&str]) {
    let entries: Vec<_> = names.iter().map(|name| whole(name, "0", &[1])).collect();
    let pickle = state_dict(&entries);
    fs::write(
        path,
        zip(&[("a/data.pkl", &pickle), ("a/data/0", &floats(&[1.0]))]),
    )
    .unwrap();
}

fn read(path: &Path, own: &NamedTensors) -> Result<Weights> {
    read_weights(path, own, Device::Cpu)
}

fn refusal(path: &Path) -> String {
    read(path, &own([])).unwrap_err().to_string()
}

fn fixture(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("tests/data/torch")
        .join(name)
}

#[test]
fn wrappers_of_all_names_are_taken_off() {
    for file in [
        "training.pth.tar",
        "training_legacy.pth.tar",
        "lightning.ckpt",
        "parallel.pth",
    ] {
        let read = read(&fixture(file), &own([])).unwrap();
        let expected = [
            "0.bias",
            "0.weight",
            "1.bias",
            "1.num_batches_tracked",
            "1.running_mean",
            "1.running_var",
            "1.weight",
        ];
        assert_eq!(names(&read), expected, "{file}");
    }
}

#[test]
fn names_of_some_or_of_the_component_stay() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("x.pt");
    write(&path, &["model.a", "b"]);
    assert_eq!(names(&read(&path, &own([])).unwrap()), ["b", "model.a"]);
    write(&path, &["model.a", "model.b"]);
    assert_eq!(
        names(&read(&path, &own(["model.a"])).unwrap()),
        ["model.a", "model.b"]
    );
    assert_eq!(names(&read(&path, &own(["a"])).unwrap()), ["a", "b"]);
    write(&path, &["module.model.a"]);
    assert_eq!(names(&read(&path, &own(["a"])).unwrap()), ["a"]);
    assert_eq!(names(&read(&path, &own(["model.a"])).unwrap()), ["model.a"]);
    write(&path, &["module."]);
    assert_eq!(names(&read(&path, &own([])).unwrap()), ["module."]);
}

#[test]
fn a_folder_names_its_files_without_their_epochs() {
    let folder = tempfile::tempdir().unwrap();
    let at = |name: &str| folder.path().join(name);
    write(&at("se_3399.pth.tar"), &["mu_transformation.0.weight"]);
    write(&at("sd_3399.pth.tar"), &["model.0.weight"]);
    write(&at("se_trip1699.pth.tar"), &["w"]);
    write(&at("17.pt"), &["w"]);
    super::super::save(&at("gate.safetensors"), &own(["w"]), &[]).unwrap();
    fs::write(at("notes.txt"), "not weights").unwrap();
    fs::write(at(".hidden.pt"), "not weights").unwrap();
    // The decoder's own name begins with `model.`.
    let read = read(folder.path(), &own(["sd.model.0.weight"])).unwrap();
    let expected = [
        "17.w",
        "gate.w",
        "sd.model.0.weight",
        "se.mu_transformation.0.weight",
        "se_trip.w",
    ];
    assert_eq!(names(&read), expected);
}

#[test]
fn two_files_of_one_part_are_refused_by_name() {
    let folder = tempfile::tempdir().unwrap();
    for name in ["se_1699.pth.tar", "se_3399.pth.tar"] {
        write(&folder.path().join(name), &["w"]);
    }
    let error = refusal(folder.path());
    assert!(
        error.contains("`se_1699.pth.tar` and `se_3399.pth.tar` are both weights of `se`"),
        "{error}"
    );
}

#[test]
fn a_damaged_file_of_a_folder_is_named() {
    let folder = tempfile::tempdir().unwrap();
    fs::write(folder.path().join("se_1.pt"), "hello").unwrap();
    assert!(refusal(folder.path()).contains("se_1.pt: not a file of torch.save"));
}

#[test]
fn what_is_no_weights_is_refused() {
    let folder = tempfile::tempdir().unwrap();
    assert!(refusal(folder.path()).contains("holds no weights"));
    let text = folder.path().join("weights.txt");
    assert!(refusal(&text).starts_with("cannot read "));
    fs::write(&text, "").unwrap();
    assert!(refusal(&text).contains("expected weights, as .safetensors, .pth.tar, .ckpt, .pth, .tar, .pt"));
    assert!(refusal(&folder.path().join("none.pt")).starts_with("cannot read "));
}

#[test]
fn a_whole_module_is_refused_with_advice() {
    let error = refusal(&fixture("module.pt"));
    assert!(
        error.contains("module.pt, byte 2 of `module/data.pkl`, GLOBAL: asks for `model.MI`"),
        "{error}"
    );
    assert!(
        error.contains("\n\nhint: ") && error.contains("model.state_dict()"),
        "{error}"
    );
    assert!(
        error.contains("torch.load(\"module.pt\"") && error.contains("\"module.safetensors\")"),
        "{error}"
    );
}

#[test]
fn weights_of_another_component_are_refused_by_both_names() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("aligner.safetensors");
    let tensors = own(["model.a"]);
    super::super::save(&path, &tensors, &[("component".into(), "purls".into())]).unwrap();
    let read = read(&path, &own([])).unwrap();
    assert_eq!(names(&read), ["model.a"]);
    read.expect_component("purls").unwrap();
    let error = read.expect_component("eszsl").unwrap_err();
    assert!(error.is_input());
    let text = error.to_string();
    assert!(
        text.ends_with("aligner.safetensors: holds the weights of `purls`, expected those of `eszsl`"),
        "{text}"
    );
}
