//! Skeleton stores: any dataset as one folder of plain arrays, read sequence by sequence.
//!
//! | file          | kind                      | what it holds                                                          |
//! |---------------|---------------------------|------------------------------------------------------------------------|
//! | `index.json`  |                           | name, layout, classes, counts, checksums; written last                 |
//! | `joints.f32`  | `[.., 3]` f32             | sequences one after the other, each `[T, M, V, 3]`, metres, +y up      |
//! | `samples.i64` | `[n, 8]` i64              | per sequence: first value, T, M, class, subject, role, usable, checksum |
//! | `fps.f32`     | `[n]` f32                 | frames per second, nominal                                             |
//! | `names.txt`   | n lines                   | name in the source                                                     |
//!
//! Numbers are little endian. M of a sequence is the number of persons up to the last one who is there, so that
//! sequences of one person take half the space in a dataset of two. Every sequence has a checksum of its own, which is
//! compared when it is read.

mod import;
mod index;
mod reader;
#[cfg(test)]
mod tests;

pub use import::{Imported, import};
pub use reader::{SkeletonStoreConfig, Stored};
