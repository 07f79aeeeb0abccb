//! Semantic providers and text encoders: one file (or folder) each.
