//! One array of floats from an `.npy`, `.npz` or `.safetensors` file.

mod npy;

use std::fs::File;
use std::io::BufReader;
use std::path::Path;

use szar_core::{Error, Result, checkpoint};
use tch::{Device, Kind, Tensor};

/// File formats, told by the extension.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Format {
    Npy,
    Npz,
    Safetensors,
}

impl Format {
    pub(super) fn of(path: &Path) -> Option<Self> {
        match path.extension()?.to_str()? {
            "npy" => Some(Self::Npy),
            "npz" => Some(Self::Npz),
            "safetensors" => Some(Self::Safetensors),
            _ => None,
        }
    }
}

/// The array `name`, or the only one there is, as f32 or f64 on the CPU.
pub(super) fn read(path: &Path, name: Option<&str>) -> Result<Tensor> {
    let wrong = |why: String| Error::format(path, None, why);
    match Format::of(path) {
        Some(Format::Npy) => {
            let file = File::open(path).map_err(|e| Error::read(path, e))?;
            npy::read(&mut BufReader::new(file)).map_err(wrong)
        }
        Some(Format::Npz) => {
            // Opened here first, so that a missing file reads like any other missing file.
            let file = File::open(path).map_err(|e| Error::read(path, e))?;
            let mut archive =
                npyz::npz::NpzArchive::new(BufReader::new(file)).map_err(|e| wrong(e.to_string()))?;
            let mut names: Vec<String> = archive.array_names().map(str::to_owned).collect();
            names.sort();
            let name = choose(path, name, &names)?;
            let at = |why: String| Error::format(path, format!("array `{name}`"), why);
            let file = npyz::npz::file_name_from_array_name(&name);
            let mut entry = archive
                .zip_archive()
                .by_name(&file)
                .map_err(|e| at(e.to_string()))?;
            npy::read(&mut entry).map_err(at)
        }
        Some(Format::Safetensors) => {
            let (mut tensors, _) = checkpoint::load(path, Device::Cpu)?;
            let names: Vec<String> = tensors.keys().cloned().collect();
            let name = choose(path, name, &names)?;
            let tensor = tensors.remove(&name).unwrap_or_default();
            if !matches!(
                tensor.kind(),
                Kind::Float | Kind::Double | Kind::Half | Kind::BFloat16
            ) {
                let why = format!("holds {:?}, expected floats", tensor.kind());
                return Err(Error::format(path, format!("tensor `{name}`"), why));
            }
            Ok(tensor)
        }
        None => Err(wrong("expected .npy, .npz or .safetensors".into())),
    }
}

fn choose(path: &Path, name: Option<&str>, names: &[String]) -> Result<String> {
    match (name, names) {
        (Some(name), _) if names.iter().any(|n| n == name) => Ok(name.to_owned()),
        (Some(name), _) => {
            let unknown = Error::unknown("array", name, names.iter().cloned());
            Err(unknown.context(path.display().to_string()))
        }
        (None, [only]) => Ok(only.clone()),
        (None, []) => Err(Error::format(path, None, "holds no array")),
        (None, _) => {
            let why = format!(
                "holds {} arrays, choose one with `array`: {}",
                names.len(),
                names.join(", ")
            );
            Err(Error::format(path, None, why))
        }
    }
}
