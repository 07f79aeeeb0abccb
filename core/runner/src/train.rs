//! Trains a part, or takes what is trained already: given weights, an earlier run's, or an unfinished run's.

use std::path::{Path, PathBuf};

use sha2::{Digest, Sha256};
use szar_core::checkpoint::{self, NamedTensors};
use szar_core::{FitSummary, Result};
use tch::Device;

use crate::rundir::{self, RunDir};

/// Where a trained part came from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Source {
    /// The configuration's `weights`.
    Given,
    /// This run directory or the shared store of trained parts.
    Reused,
    /// Trained now.
    Trained,
}

/// Weights with the summary of their training.
pub struct Trained {
    /// Where they came from.
    pub source: Source,
    /// `None` for given weights.
    pub summary: Option<FitSummary>,
}

/// A part that can be trained.
pub trait Trainable {
    /// Takes over weights.
    fn load(&mut self, state: &NamedTensors) -> Result<()>;
    /// Its weights.
    fn state(&self) -> NamedTensors;
    /// Trains it, with the unfinished state in a file.
    fn fit(&mut self, checkpoint: PathBuf) -> Result<FitSummary>;
}

/// Makes `part` ready: from `given` weights (see [`checkpoint::read_weights`]), from the run directory, from the shared
/// store, else by training. `about` says what the part is, under `component` by name.
///
/// # Errors
/// When weights are damaged, are those of another component or do not fit, or training fails or is stopped.
pub fn obtain(
    name: &str,
    part: &mut dyn Trainable,
    given: Option<&Path>,
    dir: &RunDir,
    shared: Option<&Path>,
    device: Device,
    about: &[(String, String)],
) -> Result<Trained> {
    if let Some(path) = given {
        let weights = checkpoint::read_weights(path, &part.state(), device)?;
        weights.expect_component(component(about))?;
        let prepared = about.iter().find(|(key, _)| key == "preprocess");
        if let Some(Ok(wanted)) = prepared.map(|(_, text)| serde_json::from_str(text)) {
            weights.expect_preprocess(&wanted)?;
        }
        part.load(&weights.tensors)
            .map_err(|e| e.context(path.display().to_string()))?;
        return Ok(Trained {
            source: Source::Given,
            summary: None,
        });
    }
    if let Some((state, summary)) = dir.trained(name, component(about), device)? {
        part.load(&state)
            .map_err(|e| e.context(format!("{name}.safetensors of this run")))?;
        return Ok(Trained {
            source: Source::Reused,
            summary: Some(summary),
        });
    }
    if let Some((state, summary)) = shared
        .map(|p| rundir::load_trained(p, component(about), device))
        .transpose()?
        .flatten()
    {
        part.load(&state)?;
        tracing::info!(
            part = name,
            "trained earlier for the same data, options, seed and device: reused"
        );
        dir.keep(name, &part.state(), &summary, about)?;
        return Ok(Trained {
            source: Source::Reused,
            summary: Some(summary),
        });
    }
    let summary = part.fit(dir.checkpoint(name))?;
    dir.keep(name, &part.state(), &summary, about)?;
    if let Some(path) = shared {
        rundir::save_trained(path, &part.state(), &summary, about)?;
    }
    Ok(Trained {
        source: Source::Trained,
        summary: Some(summary),
    })
}

/// The name of the component that metadata is about.
fn component(about: &[(String, String)]) -> &str {
    let found = about.iter().find(|(key, _)| key == "component");
    found.map_or("", |(_, name)| name)
}

/// Hash of tensors and texts, for naming what was made from them.
pub fn content_hash<'a>(
    texts: impl IntoIterator<Item = &'a str>,
    values: impl IntoIterator<Item = &'a [f32]>,
) -> String {
    let mut hash = ContentHash::new(texts);
    values.into_iter().for_each(|part| hash.add(part));
    hash.finish()
}

/// [`content_hash`] of values that come part by part.
pub struct ContentHash(Sha256);

impl ContentHash {
    /// Begins with the texts.
    pub fn new<'a>(texts: impl IntoIterator<Item = &'a str>) -> Self {
        let mut hash = Sha256::new();
        for text in texts {
            hash.update((text.len() as u64).to_le_bytes());
            hash.update(text.as_bytes());
        }
        Self(hash)
    }

    /// Goes on with some values; how they are cut into parts does not matter.
    pub fn add(&mut self, values: &[f32]) {
        self.0.update(bytemuck::cast_slice::<f32, u8>(values));
    }

    /// The hash, hexadecimal.
    pub fn finish(self) -> String {
        self.0.finalize().iter().map(|b| format!("{b:02x}")).collect()
    }
}

#[cfg(test)]
mod tests {
    use szar_core::{Result, config};
    use tch::{Device, Tensor, kind::FLOAT_CPU};

    use super::*;

    /// The parameters of `Linear(3, 2)` and `BatchNorm1d(2)`, one after the other.
    struct Part(NamedTensors);

    impl Part {
        fn new() -> Self {
            let sizes: [(&str, &[i64]); 7] = [
                ("0.weight", &[2, 3]),
                ("0.bias", &[2]),
                ("1.weight", &[2]),
                ("1.bias", &[2]),
                ("1.running_mean", &[2]),
                ("1.running_var", &[2]),
                ("1.num_batches_tracked", &[]),
            ];
            Self(
                sizes
                    .map(|(name, size)| (name.into(), Tensor::zeros(size, FLOAT_CPU)))
                    .into(),
            )
        }
    }

    impl Trainable for Part {
        fn load(&mut self, state: &NamedTensors) -> Result<()> {
            checkpoint::copy_into(&self.0, state, |_| false)
        }

        fn state(&self) -> NamedTensors {
            self.0.iter().map(|(n, t)| (n.clone(), t.copy())).collect()
        }

        fn fit(&mut self, _: PathBuf) -> Result<FitSummary> {
            let _ = self.0.get_mut("0.bias").map(|bias| bias.fill_(3.0));
            Ok(FitSummary::default())
        }
    }

    fn about(component: &str) -> Vec<(String, String)> {
        vec![("component".into(), component.into())]
    }

    fn dir(root: &Path) -> RunDir {
        let file = concat!(env!("CARGO_MANIFEST_DIR"), "/../../configs/quickstart.yaml");
        let resolved = config::load(Path::new(file), &[] as &[String]).unwrap();
        RunDir::open(root, &resolved, false).unwrap()
    }

    fn get(dir: &RunDir, given: Option<&Path>, shared: Option<&Path>, of: &str) -> Result<(Part, Source)> {
        let mut part = Part::new();
        let trained = obtain("aligner", &mut part, given, dir, shared, Device::Cpu, &about(of))?;
        Ok((part, trained.source))
    }

    #[test]
    fn checkpoints_of_training_code_are_taken_as_they_are() {
        let folder = tempfile::tempdir().unwrap();
        let dir = dir(folder.path());
        let files = Path::new(env!("CARGO_MANIFEST_DIR")).join("../tests/data/torch");
        for file in [
            "training.pth.tar",
            "training_legacy.pth.tar",
            "lightning.ckpt",
            "parallel.pth",
        ] {
            let (part, source) = get(&dir, Some(&files.join(file)), None, "any").unwrap();
            assert_eq!(source, Source::Given);
            let bias = Tensor::from_slice(&[1.0f32, -1.0]);
            assert!(part.0["0.bias"].equal(&bias), "{file}");
        }
        let error = get(&dir, Some(&files.join("evil.pt")), None, "any").map(|_| ());
        let error = error.unwrap_err().to_string();
        assert!(
            error.contains("evil.pt, byte") && error.contains("posix.system"),
            "{error}"
        );
    }

    #[test]
    fn names_that_do_not_fit_are_listed_behind_the_file() {
        let folder = tempfile::tempdir().unwrap();
        let dir = dir(folder.path());
        let path = folder.path().join("other.safetensors");
        let mut tensors = Part::new().0;
        let bias = tensors.remove("0.bias").unwrap();
        tensors.insert("0.biases".into(), bias);
        checkpoint::save(&path, &tensors, &[]).unwrap();
        let error = get(&dir, Some(&path), None, "any")
            .map(|_| ())
            .unwrap_err()
            .to_string();
        assert!(
            error.contains("other.safetensors: weights do not fit: 1 missing, 1 unknown"),
            "{error}"
        );
        assert!(
            error.contains("`0.bias` is missing; nearest in the weights: `0.biases`"),
            "{error}"
        );
    }

    #[test]
    fn weights_trained_on_sequences_prepared_in_another_way_are_refused() {
        let folder = tempfile::tempdir().unwrap();
        let dir = dir(folder.path());
        let path = folder.path().join("encoder.safetensors");
        let saved = r#"{"type": "standard", "frames": 64, "centre": "none", "rotate": "none"}"#;
        checkpoint::save(&path, &Part::new().0, &[("preprocess".into(), saved.into())]).unwrap();
        let load = |wanted: &str| {
            let about = [("preprocess".to_owned(), wanted.to_owned())];
            let device = Device::Cpu;
            obtain(
                "encoder",
                &mut Part::new(),
                Some(&path),
                &dir,
                None,
                device,
                &about,
            )
            .map(|_| ())
        };
        assert!(load(r#"{"type": "standard", "frames": 48, "centre": "none", "scale": "torso"}"#).is_ok());
        let error = load(r#"{"type": "standard", "centre": "spine", "rotate": "face"}"#).unwrap_err();
        let expected = "`preprocess.centre` was \"none\" and is \"spine\"; `preprocess.rotate` was";
        assert!(error.to_string().contains(expected), "{error}");
        let error = load(r#"{"type": "ctrgcn", "centre": "spine"}"#).unwrap_err();
        assert!(
            error
                .to_string()
                .contains("`preprocess.type` was \"standard\" and is \"ctrgcn\"\n"),
            "{error}"
        );
    }

    #[test]
    fn weights_of_another_component_are_refused_wherever_they_lie() {
        let folder = tempfile::tempdir().unwrap();
        let (first, second) = (dir(&folder.path().join("1")), dir(&folder.path().join("2")));
        let shared = folder.path().join("shared.safetensors");
        assert_eq!(
            get(&first, None, Some(&shared), "purls").unwrap().1,
            Source::Trained
        );
        let own = first.path("aligner.safetensors");
        let refused = |dir, given, shared, place: &str| {
            let error = get(dir, given, shared, "eszsl")
                .map(|_| ())
                .unwrap_err()
                .to_string();
            let expected = format!("{place}: holds the weights of `purls`, expected those of `eszsl`");
            assert!(error.ends_with(&expected), "{error}");
        };
        refused(&second, Some(&own), None, "aligner.safetensors");
        refused(&first, None, None, "aligner.safetensors");
        refused(&second, None, Some(&shared), "shared.safetensors");
        let (part, source) = get(&second, None, Some(&shared), "purls").unwrap();
        assert_eq!(source, Source::Reused);
        assert!(part.0["0.bias"].equal(&Tensor::from_slice(&[3.0f32, 3.0])));
    }
}
