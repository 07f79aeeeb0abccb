//! The caller's side of a call: receives results, and sees to it that the called side kept to the rules.

use std::any::Any;
use std::ffi::c_void;
use std::panic::{AssertUnwindSafe, catch_unwind};

use serde::de::DeserializeOwned;
use szar_core::{NamedTensors, Result};
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

    /// All tensors, as a state.
    ///
    /// # Errors
    /// When two bear one name, or one has none or no values: it could not be given back as it was.
    pub fn named(self) -> Result<NamedTensors, String> {
        let mut all = NamedTensors::new();
        for (name, tensor) in self.tensors {
            if name.is_empty() {
                return Err("gave a tensor without a name".into());
            }
            if !tensor.defined() {
                return Err(format!("gave an empty handle as `{name}`"));
            }
            if all.insert(name.clone(), tensor).is_some() {
                return Err(format!("gave two tensors named `{name}`"));
            }
        }
        Ok(all)
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

/// A tensor that was lent and may still be held, and its version then.
#[derive(Debug)]
pub(crate) struct Watched {
    pub name: String,
    pub tensor: Tensor,
    pub version: i64,
}

impl Watched {
    /// What was done to it since, against the rules.
    pub fn misuse(&self) -> Option<String> {
        (version(&self.tensor) != self.version).then(|| written(&self.name))
    }
}

fn written(what: &str) -> String {
    format!(
        "wrote into `{what}`, which was only lent to it; it must write into a copy (`copy()`), since others read the \
         same memory"
    )
}

/// A tensor that is lent for a call, and what it was like before.
#[derive(Debug)]
struct Loan<'a> {
    what: &'a str,
    tensor: &'a Tensor,
    version: i64,
    learns: bool,
}

/// How often a tensor was written to, all that share its memory together.
pub(crate) fn version(tensor: &Tensor) -> i64 {
    tensor.f_internal_version().unwrap_or(0)
}

impl Loan<'_> {
    /// What the called side did to it, against the rules.
    fn misuse(&self) -> Option<String> {
        let what = self.what;
        if version(self.tensor) != self.version {
            return Some(written(what));
        }
        if self.tensor.requires_grad() != self.learns {
            return Some(format!(
                "changed `requires_grad` of `{what}`, which was only lent to it; it must do so on `detach()` of it"
            ));
        }
        None
    }
}

/// Receives the results of one call.
#[derive(Debug, Default)]
pub struct Collector<'a> {
    collected: Collected,
    error: Option<String>,
    /// Something was given that nobody can take.
    unusable: Option<String>,
    loans: Vec<Loan<'a>>,
}

impl<'a> Collector<'a> {
    /// Of a call that is lent these tensors, each by what messages call it.
    pub fn lending(tensors: impl IntoIterator<Item = (&'a str, &'a Tensor)>) -> Self {
        let mut own = Self::default();
        for (what, tensor) in tensors {
            own = own.lend_since(what, tensor, version(tensor));
        }
        own
    }

    /// One more, which was lent when its version was this.
    pub(crate) fn lend_since(mut self, what: &'a str, tensor: &'a Tensor, version: i64) -> Self {
        self.loans.push(Loan {
            what,
            tensor,
            version,
            learns: tensor.requires_grad(),
        });
        self
    }

    /// Calls with an [`Out`] that fills this collector. Whether gradients are recorded is as it was, afterwards.
    ///
    /// # Errors
    /// [`Failure`] as the status says; when the called side wrote into what it was lent, or gave what is unusable.
    pub fn run(mut self, call: impl FnOnce(*const Out) -> Status) -> Result<Collected, Failure> {
        let out = Out {
            size: size_of::<Out>(),
            context: (&raw mut self).cast(),
            text: on_text,
            tensor: on_tensor,
            error: on_error,
        };
        let mode = GradMode::keep();
        let status = call(&raw const out);
        drop(mode);
        if let Some(why) = self.loans.iter().find_map(Loan::misuse) {
            return Err(Failure::Because(why));
        }
        match (status, self.unusable) {
            (abi::OK, None) => Ok(self.collected),
            (abi::OK, Some(why)) => Err(Failure::Because(why)),
            (abi::CANCELLED, _) => Err(Failure::Cancelled),
            (abi::UNSUPPORTED, _) => Err(Failure::Unsupported),
            (abi::FAILED, unusable) => Err(Failure::Because(
                self.error
                    .or(unusable)
                    .unwrap_or_else(|| "failed without a reason".into()),
            )),
            (other, _) => Err(Failure::Because(format!("returned the unknown status {other}"))),
        }
    }

    fn spoilt(&mut self, why: impl Into<String>) {
        self.unusable.get_or_insert(why.into());
    }

    fn take(&mut self, name: Option<&str>, handle: abi::Tensor) {
        // What is not the called side's to give away is not ours to free.
        if self.loans.iter().any(|loan| tensor::lend(loan.tensor) == handle) {
            return self.spoilt(
                "gave away a handle that was only lent to it; `aoti_torch_new_tensor_handle` makes one to give",
            );
        }
        let mut given = self.collected.tensors.iter();
        if given.any(|(_, given)| tensor::lend(given) == handle) {
            return self.spoilt("gave one handle twice; `aoti_torch_new_tensor_handle` makes another");
        }
        // SAFETY: the handle is given away.
        match (name, unsafe { tensor::take(handle) }) {
            (Some(name), Some(tensor)) => self.collected.tensors.push((name.to_owned(), tensor)),
            (_, None) => self.spoilt("gave null instead of a tensor"),
            (None, _) => self.spoilt("gave a tensor whose name is not UTF-8"),
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

unsafe extern "C" {
    fn aoti_torch_grad_mode_is_enabled() -> bool;
    fn aoti_torch_grad_mode_set_enabled(enabled: bool);
}

/// Puts back on drop whether gradients are recorded.
struct GradMode(bool);

impl GradMode {
    fn keep() -> Self {
        // SAFETY: reads a flag of this thread.
        Self(unsafe { aoti_torch_grad_mode_is_enabled() })
    }
}

impl Drop for GradMode {
    fn drop(&mut self) {
        // SAFETY: sets a flag of this thread.
        unsafe { aoti_torch_grad_mode_set_enabled(self.0) }
    }
}

/// Runs what must not unwind into a caller of another language; `None` when it panicked.
pub(crate) fn quietly<T>(body: impl FnOnce() -> T) -> Option<T> {
    match catch_unwind(AssertUnwindSafe(body)) {
        Ok(value) => Some(value),
        Err(payload) => {
            discard(payload);
            None
        }
    }
}

/// Frees what a panic carried. Only a text is sure not to panic again while it is dropped; all else is left where it is.
pub(crate) fn discard(payload: Box<dyn Any + Send>) {
    if !payload.is::<String>() && !payload.is::<&str>() {
        std::mem::forget(payload);
    }
}

unsafe extern "C" fn on_text(context: *mut c_void, text: Str) {
    quietly(|| {
        // SAFETY: `context` is the collector of the call that is running, and the text is readable during it.
        let (own, text) = unsafe { (&mut *context.cast::<Collector<'_>>(), text.get()) };
        match text {
            Some(text) => own.collected.text = Some(text.to_owned()),
            None => own.spoilt("gave a text that is not UTF-8"),
        }
    });
}

unsafe extern "C" fn on_tensor(context: *mut c_void, name: Str, handle: abi::Tensor) {
    quietly(|| {
        // SAFETY: as in `on_text`.
        let (own, name) = unsafe { (&mut *context.cast::<Collector<'_>>(), name.get()) };
        own.take(name, handle);
    });
}

unsafe extern "C" fn on_error(context: *mut c_void, message: Str) {
    quietly(|| {
        // SAFETY: as in `on_text`.
        let (own, message) = unsafe { (&mut *context.cast::<Collector<'_>>(), message.get()) };
        own.error = Some(message.unwrap_or("a reason that is not UTF-8").to_owned());
    });
}

#[cfg(test)]
mod tests {
    use super::*;
    use tch::kind::FLOAT_CPU;

    fn failure(result: Result<Collected, Failure>) -> String {
        result.map(|_| ()).unwrap_err().words()
    }

    #[test]
    fn a_write_into_what_is_lent_is_noticed_through_a_view() {
        let (base, own) = (Tensor::zeros([4], FLOAT_CPU), Tensor::zeros([4], FLOAT_CPU));
        let view = base.narrow(0, 1, 2);
        let call = |tensor: &Tensor| {
            let mut tensor = tensor.shallow_clone();
            Collector::lending([("features", &view)]).run(|_| {
                let _ = tensor.f_add_scalar_(1.0);
                abi::OK
            })
        };
        assert!(call(&own).is_ok());
        assert!(failure(call(&base)).starts_with("wrote into `features`"));
        assert!(failure(call(&view)).starts_with("wrote into `features`"));
    }

    #[test]
    fn lent_and_twice_given_handles_are_refused_and_not_freed() {
        let lent = Tensor::zeros([2], FLOAT_CPU);
        let give = |first: abi::Tensor, second: abi::Tensor| {
            Collector::lending([("scores", &lent)]).run(|out| {
                // SAFETY: the table lives during the call, the handles are those of the cases below.
                unsafe {
                    ((*out).tensor)((*out).context, Str::new("a"), first);
                    ((*out).tensor)((*out).context, Str::new("b"), second);
                }
                abi::OK
            })
        };
        let handle = tensor::give(Tensor::zeros([1], FLOAT_CPU));
        assert!(failure(give(handle, handle)).contains("twice"));
        let handle = tensor::give(Tensor::zeros([1], FLOAT_CPU));
        assert!(failure(give(handle, tensor::lend(&lent))).contains("only lent"));
        let handle = tensor::give(Tensor::zeros([1], FLOAT_CPU));
        assert!(failure(give(handle, std::ptr::null_mut())).contains("null"));
        assert_eq!(lent.size(), [2]);
    }

    #[test]
    fn the_mode_of_gradients_is_put_back() {
        let learns = |x: &Tensor| (x + 1.0).requires_grad();
        let x = Tensor::zeros([1], FLOAT_CPU).set_requires_grad(true);
        let left = Collector::default().run(|_| {
            std::mem::forget(tch::no_grad_guard());
            abi::OK
        });
        assert!(left.is_ok() && learns(&x));
    }
}
