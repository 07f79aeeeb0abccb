//! Adapters as tables.

use std::ffi::c_void;
use std::sync::Arc;

use serde_json::json;
use szar_core::{Error, Observation, Result, SampleRef, Seed, Skeletons, Task, TestTimeAdapter};
use szar_plugin_abi::{self as abi, AlignerRef, Args, Named, Object, Out, Status, Str};

use super::{Given, dispatch, drop_boxed, give_all, list, named};
use crate::import::{BorrowedAligner, BorrowedEncoder};
use crate::lend;
use crate::out::{Sink, guard};
use crate::tensor;
use crate::wire;

type Boxed = Box<dyn TestTimeAdapter>;

static OBJECT: Object = Object {
    size: size_of::<Object>(),
    drop: drop_boxed::<Boxed>,
    call,
};

/// The table of every adapter of Rust.
pub static ADAPTER: abi::Adapter = abi::Adapter {
    size: size_of::<abi::Adapter>(),
    object: &raw const OBJECT,
    step,
    rescore: Some(rescore),
};

/// The same for snapshots.
pub static ADAPTER_SNAPSHOT: abi::AdapterSnapshot = abi::AdapterSnapshot {
    size: size_of::<abi::AdapterSnapshot>(),
    snapshot,
    restore,
};

fn begin(adapter: &mut Boxed, args: &Given<'_>) -> Result<()> {
    let task: wire::Task = wire::read("the task", args.json)?;
    // SAFETY: valid during the call.
    let anchors = unsafe { lend::anchors(args.anchors) }?;
    adapter.begin(&Task {
        candidates: task.candidates,
        seen: task.seen,
        anchors,
        features: task.features,
        layout: Arc::clone(&task.layout),
        device: wire::device_of(&task.device)?,
        seed: Seed(task.seed),
        streams: task.streams,
        expected: task.expected,
    })
}

fn run(adapter: &mut Boxed, method: &str, args: &Given<'_>, sink: Sink<'_>) -> Result<Status> {
    match method {
        "begin" => begin(adapter, args)?,
        "diagnostics" => sink.json(&adapter.diagnostics())?,
        "held" => {
            let entry = |held: &szar_core::Held| wire::Entry {
                stream: held.sample.stream,
                position: held.sample.position,
                class: held.class,
            };
            sink.json(&adapter.held().iter().map(entry).collect::<Vec<_>>())?;
        }
        "moved_anchors" => {
            if let Some(anchors) = adapter.moved_anchors() {
                sink.tensor("anchors", anchors);
            }
        }
        "state_bytes" => sink.json(&json!(adapter.state_bytes()))?,
        "wants_second_pass" => sink.json(&json!(adapter.wants_second_pass()))?,
        _ => return Ok(abi::UNSUPPORTED),
    }
    Ok(abi::OK)
}

unsafe extern "C" fn call(object: *mut c_void, method: Str, args: *const Args, out: *const Out) -> Status {
    // SAFETY: the boundary promises what `dispatch` asks for.
    unsafe { dispatch(object, method, args, out, run) }
}

/// # Safety
/// The tables are valid during the call.
unsafe fn observe(
    object: *mut c_void,
    seen: *const abi::Observation,
    model: AlignerRef,
    out: *const Out,
    answer: impl FnOnce(&mut Boxed, &Observation, &BorrowedAligner) -> Result<szar_core::Scores>,
) -> Status {
    // SAFETY: promised by the caller, for everything below.
    unsafe {
        guard(out, |sink| {
            let missing = |what: &str| Error::Missing(format!("{what} of a step"));
            let adapter = object
                .cast::<Boxed>()
                .as_mut()
                .ok_or_else(|| missing("the adapter"))?;
            let seen = seen.as_ref().ok_or_else(|| missing("the observation"))?;
            let features = tensor::borrow(seen.features).ok_or_else(|| missing("features"))?;
            let logits = tensor::borrow(seen.scores).ok_or_else(|| missing("scores"))?;
            let features = szar_core::FeatureMap::new(features)?;
            let scores = szar_core::Scores { logits };
            let samples = list(seen.samples, seen.count).iter().map(|sample| SampleRef {
                stream: usize::try_from(sample.stream).unwrap_or(usize::MAX),
                position: sample.position,
            });
            let samples: Vec<_> = samples.collect();
            let encoder = BorrowedEncoder::new(seen.encoder);
            let batch = match seen.skeletons.is_null() {
                true => None,
                false => Some(lend::skeletons(seen.skeletons)?),
            };
            let mut own = Observation::new(&features, &scores, &samples);
            if let (Some(batch), Some(encoder)) = (&batch, &encoder) {
                own.skeletons = Some(Skeletons { batch, encoder });
            }
            let model = BorrowedAligner::new(model).ok_or_else(|| missing("the aligner"))?;
            sink.tensor("logits", answer(adapter, &own, &model)?.logits);
            Ok(abi::OK)
        })
    }
}

unsafe extern "C" fn step(
    object: *mut c_void,
    seen: *const abi::Observation,
    model: AlignerRef,
    out: *const Out,
) -> Status {
    // SAFETY: as the boundary promises.
    unsafe {
        observe(object, seen, model, out, |adapter, seen, model| {
            adapter.step(seen, model)
        })
    }
}

unsafe extern "C" fn rescore(
    object: *mut c_void,
    seen: *const abi::Observation,
    model: AlignerRef,
    out: *const Out,
) -> Status {
    // SAFETY: as the boundary promises.
    unsafe {
        observe(object, seen, model, out, |adapter, seen, model| {
            adapter.rescore(seen, model)
        })
    }
}

unsafe extern "C" fn snapshot(object: *mut c_void, out: *const Out) -> Status {
    // SAFETY: as the boundary promises.
    unsafe {
        guard(out, |sink| {
            let adapter = object.cast::<Boxed>().as_ref();
            let adapter = adapter.ok_or_else(|| Error::Missing("the adapter".into()))?;
            give_all(sink, adapter.snapshot()?);
            Ok(abi::OK)
        })
    }
}

unsafe extern "C" fn restore(
    object: *mut c_void,
    tensors: *const Named,
    count: usize,
    out: *const Out,
) -> Status {
    // SAFETY: as the boundary promises.
    unsafe {
        guard(out, |_| {
            let adapter = object.cast::<Boxed>().as_mut();
            let adapter = adapter.ok_or_else(|| Error::Missing("the adapter".into()))?;
            adapter.restore(named(list(tensors, count))?)?;
            Ok(abi::OK)
        })
    }
}
