//! Blocks that two components use.
