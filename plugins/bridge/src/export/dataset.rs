//! Datasets as tables.

use std::ffi::c_void;

use szar_core::{Dataset, Error, Result};
use szar_plugin_abi::{self as abi, Args, Object, Out, Status, Str};

use super::{Given, dispatch_shared, drop_boxed};
use crate::out::{Sink, guard};
use crate::wire;

type Boxed = Box<dyn Dataset>;

static OBJECT: Object = Object {
    size: size_of::<Object>(),
    drop: drop_boxed::<Boxed>,
    call,
};

/// The table of every dataset of Rust.
pub static DATASET: abi::Dataset = abi::Dataset {
    size: size_of::<abi::Dataset>(),
    object: &raw const OBJECT,
    load,
};

fn run(data: &Boxed, method: &str, sink: Sink<'_>) -> Result<Status> {
    match method {
        "info" => {
            let info = data.info();
            sink.json(&wire::Info {
                name: info.name.clone(),
                layout: std::sync::Arc::clone(&info.layout),
                classes: info.classes.clone(),
                persons: info.persons,
                synthetic: info.synthetic.clone(),
            })?;
        }
        "samples" => sink.json(&data.samples())?,
        "split" => sink.json(&data.split()?)?,
        _ => return Ok(abi::UNSUPPORTED),
    }
    Ok(abi::OK)
}

unsafe extern "C" fn call(object: *mut c_void, method: Str, args: *const Args, out: *const Out) -> Status {
    let run = |data: &Boxed, method: &str, _: &Given<'_>, sink: Sink<'_>| run(data, method, sink);
    // SAFETY: the boundary promises what `dispatch` asks for.
    unsafe { dispatch_shared(object, method, args, out, run) }
}

unsafe extern "C" fn load(object: *mut c_void, sample: u64, out: *const Out) -> Status {
    // SAFETY: as the boundary promises.
    unsafe {
        guard(out, |sink| {
            let data = object.cast::<Boxed>().as_ref();
            let data = data.ok_or_else(|| Error::Missing("the dataset".into()))?;
            let at = usize::try_from(sample)
                .ok()
                .filter(|at| *at < data.samples().len());
            let at = at.ok_or_else(|| {
                Error::Input(format!(
                    "there is no sample {sample}, there are {}",
                    data.samples().len()
                ))
            })?;
            let sequence = data.load(at)?;
            sink.json(&wire::Frame {
                frames: sequence.frames,
                persons: sequence.persons,
                fps: sequence.fps,
            })?;
            let size = [sequence.joints.len() as i64];
            sink.tensor("joints", szar_core::host::tensor(&sequence.joints, &size));
            Ok(abi::OK)
        })
    }
}
