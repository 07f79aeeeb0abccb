//! Results of calls: collected by the caller, given by the called.

use std::ffi::c_void;
use std::panic::{AssertUnwindSafe, catch_unwind};

use serde::Serialize;
use serde::de::DeserializeOwned;
use szar_core::{Error, NamedTensors, Result};
use szar_plugin_abi::{self as abi, Out, Status, Str};
use tch::Tensor;

use crate::tensor;

/// What a call gave back.
#[derive(Debug, Default)]
pub struct Collected {
    /// The text.
    pub text: Option<String>,
    /// Tensors by name, in order.
    pub tensors: Vec<(String, Tensor)>,
    error: Option<String>,
}

impl Collected {
    /// The tensor of a name.
    ///
    /// # Errors
    /// Why it is not there.
    pub fn tensor(&mut self, name: &str) -> Result<Tensor, String> {
        let at = self.tensors.iter().position(|(n, _)| n == name);
        at.map(|at| self.tensors.swap_remove(at).1)
            .ok_or_else(|| format!("gave no tensor `{name}`"))
    }

    /// All tensors.
    pub fn named(self) -> NamedTensors {
        self.tensors.into_iter().collect()
    }

    /// The text as JSON.
    ///
    /// # Errors
    /// Why it cannot be read.
    pub fn json<T: DeserializeOwned>(&self) -> Result<T, String> {
        let text = self.text.as_deref().ok_or("gave no text")?;
        serde_json::from_str(text).map_err(|e| format!("gave JSON that cannot be read: {e}"))
    }
}

/// Receives the results of one call.
#[derive(Debug, Default)]
pub struct Collector(Collected);

impl Collector {
    /// Calls with an [`Out`] that fills this collector.
    ///
    /// # Errors
    /// [`Failure`] as the status says.
    pub fn run(mut self, call: impl FnOnce(*const Out) -> Status) -> Result<Collected, Failure> {
        let out = Out {
            size: size_of::<Out>(),
            context: (&raw mut self.0).cast(),
            text: on_text,
            tensor: on_tensor,
            error: on_error,
        };
        let status = call(&raw const out);
        match status {
            abi::OK => Ok(self.0),
            abi::CANCELLED => Err(Failure::Cancelled),
            abi::UNSUPPORTED => Err(Failure::Unsupported),
            abi::FAILED => Err(Failure::Because(
                self.0.error.unwrap_or_else(|| "failed without a reason".into()),
            )),
            other => Err(Failure::Because(format!("returned the unknown status {other}"))),
        }
    }
}

/// Why a call gave nothing.
#[derive(Debug)]
pub enum Failure {
    /// It was asked to stop.
    Cancelled,
    /// There is no such method.
    Unsupported,
    /// The reason it gave.
    Because(String),
}

impl Failure {
    /// In words.
    pub fn words(self) -> String {
        match self {
            Self::Cancelled => "it was asked to stop".into(),
            Self::Unsupported => "it has no such function".into(),
            Self::Because(why) => why,
        }
    }
}

/// Runs what must not unwind into a caller of another language.
fn quietly(body: impl FnOnce()) {
    let _ = catch_unwind(AssertUnwindSafe(body));
}

unsafe extern "C" fn on_text(context: *mut c_void, text: Str) {
    quietly(|| {
        // SAFETY: `context` is the collector of the call that is running, and the text is readable during it.
        let (collected, text) = unsafe { (&mut *context.cast::<Collected>(), text.get()) };
        collected.text = text.map(str::to_owned);
    });
}

unsafe extern "C" fn on_tensor(context: *mut c_void, name: Str, handle: abi::Tensor) {
    quietly(|| {
        // SAFETY: as in `on_text`; the handle is given away.
        let (collected, name, tensor) = unsafe {
            (
                &mut *context.cast::<Collected>(),
                name.get(),
                tensor::take(handle),
            )
        };
        match (name, tensor) {
            (Some(name), Some(tensor)) => collected.tensors.push((name.to_owned(), tensor)),
            _ => collected.error = Some("gave a tensor that is null, or whose name is not UTF-8".into()),
        }
    });
}

unsafe extern "C" fn on_error(context: *mut c_void, message: Str) {
    quietly(|| {
        // SAFETY: as in `on_text`.
        let (collected, message) = unsafe { (&mut *context.cast::<Collected>(), message.get()) };
        collected.error = Some(message.unwrap_or("a reason that is not UTF-8").to_owned());
    });
}

/// Where the called side puts its results.
#[derive(Clone, Copy, Debug)]
pub struct Sink<'a>(&'a Out);

impl<'a> Sink<'a> {
    /// # Safety
    /// `out` is null or a table that lives for `'a`.
    pub unsafe fn new(out: *const Out) -> Option<Self> {
        // SAFETY: promised by the caller.
        unsafe { out.as_ref() }.map(Self)
    }

    /// Gives a text.
    pub fn text(self, text: &str) {
        // SAFETY: the table is the caller's, and the text lives.
        unsafe { (self.0.text)(self.0.context, Str::new(text)) }
    }

    /// Gives a value as JSON.
    ///
    /// # Errors
    /// [`Error::Input`] when it cannot be written as JSON.
    pub fn json(self, value: &impl Serialize) -> Result<()> {
        let text = serde_json::to_string(value).map_err(|e| Error::Input(format!("as JSON: {e}")))?;
        self.text(&text);
        Ok(())
    }

    /// Gives a tensor away.
    pub fn tensor(self, name: &str, tensor: Tensor) {
        // SAFETY: the table is the caller's, the name lives, the handle is given away.
        unsafe { (self.0.tensor)(self.0.context, Str::new(name), tensor::give(tensor)) }
    }

    /// Says why the call fails.
    pub fn error(self, message: &str) {
        // SAFETY: the table is the caller's, and the text lives.
        unsafe { (self.0.error)(self.0.context, Str::new(message)) }
    }
}

/// Runs the body of an exported function: errors and panics become a status and a message.
///
/// # Safety
/// `out` is null or a table that lives as long as the call.
pub unsafe fn guard(out: *const Out, body: impl FnOnce(Sink<'_>) -> Result<Status>) -> Status {
    // SAFETY: promised by the caller.
    let Some(sink) = (unsafe { Sink::new(out) }) else {
        return abi::FAILED;
    };
    match catch_unwind(AssertUnwindSafe(|| body(sink))) {
        Ok(Ok(status)) => status,
        Ok(Err(Error::Cancelled)) => abi::CANCELLED,
        Ok(Err(error)) => {
            sink.error(&error.to_string());
            abi::FAILED
        }
        Err(payload) => {
            let text = payload.downcast_ref::<String>().map(String::as_str);
            let text = text.or_else(|| payload.downcast_ref::<&str>().copied());
            sink.error(&format!("panicked: {}", text.unwrap_or("no message")));
            // What a panic carries may panic again while it is dropped.
            quietly(|| drop(payload));
            abi::FAILED
        }
    }
}
