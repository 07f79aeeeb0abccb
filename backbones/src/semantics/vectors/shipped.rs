//! Vectors that are shipped in a file.
//!
//! A shipped file is one safetensors file:
//!
//! | entry | meaning |
//! |---|---|
//! | tensor `embeddings [n, d]` f32 | one row per text |
//! | tensor `text_sha256 [n, 32]` u8 | digest of each text's UTF-8 bytes, ascending |
//! | metadata `format` | `szar-text-embeddings/1` |
//! | metadata `encoder` | fingerprint of the text encoder: weights, vocabulary, pooling |
//! | metadata `model`, `made_by`, `sources`, `date` | where it comes from |

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use szar_core::{Error, NamedTensors, Result, checkpoint, shape};
use tch::{Device, Kind, Tensor};

use crate::semantics::hash::{self, Digest32};

const FORMAT: &str = "szar-text-embeddings/1";

/// Vectors made earlier, found by text.
#[derive(Debug)]
pub struct Shipped {
    path: PathBuf,
    encoder: String,
    model: String,
    sources: String,
    values: Tensor,
    rows: BTreeMap<Digest32, i64>,
}

impl Shipped {
    /// Reads a file of vectors.
    ///
    /// # Errors
    /// When it cannot be read or is not as the module's table says.
    pub fn load(path: &Path) -> Result<Self> {
        let (mut tensors, metadata) = checkpoint::load(path, Device::Cpu)?;
        let wrong = |at: &str, why: String| Error::format(path, at.to_owned(), why);
        let entry = |key: &str| metadata.get(key).cloned().unwrap_or_default();
        if entry("format") != FORMAT {
            let why = format!(
                "is `{}`, expected `{FORMAT}`; `szar semantics embed` makes such files",
                entry("format")
            );
            return Err(wrong("metadata `format`", why));
        }
        let mut take = |name: &str, kind: Kind, width: Option<i64>| {
            let tensor = tensors
                .remove(name)
                .ok_or_else(|| wrong(name, "is missing".into()))?;
            shape::expect(name, &tensor, [None, width]).map_err(|e| wrong(name, e.to_string()))?;
            if tensor.kind() != kind {
                return Err(wrong(
                    name,
                    format!("holds {:?}, expected {kind:?}", tensor.kind()),
                ));
            }
            Ok(tensor)
        };
        let values = take("embeddings", Kind::Float, None)?;
        let digests = take("text_sha256", Kind::Uint8, Some(32))?;
        if values.size()[0] != digests.size()[0] {
            let why = format!(
                "has {} rows, `embeddings` has {}",
                digests.size()[0],
                values.size()[0]
            );
            return Err(wrong("text_sha256", why));
        }
        if i64::try_from(values.isfinite().logical_not().any())? != 0 {
            return Err(wrong("embeddings", "holds numbers that are not finite".into()));
        }
        let bytes = Vec::<u8>::try_from(digests.flatten(0, -1))?;
        let (keys, _) = bytes.as_chunks::<32>();
        let rows = (0..).zip(keys).map(|(row, key)| (*key, row)).collect();
        Ok(Self {
            path: path.to_owned(),
            encoder: entry("encoder"),
            model: entry("model"),
            sources: entry("sources"),
            values,
            rows,
        })
    }

    /// Saves vectors `[n, d]` of `texts` (each once, none of them in `base`) behind those of `base`, bit for bit as
    /// they are there, with what `provenance` says of them.
    ///
    /// # Errors
    /// When the shapes disagree or the file cannot be written.
    pub fn save(
        path: &Path,
        base: Option<&Self>,
        texts: &[String],
        values: &Tensor,
        encoder: &str,
        provenance: &[(&str, String)],
    ) -> Result<()> {
        let width = base.map(Self::width);
        shape::expect("vectors", values, [Some(texts.len() as i64), width])?;
        let first = base.map_or(0, Self::len);
        let new = texts.iter().map(|t| hash::digest(t.as_bytes())).zip(first..);
        let known = base
            .into_iter()
            .flat_map(|b| b.rows.iter().map(|(digest, row)| (*digest, *row)));
        let mut order: Vec<_> = known.chain(new).collect();
        order.sort_unstable();
        let rows: Vec<i64> = order.iter().map(|(_, row)| *row).collect();
        let digests: Vec<u8> = order.iter().flat_map(|(digest, _)| *digest).collect();
        let values = match base {
            Some(base) => Tensor::cat(&[&base.values, values], 0),
            None => values.shallow_clone(),
        };
        let tensors = NamedTensors::from([
            (
                "embeddings".into(),
                values.index_select(0, &Tensor::from_slice(&rows)),
            ),
            (
                "text_sha256".into(),
                Tensor::from_slice(&digests).reshape([-1, 32]),
            ),
        ]);
        let mut metadata = vec![
            ("format".into(), FORMAT.into()),
            ("encoder".into(), encoder.into()),
        ];
        metadata.extend(
            provenance
                .iter()
                .map(|(key, value)| ((*key).into(), value.clone())),
        );
        checkpoint::save(path, &tensors, &metadata)
    }

    /// Fingerprint of the encoder that made the vectors.
    pub fn encoder(&self) -> &str {
        &self.encoder
    }

    /// Name of the encoder's model.
    pub fn model(&self) -> &str {
        &self.model
    }

    /// What it was made of.
    pub fn sources(&self) -> &str {
        &self.sources
    }

    /// Number of texts.
    pub fn len(&self) -> i64 {
        self.values.size()[0]
    }

    /// True when it holds nothing.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// The file.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// d.
    pub fn width(&self) -> i64 {
        self.values.size()[1]
    }

    /// Row of a text, if it is here.
    pub fn row(&self, text: &str) -> Option<i64> {
        self.rows.get(&hash::digest(text.as_bytes())).copied()
    }

    /// `[n, d]`, the rows with these numbers.
    pub fn select(&self, rows: &[i64]) -> Tensor {
        self.values.index_select(0, &Tensor::from_slice(rows))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_shipped_file_gives_each_text_its_row() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("v.safetensors");
        let set = ["a", "b", "c"].map(str::to_owned);
        let values = Tensor::from_slice(&[1.0f32, 2.0, 3.0]).reshape([3, 1]);
        Shipped::save(&path, None, &set, &values, "e", &[("model", "m".into())]).unwrap();
        let file = Shipped::load(&path).unwrap();
        let rows = ["c", "a", "b"].map(|t| file.row(t).unwrap());
        assert_eq!(
            Vec::<f32>::try_from(file.select(&rows).flatten(0, -1)).unwrap(),
            [3.0, 1.0, 2.0]
        );
        assert_eq!((file.row("d"), file.encoder(), file.width()), (None, "e", 1));
    }

    #[test]
    fn an_extended_file_keeps_its_rows_bit_for_bit() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("v.safetensors");
        let values = Tensor::from_slice(&[0.1f32, 0.7, 0.3, 0.9]).reshape([2, 2]);
        let texts = ["walk", "wave"].map(str::to_owned);
        Shipped::save(&path, None, &texts, &values, "e", &[]).unwrap();
        let old = Shipped::load(&path).unwrap();
        let more = Tensor::from_slice(&[0.5f32, 0.6]).reshape([1, 2]);
        Shipped::save(&path, Some(&old), &["kick".to_owned()], &more, "e", &[]).unwrap();
        let new = Shipped::load(&path).unwrap();
        let row = |text: &str| new.select(&[new.row(text).unwrap()]);
        assert!(row("walk").equal(&values.narrow(0, 0, 1)));
        assert!(row("wave").equal(&values.narrow(0, 1, 1)));
        assert!(row("kick").equal(&more));
        let narrow = Tensor::zeros([1, 3], tch::kind::FLOAT_CPU);
        let error = Shipped::save(&path, Some(&old), &["x".to_owned()], &narrow, "e", &[]).unwrap_err();
        assert!(matches!(error, Error::Shape { .. }), "{error}");
    }

    #[test]
    fn a_file_of_another_format_is_refused() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("v.safetensors");
        let tensors = NamedTensors::from([("x".into(), Tensor::zeros([1], tch::kind::FLOAT_CPU))]);
        checkpoint::save(&path, &tensors, &[]).unwrap();
        let error = Shipped::load(&path).unwrap_err();
        assert!(matches!(error, Error::Format { .. }));
        assert!(
            error.to_string().contains("expected `szar-text-embeddings/1`"),
            "{error}"
        );
        checkpoint::save(&path, &tensors, &[("format".into(), FORMAT.into())]).unwrap();
        let error = Shipped::load(&path).unwrap_err().to_string();
        assert!(error.contains("embeddings: is missing"), "{error}");
    }
}
