//! Plain data and NumPy arrays of a pickle, looked at without running anything of it.

use std::path::Path;
use std::sync::Arc;

use super::pickle::{ArrayRef, Heap, Id, Value, unpickle};
use crate::{Error, Result};

/// What a pickle holds.
#[derive(Debug)]
pub struct Pickled {
    heap: Heap,
    root: Id,
}

/// A value in it.
#[derive(Clone, Copy, Debug)]
pub struct Node<'a> {
    heap: &'a Heap,
    id: Id,
}

/// An array of NumPy's: little endian, row-major, as many bytes as its shape says.
#[derive(Clone, Debug)]
pub struct PickledArray {
    /// Element type in NumPy's letters: `f4`, `i8`.
    pub kind: Arc<str>,
    /// Sizes of the axes.
    pub shape: Vec<usize>,
    /// The elements.
    pub bytes: Arc<[u8]>,
}

impl Pickled {
    /// Reads the bytes of the file of this name.
    ///
    /// # Errors
    /// When they are cut short, ask for a name that plain data does not need, or are no pickle; with the byte.
    pub fn parse(path: &Path, bytes: &[u8]) -> Result<Self> {
        let pickle = unpickle(bytes, 0)
            .map_err(|e| Error::format(path, format!("byte {}, {}", e.byte, e.opcode), e.why))?;
        Ok(Self {
            heap: pickle.heap,
            root: pickle.root,
        })
    }

    /// The outermost value.
    pub fn root(&self) -> Node<'_> {
        Node {
            heap: &self.heap,
            id: self.root,
        }
    }
}

impl<'a> Node<'a> {
    fn at(self, id: Id) -> Self {
        Self { id, ..self }
    }

    /// What it is, for messages: `a list`.
    pub fn what(self) -> &'static str {
        self.heap.get(self.id).what()
    }

    /// The text, if it is one.
    pub fn text(self) -> Option<&'a str> {
        self.heap.text(self.id).map(|text| &**text)
    }

    /// The whole number, if it is one of 64 bits, as Python or NumPy writes it.
    pub fn integer(self) -> Option<i64> {
        match self.heap.get(self.id) {
            Value::Int(number) => Some(*number),
            Value::Scalar(kind, bytes) => whole(kind, bytes),
            _ => None,
        }
    }

    /// The items of a list or tuple.
    pub fn items(self) -> Option<impl ExactSizeIterator<Item = Node<'a>>> {
        let items = self.heap.items(self.id)?;
        Some(items.iter().map(move |id| self.at(*id)))
    }

    /// The entries of a dict whose keys are texts, in the order of their writing; others are left out.
    pub fn entries(self) -> Option<impl Iterator<Item = (&'a str, Node<'a>)>> {
        let entries = self.heap.entries(self.id)?;
        Some(entries.iter().filter_map(move |(key, value)| {
            let key = self.at(*key).text()?;
            Some((key, self.at(*value)))
        }))
    }

    /// The value of a key of a dict.
    pub fn get(self, key: &str) -> Option<Node<'a>> {
        self.entries()?
            .find(|(found, _)| *found == key)
            .map(|(_, value)| value)
    }

    /// The array, if it is one, or what is wrong with it.
    ///
    /// # Errors
    /// When its bytes are not as many as its shape says, or it lies column by column or the highest byte first.
    pub fn array(self) -> Option<Result<PickledArray, String>> {
        match self.heap.get(self.id) {
            Value::Array(array) => Some(
                array
                    .as_ref()
                    .ok_or("an array without its values".to_owned())
                    .and_then(plain),
            ),
            _ => None,
        }
    }
}

fn plain(array: &Arc<ArrayRef>) -> Result<PickledArray, String> {
    let digits = array.kind.get(1..).unwrap_or_default();
    let size = digits.parse::<usize>().ok().filter(|size| *size > 0);
    let size = size.ok_or_else(|| format!("an array of `{}`", array.kind))?;
    let count = array.shape.iter().try_fold(size, |all, n| all.checked_mul(*n));
    if count != Some(array.bytes.len()) {
        return Err(format!(
            "an array of shape {:?} and element type `{}` with {} bytes",
            array.shape,
            array.kind,
            array.bytes.len()
        ));
    }
    let bytes = match array.fortran {
        true => row_major(&array.bytes, size, &array.shape),
        false => Arc::clone(&array.bytes),
    };
    Ok(PickledArray {
        kind: Arc::clone(&array.kind),
        shape: array.shape.clone(),
        bytes,
    })
}

/// Elements of `size` bytes that stand column by column, row by row.
fn row_major(bytes: &[u8], size: usize, shape: &[usize]) -> Arc<[u8]> {
    let mut out = Vec::with_capacity(bytes.len());
    for row in 0..bytes.len() / size {
        // The last axis runs fastest in `row`, the first in the file.
        let (mut rest, mut at, mut step) = (row, 0, bytes.len() / size);
        for n in shape.iter().rev() {
            step /= n;
            at += rest % n * step;
            rest /= n;
        }
        out.extend_from_slice(&bytes[at * size..(at + 1) * size]);
    }
    out.into()
}

fn whole(kind: &str, bytes: &[u8]) -> Option<i64> {
    let signed = kind.starts_with('i');
    if !(signed || kind.starts_with('u')) || bytes.is_empty() || bytes.len() > 8 {
        return None;
    }
    let negative = signed && bytes.last().is_some_and(|b| b & 0x80 != 0);
    let mut all = [if negative { 0xff } else { 0 }; 8];
    all[..bytes.len()].copy_from_slice(bytes);
    let number = i64::from_le_bytes(all);
    (signed || number >= 0).then_some(number)
}
