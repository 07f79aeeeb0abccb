//! Rust objects as tables.

mod adapter;
mod aligner;
mod config;
mod dataset;
mod encoder;
mod simple;

use std::ffi::c_void;

use szar_core::{Error, NamedTensors, Result};
use szar_plugin_abi::{self as abi, Args, Named, Out, Status, Str};
use tch::Tensor;

pub use adapter::{ADAPTER, ADAPTER_SNAPSHOT};
pub use aligner::{ALIGNER, LentAligner};
pub use config::{COMPONENTS, listed};
pub use dataset::DATASET;
pub use encoder::{ENCODER, LentEncoder, LentSequences};
pub use simple::OBJECT;
#[cfg(test)]
pub(crate) use simple::Simple;

use crate::collect::quietly;
use crate::out::{Sink, guard};
use crate::tensor;

/// The arguments of a call, read.
pub(crate) struct Given<'a> {
    pub json: &'a str,
    tensors: &'a [Named],
    pub anchors: *const abi::Anchors,
    pub work: Option<&'a abi::Work>,
}

impl<'a> Given<'a> {
    /// # Safety
    /// The table is null or valid for `'a`.
    pub unsafe fn read(args: *const Args) -> Result<Self> {
        // SAFETY: promised by the caller.
        let Some(args) = (unsafe { args.as_ref() }) else {
            return Ok(Self {
                json: "",
                tensors: &[],
                anchors: std::ptr::null(),
                work: None,
            });
        };
        // SAFETY: what the table points at is readable during the call.
        unsafe {
            Ok(Self {
                json: args
                    .json
                    .get()
                    .ok_or_else(|| Error::Input("a text is not UTF-8".into()))?,
                tensors: list(args.tensors, args.count),
                anchors: args.anchors,
                work: args.work.as_ref(),
            })
        }
    }

    /// Tensors by name, each of our own.
    pub fn named(&self) -> Result<NamedTensors> {
        named(self.tensors)
    }

    /// One of them.
    pub fn tensor(&self, name: &str) -> Result<Tensor> {
        self.optional(name)?
            .ok_or_else(|| Error::Missing(format!("tensor `{name}`")))
    }

    /// One of them, if it is there.
    pub fn optional(&self, name: &str) -> Result<Option<Tensor>> {
        // SAFETY: names and handles are valid during the call.
        let found = self
            .tensors
            .iter()
            .find(|n| unsafe { n.name.get() } == Some(name));
        // SAFETY: as above.
        Ok(found.and_then(|n| unsafe { tensor::borrow(n.tensor) }))
    }
}

/// # Safety
/// `items` points at `count` readable values that outlive `'a`, or `count` is 0.
pub(crate) unsafe fn list<'a, T>(items: *const T, count: usize) -> &'a [T] {
    match count == 0 || items.is_null() {
        true => &[],
        // SAFETY: promised by the caller.
        false => unsafe { std::slice::from_raw_parts(items, count) },
    }
}

/// Tensors by name, each of our own.
pub(crate) fn named(tensors: &[Named]) -> Result<NamedTensors> {
    let one = |named: &Named| {
        // SAFETY: names and handles are valid during the call.
        let (name, tensor) = unsafe { (named.name.get(), tensor::borrow(named.tensor)) };
        match (name, tensor) {
            (Some(name), Some(tensor)) => Ok((name.to_owned(), tensor)),
            _ => Err(Error::Input(
                "a named tensor is null, or its name is not UTF-8".into(),
            )),
        }
    };
    tensors.iter().map(one).collect()
}

/// Gives all tensors of a state.
pub(crate) fn give_all(sink: Sink<'_>, state: NamedTensors) {
    for (name, tensor) in state {
        sink.tensor(&name, tensor);
    }
}

/// An object of Rust behind a pointer.
pub(crate) fn boxed<T>(object: T) -> *mut c_void {
    Box::into_raw(Box::new(object)).cast()
}

/// # Safety
/// `object` was made by [`boxed`] of the same type and is not used afterwards.
pub(crate) unsafe extern "C" fn drop_boxed<T>(object: *mut c_void) {
    if !object.is_null() {
        let free = || {
            // SAFETY: promised by the caller.
            drop(unsafe { Box::from_raw(object.cast::<T>()) });
        };
        if quietly(free).is_none() {
            tracing::warn!("an object panicked while it was dropped");
        }
    }
}

/// As [`dispatch`], for objects that several threads may use at once, or that are only lent.
///
/// # Safety
/// As [`dispatch`].
pub(crate) unsafe fn dispatch_shared<T>(
    object: *mut c_void,
    method: Str,
    args: *const Args,
    out: *const Out,
    run: impl FnOnce(&T, &str, &Given<'_>, Sink<'_>) -> Result<Status>,
) -> Status {
    // SAFETY: promised by the caller.
    unsafe {
        guard(out, |sink| {
            let object = object.cast::<T>().cast_const().as_ref();
            let object = object.ok_or_else(|| Error::Missing("the object of the call".into()))?;
            let method = method
                .get()
                .ok_or_else(|| Error::Input("a text is not UTF-8".into()))?;
            run(object, method, &Given::read(args)?, sink)
        })
    }
}

/// The body of `call` for objects of type `T`.
///
/// # Safety
/// As the boundary promises: the object is one of [`boxed`] and this type, the tables live during the call.
pub(crate) unsafe fn dispatch<T>(
    object: *mut c_void,
    method: Str,
    args: *const Args,
    out: *const Out,
    run: impl FnOnce(&mut T, &str, &Given<'_>, Sink<'_>) -> Result<Status>,
) -> Status {
    // SAFETY: promised by the caller.
    unsafe {
        guard(out, |sink| {
            let object = object.cast::<T>().as_mut();
            let object = object.ok_or_else(|| Error::Missing("the object of the call".into()))?;
            let method = method
                .get()
                .ok_or_else(|| Error::Input("a text is not UTF-8".into()))?;
            run(object, method, &Given::read(args)?, sink)
        })
    }
}
