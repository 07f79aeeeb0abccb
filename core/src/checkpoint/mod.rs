//! Named tensors on disk: safetensors, written to a temporary file and renamed; and the weights that others saved, read
//! as data.

mod fit;
mod labels;
mod pickle;
mod pickled;
mod torch;
mod weights;

use std::collections::{BTreeMap, HashMap};
use std::fs;
use std::io::Write;
use std::path::Path;

use safetensors::tensor::{Dtype, SafeTensors, TensorView};
use tch::{Device, Kind, Tensor};

use crate::{Error, Result};

pub use fit::copy_into;
pub use labels::read_labels;
pub use pickled::{Node, Pickled, PickledArray};
pub(crate) use weights::{SAY, UNSAID, may_say};
pub use weights::{Weights, read_weights, same_component};

/// Tensors by name, in the order of their names.
pub type NamedTensors = BTreeMap<String, Tensor>;

/// The same values in memory of their own, without gradients.
pub fn copies(state: &NamedTensors) -> NamedTensors {
    state
        .iter()
        .map(|(name, tensor)| (name.clone(), tensor.detach().copy()))
        .collect()
}

/// Writes a file so that it is either the old one or the whole new one.
///
/// # Errors
/// [`Error::Io`] when the folder cannot be written or is full.
pub fn write_atomically(path: &Path, bytes: &[u8]) -> Result<()> {
    let folder = path
        .parent()
        .filter(|p| !p.as_os_str().is_empty())
        .unwrap_or(Path::new("."));
    fs::create_dir_all(folder).map_err(|source| Error::Io {
        action: "create",
        path: folder.into(),
        source,
    })?;
    let name = path
        .file_name()
        .map(|n| n.to_string_lossy().into_owned())
        .unwrap_or_default();
    let temporary = folder.join(format!(".{name}.{}.tmp", std::process::id()));
    let write = || {
        let mut file = fs::File::create(&temporary)?;
        file.write_all(bytes)?;
        file.sync_all()?;
        fs::rename(&temporary, path)
    };
    write().map_err(|e| {
        let _ = fs::remove_file(&temporary);
        Error::write(path, e)
    })
}

fn dtype(kind: Kind) -> Option<Dtype> {
    Some(match kind {
        Kind::Float => Dtype::F32,
        Kind::Double => Dtype::F64,
        Kind::Half => Dtype::F16,
        Kind::BFloat16 => Dtype::BF16,
        Kind::Int64 => Dtype::I64,
        Kind::Int => Dtype::I32,
        Kind::Int16 => Dtype::I16,
        Kind::Int8 => Dtype::I8,
        Kind::Uint8 => Dtype::U8,
        Kind::Bool => Dtype::BOOL,
        _ => return None,
    })
}

fn kind(dtype: Dtype) -> Option<Kind> {
    Some(match dtype {
        Dtype::F32 => Kind::Float,
        Dtype::F64 => Kind::Double,
        Dtype::F16 => Kind::Half,
        Dtype::BF16 => Kind::BFloat16,
        Dtype::I64 => Kind::Int64,
        Dtype::I32 => Kind::Int,
        Dtype::I16 => Kind::Int16,
        Dtype::I8 => Kind::Int8,
        Dtype::U8 => Kind::Uint8,
        Dtype::BOOL => Kind::Bool,
        _ => return None,
    })
}

fn bytes_of(tensor: &Tensor) -> Vec<u8> {
    let flat = tensor.to_device(Device::Cpu).contiguous();
    let mut bytes = vec![0u8; flat.numel() * flat.kind().elt_size_in_bytes()];
    flat.copy_data_u8(&mut bytes, flat.numel());
    bytes
}

/// Saves tensors under their names with text metadata.
///
/// # Errors
/// [`Error::Io`] when the file cannot be written.
pub fn save(path: &Path, tensors: &NamedTensors, metadata: &[(String, String)]) -> Result<()> {
    let mut held = Vec::with_capacity(tensors.len());
    for (name, tensor) in tensors {
        let dtype = dtype(tensor.kind()).ok_or_else(|| {
            Error::Input(format!(
                "tensor `{name}` of kind {:?} cannot be saved",
                tensor.kind()
            ))
        })?;
        let shape = tensor
            .size()
            .iter()
            .map(|d| usize::try_from(*d).unwrap_or(0))
            .collect::<Vec<_>>();
        held.push((name, dtype, shape, bytes_of(tensor)));
    }
    let mut views = Vec::with_capacity(held.len());
    for (name, dtype, shape, bytes) in &held {
        let view = TensorView::new(*dtype, shape.clone(), bytes);
        let view = view.map_err(|e| Error::format(path, format!("tensor `{name}`"), e.to_string()))?;
        views.push(((*name).clone(), view));
    }
    let metadata = (!metadata.is_empty()).then(|| metadata.iter().cloned().collect::<HashMap<_, _>>());
    let bytes =
        safetensors::serialize(views, metadata).map_err(|e| Error::format(path, None, e.to_string()))?;
    write_atomically(path, &bytes)
}

/// Loads all tensors of a `.safetensors` file and its text metadata.
///
/// # Errors
/// [`Error::Io`] when the file cannot be read, [`Error::Format`] when it is not a whole safetensors file.
pub fn load(path: &Path, device: Device) -> Result<(NamedTensors, Metadata)> {
    let bytes = fs::read(path).map_err(|e| Error::read(path, e))?;
    parse(&bytes, device).map_err(|(at, why)| Error::format(path, at, why))
}

/// Text metadata of a safetensors file.
pub type Metadata = BTreeMap<String, String>;

/// Where in a file something is wrong, and why.
pub type Flaw = (Option<String>, String);

/// Tensors and metadata of safetensors bytes.
///
/// # Errors
/// Where and why the bytes are not a safetensors file.
pub fn parse(bytes: &[u8], device: Device) -> Result<(NamedTensors, Metadata), Flaw> {
    let whole = |e: safetensors::SafeTensorError| (None, format!("not a whole safetensors file ({e})"));
    let (_, header) = SafeTensors::read_metadata(bytes).map_err(whole)?;
    let metadata = header
        .metadata()
        .iter()
        .flatten()
        .map(|(k, v)| (k.clone(), v.clone()))
        .collect();
    let file = SafeTensors::deserialize(bytes).map_err(whole)?;
    let mut tensors = NamedTensors::new();
    for (name, view) in file.tensors() {
        let kind = kind(view.dtype()).ok_or_else(|| {
            (
                Some(format!("tensor `{name}`")),
                format!("has unsupported type {:?}", view.dtype()),
            )
        })?;
        let shape: Vec<i64> = view.shape().iter().map(|d| *d as i64).collect();
        let tensor = Tensor::from_data_size(view.data(), &shape, kind).to_device(device);
        tensors.insert(name, tensor);
    }
    Ok((tensors, metadata))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tensors_survive_the_disk_bit_for_bit() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("deep/er/state.safetensors");
        let x = Tensor::randn([3, 4], tch::kind::FLOAT_CPU);
        let n = Tensor::from_slice(&[1i64, -5]);
        let tensors = NamedTensors::from([("x".into(), x.copy()), ("n".into(), n.copy())]);
        save(&path, &tensors, &[("note".into(), "hello".into())]).unwrap();
        let (back, metadata) = load(&path, Device::Cpu).unwrap();
        assert!(back["x"].equal(&x) && back["n"].equal(&n));
        assert_eq!(metadata["note"], "hello");
    }

    #[test]
    fn a_truncated_file_is_refused_by_name() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("state.safetensors");
        let tensors = NamedTensors::from([("x".into(), Tensor::zeros([100], tch::kind::FLOAT_CPU))]);
        save(&path, &tensors, &[]).unwrap();
        let bytes = fs::read(&path).unwrap();
        fs::write(&path, &bytes[..bytes.len() - 7]).unwrap();
        let error = load(&path, Device::Cpu).unwrap_err().to_string();
        assert!(
            error.contains("state.safetensors: not a whole safetensors file"),
            "{error}"
        );
    }
}
