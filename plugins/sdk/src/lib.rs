//! For authors of plugins in Rust: implement the trait of a built-in component, register it as a built-in would, and end the
//! file with [`export!`].
//!
//! ```ignore
//! use schemars::JsonSchema;
//! use serde::{Deserialize, Serialize};
//! use szar_plugin::{
//!     AdapterConfig, Aligner, BuildContext, ComponentInfo, ComponentKind, NamedTensors, Observation, Problems, Result, Scores,
//!     Task, TestTimeAdapter,
//! };
//!
//! /// Options; their doc comments are what `szar describe` shows.
//! #[derive(Clone, Debug, Default, Serialize, Deserialize, JsonSchema)]
//! #[serde(deny_unknown_fields, default)]
//! pub struct MineConfig {}
//!
//! #[typetag::serde(name = "mine")]
//! impl AdapterConfig for MineConfig {
//!     fn validate(&self, _: &mut Problems) {}
//!     fn build(&self, _: &BuildContext) -> Result<Box<dyn TestTimeAdapter>> { Ok(Box::new(Mine)) }
//! }
//!
//! /// The runtime part: this one halves the logits.
//! struct Mine;
//!
//! impl TestTimeAdapter for Mine {
//!     fn begin(&mut self, _: &Task) -> Result<()> { Ok(()) }
//!     fn step(&mut self, seen: &Observation, _: &dyn Aligner) -> Result<Scores> {
//!         Ok(Scores { logits: &seen.scores.logits * 0.5 })
//!     }
//!     fn snapshot(&self) -> Result<NamedTensors> { Ok(NamedTensors::new()) }
//!     fn restore(&mut self, _: NamedTensors) -> Result<()> { Ok(()) }
//! }
//!
//! inventory::submit! {
//!     ComponentInfo::new::<MineConfig>(ComponentKind::Adapter, "mine", "What it does, in one sentence.", "Where it is from.")
//! }
//!
//! szar_plugin::export!();
//! ```
#![expect(unsafe_code, reason = "answers the host across a C boundary")]

mod log;

use std::ffi::c_void;
use std::sync::OnceLock;

pub use szar_core::*;
pub use tch;
pub use tracing;

#[doc(hidden)]
pub use szar_plugin_abi as abi;
use szar_plugin_abi::{Host, Out, Plugin, Status, Str};
use szar_plugin_bridge::{LIBTORCH, aoti_torch_abi_version, export, guard};

/// Exports the components that this library registers. Once per library, at the end of its root file; without arguments
/// the plugin bears the name and the version of the package.
#[macro_export]
macro_rules! export {
    () => {
        $crate::export!(env!("CARGO_PKG_NAME"), env!("CARGO_PKG_VERSION"));
    };
    ($name:expr, $version:expr) => {
        #[cfg(panic = "abort")]
        compile_error!(
            "a szar plugin must unwind: take `panic = \"abort\"` out of the profile, so that a panic becomes an error of the run"
        );

        /// The one function that the host looks for.
        #[allow(unsafe_code)]
        #[unsafe(no_mangle)]
        pub extern "C" fn szar_plugin_entry() -> *const $crate::abi::Plugin {
            static PLUGIN: $crate::abi::Plugin = $crate::plugin($name, $version);
            &raw const PLUGIN
        }
    };
}

#[doc(hidden)]
pub const fn plugin(name: &'static str, version: &'static str) -> Plugin {
    Plugin {
        size: size_of::<Plugin>(),
        major: abi::MAJOR,
        minor: abi::MINOR,
        name: Str::new(name),
        version: Str::new(version),
        libtorch: Str::new(LIBTORCH),
        libtorch_abi: Some(libtorch_abi),
        start,
        extension,
    }
}

unsafe extern "C" fn libtorch_abi() -> u64 {
    // The address says which libtorch this is, which the host compares with its own.
    aoti_torch_abi_version as *const () as u64
}

/// The host, from `start` on.
static HOST: OnceLock<&'static Host> = OnceLock::new();

unsafe extern "C" fn start(host: *const Host, out: *const Out) -> Status {
    // SAFETY: the host's table lives for ever, `out` during the call.
    unsafe {
        guard(out, |_| {
            let host: &'static Host = host.as_ref().ok_or_else(|| Error::Missing("the host".into()))?;
            if HOST.set(host).is_ok() {
                log::forward(host);
            }
            Ok(abi::OK)
        })
    }
}

unsafe extern "C" fn extension(id: Str) -> *const c_void {
    fn pointer<T>(table: &'static T) -> *const c_void {
        std::ptr::from_ref(table).cast()
    }
    // SAFETY: the text lives during the call.
    match unsafe { id.get() } {
        Some(abi::COMPONENTS) => pointer(&export::COMPONENTS),
        Some(abi::ADAPTER) => pointer(&export::ADAPTER),
        Some(abi::ADAPTER_SNAPSHOT) => pointer(&export::ADAPTER_SNAPSHOT),
        Some(abi::ALIGNER) => pointer(&export::ALIGNER),
        Some(abi::ENCODER) => pointer(&export::ENCODER),
        Some(abi::DATASET) => pointer(&export::DATASET),
        Some(abi::OBJECT) => pointer(&export::OBJECT),
        _ => std::ptr::null(),
    }
}
