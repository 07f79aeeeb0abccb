//! szar's traits over the tables of `szar-plugin-abi`, in both directions: [`export`] makes tables of objects, [`import`]
//! objects of tables. Both sides of the boundary use both: a plugin's adapter is handed an aligner of the host, which may
//! itself be another plugin's.
#![expect(unsafe_code, reason = "this crate is where Rust objects and C tables meet")]

mod collect;
pub mod export;
pub mod import;
mod lend;
mod out;
mod tensor;
mod wire;

pub use collect::{Collected, Collector, Failure};
pub use lend::{Lent, LentSkeletons, Names};
pub use out::{Sink, guard};
pub use tensor::{borrow, give, lend, take};

/// The libtorch that tch is made for; both sides of the boundary must have the same.
pub const LIBTORCH: &str = "2.11.0";

unsafe extern "C" {
    /// Of the libtorch that this side is linked with.
    pub fn aoti_torch_abi_version() -> u64;
}
