//! Readers, one per format.
