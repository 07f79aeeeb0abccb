//! Vectors of texts on disk: files that are shipped, and a cache of what was computed here.

mod cache;
mod shipped;

pub use cache::Cache;
pub use shipped::Shipped;
