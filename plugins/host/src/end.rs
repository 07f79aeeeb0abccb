//! How a process ends that has loaded plugins: without the destructors of libraries.
//!
//! A plugin may have left a thread behind that still works with tensors. The destructors that C libraries run at the end
//! take libtorch away from under it, and what is then left of the process is a signal instead of its exit code.

use std::sync::atomic::{AtomicBool, Ordering};

static NEEDED: AtomicBool = AtomicBool::new(false);

/// There is code of others in this process now.
pub(crate) fn needed() {
    NEEDED.store(true, Ordering::Relaxed);
}

/// The last thing a program calls before it ends: where plugins were loaded, the process then ends with its exit code and
/// flushed streams, but without destructors. Does nothing where there is no plugin.
pub fn end_plainly() {
    if NEEDED.load(Ordering::Relaxed) {
        #[cfg(target_os = "linux")]
        linux::register();
    }
}

#[cfg(target_os = "linux")]
mod linux {
    use std::ffi::{c_int, c_void};

    unsafe extern "C" {
        fn on_exit(handler: extern "C" fn(c_int, *mut c_void), argument: *mut c_void) -> c_int;
        fn fflush(stream: *mut c_void) -> c_int;
        fn _exit(status: c_int) -> !;
    }

    extern "C" fn leave(status: c_int, _: *mut c_void) {
        // SAFETY: null means every stream of C; nothing runs in this process afterwards.
        unsafe {
            fflush(std::ptr::null_mut());
            _exit(status)
        }
    }

    /// Handlers run in reverse order: registered last, this one runs before every destructor.
    pub(super) fn register() {
        // SAFETY: the handler lives as long as the program.
        unsafe { on_exit(leave, std::ptr::null_mut()) };
    }
}
