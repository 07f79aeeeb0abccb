use super::*;
use npyz::WriterBuilder;
use std::fs;
use std::path::Path;
use szar_core::testing::{build_context, classes};
use szar_core::{ClassId, NamedTensors, checkpoint};

fn write_npy(path: &Path, shape: &[u64], values: &[f32], order: npyz::Order) {
    let file = fs::File::create(path).unwrap();
    let options = npyz::WriteOptions::new()
        .default_dtype()
        .order(order)
        .shape(shape)
        .writer(file);
    let mut writer = options.begin_nd().unwrap();
    writer.extend(values.iter()).unwrap();
    writer.finish().unwrap();
}

fn write_safetensors(path: &Path, tensors: &[(&str, Tensor)]) {
    let named: NamedTensors = tensors
        .iter()
        .map(|(n, t)| ((*n).to_owned(), t.shallow_clone()))
        .collect();
    checkpoint::save(path, &named, &[]).unwrap();
}

fn config(path: &Path) -> EmbeddingsConfig {
    EmbeddingsConfig {
        file: path.into(),
        normalise: false,
        ..Default::default()
    }
}

fn read(config: &EmbeddingsConfig, list: &ClassList) -> Result<Tensor> {
    Ok(config.build(&build_context())?.anchors(list)?.values)
}

fn numbers(t: &Tensor) -> Vec<f32> {
    Vec::<f32>::try_from(t.flatten(0, -1)).unwrap()
}

fn refused(config: &EmbeddingsConfig) -> String {
    read(config, &classes(3)).unwrap_err().to_string()
}

/// Numbers 1 to n.
fn count(shape: &[i64]) -> Tensor {
    let n = shape.iter().product::<i64>();
    Tensor::arange_start(1, n + 1, (Kind::Float, Device::Cpu)).reshape(shape)
}

#[test]
fn rows_are_class_numbers_in_either_order_of_storage() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("e.npy");
    write_npy(&path, &[3, 2], &[1.0, 2.0, 3.0, 4.0, 5.0, 6.0], npyz::Order::C);
    let list = classes(3).subset(&[ClassId(2), ClassId(0)]).unwrap();
    let got = read(&config(&path), &list).unwrap();
    assert_eq!(
        (got.size(), numbers(&got)),
        (vec![2, 1, 2], vec![1.0, 2.0, 5.0, 6.0])
    );
    write_npy(
        &path,
        &[3, 2],
        &[1.0, 3.0, 5.0, 2.0, 4.0, 6.0],
        npyz::Order::Fortran,
    );
    assert!(read(&config(&path), &list).unwrap().equal(&got));
}

#[test]
fn vectors_are_scaled_unless_told_otherwise() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("e.npy");
    write_npy(&path, &[1, 2], &[3.0, 4.0], npyz::Order::C);
    let unit = EmbeddingsConfig {
        normalise: true,
        ..config(&path)
    };
    assert_eq!(numbers(&read(&unit, &classes(1)).unwrap()), [0.6, 0.8]);
    assert_eq!(numbers(&read(&config(&path), &classes(1)).unwrap()), [3.0, 4.0]);
}

#[test]
fn several_vectors_per_class_and_named_tensors() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("e.safetensors");
    write_safetensors(
        &path,
        &[
            ("verb", count(&[3, 4])),
            ("both", count(&[3, 2, 4]).to_kind(Kind::Double)),
        ],
    );
    let error = refused(&config(&path));
    assert!(
        error.contains("holds 2 arrays, choose one with `array`: both, verb"),
        "{error}"
    );
    let named = |name: &str| EmbeddingsConfig {
        array: Some(name.into()),
        ..config(&path)
    };
    let error = refused(&named("verbs"));
    assert!(
        error.contains("unknown array `verbs`; did you mean `verb`?"),
        "{error}"
    );
    let error = refused(&named("both"));
    assert!(
        error.contains("has shape [3, 2, 4], but `granularities` names 1 vectors"),
        "{error}"
    );
    let two = EmbeddingsConfig {
        granularities: vec![Granularity::HEAD, Granularity::GLOBAL],
        ..named("both")
    };
    assert_eq!(read(&two, &classes(3)).unwrap().size(), [3, 2, 4]);
    assert!(read(&named("verb"), &classes(3)).is_ok());
}

#[test]
fn npz_arrays_are_read_by_name() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("e.npz");
    let mut archive = npyz::npz::NpzWriter::create(&path).unwrap();
    for (name, offset) in [("a", 0.0f64), ("b", 10.0)] {
        let options = archive.array(name, Default::default()).unwrap();
        let mut writer = options.default_dtype().shape(&[3, 2]).begin_nd().unwrap();
        writer.extend((0..6).map(|i| f64::from(i) + offset)).unwrap();
        writer.finish().unwrap();
    }
    drop(archive);
    let named = EmbeddingsConfig {
        array: Some("b".into()),
        ..config(&path)
    };
    assert_eq!(numbers(&read(&named, &classes(3)).unwrap())[0], 10.0);
    assert!(refused(&config(&path)).contains("choose one with `array`: a, b"));
}

#[test]
fn bad_numbers_and_shapes_are_named() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("e.safetensors");
    let refuse = |t: Tensor, normalise: bool| {
        write_safetensors(&path, &[("x", t)]);
        refused(&EmbeddingsConfig {
            normalise,
            ..config(&path)
        })
    };
    let nan = count(&[3, 2]);
    let _ = nan.get(1).get(0).fill_(f64::NAN);
    let error = refuse(nan, false);
    assert!(
        error.contains("row 1, class `class 1`, `global`: holds numbers that are not finite"),
        "{error}"
    );
    let zero = count(&[3, 2]);
    let _ = zero.get(2).fill_(0.0);
    let error = refuse(zero, true);
    assert!(
        error.contains("row 2, class `class 2`, `global`: is all zeros"),
        "{error}"
    );
    let error = refuse(count(&[2, 4]), true);
    assert!(
        error.contains("has 2 rows, but class `class 2` is number 2"),
        "{error}"
    );
    let error = refuse(count(&[4]), true);
    assert!(
        error.contains("has shape [4], expected [C, d] or [C, G, d]"),
        "{error}"
    );
    let error = refuse(count(&[3, 0]), true);
    assert!(error.contains("which holds nothing"), "{error}");
    let error = refuse(count(&[3, 2]).to_kind(Kind::Int64), true);
    assert!(error.contains("holds Int64, expected floats"), "{error}");
}

#[test]
fn broken_files_are_refused() {
    let folder = tempfile::tempdir().unwrap();
    for name in ["e.npy", "e.npz", "e.safetensors"] {
        let path = folder.path().join(name);
        assert!(refused(&config(&path)).starts_with("cannot read"), "{name}");
        fs::write(&path, "rubbish").unwrap();
        let error = refused(&config(&path));
        assert!(error.contains(name), "{error}");
    }
    let path = folder.path().join("cut.npy");
    write_npy(&path, &[3, 2], &[1.0; 6], npyz::Order::C);
    let bytes = fs::read(&path).unwrap();
    fs::write(&path, &bytes[..bytes.len() - 3]).unwrap();
    assert!(refused(&config(&path)).contains("cut.npy"));
}

#[test]
fn options_are_judged_without_touching_anything() {
    let fields = |config: EmbeddingsConfig| {
        let mut problems = Problems::new();
        config.validate(&mut problems);
        problems.iter().map(|p| p.field.clone()).collect::<Vec<_>>()
    };
    assert_eq!(fields(EmbeddingsConfig::default()), ["file"]);
    let named = EmbeddingsConfig {
        array: Some("x".into()),
        ..config(Path::new("e.npy"))
    };
    assert_eq!(fields(named), ["array"]);
    let other = EmbeddingsConfig {
        granularities: vec![],
        ..config(Path::new("e.pt"))
    };
    assert_eq!(fields(other), ["granularities", "file"]);
}
