//! The boundary between szar and a plugin: plain C tables, no tensor library.
//!
//! A plugin is a dynamic library that exports one function, [`ENTRY`], which returns a static [`Plugin`]. Everything else is
//! asked for by name and revision through [`Plugin::extension`] (`szar.adapter/1`); null is "I do not have that".
//!
//! # Rules of evolution
//! - Every table begins with its own `size` in bytes, as the side that made it knows it. A reader uses a field only if it
//!   lies inside that size ([`has`]); fields are appended, never moved, removed or given another meaning.
//! - A change that an old reader could misread is a new revision of an extension (`szar.adapter/2`) beside the old one.
//! - [`MINOR`] grows when something is appended, [`MAJOR`] when an old plugin could no longer be understood; the host
//!   takes plugins of its own major version and any minor.
//! - Unknown method names in `call` are answered with [`UNSUPPORTED`], and the caller does without.
//!
//! # Threads, ownership, lifetime
//! - One object is used by one thread at a time, but not always by the same one; configurations and datasets are also read
//!   by several threads at once.
//! - Arguments are borrowed for the duration of the call: strings, tables, and tensor handles. Who wants to keep a tensor
//!   makes a handle of its own (`aoti_torch_new_tensor_handle`). Lent tensors are read only: others read the same memory, and
//!   the host refuses what comes back from a call that wrote into them.
//! - Results go to an [`Out`]: texts are copied during the call; a tensor handle given to it belongs to the receiver, which
//!   frees it (`aoti_torch_delete_tensor_object`).
//! - Each side frees what it made: objects by the `drop` of their table, once; a plugin is never unloaded.
//! - Nothing unwinds across the boundary: panics and exceptions are caught on the side where they happen, reported to the
//!   [`Out`], and returned as [`FAILED`].
//!
//! Tensors are handles of the one libtorch that both sides are linked with (`AtenTensorHandle` of its stable C shim).

#![expect(
    unsafe_code,
    reason = "declares functions that are called across a C boundary"
)]

use std::ffi::c_void;
use std::marker::{PhantomData, PhantomPinned};

/// Grows when older plugins can no longer be understood.
pub const MAJOR: u32 = 1;

/// Grows when something is appended.
pub const MINOR: u32 = 1;

/// Name of the exported function, an [`Entry`].
pub const ENTRY: &str = "szar_plugin_entry";

/// What a call returns.
pub type Status = i32;

/// The call did what it says.
pub const OK: Status = 0;
/// It failed; the reason went to [`Out::error`].
pub const FAILED: Status = 1;
/// It stopped because it was asked to.
pub const CANCELLED: Status = 2;
/// There is no such method here; nothing was done.
pub const UNSUPPORTED: Status = 3;

/// The components of a plugin: [`Components`].
pub const COMPONENTS: &str = "szar.components/1";
/// Adapters: [`Adapter`].
pub const ADAPTER: &str = "szar.adapter/1";
/// State of adapters: [`AdapterSnapshot`].
pub const ADAPTER_SNAPSHOT: &str = "szar.adapter.snapshot/1";
/// Aligners: [`Aligner`].
pub const ALIGNER: &str = "szar.aligner/1";
/// Encoders: [`Encoder`].
pub const ENCODER: &str = "szar.encoder/1";
/// Datasets: [`Dataset`].
pub const DATASET: &str = "szar.dataset/1";
/// Objects that only answer calls by name (semantics, text encoders, gates): [`Object`].
pub const OBJECT: &str = "szar.object/1";

/// What a tensor handle points at.
#[repr(C)]
#[derive(Debug)]
pub struct AtenTensorOpaque {
    _private: [u8; 0],
    _not_send: PhantomData<(*mut u8, PhantomPinned)>,
}

/// A tensor, as libtorch's stable C shim names it.
pub type Tensor = *mut AtenTensorOpaque;

/// UTF-8 text, borrowed, not terminated.
#[repr(C)]
#[derive(Clone, Copy, Debug)]
pub struct Str {
    /// First byte; may be null when `len` is 0.
    pub data: *const u8,
    /// Bytes.
    pub len: usize,
}

impl Str {
    /// Borrows a text for as long as the caller keeps it alive.
    pub const fn new(text: &str) -> Self {
        Self {
            data: text.as_ptr(),
            len: text.len(),
        }
    }

    /// The text; `None` when it is not UTF-8.
    ///
    /// # Safety
    /// `data` points at `len` readable bytes that outlive `'a`, or `len` is 0.
    pub unsafe fn get<'a>(self) -> Option<&'a str> {
        if self.len == 0 {
            return Some("");
        }
        if self.data.is_null() {
            return None;
        }
        // SAFETY: promised by the caller.
        let bytes = unsafe { std::slice::from_raw_parts(self.data, self.len) };
        std::str::from_utf8(bytes).ok()
    }
}

/// A tensor with a name.
#[repr(C)]
#[derive(Clone, Copy, Debug)]
pub struct Named {
    /// Its name.
    pub name: Str,
    /// Borrowed, never null.
    pub tensor: Tensor,
}

/// Where a call puts its results; lives as long as the call.
#[repr(C)]
#[derive(Debug)]
pub struct Out {
    /// Bytes of this table.
    pub size: usize,
    /// First argument of the functions.
    pub context: *mut c_void,
    /// A text result, copied; a second one replaces the first.
    pub text: unsafe extern "C" fn(context: *mut c_void, text: Str),
    /// A tensor result under a name; the handle becomes the receiver's.
    pub tensor: unsafe extern "C" fn(context: *mut c_void, name: Str, tensor: Tensor),
    /// Why the call fails, copied; to be followed by returning [`FAILED`].
    pub error: unsafe extern "C" fn(context: *mut c_void, message: Str),
}

/// Arguments of a call by name; what a method does not take is empty or null.
#[repr(C)]
#[derive(Debug)]
pub struct Args {
    /// Bytes of this table.
    pub size: usize,
    /// Plain values as a JSON object.
    pub json: Str,
    /// Tensors by name.
    pub tensors: *const Named,
    /// How many.
    pub count: usize,
    /// Anchors, or null.
    pub anchors: *const Anchors,
    /// Surroundings of a long computation, or null.
    pub work: *const Work,
}

/// Semantic anchors.
#[repr(C)]
#[derive(Debug)]
pub struct Anchors {
    /// Bytes of this table.
    pub size: usize,
    /// `[C, G, d]`.
    pub values: Tensor,
    /// Equal numbers mean an equal `described`: who has read it once need not read it again.
    pub token: u64,
    /// JSON: `{"classes": {"ids": [...], "names": [...]}, "granularities": ["global", ...]}`.
    pub described: Str,
}

/// A sample's place among the streams.
#[repr(C)]
#[derive(Clone, Copy, Debug)]
pub struct Sample {
    /// Number of the stream, from 0.
    pub stream: u64,
    /// Position among all samples of the run.
    pub position: u64,
}

/// Skeletons of a batch.
#[repr(C)]
#[derive(Debug)]
pub struct Skeletons {
    /// Bytes of this table.
    pub size: usize,
    /// `[B, C, T, V, M]` f32, metres.
    pub joints: Tensor,
    /// `[B]` i64, frames of each sequence.
    pub frames: Tensor,
    /// `[B, M]`, 1 where there is a person.
    pub present: *const u8,
    /// B times M.
    pub present_len: usize,
    /// Equal numbers mean an equal `layout`.
    pub token: u64,
    /// The skeleton's layout as JSON.
    pub layout: Str,
}

/// What an adapter sees of a batch; no labels.
#[repr(C)]
#[derive(Debug)]
pub struct Observation {
    /// Bytes of this table.
    pub size: usize,
    /// `[B, N, T', V']`.
    pub features: Tensor,
    /// `[B, C]`, logits so far.
    pub scores: Tensor,
    /// `[B]`.
    pub samples: *const Sample,
    /// B.
    pub count: usize,
    /// The sequences, or null.
    pub skeletons: *const Skeletons,
    /// The encoder of the sequences; its table is null where `skeletons` is.
    pub encoder: EncoderRef,
}

/// Functions of the host that a plugin may use at any time after [`Plugin::start`], from any thread.
#[repr(C)]
#[derive(Debug)]
pub struct Host {
    /// Bytes of this table.
    pub size: usize,
    /// Of the host.
    pub major: u32,
    /// Of the host.
    pub minor: u32,
    /// First argument of the functions.
    pub context: *mut c_void,
    /// One line for the log; levels 1 (error) to 5 (trace).
    pub log: unsafe extern "C" fn(context: *mut c_void, level: u32, target: Str, message: Str),
    /// Is anyone interested in this level?
    pub enabled: unsafe extern "C" fn(context: *mut c_void, level: u32) -> bool,
}

/// The surroundings of a long computation, for the duration of the call.
#[repr(C)]
#[derive(Debug)]
pub struct Work {
    /// Bytes of this table.
    pub size: usize,
    /// First argument of the functions.
    pub context: *mut c_void,
    /// A stage of `total` steps begins.
    pub begin: unsafe extern "C" fn(context: *mut c_void, stage: Str, total: u64),
    /// `done` of them are finished.
    pub advance: unsafe extern "C" fn(context: *mut c_void, done: u64, note: Str),
    /// The stage is over.
    pub end: unsafe extern "C" fn(context: *mut c_void),
    /// Has anyone asked to stop? Then return [`CANCELLED`] soon.
    pub cancelled: unsafe extern "C" fn(context: *mut c_void) -> bool,
    /// Sequences to train on and to validate with; null where a method has no use for them.
    pub train: *const Sequences,
    /// See `train`.
    pub validation: *const Sequences,
}

/// Labelled sequences of seen classes, loaded on demand.
#[repr(C)]
#[derive(Debug)]
pub struct Sequences {
    /// Bytes of this table.
    pub size: usize,
    /// First argument of the functions.
    pub context: *mut c_void,
    /// `[n]` i64, columns of the classes.
    pub labels: Tensor,
    /// The classes as JSON.
    pub classes: Str,
    /// The sequences at these places: calls `take` once with a batch that lives until it returns.
    pub batch: unsafe extern "C" fn(
        context: *mut c_void,
        places: *const u64,
        count: usize,
        into: *mut c_void,
        take: unsafe extern "C" fn(into: *mut c_void, batch: *const Skeletons),
        out: *const Out,
    ) -> Status,
}

/// What every kind of object can do.
#[repr(C)]
#[derive(Debug)]
pub struct Object {
    /// Bytes of this table.
    pub size: usize,
    /// Frees the object.
    pub drop: unsafe extern "C" fn(object: *mut c_void),
    /// Runs the method of this name.
    pub call:
        unsafe extern "C" fn(object: *mut c_void, method: Str, args: *const Args, out: *const Out) -> Status,
}

/// Adapters. Methods by name: `begin` (json: the task, anchors), `diagnostics`, `held`, `moved_anchors`, `state_bytes`,
/// `wants_second_pass`.
#[repr(C)]
#[derive(Debug)]
pub struct Adapter {
    /// Bytes of this table.
    pub size: usize,
    /// See [`Object`]; static.
    pub object: *const Object,
    /// One step of the stream; the result is the tensor `logits`, `[B, C]` f32.
    pub step: unsafe extern "C" fn(
        object: *mut c_void,
        seen: *const Observation,
        model: AlignerRef,
        out: *const Out,
    ) -> Status,
    /// The same without learning; null where there is no second pass.
    pub rescore: Option<
        unsafe extern "C" fn(
            object: *mut c_void,
            seen: *const Observation,
            model: AlignerRef,
            out: *const Out,
        ) -> Status,
    >,
}

/// State of adapters, so that a stream can be taken up again bit for bit.
#[repr(C)]
#[derive(Debug)]
pub struct AdapterSnapshot {
    /// Bytes of this table.
    pub size: usize,
    /// The whole state as named tensors.
    pub snapshot: unsafe extern "C" fn(object: *mut c_void, out: *const Out) -> Status,
    /// Takes a state over; the adapter has begun.
    pub restore: unsafe extern "C" fn(
        object: *mut c_void,
        tensors: *const Named,
        count: usize,
        out: *const Out,
    ) -> Status,
}

/// Aligners. Methods by name: `capabilities`, `fit`, `state`, `load_state`, and, where the capabilities say so, `condense`,
/// `score_condensed`, `linear`, `score_asked`, `embed`, `embed_nodes`, `tokens`, `normalisation`, `score_normalised`,
/// `score_with_labels`.
#[repr(C)]
#[derive(Debug)]
pub struct Aligner {
    /// Bytes of this table.
    pub size: usize,
    /// See [`Object`]; static.
    pub object: *const Object,
    /// Features `[B, N, T', V']` against anchors; the result is the tensor `logits`, `[B, C]` f32. Gradients flow where the
    /// capabilities say so.
    pub score: unsafe extern "C" fn(
        object: *mut c_void,
        features: Tensor,
        anchors: *const Anchors,
        out: *const Out,
    ) -> Status,
}

/// An aligner of either side, borrowed.
#[repr(C)]
#[derive(Clone, Copy, Debug)]
pub struct AlignerRef {
    /// First argument of the functions.
    pub object: *mut c_void,
    /// Null for "none".
    pub table: *const Aligner,
}

/// Encoders. Methods by name: `spec`, `fit` (json, work with sequences), `state`, `load_state`.
#[repr(C)]
#[derive(Debug)]
pub struct Encoder {
    /// Bytes of this table.
    pub size: usize,
    /// See [`Object`]; static.
    pub object: *const Object,
    /// The results are the tensor `features` `[B, N, T', V']` and, of encoders that classify, `logits` `[B, S]`.
    pub encode: unsafe extern "C" fn(object: *mut c_void, batch: *const Skeletons, out: *const Out) -> Status,
}

/// An encoder of either side, borrowed.
#[repr(C)]
#[derive(Clone, Copy, Debug)]
pub struct EncoderRef {
    /// First argument of the functions.
    pub object: *mut c_void,
    /// Null for "none".
    pub table: *const Encoder,
}

/// Datasets. Methods by name: `info`, `samples`, `split`. Called from several threads at once.
#[repr(C)]
#[derive(Debug)]
pub struct Dataset {
    /// Bytes of this table.
    pub size: usize,
    /// See [`Object`]; static.
    pub object: *const Object,
    /// One sequence: the text is JSON with `frames`, `persons` and `fps`, the tensor `joints` f32 on the CPU, as many values
    /// as persons times frames times joints times 3, in that order.
    pub load: unsafe extern "C" fn(object: *mut c_void, sample: u64, out: *const Out) -> Status,
}

/// The components of a plugin and their configurations.
#[repr(C)]
#[derive(Debug)]
pub struct Components {
    /// Bytes of this table.
    pub size: usize,
    /// The text is a JSON list of `{kind, name, summary, paper, schema, defaults}`.
    pub list: unsafe extern "C" fn(out: *const Out) -> Status,
    /// Reads the options of a component, given as a JSON object without `type`; `*config` becomes the caller's.
    pub configure: unsafe extern "C" fn(
        kind: Str,
        name: Str,
        options: Str,
        config: *mut *mut c_void,
        out: *const Out,
    ) -> Status,
    /// What configurations can do; methods by name: `options` (all of them, as JSON), `validate` (a JSON list of
    /// `{field, message, hint}`), `facts`, and `spec` of encoders.
    pub config: *const Object,
    /// Builds what a configuration describes; `*object` becomes the caller's, to be used with the table of its kind.
    pub build: unsafe extern "C" fn(
        config: *mut c_void,
        args: *const Args,
        object: *mut *mut c_void,
        out: *const Out,
    ) -> Status,
}

/// What a plugin is; static in it.
#[repr(C)]
#[derive(Debug)]
pub struct Plugin {
    /// Bytes of this table.
    pub size: usize,
    /// [`MAJOR`] it was built for.
    pub major: u32,
    /// [`MINOR`] it was built for.
    pub minor: u32,
    /// Its name.
    pub name: Str,
    /// Its version.
    pub version: Str,
    /// The libtorch it was built for, `2.11.0`; empty for one that keeps to the stable C shim.
    pub libtorch: Str,
    /// Gives the address of `aoti_torch_abi_version` as the plugin is linked with it: the host compares it with its own,
    /// since two libtorch in one process cannot share tensors. Null in a plugin that uses no tensor.
    pub libtorch_abi: Option<unsafe extern "C" fn() -> u64>,
    /// Called once, before anything else but `extension`; the host's table lives for ever.
    pub start: unsafe extern "C" fn(host: *const Host, out: *const Out) -> Status,
    /// The table of this name and revision, static, or null.
    pub extension: unsafe extern "C" fn(id: Str) -> *const c_void,
}

macro_rules! shared {
    ($($table:ty),*) => {$(
        // SAFETY: tables of functions are static and never written, and what they point at is static too.
        unsafe impl Sync for $table {}
        // SAFETY: as above.
        unsafe impl Send for $table {}
    )*};
}

shared!(
    Plugin,
    Components,
    Object,
    Adapter,
    AdapterSnapshot,
    Aligner,
    Encoder,
    Dataset
);

// SAFETY: a host lets its functions be called from any thread, and never writes its table.
unsafe impl Sync for Host {}
// SAFETY: as above.
unsafe impl Send for Host {}

/// The exported function.
pub type Entry = unsafe extern "C" fn() -> *const Plugin;

/// Does a table of this size have a field that ends at `end`?
pub const fn has(size: usize, end: usize) -> bool {
    size >= end
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn texts_come_back_and_broken_ones_do_not() {
        // SAFETY: both point at texts that live here.
        unsafe {
            assert_eq!(Str::new("größe").get(), Some("größe"));
            let none = Str {
                data: std::ptr::null(),
                len: 0,
            };
            assert_eq!(none.get(), Some(""));
            let broken = Str {
                data: [0xffu8, 0xfe].as_ptr(),
                len: 2,
            };
            assert_eq!(broken.get(), None);
        }
    }

    #[test]
    fn tables_keep_the_places_that_plugins_were_compiled_with() {
        use std::mem::offset_of;
        assert_eq!(offset_of!(Plugin, major), 8);
        assert_eq!(offset_of!(Plugin, name), 16);
        assert_eq!(offset_of!(Plugin, libtorch_abi), 64);
        assert_eq!(offset_of!(Plugin, extension), 80);
        assert_eq!(offset_of!(Adapter, step), 16);
        assert_eq!(offset_of!(Aligner, score), 16);
        assert_eq!(offset_of!(Components, build), 32);
        assert_eq!(offset_of!(Observation, skeletons), 40);
    }
}
