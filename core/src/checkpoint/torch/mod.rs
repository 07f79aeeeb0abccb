//! Files of `torch.save`, read as data: the zip format of PyTorch 1.6 and later, and the one before it.
//!
//! Nothing in them is run, and nothing larger is allocated than the file is: see [`super::pickle`] for what is accepted.

mod legacy;
mod state_dict;
mod storages;
mod zipped;

use std::collections::BTreeMap;
use std::io::{Read, Seek, SeekFrom};
use std::rc::Rc;

use tch::{Device, Tensor};

use super::pickle::{Refused, TensorRef, Unpickled, shown};
use super::{Flaw, NamedTensors};

/// How many times the file's size all tensors of a state_dict may take together. More than 1 because tensors may share
/// their numbers.
const MAX_SHARING: u64 = 16;

/// What a file can be when it is not one of PyTorch's.
const OTHERS: [(&[u8], &str); 4] = [
    (
        b"version https://git-lfs",
        "is the pointer of a Git LFS file, not the file; fetch it with `git lfs pull`",
    ),
    (
        b"<",
        "is a web page or another text; the download went wrong or wants a log-in",
    ),
    (
        b"\x1f\x8b",
        "is compressed with gzip; unpack it first (`gunzip`, or `tar xzf` for an archive)",
    ),
    (
        b"\x89HDF",
        "is an HDF5 file; save its weights with `torch.save` or as safetensors",
    ),
];

/// Where the numbers of storages come from.
trait Storages {
    /// The little-endian bytes of a whole storage.
    fn bytes(&mut self, storage: &super::pickle::Storage) -> Result<Vec<u8>, String>;
}

/// The state_dict of a file, on the CPU.
///
/// # Errors
/// Where and why the bytes are not a whole file with one state_dict and nothing but plain data.
pub(super) fn parse<R: Read + Seek>(mut reader: R) -> Result<NamedTensors, Flaw> {
    let io = |e: std::io::Error| (None, format!("cannot be read ({e})"));
    let size = reader.seek(SeekFrom::End(0)).map_err(io)?;
    reader.rewind().map_err(io)?;
    let mut start = Vec::new();
    reader.by_ref().take(512).read_to_end(&mut start).map_err(io)?;
    reader.rewind().map_err(io)?;
    if let Some((_, what)) = OTHERS.iter().find(|(magic, _)| start.starts_with(magic)) {
        return Err((None, (*what).into()));
    }
    if start.get(257..262) == Some(b"ustar") {
        let why = "is a tar archive; unpack it, and name the file in it or the folder";
        return Err((None, why.into()));
    }
    if start.starts_with(b"PK") {
        let (object, mut storages) = zipped::open(reader, size)?;
        return tensors(&object, &mut storages, size);
    }
    let mut bytes = Vec::new();
    reader.read_to_end(&mut bytes).map_err(io)?;
    let (object, mut storages) = legacy::open(&bytes)?;
    tensors(&object, &mut storages, size)
}

/// Reads the tensors of the file's one state_dict.
fn tensors(object: &Unpickled, storages: &mut dyn Storages, size: u64) -> Result<NamedTensors, Flaw> {
    let chosen = state_dict::choose(object)?;
    let mut uses: BTreeMap<Rc<str>, usize> = BTreeMap::new();
    for (_, tensor) in &chosen {
        *uses.entry(Rc::clone(&tensor.storage.key)).or_default() += 1;
    }
    let mut reader = TensorReader {
        storages,
        held: BTreeMap::new(),
        storage_bytes: size,
        tensor_bytes: size.saturating_mul(MAX_SHARING),
    };
    let mut named = NamedTensors::new();
    for (name, tensor) in chosen {
        let left = uses.get_mut(&tensor.storage.key).map_or(0, |left| {
            *left -= 1;
            *left
        });
        let at = || Some(format!("tensor `{}`", shown(&name)));
        let value = reader.read(&tensor, left > 0).map_err(|why| (at(), why))?;
        named.insert(name.to_string(), value);
    }
    Ok(named)
}

struct TensorReader<'a> {
    storages: &'a mut dyn Storages,
    /// Storages that more tensors want.
    held: BTreeMap<Rc<str>, Tensor>,
    /// Bytes of storages that may still be read.
    storage_bytes: u64,
    /// Bytes of tensors that may still be made.
    tensor_bytes: u64,
}

impl TensorReader<'_> {
    fn read(&mut self, tensor: &TensorRef, wanted_again: bool) -> Result<Tensor, String> {
        let width = tensor.storage.kind.elt_size_in_bytes() as u64;
        let numel = storages::check(tensor)?;
        let bytes = numel.checked_mul(width);
        let left = bytes.and_then(|bytes| self.tensor_bytes.checked_sub(bytes));
        self.tensor_bytes = left.ok_or_else(|| {
            format!(
                "shape {:?} repeats the numbers of its storage too often for the size of the file",
                tensor.shape
            )
        })?;
        let failed = |e: tch::TchError| format!("shape {:?}: {e}", tensor.shape);
        if numel == 0 {
            let options = (tensor.storage.kind, Device::Cpu);
            return Tensor::f_zeros(&tensor.shape, options).map_err(failed);
        }
        let (storage, shared) = self.storage(tensor, wanted_again)?;
        let start = tensor.storage.view.map_or(0, |(start, _)| start as i64);
        let view = storage.f_as_strided(&tensor.shape, &tensor.strides, start + tensor.offset);
        let view = view.map_err(failed)?;
        let whole = storage.numel() as u64 == numel && view.is_contiguous();
        // Tensors never share memory with each other: what is done to one of them must not reach another.
        if whole && !shared {
            return Ok(view);
        }
        let mut own = Tensor::f_empty(&tensor.shape, (view.kind(), Device::Cpu)).map_err(failed)?;
        own.f_copy_(&view).map_err(failed)?;
        Ok(own)
    }

    /// A storage, and whether another tensor has it or will have it.
    fn storage(&mut self, tensor: &TensorRef, wanted_again: bool) -> Result<(Tensor, bool), String> {
        let storage = &tensor.storage;
        if let Some(held) = self.held.get(&storage.key) {
            if held.kind() != storage.kind || held.numel() as u64 != storage.numel {
                return Err(format!("storage `{}` is named in two ways", shown(&storage.key)));
            }
            return Ok((held.shallow_clone(), true));
        }
        let left = self.storage_bytes.checked_sub(storages::bytes_of(storage)?);
        self.storage_bytes = left.ok_or("the storages hold more than the whole file")?;
        let bytes = self.storages.bytes(storage)?;
        let read = Tensor::f_from_data_size(&bytes, &[storage.numel as i64], storage.kind);
        let read = read.map_err(|e| e.to_string())?;
        if wanted_again {
            self.held.insert(Rc::clone(&storage.key), read.shallow_clone());
        }
        Ok((read, wanted_again))
    }
}

/// Where a pickle was refused, in the words of an error.
fn refused(part: Option<&str>, refused: Refused) -> Flaw {
    let within = part.map(|part| format!(" of `{part}`")).unwrap_or_default();
    (
        Some(format!("byte {}{within}, {}", refused.byte, refused.opcode)),
        refused.why,
    )
}

#[cfg(test)]
pub(crate) mod tests;
