//! What a pickle of weights can hold, and where the machine keeps it.

use std::collections::BTreeSet;
use std::rc::Rc;
use std::sync::Arc;

use tch::Kind;

use super::globals::Global;

/// How deep values may lie in each other.
const MAX_DEPTH: usize = 200;

/// A value's place on the heap.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Id(u32);

/// A plain value.
#[derive(Clone, Debug)]
pub(crate) enum Value {
    None,
    Bool(bool),
    Int(i64),
    /// More than 64 bits: two's complement, the lowest byte first.
    Long(Arc<[u8]>),
    Float(f64),
    Text(Rc<str>),
    Bytes(Arc<[u8]>),
    List(Vec<Id>),
    Tuple(Vec<Id>),
    Dict(Box<Dict>),
    /// A name of the allow-list, not called (yet).
    Global(Global),
    Storage(Rc<Storage>),
    Tensor(Rc<TensorRef>),
    /// NumPy's element type: its letters (`f4`), and whether the highest byte comes first.
    Dtype(Arc<str>, bool),
    /// NumPy's array; `None` where its values are no plain numbers.
    Array(Option<Arc<ArrayRef>>),
    /// NumPy's number: the letters of its type, and its bytes.
    Scalar(Arc<str>, Arc<[u8]>),
    /// Data of no use for weights: what it is.
    Plain(&'static str),
}

impl Value {
    /// What it is, for messages.
    pub(crate) fn what(&self) -> &'static str {
        match self {
            Self::None => "nothing",
            Self::Bool(_) => "a truth value",
            Self::Int(_) | Self::Long(_) | Self::Float(_) | Self::Scalar(..) => "a number",
            Self::Text(_) => "a text",
            Self::Bytes(_) => "bytes",
            Self::List(_) => "a list",
            Self::Tuple(_) => "a tuple",
            Self::Dict(_) => "a dict",
            Self::Global(_) => "a name",
            Self::Storage(_) => "a storage",
            Self::Tensor(_) => "a tensor",
            Self::Dtype(..) => "an element type",
            Self::Array(_) => "an array",
            Self::Plain(what) => what,
        }
    }
}

/// Numbers that tensors look at.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Storage {
    pub(crate) kind: Kind,
    pub(crate) key: Rc<str>,
    /// Elements of the whole storage.
    pub(crate) numel: u64,
    /// First element and number of elements of the part that is meant.
    pub(crate) view: Option<(u64, u64)>,
}

/// A tensor that is not read yet.
#[derive(Debug)]
pub(crate) struct TensorRef {
    pub(crate) storage: Rc<Storage>,
    /// First element.
    pub(crate) offset: i64,
    pub(crate) shape: Vec<i64>,
    /// In elements.
    pub(crate) strides: Vec<i64>,
}

/// An array as it lies in the file.
#[derive(Debug)]
pub(crate) struct ArrayRef {
    /// NumPy's letters: `f4`.
    pub(crate) kind: Arc<str>,
    pub(crate) shape: Vec<usize>,
    /// Column by column?
    pub(crate) fortran: bool,
    pub(crate) bytes: Arc<[u8]>,
}

/// Entries in the order of their writing.
#[derive(Clone, Debug, Default)]
pub(crate) struct Dict {
    pub(crate) entries: Vec<(Id, Id)>,
    keys: BTreeSet<Key>,
}

#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Key {
    Text(Rc<str>),
    Int(i64),
    Float(u64),
    Bytes(Arc<[u8]>),
    /// Equal only to itself.
    Other(Id),
}

/// All values of one pickle.
#[derive(Debug)]
pub(crate) struct Heap {
    values: Vec<Value>,
    /// Items that may still be copied.
    copies: usize,
}

impl Heap {
    /// A heap on which `copies` items may be copied from one value into another.
    pub(crate) fn new(copies: usize) -> Self {
        Self {
            values: Vec::new(),
            copies,
        }
    }

    /// Notes that `items` are copied: a few bytes of a pickle can ask for the same long value again and again.
    pub(crate) fn copying(&mut self, items: usize) -> Result<(), String> {
        let left = self.copies.checked_sub(items);
        self.copies = left.ok_or("the same values are copied over and over")?;
        Ok(())
    }

    pub(crate) fn add(&mut self, value: Value) -> Id {
        self.values.push(value);
        // The machine stops long before 2^32 values.
        Id((self.values.len() - 1) as u32)
    }

    pub(crate) fn get(&self, id: Id) -> &Value {
        &self.values[id.0 as usize]
    }

    pub(crate) fn get_mut(&mut self, id: Id) -> &mut Value {
        &mut self.values[id.0 as usize]
    }

    pub(crate) fn text(&self, id: Id) -> Option<&Rc<str>> {
        match self.get(id) {
            Value::Text(text) => Some(text),
            _ => None,
        }
    }

    /// Lists and tuples.
    pub(crate) fn items(&self, id: Id) -> Option<&[Id]> {
        match self.get(id) {
            Value::List(items) | Value::Tuple(items) => Some(items),
            _ => None,
        }
    }

    pub(crate) fn entries(&self, id: Id) -> Option<&[(Id, Id)]> {
        match self.get(id) {
            Value::Dict(dict) => Some(&dict.entries),
            _ => None,
        }
    }

    /// All storages that are named.
    pub(crate) fn storages(&self) -> impl Iterator<Item = &Storage> {
        self.values.iter().filter_map(|value| match value {
            Value::Storage(storage) => Some(&**storage),
            _ => None,
        })
    }

    fn key(&self, id: Id) -> Result<Key, String> {
        Ok(match self.get(id) {
            Value::Text(text) => Key::Text(Rc::clone(text)),
            Value::Int(number) => Key::Int(*number),
            Value::Float(number) => Key::Float(number.to_bits()),
            Value::Bytes(bytes) | Value::Long(bytes) => Key::Bytes(Arc::clone(bytes)),
            Value::None
            | Value::Bool(_)
            | Value::Tuple(_)
            | Value::Global(_)
            | Value::Scalar(..)
            | Value::Dtype(..)
            | Value::Plain(_) => Key::Other(id),
            other => return Err(format!("{} as a key of a dict", other.what())),
        })
    }

    /// Adds an entry to a dict.
    pub(crate) fn put(&mut self, dict: Id, key: Id, value: Id) -> Result<(), String> {
        let mark = self.key(key)?;
        let Value::Dict(dict) = self.get_mut(dict) else {
            return Err(format!("an entry for {}, expected a dict", self.get(dict).what()));
        };
        if !dict.keys.insert(mark) {
            let name = self.text(key).map(|t| super::shown(t)).unwrap_or_default();
            return Err(format!("key `{name}` stands twice in a dict"));
        }
        dict.entries.push((key, value));
        Ok(())
    }

    /// Refuses values that contain themselves or lie too deep.
    pub(crate) fn check(&self, root: Id) -> Result<(), String> {
        const OPEN: u8 = 1;
        const DONE: u8 = 2;
        let mut state = vec![0u8; self.values.len()];
        let mut path = vec![(root, 0usize)];
        state[root.0 as usize] = OPEN;
        while let Some((id, next)) = path.last_mut() {
            let Some(child) = self.child(*id, *next) else {
                state[id.0 as usize] = DONE;
                path.pop();
                continue;
            };
            *next += 1;
            match state[child.0 as usize] {
                OPEN => return Err(format!("{} contains itself", self.get(child).what())),
                DONE => {}
                _ if path.len() == MAX_DEPTH => {
                    return Err(format!("values lie more than {MAX_DEPTH} deep in each other"));
                }
                _ => {
                    state[child.0 as usize] = OPEN;
                    path.push((child, 0));
                }
            }
        }
        Ok(())
    }

    fn child(&self, id: Id, index: usize) -> Option<Id> {
        match self.get(id) {
            Value::List(items) | Value::Tuple(items) => items.get(index).copied(),
            Value::Dict(dict) => {
                let (key, value) = dict.entries.get(index / 2)?;
                Some(if index.is_multiple_of(2) { *key } else { *value })
            }
            _ => None,
        }
    }
}
