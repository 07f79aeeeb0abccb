//! Sizes and bounds of storages, and their bytes made little-endian.

use tch::Kind;

use crate::checkpoint::pickle::{Storage, TensorRef};

/// The most dimensions of a tensor; PyTorch's own limit for most operations.
const MAX_DIMS: usize = 64;

/// Bytes of a whole storage.
pub(super) fn bytes_of(storage: &Storage) -> Result<u64, String> {
    let width = storage.kind.elt_size_in_bytes() as u64;
    let bytes = storage.numel.checked_mul(width).filter(|b| *b <= i64::MAX as u64);
    bytes.ok_or_else(|| format!("a storage of {} elements", storage.numel))
}

/// Refuses a tensor that looks beyond its storage. Returns its number of elements.
pub(super) fn check(tensor: &TensorRef) -> Result<u64, String> {
    let (shape, strides) = (&tensor.shape, &tensor.strides);
    if shape.len() != strides.len() || shape.len() > MAX_DIMS {
        let (dims, steps) = (shape.len(), strides.len());
        return Err(format!("not a tensor: {dims} dimensions, {steps} strides"));
    }
    let describe = || {
        format!(
            "shape {shape:?} with strides {strides:?} and offset {}",
            tensor.offset
        )
    };
    let size = |n: i64| u64::try_from(n).map_err(|_| format!("{}: a negative number", describe()));
    let mut numel = 1u64;
    let mut last = size(tensor.offset)?;
    for (length, stride) in shape.iter().zip(strides) {
        let (length, stride) = (size(*length)?, size(*stride)?);
        let far = || format!("{}: too large", describe());
        numel = numel.checked_mul(length).ok_or_else(far)?;
        let reach = length.saturating_sub(1).checked_mul(stride);
        last = reach.and_then(|r| last.checked_add(r)).ok_or_else(far)?;
    }
    let storage = &tensor.storage;
    bytes_of(storage)?;
    let there = match storage.view {
        None => storage.numel,
        Some((start, count)) => {
            let end = start.checked_add(count).filter(|end| *end <= storage.numel);
            end.ok_or("a view beyond the end of its storage")?;
            count
        }
    };
    if numel > 0 && last >= there {
        return Err(format!("{}: its storage has {there} elements", describe()));
    }
    Ok(numel)
}

/// Turns big-endian elements round.
pub(super) fn swap(bytes: &mut [u8], kind: Kind) {
    let width = match kind {
        Kind::ComplexDouble | Kind::ComplexFloat => kind.elt_size_in_bytes() / 2,
        _ => kind.elt_size_in_bytes(),
    };
    for element in bytes.chunks_exact_mut(width) {
        element.reverse();
    }
}

/// Truth values are 0 or 1 to libtorch, whatever the file says.
pub(super) fn tidy(bytes: &mut [u8], kind: Kind) {
    if kind == Kind::Bool {
        for byte in bytes {
            *byte = u8::from(*byte != 0);
        }
    }
}
