//! Encoders and sequences of the other side, for the duration of a call.

use std::cell::RefCell;
use std::ffi::c_void;

use szar_core::{
    ClassList, EncoderSpec, Encoding, Error, FeatureMap, FitContext, FitSummary, NamedTensors, Result,
    SeenLabels, SeenSkeletons, SkeletonBatch, SkeletonEncoder,
};
use szar_plugin_abi::{self as abi, EncoderRef, Object};

use super::{Asked, Who, call};
use crate::collect::{Collector, quietly};
use crate::lend::{self, LentSkeletons};
use crate::{tensor, wire};

/// An encoder that was lent.
pub struct BorrowedEncoder {
    object: *mut c_void,
    table: &'static abi::Encoder,
    methods: &'static Object,
    who: Who,
}

// SAFETY: the trait asks for it; the object stays in the call, and so in the thread, that it was lent to.
unsafe impl Send for BorrowedEncoder {}

impl BorrowedEncoder {
    /// The encoder of a reference; `None` for none.
    ///
    /// # Safety
    /// The reference is valid while the result is used.
    pub unsafe fn new(reference: EncoderRef) -> Option<Self> {
        // SAFETY: promised by the caller; tables are static on either side.
        let (table, methods): (&'static abi::Encoder, &'static Object) = unsafe {
            let table = reference.table.as_ref()?;
            (table, table.object.as_ref()?)
        };
        Some(Self {
            object: reference.object,
            table,
            methods,
            who: Who::host(),
        })
    }
}

/// One call of an encoder of the other side, with its results checked.
///
/// # Safety
/// `object` is a valid object of `table`.
pub(super) unsafe fn encode(
    object: *mut c_void,
    table: &abi::Encoder,
    who: &Who,
    batch: &SkeletonBatch,
) -> Result<Encoding> {
    let lent = LentSkeletons::new(batch)?;
    let answer = Collector::lending([("joints", &batch.joints), ("frames", &batch.frames)])
        // SAFETY: promised by the caller; what is lent lives until the call returns.
        .run(|out| unsafe { (table.encode)(object, lent.table(), out) });
    let answer = who.settle("encode", answer)?;
    let mut answer = answer.ok_or_else(|| who.error("encode", "is not supported"))?;
    let (rows, device) = (Some(batch.len() as i64), batch.joints.device());
    let features = who.checked(
        "encode",
        answer.tensor("features"),
        [rows, None, None, None],
        device,
    )?;
    let seen_logits = match answer.tensor("logits") {
        Ok(logits) => Some(who.checked("encode", Ok(logits), [rows, None], device)?),
        Err(_) => None,
    };
    Ok(Encoding {
        features: FeatureMap::new(features)?,
        seen_logits,
    })
}

fn lent<T>() -> Result<T> {
    Err(Error::Input(
        "an encoder that was lent for a step can only encode".into(),
    ))
}

impl SkeletonEncoder for BorrowedEncoder {
    fn spec(&self) -> EncoderSpec {
        // SAFETY: the reference is valid, as `new` was promised.
        let answer = unsafe { call(self.object, self.methods, &self.who, "spec", &Asked::default()) };
        let spec = answer.ok().flatten().and_then(|answer| answer.json().ok());
        spec.unwrap_or(EncoderSpec {
            channels: 0,
            frames: 1,
            joints: 1,
            classifies: false,
        })
    }

    fn encode(&self, batch: &SkeletonBatch) -> Result<Encoding> {
        // SAFETY: the reference is valid, as `new` was promised.
        unsafe { encode(self.object, self.table, &self.who, batch) }
    }

    fn fit(
        &mut self,
        _: &dyn SeenSkeletons,
        _: &dyn SeenSkeletons,
        _: &mut FitContext,
    ) -> Result<FitSummary> {
        lent()
    }

    fn state(&self) -> NamedTensors {
        // SAFETY: the reference is valid, as `new` was promised.
        let answer = unsafe { call(self.object, self.methods, &self.who, "state", &Asked::default()) };
        answer
            .ok()
            .flatten()
            .and_then(|answer| answer.named().ok())
            .unwrap_or_default()
    }

    fn load_state(&mut self, _: &NamedTensors) -> Result<()> {
        lent()
    }
}

/// Labelled sequences that were lent.
#[derive(Debug)]
pub struct BorrowedSequences {
    table: *const abi::Sequences,
    labels: SeenLabels,
}

impl BorrowedSequences {
    /// The sequences of a table; `None` for null.
    ///
    /// # Errors
    /// When labels or classes cannot be read.
    ///
    /// # Safety
    /// The table is null, or valid while the result is used.
    pub unsafe fn new(table: *const abi::Sequences) -> Result<Option<Self>> {
        // SAFETY: promised by the caller.
        let Some(own) = (unsafe { table.as_ref() }) else {
            return Ok(None);
        };
        // SAFETY: as above.
        let (labels, classes) = unsafe { (tensor::borrow(own.labels), own.classes.get()) };
        let labels = labels.ok_or_else(|| Error::Missing("labels of sequences".into()))?;
        let classes = classes.ok_or_else(|| Error::Input("a text is not UTF-8".into()))?;
        let classes: ClassList = wire::read("the classes", classes)?;
        Ok(Some(Self {
            table,
            labels: SeenLabels::of_columns(labels, classes)?,
        }))
    }
}

/// Where a batch that is lent inside a callback is copied to.
type Slot = RefCell<Option<Result<SkeletonBatch>>>;

unsafe extern "C" fn take(into: *mut c_void, batch: *const abi::Skeletons) {
    let keep = || {
        // SAFETY: `into` is the slot of the call that is running, the batch lives during it.
        let (slot, batch) = unsafe { (&*into.cast::<Slot>(), lend::skeletons(batch)) };
        slot.replace(Some(batch));
    };
    quietly(keep);
}

impl SeenSkeletons for BorrowedSequences {
    fn labels(&self) -> &SeenLabels {
        &self.labels
    }

    fn batch(&self, samples: &[usize]) -> Result<SkeletonBatch> {
        let places: Vec<u64> = samples.iter().map(|s| *s as u64).collect();
        let slot: Slot = RefCell::new(None);
        let run = |out| {
            // SAFETY: the table is valid, as `new` was promised; places and slot live until the call returns.
            unsafe {
                let table = &*self.table;
                let into = std::ptr::from_ref(&slot).cast_mut().cast();
                (table.batch)(table.context, places.as_ptr(), places.len(), into, take, out)
            }
        };
        let who = Who::host();
        let _ = who.settle("batch", Collector::default().run(run))?;
        slot.into_inner()
            .unwrap_or_else(|| Err(Error::Missing("a batch of sequences".into())))
    }
}
