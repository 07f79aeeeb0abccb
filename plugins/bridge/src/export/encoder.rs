//! Encoders as tables, and the sequences they are trained on.

use std::ffi::c_void;

use szar_core::{Error, FitContext, Result, SeenSkeletons, SkeletonEncoder};
use szar_plugin_abi::{self as abi, Args, EncoderRef, Object, Out, Status, Str};

use super::{Given, dispatch, dispatch_shared, drop_boxed, give_all, list};
use crate::import::{BorrowedSequences, Surroundings};
use crate::lend::{self, LentSkeletons};
use crate::out::{Sink, guard};
use crate::{tensor, wire};

type Boxed = Box<dyn SkeletonEncoder>;

static OBJECT: Object = Object {
    size: size_of::<Object>(),
    drop: drop_boxed::<Boxed>,
    call,
};

/// The table of every encoder of Rust.
pub static ENCODER: abi::Encoder = abi::Encoder {
    size: size_of::<abi::Encoder>(),
    object: &raw const OBJECT,
    encode,
};

static LENT_OBJECT: Object = Object {
    size: size_of::<Object>(),
    drop: keep,
    call: lent_call,
};

static LENT: abi::Encoder = abi::Encoder {
    size: size_of::<abi::Encoder>(),
    object: &raw const LENT_OBJECT,
    encode: lent_encode,
};

/// An encoder lent for the duration of a call.
pub struct LentEncoder<'a>(&'a dyn SkeletonEncoder);

impl<'a> LentEncoder<'a> {
    /// Lends an encoder.
    pub fn new(encoder: &'a dyn SkeletonEncoder) -> Self {
        Self(encoder)
    }

    /// The reference that crosses; valid while `self` lives.
    pub fn reference(&self) -> EncoderRef {
        EncoderRef {
            object: std::ptr::from_ref(self).cast_mut().cast(),
            table: &raw const LENT,
        }
    }
}

unsafe extern "C" fn keep(_: *mut c_void) {}

fn ask(encoder: &dyn SkeletonEncoder, method: &str, sink: Sink<'_>) -> Result<Status> {
    match method {
        "spec" => sink.json(&encoder.spec())?,
        "state" => give_all(sink, encoder.state()),
        _ => return Ok(abi::UNSUPPORTED),
    }
    Ok(abi::OK)
}

fn fit(encoder: &mut Boxed, args: &Given<'_>, sink: Sink<'_>) -> Result<()> {
    let given: wire::Fit = wire::read("the surroundings of a fit", args.json)?;
    let missing = |what: &str| Error::Missing(format!("{what} of a fit"));
    let work = args.work.ok_or_else(|| missing("surroundings"))?;
    // SAFETY: null or valid during the call.
    let sequences = |table| unsafe { BorrowedSequences::new(table) };
    let train = sequences(work.train)?.ok_or_else(|| missing("training sequences"))?;
    let validation = sequences(work.validation)?.ok_or_else(|| missing("validation sequences"))?;
    let summary = Surroundings::new(work).run(&given, |ctx: &mut FitContext<'_>| {
        encoder.fit(&train, &validation, ctx)
    })?;
    sink.json(&summary)
}

fn run(encoder: &mut Boxed, method: &str, args: &Given<'_>, sink: Sink<'_>) -> Result<Status> {
    match method {
        "fit" => fit(encoder, args, sink)?,
        "load_state" => encoder.load_state(&args.named()?)?,
        _ => return ask(&**encoder, method, sink),
    }
    Ok(abi::OK)
}

unsafe extern "C" fn call(object: *mut c_void, method: Str, args: *const Args, out: *const Out) -> Status {
    // SAFETY: the boundary promises what `dispatch` asks for.
    unsafe { dispatch(object, method, args, out, run) }
}

unsafe extern "C" fn lent_call(
    object: *mut c_void,
    method: Str,
    args: *const Args,
    out: *const Out,
) -> Status {
    let run = |lent: &LentEncoder<'_>, method: &str, _: &Given<'_>, sink: Sink<'_>| ask(lent.0, method, sink);
    // SAFETY: as above.
    unsafe { dispatch_shared(object, method, args, out, run) }
}

/// # Safety
/// The tables are valid during the call.
unsafe fn encoded(
    encoder: Option<&dyn SkeletonEncoder>,
    batch: *const abi::Skeletons,
    out: *const Out,
) -> Status {
    // SAFETY: promised by the caller.
    unsafe {
        guard(out, |sink| {
            let encoder = encoder.ok_or_else(|| Error::Missing("the encoder".into()))?;
            let encoding = encoder.encode(&lend::skeletons(batch)?)?;
            sink.tensor("features", encoding.features.values);
            if let Some(logits) = encoding.seen_logits {
                sink.tensor("logits", logits);
            }
            Ok(abi::OK)
        })
    }
}

unsafe extern "C" fn encode(object: *mut c_void, batch: *const abi::Skeletons, out: *const Out) -> Status {
    // SAFETY: as the boundary promises.
    unsafe {
        let encoder = object.cast::<Boxed>().as_ref().map(|e| &**e);
        encoded(encoder.map(|e| e as &dyn SkeletonEncoder), batch, out)
    }
}

unsafe extern "C" fn lent_encode(
    object: *mut c_void,
    batch: *const abi::Skeletons,
    out: *const Out,
) -> Status {
    // SAFETY: as the boundary promises.
    unsafe {
        let encoder = object.cast::<LentEncoder<'_>>().as_ref().map(|e| e.0);
        encoded(encoder, batch, out)
    }
}

/// Labelled sequences lent for the duration of a fit.
pub struct LentSequences<'a> {
    from: &'a dyn SeenSkeletons,
    classes: String,
}

impl<'a> LentSequences<'a> {
    /// Lends them.
    ///
    /// # Errors
    /// When the classes cannot be written as JSON.
    pub fn new(from: &'a dyn SeenSkeletons) -> Result<Self> {
        let classes = serde_json::to_string(from.labels().classes());
        let classes = classes.map_err(|e| Error::Input(format!("as JSON: {e}")))?;
        Ok(Self { from, classes })
    }

    /// The table; valid while `self` lives and stays where it is.
    pub fn table(&self) -> abi::Sequences {
        abi::Sequences {
            size: size_of::<abi::Sequences>(),
            context: std::ptr::from_ref(self).cast_mut().cast(),
            labels: tensor::lend(self.from.labels().columns()),
            classes: Str::new(&self.classes),
            batch: sequences_batch,
        }
    }
}

unsafe extern "C" fn sequences_batch(
    context: *mut c_void,
    places: *const u64,
    count: usize,
    into: *mut c_void,
    take: unsafe extern "C" fn(into: *mut c_void, batch: *const abi::Skeletons),
    out: *const Out,
) -> Status {
    // SAFETY: as the boundary promises.
    unsafe {
        guard(out, |_| {
            let own = context.cast::<LentSequences<'_>>().as_ref();
            let own = own.ok_or_else(|| Error::Missing("sequences".into()))?;
            let places = list(places, count).iter();
            let places: Vec<usize> = places
                .map(|p| usize::try_from(*p).unwrap_or(usize::MAX))
                .collect();
            if let Some(far) = places.iter().find(|p| **p >= own.from.labels().len()) {
                return Err(Error::Input(format!(
                    "there is no sequence {far}, there are {}",
                    own.from.labels().len()
                )));
            }
            let batch = own.from.batch(&places)?;
            take(into, LentSkeletons::new(&batch)?.table());
            Ok(abi::OK)
        })
    }
}
