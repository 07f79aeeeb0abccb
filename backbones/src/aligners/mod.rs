//! Aligners: one file (or folder) each.
