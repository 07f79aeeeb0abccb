//! Vectors that were computed here before.

use std::path::{Path, PathBuf};

use szar_core::{Error, NamedTensors, Result, TextEncoder, checkpoint, shape};
use tch::{Device, Kind, Tensor};

use crate::semantics::hash;

/// Vectors computed here before, below `<cache>/embeddings/`.
///
/// The entry is the set of texts that were encoded together: a floating-point product rounds by the shape of its
/// batch, so only the same set on the same kind of device gives the same bits again. Several processes may use one
/// cache: an entry is written whole or not at all, and all of them write the same.
#[derive(Clone, Debug)]
pub struct Cache {
    folder: PathBuf,
    circumstances: String,
}

impl Cache {
    /// The cache below a pipeline's cache folder. `circumstances` is whatever else decides the bits: the encoder's
    /// options, the device.
    pub fn new(cache: &Path, circumstances: String) -> Self {
        Self {
            folder: cache.join("embeddings"),
            circumstances,
        }
    }

    /// `[n, d]` f32 on the CPU: the vectors of `texts`, read if they are there, else encoded and kept.
    ///
    /// # Errors
    /// When a text cannot be encoded. A cache that cannot be read or written is only a warning.
    pub fn encode(&self, encoder: &mut dyn TextEncoder, texts: &[String]) -> Result<Tensor> {
        let (path, fingerprint) = (self.entry(&encoder.fingerprint(), texts), encoder.fingerprint());
        let want = [texts.len() as i64, encoder.width()];
        if path.is_file() {
            match read(&path, &fingerprint, want) {
                Ok(values) => return Ok(values),
                Err(error) => tracing::warn!(%error, "cached vectors are computed again"),
            }
        }
        let values = encoder.encode(texts)?;
        shape::expect("vectors of the text encoder", &values, want.map(Some))?;
        if i64::try_from(values.isfinite().logical_not().any())? != 0 {
            return Err(Error::Input(
                "the text encoder gives numbers that are not finite".into(),
            ));
        }
        let tensors = NamedTensors::from([("embeddings".into(), values.shallow_clone())]);
        if let Err(error) = checkpoint::save(&path, &tensors, &[("encoder".into(), fingerprint)]) {
            tracing::warn!(%error, "vectors are not cached");
        }
        Ok(values)
    }

    fn entry(&self, fingerprint: &str, texts: &[String]) -> PathBuf {
        let threads = tch::get_num_threads();
        let mut key = format!("{} threads={threads}\n", self.circumstances);
        for text in texts {
            key.push_str(&hash::hex(&hash::digest(text.as_bytes())));
        }
        let encoder = hash::hex(&hash::digest(fingerprint.as_bytes()));
        let set = hash::hex(&hash::digest(key.as_bytes()));
        self.folder
            .join(&encoder[..16])
            .join(format!("{}.safetensors", &set[..32]))
    }
}

fn read(path: &Path, fingerprint: &str, want: [i64; 2]) -> Result<Tensor> {
    let (mut tensors, metadata) = checkpoint::load(path, Device::Cpu)?;
    let values = tensors
        .remove("embeddings")
        .filter(|t| t.kind() == Kind::Float && t.size() == want);
    let same = metadata.get("encoder").is_some_and(|e| e == fingerprint);
    values
        .filter(|_| same)
        .ok_or_else(|| Error::format(path, None, "is not the entry it should be"))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Gives each text its length, and counts how often it is asked.
    struct Counting(usize);

    impl TextEncoder for Counting {
        fn width(&self) -> i64 {
            2
        }
        fn encode(&mut self, texts: &[String]) -> Result<Tensor> {
            self.0 += 1;
            let rows: Vec<f32> = texts.iter().flat_map(|t| [t.len() as f32, 0.1]).collect();
            Ok(Tensor::from_slice(&rows).reshape([-1, 2]))
        }
        fn fingerprint(&self) -> String {
            "counting".into()
        }
    }

    fn texts() -> Vec<String> {
        vec!["walk".into(), "sit down".into()]
    }

    #[test]
    fn a_hit_is_the_fresh_value_bit_for_bit_and_encodes_nothing() {
        let folder = tempfile::tempdir().unwrap();
        let cache = Cache::new(folder.path(), "cpu".into());
        let mut encoder = Counting(0);
        let fresh = cache.encode(&mut encoder, &texts()).unwrap();
        let hit = cache.encode(&mut encoder, &texts()).unwrap();
        assert!(hit.equal(&fresh));
        assert_eq!(encoder.0, 1);
        let other = Cache::new(folder.path(), "cuda".into());
        assert!(other.encode(&mut encoder, &texts()).unwrap().equal(&fresh));
        assert_eq!(encoder.0, 2, "another device is another entry");
    }

    #[test]
    fn a_damaged_entry_is_computed_again() {
        let folder = tempfile::tempdir().unwrap();
        let cache = Cache::new(folder.path(), "cpu".into());
        let mut encoder = Counting(0);
        let fresh = cache.encode(&mut encoder, &texts()).unwrap();
        std::fs::write(cache.entry("counting", &texts()), "rubbish").unwrap();
        assert!(cache.encode(&mut encoder, &texts()).unwrap().equal(&fresh));
        assert!(cache.encode(&mut encoder, &texts()).unwrap().equal(&fresh));
        assert_eq!(encoder.0, 2);
    }
}
