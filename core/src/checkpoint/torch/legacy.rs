//! The format before PyTorch 1.6: pickles of a magic number, the version, the writer's machine, the object and the keys
//! of its storages, then each storage as the number of its elements and their little-endian bytes.

use std::collections::BTreeMap;
use std::ops::Range;
use std::rc::Rc;

use super::{Storages, storages};
use crate::checkpoint::Flaw;
use crate::checkpoint::pickle::{Heap, Storage, Unpickled, Value, shown, unpickle};

/// 0x1950a86a20f9469cfc6c, as a pickle has it.
const MAGIC: [u8; 10] = [0x6c, 0xfc, 0x9c, 0x46, 0xf9, 0x20, 0x6a, 0xa8, 0x50, 0x19];
const VERSION: i64 = 1001;

/// The storages behind the pickles.
pub(super) struct Legacy<'a> {
    bytes: &'a [u8],
    ranges: BTreeMap<Rc<str>, Range<usize>>,
}

/// Reads the object of a file.
pub(super) fn open(bytes: &[u8]) -> Result<(Unpickled, Legacy<'_>), Flaw> {
    let next = |start| unpickle(bytes, start).map_err(|e| super::refused(None, e));
    let other = |why: &str| (None, format!("not a file of torch.save: {why}"));
    if bytes.is_empty() {
        return Err((None, "is empty".into()));
    }
    if !matches!(bytes[0], 0x80 | b'L' | b'c' | b'(' | b'}') {
        return Err(other("it is neither a zip archive nor a pickle"));
    }
    let magic = next(0)?;
    if !matches!(magic.heap.get(magic.root), Value::Long(number) if **number == MAGIC) {
        return Err(other(
            "it is a pickle of something else (torch.save's begin with its magic number)",
        ));
    }
    let version = next(magic.end)?;
    match version.heap.get(version.root) {
        Value::Int(VERSION) => {}
        Value::Int(other) => return Err((None, format!("is of version {other}, expected {VERSION}"))),
        _ => return Err(other("its version is no number")),
    }
    let machine = next(version.end)?;
    let object = next(machine.end)?;
    let keys = next(object.end)?;
    let ranges =
        ranges(bytes, &object.heap, &keys).map_err(|(byte, why)| (Some(format!("byte {byte}")), why))?;
    Ok((object, Legacy { bytes, ranges }))
}

/// Where the bytes of each storage are.
fn ranges(
    bytes: &[u8],
    heap: &Heap,
    keys: &Unpickled,
) -> Result<BTreeMap<Rc<str>, Range<usize>>, (usize, String)> {
    let mut at = keys.end;
    let listed = keys.heap.items(keys.root);
    let listed = listed.ok_or_else(|| (at, "the keys of the storages are no list".to_owned()))?;
    let named: BTreeMap<&str, &Storage> = heap.storages().map(|s| (&*s.key, s)).collect();
    let mut ranges = BTreeMap::new();
    for key in listed {
        let key = keys.heap.text(*key);
        let key = key.ok_or_else(|| (at, "the key of a storage is no text".to_owned()))?;
        let storage = named.get(&**key).ok_or_else(|| {
            let why = format!("storage `{}` is of unknown type: no tensor names it", shown(key));
            (at, why)
        })?;
        let range = range(bytes, at, storage).map_err(|why| (at, why))?;
        at = range.end;
        if ranges.insert(Rc::clone(key), range).is_some() {
            return Err((at, format!("storage `{}` stands twice in the file", shown(key))));
        }
    }
    Ok(ranges)
}

/// The bytes of the storage whose number of elements stands at `at`.
fn range(bytes: &[u8], at: usize, storage: &Storage) -> Result<Range<usize>, String> {
    let key = shown(&storage.key);
    let rest = bytes.get(at..).unwrap_or_default();
    let ends = |left: usize| format!("the file ends in the middle of storage `{key}`: {left} bytes are left");
    let (count, data) = rest.split_first_chunk().ok_or_else(|| ends(rest.len()))?;
    let count = u64::from_le_bytes(*count);
    if count != storage.numel {
        return Err(format!(
            "storage `{key}` has {count} elements, expected {}",
            storage.numel
        ));
    }
    let length = usize::try_from(storages::bytes_of(storage)?).unwrap_or(usize::MAX);
    if data.len() < length {
        return Err(ends(data.len()));
    }
    Ok(at + 8..at + 8 + length)
}

impl Storages for Legacy<'_> {
    fn bytes(&mut self, storage: &Storage) -> Result<Vec<u8>, String> {
        let range = self.ranges.get(&storage.key);
        let range = range.ok_or_else(|| format!("storage `{}` is not in the file", shown(&storage.key)))?;
        let mut bytes = self.bytes[range.clone()].to_vec();
        if bytes.len() as u64 != storages::bytes_of(storage)? {
            return Err(format!("storage `{}` is named in two ways", shown(&storage.key)));
        }
        storages::tidy(&mut bytes, storage.kind);
        Ok(bytes)
    }
}
