//! How a process ends that has loaded plugins: without the destructors of libraries.
//!
//! A plugin may have left a thread behind that still works with tensors. The destructors that a C library runs at the end
//! take libtorch away from under it, and what is then left of the process is an abort instead of its exit code.

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

    pub(crate) fn plainly() {
        // SAFETY: the handler lives as long as the program. Handlers run in reverse, so this one before those of libtorch.
        unsafe { on_exit(leave, std::ptr::null_mut()) };
    }
}

/// From now on the process ends plainly; what Rust has to flush is flushed before.
pub(crate) fn plainly() {
    #[cfg(target_os = "linux")]
    linux::plainly();
}
