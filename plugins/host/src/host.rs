//! What the host offers to a plugin at any time: its log.

use std::ffi::c_void;

use szar_plugin_abi::{Host, MAJOR, MINOR, Str};

/// The table, for ever.
pub(crate) static HOST: Host = Host {
    size: size_of::<Host>(),
    major: MAJOR,
    minor: MINOR,
    context: std::ptr::null_mut(),
    log,
    enabled,
};

unsafe extern "C" fn enabled(_: *mut c_void, level: u32) -> bool {
    match level {
        1 => tracing::enabled!(target: "plugin", tracing::Level::ERROR),
        2 => tracing::enabled!(target: "plugin", tracing::Level::WARN),
        3 => tracing::enabled!(target: "plugin", tracing::Level::INFO),
        4 => tracing::enabled!(target: "plugin", tracing::Level::DEBUG),
        _ => tracing::enabled!(target: "plugin", tracing::Level::TRACE),
    }
}

unsafe extern "C" fn log(_: *mut c_void, level: u32, target: Str, message: Str) {
    let tell = || {
        // SAFETY: the texts live during the call.
        let (from, text) = unsafe {
            (
                target.get().unwrap_or("?"),
                message.get().unwrap_or("(not UTF-8)"),
            )
        };
        match level {
            1 => tracing::error!(target: "plugin", from, "{text}"),
            2 => tracing::warn!(target: "plugin", from, "{text}"),
            3 => tracing::info!(target: "plugin", from, "{text}"),
            4 => tracing::debug!(target: "plugin", from, "{text}"),
            _ => tracing::trace!(target: "plugin", from, "{text}"),
        }
    };
    let _ = std::panic::catch_unwind(std::panic::AssertUnwindSafe(tell));
}
