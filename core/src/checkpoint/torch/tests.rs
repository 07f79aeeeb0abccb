//! Real files, written ones, and damaged ones.

mod bounds;
mod fuzz;
mod real;
pub(crate) mod writer;

use std::io::Cursor;

use super::super::{Flaw, NamedTensors};

fn read(bytes: &[u8]) -> Result<NamedTensors, Flaw> {
    super::parse(Cursor::new(bytes))
}

fn refusal(bytes: &[u8]) -> String {
    let (at, why) = read(bytes).expect_err("refused");
    at.map_or(why.clone(), |at| format!("{at}: {why}"))
}

/// A file of `core/tests/data/torch`.
fn fixture(name: &str) -> Vec<u8> {
    let folder = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/data/torch");
    std::fs::read(std::path::Path::new(folder).join(name)).expect("a file of the tests")
}
