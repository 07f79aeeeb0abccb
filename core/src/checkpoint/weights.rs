//! Weights as people have them: a file of szar's, a state_dict of safetensors or PyTorch, or a folder of several.

use std::collections::BTreeMap;
use std::fs::{self, File};
use std::io::BufReader;
use std::path::{Path, PathBuf};

use serde_json::Value;
use tch::Device;

use super::{Metadata, NamedTensors, torch};
use crate::{Error, Result};

/// What weights files are called; the longest first.
const ENDINGS: [&str; 6] = [".safetensors", ".pth.tar", ".ckpt", ".pth", ".tar", ".pt"];

/// What wrappers put before every name: DataParallel, Lightning.
const WRAPPERS: [&str; 2] = ["module.", "model."];

/// Weights, and who made them.
#[derive(Debug)]
pub struct Weights {
    /// The tensors by name.
    pub tensors: NamedTensors,
    /// The files that szar wrote and the component whose weights they say to be.
    pub made_by: Vec<(PathBuf, String)>,
    /// The files that say how the sequences were prepared that the weights were trained on: the `preprocess` block, JSON.
    pub prepared: Vec<(PathBuf, String)>,
}

impl Weights {
    /// Refuses weights that szar wrote for another component.
    ///
    /// # Errors
    /// [`Error::Format`] naming the file and both components.
    pub fn expect_component(&self, component: &str) -> Result<()> {
        let mut made_by = self.made_by.iter();
        made_by.try_for_each(|(path, by)| same_component(path, Some(by), component))
    }

    /// Refuses weights that were trained on sequences prepared in another way than those they are to be used on. Another
    /// number of frames is no other way.
    ///
    /// # Errors
    /// [`Error::Format`] naming the file, the options that differ and both values.
    pub fn expect_preprocess(&self, wanted: &Value) -> Result<()> {
        for (path, found) in &self.prepared {
            let Ok(found) = serde_json::from_str::<Value>(found) else {
                continue;
            };
            let differs = differences(&found, wanted);
            if !differs.is_empty() {
                let why = format!(
                    "holds weights that were trained on sequences prepared in another way: {}\n\nhint: give the pipeline \
                     `preprocess: {found}`, or train anew",
                    differs.join("; ")
                );
                return Err(Error::format(path, None, why));
            }
        }
        Ok(())
    }

    /// As [`Self::expect_preprocess`], and refuses files that do not say how, unless the pipeline does (`named`).
    ///
    /// # Errors
    /// [`Error::Format`] naming the file and what to do.
    pub fn expect_prepared(&self, path: &Path, named: Option<&str>, wanted: &Value) -> Result<()> {
        self.expect_preprocess(wanted)?;
        if self.prepared.is_empty() && named.is_none() {
            return Err(Error::format(path, None, format!("{UNSAID}\n\nhint: {SAY}")));
        }
        Ok(())
    }
}

/// What is wrong with weights of which nobody says how their sequences were prepared.
pub(crate) const UNSAID: &str =
    "holds weights that do not say how the sequences were prepared that they were trained on";

/// What to do then.
pub(crate) const SAY: &str =
    "name it beside them (`prepared:`, a type of `preprocess`), and give the pipeline that `preprocess`";

/// Can the file, or the files in a folder, say how sequences were prepared? PyTorch's hold tensors and nothing else.
pub(crate) fn may_say(path: &Path) -> bool {
    ending(path).is_none_or(|(_, ending)| ending == ".safetensors")
}

/// The options that both blocks have, or the type of the first, with different values.
fn differences(found: &Value, wanted: &Value) -> Vec<String> {
    let (Some(found), Some(wanted)) = (found.as_object(), wanted.as_object()) else {
        return Vec::new();
    };
    let other_type = found.get("type") != wanted.get("type");
    let compared = found.iter().filter(|(name, _)| {
        if other_type {
            *name == "type"
        } else {
            *name != "frames"
        }
    });
    compared
        .filter_map(|(name, found)| {
            let wanted = wanted.get(name)?;
            (found != wanted).then(|| format!("`preprocess.{name}` was {found} and is {wanted}"))
        })
        .collect()
}

/// Refuses a file that says to hold the weights of another component than `expected`.
///
/// # Errors
/// [`Error::Format`] naming both.
pub fn same_component(path: &Path, found: Option<&String>, expected: &str) -> Result<()> {
    match found {
        Some(found) if found != expected => Err(Error::format(
            path,
            None,
            format!("holds the weights of `{found}`, expected those of `{expected}`"),
        )),
        _ => Ok(()),
    }
}

/// Reads weights for a component whose own tensors are `own`, by which only the names are meant.
///
/// - A `.safetensors` file, or a `.pt`, `.pth`, `.pth.tar`, `.tar` or `.ckpt` file of `torch.save` (both formats, read as
///   data: nothing in it is run). In the latter the state_dict is the outermost dict if all its values are tensors; else
///   the only dict of tensors in it, under whatever key; of several the one under `state_dict`, `model_state_dict`,
///   `model` or `net`, in this order.
/// - A folder: all such files in it, their tensors named `<file>.<name>`. Of the file's name the ending goes, then digits
///   at its end, then underscores before those: `mu_transformation.0.weight` of `se_3399.pth.tar` becomes
///   `se.mu_transformation.0.weight`.
///
/// `module.` (DataParallel) and `model.` (Lightning) go when all names of a file bear them, unless names of the component
/// bear them too. The names of files that szar wrote stay as they are.
///
/// # Errors
/// When a file is missing, damaged, holds anything but plain data, or holds no state_dict or several; when a folder
/// holds no weights, or two files of one name.
pub fn read_weights(path: &Path, own: &NamedTensors, device: Device) -> Result<Weights> {
    if path.is_dir() {
        return folder(path, own, device);
    }
    if ending(path).is_none() {
        let why = format!("expected weights, as {} or a folder of them", ENDINGS.join(", "));
        fs::metadata(path).map_err(|e| Error::read(path, e))?;
        return Err(Error::format(path, None, why));
    }
    file(path, own, "", device)
}

fn ending(path: &Path) -> Option<(String, &'static str)> {
    let name = path.file_name()?.to_string_lossy();
    let lower = name.to_lowercase();
    let ending = ENDINGS.into_iter().find(|ending| lower.ends_with(ending))?;
    let stem = name.get(..name.len() - ending.len())?;
    Some((stem.to_owned(), ending))
}

fn file(path: &Path, own: &NamedTensors, prefix: &str, device: Device) -> Result<Weights> {
    let safetensors = matches!(ending(path), Some((_, ".safetensors")));
    let (mut tensors, metadata) = if safetensors {
        super::load(path, device)?
    } else {
        let file = File::open(path).map_err(|e| Error::read(path, e))?;
        let tensors = torch::parse(BufReader::new(file));
        let tensors = tensors.map_err(|(at, why)| Error::format(path, at, advised(path, why)))?;
        let moved = tensors
            .into_iter()
            .map(|(name, tensor)| (name, tensor.to_device(device)));
        (moved.collect(), Metadata::new())
    };
    if !metadata.contains_key("component") {
        tensors = unwrapped(tensors, own, prefix);
    }
    let said = |key: &str| metadata.get(key).map(|text| (path.to_owned(), text.clone()));
    Ok(Weights {
        tensors,
        made_by: said("component").into_iter().collect(),
        prepared: said("preprocess").into_iter().collect(),
    })
}

/// What to do about a file of Python objects.
fn advised(path: &Path, why: String) -> String {
    if !why.starts_with("asks for ") {
        return why;
    }
    let name = path.file_name().unwrap_or_default().to_string_lossy();
    let stem = ending(path).map(|(stem, _)| stem).unwrap_or_default();
    format!(
        "{why}\n\nhint: a file that holds a whole model is converted in Python, beside the model's code and only if you \
         trust the file, for loading it runs what it asks for:\n  \
         model = torch.load({name:?}, map_location=\"cpu\", weights_only=False)\n  \
         safetensors.torch.save_file({{k: v.contiguous() for k, v in model.state_dict().items()}}, \
         \"{stem}.safetensors\")"
    )
}

/// Takes off what wrappers put before every name.
fn unwrapped(mut tensors: NamedTensors, own: &NamedTensors, prefix: &str) -> NamedTensors {
    // A wrapper in a wrapper, no more.
    for _ in 0..WRAPPERS.len() {
        let all = |wrapper: &&str| {
            tensors
                .keys()
                .all(|name| name.len() > wrapper.len() && name.starts_with(wrapper))
        };
        let Some(wrapper) = WRAPPERS.into_iter().find(|w| all(w)) else {
            break;
        };
        let meant = format!("{prefix}{wrapper}");
        if tensors.is_empty() || own.keys().any(|name| name.starts_with(&meant)) {
            break;
        }
        let plain = |(name, tensor): (String, _)| (name[wrapper.len()..].to_owned(), tensor);
        tensors = tensors.into_iter().map(plain).collect();
    }
    tensors
}

fn folder(path: &Path, own: &NamedTensors, device: Device) -> Result<Weights> {
    let mut files: BTreeMap<String, PathBuf> = BTreeMap::new();
    for entry in fs::read_dir(path).map_err(|e| Error::read(path, e))? {
        let entry = entry.map_err(|e| Error::read(path, e))?.path();
        let Some((stem, _)) = ending(&entry).filter(|(stem, _)| !stem.is_empty() && !stem.starts_with('.'))
        else {
            continue;
        };
        if !entry.is_file() {
            continue;
        }
        let name = part(&stem).to_owned();
        if let Some(other) = files.insert(name.clone(), entry.clone()) {
            let mut both =
                [other, entry].map(|p| p.file_name().unwrap_or_default().to_string_lossy().into_owned());
            both.sort();
            let why = format!(
                "`{}` and `{}` are both weights of `{name}`; keep one",
                both[0], both[1]
            );
            return Err(Error::format(path, None, why));
        }
    }
    if files.is_empty() {
        let why = format!("holds no weights, no file that ends in {}", ENDINGS.join(", "));
        return Err(Error::format(path, None, why));
    }
    let mut all = Weights {
        tensors: NamedTensors::new(),
        made_by: Vec::new(),
        prepared: Vec::new(),
    };
    for (name, path) in files {
        let read = file(&path, own, &format!("{name}."), device)?;
        let named = read.tensors.into_iter();
        all.tensors
            .extend(named.map(|(key, tensor)| (format!("{name}.{key}"), tensor)));
        all.made_by.extend(read.made_by);
        all.prepared.extend(read.prepared);
    }
    Ok(all)
}

/// A file's stem without the epoch at its end. A stem of nothing else stays.
fn part(stem: &str) -> &str {
    let digits = stem.trim_end_matches(|c: char| c.is_ascii_digit());
    let name = if digits.len() < stem.len() {
        digits.trim_end_matches('_')
    } else {
        stem
    };
    if name.is_empty() { stem } else { name }
}

#[cfg(test)]
mod tests;
