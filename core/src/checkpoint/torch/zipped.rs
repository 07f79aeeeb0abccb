//! The zip format: `<name>/data.pkl`, one entry per storage under `<name>/data/`, and `<name>/byteorder`.

use std::io::{Read, Seek};

use zip::result::ZipError;
use zip::{CompressionMethod, ZipArchive};

use super::{Storages, storages};
use crate::checkpoint::Flaw;
use crate::checkpoint::pickle::{Storage, Unpickled, shown, unpickle};

/// An opened archive.
pub(super) struct Zipped<R> {
    zip: ZipArchive<R>,
    /// The archive's own name with a slash; empty when there is none.
    top: String,
    big_endian: bool,
    size: u64,
}

/// Reads the object of an archive of `size` bytes.
pub(super) fn open<R: Read + Seek>(reader: R, size: u64) -> Result<(Unpickled, Zipped<R>), Flaw> {
    let broken = |e: ZipError| (None, format!("not a whole file of torch.save ({e})"));
    let zip = ZipArchive::new(reader).map_err(broken)?;
    let top = top(&zip).map_err(|why| (None, why))?;
    let mut file = Zipped {
        zip,
        top,
        big_endian: false,
        size,
    };
    let order = format!("{}byteorder", file.top);
    if file.zip.index_for_name(&order).is_some() {
        let word = file.entry(&order).map_err(|why| (Some(order.clone()), why))?;
        file.big_endian = match word.as_slice() {
            b"little" => false,
            b"big" => true,
            _ => return Err((Some(order), "is neither `little` nor `big`".into())),
        };
    }
    let pickle = format!("{}data.pkl", file.top);
    let bytes = file.entry(&pickle).map_err(|why| (Some(pickle.clone()), why))?;
    let object = unpickle(&bytes, 0).map_err(|e| super::refused(Some(&pickle), e))?;
    Ok((object, file))
}

/// The folder that everything is in.
fn top<R: Read + Seek>(zip: &ZipArchive<R>) -> Result<String, String> {
    // At most one folder deep.
    let outer = |name: &str| {
        let top = name.strip_suffix("data.pkl")?;
        (top.is_empty() || top.find('/') == Some(top.len() - 1)).then(|| top.to_owned())
    };
    let tops: Vec<String> = zip.file_names().flatten().filter_map(|n| outer(&n)).collect();
    let [top] = tops.as_slice() else {
        return Err(match tops.len() {
            0 => "is a zip archive without `data.pkl`, not a file of torch.save; if weights are packed in it, unpack it",
            _ => "is a zip archive with several `data.pkl`, not a file of torch.save",
        }
        .into());
    };
    if zip.index_for_name(&format!("{top}constants.pkl")).is_some() {
        return Err(
            "is a TorchScript module, not a state_dict\n\nhint: the encoder `torchscript` takes it whole; \
             or save `module.state_dict()` in Python"
                .into(),
        );
    }
    Ok(top.clone())
}

impl<R: Read + Seek> Zipped<R> {
    fn entry(&mut self, name: &str) -> Result<Vec<u8>, String> {
        let entry = match self.zip.by_name(name) {
            Ok(entry) => entry,
            Err(ZipError::FileNotFound) => return Err("is missing in the archive".into()),
            Err(e) => return Err(format!("cannot be read ({e})")),
        };
        let stored = entry.compression() == CompressionMethod::Stored;
        if !stored || entry.compressed_size() != entry.size() || entry.size() > self.size {
            return Err(
                "is compressed or damaged; torch.save writes entries as they are: save the file anew".into(),
            );
        }
        let expected = entry.size();
        let mut bytes = Vec::with_capacity(usize::try_from(expected).unwrap_or(0));
        let read = entry.take(expected).read_to_end(&mut bytes);
        read.map_err(|e| format!("cannot be read ({e})"))?;
        if bytes.len() as u64 != expected {
            return Err(format!("holds {} of {expected} bytes", bytes.len()));
        }
        Ok(bytes)
    }
}

impl<R: Read + Seek> Storages for Zipped<R> {
    fn bytes(&mut self, storage: &Storage) -> Result<Vec<u8>, String> {
        let name = format!("{}data/{}", self.top, storage.key);
        let at = |why| format!("storage `{}` {why}", shown(&name));
        let mut bytes = self.entry(&name).map_err(at)?;
        let expected = storages::bytes_of(storage)?;
        if bytes.len() as u64 != expected {
            return Err(at(format!("has {} bytes, expected {expected}", bytes.len())));
        }
        if self.big_endian {
            storages::swap(&mut bytes, storage.kind);
        }
        storages::tidy(&mut bytes, storage.kind);
        Ok(bytes)
    }
}
