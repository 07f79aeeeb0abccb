//! The names that a pickle may mention, and what each makes of its arguments. No other name is looked at.

use std::rc::Rc;
use std::sync::Arc;

use tch::Kind;

use super::value::{ArrayRef, Dict, Heap, Id, Storage, TensorRef, Value};

/// A name of the allow-list, by what it makes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Global {
    /// A dict from nothing, pairs or a dict.
    Dict,
    /// A dict that has a type for its missing values.
    DefaultDict,
    /// A tensor over a storage.
    Tensor,
    /// A parameter around a tensor.
    Parameter,
    /// A tensor with attributes.
    TensorOfType,
    /// `torch.FloatStorage` and the like: names a storage's element type, makes nothing.
    Storage(Kind),
    /// `torch.Size`.
    Size,
    /// Data that weights do not need and that only holds its arguments.
    Plain(&'static str),
    /// A text as bytes, as protocol 2 writes them.
    Encode,
    /// An array of NumPy's, whose values come as its attributes.
    Array,
    /// NumPy's element type.
    Dtype,
    /// A number of NumPy's.
    Scalar,
    /// A type that is only mentioned.
    Mention,
}

/// Looks a name up in the allow-list.
pub(super) fn find(module: &str, name: &str) -> Option<Global> {
    Some(match (module, name) {
        ("collections", "OrderedDict" | "Counter") => Global::Dict,
        ("collections", "defaultdict") => Global::DefaultDict,
        (
            "lightning_fabric.utilities.data"
            | "lightning.fabric.utilities.data"
            | "pytorch_lightning.utilities.parsing",
            "AttributeDict",
        ) => Global::Dict,
        ("torch._utils", "_rebuild_tensor" | "_rebuild_tensor_v2") => Global::Tensor,
        ("torch._utils", "_rebuild_parameter" | "_rebuild_parameter_with_state") => Global::Parameter,
        ("torch._tensor", "_rebuild_from_type_v2") => Global::TensorOfType,
        ("torch" | "torch.cuda" | "torch.storage", _) if storage(name).is_some() => {
            Global::Storage(storage(name)?)
        }
        ("torch", "Size") => Global::Size,
        ("torch", "device") => Global::Plain("a device"),
        ("torch", name) if DTYPES.contains(&name) => Global::Mention,
        ("torch", "Tensor") | ("torch.nn.parameter", "Parameter") => Global::Mention,
        ("numpy.core.multiarray" | "numpy._core.multiarray", "scalar") => Global::Scalar,
        ("numpy.core.multiarray" | "numpy._core.multiarray", "_reconstruct") => Global::Array,
        ("numpy", "ndarray") => Global::Mention,
        ("numpy", "dtype") => Global::Dtype,
        ("_codecs", "encode") => Global::Encode,
        ("builtins" | "__builtin__", "set" | "frozenset") => Global::Plain("a set"),
        ("builtins" | "__builtin__", "complex") => Global::Plain("a number"),
        ("builtins" | "__builtin__", "bytearray") => Global::Plain("bytes"),
        ("builtins" | "__builtin__", "bool" | "dict" | "float" | "int" | "list" | "str" | "tuple") => {
            Global::Mention
        }
        ("argparse", "Namespace") => Global::Plain("options"),
        ("pathlib" | "pathlib._local", "PosixPath" | "WindowsPath" | "PurePosixPath" | "PureWindowsPath") => {
            Global::Plain("a path")
        }
        (
            "pytorch_lightning.callbacks.model_checkpoint" | "lightning.pytorch.callbacks.model_checkpoint",
            "ModelCheckpoint",
        )
        | (
            "pytorch_lightning.callbacks.early_stopping" | "lightning.pytorch.callbacks.early_stopping",
            "EarlyStopping",
        ) => Global::Mention,
        _ => return None,
    })
}

/// Element types by their PyTorch names.
const DTYPES: [&str; 18] = [
    "float64",
    "float32",
    "float16",
    "bfloat16",
    "complex64",
    "complex128",
    "int64",
    "int32",
    "int16",
    "int8",
    "uint8",
    "bool",
    "double",
    "float",
    "half",
    "long",
    "int",
    "short",
];

fn storage(name: &str) -> Option<Kind> {
    Some(match name.strip_suffix("Storage")? {
        "Double" => Kind::Double,
        "Float" => Kind::Float,
        "Half" => Kind::Half,
        "BFloat16" => Kind::BFloat16,
        "ComplexDouble" => Kind::ComplexDouble,
        "ComplexFloat" => Kind::ComplexFloat,
        "Long" => Kind::Int64,
        "Int" => Kind::Int,
        "Short" => Kind::Int16,
        "Char" => Kind::Int8,
        "Byte" | "Untyped" => Kind::Uint8,
        "Bool" => Kind::Bool,
        _ => return None,
    })
}

/// What `callee(*args)` makes, for a callee of the allow-list.
pub(super) fn call(heap: &mut Heap, callee: Id, args: Id) -> Result<Value, String> {
    let Value::Global(global) = *heap.get(callee) else {
        return Err(format!("calls {}", heap.get(callee).what()));
    };
    let Value::Tuple(args) = heap.get(args) else {
        return Err("arguments that are no tuple".into());
    };
    let args = args.clone();
    heap.copying(args.len())?;
    apply(heap, global, &args)
}

fn apply(heap: &mut Heap, global: Global, args: &[Id]) -> Result<Value, String> {
    match global {
        Global::Dict => dict(heap, args),
        Global::DefaultDict => {
            let harmless = |id: &Id| {
                matches!(
                    heap.get(*id),
                    Value::None | Value::Global(Global::Mention | Global::Dict)
                )
            };
            match args {
                [] => dict(heap, &[]),
                [factory, rest @ ..] if harmless(factory) => dict(heap, rest),
                _ => Err("a defaultdict of something else than a plain type".into()),
            }
        }
        Global::Tensor => tensor(heap, args).map(|t| Value::Tensor(Rc::new(t))),
        Global::Parameter => match args.first().map(|id| heap.get(*id)) {
            Some(Value::Tensor(inner)) => Ok(Value::Tensor(Rc::clone(inner))),
            _ => Err("a parameter without a tensor".into()),
        },
        Global::TensorOfType => of_type(heap, args),
        Global::Size => {
            let sizes = args.first().and_then(|id| heap.items(*id));
            let sizes = sizes.ok_or("a size that is no list of numbers")?.to_vec();
            heap.copying(sizes.len())?;
            Ok(Value::Tuple(sizes))
        }
        Global::Plain(what) => Ok(Value::Plain(what)),
        Global::Encode => encode(heap, args),
        Global::Array => Ok(Value::Array(None)),
        Global::Dtype => Ok(match args.first().and_then(|id| heap.text(*id)) {
            Some(letters) => Value::Dtype(letters.as_ref().into(), false),
            None => Value::Plain("an element type"),
        }),
        Global::Scalar => Ok(scalar(heap, args)),
        Global::Storage(_) | Global::Mention => Err("calls a name that is only mentioned in weights".into()),
    }
}

/// A number of NumPy's from its type and its bytes.
fn scalar(heap: &Heap, args: &[Id]) -> Value {
    let values = args.iter().map(|id| heap.get(*id)).collect::<Vec<_>>();
    match values.as_slice() {
        [Value::Dtype(kind, false), Value::Bytes(bytes)] => {
            Value::Scalar(Arc::clone(kind), Arc::clone(bytes))
        }
        _ => Value::Plain("a number"),
    }
}

/// What the attributes of NumPy's objects make of them: `(version, order, ..)` of an element type, `(version, shape, element
/// type, column by column, bytes)` of an array.
pub(super) fn with_state(heap: &Heap, object: &Value, state: Id) -> Option<Value> {
    let items = heap.items(state)?;
    match object {
        Value::Dtype(kind, _) => {
            let order = heap.text(*items.get(1)?)?;
            Some(Value::Dtype(Arc::clone(kind), &**order == ">"))
        }
        Value::Array(_) => array(heap, items).map(|array| Value::Array(Some(Arc::new(array)))),
        _ => None,
    }
}

fn array(heap: &Heap, items: &[Id]) -> Option<ArrayRef> {
    let &[_, shape, kind, fortran, bytes] = items else {
        return None;
    };
    let size = |n: i64| usize::try_from(n).ok();
    let shape = integers(heap, shape)?
        .into_iter()
        .map(size)
        .collect::<Option<Vec<_>>>()?;
    match (heap.get(kind), heap.get(fortran), heap.get(bytes)) {
        (Value::Dtype(kind, false), Value::Bool(fortran), Value::Bytes(bytes)) => Some(ArrayRef {
            kind: Arc::clone(kind),
            shape,
            fortran: *fortran,
            bytes: Arc::clone(bytes),
        }),
        _ => None,
    }
}

/// Protocol 2's bytes: a text in `latin1`, one byte a character.
fn encode(heap: &mut Heap, args: &[Id]) -> Result<Value, String> {
    let text = args.first().and_then(|id| heap.text(*id));
    let text = Rc::clone(text.ok_or("bytes that are no text")?);
    // A list's item takes some tens of bytes.
    heap.copying(text.len() / 64)?;
    let bytes: Result<Vec<u8>, _> = text.chars().map(|c| u8::try_from(u32::from(c))).collect();
    let bytes = bytes.map_err(|_| "bytes with a character beyond 255")?;
    Ok(Value::Bytes(bytes.into()))
}

fn dict(heap: &mut Heap, args: &[Id]) -> Result<Value, String> {
    let entries = match args {
        [] => Vec::new(),
        [only] => match heap.get(*only) {
            Value::Dict(dict) => dict.entries.clone(),
            Value::List(pairs) | Value::Tuple(pairs) => pairs
                .iter()
                .map(|pair| match heap.items(*pair) {
                    Some([key, value]) => Ok((*key, *value)),
                    _ => Err("a dict from something else than pairs"),
                })
                .collect::<Result<_, _>>()?,
            other => return Err(format!("a dict from {}", other.what())),
        },
        more => return Err(format!("a dict from {} arguments", more.len())),
    };
    heap.copying(entries.len())?;
    let made = heap.add(Value::Dict(Box::default()));
    for (key, value) in entries {
        heap.put(made, key, value)?;
    }
    Ok(std::mem::replace(heap.get_mut(made), Value::None))
}

fn of_type(heap: &mut Heap, args: &[Id]) -> Result<Value, String> {
    let [function, _, inner, ..] = args else {
        return Err("a tensor with attributes without its arguments".into());
    };
    let global = match heap.get(*function) {
        Value::Global(global @ (Global::Tensor | Global::Parameter)) => *global,
        other => return Err(format!("a tensor made by {}", other.what())),
    };
    let inner = heap
        .items(*inner)
        .ok_or("a tensor's arguments that are no tuple")?;
    let inner = inner.to_vec();
    heap.copying(inner.len())?;
    apply(heap, global, &inner)
}

fn tensor(heap: &mut Heap, args: &[Id]) -> Result<TensorRef, String> {
    let [storage, offset, shape, strides, ..] = args else {
        return Err(format!("a tensor from {} arguments", args.len()));
    };
    let Value::Storage(storage) = heap.get(*storage) else {
        return Err(format!("a tensor over {}", heap.get(*storage).what()));
    };
    let Value::Int(offset) = heap.get(*offset) else {
        return Err(format!("{} as a tensor's offset", heap.get(*offset).what()));
    };
    let tensor = TensorRef {
        storage: Rc::clone(storage),
        offset: *offset,
        shape: integers(heap, *shape).ok_or("a tensor's shape that is no tuple of integers")?,
        strides: integers(heap, *strides).ok_or("a tensor's strides that are no tuple of integers")?,
    };
    heap.copying(tensor.shape.len() + tensor.strides.len())?;
    Ok(tensor)
}

fn integers(heap: &Heap, id: Id) -> Option<Vec<i64>> {
    let integer = |id: &Id| match heap.get(*id) {
        Value::Int(number) => Some(*number),
        _ => None,
    };
    heap.items(id)?.iter().map(integer).collect()
}

/// `cls.__new__(cls, *args)` for the classes whose objects are dicts or plain data.
pub(super) fn object(heap: &mut Heap, class: Id, args: Id) -> Result<Value, String> {
    match heap.get(class) {
        Value::Global(Global::Dict) => Ok(Value::Dict(Box::<Dict>::default())),
        Value::Global(Global::Plain(_) | Global::Dtype) => call(heap, class, args),
        other => Err(format!("an object of {}", other.what())),
    }
}

/// The storage that a persistent id names: `("storage", type, key, device, elements[, view])`.
pub(super) fn persistent(heap: &Heap, id: Id) -> Result<Storage, String> {
    let items = heap.items(id).unwrap_or_default();
    let first = items.first().and_then(|id| heap.text(*id));
    let [_, class, key, _, numel, rest @ ..] = items else {
        return Err(other_id(first));
    };
    if first.is_none_or(|word| &**word != "storage") {
        return Err(other_id(first));
    }
    let Value::Global(Global::Storage(kind)) = heap.get(*class) else {
        return Err("a storage of no known element type".into());
    };
    let count = |id: &Id| match heap.get(*id) {
        Value::Int(n) => u64::try_from(*n).map_err(|_| "a storage of negative size".to_owned()),
        other => Err(format!("{} as the size of a storage", other.what())),
    };
    let view = match rest.first().map(|id| heap.get(*id)) {
        None | Some(Value::None) => None,
        Some(Value::Tuple(view)) => match view.as_slice() {
            [_, offset, numel] => Some((count(offset)?, count(numel)?)),
            _ => return Err("a view of a storage that is no triple".into()),
        },
        Some(other) => return Err(format!("{} as the view of a storage", other.what())),
    };
    Ok(Storage {
        kind: *kind,
        key: Rc::clone(heap.text(*key).ok_or("a storage whose key is no text")?),
        numel: count(numel)?,
        view,
    })
}

fn other_id(word: Option<&Rc<str>>) -> String {
    match word {
        Some(word) => format!(
            "a persistent id of kind `{}`, expected `storage`",
            super::shown(word)
        ),
        None => "a persistent id that is no storage".into(),
    }
}
