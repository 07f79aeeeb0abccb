//! The embedded procedural motion set.
