//! Tables as Rust objects.

mod adapter;
mod aligner;
mod borrowed;
mod dataset;
mod encoder;
mod simple;
mod work;

use std::ffi::c_void;
use std::ptr::NonNull;
use std::sync::Arc;

use szar_core::{Error, NamedTensors, Result, SemanticAnchors};
use szar_plugin_abi::{self as abi, Args, Named, Object, Out, Status, Str};
use tch::Tensor;

pub use adapter::ForeignAdapter;
pub use aligner::{BorrowedAligner, ForeignAligner};
pub use borrowed::{BorrowedEncoder, BorrowedSequences};
pub use dataset::ForeignDataset;
pub use encoder::ForeignEncoder;
pub use simple::{ForeignGate, ForeignSemantics, ForeignTexts};
pub use work::{LentWork, Surroundings};

pub use crate::wire::{Facts, Input, Listed, Problem, Surroundings as BuildWith};

use crate::collect::{Collected, Collector, Failure};
use crate::lend::Lent;
use crate::tensor;

/// Whose object it is, for messages.
#[derive(Debug)]
pub struct Who {
    /// Name of the plugin; empty for the host, seen from a plugin.
    pub plugin: String,
    /// Kind and name of the component.
    pub component: String,
}

impl Who {
    /// The host, as a plugin sees it.
    pub fn host() -> Self {
        Self {
            plugin: String::new(),
            component: String::new(),
        }
    }

    /// A failure of `call`.
    pub fn error(&self, call: &str, why: impl Into<String>) -> Error {
        let why = why.into();
        if self.plugin.is_empty() {
            return Error::Input(why);
        }
        Error::Plugin {
            plugin: self.plugin.clone(),
            component: self.component.clone(),
            call: call.to_owned(),
            why,
        }
    }

    /// The result of a call; an unknown method is `None`.
    pub fn settle(&self, call: &str, result: Result<Collected, Failure>) -> Result<Option<Collected>> {
        match result {
            Ok(collected) => Ok(Some(collected)),
            Err(Failure::Unsupported) => Ok(None),
            Err(Failure::Cancelled) => Err(self.error(call, "stopped, though nobody asked it to")),
            Err(Failure::Because(why)) => Err(self.error(call, why)),
        }
    }

    /// A tensor of floating-point values that tch can work with, of any shape and on any device.
    pub fn sound(&self, call: &str, tensor: Result<Tensor, String>) -> Result<Tensor> {
        let tensor = self.dense(call, tensor)?;
        match tensor.f_kind() {
            Ok(tch::Kind::Float | tch::Kind::Half | tch::Kind::BFloat16 | tch::Kind::Double) => Ok(tensor),
            Ok(kind) => Err(self.error(
                call,
                format!("gave values of kind {kind:?}, expected floating point"),
            )),
            Err(_) => Err(self.error(call, "gave values of an unknown kind, expected floating point")),
        }
    }

    /// A tensor with values of any kind in plain memory.
    pub fn dense(&self, call: &str, tensor: Result<Tensor, String>) -> Result<Tensor> {
        let tensor = tensor.map_err(|why| self.error(call, why))?;
        if !tensor.defined() {
            return Err(self.error(call, "gave an empty handle"));
        }
        match tensor::is_plain(&tensor) {
            true => Ok(tensor),
            false => Err(self.error(
                call,
                "gave a tensor without values in plain memory (sparse, or on the `meta` device)",
            )),
        }
    }

    /// A tensor of a shape, on the device where it belongs, of floating-point values.
    pub fn checked<const D: usize>(
        &self,
        call: &str,
        tensor: Result<Tensor, String>,
        want: [Option<i64>; D],
        device: tch::Device,
    ) -> Result<Tensor> {
        let tensor = self.sound(call, tensor)?;
        if let Err(error) = szar_core::shape::expect("result", &tensor, want) {
            return Err(self.error(call, error.to_string()));
        }
        if tensor.device() != device {
            let found = tensor.device();
            return Err(self.error(
                call,
                format!("gave a tensor on {found:?}, the data is on {device:?}"),
            ));
        }
        Ok(tensor)
    }
}

/// An object of the other side that is ours to free.
#[derive(Debug)]
pub struct Handle {
    object: NonNull<c_void>,
    table: &'static Object,
    /// Whose it is.
    pub who: Arc<Who>,
}

// SAFETY: the boundary allows an object to be used by one thread after another.
unsafe impl Send for Handle {}
// SAFETY: shared use happens for configurations and datasets only, which the boundary allows.
unsafe impl Sync for Handle {}

impl Drop for Handle {
    fn drop(&mut self) {
        // SAFETY: the object is ours and is not used again.
        unsafe { (self.table.drop)(self.object.as_ptr()) }
    }
}

/// Arguments of a call by name.
#[derive(Debug, Default)]
pub struct Asked<'a> {
    /// JSON; empty for none.
    pub json: &'a str,
    /// Tensors by name.
    pub tensors: &'a [(&'a str, &'a Tensor)],
    /// Anchors.
    pub anchors: Option<&'a SemanticAnchors>,
    /// Surroundings of a long computation.
    pub work: Option<&'a abi::Work>,
}

/// Calls `call` with these arguments as a table.
fn with_args<T>(asked: &Asked<'_>, call: impl FnOnce(*const Args) -> T) -> Result<T> {
    let named = |(name, tensor): &(&str, &Tensor)| Named {
        name: Str::new(name),
        tensor: tensor::lend(tensor),
    };
    let tensors: Vec<Named> = asked.tensors.iter().map(named).collect();
    let anchors = asked.anchors.map(Lent::anchors).transpose()?;
    let args = Args {
        size: size_of::<Args>(),
        json: Str::new(asked.json),
        tensors: tensors.as_ptr(),
        count: tensors.len(),
        anchors: anchors.as_ref().map_or(std::ptr::null(), Lent::table),
        work: asked.work.map_or(std::ptr::null(), std::ptr::from_ref),
    };
    Ok(call(&raw const args))
}

/// A method of an object by name; `None` when it has none of that name.
///
/// # Safety
/// `object` is a valid object of `table`.
unsafe fn call(
    object: *mut c_void,
    table: &Object,
    who: &Who,
    method: &str,
    asked: &Asked<'_>,
) -> Result<Option<Collected>> {
    let anchors = asked.anchors.map(|anchors| ("anchors", &anchors.values));
    let lent = Collector::lending(asked.tensors.iter().copied().chain(anchors));
    let run = |args: *const Args| {
        // SAFETY: promised by the caller; arguments and results live during the call.
        lent.run(|out| unsafe { (table.call)(object, Str::new(method), args, out) })
    };
    match with_args(asked, run)? {
        // Only who was given surroundings can know that somebody asked.
        Err(Failure::Cancelled) if asked.work.is_some() => Err(Error::Cancelled),
        other => who.settle(method, other),
    }
}

impl Handle {
    /// Takes over an object.
    ///
    /// # Errors
    /// When it is null.
    ///
    /// # Safety
    /// The object belongs to the table, and nobody else frees it.
    pub unsafe fn new(object: *mut c_void, table: &'static Object, who: Arc<Who>) -> Result<Self> {
        match NonNull::new(object) {
            Some(object) => Ok(Self { object, table, who }),
            None => Err(who.error("build", "gave null instead of an object")),
        }
    }

    /// The first argument of its functions.
    pub fn object(&self) -> *mut c_void {
        self.object.as_ptr()
    }

    /// A method by name; `None` when it has none of that name.
    ///
    /// # Errors
    /// As the method.
    pub fn call(&self, method: &str, asked: &Asked<'_>) -> Result<Option<Collected>> {
        // SAFETY: the object is valid until it is dropped.
        unsafe { call(self.object(), self.table, &self.who, method, asked) }
    }

    /// A method that every object of the kind must have.
    ///
    /// # Errors
    /// As the method; when there is none.
    pub fn must(&self, method: &str, asked: &Asked<'_>) -> Result<Collected> {
        let answer = self.call(method, asked)?;
        answer.ok_or_else(|| self.who.error(method, "has no such method"))
    }

    /// A result read as JSON.
    fn json<T: serde::de::DeserializeOwned>(&self, method: &str, answer: &Collected) -> Result<T> {
        answer.json().map_err(|why| self.who.error(method, why))
    }

    /// A function of a table of the kind, by its results.
    fn run(&self, name: &str, run: impl FnOnce(*mut c_void, *const Out) -> Status) -> Result<Collected> {
        self.run_lending(Collector::default(), name, run)
    }

    /// The same, with the tensors that the function is lent.
    fn run_lending(
        &self,
        lent: Collector<'_>,
        name: &str,
        run: impl FnOnce(*mut c_void, *const Out) -> Status,
    ) -> Result<Collected> {
        let answer = lent.run(|out| run(self.object(), out));
        let answer = self.who.settle(name, answer)?;
        answer.ok_or_else(|| self.who.error(name, "is not supported"))
    }

    /// The state, by the method `state`.
    fn state(&self) -> Result<NamedTensors> {
        let answer = self.must("state", &Asked::default())?;
        answer.named().map_err(|why| self.who.error("state", why))
    }

    /// After a fit: what cannot be saved must not look trained.
    fn can_be_saved(&self) -> Result<()> {
        self.state().map(|_| ())
    }

    /// Hands a state over, by the method `load_state`.
    fn load_state(&self, state: &NamedTensors) -> Result<()> {
        if state.is_empty() && !self.state()?.is_empty() {
            return Err(self
                .who
                .error("load_state", "has weights, but those given are none"));
        }
        let tensors: Vec<_> = state
            .iter()
            .map(|(name, tensor)| (name.as_str(), tensor))
            .collect();
        let asked = Asked {
            tensors: &tensors,
            ..Asked::default()
        };
        self.must("load_state", &asked).map(|_| ())
    }
}

/// JSON of a value that always can be written.
fn json(value: &impl serde::Serialize) -> Result<String> {
    serde_json::to_string(value).map_err(|e| Error::Input(format!("as JSON: {e}")))
}
