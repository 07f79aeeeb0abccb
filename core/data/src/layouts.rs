//! Known skeleton layouts.
