//! The surroundings of a fit: lent to the other side, and made of what it lent.

use std::ffi::c_void;

use szar_core::{Cancel, FitContext, Progress, Result, Seed};
use szar_plugin_abi::{self as abi, Str, Work};

use crate::collect::quietly;
use crate::wire;

/// The surroundings of a fit of ours, for the other side.
pub struct LentWork<'a> {
    progress: &'a dyn Progress,
    cancel: &'a Cancel,
}

impl<'a> LentWork<'a> {
    /// Lends them.
    pub fn new(ctx: &FitContext<'a>) -> Self {
        Self {
            progress: ctx.progress,
            cancel: ctx.cancel,
        }
    }

    /// What crosses as JSON.
    pub(crate) fn described(ctx: &FitContext<'_>) -> wire::Fit {
        wire::Fit {
            device: wire::device_name(ctx.device),
            precision: ctx.precision,
            seed: ctx.seed.0,
            checkpoint: ctx.checkpoint.clone(),
            classes: None,
            layout: None,
        }
    }

    /// The table; valid while `self` and the sequences live and stay where they are.
    pub fn table(&self, train: Option<&abi::Sequences>, validation: Option<&abi::Sequences>) -> Work {
        let pointer =
            |sequences: Option<&abi::Sequences>| sequences.map_or(std::ptr::null(), std::ptr::from_ref);
        Work {
            size: size_of::<Work>(),
            context: std::ptr::from_ref(self).cast_mut().cast(),
            begin,
            advance,
            end,
            cancelled,
            train: pointer(train),
            validation: pointer(validation),
        }
    }
}

/// Runs `body` on the surroundings behind a context; what it panics with stays here.
///
/// # Safety
/// `context` is a [`LentWork`] that lives.
unsafe fn lent<T: Default>(context: *mut c_void, body: impl FnOnce(&LentWork<'_>) -> T) -> T {
    // SAFETY: promised by the caller.
    let own = unsafe { context.cast::<LentWork<'_>>().cast_const().as_ref() };
    quietly(|| own.map(body)).flatten().unwrap_or_default()
}

unsafe extern "C" fn begin(context: *mut c_void, stage: Str, total: u64) {
    // SAFETY: as the boundary promises; the text lives during the call.
    unsafe {
        lent(context, |own| {
            own.progress.begin(stage.get().unwrap_or_default(), total)
        })
    }
}

unsafe extern "C" fn advance(context: *mut c_void, done: u64, note: Str) {
    // SAFETY: as above.
    unsafe {
        lent(context, |own| {
            own.progress.advance(done, note.get().unwrap_or_default())
        })
    }
}

unsafe extern "C" fn end(context: *mut c_void) {
    // SAFETY: as above.
    unsafe { lent(context, |own| own.progress.end()) }
}

unsafe extern "C" fn cancelled(context: *mut c_void) -> bool {
    // SAFETY: as above.
    unsafe { lent(context, |own| own.cancel.requested()) }
}

/// The surroundings of a fit that the other side runs with us.
#[derive(Debug)]
pub struct Surroundings<'a> {
    work: &'a Work,
    cancel: Cancel,
}

// SAFETY: `Progress` asks for it; the functions of the table may be called from any thread during the fit.
unsafe impl Sync for Surroundings<'_> {}
// SAFETY: as above.
unsafe impl Send for Surroundings<'_> {}

impl<'a> Surroundings<'a> {
    /// Of a table that lives as long as the call.
    pub fn new(work: &'a Work) -> Self {
        Self {
            work,
            cancel: Cancel::default(),
        }
    }

    /// Fits in these surroundings.
    ///
    /// # Errors
    /// As the fit.
    pub(crate) fn run<T>(
        &self,
        given: &wire::Fit,
        fit: impl FnOnce(&mut FitContext<'_>) -> Result<T>,
    ) -> Result<T> {
        self.look();
        fit(&mut FitContext {
            device: wire::device_of(&given.device)?,
            precision: given.precision,
            seed: Seed(given.seed),
            progress: self,
            cancel: &self.cancel,
            checkpoint: given.checkpoint.clone(),
            motion: None,
        })
    }

    /// Takes over a request to stop. Every report of progress looks, which a fit makes between its steps.
    fn look(&self) {
        // SAFETY: the table lives as long as the call.
        if unsafe { (self.work.cancelled)(self.work.context) } {
            self.cancel.request();
        }
    }
}

impl Progress for Surroundings<'_> {
    fn begin(&self, stage: &str, total: u64) {
        self.look();
        // SAFETY: as above; the text lives during the call.
        unsafe { (self.work.begin)(self.work.context, Str::new(stage), total) }
    }

    fn advance(&self, done: u64, note: &str) {
        self.look();
        // SAFETY: as above.
        unsafe { (self.work.advance)(self.work.context, done, Str::new(note)) }
    }

    fn end(&self) {
        // SAFETY: as above.
        unsafe { (self.work.end)(self.work.context) }
    }
}
