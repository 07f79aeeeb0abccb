//! The called side of a call: gives results, and lets nothing unwind.

use std::panic::{AssertUnwindSafe, catch_unwind};

use serde::Serialize;
use szar_core::{Error, Result};
use szar_plugin_abi::{self as abi, Out, Status, Str};
use tch::Tensor;

use crate::collect::discard;
use crate::tensor;

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
            discard(payload);
            abi::FAILED
        }
    }
}
